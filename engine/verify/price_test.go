package verify

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/oracle"
)

func TestMicros(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		if got, err := micros(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	f("0.000000", 0)
	f("12.345678", 12_345_678)
	f("-0.000001", -1)
	f("-3.000000", -3_000_000)
	if _, err := micros("99999999999999.000000"); err == nil {
		t.Error("an amount beyond int64 is no error")
	}
}

// TestShare: EXACTNESS 1 by big integers.
func TestShare(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 20_000 {
		n, whole := rnd.Int64N(1<<rnd.Int64N(60)+1), rnd.Int64N(1<<rnd.Int64N(50)+1)+1
		part := rnd.Int64N(whole + 1)
		want := new(big.Int).Mul(big.NewInt(2*part), big.NewInt(n))
		want.Add(want, big.NewInt(whole)).Div(want, big.NewInt(2*whole))
		if got := share(n, part, whole); got != want.Int64() {
			t.Fatalf("seed %d: share(%d, %d, %d) = %d, want %s", seed, n, part, whole, got, want)
		}
	}
}

func TestRegister(t *testing.T) {
	rs := []oracle.Reading{
		{AtMs: 100, RegisterMwh: 1000, HasRegister: true},
		{AtMs: 150, State: rating.StateIdle},
		{AtMs: 200, RegisterMwh: 1010, HasRegister: true},
		{AtMs: 200, RegisterMwh: 1020, HasRegister: true},
		{AtMs: 300, RegisterMwh: 1020, HasRegister: true},
	}
	for at, want := range map[int64]int64{50: 1000, 100: 1000, 104: 1000, 105: 1001, 150: 1005, 199: 1010, 200: 1020, 250: 1020, 300: 1020, 400: 1020} {
		if got := register(rs, at); got != want {
			t.Errorf("register at %d: %d, want %d", at, got, want)
		}
	}
}

// TestReadingsOfEvents: the states that the oracle gets are those that the engine's pricer was in.
func TestReadingsOfEvents(t *testing.T) {
	at := func(ms, reg int64, s rating.ChargeState) event {
		return event{reading: oracle.Reading{AtMs: ms, RegisterMwh: reg, HasRegister: true, State: s}}
	}
	change := func(ms int64, s rating.ChargeState) event {
		return event{reading: oracle.Reading{AtMs: ms, State: s}}
	}
	f := func(name string, events []event, want ...oracle.Reading) {
		t.Helper()
		if diff := cmp.Diff(want, readings(events)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	r := func(ms, reg int64, s rating.ChargeState) oracle.Reading { return at(ms, reg, s).reading }
	f("no state is charging", []event{at(1, 5, 0), at(2, 6, 0)}, r(1, 5, rating.StateCharging), r(2, 6, rating.StateCharging))
	f("a change", []event{at(1, 5, rating.StateCharging), change(2, rating.StateIdle), at(3, 6, 0)},
		r(1, 5, rating.StateCharging), change(2, rating.StateIdle).reading, r(3, 6, rating.StateIdle))
	f("a reservation does not come back", []event{at(1, 5, rating.StateReserved), at(2, 5, rating.StateCharging), at(3, 6, rating.StateReserved), at(4, 7, rating.StateReservationExpired)},
		r(1, 5, rating.StateReserved), r(2, 5, rating.StateCharging), r(3, 6, rating.StateCharging), r(4, 7, rating.StateCharging))
	f("nothing follows an expiry", []event{at(1, 5, rating.StateReserved), at(2, 5, rating.StateReserved), {expired: true, reading: oracle.Reading{AtMs: 9}}, at(10, 6, rating.StateCharging)},
		r(1, 5, rating.StateReservationExpired), r(9, 5, rating.StateReservationExpired), r(10, 6, rating.StateReservationExpired))
	f("an expiry that a reading tells", []event{at(1, 5, rating.StateReserved), at(7, 5, rating.StateReservationExpired)},
		r(1, 5, rating.StateReservationExpired), r(7, 5, rating.StateReservationExpired), r(7, 5, rating.StateReservationExpired))
}

// BenchmarkRun is all of a run but the network and the store; ns a session with its messages.
func BenchmarkRun(b *testing.B) {
	w := rated(b, 3)
	sessions := int64(0)
	for b.Loop() {
		r := w.verify(b, func(c *Config) { c.Workers = 1 })
		sessions += r.Sessions
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sessions), "ns/session")
}
