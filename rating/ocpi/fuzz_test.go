package ocpi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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

// FuzzJSON: the tree of a JSON text is the one that encoding/json tells token by token, with the same faults.
func FuzzJSON(f *testing.F) {
	seed(f)
	for _, src := range []string{
		`{"a":1,"a":2}`, ` [ 1 , -2.5e+3 , true,false, null ,"" , {} , [] ] `, `{"\u0061":"\ud800 \n \"q\" \\"}`, `"x"`, `-0`, "[\"\u00e9\"]",
		strings.Repeat("[", 70) + strings.Repeat("]", 70), `{"a":{"a":[{"b":null}]},"b":[[1]]}`,
		`{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0,"m":0,"n":0,"o":0,"p":0,"q":0,"a":1,"a":2}`,
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
		if !json.Valid(src) || !utf8.Valid(src) {
			return
		}
		got, want := &reader{}, &reader{}
		tree := got.parseTree(src)
		d := json.NewDecoder(bytes.NewReader(src))
		d.UseNumber()
		if diff := cmp.Diff(want.tokens(t, d, &node{}, 0), tree, cmp.AllowUnexported(node{}), cmpopts.IgnoreFields(node{}, "parent"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: -tokens +tree\n%s", src, diff)
		}
		if diff := cmp.Diff(want.rep.Faults, got.rep.Faults); diff != "" {
			t.Errorf("faults of %q: -tokens +tree\n%s", src, diff)
		}
	})
}

// tokens is the tree by the tokens of encoding/json.
func (r *reader) tokens(t *testing.T, d *json.Decoder, n *node, depth int) *node {
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch v := token.(type) {
	case bool:
		n.kind, n.text = kindBool, fmt.Sprint(v)
	case json.Number:
		n.kind, n.text = kindNumber, v.String()
	case string:
		n.kind, n.text = kindText, v
	case json.Delim:
		n.kind = kindList
		if v == '{' {
			n.kind = kindObject
		}
		if depth+1 > maxDepth {
			r.fault(n, "is nested more than %d deep", maxDepth)
			return nil
		}
		seen := map[string]bool{}
		var twice []*node
		for d.More() {
			item := &node{parent: n, index: len(n.items)}
			if n.kind == kindObject {
				key, err := d.Token()
				if err != nil {
					t.Fatal(err)
				}
				item.key = key.(string)
				if seen[item.key] {
					twice = append(twice, item)
				}
				seen[item.key] = true
			}
			if r.tokens(t, d, item, depth+1) == nil {
				return nil
			}
			n.items = append(n.items, item)
		}
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		for _, item := range twice {
			r.fault(item, "the key is given twice")
		}
	}
	return n
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
