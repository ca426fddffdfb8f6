package pace

import (
	"testing"
	"time"
)

// TestAges: thin partitions together make few blocks, busy ones are held back to twice their age at most, and who is
// gone counts no more.
func TestAges(t *testing.T) {
	a := Ages[int]{Age: time.Second, Max: 30 * time.Second, PerSecond: 2}
	f := func(what string, got, want time.Duration) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("one busy", a.Of(0, false, 1), time.Second)
	f("eight busy", a.Of(0, false, 8), time.Second)
	f("twelve busy", a.Of(0, false, 12), 1500*time.Millisecond)
	f("a hundred busy", a.Of(0, false, 100), 2*time.Second)
	for i := range 99 {
		a.Of(i+1, true, 100)
	}
	f("one busy among thin ones", a.Of(0, false, 100), time.Second)
	f("99 thin ones", a.Of(1, true, 100), 30*time.Second)
	for i := range 90 {
		a.Forget(i + 10)
	}
	f("nine thin ones", a.Of(1, true, 100), 4500*time.Millisecond)
	f("the first of them gets busy", a.Of(1, false, 10), time.Second)
	f("eight thin ones", a.Of(2, true, 10), 4*time.Second)
}

// TestCost: the cheapest batch counts, dearer ones are believed slowly, small ones not at all.
func TestCost(t *testing.T) {
	var c Cost
	f := func(n, ns, want int64) {
		t.Helper()
		if got := c.Of(n, ns); got != want {
			t.Errorf("%d readings in %d ns: %d, want %d", n, ns, got, want)
		}
	}
	f(10, 5_000, 5_000)             // nothing is known yet
	f(10_000, 5_000_000, 5_000_000) // 500 ns each
	f(10, 5_000_000, 5_000)         // interrupted
	f(10_000, 3_000_000, 3_000_000) // cheaper: believed at once
	f(10_000, 900_000_000, 3_023_430)
	for range 400 {
		c.Of(10_000, 6_000_000) // dearer for good
	}
	if got := c.Of(10_000, 6_000_000); got < 5_900_000 {
		t.Errorf("a load that got dearer is taken for %d ns", got)
	}
}
