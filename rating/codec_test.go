package rating

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// goldenState is a session in the middle: reservation, clock cut, open row, tax without VAT.
func goldenState(t testing.TB) (*Plan, State) {
	tariff := tariffOf(
		el(append(pc(Flat, 500, NoVAT, 0), pc(Time, 60_000, 550, 60)...), reserved(ReservationUsed)),
		el(append(pc(Energy, 300, 2100, 1), pc(ParkingTime, 4000, 2100, 300)...), hours(0, 12*60)),
		el(append(pc(Energy, 250, 2100, 1), pc(ParkingTime, 3000, 2100, 300)...), watts(NoLimit, 50_000)))
	tariff.TaxIncluded = TaxIncludedYes
	p := mustPlan(t, tariff, "Europe/Amsterdam")
	var s State
	for i, x := range []r{
		{at: "T09:00:00", mwh: 7 * kwh, state: StateReserved},
		{at: "T09:15:30", mwh: 7 * kwh, state: StateCharging},
		{at: "T10:45:00", mwh: 19 * kwh, state: StateSuspendedEV, watt: 11_000},
		{at: "T11:30:00", mwh: 19*kwh + 123_457, state: StateIdle},
	} {
		if i == 0 {
			p.Start(&s, x.point(t), 900_000)
			continue
		}
		p.Advance(&s, x.point(t), nil, 900_000, nil)
	}
	return p, s
}

// TestStateBytes holds the format of version 1: a change of these bytes is a new version with a new page.
func TestStateBytes(t *testing.T) {
	p, s := goldenState(t)
	got := AppendState([]byte("before"), &s)
	want, err := os.ReadFile("testdata/state-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	if g := hex.EncodeToString(got[len("before"):]); g != strings.Join(strings.Fields(string(want)), "") {
		t.Errorf("state is\n%s", g)
	}
	if len(got) != len("before")+StateBytes {
		t.Errorf("%d bytes, StateBytes is %d", len(got), StateBytes)
	}
	var back State
	rest, err := DecodeState(append(got[len("before"):], "after"...), &back)
	if err != nil || string(rest) != "after" || back != s {
		t.Errorf("decoded %+v, rest %q, error %v\nwant %+v", back, rest, err, s)
	}
	if err := p.Fits(&back); err != nil {
		t.Error(err)
	}
	if size := unsafe.Sizeof(s); size != 224 {
		t.Errorf("a State has %d bytes: docs and the engine's slab say 224", size)
	}
}

func TestDecodeStateRefuses(t *testing.T) {
	_, s := goldenState(t)
	good := AppendState(nil, &s)
	f := func(name string, change func(b []byte, s *State) []byte) {
		t.Helper()
		bad := s
		b := change(append([]byte(nil), good...), &bad)
		if b == nil {
			b = AppendState(nil, &bad)
		}
		var got State
		if _, err := DecodeState(b, &got); !errors.Is(err, ErrState) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	f("short", func(b []byte, _ *State) []byte { return b[:len(b)-1] })
	f("version", func(b []byte, _ *State) []byte { b[0] = 2; return b })
	f("state", func(_ []byte, s *State) []byte { s.Charge = 7; return nil })
	f("no state", func(_ []byte, s *State) []byte { s.Charge = StateUnchanged; return nil })
	f("split", func(_ []byte, s *State) []byte { s.LastSplit = 7; return nil })
	f("phase", func(_ []byte, s *State) []byte { s.openPhase = numPhases; return nil })
	f("next time", func(_ []byte, s *State) []byte { s.NextMs = s.LastMs - 1; return nil })
	f("next register", func(_ []byte, s *State) []byte { s.NextMwh = s.LastMwh - 1; return nil })
	f("time order", func(_ []byte, s *State) []byte { s.StartMs = s.FirstMs - 1; return nil })
	f("register order", func(_ []byte, s *State) []byte { s.rowMwh = s.LastMwh + 1; return nil })
	f("negative", func(_ []byte, s *State) []byte { s.pricedMs = -1; return nil })
	f("range", func(_ []byte, s *State) []byte { s.LastMs, s.NextMs = MaxAtMs+1, maxInt64; return nil })
	f("register range", func(_ []byte, s *State) []byte { s.LastMwh, s.NextMwh = MaxRegisterMwh+1, maxInt64; return nil })
}

func TestFits(t *testing.T) {
	p, s := goldenState(t)
	f := func(change func(s *State), fits bool) {
		t.Helper()
		other := s
		change(&other)
		if err := p.Fits(&other); (err == nil) != fits {
			t.Errorf("error %v", err)
		}
	}
	f(func(*State) {}, true)
	f(func(s *State) { s.energyComp = int16(len(p.comps)) }, false)
	f(func(s *State) { s.energyComp = -2 }, false)
	f(func(s *State) { s.flatComp = s.energyComp }, false)
	f(func(s *State) { s.timeComp = s.energyComp }, false)
	f(func(s *State) { s.lastReservation = s.lastPricedMs }, false)
}

// FuzzDecodeState: what is decoded is encoded to the same bytes, and what fits a plan can be priced by it.
func FuzzDecodeState(f *testing.F) {
	p, s := goldenState(f)
	f.Add(AppendState(nil, &s))
	var fresh State
	p.Start(&fresh, Point{AtMs: benchStart, State: StateReserved}, 0)
	f.Add(AppendState(nil, &fresh))
	f.Add([]byte{stateVersion})
	f.Fuzz(func(t *testing.T, src []byte) {
		var s State
		rest, err := DecodeState(src, &s)
		if err != nil {
			return
		}
		if got := AppendState(nil, &s); string(got) != string(src[:len(src)-len(rest)]) {
			t.Fatalf("%x was encoded as %x", src, got)
		}
		if p.Fits(&s) != nil {
			return
		}
		p.PriceNow(&s)
		pt := Point{AtMs: min(s.LastMs+hour, MaxAtMs), RegisterMwh: min(s.LastMwh+kwh, MaxRegisterMwh), State: StateIdle}
		p.Close(&s, p.Advance(&s, pt, nil, 0, nil))
	})
}
