package oracle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
	"github.com/wattline/wattline/rating/ocpi"
)

// TestText prices the cases of testdata/text by both pricers: every worked example of OCPI and every decision.
func TestText(t *testing.T) {
	z := newZones()
	cases, compared := 0, 0
	datadriven.Walk(t, "testdata/text", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "price" {
				t.Fatalf("%s: no such command", d.Cmd)
			}
			file, report := ocpi.ParsePriceFile([]byte(d.Input), nil)
			if err := report.Err(); err != nil {
				t.Fatalf("%s: %v", d.Pos, err)
			}
			if len(file.Tariffs) != 1 || len(file.Sessions) != 1 {
				t.Fatalf("%s: want one tariff and one session", d.Pos)
			}
			cases++
			text, rows := priceText(t, z, d.Pos, file.Tariffs[0].Tariff, &file.Sessions[0])
			if got, want := billed(file.Tariffs[0].Tariff, rows), expectedBilled(t, d.Input); want != nil {
				compared++
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: billed quantities, expected (-) and got (+):\n%s", file.Sessions[0].ID, d)
				}
			}
			return text
		})
	})
	if want := 41 + 36 + 2; cases != want {
		t.Errorf("%d cases, want %d", cases, want)
	}
	if compared != 41 {
		t.Errorf("billed quantities of %d cases were compared, want those of all 41 vectors", compared)
	}
}

// expectedBilled is `billed` of a vector: kWh or hours of each priced segment, after step_size, at 4 decimals. nil when
// the input has none.
func expectedBilled(t *testing.T, input string) map[string][]string {
	t.Helper()
	var file struct {
		Vectors []struct {
			Billed map[string][]yaml.Node `yaml:"billed"`
		} `yaml:"vectors"`
	}
	if err := yaml.Unmarshal([]byte(input), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 || file.Vectors[0].Billed == nil {
		return nil
	}
	want := map[string][]string{}
	for dimension, quantities := range file.Vectors[0].Billed {
		for _, q := range quantities {
			want[dimension] = append(want[dimension], q.Value)
		}
	}
	return want
}

// billed is what rows bill in the same form. A FLAT has no quantity.
func billed(tariff *rating.Tariff, rows []rating.Charge) map[string][]string {
	type quantity struct{ amount, unit int64 }
	got := map[string][]quantity{}
	for _, row := range rows {
		if !row.HasDimension || row.Element == rating.NoElement || row.Dimension == rating.Flat {
			continue
		}
		name := [...]string{rating.Energy: "ENERGY", rating.Time: "TIME", rating.ParkingTime: "PARKING_TIME"}[row.Dimension]
		q := quantity{row.DurationMs, 3_600_000}
		if row.Dimension == rating.Energy {
			q = quantity{row.EnergyMwh, 1_000_000}
		}
		if tariff.Elements[row.Element].Restrictions.Reservation != rating.NoReservation {
			name = "RESERVATION"
		}
		if before := got[name]; row.Kind == rating.ChargeStep {
			before[len(before)-1].amount += q.amount
			continue
		}
		got[name] = append(got[name], q)
	}
	texts := map[string][]string{}
	for name, quantities := range got {
		for _, q := range quantities {
			texts[name] = append(texts[name], Round(fraction(q.amount, q.unit), 4))
		}
	}
	return texts
}

// priceText gives the bill of the fast pricer as text and as rows, having demanded that the oracle's and the expected are equal.
func priceText(t *testing.T, z *zones, pos string, tariff *rating.Tariff, s *ocpi.Session) (string, []rating.Charge) {
	t.Helper()
	if err := s.Report.Err(); err != nil {
		t.Fatalf("%s: %v", pos, err)
	}
	x := example{tariff: tariff, zone: s.Zone, readings: FromPoints(s.Points)}
	if d := disagreement(t, z, x, true); d != "" {
		t.Errorf("%s: %s", pos, d)
	}
	_, clock := z.load(t, s.Zone)
	slow, err := Price(tariff, clock, x.readings)
	if err != nil {
		t.Fatalf("%s: %v", pos, err)
	}
	var b strings.Builder
	rows := priceFast(t, z, x, 0).rows
	for _, row := range rows {
		fmt.Fprintln(&b, rowText(&row))
	}
	excl, known := slow.ExclText(6)
	if !known {
		excl = "null"
	}
	fmt.Fprintf(&b, "total excl %s incl %s\n", excl, slow.InclText(6))
	expected := func(what string, want ocpi.Amount, got string) {
		if !want.Given {
			return
		}
		if want.Null {
			want.Text = "null"
		}
		if got != want.Text {
			t.Errorf("%s: %s of %s is %s, expected %s", pos, what, s.ID, got, want.Text)
		}
	}
	wantExcl := s.Expect.Excl
	if excl, known = slow.ExclText(wantExcl.Decimals); !known {
		excl = "null"
	}
	expected("excl", wantExcl, excl)
	expected("incl", s.Expect.Incl, slow.InclText(s.Expect.Incl.Decimals))
	if !s.Expect.Any() {
		t.Errorf("%s: %s expects nothing", pos, s.ID)
	}
	return b.String(), rows
}

// rowText is a row as an analyst reads it.
func rowText(c *rating.Charge) string {
	kind := [...]string{"usage", "step", "min", "max", "expiry", "rounding"}[c.Kind]
	split := [...]string{"start", "clock", "weekday", "energy", "duration", "power", "state"}[c.Split]
	quantity, price := "", ""
	if c.HasDimension {
		switch c.Dimension {
		case rating.Energy:
			quantity = "ENERGY " + money.FormatDecimal(c.EnergyMwh, 6) + " kWh"
		case rating.Time:
			quantity = "TIME " + money.FormatDecimal(c.DurationMs, 3) + " s"
		case rating.ParkingTime:
			quantity = "PARKING_TIME " + money.FormatDecimal(c.DurationMs, 3) + " s"
		case rating.Flat:
			quantity = "FLAT"
		}
		price = "nothing prices it"
	}
	if c.HasDimension && c.Element != rating.NoElement {
		price = fmt.Sprintf("elements[%d].price_components[%d] at %s", c.Element, c.Component, strings.TrimRight(strings.TrimRight(money.FormatDecimal(c.PriceNano, 9), "0"), "."))
	}
	excl := money.FormatDecimal(c.ExclMicros, 6)
	if c.ExclUnknown {
		excl = "null"
	}
	text := fmt.Sprintf("period %d (%s) %s %s, %s: excl %s incl %s", c.Period, split, kind, quantity, price, excl, money.FormatDecimal(c.InclMicros, 6))
	if !c.HasDimension {
		text = fmt.Sprintf("%s: excl %s incl %s", kind, excl, money.FormatDecimal(c.InclMicros, 6))
	}
	if c.Interpolated {
		text += ", interpolated"
	}
	return text
}

// TestExampleFiles: an example that the shrinker prints is the example that failed.
func TestExampleFiles(t *testing.T) {
	r := newRand(t)
	sc := wide()
	sc.changes = false
	for range 300 {
		x := sc.example(r)
		file, report := ocpi.ParsePriceFile([]byte(x.yaml()), nil)
		if err := report.Err(); err != nil {
			t.Fatalf("%v\n%s", err, x.yaml())
		}
		y := example{tariff: file.Tariffs[0].Tariff, zone: file.Sessions[0].Zone, readings: FromPoints(file.Sessions[0].Points)}
		if err := file.Sessions[0].Report.Err(); err != nil {
			t.Fatalf("%v\n%s", err, x.yaml())
		}
		if y.yaml() != x.yaml() {
			t.Fatalf("written\n%s\nread\n%s", x.yaml(), y.yaml())
		}
	}
}
