package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wattline/wattline/engine"
)

// world is everything around the engines. Engines' goroutines come in by call, with mu for a moment; all else is done
// by the scheduler, which holds mu while every goroutine is blocked (W1).
type world struct {
	plan *Plan
	in   *input
	rnd  *rand.Rand
	wait func()

	mu      sync.Mutex
	pending []*effect
	timers  []*timer
	seq     int // of timers and events

	procs  []*proc
	slots  []*proc // the newest life of each engine
	group  group
	kafka  kafka
	store  store
	prices map[string]standing // by session
	toldBy map[blockOf]int     // messages on the topic of CDRs when the block's row came
	events []*event
	armed  []Fault // lie in wait
	nextAt int     // of plan.Faults
	nextIn int     // of in.sent
	nextRf int     // of in.refs
	calm   bool    // no faults any more
	ending bool    // engines stop, none is started again

	began  time.Time
	step   int
	trace  []Entry
	hash   uint64
	counts Counts
	fault  string // the first thing that was wrong
}

// effect is a call of an engine that waits to be let through.
type effect struct {
	proc  *proc
	op    string
	key   string // with op and proc: its place in the order (W2)
	part  engine.Partition
	do    func(f FaultKind) error // done by the scheduler; f is kinds for none
	spoil []FaultKind             // what may happen to it
	after func() bool             // nil: at once; false: not yet
	from  time.Time               // not before
	lands bool                    // it may still have its effect when its caller is gone
	gone  bool                    // the caller does not wait any more
	reply chan error
}

// timer is a channel that an engine waits for.
type timer struct {
	proc *proc
	at   time.Time
	d    time.Duration
	seq  int
	ch   chan time.Time
}

// event is something that happens at a time.
type event struct {
	at   time.Time
	seq  int
	what string
	do   func()
}

// Entry is one step of a run.
type Entry struct {
	Step int
	At   time.Duration // since the beginning
	Who  string
	What string
	How  string // what became of it; empty: as wanted
}

func (e Entry) String() string {
	how := ""
	if e.How != "" {
		how = " -> " + e.How
	}
	ms := e.At.Milliseconds()
	return fmt.Sprintf("%6d %6d.%03ds %-4s %s%s", e.Step, ms/1000, ms%1000, e.Who, e.What, how)
}

const noFault = FaultKind(kinds)

// traced is how many of the last steps a Result has.
const traced = 5000

var (
	errDead     = errors.New("this life is over")
	errInjected = errors.New("injected")
)

func newWorld(p *Plan, wait func()) *world {
	in := newInput(p)
	w := &world{plan: p, in: in, rnd: rand.New(rand.NewPCG(p.Seed, 2)), wait: wait, began: time.Now(), hash: 14695981039346656037}
	w.kafka = newKafka(p)
	w.store = newStore()
	w.group = newGroup()
	w.slots = make([]*proc, p.Engines)
	w.counts.Faults = make([]int, kinds)
	return w
}

func (w *world) log(who, what, how string) {
	e := Entry{Step: w.step, At: time.Since(w.began), Who: who, What: what, How: how}
	if len(w.trace) >= 2*traced {
		w.trace = append(w.trace[:0], w.trace[traced:]...)
	}
	w.trace = append(w.trace, e)
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d|%d|%s|%s|%s|%s", w.hash, e.At, e.Who, e.What, e.How, "") // a hash takes everything
	w.hash = h.Sum64()
}

// fail notes what is wrong. The first is what counts.
func (w *world) fail(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
		w.log("", "WRONG", w.fault)
	}
}

// call makes an effect of an engine's call and waits for it.
func (w *world) call(ctx context.Context, e *effect) error {
	w.mu.Lock()
	if e.proc.dead {
		w.mu.Unlock()
		return errDead
	}
	if ctx.Err() != nil {
		w.mu.Unlock()
		return ctx.Err()
	}
	e.reply = make(chan error, 1)
	w.pending = append(w.pending, e)
	w.mu.Unlock()
	select {
	case err := <-e.reply:
		return err
	case <-ctx.Done():
		w.mu.Lock()
		e.gone = true
		w.mu.Unlock()
		return ctx.Err()
	}
}

// at has fn done after d.
func (w *world) at(d time.Duration, what string, fn func()) {
	w.seq++
	w.events = append(w.events, &event{at: time.Now().Add(d), seq: w.seq, what: what, do: fn})
}

// choice is one thing that may happen now.
type choice struct {
	who, key string
	do       func() (how string, done bool) // done false: it could not happen after all
}

// turn lets one thing happen. It returns false when nothing ever will.
func (w *world) turn() bool {
	w.wait()
	w.mu.Lock()
	w.step++
	w.strike()
	w.reapProcs()
	if w.step%64 == 0 {
		w.checkHalts()
	}
	choices := w.choices()
	for len(choices) > 0 && (w.ending || w.rnd.IntN(100) >= w.plan.Lazy) { // a clean stop has its time
		i := w.rnd.IntN(len(choices))
		c := choices[i]
		if how, done := c.do(); done {
			w.log(c.who, c.key, how)
			d := time.Duration(1+w.rnd.IntN(50)) * time.Microsecond
			w.mu.Unlock()
			time.Sleep(d)
			return true
		}
		choices = slices.Delete(choices, i, i+1)
	}
	ok := w.tick(len(choices) == 0)
	w.mu.Unlock()
	return ok
}

// choices lists what may happen now, in order.
func (w *world) choices() []choice {
	var list []choice
	now := time.Now()
	w.pending = slices.DeleteFunc(w.pending, func(e *effect) bool { return e.gone && !e.lands })
	for _, e := range w.pending {
		if (e.proc.paused && !e.gone) || (e.from.After(now) && !w.calm) || (!e.gone && e.after != nil && !e.after()) {
			continue
		}
		list = append(list, choice{e.proc.String(), e.op + " " + e.key, func() (string, bool) { return w.let(e), true }})
	}
	for _, q := range w.store.running {
		if q.from.After(now) && !w.calm {
			continue
		}
		list = append(list, choice{"store", "runs on " + q.id, func() (string, bool) { return w.store.goOn(w, q), true }})
	}
	for _, p := range w.procs {
		if p.dead || p.paused {
			continue
		}
		for _, f := range p.feeds {
			if w.kafka.has(f) {
				list = append(list, choice{p.String(), "batch of " + f.p.String(), func() (string, bool) { return w.deliver(f) }})
			}
		}
		if w.mayJoin(p) {
			list = append(list, choice{p.String(), "joins the group", func() (string, bool) { return w.join(p), true }})
		}
	}
	slices.SortStableFunc(list, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.key, b.key))
	})
	return list
}

// let lets an effect through, with the fault that lies in wait for it.
func (w *world) let(e *effect) string {
	w.pending = slices.DeleteFunc(w.pending, func(o *effect) bool { return o == e })
	if e.gone {
		if w.rnd.IntN(2) == 0 {
			return "never arrives"
		}
		if err := e.do(noFault); err != nil {
			return "arrives late: " + err.Error()
		}
		w.counts.Orphans++
		return "arrives late"
	}
	f := w.ambush(e)
	if f.Kind == CallSlow {
		e.from = time.Now().Add(time.Duration(f.N) * time.Millisecond)
		w.pending = append(w.pending, e)
		return f.String()
	}
	if f.Kind == StandStill {
		d := 20 * time.Second
		if f.N/int64(len(stillIn()))%2 == 0 {
			d = planTTL + time.Minute
		}
		w.strikeProc(e.proc, Pause, d)
		w.pending = append(w.pending, e)
		return f.Kind.String()
	}
	err := e.do(f.Kind)
	if errors.Is(err, errAgain) {
		w.pending = append(w.pending, e)
		return "waits"
	}
	e.reply <- err
	switch {
	case f.Kind != noFault:
		return f.Kind.String()
	case err != nil:
		return err.Error()
	}
	return ""
}

// errAgain keeps an effect waiting.
var errAgain = errors.New("not yet")

// ambush takes the fault that lies in wait for a call like e.
func (w *world) ambush(e *effect) Fault {
	for i, f := range w.armed {
		if w.calm {
			break
		}
		if slices.Contains(e.spoil, f.Kind) || f.Kind == CallSlow && e.op != "" || f.Kind == StandStill && e.still(f.N) {
			w.armed = slices.Delete(w.armed, i, i+1)
			w.counts.Faults[f.Kind]++
			return f
		}
	}
	return Fault{Kind: noFault}
}

// lately is a wait for what goes on without anybody waiting for it.
func (w *world) lately(most time.Duration) time.Time {
	if w.calm {
		return time.Now()
	}
	return time.Now().Add(time.Duration(w.rnd.Int64N(int64(most))))
}

// stillIn are the calls in the middle of which an engine stands still: those after which it acts on what it read before.
func stillIn() []string {
	return []string{"commit", "read " + stateTopic, "read back", "insert", "last block", "produce"}
}

// still says that e is the call that n picks.
func (e *effect) still(n int64) bool {
	in := stillIn()
	return e.op != "" && strings.HasPrefix(e.op+" "+e.key, in[n%int64(len(in))]) && !e.proc.cut && !e.proc.stopping
}

// strike brings on the faults that are due.
func (w *world) strike() {
	for !w.calm && w.nextAt < len(w.plan.Faults) && w.plan.Faults[w.nextAt].At <= w.step {
		f := w.plan.Faults[w.nextAt]
		w.nextAt++
		if f.Kind > lastEvent {
			w.armed = append(w.armed, f)
			continue
		}
		if w.happen(f) {
			w.counts.Faults[f.Kind]++
			w.log("", "FAULT "+f.Kind.String(), fmt.Sprintf("engine %d, %d", f.Engine, f.N))
		}
	}
}

// tick lets the clock go on to the next thing that has a time: at least to one, if nothing else can happen.
func (w *world) tick(must bool) bool {
	var next *timer
	for _, t := range w.timers {
		if !t.proc.paused && (next == nil || earlier(t, next)) {
			next = t
		}
	}
	at, what := time.Time{}, 0
	if next != nil {
		at, what = next.at, 1
	}
	if len(w.events) > 0 {
		slices.SortFunc(w.events, func(a, b *event) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq)) })
		if e := w.events[0]; what == 0 || e.at.Before(at) {
			at, what = e.at, 2
		}
	}
	if t, ok := w.dueInput(); ok && (what == 0 || t.Before(at)) {
		at, what = t, 3
	}
	for _, e := range w.pending { // slow ones
		if (e.gone || !e.proc.paused) && e.from.After(time.Now()) && (what == 0 || e.from.Before(at)) {
			at, what = e.from, 4
		}
	}
	for _, q := range w.store.running {
		if q.from.After(time.Now()) && (what == 0 || q.from.Before(at)) {
			at, what = q.from, 4
		}
	}
	if what == 0 {
		return !must
	}
	if d := time.Until(at); d > 0 {
		w.mu.Unlock()
		time.Sleep(d)
		w.wait() // time-outs of contexts
		w.mu.Lock()
	}
	switch what {
	case 1:
		w.timers = slices.DeleteFunc(w.timers, func(t *timer) bool { return t == next })
		next.ch <- next.proc.now()
		w.log(next.proc.String(), "timer", next.d.String())
	case 2:
		e := w.events[0]
		w.events = w.events[1:]
		e.do()
		w.log("", e.what, "")
	case 3:
		w.takeInput()
	}
	return true
}

func earlier(a, b *timer) bool {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.d, b.d), cmp.Compare(a.proc.String(), b.proc.String()), cmp.Compare(a.seq, b.seq)) < 0
}

// dueInput is when the next message or reference record comes.
func (w *world) dueInput() (at time.Time, ok bool) {
	if w.nextIn < len(w.in.sent) {
		at, ok = w.began.Add(w.in.sent[w.nextIn].at), true
	}
	if w.nextRf < len(w.in.refs) {
		if t := w.began.Add(w.in.refs[w.nextRf].at); !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	return at, ok
}

// takeInput appends what has come.
func (w *world) takeInput() {
	now := time.Now()
	n := 0
	for w.nextRf < len(w.in.refs) && !w.began.Add(w.in.refs[w.nextRf].at).After(now) {
		w.kafka.refer(w.nextRf)
		w.nextRf++
		n++
	}
	for w.nextIn < len(w.in.sent) && !w.began.Add(w.in.sent[w.nextIn].at).After(now) {
		w.kafka.send(w, &w.in.sent[w.nextIn])
		w.nextIn++
		n++
	}
	w.log("", "input", fmt.Sprintf("%d records", n))
}

// clock is an engine's.
type clock struct{ p *proc }

// Now implements engine.Clock.
func (c clock) Now() time.Time { return c.p.now() }

// After implements engine.Clock.
func (c clock) After(d time.Duration) <-chan time.Time {
	w := c.p.w
	ch := make(chan time.Time, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.p.dead {
		ch <- c.p.now()
		return ch
	}
	w.seq++
	w.timers = append(w.timers, &timer{proc: c.p, at: time.Now().Add(d), d: d, seq: w.seq, ch: ch})
	return ch
}
