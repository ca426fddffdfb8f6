package ocpi

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wattline/wattline/rating"
)

const (
	cdrGolden = "testdata/cdr.golden"
	cdrSchema = "../../docs/formats/cdr.schema.json"
)

// cdrExample has one of everything that a CDR can have.
func cdrExample(t testing.TB) *CDR {
	t.Helper()
	tariffs, report := ParseTariffs([]byte(`{"country_code":"NL","party_id":"STR","id":"day","currency":"EUR","type":"REGULAR","last_updated":"2026-01-01T00:00:00Z",` +
		`"min_price":{"before_taxes":0.5,"after_taxes":0.605},"max_price":{"before_taxes":100},` +
		`"elements":[{"price_components":[{"type":"TIME","price":1.2,"vat":21,"step_size":60}],"restrictions":{"reservation":"RESERVATION"}},` +
		`{"price_components":[{"type":"ENERGY","price":0.30,"vat":21,"step_size":1},{"type":"PARKING_TIME","price":6,"step_size":300}],` +
		`"restrictions":{"start_time":"08:00","end_time":"20:00","day_of_week":["MONDAY"],"max_kwh":40.5,"min_duration":60}}]}`))
	if err := errors.Join(report.Err(), tariffs[0].Report.Err()); err != nil {
		t.Fatal(err)
	}
	locations, report := ParseLocations([]byte(`{"country_code":"NL","party_id":"STR","id":"AMS1","name":"Dam <1> \"é\"","address":"Dam 1","postal_code":"1012 JS","state":"NH","city":"Amsterdam",`+
		`"country":"NLD","coordinates":{"latitude":"52.37","longitude":"-4.8930512345"},"time_zone":"Europe/Amsterdam",`+
		`"evses":[{"uid":"AMS-1","evse_id":"NL*STR*E1","connectors":[{"id":"1","standard":"IEC_62196_T2","format":"SOCKET","power_type":"AC_3_PHASE"}]}]}`), nil)
	if err := errors.Join(report.Err(), locations[0].Report.Err()); err != nil {
		t.Fatal(err)
	}
	l := locations[0].Location
	raw, ok := AppendCDRTariff(nil, tariffs[0].Tariff)
	if !ok {
		t.Fatal("2.2.1 has words for this tariff")
	}
	const at, hour = 1_750_000_000_000, 3_600_000
	return &CDR{
		ID: "01020304-0506-0708-6d80-b408c008f0bd", SessionID: "01020304-0506-0708-6d80-b408c008f0bd", StartMs: at, EndMs: at + 3*hour + 1,
		Token:    CDRToken{CountryCode: "DE", PartyID: "MSP", Pseudonym: "00112233445566778899aabbccddeeff", Contract: "DE-MSP-C1"},
		Place:    rating.Placement{Location: l, EVSE: &l.EVSEs[0], Connector: &l.EVSEs[0].Connectors[0]},
		Currency: "EUR", TariffID: "day", Tariffs: raw,
		Periods: []CDRPeriod{
			{StartMs: at, ReservationMs: hour},
			{StartMs: at + hour, EnergyMwh: 11_000_001, ChargingMs: hour},
			{StartMs: at + 2*hour, EnergyMwh: 5},
			{StartMs: at + 2*hour, ParkingMs: hour + 1},
		},
		Total:  rating.Total{ExclMicros: 10_500_050, InclMicros: 11_445_049, EnergyMwh: 11_000_006, ChargingMs: hour, ParkingMs: hour + 1, ReservationMs: hour},
		Costs:  &CDRCosts{Energy: CDRCost{3_300_000, 3_993_000}, Parking: CDRCost{6_000_050, 6_000_050}, Reservation: CDRCost{1_200_000, 1_452_000}, Fixed: CDRCost{-50, -51}},
		Remark: "made up", LastUpdatedMs: at + 3*hour + 500,
	}
}

// TestCDRGolden holds the bytes of a CDR, and that they are valid.
func TestCDRGolden(t *testing.T) {
	schema := compileSchema(t)
	var got strings.Builder
	write := func(name string, c *CDR) {
		b, err := AppendCDR([]byte("="), c)
		if err != nil {
			t.Fatal(err)
		}
		validate(t, schema, b[1:])
		got.WriteString("# " + name + "\n" + string(b[1:]) + "\n")
	}
	write("everything", cdrExample(t))
	least := cdrExample(t)
	l := *least.Place.Location
	l.Name, l.PostalCode, l.State = "", "", ""
	least.Place.Location = &l
	least.Token, least.Tariffs, least.Costs, least.Remark = CDRToken{}, nil, nil, ""
	least.EndMs, least.Total = least.StartMs, rating.Total{}
	least.Periods = []CDRPeriod{{StartMs: least.StartMs}}
	write("nothing", least)
	if *updateGolden {
		if err := os.WriteFile(cdrGolden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(cdrGolden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("the bytes of a CDR changed (-golden +now)\n%s", d)
	}
}

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(cdrSchema)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t testing.TB, s *jsonschema.Schema, text []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		t.Errorf("%v in %s", err, text)
	}
}

// TestCDRSchema: every field of the schema says where OCPI has it, and the schema refuses what AppendCDR would not make.
func TestCDRSchema(t *testing.T) {
	text, err := os.ReadFile(cdrSchema)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	fields := 0
	var walk func(path string, v map[string]any)
	walk = func(path string, v map[string]any) {
		properties, _ := v["properties"].(map[string]any)
		for name, p := range properties {
			fields++
			section, _ := p.(map[string]any)["description"].(string)
			if !strings.HasPrefix(section, "OCPI 2.2.1 mod_") && !strings.HasPrefix(section, "OCPI 2.2.1 types") || !strings.Contains(section, name) {
				t.Errorf("%s.%s: %q cites no section", path, name, section)
			}
		}
		defs, _ := v["$defs"].(map[string]any)
		for name, d := range defs {
			walk(path+"."+name, d.(map[string]any))
		}
	}
	walk("cdr", tree)
	if fields < 80 {
		t.Errorf("only %d fields were looked at", fields)
	}
	schema := compileSchema(t)
	good, err := AppendCDR(nil, cdrExample(t))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(old, new string) {
		t.Helper()
		if !strings.Contains(string(good), old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(string(good), old, new, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("the schema takes %s for %s", new, old)
		}
	}
	refused(`"total_energy":`, `"energy":`)
	refused(`"address":"Dam 1",`, ``)
	refused(`"type":"OTHER"`, `"type":"TOKEN"`)
	refused(`"latitude":"52.37000"`, `"latitude":"52.37"`)
	refused(`{"type":"ENERGY","volume":11.000001},`, `{"type":"ENERGY","volume":"11"},`)
	refused(`"step_size":60`, `"step_size":0.5`)
}

// TestCDRFaults: what is missing is named by its path, and nothing is written.
func TestCDRFaults(t *testing.T) {
	f := func(want string, spoil func(c *CDR, l *rating.Location, e *rating.EVSE, x *rating.Connector)) {
		t.Helper()
		c := cdrExample(t)
		l, e, x := *c.Place.Location, *c.Place.EVSE, *c.Place.Connector
		spoil(c, &l, &e, &x)
		c.Place = rating.Placement{Location: &l, EVSE: &e, Connector: &x}
		b, err := AppendCDR([]byte("before"), c)
		if !errors.Is(err, ErrNoCDR) || !strings.HasPrefix(err.Error(), "no CDR: "+want) || string(b) != "before" {
			t.Errorf("%v and %q, want %q", err, b, want)
		}
		fault := NoCDRFault(&c.Place)
		if named := strings.HasPrefix(want, "cdr_location") || strings.HasPrefix(want, "country_code"); named != strings.HasPrefix(fault, want) || !named && fault != "" {
			t.Errorf("of the place %q is wrong, of the CDR %q", fault, want)
		}
	}
	type L = rating.Location
	type E = rating.EVSE
	type X = rating.Connector
	f("country_code: is missing", func(_ *CDR, l *L, _ *E, _ *X) { l.CountryCode = "" })
	f(`country_code: "N" has not 2 characters`, func(_ *CDR, l *L, _ *E, _ *X) { l.CountryCode = "N" })
	f("cdr_location.address: is missing", func(_ *CDR, l *L, _ *E, _ *X) { l.Address = "" })
	f(`cdr_location.address: "éééé`, func(_ *CDR, l *L, _ *E, _ *X) { l.Address = strings.Repeat("é", 46) })
	f("cdr_location.city: is missing", func(_ *CDR, l *L, _ *E, _ *X) { l.City = "" })
	f(`cdr_location.country: "NL" has not 3`, func(_ *CDR, l *L, _ *E, _ *X) { l.Country = "NL" })
	f("cdr_location.coordinates.latitude: is missing", func(_ *CDR, l *L, _ *E, _ *X) { l.Latitude = "" })
	f(`cdr_location.coordinates.longitude: "1234.5" is not`, func(_ *CDR, l *L, _ *E, _ *X) { l.Longitude = "1234.5" })
	f("cdr_location.evse_id: is missing", func(_ *CDR, _ *L, e *E, _ *X) { e.ID = "" })
	f(`cdr_location.evse_uid: "xxx`, func(_ *CDR, _ *L, e *E, _ *X) { e.UID = strings.Repeat("x", 37) })
	f(`cdr_location.connector_standard: "T2" is none`, func(_ *CDR, _ *L, _ *E, x *X) { x.Standard = "T2" })
	f("cdr_location.connector_format: is missing", func(_ *CDR, _ *L, _ *E, x *X) { x.Format = "" })
	f("cdr_location.connector_power_type: is missing", func(_ *CDR, _ *L, _ *E, x *X) { x.PowerType = "" })
	f("total_cost.excl_vat: ", func(c *CDR, _ *L, _ *E, _ *X) { c.Total.ExclUnknown = true })
	f("cdr_token.uid: ", func(c *CDR, _ *L, _ *E, _ *X) { c.Token.Pseudonym = strings.Repeat("x", 37) })
	f("currency: is missing", func(c *CDR, _ *L, _ *E, _ *X) { c.Currency = "" })
	if fault := NoCDRFault(&cdrExample(t).Place); fault != "" {
		t.Errorf("nothing is missing, but %s", fault)
	}
}

// TestCDRTariff: what 2.2.1 has no words for is left out, and no tax is said as it says it.
func TestCDRTariff(t *testing.T) {
	f := func(spoil func(*rating.Tariff), want string) {
		t.Helper()
		none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
		x := &rating.Tariff{
			CountryCode: "NL", PartyID: "STR", ID: "t", Currency: "EUR", Min: none, Max: none, ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown,
			Elements: []rating.Element{{Restrictions: rating.Unrestricted(), Components: []rating.Component{{Dimension: rating.Energy, PriceNano: 1, VAT: 2100, StepSize: 1}}}},
		}
		spoil(x)
		got, ok := AppendCDRTariff([]byte("="), x)
		if ok != (want != "") || want != "" && !strings.Contains(string(got), want) || want == "" && string(got) != "=" {
			t.Errorf("%s %v, want %q", got, ok, want)
		}
		if x.Elements[0].Components[0].VAT != 2100 {
			t.Error("the tariff was changed")
		}
	}
	f(func(*rating.Tariff) {}, `"price":0.000000001,"vat":21,"step_size":1}]}],"last_updated":"1970-01-01T00:00:00Z"}`)
	f(func(x *rating.Tariff) { x.TaxIncluded = rating.TaxIncludedYes }, "")
	f(func(x *rating.Tariff) { x.TaxIncluded = rating.TaxIncludedNA }, `"price":0.000000001,"step_size":1}`)
	f(func(x *rating.Tariff) { x.Min.InclNano = 1 }, "")
	f(func(x *rating.Tariff) { x.Max.ExclNano = 1 }, `"max_price":{"excl_vat":0.000000001}`)
}

// TestCDRHours: hours are rounded half up, and no two milliseconds have the same.
func TestCDRHours(t *testing.T) {
	f := func(ms int64, want string) {
		t.Helper()
		if got := string(appendHours(nil, ms)); got != want {
			t.Errorf("%d ms are %s h, want %s", ms, got, want)
		}
	}
	f(0, "0")
	f(1, "0.0000003")
	f(9, "0.0000025")
	f(1_800_000, "0.5")
	f(3_600_000*24*31, "744")
	f(1_234_567, "0.3429353")
	before := ""
	for ms := range int64(100_000) {
		now := string(appendHours(nil, 5_000_000+ms))
		if now == before {
			t.Fatalf("%d ms are %s h, as those before", ms, now)
		}
		before = now
	}
}

func BenchmarkAppendCDR(b *testing.B) {
	c := cdrExample(b)
	buf, err := AppendCDR(nil, c)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendCDR(buf[:0], c)
	}
}
