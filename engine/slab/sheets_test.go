package slab

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wattline/wattline/engine/snapshot"
)

// TestSheets holds sheets against lists, through everything that happens to them.
func TestSheets(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		s := NewSheets()
		s.most = 200
		type known struct {
			periods []snapshot.Period
			trimmed bool
		}
		want := map[uint32]*known{}
		total := func() (n int) {
			for _, k := range want {
				n += len(k.periods)
			}
			return n
		}
		some := func() uint32 {
			list := make([]uint32, 0, len(want))
			for i := range want {
				list = append(list, i)
			}
			slices.Sort(list)
			return list[rnd.IntN(len(list))]
		}
		for step := range 2000 {
			switch op := rnd.IntN(20); {
			case op == 0 || len(want) == 0:
				i := s.Take()
				if want[i] != nil {
					t.Fatalf("seed %d, step %d: sheet %d is taken twice", seed, step, i)
				}
				want[i] = &known{}
			case op == 1:
				i := some()
				s.Free(i)
				delete(want, i)
			case op == 2:
				i := some()
				s.Clear(i)
				want[i].periods = nil
			default:
				i := some()
				k := want[i]
				p := snapshot.NewPeriod(int64(step), snapshot.Phase(rnd.IntN(3)))
				room := !k.trimmed && total() < 200
				got := s.Push(i, p)
				if got != nil != room {
					t.Fatalf("seed %d, step %d: a period is taken %v, want %v", seed, step, got != nil, room)
				}
				if !room {
					k.periods, k.trimmed = nil, true
					break
				}
				got.Add(int64(step))
				p.Add(int64(step))
				k.periods = append(k.periods, p)
			}
			for i, k := range want {
				if got := s.AppendPeriods(nil, i); !slices.Equal(got, k.periods) || int(s.At(i).Periods) != len(got) {
					t.Fatalf("seed %d, step %d: sheet %d has %v, want %v", seed, step, i, got, k.periods)
				}
				if trimmed := s.At(i).Flags&snapshot.SheetTrimmed != 0; trimmed != k.trimmed {
					t.Fatalf("seed %d, step %d: sheet %d trimmed %v, want %v", seed, step, i, trimmed, k.trimmed)
				}
			}
		}
	}
}

// TestSheetsFull: a session has so many periods, and not one more.
func TestSheetsFull(t *testing.T) {
	s := NewSheets()
	i := s.Take()
	for n := range MaxPeriods {
		if s.Push(i, snapshot.NewPeriod(int64(n), 0)) == nil {
			t.Fatalf("period %d has no room", n)
		}
	}
	if s.Push(i, snapshot.NewPeriod(0, 0)) != nil || s.At(i).Periods != 0 || s.At(i).Flags != snapshot.SheetTrimmed {
		t.Errorf("one too many leaves %+v", s.At(i))
	}
}

// TestSheetsFill: what was filled is as it was.
func TestSheetsFill(t *testing.T) {
	var sheets []snapshot.Sheet
	var periods []snapshot.Period
	for n := range 40 {
		x := snapshot.Sheet{Last: uint32(n), Periods: uint32(n % 17)}
		x.Costs[snapshot.CostEnergy] = snapshot.Cost{Excl: int64(n), Incl: 2}
		if n%7 == 6 {
			x.Periods, x.Flags = 0, snapshot.SheetTrimmed
		}
		for p := range x.Periods {
			periods = append(periods, snapshot.NewPeriod(int64(p), snapshot.PhaseParking))
		}
		sheets = append(sheets, x)
	}
	s := NewSheets()
	s.Fill(sheets, periods)
	var got []snapshot.Period
	for i := range sheets {
		if *s.At(uint32(i)) != sheets[i] {
			t.Errorf("sheet %d is %+v, want %+v", i, *s.At(uint32(i)), sheets[i])
		}
		got = s.AppendPeriods(got, uint32(i))
	}
	if !slices.Equal(got, periods) || s.periods != len(periods) {
		t.Errorf("%d periods, want %d", len(got), len(periods))
	}
}
