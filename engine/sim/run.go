package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
)

// Counts say what happened in runs.
type Counts struct {
	Seeds, Steps, Lives, Crashes, Zombies, Expelled, Fenced, Rebalances int
	Orphans                                                             int // effects that came when nobody waited for them
	Blocks, Rows, Rejects, CDRs, Prices                                 int64
	Repriced                                                            int64 // prices that were told before a newer book was taken
	Truths                                                              int   // sessions priced by the oracle
	Drivers                                                             int   // of them, by a contract
	Faults                                                              []int // by kind
}

// Add adds o's counts to c's.
func (c *Counts) Add(o *Counts) {
	c.Seeds, c.Steps, c.Lives, c.Crashes = c.Seeds+o.Seeds, c.Steps+o.Steps, c.Lives+o.Lives, c.Crashes+o.Crashes
	c.Zombies, c.Expelled, c.Fenced, c.Rebalances = c.Zombies+o.Zombies, c.Expelled+o.Expelled, c.Fenced+o.Fenced, c.Rebalances+o.Rebalances
	c.Orphans, c.Blocks, c.Rows, c.Rejects = c.Orphans+o.Orphans, c.Blocks+o.Blocks, c.Rows+o.Rows, c.Rejects+o.Rejects
	c.Truths += o.Truths
	c.CDRs += o.CDRs
	c.Prices += o.Prices
	c.Repriced += o.Repriced
	c.Drivers += o.Drivers
	if c.Faults == nil {
		c.Faults = make([]int, kinds)
	}
	for i, n := range o.Faults {
		c.Faults[i] += n
	}
}

func (c *Counts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %d steps, %d lives of engines, %d crashes, %d zombies (%d expelled, %d fenced), %d rebalances, %d effects that came late\n",
		c.Seeds, c.Steps, c.Lives, c.Crashes, c.Zombies, c.Expelled, c.Fenced, c.Rebalances, c.Orphans)
	fmt.Fprintf(&b, "%d blocks, %d rows, %d rejects, %d CDRs, %d running prices, %d sessions priced by the oracle, %d of them of drivers with a contract\nfaults:", c.Blocks, c.Rows, c.Rejects, c.CDRs, c.Prices, c.Truths, c.Drivers)
	for k, n := range c.Faults {
		fmt.Fprintf(&b, " %s %d;", FaultKind(k), n)
	}
	return strings.TrimSuffix(b.String(), ";")
}

// Result is how a run went.
type Result struct {
	Fault  string  // what was wrong; empty: nothing
	Trace  []Entry // the last steps
	Hash   uint64  // of all steps
	Counts Counts
}

// maxSteps ends a run that does not get done: it would be a bug as well.
const maxSteps = 60_000

// Run does a plan. It must be called in a bubble of testing/synctest, by its main goroutine; wait is synctest.Wait.
// Everything that it started has ended when it returns.
func Run(p Plan, wait func()) *Result {
	w := newWorld(&p, wait)
	for i := range p.Running {
		w.start(i)
	}
	for w.fault == "" && !w.drained() {
		if w.step > maxSteps || !w.turn() {
			w.mu.Lock()
			w.fail("stuck: not all is committed after %d steps%s", w.step, w.standing())
			w.mu.Unlock()
		}
		if !w.calm && w.nextAt == len(p.Faults) && w.step > 3_000 {
			w.calm = true // what still lies in wait had its time
		}
	}
	w.settle()
	w.stopAll()
	if w.fault == "" {
		w.mu.Lock()
		w.checkLedger()
		w.mu.Unlock()
	}
	w.counts.Seeds, w.counts.Steps = 1, w.step
	return &Result{Fault: w.fault, Trace: w.trace[max(0, len(w.trace)-traced):], Hash: w.hash, Counts: w.counts}
}

// standing is what each partition's commit is, for a run that is stuck.
func (w *world) standing() string {
	var b strings.Builder
	for _, p := range w.kafka.parts {
		c := w.group.commits[p]
		fmt.Fprintf(&b, "\n%s of %q: committed %d %s of %d", p, w.group.owner[p], c.Offset, c.Metadata, w.kafka.log(p.Topic, p.Number).next)
	}
	for _, p := range w.live() {
		fmt.Fprintf(&b, "\n%s: paused %v, cut %v, generation %d of %d", p, p.paused, p.cut, p.client.generation, w.group.generation)
	}
	return b.String()
}

// settle ends the faults, wakes the zombies, and lets the engines go on for a while.
func (w *world) settle() {
	w.mu.Lock()
	w.calm = true
	for _, p := range w.procs {
		p.paused, p.cut = false, false
	}
	w.mu.Unlock()
	for range 200 {
		if w.fault == "" && !w.turn() {
			return
		}
	}
	for range 20_000 { // what the zombies' waking moved comes to rest
		if w.fault != "" || w.drained() && w.atRest() {
			return
		}
		w.turn()
	}
	w.mu.Lock()
	w.fail("no rest after the faults%s", w.standing())
	w.mu.Unlock()
}

// atRest says that one life of each partition's owner has what it should have.
func (w *world) atRest() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.kafka.parts {
		m := w.group.member(w.group.owner[p])
		if m == nil || m.proc.unheard() || m.proc.client.generation != w.group.generation {
			return false
		}
		if !slices.ContainsFunc(m.proc.feeds, func(f *feed) bool { return f.p == p }) && w.kafka.log(p.Topic, p.Number).next > 0 {
			return false
		}
		if !w.stands(m.proc, p) {
			return false
		}
	}
	return true
}

// stands says that p's engine has read all of part: nothing of it is on its way.
func (w *world) stands(p *proc, part engine.Partition) bool {
	for _, f := range p.feeds {
		if f.p == part && w.kafka.has(f) {
			return false
		}
	}
	for _, e := range w.pending {
		if e.part == part && e.proc == p && e.op != "bounds" {
			return false
		}
	}
	return true
}

// stopAll ends all engines as SIGTERM does, or at once after a failure, and waits for them.
func (w *world) stopAll() {
	w.mu.Lock()
	w.ending = true
	failed := w.fault != ""
	for _, p := range w.live() {
		p.stopping = true
		if failed {
			w.kill(p)
		} else {
			p.stop()
		}
	}
	w.mu.Unlock()
	for n := 0; ; n++ {
		w.mu.Lock()
		live := slices.IndexFunc(w.procs, func(p *proc) bool { return !p.finished })
		if n > 20_000 {
			w.fail("an engine does not stop")
			for _, p := range w.live() {
				w.kill(p)
			}
		}
		w.mu.Unlock()
		if live < 0 {
			break
		}
		if w.fault != "" {
			w.drop()
			continue
		}
		w.turn()
	}
	for w.fault == "" && len(w.pending)+len(w.store.running) > 0 && w.turn() { // what comes late comes now
	}
}

// drop lets engines end after a failure: nothing is decided any more.
func (w *world) drop() {
	w.mu.Lock()
	for _, p := range w.live() {
		w.kill(p)
	}
	w.mu.Unlock()
	time.Sleep(time.Millisecond)
	w.wait()
}
