package oracle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
	"github.com/wattline/wattline/rating/ocpi"
)

// TestText prices the cases of testdata/text by both pricers: every worked example of OCPI and every decision.
func TestText(t *testing.T) {
	z := newZones()
	cases := 0
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
			return priceText(t, z, d.Pos, file.Tariffs[0].Tariff, &file.Sessions[0])
		})
	})
	if want := 41 + 36 + 2; cases != want {
		t.Errorf("%d cases, want %d", cases, want)
	}
}

// priceText gives the bill of the fast pricer as text, having demanded that the oracle's and the expected are equal.
func priceText(t *testing.T, z *zones, pos string, tariff *rating.Tariff, s *ocpi.Session) string {
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
	for _, row := range priceFast(t, z, x, 0).rows {
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
	return b.String()
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
