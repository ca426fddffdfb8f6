package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wattline/wattline/engine"
)

// proc is a process with an engine in it: one life of an instance. It is the engine's ends, so that the world knows
// who calls.
type proc struct {
	w        *world
	instance string
	life     int
	name     string
	skew     time.Duration // of the machine's clock
	engine   *engine.Engine
	stop     context.CancelFunc

	client  client
	feeds   []*feed
	granted map[granted]time.Time // plans of commits that were stored, and when
	silence int                   // counts the times that it fell silent

	dead     bool // its calls fail and have no effect
	paused   bool
	cut      bool
	stopping bool
	finished bool // Run has returned
	reaped   bool // and what follows from it was done
	err      error
}

type granted struct {
	p    engine.Partition
	plan engine.Plan
}

func (p *proc) String() string { return p.name }

func (p *proc) now() time.Time { return time.Now().Add(p.skew) }

// start begins a new life of engine i.
func (w *world) start(i int) {
	life := 1
	if old := w.slots[i]; old != nil {
		life = old.life + 1
	}
	instance := string(rune('A' + i))
	p := &proc{
		w: w, instance: instance, life: life, name: fmt.Sprintf("%s%d", instance, life),
		client: client{stale: map[engine.Partition]bool{}}, granted: map[granted]time.Time{},
	}
	if w.rnd.IntN(2) == 0 {
		p.skew = time.Duration(w.rnd.Int64N(int64(20*time.Minute))) - 10*time.Minute
	}
	w.slots[i] = p
	w.procs = append(w.procs, p)
	w.counts.Lives++
	e, err := engine.New(w.config(instance), engine.Ends{
		Source: p, Committer: p, Producer: p, Logs: p, Sink: p, Ledger: p, Clock: clock{p}, Decoders: w.in.decoder,
		Reference:    w.in.decodeReference,
		Tokens:       tokens{},
		Installation: func() (engine.Message, error) { return engine.Message{}, errNoInstallation },
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.fail("engine.New: %v", err)
		return
	}
	p.engine = e
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go func() {
		err := e.Run(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		p.err, p.finished = err, true
	}()
}

// config is a life's configuration: what must not tell differs from life to life.
func (w *world) config(instance string) engine.Config {
	r := w.rnd
	return engine.Config{
		EngineID: instance, ReferenceTopic: referenceTopic, StateTopic: stateTopic, RejectsTopic: rejectsTopic, CDRsTopic: cdrsTopic, PricesTopic: pricesTopic,
		BlockRows: 100 + r.IntN(300), BlockOffsets: 100 + r.Int64N(200), BlockAge: time.Duration(10+r.IntN(2000)) * time.Millisecond,
		BlockAgeMax: 3 * time.Second, BlocksPerSecond: 1 + r.IntN(4), SnapshotAge: time.Duration(100+r.IntN(8000)) * time.Millisecond,
		SnapshotChunk: 4096, BookEvery: time.Duration(1+r.IntN(9000)) * time.Millisecond, ReferencePoll: time.Duration(200+r.IntN(2600)) * time.Millisecond,
		StopTimeout: 4 * time.Second, InsertBackoffMax: time.Duration(1+r.IntN(10)) * time.Second,
	}
}

// live returns the processes whose life is not over.
func (w *world) live() []*proc {
	return slices.DeleteFunc(slices.Clone(w.procs), func(p *proc) bool { return p.dead || p.finished })
}

// happen brings on a fault that is an event. It returns false where there is nothing to spoil.
func (w *world) happen(f Fault) bool {
	p := w.slots[f.Engine%len(w.slots)]
	ms := time.Duration(f.N) * time.Millisecond
	switch f.Kind {
	case Crash, Stop, Pause, Cut, Twin:
		if p == nil || p.dead || p.finished || p.stopping || p.paused || p.cut {
			return false
		}
		w.strikeProc(p, f.Kind, ms)
	case Join:
		i := slices.IndexFunc(w.slots, func(p *proc) bool { return p == nil })
		if i < 0 {
			return false
		}
		w.start(i)
	case Rebalance:
		if len(w.group.members) == 0 {
			return false
		}
		w.rebalance(rand.New(rand.NewPCG(uint64(f.N), 9)))
	case Compact:
		w.kafka.compact()
	case ChunkLost, ChunkTorn:
		return w.tear(f)
	case StoreDown:
		w.during(ms, &w.store.down, "the store answers again")
	case StoreFull:
		w.during(ms, &w.store.full, "the store has room again")
	case KafkaDown:
		w.during(ms, &w.kafka.down, "kafka answers again")
	case StoreSlow:
		w.store.slow = ms
		w.at(10*time.Second, "the store is quick again", func() { w.store.slow = 0 })
	}
	return true
}

// during sets what for d.
func (w *world) during(d time.Duration, what *bool, then string) {
	*what = true
	w.at(d, then, func() { *what = false })
}

func (w *world) strikeProc(p *proc, k FaultKind, d time.Duration) {
	i := int(p.instance[0] - 'A')
	again := func() {
		if !w.ending && w.slots[i] == p {
			w.start(i)
		}
	}
	switch k {
	case Crash:
		w.counts.Crashes++
		w.kill(p)
		w.watch(p)
		w.at(d, "start of "+p.instance, again)
	case Stop:
		p.stopping = true
		p.stop()
	case Pause, Twin:
		w.counts.Zombies++
		p.paused = true
		w.watch(p)
		w.at(d, p.String()+" goes on", func() { p.paused = false })
		if k == Twin {
			w.start(i)
		}
	case Cut:
		w.counts.Zombies++
		p.cut = true
		w.watch(p)
		w.at(d, p.String()+" reaches the group again", func() { p.cut = false })
	}
}

// kill ends a life: its goroutines are cut off from the world, and what it had on its way may still arrive.
func (w *world) kill(p *proc) {
	p.dead, p.paused = true, false
	for _, f := range slices.Clone(p.feeds) {
		f.end(errDead)
	}
	for _, e := range w.pending {
		if e.proc == p && !e.gone {
			e.gone = true
			e.reply <- errDead
		}
	}
	w.timers = slices.DeleteFunc(w.timers, func(t *timer) bool {
		if t.proc == p {
			t.ch <- p.now()
		}
		return t.proc == p
	})
	if p.stop != nil {
		p.stop()
	}
}

// reapProcs sees which engines have ended by themselves, and starts them again as a supervisor does.
func (w *world) reapProcs() {
	for _, p := range w.procs {
		if !p.finished || p.reaped {
			continue
		}
		p.reaped = true
		if p.dead {
			continue
		}
		for _, f := range slices.Clone(p.feeds) {
			f.end(errDead)
		}
		w.timers = slices.DeleteFunc(w.timers, func(t *timer) bool { return t.proc == p })
		w.ended(p)
	}
}

// checkHalts sees whether an engine has halted a partition: nothing here is a reason to.
func (w *world) checkHalts() {
	for _, p := range w.live() {
		for _, st := range p.engine.Stats() {
			if st.Halted != "" {
				w.fail("%s has halted a partition: %s", p, st.Halted)
			}
		}
	}
}

// ended judges how an engine ended, and has it started again.
func (w *world) ended(p *proc) {
	how := "nil"
	if p.err != nil {
		how = p.err.Error()
	}
	w.log(p.String(), "ended", how)
	if halt, ok := errors.AsType[*engine.Halt](p.err); ok {
		w.fail("%s ended with a halt: %v", p, halt)
	}
	if w.ending || errors.Is(p.err, engine.ErrFenced) {
		return
	}
	i := int(p.instance[0] - 'A')
	w.watch(p)
	w.at(500*time.Millisecond, "start of "+p.instance, func() {
		if !w.ending && w.slots[i] == p {
			w.start(i)
		}
	})
}

// tear spoils a chunk of a snapshot: of any that a commit names.
func (w *world) tear(f Fault) bool {
	rnd := rand.New(rand.NewPCG(uint64(f.N), 8))
	part := w.kafka.parts[rnd.IntN(len(w.kafka.parts))]
	c, ok := w.group.commits[part]
	if !ok {
		return false
	}
	m, err := engine.ParseMetadata(c.Metadata)
	if err != nil || m.Snapshot.Count == 0 {
		return false
	}
	l := w.kafka.log(stateTopic, part.Number)
	i := slices.IndexFunc(l.recs, func(r engine.Record) bool { return r.Offset >= m.Snapshot.At })
	if i < 0 || l.recs[i].Value == nil {
		return false
	}
	if f.Kind == ChunkLost {
		l.recs = slices.Delete(slices.Clone(l.recs), i, i+1)
		return true
	}
	recs := slices.Clone(l.recs)
	v := slices.Clone(recs[i].Value)
	if n := rnd.IntN(len(v)); rnd.IntN(2) == 0 {
		v = v[:n]
	} else {
		v[n] ^= 1 << rnd.IntN(8)
	}
	recs[i].Value = v
	l.recs = recs
	return true
}
