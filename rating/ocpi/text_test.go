package ocpi

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/wattline/wattline/rating"
)

// zoneOK is what the program hands in.
func zoneOK(name string) error {
	_, err := rating.LoadZone(name)
	return err
}

// TestText runs the cases of testdata: a file, and what is found in it. `go test -rewrite` writes the answers anew;
// the difference is what to review.
func TestText(t *testing.T) {
	datadriven.Walk(t, "testdata/text", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var b strings.Builder
			say := func(r Report) {
				for _, f := range r.Faults {
					fmt.Fprintln(&b, f)
				}
				for _, f := range r.Warnings {
					fmt.Fprintln(&b, "warning:", f)
				}
			}
			switch d.Cmd {
			case "tariffs":
				entries, report := ParseTariffs([]byte(d.Input))
				say(report)
				for _, e := range entries {
					say(e.Report)
					if e.Tariff != nil {
						fmt.Fprintf(&b, "%s\n", AppendTariffJSON(nil, e.Tariff))
					}
				}
			case "locations":
				entries, report := ParseLocations([]byte(d.Input), zoneOK)
				say(report)
				for _, e := range entries {
					say(e.Report)
					if e.Location != nil {
						fmt.Fprintf(&b, "%s\n", AppendLocationJSON(nil, e.Location))
					}
				}
			case "price-file":
				file, report := ParsePriceFile([]byte(d.Input), zoneOK)
				say(report)
				if file != nil {
					for _, s := range file.Sessions {
						writeSession(&b, s)
						say(s.Report)
					}
				}
			default:
				t.Fatalf("%s: no such command", d.Cmd)
			}
			if b.Len() == 0 {
				return "ok\n"
			}
			return b.String()
		})
	})
}

func writeSession(b *strings.Builder, s Session) {
	fmt.Fprintf(b, "%s %q", s.Path, s.ID)
	if s.Points == nil {
		fmt.Fprintln(b)
		return
	}
	fmt.Fprintf(b, " tariff %s zone %s expect %+v\n", s.TariffID, s.Zone, s.Expect)
	for _, p := range s.Points {
		fmt.Fprintf(b, "  %s %d mWh %s", appendInstant(nil, p.AtMs), p.RegisterMwh, StateText(p.State))
		if p.PowerMicroW != rating.Unknown {
			fmt.Fprintf(b, " %d µW", p.PowerMicroW)
		}
		if p.CurrentNanoA != rating.Unknown {
			fmt.Fprintf(b, " %d nA", p.CurrentNanoA)
		}
		fmt.Fprintln(b)
	}
}

func TestReportErr(t *testing.T) {
	var r Report
	if err := r.Err(); err != nil {
		t.Errorf("a report without faults gives %v", err)
	}
	r.Faults = []Finding{{"a.b", "is odd"}, {"", "is empty"}}
	var fault *FaultError
	if err := r.Err(); !errors.As(err, &fault) || err.Error() != "a.b: is odd; is empty" {
		t.Errorf("got %v", err)
	}
}

// TestPlain: the short way to a whole number gives what the long one does, or leaves it to it.
func TestPlain(t *testing.T) {
	taken := 0
	for _, text := range []string{
		"", "0", "1", "7", "22080", "007", "0x10", "1_000", "999999999999999", "1000000000000000", "99999999999999999999", "-1", "+1", "1.0", "1e3", "12a",
	} {
		for _, k := range []kind{kindNumber, kindText} {
			n := &node{kind: k, text: text, loose: true}
			v, ok := n.plain()
			if !ok {
				continue
			}
			taken++
			d, known := (&reader{}).decimalOf(n)
			if long, f := d.scaled(0); !known || f == tooFine || f == tooLarge || long != v {
				t.Errorf("%q is %d, the long way %d", text, v, long)
			}
		}
	}
	if taken != 4 {
		t.Errorf("%d numbers were plain, want 4: 1, 7, 22080 and fifteen nines", taken)
	}
}
