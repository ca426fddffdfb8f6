package reflog

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// records is a reference log in memory.
type records []engine.Record

// ReadLog implements engine.LogReader.
func (l records) ReadLog(_ context.Context, _ string, _ int32, _ int64, fn func(engine.Record) error) (int64, error) {
	for _, r := range l {
		if err := fn(r); err != nil {
			return r.Offset, err
		}
	}
	return int64(len(l)), nil
}

func (l *records) put(t *testing.T, by string, atMs int64, r ocpi.Reference) {
	t.Helper()
	m, err := Message(&r, by, atMs)
	if err != nil {
		t.Fatal(err)
	}
	*l = append(*l, engine.Record{Offset: int64(len(*l)), TimestampMs: m.TimestampMs, Key: m.Key, Value: m.Value, ContentType: []byte(m.ContentType)})
}

// TestHistory: who changed what when, with the difference.
func TestHistory(t *testing.T) {
	const day = 86_400_000
	at := int64(1_767_225_600_000)
	var log records
	log.put(t, "engine-1", at, ocpi.Reference{Kind: ocpi.ReferenceInstallation, HashKey: [16]byte{0xab}})
	p := rating.Pseudonym{KeyID: 7, Value: [16]byte{1}}
	contract := func(by string, atMs int64, tier, tariff string) {
		cc, party, id := ocpi.ParseName(tariff)
		log.put(t, by, atMs, ocpi.Reference{Kind: ocpi.ReferenceContract, Pseudonym: p, Contract: &rating.Contract{
			ID: "c1", Tier: tier, Tariff: rating.TariffKey{CountryCode: cc, PartyID: party, ID: id}, ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown,
		}})
	}
	contract("ann@desk", at+day, "member", "")
	contract("bob@desk", at+2*day, "gold", "OWN")
	contract("bob@desk", at+2*day, "gold", "OWN")
	contract("bob@desk", at+3*day, "gold", "")
	log.put(t, "eve@desk", at+4*day, ocpi.Reference{Kind: ocpi.ReferenceContract, Pseudonym: p})
	log = append(log, engine.Record{Offset: int64(len(log)), TimestampMs: at + 5*day, Key: []byte("weather/x"), Value: []byte("\x01{}")})
	f := func(filter Filter, want string) {
		t.Helper()
		var b strings.Builder
		err := History(context.Background(), Log{Topic: "ref", Reader: log}, filter, func(e *Entry) error {
			b.WriteString(e.Text())
			return nil
		})
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), b.String()); err != nil || diff != "" {
			t.Errorf("%+v: %v %s", filter, err, diff)
		}
	}
	key := "contract/7/01000000000000000000000000000000"
	rest := `
2  2026-01-03 00:00:00Z  bob@desk  ` + key + `  changed
    tier: member -> gold
    + tariff: OWN
3  2026-01-03 00:00:00Z  bob@desk  ` + key + `  published again
4  2026-01-04 00:00:00Z  bob@desk  ` + key + `  changed
    - tariff: OWN
5  2026-01-05 00:00:00Z  eve@desk  ` + key + `  withdrawn
`
	first := `
1  2026-01-02 00:00:00Z  ann@desk  ` + key + `  new
    {"contract_id":"c1","tier":"member"}`
	f(Filter{Key: "contract/"}, first+rest)
	f(Filter{Key: "contract/", SinceMs: at + 2*day}, rest)
	f(Filter{}, "0  2026-01-01 00:00:00Z  engine-1  installation  new"+first+rest+
		"6  2026-01-06 00:00:00Z  (not said)  weather/x  of a kind that this release does not know\n")
	log = append(log, engine.Record{Offset: 9, Key: []byte(key), Value: []byte("x")})
	err := History(context.Background(), Log{Topic: "ref", Reader: log}, Filter{}, func(*Entry) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "record 9") {
		t.Errorf("a record that is none: %v", err)
	}
}
