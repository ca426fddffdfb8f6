package ocpi

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
)

// contractRecord is one as most are.
func contractRecord(tb testing.TB, change func(*rating.Contract)) (key, value []byte) {
	tb.Helper()
	c := rating.Contract{CountryCode: "NL", PartyID: "WTL", ID: "NL-WTL-C00000001", Tier: "member", ValidFromMs: 1_767_225_600_000, ValidToMs: rating.Unknown}
	change(&c)
	r := Reference{Kind: ReferenceContract, By: "ann@desk", AtMs: 1_767_225_600_123, Pseudonym: rating.Pseudonym{KeyID: 7, Value: [16]byte{1}}, Contract: &c}
	key, value, err := AppendReference(nil, nil, &r)
	if err != nil {
		tb.Fatal(err)
	}
	return key, value
}

// TestFastContract: what is read in haste is read as with care, and the usual record is read in haste.
func TestFastContract(t *testing.T) {
	f := func(name string, fast bool, change func(*rating.Contract)) {
		t.Helper()
		key, value := contractRecord(t, change)
		got, err := DecodeReference(key, value)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := Reference{Kind: ReferenceContract, Pseudonym: got.Pseudonym}
		if err := want.decode(value[1:]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		var hasty Reference
		if hasty.fastContract(value) != fast {
			t.Errorf("%s: fast %v, want %v", name, !fast, fast)
		}
	}
	f("usual", true, func(*rating.Contract) {})
	f("the least", true, func(c *rating.Contract) {
		*c = rating.Contract{ID: "c", ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown}
	})
	f("all", true, func(c *rating.Contract) {
		c.Tariff, c.Profile, c.ValidToMs = rating.TariffKey{CountryCode: "DE", PartyID: "WTL", ID: "own"}, "GREEN", 1_867_225_600_001
	})
	f("a quote", false, func(c *rating.Contract) { c.Tier = `a"b` })
	f("not ASCII", false, func(c *rating.Contract) { c.ID = "é" })
}

func BenchmarkContract(b *testing.B) {
	key, value := contractRecord(b, func(*rating.Contract) {})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeReference(key, value); err != nil {
			b.Fatal(err)
		}
	}
}
