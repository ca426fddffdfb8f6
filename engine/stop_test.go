package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// slowSink takes its time for each insert, or never answers while it is shut.
type slowSink struct {
	*world
	mu     sync.Mutex
	rnd    *rand.Rand
	most   time.Duration
	opened chan struct{} // nil: open
}

func (s *slowSink) Insert(ctx context.Context, in *Insert) error {
	s.mu.Lock()
	d, opened := time.Duration(s.rnd.Int64N(int64(s.most))), s.opened
	s.mu.Unlock()
	if opened != nil {
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.world.Insert(ctx, in)
}

// pending says what a clean stop should have left: nothing to replay and no plan.
func (w *world) pending(t testing.TB, p Partition) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.commits[p]
	if !ok {
		return "no commit"
	}
	m, err := ParseMetadata(c.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case len(m.Plans) > 0:
		return "planned blocks: " + c.Metadata
	case m.Snapshot.Count == 0 || m.Snapshot.Offset != c.Offset:
		return "something to replay: " + c.Metadata
	}
	return ""
}

// TestStopLeavesNothing: an orderly stop, at whatever moment and however slow the store, also in the middle of a
// recovery from a kill, leaves no plan and nothing to replay: another release can go on.
func TestStopLeavesNothing(t *testing.T) {
	parts := []Partition{{"readings", 0}, {"readings", 1}}
	want := func() []string {
		w, refs := newWorld(3), []ReferenceRecord{}
		publishBasics(w, &refs, "CP0", "CP1", "CP2", "CP3")
		traffic(w, 7, parts)
		if err := runUntil(t, w, w.engine(t, testConfig(), &refs, parts...), parts...); err != nil {
			t.Fatal(err)
		}
		return w.result()
	}()
	recovering := 0
	for seed := uint64(1); seed <= 20; seed++ {
		rnd := rand.New(rand.NewPCG(seed, 9))
		w, refs := newWorld(3), []ReferenceRecord{}
		publishBasics(w, &refs, "CP0", "CP1", "CP2", "CP3")
		traffic(w, 7, parts)
		cfg := testConfig()
		cfg.StopTimeout, cfg.BlockOffsets, cfg.SnapshotReplay = time.Minute, int64(100+rnd.IntN(400)), time.Hour
		sink := &slowSink{world: w, rnd: rnd, most: 20 * time.Millisecond}
		for life := 0; ; life++ {
			kill := life%2 == 0
			e := w.engine(t, cfg, &refs, parts...)
			e.sink = sink
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- e.Run(ctx) }()
			sink.mu.Lock()
			wait := time.Duration(rnd.Int64N(int64(60 * time.Millisecond)))
			if !kill {
				wait /= 30 // most often before it has recovered
			}
			sink.mu.Unlock()
			time.Sleep(wait)
			ready := e.Ready()
			if kill {
				w.mu.Lock()
				w.dead = true
				w.mu.Unlock()
				e.kill()
			} else if ready != nil {
				recovering++
			}
			cancel()
			err := <-done
			if kill {
				w.mu.Lock()
				w.dead = false
				w.mu.Unlock()
				continue
			}
			if err != nil {
				t.Fatalf("seed %d: stop: %v", seed, err)
			}
			if !e.joined {
				continue // it was stopped before it had a partition: what the kill left is still there
			}
			rated := true
			for _, p := range parts {
				if what := w.pending(t, p); what != "" && w.committedUpTo(p) >= 0 {
					t.Fatalf("seed %d, life %d (ready: %v): after an orderly stop %s has %s", seed, life, ready, p, what)
				}
				rated = rated && w.committedUpTo(p) == w.end(p)
			}
			if rated {
				break
			}
		}
		if diff := cmp.Diff(want, w.result()); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	if recovering < 5 {
		t.Errorf("only %d of the stops came while a partition recovered: the test proves little", recovering)
	}
}

// TestStopTimeout: a store that does not answer ends an orderly stop with an error that says what is left, and where.
// What is left is finished by the next start.
func TestStopTimeout(t *testing.T) {
	w, refs := newWorld(4), []ReferenceRecord{}
	publishBasics(w, &refs, "CP1")
	sessionsFrom(w, 0, 10)
	cfg := testConfig()
	cfg.StopTimeout = 30 * time.Millisecond
	sink := &slowSink{world: w, rnd: rand.New(rand.NewPCG(1, 1)), most: time.Millisecond, opened: make(chan struct{})}
	e := w.engine(t, cfg, &refs, readings)
	e.sink = sink
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	inTime(t, "a block is planned", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return strings.Contains(w.commits[readings].Metadata, " p=")
	})
	cancel()
	err := <-done
	if !errors.Is(err, errStopTimeout) || !strings.Contains(err.Error(), "readings/0: not durable") {
		t.Errorf("a stop that was not done in time: %v", err)
	}
	if what := w.pending(t, readings); !strings.Contains(what, "planned blocks") {
		t.Fatalf("pending: %q", what)
	}
	if err := runUntil(t, w, w.engine(t, testConfig(), &refs, readings), readings); err != nil {
		t.Fatal(err)
	}
	if what := w.pending(t, readings); what != "" {
		t.Errorf("after the next start and stop: %s", what)
	}
	w.checkTiles(t, 4)
}
