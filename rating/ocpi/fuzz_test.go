package ocpi

import (
	"bytes"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
)

// seed adds the inputs of all text cases, which are of every form.
func seed(f *testing.F) {
	names, err := filepath.Glob("testdata/text/*")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for block := range bytes.SplitSeq(src, []byte("\n\n")) {
			_, input, _ := bytes.Cut(block, []byte("\n"))
			input, _, _ = bytes.Cut(input, []byte("\n----"))
			f.Add(input)
		}
	}
}

// FuzzTariffs: no input breaks the reader, a tariff that it takes is one that can be compiled, and O4 holds.
func FuzzTariffs(f *testing.F) {
	seed(f)
	zone, err := rating.LoadZone("Europe/Amsterdam")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		entries, _ := ParseTariffs(src)
		for _, e := range entries {
			if (e.Tariff == nil) != (len(e.Report.Faults) > 0) {
				t.Fatalf("tariff %v with faults %v", e.Tariff, e.Report.Faults)
			}
			if e.Tariff == nil {
				continue
			}
			if _, err := rating.Compile(e.Tariff, zone); err != nil {
				t.Fatalf("parsed but not compiled: %v", err)
			}
			roundTrip(t, e.Tariff)
		}
	})
}

func roundTrip(t *testing.T, tariff *rating.Tariff) {
	t.Helper()
	written := AppendTariffJSON([]byte("tariffs: {t: "), tariff)
	written = append(written, '}')
	again, report := ParseTariffs(written)
	if err := report.Err(); err != nil || len(again) != 1 || again[0].Tariff == nil {
		t.Fatalf("%s cannot be read: %v %+v", written, err, again)
	}
	if d := cmp.Diff(tariff, again[0].Tariff); d != "" {
		t.Fatalf("%s reads as another tariff:\n%s", written, d)
	}
	if twice := AppendTariffJSON([]byte("tariffs: {t: "), again[0].Tariff); !bytes.Equal(append(twice, '}'), written) {
		t.Fatalf("written %s, then %s", written, twice)
	}
}

// FuzzLocations: no input breaks the reader.
func FuzzLocations(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		entries, _ := ParseLocations(src, nil)
		for _, e := range entries {
			if (e.Location == nil) != (len(e.Report.Faults) > 0) {
				t.Fatalf("location %v with faults %v", e.Location, e.Report.Faults)
			}
			if e.Location != nil && (e.Location.ID == "" || e.Location.Zone == "") {
				t.Fatalf("a location without id or zone: %+v", e.Location)
			}
			if e.Location == nil {
				continue
			}
			written := AppendLocationJSON(nil, e.Location)
			again, report := ParseLocations(written, nil)
			if err := report.Err(); err != nil || len(again) != 1 {
				t.Fatalf("%s cannot be read: %v", written, err)
			}
			if d := cmp.Diff(e.Location, again[0].Location); d != "" {
				t.Fatalf("%s reads as another location:\n%s", written, d)
			}
		}
	})
}

// FuzzPriceFile: no input breaks the reader, and what it takes is clean and in the bounds of the pricer.
func FuzzPriceFile(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		file, report := ParsePriceFile(src, nil)
		if (file == nil) != (len(report.Faults) > 0) {
			t.Fatalf("file %v with faults %v", file, report.Faults)
		}
		if file == nil {
			return
		}
		for _, s := range file.Sessions {
			if (s.Points == nil) != (len(s.Report.Faults) > 0) {
				t.Fatalf("%d points with faults %v", len(s.Points), s.Report.Faults)
			}
			for i, p := range s.Points {
				if i > 0 && (p.AtMs < s.Points[i-1].AtMs || p.RegisterMwh < s.Points[i-1].RegisterMwh) {
					t.Fatalf("point %d goes back: %+v", i, s.Points)
				}
				if max(p.AtMs, -p.AtMs) > rating.MaxAtMs || max(p.RegisterMwh, -p.RegisterMwh) > rating.MaxRegisterMwh {
					t.Fatalf("point %d is out of bounds: %+v", i, p)
				}
			}
		}
	})
}

// FuzzDecimal holds the decimals against math/big.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0", "-0.5", "1e3", "1.5e-3", ".5", "5.", "--5", "+1", "1_0", "0x1p4", "1/2", "inf", "1e99"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := parseDecimal(text)
		if !ok {
			return
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%q is taken, and is no number", text)
		}
		for _, digits := range []int{0, 3, 9} {
			scaled := new(big.Rat).Mul(want, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)))
			v, fit := d.scaled(digits)
			if exact := scaled.IsInt(); (fit != tooFine) != exact || fit == fits && scaled.Cmp(new(big.Rat).SetInt64(v)) != 0 {
				t.Fatalf("%q at %d digits: %d, fit %d, want %s", text, digits, v, fit, scaled)
			}
			if v, fit := d.rounded(digits); fit == fits {
				rest := new(big.Rat).Sub(scaled, new(big.Rat).SetInt64(v)) // -1/2 <= rest < 1/2
				if rest.Cmp(big.NewRat(-1, 2)) < 0 || rest.Cmp(big.NewRat(1, 2)) >= 0 {
					t.Fatalf("%q rounds to %d at %d digits", text, v, digits)
				}
			}
		}
	})
}
