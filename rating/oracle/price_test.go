package oracle

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
)

func fraction(a, b int64) *big.Rat { return big.NewRat(a, b) }

// literally cuts an interval as EXACTNESS 2 states the rule, not as it says how to follow it: each millisecond is a
// period of its own, priced by the situation at its beginning; only its energy is split at every kWh limit.
func (s *session) literally(interval []Reading) []piece {
	a, b := interval[0], interval[len(interval)-1]
	common := piece{power: power(a, b), current: known(a.CurrentNanoA)}
	limits := s.energyCuts(a, b)
	if a.AtMs == b.AtMs {
		return s.withoutTime(interval, common, limits)
	}
	var pieces []piece
	for t := a.AtMs; t < b.AtMs; t++ {
		p := common
		p.fromMs, p.toMs, p.askedAtMs = t, t+1, t
		p.state = stateAt(interval, t)
		p.fromMwh = registerAt(a, b, t)
		end := registerAt(a, b, t+1)
		for _, x := range limits {
			if p.fromMwh < x && x < end {
				p.toMwh = x
				pieces = append(pieces, p)
				p.fromMwh, p.fromMs = x, t+1 // the time went with the part before
			}
		}
		p.toMwh = end
		pieces = append(pieces, p)
	}
	return pieces
}

// TestLiteral prices short sessions millisecond by millisecond and demands the same lines.
func TestLiteral(t *testing.T) {
	r := newRand(t)
	sc := narrow()
	z, billed := newZones(), 0
	for range 500 {
		x := sc.example(r)
		fails := func(x example) bool {
			quick, literal := twoBills(t, z, x)
			return cmp.Diff(quick.Lines, literal.Lines) != ""
		}
		if fails(x) {
			x = shrink(x, fails)
			quick, literal := twoBills(t, z, x)
			t.Fatalf("cut (-) and literal (+) differ:\n%s\n%s", cmp.Diff(quick.Lines, literal.Lines), x.yaml())
		}
		quick, _ := twoBills(t, z, x)
		billed += len(quick.Lines)
	}
	if billed < 500 {
		t.Fatalf("only %d lines were billed: the test says little", billed)
	}
}

func twoBills(t *testing.T, z *zones, x example) (quick, literal *Bill) {
	t.Helper()
	_, zone := z.load(t, x.zone)
	quick, err := Price(x.tariff, zone, x.readings)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{tariff: x.tariff, zone: zone, bill: &Bill{tariff: x.tariff}}
	s.findStart(x.readings)
	for first := 0; first < len(x.readings)-1; {
		last := first + 1
		for !x.readings[last].HasRegister {
			last++
		}
		for _, p := range s.literally(x.readings[first : last+1]) {
			s.pricePiece(p)
		}
		first = last
	}
	s.stepSizes()
	s.bill.settle()
	for _, b := range []*Bill{quick, s.bill} {
		for i := range b.Lines {
			if l := &b.Lines[i]; l.Dimension == rating.Energy {
				l.FromMs, l.ToMs = 0, 0 // a line may or may not include milliseconds without energy at its ends
			}
		}
		// Only the order within a dimension says anything.
		slices.SortStableFunc(b.Lines, func(l, m Line) int { return int(l.Dimension) - int(m.Dimension) })
	}
	return quick, s.bill
}

// TestFirstMsAt holds the closed formula of EXACTNESS 2 against a search by R(t).
func TestFirstMsAt(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 3000 {
		a := Reading{AtMs: r.Int64N(50), RegisterMwh: r.Int64N(40)}
		b := Reading{AtMs: a.AtMs + 1 + r.Int64N(60), RegisterMwh: a.RegisterMwh + 1 + r.Int64N(90)}
		x := a.RegisterMwh + 1 + r.Int64N(b.RegisterMwh-a.RegisterMwh)
		want := a.AtMs
		for registerAt(a, b, want) < x {
			want++
		}
		if got := firstMsAt(a, b, x); got != want {
			t.Fatalf("firstMsAt(%+v, %+v, %d) = %d, want %d", a, b, x, got, want)
		}
	}
}

func TestRound(t *testing.T) {
	f := func(n, d int64, decimals int, want string) {
		t.Helper()
		if got := Round(fraction(n, d), decimals); got != want {
			t.Errorf("Round(%d/%d, %d) = %q, want %q", n, d, decimals, got, want)
		}
	}
	f(1, 3, 6, "0.333333")
	f(2, 3, 6, "0.666667")
	f(5, 10, 0, "1")    // a tie goes up
	f(-5, 10, 0, "0")   // also below zero, and zero has no sign
	f(-15, 10, 0, "-1") // toward +infinity
	f(-16, 10, 0, "-2")
	f(1, 8, 2, "0.13")
	f(-1, 8, 2, "-0.12")
	f(0, 1, 3, "0.000")
}

func TestPriceRefuses(t *testing.T) {
	tariff := &rating.Tariff{Elements: []rating.Element{{Components: []rating.Component{{}}, Restrictions: wide().restrictions(rand.New(rand.NewPCG(1, 1)))}}}
	f := func(readings ...Reading) {
		t.Helper()
		if _, err := Price(tariff, time.UTC, readings); !errors.Is(err, ErrReadings) {
			t.Errorf("%+v: %v, want ErrReadings", readings, err)
		}
	}
	on := func(at, register int64) Reading {
		return Reading{AtMs: at, RegisterMwh: register, HasRegister: true, State: rating.StateCharging}
	}
	f()
	f(on(5, 0), on(4, 0))
	f(on(5, 2), on(6, 1))
	f(Reading{State: rating.StateIdle}, on(6, 1))
	f(on(1, 1), Reading{AtMs: 2, State: rating.StateIdle})
	f(on(1, 1), Reading{AtMs: 2, HasRegister: true, RegisterMwh: 1})
}

// TestChangeOfState: a change without a register is a cut on the line, and the power stays that of the interval.
func TestChangeOfState(t *testing.T) {
	tariff := sessionTariff(rating.Time, 1_000_000_000, rating.ParkingTime, 2_000_000_000)
	readings := []Reading{
		{AtMs: 0, HasRegister: true, State: rating.StateCharging, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown},
		{AtMs: 1_800_000, State: rating.StateSuspendedEV},
		{AtMs: 3_600_000, HasRegister: true, RegisterMwh: 3, State: rating.StateIdle},
	}
	bill, err := Price(tariff, time.UTC, readings)
	if err != nil {
		t.Fatal(err)
	}
	if got := bill.InclText(2); got != "1.50" || bill.ChargingMs != 1_800_000 || bill.ParkingMs != 1_800_000 {
		t.Errorf("got %s, %d ms, %d ms", got, bill.ChargingMs, bill.ParkingMs)
	}
}

// sessionTariff has one unrestricted element with two components without VAT.
func sessionTariff(d1 rating.Dimension, p1 int64, d2 rating.Dimension, p2 int64) *rating.Tariff {
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	return &rating.Tariff{Min: none, Max: none, Elements: []rating.Element{{
		Components: []rating.Component{{Dimension: d1, PriceNano: p1, VAT: rating.NoVAT}, {Dimension: d2, PriceNano: p2, VAT: rating.NoVAT}},
		Restrictions: rating.Restrictions{
			StartTimeMin: rating.NoTimeOfDay, EndTimeMin: rating.NoTimeOfDay, StartDate: rating.NoDate, EndDate: rating.NoDate,
			MinEnergyMwh: rating.NoLimit, MaxEnergyMwh: rating.NoLimit, MinCurrentNanoA: rating.NoLimit, MaxCurrentNanoA: rating.NoLimit,
			MinPowerMicroW: rating.NoLimit, MaxPowerMicroW: rating.NoLimit, MinDurationMs: rating.NoLimit, MaxDurationMs: rating.NoLimit,
			Weekdays: rating.EveryWeekday,
		},
	}}}
}
