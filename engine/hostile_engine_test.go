package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/rating"
)

// handed is a Source whose assignments the test hands out.
type handed struct {
	memSource
	assignments chan Assignment
	open        func(p Partition, from int64) (Feed, error)
	bounds      func(ctx context.Context) error
}

func (h *handed) Next(ctx context.Context) (Assignment, error) {
	select {
	case a := <-h.assignments:
		return a, nil
	case <-ctx.Done():
		return Assignment{}, ctx.Err()
	}
}

func (h *handed) Open(p Partition, from int64) (Feed, error) {
	if h.open != nil {
		return h.open(p, from)
	}
	return h.memSource.Open(p, from)
}

func (h *handed) Bounds(ctx context.Context, p Partition) (int64, int64, error) {
	if h.bounds != nil {
		if err := h.bounds(ctx); err != nil {
			return 0, 0, err
		}
	}
	return h.memSource.Bounds(ctx, p)
}

// gate is a Committer that holds commits back while it is shut, as one does whose coordinator can not be reached.
type gate struct {
	*world
	mu     sync.Mutex
	opened chan struct{} // closed: open
	answer error         // instead of storing, once
}

func newGate(w *world) *gate {
	g := &gate{world: w, opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ch := make(chan struct{})
	g.opened = ch
	return func() { close(ch) }
}

func (g *gate) Commit(ctx context.Context, p Partition, c Commit) error {
	g.mu.Lock()
	opened, answer := g.opened, g.answer
	g.answer = nil
	g.mu.Unlock()
	if answer != nil {
		return answer
	}
	select {
	case <-opened:
	case <-ctx.Done():
		return ctx.Err()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return g.world.Commit(ctx, p, c)
}

// hosted is an engine on w with the ends of the test.
func hosted(t testing.TB, w *world, cfg Config, refs *[]ReferenceRecord, source Source, committer Committer) (e *Engine, stop func() error) {
	t.Helper()
	e = w.engine(t, cfg, refs)
	e.source, e.committer = source, committer
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return e, stop
}

func newHanded(w *world) *handed {
	return &handed{memSource: memSource{w: w}, assignments: make(chan Assignment)}
}

func inTime(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(8 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func (w *world) committedUpTo(p Partition) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.commits[p]; ok {
		return c.Offset
	}
	return -1
}

func (w *world) end(p Partition) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.logs[p.String()]))
}

// sessionsFrom sends n sessions of CP1, one after the other, the first with number first.
func sessionsFrom(w *world, first, n int) {
	for i := first; i < first+n; i++ {
		at, reg := minutes(int64(30*i)), int64(2*i)*kwh
		for _, m := range of("CP1", string(rune('a'+i%26))+string(rune('a'+i/26)), startAt(at, reg, 0), meter(at+10*minuteMs, reg+kwh, 1), stopAt(at+20*minuteMs, reg+2*kwh, 2)) {
			w.send(readings, m.At, m)
		}
	}
}

// TestAwayAndBack: an engine that was cut off for longer than its session gets back a partition that another engine
// had meanwhile. It must begin again from what that one left, not go on from its memory.
func TestAwayAndBack(t *testing.T) {
	w := newWorld(7)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	sessionsFrom(w, 0, 10)
	sa, ga := newHanded(w), newGate(w)
	_, stopA := hosted(t, w, testConfig(), &refs, sa, ga)
	sa.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	inTime(t, "a commits all", func() bool { return w.committedUpTo(readings) == w.end(readings) })
	open := ga.shut() // a is cut off from the coordinator, and rates on
	sessionsFrom(w, 10, 5)
	time.Sleep(50 * time.Millisecond) // a closes a block that b will not make
	sessionsFrom(w, 15, 5)
	sb, cfg := newHanded(w), testConfig()
	cfg.BlockAge, cfg.BlockAgeMax = 200*time.Millisecond, 200*time.Millisecond
	_, stopB := hosted(t, w, cfg, &refs, sb, w)
	sb.assignments <- Assignment{Generation: 2, Partitions: []Partition{readings}}
	inTime(t, "b commits all", func() bool { return w.committedUpTo(readings) == w.end(readings) })
	if err := stopB(); err != nil {
		t.Fatal(err)
	}
	sessionsFrom(w, 20, 10)
	time.Sleep(50 * time.Millisecond)
	left := w.committedUpTo(readings)
	sa.assignments <- Assignment{Generation: 4, Partitions: []Partition{readings}}
	time.Sleep(20 * time.Millisecond)
	open()
	time.Sleep(20 * time.Millisecond)
	if got := w.committedUpTo(readings); got < left {
		t.Errorf("the committed offset went back from %d to %d", left, got)
	}
	inTime(t, "a commits the rest", func() bool { return w.committedUpTo(readings) == w.end(readings) })
	if err := stopA(); err != nil {
		t.Error(err)
	}
	energy := int64(0)
	for _, c := range w.charges {
		energy += c.c.EnergyMwh
	}
	if want := 30 * 2 * kwh; energy != want {
		t.Errorf("%d Wh were billed, %d Wh were delivered", energy/1000, want/1000)
	}
	w.checkTiles(t, 7)
}

// TestReferenceBehind: an engine takes over a partition whose book it has not read yet.
func TestReferenceBehind(t *testing.T) {
	w := newWorld(8)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	cfg := testConfig()
	cfg.ReferencePoll = time.Hour
	sb := newHanded(w)
	eb, stopB := hosted(t, w, cfg, &refs, sb, w)
	inTime(t, "b has read the reference", func() bool { return eb.ref.Next() == int64(len(refs)) })
	// Another tariff and charger, which the first engine knows.
	publishTariff(w, &refs, testTariff("T2", 500_000_000, 500_000_000))
	w.publish(&refs, ReferenceRecord{LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L2"}, Location: testLocation("L2", "T2", "CP2")})
	w.send(readings, t0, of("CP2", "1", startAt(t0, 0, 0))...)
	if err := runUntil(t, w, w.engine(t, testConfig(), &refs, readings), readings); err != nil {
		t.Fatal(err)
	}
	w.send(readings, minutes(10), of("CP2", "1", stopAt(minutes(10), kwh, 1))...)
	sb.assignments <- Assignment{Generation: 2, Partitions: []Partition{readings}}
	inTime(t, "b goes on, or says why not", func() bool {
		return w.committedUpTo(readings) == w.end(readings) || halted(eb)
	})
	if err := eb.Ready(); err != nil {
		t.Error(err)
	}
	if err := stopB(); err != nil {
		t.Error(err)
	}
}

// TestReadyTellsOfAPartitionThatCanNotStart: Ready means that every partition is rating.
func TestReadyTellsOfAPartitionThatCanNotStart(t *testing.T) {
	w := newWorld(9)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	s := newHanded(w)
	tries := make(chan struct{}, 100)
	s.open = func(Partition, int64) (Feed, error) { tries <- struct{}{}; return nil, errors.New("no way") }
	e, _ := hosted(t, w, testConfig(), &refs, s, w)
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	<-tries
	time.Sleep(20 * time.Millisecond)
	if e.Ready() == nil {
		t.Error("ready, though no partition rates")
	}
}

// TestLostOnce: a commit is told that the partition is lost, by a generation that has passed again before the engine
// heard of it. The partition is still assigned: somebody must rate it.
func TestLostOnce(t *testing.T) {
	w := newWorld(10)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	s, g := newHanded(w), newGate(w)
	hosted(t, w, testConfig(), &refs, s, g)
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	sessionsFrom(w, 0, 3)
	inTime(t, "all is committed", func() bool { return w.committedUpTo(readings) == w.end(readings) })
	g.mu.Lock()
	g.answer = ErrLost
	g.mu.Unlock()
	sessionsFrom(w, 3, 3)
	time.Sleep(50 * time.Millisecond)
	s.assignments <- Assignment{Generation: 2, Partitions: []Partition{readings}}
	inTime(t, "all is committed again", func() bool { return w.committedUpTo(readings) == w.end(readings) })
}

// TestLeftIsForgotten: what an engine kept of a partition that left is given back.
func TestLeftIsForgotten(t *testing.T) {
	w := newWorld(11)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	s := newHanded(w)
	e, _ := hosted(t, w, testConfig(), &refs, s, w)
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	sessionsFrom(w, 0, 3)
	inTime(t, "all is committed", func() bool { return w.committedUpTo(readings) == w.end(readings) })
	s.assignments <- Assignment{Generation: 2}
	count := func(parts func() int) int {
		e.mu.Lock()
		defer e.mu.Unlock()
		return parts()
	}
	inTime(t, "it leaves", func() bool { return count(func() int { return len(e.parts) }) == 0 })
	inTime(t, "it is given back", func() bool { return count(func() int { return len(e.leaving) }) == 0 })
}

// TestCommitOfBefore: the group's offsets went back (an unclean election, a restored backup), plan and all. The ledger
// has blocks beyond every plan: to go on would bill them twice.
func TestCommitOfBefore(t *testing.T) {
	w := newWorld(12)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	sessionsFrom(w, 0, 3)
	if err := runUntil(t, w, w.engine(t, testConfig(), &refs, readings), readings); err != nil {
		t.Fatal(err)
	}
	before := w.commits[readings]
	sessionsFrom(w, 3, 3)
	if err := runUntil(t, w, w.engine(t, testConfig(), &refs, readings), readings); err != nil {
		t.Fatal(err)
	}
	w.commits[readings] = before
	billed := len(w.charges)
	sessionsFrom(w, 6, 1)
	s := newHanded(w)
	e, stop := hosted(t, w, testConfig(), &refs, s, w)
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	inTime(t, "it goes on, or halts", func() bool {
		return w.committedUpTo(readings) == w.end(readings) || halted(e)
	})
	_ = stop()
	if n := len(w.charges) - billed; n > 0 {
		keys := map[string]int{}
		for _, c := range w.charges {
			keys[c.key]++
		}
		twice := 0
		for _, n := range keys {
			twice += n - 1
		}
		t.Errorf("%d rows were billed twice", twice)
	}
}

// TestReferenceIsReadWhileABrokerIsAway: a partition without leader keeps no tariff from arriving.
func TestReferenceIsReadWhileABrokerIsAway(t *testing.T) {
	w := newWorld(13)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	s := newHanded(w)
	var away sync.Mutex
	hang := false
	s.bounds = func(ctx context.Context) error {
		away.Lock()
		h := hang
		away.Unlock()
		if h {
			<-ctx.Done() // kafka.Group.Bounds tries again until its context ends
			return ctx.Err()
		}
		return nil
	}
	e, _ := hosted(t, w, testConfig(), &refs, s, w)
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	sessionsFrom(w, 0, 1)
	inTime(t, "it rates", func() bool { return w.committedUpTo(readings) == w.end(readings) })
	away.Lock()
	hang = true
	away.Unlock()
	time.Sleep(20 * time.Millisecond)
	publishTariff(w, &refs, testTariff("T2", 1, 1))
	want := int64(len(refs))
	for end := time.Now().Add(5 * time.Second); e.ref.Next() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new tariff is not seen")
		}
	}
}
