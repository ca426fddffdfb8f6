package ocpi

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/rating"
)

var updateGolden = flag.Bool("update", false, "write testdata/reference.golden")

const referenceGolden = "testdata/reference.golden"

// referenceExamples are the records of docs/formats/reference.md.
func referenceExamples(t testing.TB) []Reference {
	t.Helper()
	tariffs, report := ParseTariffs([]byte(`{"country_code":"NL","party_id":"STR","id":"day/night","currency":"EUR","last_updated":"2026-01-01T00:00:00Z",` +
		`"elements":[{"price_components":[{"type":"ENERGY","price":0.30,"vat":21,"step_size":1}]}]}`))
	if err := errors.Join(report.Err(), tariffs[0].Report.Err()); err != nil {
		t.Fatal(err)
	}
	locations, report := ParseLocations([]byte(`{"country_code":"NL","party_id":"STR","id":"AMS1","name":"Dam","address":"Dam 1","city":"Amsterdam","postal_code":"1012 JS","state":"NH","country":"NLD","coordinates":{"latitude":"52.37302","longitude":"4.89305"},"time_zone":"Europe/Amsterdam",`+
		`"last_updated":"2026-01-01T00:00:00Z","evses":[{"uid":"AMS-1","evse_id":"NL*STR*E1","connectors":[{"id":"1","standard":"IEC_62196_T2","format":"SOCKET","power_type":"AC_3_PHASE","max_electric_power":22000,"tariff_ids":["day/night"]},{"id":"2"}]}]}`), nil)
	if err := errors.Join(report.Err(), locations[0].Report.Err()); err != nil {
		t.Fatal(err)
	}
	tariffKey := rating.TariffKey{CountryCode: "NL", PartyID: "STR", ID: "day/night"}
	locationKey := rating.LocationKey{CountryCode: "NL", PartyID: "STR", ID: "AMS1"}
	pseudonym := rating.Pseudonym{KeyID: 7, Value: [16]byte{0xab, 15: 1}}
	tierKey := rating.TierKey{CountryCode: "NL", PartyID: "STR", ID: "member"}
	const at = 1_767_225_600_123
	return []Reference{
		{Kind: ReferenceInstallation, By: "engine-1", AtMs: at, HashKey: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
		{Kind: ReferenceTariff, By: "ann@desk", AtMs: at, TariffKey: tariffKey, Tariff: tariffs[0].Tariff},
		{Kind: ReferenceLocation, By: "ann@desk", AtMs: at, LocationKey: locationKey, Location: locations[0].Location},
		{Kind: ReferenceTokens, By: "ann@desk", AtMs: at, TokenKeys: &rating.TokenKeys{Primary: 4_000_000_000, IDs: []uint32{4_000_000_000, 7}}},
		{Kind: ReferenceContract, By: "ann@desk", AtMs: at, Pseudonym: pseudonym, Contract: &rating.Contract{
			CountryCode: "NL", PartyID: "STR", ID: "NL-STR-C00001-X", Tier: "member", Tariff: rating.TariffKey{CountryCode: "DE", PartyID: "STR", ID: "own"},
			Profile: "GREEN", ValidFromMs: at, ValidToMs: at + 86_400_000,
		}},
		{Kind: ReferenceTier, By: "ann@desk", AtMs: at, TierKey: tierKey, Tier: &rating.Tier{CountryCode: "NL", PartyID: "STR", ID: "member", Rules: []rating.TierRule{
			{Tariffs: []rating.TariffKey{{ID: "MEMBER"}, {ID: "MEMBER-GREEN"}}},
			{Location: rating.LocationKey{ID: "AMS1"}, EVSE: "AMS-1", Connector: "2", Tariffs: []rating.TariffKey{{CountryCode: "NL", PartyID: "STR", ID: "day/night"}}},
		}}},
		{Kind: ReferenceDefault, By: "ann@desk", AtMs: at, LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "STR"}, Default: []rating.TariffKey{{ID: "day/night"}}},
		{Kind: ReferenceContract, Pseudonym: pseudonym},
		{Kind: ReferenceTier, TierKey: tierKey},
		{Kind: ReferenceDefault, LocationKey: locationKey},
		{Kind: ReferenceTariff, TariffKey: tariffKey},
		{Kind: ReferenceLocation, LocationKey: locationKey},
	}
}

func TestReferenceGolden(t *testing.T) {
	var got bytes.Buffer
	for _, r := range referenceExamples(t) {
		key, value, err := AppendReference(nil, nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		if value == nil {
			fmt.Fprintf(&got, "%s\n    nil\n", key)
		} else {
			fmt.Fprintf(&got, "%s\n    %q\n", key, value)
		}
		back, err := DecodeReference(key, value)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if d := cmp.Diff(r, back, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s came back otherwise (-written +read)\n%s", key, d)
		}
	}
	if *updateGolden {
		if err := os.WriteFile(referenceGolden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceGolden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("bytes of version %d changed (-golden +now)\n%s", ReferenceVersion, d)
	}
}

func TestReferenceFaults(t *testing.T) {
	f := func(key, value string) {
		t.Helper()
		var v []byte
		if value != "nil" {
			v = []byte(value)
		}
		if r, err := DecodeReference([]byte(key), v); !errors.Is(err, ErrReference) {
			t.Errorf("%q %q: %+v, %v", key, value, r, err)
		}
	}
	f("tariff", "nil")
	f("tariff/NL/STR", "nil")
	f("tariff/NL/STR/", "nil")
	f("tariff/NL/STR/x", "")
	f("tariff/NL/STR/x", "\x02{}")
	f("tariff/NL/STR/x", "\x01{")
	f("tariff/NL/STR/x", "\x01{}")
	f("tariff/NL/STR/x", "\x01"+`{"kind":"location","by":"","at":"2026-01-01T00:00:00.000Z"}`)
	f("tariff/NL/STR/x", "\x01"+`{"kind":"tariff","by":"","at":"2026-01-01T00:00:00.000Z"}`)
	f("tariff/NL/STR/x", "\x01"+`{"kind":"tariff","by":"","at":"2026-01-01T00:00:00.000Z","tariff":[]}`)
	f("location/NL/STR/x", "\x01"+`{"kind":"location","by":"","at":"2026-01-01T00:00:00.000Z"}`)
	f("location/NL/STR/x", "\x01"+`{"kind":"location","by":"","at":"2026-01-01T00:00:00.000Z","location":null}`)
	f("location/NL/STR/x", "\x01"+`{"kind":"location","by":"","at":"2026-01-01T00:00:00.000Z","location":[]}`)
	f("location/NL/STR/x", "\x01"+`{"kind":"location","by":"","at":"2026-01-01T00:00:00.000Z","location": {"country_code":"NL","party_id":"STR","id":"x","time_zone":"Europe/Amsterdam","name":"`+"\xff"+`"} }`)
	f("installation", "nil")
	f("installation/x", "\x01"+`{"kind":"installation","by":"","at":"2026-01-01T00:00:00.000Z","hash_key":"000102030405060708090a0b0c0d0e0f"}`)
	f("installation", "\x01"+`{"kind":"installation","by":"","at":"2026-01-01T00:00:00.000Z","hash_key":"0001"}`)
	f("installation", "\x01"+`{"kind":"installation","by":"","at":"yesterday","hash_key":"000102030405060708090a0b0c0d0e0f"}`)
	const head = "\x01" + `{"kind":"contract","by":"","at":"2026-01-01T00:00:00.000Z","contract":`
	const key = "contract/7/ab000000000000000000000000000001"
	f("contract/7", "nil")
	f("contract/0/ab000000000000000000000000000001", "nil")
	f("contract/07/ab000000000000000000000000000001", "nil")
	f("contract/7/AB000000000000000000000000000001", "nil")
	f("contract/7/ab", "nil")
	f(key, head+`{}}`)
	f(key, head+`{"contract_id":"c","default_profile_type":"SLOW"}}`)
	f(key, head+`{"contract_id":"c","valid_from":"2026-01-01T00:00:00Z","valid_to":"2026-01-01T00:00:00Z"}}`)
	f(key, head+`{"contract_id":"c","valid_from":"soon"}}`)
	f("tokens", "nil")
	f("tokens/x", head+`{}}`)
	f("tokens", "\x01"+`{"kind":"tokens","by":"","at":"2026-01-01T00:00:00.000Z","tokens":{"primary":1,"keys":[2,1]}}`)
	f("tokens", "\x01"+`{"kind":"tokens","by":"","at":"2026-01-01T00:00:00.000Z","tokens":{"primary":1,"keys":[1,1]}}`)
	f("tier/NL/STR/x", "\x01"+`{"kind":"tier","by":"","at":"2026-01-01T00:00:00.000Z","tier":{"country_code":"NL","party_id":"STR","id":"x","rules":[]}}`)
	f("tier/NL/STR/x", "\x01"+`{"kind":"tier","by":"","at":"2026-01-01T00:00:00.000Z","tier":{"country_code":"NL","party_id":"STR","id":"x","rules":[{"site":"y","tariffs":["t"]}]}}`)
	f("default/NL/STR/", "\x01"+`{"kind":"default","by":"","at":"2026-01-01T00:00:00.000Z","default":{"tariffs":[]}}`)
	// A record under the key of another one.
	for _, r := range referenceExamples(t)[1:3] {
		_, value, err := AppendReference(nil, nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		f(string(r.Kind)+"/NL/STR/other", string(value))
	}

	skipped := func(key, value string) {
		t.Helper()
		if r, err := DecodeReference([]byte(key), []byte(value)); err != nil || r.Kind != "" {
			t.Errorf("%q: %+v, %v; want to skip it", key, r, err)
		}
	}
	skipped("contracts/NL/STR/x", "\x01{}")
	skipped("", "")

	refused := func(r Reference) {
		t.Helper()
		if key, _, err := AppendReference(nil, nil, &r); !errors.Is(err, ErrReference) {
			t.Errorf("%+v was written as %q", r, key)
		}
	}
	refused(Reference{Kind: "contracts"})
	refused(Reference{Kind: ReferenceContract})
	refused(Reference{Kind: ReferenceTier})
	refused(Reference{Kind: ReferenceTokens})
	refused(Reference{Kind: ReferenceTokens, TokenKeys: &rating.TokenKeys{Primary: 1, IDs: []uint32{2, 1}}})
	refused(Reference{Kind: ReferenceContract, Pseudonym: rating.Pseudonym{KeyID: 1}, Contract: &rating.Contract{ID: strings.Repeat("x", 37)}})
	refused(Reference{Kind: ReferenceTariff, TariffKey: rating.TariffKey{CountryCode: "N/", PartyID: "STR", ID: "x"}})
	refused(Reference{Kind: ReferenceLocation, LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "STR"}})
}

// TestCanon: what AppendReference writes of a location is read by canon, all fields of it, unless a text needs escapes;
// anything else is left to the reader of any JSON.
func TestCanon(t *testing.T) {
	full := rating.Location{
		CountryCode: "NL", PartyID: "STR", ID: "L1", Name: "Zürich", Address: "Gleis 1", City: "x", PostalCode: "8001", State: "ZH", Country: "CHE", Latitude: "47.37", Longitude: "8.54", Zone: "Europe/Zurich", LastUpdatedMs: 1_767_596_100_123,
		EVSEs: []rating.EVSE{
			{UID: "CP1*1", ID: "CH*STR*E1", Connectors: []rating.Connector{{ID: "1", MaxPowerW: 22_080, TariffIDs: []string{"A", "B"}}, {ID: "2", Standard: "IEC_62196_T2", Format: "SOCKET", PowerType: "AC_3_PHASE", TariffIDs: []string{"A", "B"}}}},
			{UID: "CP1*2"},
			{UID: "CP2", Connectors: []rating.Connector{{ID: "2", TariffIDs: []string{"A"}}, {ID: "1", MaxPowerW: 7, TariffIDs: []string{"A", "C", "D"}}, {ID: "3"}}},
		},
	}
	bare := rating.Location{ID: "L", Zone: "UTC", LastUpdatedMs: rating.Unknown}
	escaped := full
	escaped.Name = `the "old" one`
	twice := full
	twice.EVSEs = []rating.EVSE{{UID: "CP1"}, {UID: "CP1"}}
	f := func(l *rating.Location, change func(string) string, want bool) {
		t.Helper()
		r := Reference{Kind: ReferenceLocation, LocationKey: rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}, Location: l}
		_, value, err := AppendReference(nil, nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			text := change(string(value))
			if text == string(value) {
				t.Fatalf("%q is not changed", text)
			}
			value = []byte(text)
		}
		got := Reference{Kind: r.Kind, LocationKey: r.LocationKey}
		c := canon{src: value[1:]}
		if c.location(&got) != want {
			t.Fatalf("%q: canon says %v", value, !want)
		}
		if d := cmp.Diff(r.Location, got.Location); want && d != "" {
			t.Fatalf("%q: - written, + read\n%s", value, d)
		}
	}
	replace := func(old, by string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, by, 1) }
	}
	f(&full, nil, true)
	f(&bare, nil, true)
	f(&escaped, nil, false)
	f(&twice, nil, false)
	f(&full, replace(`:[`, `: [`), false)
	f(&full, replace(`"A","B"`, `"A",""`), false)
	f(&full, replace(`22080`, `22080.0`), false)
	f(&full, replace(`22080`, `022080`), false)
	f(&full, replace(`"id":"2"`, `"id":"1"`), false)
	f(&full, replace(`"id":"L1"`, `"id":"L2"`), false)
	f(&full, replace(`"city"`, `"town"`), false)
	f(&full, replace(`"country_code":"NL",`, ``), false)
	f(&full, replace(`}}`, `}} `), false)
	f(&full, replace(`,"time_zone":"Europe/Zurich"`, ``), false)
	f(&full, replace("ü", "\xfc"), false)
}

// FuzzReference: nothing breaks the reader, and what it takes is written and read as the same.
func FuzzReference(f *testing.F) {
	for _, r := range referenceExamples(f) {
		key, value, err := AppendReference(nil, nil, &r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(key, value, value == nil)
	}
	f.Add([]byte("tariff///x"), []byte("\x01{}"), false)
	f.Fuzz(func(t *testing.T, key, value []byte, withdrawn bool) {
		if withdrawn {
			value = nil
		}
		r, err := DecodeReference(key, value)
		if err != nil || r.Kind == "" {
			return
		}
		if value != nil && r.Kind == ReferenceLocation {
			slow := Reference{Kind: r.Kind, LocationKey: r.LocationKey}
			if err := slow.decode(value[1:]); err != nil {
				t.Fatalf("%q is read, though the reader of any JSON says: %v", value, err)
			}
			if d := cmp.Diff(r, slow); d != "" {
				t.Fatalf("%q: read as -, by the reader of any JSON as +\n%s", value, d)
			}
		}
		if r.Contract != nil {
			slow := Reference{Kind: r.Kind, Pseudonym: r.Pseudonym}
			if err := slow.decode(value[1:]); err != nil {
				t.Fatalf("%q is taken in haste: %v", value, err)
			}
			if d := cmp.Diff(slow, r); d != "" {
				t.Fatalf("%q is read otherwise in haste: %s", value, d)
			}
		}
		key2, value2, err := AppendReference(nil, nil, &r)
		if err != nil {
			t.Fatalf("read %q but not written: %v", key, err)
		}
		if !bytes.Equal(key, key2) || (value == nil) != (value2 == nil) {
			t.Fatalf("key %q became %q, value %q became %q", key, key2, value, value2)
		}
		again, err := DecodeReference(key2, value2)
		if err != nil {
			t.Fatalf("%q %q is not read: %v", key2, value2, err)
		}
		if d := cmp.Diff(r, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}
