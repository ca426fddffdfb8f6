package sim

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wattline/wattline/internal/invariant"
)

var (
	seeds  = flag.Int("sim.seeds", 300, "seeds that TestSeeds runs")
	first  = flag.Uint64("sim.first", 1, "the first of them")
	last   = flag.Int("sim.last", 80, "steps of a failing seed that are printed")
	quick  = flag.Bool("sim.quick", false, "do not shrink a failing seed")
	report = flag.Bool("sim.report", false, "print progress")
)

// run does a plan in a bubble of its own.
func run(t *testing.T, p Plan) (r *Result) {
	synctest.Test(t, func(*testing.T) { r = Run(p, synctest.Wait) })
	return r
}

// TestSeeds: whatever happens to the engines, the ledger is what the log says. A failing seed is shrunk and printed.
func TestSeeds(t *testing.T) {
	var (
		next, failed atomic.Uint64
		mu           sync.Mutex
		counts       Counts
		began        = time.Now()
	)
	next.Store(*first)
	if invariant.Enabled && *seeds == 300 {
		*seeds = 60 // the race detector takes ten times as long
	}
	end := *first + uint64(*seeds)
	failed.Store(end)
	t.Run("worker", func(t *testing.T) {
		for i := range 2 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for s := next.Add(1) - 1; s < end && s < failed.Load(); s = next.Add(1) - 1 {
					r := run(t, NewPlan(s))
					mu.Lock()
					counts.Add(&r.Counts)
					progress(&counts, began)
					if r.Fault != "" && s < failed.Load() {
						failed.Store(s)
					}
					mu.Unlock()
				}
			})
		}
	})
	if s := failed.Load(); s < end {
		t.Fatal(explain(t, NewPlan(s)))
	}
	t.Log(counts.String())
	if *report {
		fmt.Fprintln(os.Stdout, counts.String())
	}
	if *seeds >= 300 && !*quick {
		counts.expect(t)
	}
}

// expect: a kind of fault that does not happen proves nothing.
func (c *Counts) expect(t *testing.T) {
	t.Helper()
	for k, n := range c.Faults {
		if n*30 < c.Seeds {
			t.Errorf("%s happened %d times in %d seeds: too seldom", FaultKind(k), n, c.Seeds)
		}
	}
	if c.Repriced*10 > c.Prices {
		t.Errorf("%d of %d running prices are of another book: too many", c.Repriced, c.Prices)
	}
	for what, n := range map[string]int{"expelled": c.Expelled, "fenced": c.Fenced, "late effects": c.Orphans, "rejects": int(c.Rejects), "CDRs": int(c.CDRs), "prices": int(c.Prices), "truths": c.Truths, "drivers": c.Drivers} {
		if n*20 < c.Seeds {
			t.Errorf("%s: %d in %d seeds: too seldom", what, n, c.Seeds)
		}
	}
}

// progress prints a line now and then.
func progress(c *Counts, began time.Time) {
	if !*report || c.Seeds%500 != 0 {
		return
	}
	took := time.Since(began)
	rate := time.Duration(c.Seeds) * time.Second / max(took, 1)
	left := took * time.Duration(*seeds-c.Seeds) / time.Duration(c.Seeds)
	fmt.Fprintf(os.Stdout, "%d of %d seeds, %d a second, %v to go\n", c.Seeds, *seeds, int64(rate), left.Round(time.Second))
}

// explain shrinks a failing plan and says what is wrong.
func explain(t *testing.T, p Plan) string {
	t.Helper()
	if !*quick {
		p = Shrink(p, 400, func(p Plan) bool { return run(t, p).Fault != "" })
	}
	r := run(t, p)
	return r.Report(p, *last) + fmt.Sprintf("\nagain: go test ./engine/sim -run TestSeeds -sim.first %d -sim.seeds 1", p.Seed)
}

// TestSame: the same seed does the same again, step by step (W1, W2).
func TestSame(t *testing.T) {
	for s := *first; s < *first+uint64(min(*seeds, 60)); s++ {
		a, b := run(t, NewPlan(s)), run(t, NewPlan(s))
		if a.Hash == b.Hash {
			continue
		}
		for i := range min(len(a.Trace), len(b.Trace)) {
			if a.Trace[i] != b.Trace[i] {
				for _, e := range a.Trace[max(0, i-8):i] {
					t.Log(e)
				}
				t.Errorf("seed %d:\n%s\n%s", s, a.Trace[i], b.Trace[i])
				break
			}
		}
		t.Errorf("seed %d goes another way when it is run again: %d and %d steps", s, a.Counts.Steps, b.Counts.Steps)
	}
}

// TestShrink: what a failure does not need is dropped, what it needs stays.
func TestShrink(t *testing.T) {
	p := NewPlan(7)
	p.Faults = nil
	for i := range 40 {
		p.Faults = append(p.Faults, Fault{At: i, Kind: FaultKind(i % kinds)})
	}
	p.Messages = 300
	needs := func(p Plan) bool {
		has := func(at int) bool { return slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.At == at }) }
		return has(3) && has(31) && p.Messages >= 17
	}
	got := Shrink(p, 400, needs)
	if len(got.Faults) != 2 || got.Faults[0].At != 3 || got.Faults[1].At != 31 || got.Messages != 17 {
		t.Errorf("shrunk to %v, %d messages", got.Faults, got.Messages)
	}
}
