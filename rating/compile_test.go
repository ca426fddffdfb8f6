package rating

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wattline/wattline/rating/money"
)

// TestCompileRefuses has a case for everything that can not be represented, with its path.
func TestCompileRefuses(t *testing.T) {
	f := func(path string, change func(t *Tariff)) {
		t.Helper()
		tariff := tariffOf(el(pc(Energy, 1000, NoVAT, 1)), el(pc(Energy, 1000, 2100, 1)))
		change(tariff)
		z, err := LoadZone("UTC")
		if err != nil {
			t.Fatal(err)
		}
		_, err = Compile(tariff, z)
		if !errors.Is(err, ErrTariff) || !strings.Contains(err.Error(), path) {
			t.Errorf("want a fault at %s, got %v", path, err)
		}
	}
	f("tax_included", func(t *Tariff) { t.TaxIncluded = 3 })
	f("min_price excl", func(t *Tariff) { t.Min.ExclNano = MaxPriceNano + 1 })
	f("min_price incl", func(t *Tariff) { t.Min.InclNano = -MaxPriceNano - 1 })
	f("max_price excl", func(t *Tariff) { t.Max.ExclNano = MaxPriceNano + 1 })
	f("max_price incl", func(t *Tariff) { t.Max.InclNano = MaxPriceNano + 1 })
	component := func(path string, change func(c *Component)) {
		t.Helper()
		f("elements[1].price_components[0].", func(t *Tariff) { change(&t.Elements[1].Components[0]) })
		f(path, func(t *Tariff) { change(&t.Elements[1].Components[0]) })
	}
	component("type", func(c *Component) { c.Dimension = NumDimensions })
	component("price", func(c *Component) { c.PriceNano = MaxPriceNano + 1 })
	component("price", func(c *Component) { c.PriceNano = -1 << 63 })
	component("vat", func(c *Component) { c.VAT = -2 })
	component("vat", func(c *Component) { c.VAT = MaxVAT + 1 })
	component("step_size", func(c *Component) { c.StepSize = -1 })
	component("step_size", func(c *Component) { c.StepSize = maxStep + 1 })
	restriction := func(path string, change func(x *Restrictions)) {
		t.Helper()
		f("elements[1].restrictions.", func(t *Tariff) { change(&t.Elements[1].Restrictions) })
		f(path, func(t *Tariff) { change(&t.Elements[1].Restrictions) })
	}
	restriction("start_time", func(x *Restrictions) { x.StartTimeMin = 1440 })
	restriction("end_time", func(x *Restrictions) { x.EndTimeMin = -2 })
	restriction("min_kwh", func(x *Restrictions) { x.MinEnergyMwh = -2 })
	restriction("max_kwh", func(x *Restrictions) { x.MaxEnergyMwh = MaxRegisterMwh + 1 })
	restriction("min_current", func(x *Restrictions) { x.MinCurrentNanoA = -2 })
	restriction("max_power", func(x *Restrictions) { x.MaxPowerMicroW = -2 })
	restriction("min_duration", func(x *Restrictions) { x.MinDurationMs = maxDurationMs + 1 })
	restriction("max_duration", func(x *Restrictions) { x.MaxDurationMs = -2 })
	restriction("day_of_week", func(x *Restrictions) { x.Weekdays = 0 })
	restriction("day_of_week", func(x *Restrictions) { x.Weekdays = 0x80 })
	restriction("reservation", func(x *Restrictions) { x.Reservation = 3 })
	f("VAT rates", func(t *Tariff) {
		for _, vat := range []int32{0, 900, 550} { // with none and 21 % that is five
			t.Elements = append(t.Elements, el(pc(Time, 1, vat, 0)))
		}
	})
	f("more than", func(t *Tariff) { t.Elements = make([]Element, maxComponents+1); fill(t.Elements) })
}

func fill(elements []Element) {
	for i := range elements {
		elements[i].Restrictions = Unrestricted()
	}
}

// TestTaxes holds the 128-bit settlement against math/big, over rates and costs of every size.
func TestTaxes(t *testing.T) {
	rnd := seeded(t)
	randomCost := func() money.Int128 {
		x := money.Mul64(rnd.Int64()>>rnd.IntN(60), rnd.Int64()>>rnd.IntN(40)) // below 2^126
		if rnd.IntN(3) == 0 {
			x = x.Neg()
		}
		return money.Int128{Hi: x.Hi >> 10, Lo: x.Lo} // result below 2^62 micros is not sure: see fits
	}
	fitted := 0
	for range 100_000 {
		var rates []int32
		for range rnd.IntN(MaxVATRates + 1) {
			rates = append(rates, oneOf(rnd, NoVAT, 0, rnd.Int32N(2500), rnd.Int32N(MaxVAT+1), MaxVAT))
		}
		tax := newTaxes(TaxIncluded(rnd.IntN(3)), rates)
		var c costs
		for v := range tax.n {
			c[v] = randomCost()
		}
		excl, incl, fits := tax.micros(&c)
		e, i := tax.exact(&c)
		wantExcl, wantIncl := roundedMicros(e), roundedMicros(i)
		bound := big.NewInt(maxAmount)
		if wantFits := wantExcl.CmpAbs(bound) <= 0 && wantIncl.CmpAbs(bound) <= 0; fits != wantFits {
			t.Fatalf("fits is %v for %s %s", fits, wantExcl, wantIncl)
		}
		if fits {
			fitted++
			if excl != wantExcl.Int64() || incl != wantIncl.Int64() {
				t.Fatalf("%+v of %v: %d %d, want %s %s", c, tax, excl, incl, wantExcl, wantIncl)
			}
		}
	}
	if fitted < 10_000 {
		t.Errorf("only %d costs fitted", fitted)
	}
}

func roundedMicros(f fraction) *big.Int {
	return money.RoundBig(new(big.Int).Mul(f.num, big.NewInt(1_000_000)), f.den)
}

// TestOverflow says that what does not fit is held and told, and that the greatest session is computed right.
func TestOverflow(t *testing.T) {
	z, err := LoadZone("UTC")
	if err != nil {
		t.Fatal(err)
	}
	tariff := tariffOf(Element{Restrictions: Unrestricted(), Components: []Component{{Dimension: Energy, PriceNano: MaxPriceNano, VAT: MaxVAT}}})
	p, err := Compile(tariff, z)
	if err != nil {
		t.Fatal(err)
	}
	var s State
	p.Start(&s, Point{AtMs: -MaxAtMs, RegisterMwh: -MaxRegisterMwh, State: StateCharging}, 0)
	p.Advance(&s, Point{AtMs: MaxAtMs, RegisterMwh: MaxRegisterMwh, State: StateCharging}, nil, 0, nil)
	rows, total := p.Close(&s, nil)
	if !total.Overflow || total.ExclMicros != maxAmount || total.InclMicros != maxAmount || rows[0].InclMicros != maxAmount {
		t.Errorf("total %+v", total)
	}
	// 2^61 mWh * 1e8 per kWh = 2^61 * 100 units; with 10,000 % on top 101 times that.
	units := new(big.Int).Mul(new(big.Int).Lsh(big.NewInt(1), 61), big.NewInt(100))
	if excl, _, incl := p.ExactBill(&s, 0); excl != units.String() || incl != units.Mul(units, big.NewInt(101)).String() {
		t.Errorf("bill %s %s", excl, incl)
	}
}

// TestBugs says that what the caller must never do is not priced.
func TestBugs(t *testing.T) {
	p := mustPlan(t, simpleTariff(), "UTC")
	f := func(name string, do func(s *State)) {
		t.Helper()
		defer func() {
			if got, _ := recover().(string); !strings.HasPrefix(got, "BUG: ") {
				t.Errorf("%s: %q", name, got)
			}
		}()
		var s State
		p.Start(&s, Point{AtMs: benchStart, RegisterMwh: kwh, State: StateCharging}, 0)
		p.Advance(&s, Point{AtMs: benchStart + hour, RegisterMwh: 2 * kwh}, nil, 0, nil)
		do(&s)
	}
	f("time back", func(s *State) { p.Advance(s, Point{AtMs: benchStart, RegisterMwh: 2 * kwh}, nil, 0, nil) })
	f("register back", func(s *State) { p.Advance(s, Point{AtMs: benchStart + hour, RegisterMwh: kwh}, nil, 0, nil) })
	f("time range", func(s *State) { p.Advance(s, Point{AtMs: MaxAtMs + 1, RegisterMwh: 2 * kwh}, nil, 0, nil) })
	f("register range", func(s *State) {
		p.Advance(s, Point{AtMs: benchStart + hour, RegisterMwh: MaxRegisterMwh + 1}, nil, 0, nil)
	})
	f("expiry of a session", func(s *State) { p.Expire(s, benchStart+hour, nil) })
}

// TestMeanClass holds the cross multiplication against fractions.
func TestMeanClass(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 20_000 {
		var thresholds []int64
		for range rnd.IntN(5) {
			thresholds = insert(thresholds, rnd.Int64()>>rnd.IntN(63))
		}
		energy, time := rnd.Uint64()>>(3+rnd.IntN(60)), 1+rnd.Uint64()>>(10+rnd.IntN(50))
		watts := new(big.Rat).SetFrac(
			new(big.Int).Mul(new(big.Int).SetUint64(energy), big.NewInt(3_600_000_000)), new(big.Int).SetUint64(time))
		want := uint16(0)
		for _, th := range thresholds {
			if watts.Cmp(new(big.Rat).SetInt64(th)) >= 0 {
				want++
			}
		}
		if got := meanClass(thresholds, energy, time); got != want {
			t.Fatalf("%d mWh in %d ms: class %d of %v, want %d", energy, time, got, thresholds, want)
		}
	}
}
