package rating

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// choices is a library with tariffs of every type, and a place that offers what the test says.
type choices struct {
	*Library
	next int64
}

func newChoices() *choices {
	c := &choices{Library: NewLibrary()}
	for _, t := range []string{"REGULAR", "AD_HOC_PAYMENT", "PROFILE_CHEAP", "PROFILE_FAST", "PROFILE_GREEN"} {
		c.tariff("NL", t, t, Unknown, Unknown)
	}
	c.tariff("NL", "UNTYPED", "", Unknown, Unknown)
	c.tariff("NL", "OWN", "REGULAR", Unknown, Unknown)
	c.tariff("DE", "OWN", "REGULAR", Unknown, Unknown)
	c.tariff("NL", "SITE", "REGULAR", Unknown, Unknown)
	c.tariff("NL", "NETWORK", "REGULAR", Unknown, Unknown)
	c.tariff("NL", "OVER", "REGULAR", Unknown, 1000)
	return c
}

func (c *choices) tariff(country, id, tariffType string, fromMs, toMs int64) {
	t := &Tariff{CountryCode: country, PartyID: "WTL", ID: id, Type: tariffType, ValidFromMs: fromMs, ValidToMs: toMs}
	c.PutTariff(c.next, TariffKey{country, "WTL", id}, t)
	c.next++
}

// choose says which tariff d gets at a connector with these tariff_ids at time 5000, or why none.
func (c *choices) choose(d Driver, ids ...string) string {
	l := &Location{CountryCode: "NL", PartyID: "WTL", ID: "AMS1", EVSEs: []EVSE{{UID: "CP", Connectors: []Connector{{ID: "1", TariffIDs: ids}}}}}
	got, reason, ok := c.Choose(c.next, 5000, Placement{UID: "CP", Location: l, Connector: &l.EVSEs[0].Connectors[0]}, d)
	if !ok {
		return reason
	}
	if got.Tariff.CountryCode != "NL" {
		return got.Tariff.CountryCode + " " + got.Tariff.ID
	}
	return got.Tariff.ID
}

func contract(set func(*Contract)) Driver {
	c := Contract{CountryCode: "NL", PartyID: "WTL", ID: "c", ValidFromMs: Unknown, ValidToMs: Unknown}
	set(&c)
	return Driver{Shown: true, Contract: &c}
}

// TestTypes is the second table of docs/TARIFF-RULES.md, "Which tariff": for each driver the whole order.
func TestTypes(t *testing.T) {
	all := []string{"PROFILE_FAST", "AD_HOC_PAYMENT", "PROFILE_CHEAP", "REGULAR", "PROFILE_GREEN"}
	f := func(name string, d Driver, want string) {
		t.Helper()
		c := newChoices()
		left, got := append([]string(nil), all...), []string{}
		for len(left) > 0 { // what was chosen goes: the next of the order is left
			id := c.choose(d, left...)
			got = append(got, id)
			for i := range left {
				if left[i] == id {
					left = append(left[:i], left[i+1:]...)
					break
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	f("no token", Driver{}, "REGULAR AD_HOC_PAYMENT PROFILE_FAST PROFILE_CHEAP PROFILE_GREEN")
	f("no contract", Driver{Shown: true}, "AD_HOC_PAYMENT REGULAR PROFILE_FAST PROFILE_CHEAP PROFILE_GREEN")
	f("no preference", contract(func(*Contract) {}), "REGULAR PROFILE_FAST PROFILE_CHEAP PROFILE_GREEN AD_HOC_PAYMENT")
	f("regular", contract(func(c *Contract) { c.Profile = "REGULAR" }), "REGULAR PROFILE_FAST PROFILE_CHEAP PROFILE_GREEN AD_HOC_PAYMENT")
	f("cheap", contract(func(c *Contract) { c.Profile = "CHEAP" }), "PROFILE_CHEAP REGULAR PROFILE_FAST PROFILE_GREEN AD_HOC_PAYMENT")
	f("green", contract(func(c *Contract) { c.Profile = "GREEN" }), "PROFILE_GREEN REGULAR PROFILE_FAST PROFILE_CHEAP AD_HOC_PAYMENT")
	f("fast", contract(func(c *Contract) { c.Profile = "FAST" }), "PROFILE_FAST REGULAR PROFILE_CHEAP PROFILE_GREEN AD_HOC_PAYMENT")
	c := newChoices()
	if got := c.choose(Driver{}, "AD_HOC_PAYMENT", "UNTYPED", "REGULAR"); got != "UNTYPED" {
		t.Errorf("an omitted type counts as REGULAR: got %s", got)
	}
}

// TestLevels is the first table of docs/TARIFF-RULES.md, "Which tariff", and its decisions.
func TestLevels(t *testing.T) {
	f := func(name, want string, d Driver, set func(c *choices), ids ...string) {
		t.Helper()
		c := newChoices()
		set(c)
		if got := c.choose(d, ids...); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	nothing := func(*choices) {}
	defaults := func(c *choices) {
		c.PutDefault(c.next, LocationKey{"NL", "WTL", ""}, []TariffKey{{ID: "NETWORK"}})
		c.PutDefault(c.next+1, LocationKey{"NL", "WTL", "AMS1"}, []TariffKey{{ID: "SITE"}})
		c.next += 2
	}
	own := contract(func(c *Contract) { c.Tariff, c.Tier = TariffKey{ID: "OWN"}, "member" })
	member := contract(func(c *Contract) { c.Tier = "member" })
	tier := func(rules ...TierRule) func(c *choices) {
		return func(c *choices) {
			c.PutTier(c.next, TierKey{"NL", "WTL", "member"}, &Tier{CountryCode: "NL", PartyID: "WTL", ID: "member", Rules: rules})
			c.next++
		}
	}
	rule := func(location, evse, connector, tariff string) TierRule {
		return TierRule{Location: LocationKey{ID: location}, EVSE: evse, Connector: connector, Tariffs: []TariffKey{{ID: tariff}}}
	}
	f("contract over its tier, which need not be there", "OWN", own, nothing, "REGULAR")
	f("contract's tariff of another country", "DE OWN", contract(func(c *Contract) { c.Tariff = TariffKey{"DE", "WTL", "OWN"} }), nothing, "REGULAR")
	f("contract's tariff unknown", "tariff unknown: NL*WTL*GONE of the contract", contract(func(c *Contract) { c.Tariff.ID = "GONE" }), defaults, "REGULAR")
	f("contract's tariff over", "tariff unknown: NL*WTL*OVER of the contract", contract(func(c *Contract) { c.Tariff.ID = "OVER" }), defaults, "REGULAR")
	f("tier unknown", "tier unknown: member", member, defaults, "REGULAR")
	f("tier over connector", "OWN", member, tier(rule("", "", "", "OWN")), "REGULAR")
	f("tier's tariff unknown", "tariff unknown: NL*WTL*GONE of tier member", member, tier(rule("", "", "", "GONE")), "REGULAR")
	f("tier without a rule for the place", "REGULAR", member, tier(rule("BER1", "", "", "OWN")), "REGULAR")
	f("location over everywhere", "SITE", member, tier(rule("", "", "", "OWN"), rule("AMS1", "", "", "SITE")), "REGULAR")
	f("EVSE over location", "SITE", member, tier(rule("AMS1", "", "", "OWN"), rule("", "CP", "", "SITE")), "REGULAR")
	f("connector over EVSE", "SITE", member, tier(rule("AMS1", "CP", "", "OWN"), rule("", "", "1", "SITE")), "REGULAR")
	f("another connector", "OWN", member, tier(rule("", "", "", "OWN"), rule("", "", "2", "SITE")), "REGULAR")
	f("of equal rules the first", "OWN", member, tier(rule("", "", "", "OWN"), rule("", "", "", "SITE")), "REGULAR")
	f("a location of another party", "REGULAR", member, tier(TierRule{Location: LocationKey{"NL", "XXX", "AMS1"}, Tariffs: []TariffKey{{ID: "OWN"}}}), "REGULAR")
	f("the tier's list by the contract's preference", "PROFILE_GREEN", contract(func(c *Contract) { c.Tier, c.Profile = "member", "GREEN" }),
		tier(TierRule{Tariffs: []TariffKey{{ID: "REGULAR"}, {ID: "PROFILE_GREEN"}}}), "OWN")
	f("connector over defaults", "REGULAR", Driver{}, defaults, "REGULAR")
	f("connector's tariff unknown", "tariff unknown: GONE", Driver{}, defaults, "GONE")
	f("location over network", "SITE", Driver{}, defaults)
	f("network", "NETWORK", Driver{}, func(c *choices) {
		defaults(c)
		c.PutDefault(c.next, LocationKey{"NL", "WTL", "AMS1"}, nil)
		c.next++
	})
	f("network's tariff unknown", "tariff unknown: NL*WTL*GONE, the default of the network", Driver{}, func(c *choices) {
		c.PutDefault(c.next, LocationKey{"NL", "WTL", ""}, []TariffKey{{ID: "GONE"}})
		c.next++
	})
	f("nothing", "connector has no tariff", Driver{}, nothing)
}

// TestContracts: every book has the contracts that it had, valid when they were.
func TestContracts(t *testing.T) {
	l := NewLibrary()
	p, q := Pseudonym{KeyID: 1, Value: [16]byte{1}}, Pseudonym{KeyID: 2, Value: [16]byte{1}}
	put := func(offset int64, p Pseudonym, id string) {
		l.PutContract(offset, p, &Contract{ID: id, Tier: "t" + id, ValidFromMs: offset, ValidToMs: Unknown})
	}
	put(0, p, "a")
	put(1, q, "b")
	put(2, p, "c")
	l.PutContract(3, p, nil)
	put(4, p, "d")
	f := func(asOf int64, p Pseudonym, want string) {
		t.Helper()
		got := "none"
		if c, ok := l.Contract(asOf, p); ok {
			got = fmt.Sprint(c.ID, c.Tier, c.ValidFromMs)
		}
		if got != want {
			t.Errorf("book %d: %s, want %s", asOf, got, want)
		}
	}
	f(0, p, "none")
	f(1, p, "ata0")
	f(2, p, "ata0")
	f(2, q, "btb1")
	f(3, p, "ctc2")
	f(4, p, "none")
	f(5, p, "dtd4")
	f(5, q, "btb1")
	if n := l.Contracts(); n != 2 || l.Next() != 5 {
		t.Errorf("%d contracts up to offset %d", n, l.Next())
	}
	c := Contract{ValidFromMs: 10, ValidToMs: 20}
	for at, want := range map[int64]bool{9: false, 10: true, 19: true, 20: false} {
		if c.ValidAt(at) != want {
			t.Errorf("valid at %d: %v", at, !want)
		}
	}
}

// TestContractMemory: a contract of many costs a bounded number of bytes.
func TestContractMemory(t *testing.T) {
	const n = 200_000
	l := NewLibrary()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		p := Pseudonym{KeyID: 1}
		for b := range 8 {
			p.Value[b] = byte(uint64(i) * 0x9e3779b97f4a7c15 >> (8 * b))
		}
		l.PutContract(int64(i), p, &Contract{CountryCode: "NL", PartyID: "WTL", ID: fmt.Sprintf("NL-WTL-C%08d", i), Tier: "member", ValidFromMs: Unknown, ValidToMs: Unknown})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("%d bytes a contract", each)
	if each > 160 {
		t.Errorf("%d bytes a contract, at most 160", each)
	}
	runtime.KeepAlive(l)
}
