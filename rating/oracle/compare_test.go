package oracle

import (
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wattline/wattline/rating"
)

var (
	compareSessions = flag.Int("compare.sessions", 6000, "random sessions that TestCompare prices by both pricers")
	compareSeed     = flag.Uint64("compare.seed", 0, "seed of TestCompare; 0 takes one from the clock")
)

// zones loads each zone once for both pricers, from the database that package rating has built in.
type zones struct {
	fast map[string]*rating.Zone
	slow map[string]*time.Location
}

func newZones() *zones {
	return &zones{fast: map[string]*rating.Zone{}, slow: map[string]*time.Location{}}
}

func (z *zones) load(t testing.TB, name string) (*rating.Zone, *time.Location) {
	t.Helper()
	if z.fast[name] == nil {
		zone, err := rating.LoadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		z.fast[name], z.slow[name] = zone, testZone(t, name)
	}
	return z.fast[name], z.slow[name]
}

// fastBill is what the fast pricer says.
type fastBill struct {
	rows  []rating.Charge
	total rating.Total
	texts [2]string // "excl incl" at 6 and at 9 decimals
	now   []rating.Total
}

func points(readings []Reading, visit func(p rating.Point, changes []rating.Change)) {
	var changes []rating.Change
	for _, r := range readings {
		if !r.HasRegister {
			changes = append(changes, rating.Change{AtMs: r.AtMs, State: r.State})
			continue
		}
		visit(rating.Point{
			AtMs: r.AtMs, RegisterMwh: r.RegisterMwh, PowerMicroW: r.PowerMicroW, CurrentNanoA: r.CurrentNanoA, State: r.State,
		}, changes)
		changes = nil
	}
}

func priceFast(t testing.TB, z *zones, x example, sliceMs int64) fastBill {
	t.Helper()
	zone, _ := z.load(t, x.zone)
	plan, err := rating.Compile(x.tariff, zone)
	if err != nil {
		t.Fatalf("compile: %v\n%s", err, x.yaml())
	}
	var b fastBill
	var s rating.State
	first := true
	points(x.readings, func(p rating.Point, changes []rating.Change) {
		if first {
			plan.Start(&s, p, sliceMs)
			first = false
		} else {
			b.rows = plan.Advance(&s, p, changes, sliceMs, b.rows)
		}
		b.now = append(b.now, plan.PriceNow(&s))
	})
	b.rows, b.total = plan.Close(&s, b.rows)
	for i, decimals := range []int{6, 9} {
		excl, known, incl := plan.ExactBill(&s, decimals)
		if !known {
			excl = "null"
		}
		b.texts[i] = excl + " " + incl
	}
	return b
}

func slowTexts(b *Bill, decimals int) string {
	excl, known := b.ExclText(decimals)
	if !known {
		excl = "null"
	}
	return excl + " " + b.InclText(decimals)
}

func micros(v int64) string { return Round(big.NewRat(v, 1_000_000), 6) }

// disagreement says how the two pricers differ on an example, "" if they do not.
func disagreement(t testing.TB, z *zones, x example, prefixes bool) string {
	t.Helper()
	_, zone := z.load(t, x.zone)
	slow, err := Price(x.tariff, zone, x.readings)
	if err != nil {
		t.Fatalf("%v\n%s", err, x.yaml())
	}
	slices := []int64{0, 900_000, 1000}
	fast := priceFast(t, z, x, slices[len(x.readings)%2])
	for i, decimals := range []int{6, 9} {
		if want := slowTexts(slow, decimals); fast.texts[i] != want {
			return fmt.Sprintf("at %d decimals the fast pricer says %s, the oracle %s", decimals, fast.texts[i], want)
		}
	}
	total := micros(fast.total.ExclMicros) + " " + micros(fast.total.InclMicros)
	if fast.total.ExclUnknown {
		total = "null " + micros(fast.total.InclMicros)
	}
	if want := slowTexts(slow, 6); total != want {
		return fmt.Sprintf("Close says %s, the oracle %s", total, want)
	}
	got := [4]int64{fast.total.EnergyMwh, fast.total.ChargingMs, fast.total.ParkingMs, fast.total.ReservationMs}
	if want := [4]int64{slow.EnergyMwh, slow.ChargingMs, slow.ParkingMs, slow.ReservationMs}; got != want {
		return fmt.Sprintf("mWh, charging, parking, reservation ms: the fast pricer says %d, the oracle %d", got, want)
	}
	if d := rowsDiffer(fast, slow); d != "" {
		return d
	}
	if prefixes {
		return prefixesDiffer(t, zone, x, fast)
	}
	return ""
}

// rowsDiffer demands that the rows add up to the total, and per component to the oracle's quantities.
func rowsDiffer(fast fastBill, slow *Bill) string {
	type place struct {
		element, component int
		dimension          rating.Dimension
	}
	var excl, incl int64
	left := map[place]int64{}
	for _, l := range slow.Lines {
		if l.Dimension == rating.Energy && l.Reservation {
			continue
		}
		left[place{l.Element, l.Component, l.Dimension}] += l.Quantity + l.StepExtra
	}
	for _, row := range fast.rows {
		excl += row.ExclMicros
		incl += row.InclMicros
		if !row.HasDimension {
			continue
		}
		at := place{int(row.Element), int(row.Component), row.Dimension}
		switch row.Dimension {
		case rating.Energy:
			left[at] -= row.EnergyMwh
		case rating.Flat:
			left[at]--
		default:
			left[at] -= row.DurationMs
		}
	}
	for at, quantity := range left {
		if quantity != 0 {
			return fmt.Sprintf("rows lack %d of element %d component %d dimension %d", quantity, at.element, at.component, at.dimension)
		}
	}
	if incl != fast.total.InclMicros || !fast.total.ExclUnknown && excl != fast.total.ExclMicros {
		return fmt.Sprintf("rows sum to %s %s, the total is %s %s", micros(excl), micros(incl),
			micros(fast.total.ExclMicros), micros(fast.total.InclMicros))
	}
	return ""
}

// prefixesDiffer demands that the price at every reading is that of the session that ends there.
func prefixesDiffer(t testing.TB, zone *time.Location, x example, fast fastBill) string {
	t.Helper()
	n := 0
	for i, r := range x.readings {
		if !r.HasRegister {
			continue
		}
		slow, err := Price(x.tariff, zone, x.readings[:i+1])
		if err != nil {
			t.Fatal(err)
		}
		now := fast.now[n]
		n++
		got := micros(now.ExclMicros) + " " + micros(now.InclMicros)
		if now.ExclUnknown {
			got = "null " + micros(now.InclMicros)
		}
		if want := slowTexts(slow, 6); got != want {
			return fmt.Sprintf("the price at reading %d is %s, the oracle says %s", i, got, want)
		}
	}
	return ""
}

// TestCompare holds the fast pricer against the oracle on random tariffs and sessions.
func TestCompare(t *testing.T) {
	seed := *compareSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	r := rand.New(rand.NewPCG(seed, 2))
	z := newZones()
	began := time.Now()
	for i := range *compareSessions {
		sc := wide()
		if i%4 == 0 {
			sc = narrow()
		}
		x := sc.example(r)
		prefixes := i%5 == 0
		fails := func(x example) bool { return disagreement(t, z, x, prefixes) != "" }
		stuck := time.AfterFunc(20*time.Second, func() {
			panic(fmt.Sprintf("BUG: seed %d, session %d is not priced in 20 s:\n%s", seed, i, x.yaml()))
		})
		failed := fails(x)
		stuck.Stop()
		if failed {
			x = shrink(x, fails)
			t.Fatalf("seed %d, session %d: %s\n%s", seed, i, disagreement(t, z, x, prefixes), x.yaml())
		}
	}
	t.Logf("seed %d: %d sessions in %v", seed, *compareSessions, time.Since(began).Round(time.Millisecond))
}
