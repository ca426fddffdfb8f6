package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// stepSource lets its feeds bring the records below limit, one record a batch.
type stepSource struct {
	*handed
	limit atomic.Int64
}

func newStepSource(w *world, limit int64) *stepSource {
	s := &stepSource{handed: newHanded(w)}
	s.limit.Store(limit)
	return s
}

func (s *stepSource) Open(p Partition, from int64) (Feed, error) {
	f := &memFeed{ch: make(chan Batch), stop: make(chan struct{})}
	go func() {
		defer close(f.ch)
		for next := from; ; {
			var b *memBatch
			s.w.mu.Lock()
			if log := s.w.logs[p.String()]; next < min(s.limit.Load(), int64(len(log))) {
				b = &memBatch{recs: []Record{log[next]}, next: next + 1}
			}
			s.w.mu.Unlock()
			if b == nil {
				select {
				case <-time.After(time.Millisecond):
					continue
				case <-f.stop:
					return
				}
			}
			select {
			case f.ch <- b:
				next++
			case <-f.stop:
				return
			}
		}
	}()
	return f, nil
}

// membership says what the test wants.
type membership struct {
	holds atomic.Bool
	w     *world
}

func (m *membership) Holds(int32) bool { return m.holds.Load() }

func (m *membership) Readable(_ context.Context, p Partition) (int64, error) { return m.w.end(p), nil }

// TestShownNeverGoesBack: an engine shows what it has not committed, and is killed. The next one begins below what was
// shown, and must not show that.
func TestShownNeverGoesBack(t *testing.T) {
	const shownMessages = 40
	w := newWorld(20)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	run := []message{startAt(t0, 0, 0)}
	for i := int64(1); i < 60; i++ {
		run = append(run, meter(minutes(i), i*kwh, i))
	}
	for _, m := range of("CP1", "7", run[:shownMessages]...) {
		w.send(readings, m.At, m)
	}
	cfg := testConfig()
	cfg.StopTimeout = 20 * time.Millisecond
	sa, ga := newStepSource(w, 10), newGate(w)
	a, stopA := hosted(t, w, cfg, &refs, sa, ga)
	ask := func(e *Engine) (SessionView, error) {
		t.Helper()
		found, err := e.Session(t.Context(), "CP1:7")
		if err != nil || len(found) == 0 {
			return SessionView{}, err
		}
		return found[0], nil
	}
	sa.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	inTime(t, "the first block is committed", func() bool { return w.committedUpTo(readings) == 10 })
	ga.shut() // nothing more is committed, as if it were killed at once
	if _, err := ask(a); !errors.Is(err, ErrCatchingUp) {
		t.Errorf("a new engine, 30 messages before the end that it found, answers: %v", err)
	}
	sa.limit.Store(unlimited)
	var shown SessionView
	inTime(t, "all messages are shown", func() bool {
		shown, _ = ask(a)
		return shown.Offset == shownMessages
	})
	_ = stopA() // not in time: what is open is made again
	if got := w.committedUpTo(readings); got != 10 {
		t.Fatalf("offset %d is committed, the test wants to begin again at 10", got)
	}

	sb := newStepSource(w, 10)
	b, _ := hosted(t, w, testConfig(), &refs, sb, w)
	sb.assignments <- Assignment{Generation: 2, Partitions: []Partition{readings}}
	inTime(t, "b has recovered", func() bool { return b.Stats() != nil && b.Stats()[0].Recoveries == 1 && b.Stats()[0].Position == 10 })
	for limit := int64(10); limit < shownMessages; limit++ {
		sb.limit.Store(limit)
		inTime(t, "b has rated on", func() bool { return b.Stats()[0].Position == limit })
		if v, err := ask(b); !errors.Is(err, ErrCatchingUp) {
			t.Fatalf("offset %d is shown (%v) after offset %d was", v.Offset, err, shown.Offset)
		}
		if list, err := b.Dearest(t.Context(), 10); len(list) > 0 || !errors.Is(err, ErrCatchingUp) {
			t.Fatalf("Dearest shows offset %d (%v) after offset %d was shown", list[0].Offset, err, shown.Offset)
		}
	}
	for _, m := range of("CP1", "7", run[shownMessages:]...) {
		w.send(readings, m.At, m)
	}
	sb.limit.Store(unlimited)
	inTime(t, "b shows what it has", func() bool {
		v, err := ask(b)
		if err == nil && v.Offset < shown.Offset {
			t.Fatalf("offset %d is shown after offset %d", v.Offset, shown.Offset)
		}
		return v.Offset == int64(len(run))
	})
}

// TestShownOfIdlePartition: nothing comes any more, and what there is is shown, with planned blocks to be made again or
// without.
func TestShownOfIdlePartition(t *testing.T) {
	w := newWorld(21)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	for _, m := range of("CP1", "7", startAt(t0, 0, 0), meter(minutes(1), kwh, 1)) {
		w.send(readings, m.At, m)
	}
	shows := func(e *Engine) bool {
		found, err := e.Session(t.Context(), "7")
		return err == nil && len(found) == 1 && found[0].Offset == 2
	}
	cfg := testConfig()
	cfg.StopTimeout = 20 * time.Millisecond
	for _, dead := range []bool{true, false, false} {
		w.mu.Lock()
		w.crash = -1
		if dead {
			w.crash = 1 // the plan is stored, its rows are not
		}
		w.mu.Unlock()
		s := newHanded(w)
		e, stop := hosted(t, w, cfg, &refs, s, w)
		s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
		if dead {
			inTime(t, "it dies", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.dead })
		} else {
			inTime(t, "the session is shown", func() bool { return shows(e) })
		}
		_ = stop() // how a killed engine ends does not matter
		w.mu.Lock()
		w.dead = false
		w.mu.Unlock()
	}
}

// TestShownOnlyWhileHeld: an engine that may have lost its partitions says nothing of them.
func TestShownOnlyWhileHeld(t *testing.T) {
	w := newWorld(22)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	for _, m := range of("CP1", "7", startAt(t0, 0, 0), meter(minutes(1), kwh, 1)) {
		w.send(readings, m.At, m)
	}
	s := newHanded(w)
	e := w.engine(t, testConfig(), &refs)
	m := &membership{w: w}
	m.holds.Store(true)
	e.source, e.committer, e.membership = s, w, m
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	inTime(t, "the session is shown", func() bool {
		found, err := e.Session(ctx, "7")
		return err == nil && len(found) == 1
	})
	m.holds.Store(false)
	if found, err := e.Session(ctx, "7"); !errors.Is(err, ErrRegrouping) || len(found) > 0 {
		t.Errorf("Session of an engine that may have lost its partitions: %v, %v", found, err)
	}
	if found, err := e.Dearest(ctx, 1); !errors.Is(err, ErrRegrouping) || len(found) > 0 {
		t.Errorf("Dearest of an engine that may have lost its partitions: %v, %v", found, err)
	}
	m.holds.Store(true)
	s.assignments <- Assignment{Generation: 2}
	s.assignments <- Assignment{Generation: 3, Partitions: []Partition{readings}}
	inTime(t, "the partition is recovered again, and the session shown", func() bool {
		st := e.Stats()
		if len(st) != 1 || st[0].Recoveries != 2 {
			return false
		}
		found, err := e.Session(ctx, "7")
		return err == nil && len(found) == 1
	})
}
