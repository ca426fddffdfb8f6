package slab

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
)

// TestAhead: whatever order the work ends in, it is taken in the order that it was given in, and no more is under way
// than may be.
func TestAhead(t *testing.T) {
	const n, most = 2_000, 7
	var under, peak atomic.Int64
	var got []int
	a := Ahead[int, int]{
		Most: most,
		Work: func(i int) int {
			peak.Store(max(peak.Load(), under.Add(1)))
			for range rand.IntN(5) {
				runtime.Gosched()
			}
			under.Add(-1)
			return i * 3
		},
		Take: func(i int) error { got = append(got, i); return nil },
	}
	for i := range n {
		if err := a.Give(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Rest(); err != nil {
		t.Fatal(err)
	}
	if len(got) != n || !slices.IsSorted(got) || got[n-1] != 3*(n-1) {
		t.Errorf("%d taken, sorted %v", len(got), slices.IsSorted(got))
	}
	if peak.Load() > most {
		t.Errorf("%d under way, at most %d", peak.Load(), most)
	}
}

// TestAheadFails: nothing is taken behind an error.
func TestAheadFails(t *testing.T) {
	broken := errors.New("broken")
	var got []int
	a := Ahead[int, int]{Most: 2, Work: func(i int) int { return i }, Take: func(i int) error {
		if i == 3 {
			return broken
		}
		got = append(got, i)
		return nil
	}}
	var err error
	for i := 0; err == nil; i++ {
		err = a.Give(i)
	}
	if !errors.Is(err, broken) || !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("got %v, %v", got, err)
	}
	last := Ahead[int, int]{Work: a.Work, Take: a.Take, Most: 9}
	if err := errors.Join(last.Give(3), last.Give(4)); err != nil {
		t.Fatal(err)
	}
	if err := last.Rest(); !errors.Is(err, broken) || len(got) != 3 {
		t.Errorf("got %v, %v", got, err)
	}
}
