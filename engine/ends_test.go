package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/engine/ends"
)

// lines is a logger's output, one text a line of level Info or above.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, strings.TrimSpace(string(p)))
	return len(p), nil
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// with returns the lines that have part in them.
func (l *lines) with(part string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.list {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

func full() error {
	return &ends.FaultError{Fault: ends.FaultFull, Do: "make room", Err: errors.New("disk")}
}

func away() error {
	return &ends.FaultError{Fault: ends.FaultUnreachable, Do: "see whether it runs", Err: errors.New("refused")}
}

// downSink is a world whose store can be away.
type downSink struct {
	*world
	mu  sync.Mutex
	err error
	n   int // calls while it was away
}

func (d *downSink) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *downSink) down() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		d.n++
	}
	return d.err
}

func (d *downSink) Insert(ctx context.Context, in *Insert) error {
	if err := d.down(); err != nil {
		return err
	}
	return d.world.Insert(ctx, in)
}

func (d *downSink) Quiesce(context.Context, string) error { return d.down() }

func (d *downSink) ReadBack(ctx context.Context, p Partition, first int64, t Table, month int32) (Sums, error) {
	if err := d.down(); err != nil {
		return Sums{}, err
	}
	return d.world.ReadBack(ctx, p, first, t, month)
}

func (d *downSink) LastBlock(ctx context.Context, p Partition) (BlockRow, bool, error) {
	if err := d.down(); err != nil {
		return BlockRow{}, false, err
	}
	return d.world.LastBlock(ctx, p)
}

func (d *downSink) Ping(context.Context) error { return d.down() }

// manyPartitions has n partitions with sessions of CP1 each.
func manyPartitions(w *world, n, sessions int) []Partition {
	list := make([]Partition, n)
	for i := range list {
		list[i] = Partition{Topic: readings.Topic, Number: int32(i)}
		sendSessions(w, list[i], 0, sessions)
	}
	return list
}

func sendSessions(w *world, p Partition, first, n int) {
	for i := first; i < first+n; i++ {
		at, reg := minutes(int64(30*i)), int64(2*i)*kwh
		for _, m := range of("CP1", fmt.Sprintf("%d-%d", p.Number, i), startAt(at, reg, 0), meter(at+10*minuteMs, reg+kwh, 1), stopAt(at+20*minuteMs, reg+2*kwh, 2)) {
			w.send(p, m.At, m)
		}
	}
}

func allDurable(w *world, parts []Partition) bool {
	return !slices.ContainsFunc(parts, func(p Partition) bool { return w.committedUpTo(p) != w.end(p) })
}

// TestStoreAway: a store that is away, already at the start, and later full, makes one line and one change for all
// partitions; they wait, take no more than their blocks hold, and go on by themselves with nothing lost.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	w := newWorld(31)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	parts := manyPartitions(w, 40, 3)
	store := &downSink{world: w, err: away()}
	var out lines
	s, cfg := newHanded(w), testConfig()
	cfg.InsertBackoffMax = 100 * time.Millisecond
	e := w.engine(t, cfg, &refs)
	e.source, e.sink, e.log = s, store, out.logger()
	e.watch(Ends{Producer: w, Ledger: store, StoreProbe: store})
	stop := runHosted(t, e)
	s.assignments <- Assignment{Generation: 1, Partitions: parts}

	state := func(want ends.Fault) {
		t.Helper()
		inTime(t, "store is "+string(want), func() bool { return e.Ends()[0].State == want })
	}
	state(ends.FaultUnreachable)
	if e.Ready() == nil {
		t.Error("ready, though no partition could begin")
	}
	store.set(nil)
	inTime(t, "all is durable", func() bool { return allDurable(w, parts) })
	state(ends.FaultNone)

	store.set(full())
	for _, p := range parts {
		sendSessions(w, p, 3, 30)
	}
	state(ends.FaultFull)
	rated := int64(0)
	for range 5 { // the same again and again: they stand still, at what blocks in flight and the one at hand hold
		time.Sleep(100 * time.Millisecond)
		now := int64(0)
		for _, st := range e.Stats() {
			now += st.Records
		}
		rated = now
	}
	time.Sleep(300 * time.Millisecond)
	again := int64(0)
	for _, st := range e.Stats() {
		again += st.Records
	}
	if again != rated {
		t.Errorf("%d records were rated, then %d, though the store takes nothing", rated, again)
	}
	store.set(nil)
	inTime(t, "all is durable", func() bool { return allDurable(w, parts) })
	state(ends.FaultNone)
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.checkTiles(t, 31)
	if got := len(w.sessions); got != 40*33 {
		t.Errorf("%d sessions, want %d", got, 40*33)
	}
	warned, back := out.with("level=WARN"), out.with("end works again")
	if len(warned) != 2 || len(back) != 2 || !strings.Contains(warned[0], "state=unreachable") || !strings.Contains(warned[1], "state=full") ||
		!strings.Contains(warned[1], "docs/runbook/store-full.md") || !strings.Contains(warned[1], "messages_waiting=") {
		t.Errorf("want a line for each change of state, got\n%s", strings.Join(append(warned, back...), "\n"))
	}
}

// runHosted runs e until stop, or the test's end.
func runHosted(t testing.TB, e *Engine) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return stop
}

// hostedTo is an engine on w with a source of the test, whose log is read.
func hostedTo(t testing.TB, w *world, refs *[]ReferenceRecord, s Source, out *lines) (e *Engine, stop func() error) {
	t.Helper()
	e = w.engine(t, testConfig(), refs)
	e.source, e.log = s, out.logger()
	e.watch(Ends{Producer: w, Ledger: w})
	return e, runHosted(t, e)
}

// inTimeLong is inTime for what is tried with growing pauses.
func inTimeLong(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
