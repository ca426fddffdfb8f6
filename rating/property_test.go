package rating

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seeded gives a random source whose seed the test prints when it fails.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

func oneOf[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

// randomTariff has up to six elements of one or two restrictions each, with limits that randomSession meets.
func randomTariff(rnd *rand.Rand) *Tariff {
	t := tariffOf()
	rates := []int32{NoVAT, 0, 2100, 550}
	for range 1 + rnd.IntN(6) {
		e := Element{Restrictions: Unrestricted()}
		x := &e.Restrictions
		for range rnd.IntN(3) {
			switch rnd.IntN(8) {
			case 0:
				x.StartTimeMin, x.EndTimeMin = int32(rnd.IntN(1440)), oneOf(rnd, NoTimeOfDay, 0, 150, 180, 1290)
			case 1:
				x.Weekdays = uint8(1 + rnd.IntN(127))
			case 2:
				x.MinEnergyMwh = rnd.Int64N(30 * kwh)
			case 3:
				x.MaxEnergyMwh = oneOf(rnd, rnd.Int64N(30*kwh), rnd.Int64N(20))
			case 4:
				x.MinDurationMs = rnd.Int64N(20_000) * 1000
			case 5:
				x.MaxDurationMs = rnd.Int64N(20_000) * 1000
			case 6:
				x.MaxPowerMicroW = rnd.Int64N(22_000_000_000)
			case 7:
				x.MinCurrentNanoA = rnd.Int64N(32_000_000_000)
			}
		}
		x.Reservation = oneOf(rnd, NoReservation, NoReservation, NoReservation, ReservationUsed, ReservationExpires)
		for range 1 + rnd.IntN(4) {
			e.Components = append(e.Components, Component{
				Dimension: Dimension(rnd.IntN(int(NumDimensions))),
				PriceNano: rnd.Int64N(3*PriceScale) - PriceScale/3,
				VAT:       oneOf(rnd, rates...),
				StepSize:  oneOf[int64](rnd, 0, 1, 60, 900),
			})
		}
		t.Elements = append(t.Elements, e)
	}
	t.TaxIncluded = TaxIncluded(rnd.IntN(3))
	if rnd.IntN(3) == 0 {
		t.Min.ExclNano, t.Max.InclNano = rnd.Int64N(PriceScale), rnd.Int64N(20*PriceScale)
	}
	return t
}

// randomSession is Points near a clock change, some of one instant, some of one register.
func randomSession(rnd *rand.Rand) []Point {
	at := oneOf[int64](rnd, 1_711_828_800_000, 1_729_972_800_000, benchStart) + rnd.Int64N(20*hour)
	mwh, state := rnd.Int64N(1000*kwh), StateCharging
	if rnd.IntN(3) == 0 {
		state = StateReserved
	}
	var points []Point
	for range 2 + rnd.IntN(12) {
		pt := Point{AtMs: at, RegisterMwh: mwh, PowerMicroW: Unknown, CurrentNanoA: Unknown, State: state}
		if rnd.IntN(4) == 0 {
			pt.PowerMicroW, pt.CurrentNanoA = rnd.Int64N(22_000_000_000), rnd.Int64N(40_000_000_000)
		}
		points = append(points, pt)
		at += oneOf(rnd, 0, 1, rnd.Int64N(10), rnd.Int64N(10_000), rnd.Int64N(4*hour))
		if state != StateReserved {
			mwh += oneOf(rnd, 0, 1, rnd.Int64N(20), rnd.Int64N(20*kwh))
		}
		if state != StateReserved || rnd.IntN(2) == 0 {
			state = oneOf(rnd, StateCharging, StateCharging, StateSuspendedEV, StateSuspendedEVSE, StateIdle, StateUnchanged)
		}
		if state == StateUnchanged {
			state = points[len(points)-1].State
		}
	}
	return points
}

// price runs Points through a plan, with a hook after each.
func price(p *Plan, points []Point, sliceMs int64, after func(i int, s *State, rows []Charge)) priced {
	x := priced{plan: p}
	for i, pt := range points {
		if i == 0 {
			p.Start(&x.state, pt, sliceMs)
		} else {
			x.rows = p.Advance(&x.state, pt, nil, sliceMs, x.rows)
		}
		if after != nil {
			after(i, &x.state, x.rows)
		}
	}
	x.rows, x.total = p.Close(&x.state, x.rows)
	return x
}

// sessions runs f on random tariffs and sessions.
func sessions(t *testing.T, n int, f func(rnd *rand.Rand, p *Plan, points []Point) string) {
	t.Helper()
	rnd := seeded(t)
	zones := []string{"Europe/Amsterdam", "UTC", "Australia/Lord_Howe", "America/New_York"}
	loaded := make([]*Zone, len(zones))
	for i, name := range zones {
		z, err := LoadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		loaded[i] = z
	}
	for i := range n {
		tariff := randomTariff(rnd)
		p, err := Compile(tariff, oneOf(rnd, loaded...))
		if err != nil {
			t.Fatal(err)
		}
		points := randomSession(rnd)
		if d := f(rnd, p, points); d != "" {
			t.Fatalf("session %d in %s: %s\n%+v\n%+v", i, p.zone.Name(), d, tariff, points)
		}
	}
}

// TestPrefix is R2: at every Point the running price is that of the session that ends there, rows and all.
func TestPrefix(t *testing.T) {
	sessions(t, 3000, func(_ *rand.Rand, p *Plan, points []Point) (fault string) {
		price(p, points, 900_000, func(i int, s *State, _ []Charge) {
			now, accrued := p.PriceNow(s), p.Accrued(s)
			cut := price(p, points[:i+1], 900_000, nil)
			if d := cmp.Diff(cut.total, now); d != "" && fault == "" {
				fault = fmt.Sprintf("price now at %d:\n%s", i, d)
			}
			var usage int64
			for _, c := range cut.rows {
				if c.Kind == ChargeUsage {
					usage += c.InclMicros
				}
			}
			if usage != accrued.InclMicros && fault == "" {
				fault = fmt.Sprintf("accrued at %d is %d, the usage rows %d", i, accrued.InclMicros, usage)
			}
		})
		return fault
	})
}

// TestConservation is R1, and the shape of rows: they tile the session in order, one of a component in a slice
// of a period.
func TestConservation(t *testing.T) {
	sessions(t, 5000, func(rnd *rand.Rand, p *Plan, points []Point) string {
		slice := oneOf[int64](rnd, 0, 60_000, 900_000)
		x := price(p, points, slice, nil)
		checkSums(t, x)
		first := slices.IndexFunc(points, func(pt Point) bool { return pt.State != StateReserved })
		last := points[len(points)-1]
		if first >= 0 && x.total.EnergyMwh != last.RegisterMwh-points[first].RegisterMwh {
			return fmt.Sprintf("energy %d", x.total.EnergyMwh)
		}
		if x.total.ChargingMs+x.total.ParkingMs+x.total.ReservationMs != last.AtMs-points[0].AtMs {
			return fmt.Sprintf("time %+v", x.total)
		}
		type key struct {
			period         uint32
			from           int64
			dim            Dimension
			elem, comp     int16
			periodStart    int64
			energyOnlyTime int64
		}
		seen := map[key]bool{}
		at := points[0].AtMs
		for _, c := range x.rows {
			if c.Kind != ChargeUsage {
				continue
			}
			k := key{c.Period, c.FromMs, c.Dimension, c.Element, c.Component, c.PeriodStartMs, c.ToMs}
			if seen[k] {
				return fmt.Sprintf("two rows of %+v", k)
			}
			seen[k] = true
			if c.Dimension == Time || c.Dimension == ParkingTime {
				if c.FromMs != at || c.ToMs-c.FromMs != c.DurationMs {
					return fmt.Sprintf("row %+v does not begin at %d", c, at)
				}
				at = c.ToMs
				if slice > 0 && floorDiv(c.FromMs, slice) != floorDiv(c.ToMs-1, slice) {
					return fmt.Sprintf("row %+v is in two slices", c)
				}
			}
		}
		return ""
	})
}

// TestSlices is R5.
func TestSlices(t *testing.T) {
	sessions(t, 3000, func(rnd *rand.Rand, p *Plan, points []Point) string {
		whole := price(p, points, 0, nil)
		cut := price(p, points, oneOf[int64](rnd, 1000*60, 900_000, 7_777_777), nil)
		if d := cmp.Diff(whole.total, cut.total); d != "" {
			return d
		}
		if whole.state.Period != cut.state.Period || whole.state.LastSplit != cut.state.LastSplit {
			return "slices change periods"
		}
		return ""
	})
}

// TestLine is R3: a reading on the line between two others changes nothing, if it is whole mWh and has their
// state, power and current.
func TestLine(t *testing.T) {
	inserted := 0
	sessions(t, 5000, func(rnd *rand.Rand, p *Plan, points []Point) string {
		i := rnd.IntN(len(points) - 1)
		a, b := points[i], &points[i+1]
		k := 2 + rnd.Int64N(9)
		// Make the later register and time such that k equal parts are whole.
		if a.AtMs == b.AtMs || a.RegisterMwh == b.RegisterMwh {
			return ""
		}
		dt, dr := (b.AtMs-a.AtMs)*k, (b.RegisterMwh-a.RegisterMwh)*k
		for j := i + 1; j < len(points); j++ {
			points[j].AtMs += dt - dt/k
			points[j].RegisterMwh += dr - dr/k
		}
		part := 1 + rnd.Int64N(k-1)
		mid := a
		mid.AtMs += dt / k * part
		mid.RegisterMwh += dr / k * part
		inserted++
		without := price(p, points, 900_000, nil)
		with := price(p, slices.Insert(slices.Clone(points), i+1, mid), 900_000, nil)
		if d := cmp.Diff(without.total, with.total); d != "" {
			return fmt.Sprintf("with %+v:\n%s", mid, d)
		}
		return ""
	})
	if inserted < 500 {
		t.Errorf("only %d sessions had a line", inserted)
	}
}

// TestChange says that a change of state without a register is a cut on the line: as a Point there, where the
// line is whole.
func TestChange(t *testing.T) {
	rnd := seeded(t)
	p := mustPlan(t, simpleTariff(), "UTC")
	for range 2000 {
		seconds := 2 + rnd.Int64N(3000)
		cut := 1 + rnd.Int64N(seconds-1)
		state := oneOf(rnd, StateSuspendedEV, StateSuspendedEVSE, StateIdle)
		start := Point{AtMs: benchStart, PowerMicroW: Unknown, CurrentNanoA: Unknown, State: StateCharging}
		end := start
		end.AtMs, end.RegisterMwh, end.State = benchStart+seconds*1000, seconds*3000, StateUnchanged
		mid := start
		mid.AtMs, mid.RegisterMwh, mid.State = benchStart+cut*1000, cut*3000, state

		want := price(p, []Point{start, mid, end}, 900_000, nil)
		got := priced{plan: p}
		p.Start(&got.state, start, 900_000)
		got.rows = p.Advance(&got.state, end, []Change{{AtMs: mid.AtMs, State: state}}, 900_000, nil)
		got.rows, got.total = p.Close(&got.state, got.rows)
		if d := cmp.Diff(want.total, got.total); d != "" {
			t.Fatal(d)
		}
		if got.state.Charge != state {
			t.Fatalf("state is %d, want %d", got.state.Charge, state)
		}
	}
}

// TestExpire says that expiry costs what the same reservation costs that is known to expire, and takes back
// all rows so far.
func TestExpire(t *testing.T) {
	rnd := seeded(t)
	for i := range 2000 {
		tariff := randomTariff(rnd)
		for i := range tariff.Elements { // a reservation that is not metered
			x := &tariff.Elements[i].Restrictions
			x.MaxPowerMicroW, x.MinCurrentNanoA = NoLimit, NoLimit
		}
		tariff.TaxIncluded = TaxIncludedNo
		p := mustPlan(t, tariff, "Europe/Amsterdam")
		at := benchStart + rnd.Int64N(24*hour)
		points := []Point{{AtMs: at, State: StateReserved}, {AtMs: at + rnd.Int64N(5*hour), State: StateReserved}}
		end := points[1].AtMs + rnd.Int64N(hour)

		got := priced{plan: p}
		p.Start(&got.state, points[0], 900_000)
		got.rows = p.Advance(&got.state, points[1], nil, 900_000, nil)
		if i%2 == 0 {
			got.rows = p.Expire(&got.state, end, got.rows)
		} else {
			got.rows = p.Advance(&got.state, Point{AtMs: end, State: StateReservationExpired}, nil, 900_000, got.rows)
		}
		got.rows, got.total = p.Close(&got.state, got.rows)
		checkSums(t, got)

		expired := []Point{{AtMs: at, State: StateReservationExpired}, {AtMs: end, State: StateIdle}}
		want := price(p, expired, 900_000, nil)
		if d := cmp.Diff(want.total, got.total); d != "" {
			t.Fatalf("%s\n%+v", d, tariff)
		}
		if g, w := got.bill(9), want.bill(9); g != w {
			t.Fatalf("bill %s, want %s", g, w)
		}
		if t.Failed() {
			t.Fatalf("%+v\n%+v", tariff, got.rows)
		}
	}
}

// TestNoAllocations is R7.
func TestNoAllocations(t *testing.T) {
	for _, c := range []struct {
		name            string
		tariff          *Tariff
		stepMs, sliceMs int64
	}{
		{"quiet", simpleTariff(), 1000, 0},
		{"rows close", simpleTariff(), 60_000, 60_000},
		{"boundaries", hourlyTariff(), hour, 900_000},
		{"power", powerTariff(), 60_000, 900_000},
	} {
		p := mustPlan(t, c.tariff, "Europe/Amsterdam")
		var s State
		out := make([]Charge, 0, 64)
		pt := Point{AtMs: benchStart, PowerMicroW: Unknown, CurrentNanoA: Unknown, State: StateCharging}
		p.Start(&s, pt, c.sliceMs)
		if n := testing.AllocsPerRun(1000, func() {
			pt.AtMs += c.stepMs
			pt.RegisterMwh += c.stepMs * 3
			out = p.Advance(&s, pt, nil, c.sliceMs, out[:0])
			p.PriceNow(&s)
			p.Accrued(&s)
		}); n != 0 {
			t.Errorf("%s: %v allocations a reading", c.name, n)
		}
		if n := testing.AllocsPerRun(100, func() {
			one := s
			out, _ = p.Close(&one, out[:0])
		}); n != 0 {
			t.Errorf("%s: %v allocations a close", c.name, n)
		}
	}
}

// TestInterval holds the two formulas of the line against each other: reach is the first millisecond whose
// register is x or more.
func TestInterval(t *testing.T) {
	rnd := seeded(t)
	for range 20_000 {
		iv := interval{t0: rnd.Int64N(1000) - 500, r0: rnd.Int64N(1000) - 500}
		iv.t1 = iv.t0 + 1 + rnd.Int64N(oneOf[int64](rnd, 3, 50, 1<<50))
		iv.r1 = iv.r0 + 1 + rnd.Int64N(oneOf[int64](rnd, 3, 50, 1<<60))
		x := iv.r0 + 1 + rnd.Int64N(iv.r1-iv.r0)
		at := iv.reach(x)
		if at <= iv.t0 || at > iv.t1 || iv.at(at) < x || iv.at(at-1) >= x {
			t.Fatalf("%+v reaches %d at %d: %d, %d before", iv, x, at, iv.at(at), iv.at(at-1))
		}
		if iv.at(iv.t0) != iv.r0 || iv.at(iv.t1) != iv.r1 {
			t.Fatalf("%+v does not end at its ends", iv)
		}
	}
}

// TestExpireKeepsUnknown says that NULL rows stay NULL: an expiry can not make known what rows left open.
func TestExpireKeepsUnknown(t *testing.T) {
	tariff := tariffOf(el(pc(Time, 6000, NoVAT, 0), reserved(ReservationUsed)), el(pc(Time, 12_100, 2100, 0), reserved(ReservationExpires)))
	tariff.TaxIncluded = TaxIncludedYes
	p := mustPlan(t, tariff, "UTC")
	var s State
	p.Start(&s, Point{AtMs: benchStart, State: StateReserved}, 0)
	rows := p.Expire(&s, benchStart+hour, p.Advance(&s, Point{AtMs: benchStart + hour, State: StateReserved}, nil, 0, nil))
	rows, total := p.Close(&s, rows)
	// The used reservation is taken back, 1 h of 12.1 with tax stays.
	if !total.ExclUnknown || total.InclMicros != 12_100_000 {
		t.Errorf("total %+v", total)
	}
	want := []int64{6_000_000, -6_000_000, 12_100_000}
	for i, c := range rows {
		if i >= len(want) || c.InclMicros != want[i] || !c.ExclUnknown || c.ExclMicros != 0 {
			t.Errorf("row %d: %+v", i, c)
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d rows", len(rows))
	}
}
