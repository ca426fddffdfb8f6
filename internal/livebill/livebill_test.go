package livebill

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/clickhouse"
)

// TestExplain: every kind of line, local times, and what is not in a row yet.
func TestExplain(t *testing.T) {
	excl := int64(10_000_000)
	s := &Session{
		ID: "765ddfae-5291-bca8-291b-c83bdca1b294", ChargePoint: "CP1", Connector: 2, Status: "ACTIVE", Start: "2026-01-05T07:17:08.849Z", Last: "2026-01-05T07:44:47.471Z",
		EnergyMwh: 12_000_000, Currency: "EUR", ExclMicros: &excl, InclMicros: 11_900_000, Tariff: "NL*WTL*T", Tier: "gold", Zone: "Europe/Berlin",
	}
	row := func(period uint32, split, kind, dimension string, element int16, nano int64, vat int32, incl int64) clickhouse.BillLine {
		return clickhouse.BillLine{
			Period: period, PeriodMs: 1_767_597_428_849 + int64(period)*600_000, Split: split, Kind: kind, Dimension: dimension, Element: element, PriceNano: nano, VATBp: vat,
			InclMicros: incl, EnergyMwh: 5_000_000, DurationMs: 90_500,
		}
	}
	b := Explain(s, []clickhouse.BillLine{
		row(0, "start", "usage", "FLAT", 0, 1_000_000_000, 1900, 1_190_000), row(0, "start", "usage", "ENERGY", 0, 400_000_000, 1900, 2_380_000),
		row(1, "clock", "usage", "TIME", 1, 6_000_000_000, -1, 600_000), row(2, "state", "usage", "PARKING_TIME", -1, 0, -1, 0),
		row(2, "state", "step", "ENERGY", 0, 400_000_000, 1900, 1), row(2, "state", "max", "NONE", -1, 0, -1, -1),
		row(0, "start", "min", "NONE", -1, 0, -1, 0), row(0, "start", "expiry", "FLAT", 0, 0, 1900, 0), row(0, "start", "rounding", "NONE", -1, 0, -1, 0),
	})
	var got []string
	for _, r := range b.Rows {
		got = append(got, strings.TrimSpace(r.Head+" | "+r.What))
	}
	want := []string{
		"08:17:08  start | fee, 19 % tax", "| energy 5.000 kWh at 0.4 per kWh, 19 % tax",
		"08:27:08  the price changes at this time of day | charging time 1m30s at 6 per hour",
		"08:37:08  the car begins or stops charging | parking time 1m30s, free of charge",
		"at the end | rounded up: energy 5.000 kWh at 0.4 per kWh, 19 % tax", "| lowered to the maximum price", "| raised to the minimum price", "| reservation expired, fee, 19 % tax", "| rounding",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if b.Open != 11_900_000-4_170_000 || b.Since != "Mon 5 Jan 08:17:08" || b.ChargePoint != "CP1/2" || b.Tariff != "NL*WTL*T, tier gold" || !b.NoTax {
		t.Errorf("%+v", b)
	}
	if b := Explain(&Session{Zone: "Nowhere/At_All"}, nil); b.Since != "-" || b.NoTax {
		t.Errorf("%+v", b)
	}
}
