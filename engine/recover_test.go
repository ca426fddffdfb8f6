package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine/commit"
	"github.com/wattline/wattline/rating"
)

// life is one engine's life in a world: begun, and ended in one of three ways.
type life struct {
	e      *Engine
	cancel context.CancelFunc
	done   chan error
}

func (w *world) begin(e *Engine) *life {
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{e: e, cancel: cancel, done: make(chan error, 1)}
	go func() { l.done <- e.Run(ctx) }()
	return l
}

// waitUntil waits for ok, or fails the test.
func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// halted says whether a partition of e is halted. Ready is asked once: it may say something else a moment later.
func halted(e *Engine) bool {
	err := e.Ready()
	return err != nil && strings.Contains(err.Error(), "halted")
}

// committed says whether everything that was sent is durable.
func (w *world) committed(p Partition) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commits[p].Offset == int64(len(w.logs[p.String()]))
}

// planOf reads the partition's commit while an engine may run.
func (w *world) planOf(p Partition) (*Metadata, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return ParseMetadata(w.commits[p].Metadata)
}

func ignore(error) {}

func (l *life) kill() {
	l.e.kill()
	l.cancel()
	ignore(<-l.done) // how a killed engine ends does not matter
}

func (l *life) stop(t testing.TB) {
	t.Helper()
	l.cancel()
	if err := <-l.done; err != nil {
		t.Fatal(err)
	}
}

// haltOf runs e until its partition halts.
func haltOf(t testing.TB, w *world, e *Engine) *Halt {
	t.Helper()
	l := w.begin(e)
	var err error
	waitUntil(t, "a halt", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		if err = e.halted[readings]; err != nil {
			return true
		}
		c := e.parts[readings] // it is looked after once a second only
		if c == nil {
			return false
		}
		select {
		case <-c.ended:
			err = c.err
			return true
		default:
			return false
		}
	})
	l.cancel()
	ignore(<-l.done) // how a killed engine ends does not matter
	var h *Halt
	if !errors.As(err, &h) {
		t.Fatalf("error %v is no Halt", err)
	}
	return h
}

// shortened is a source whose log begins later.
type shortened struct {
	*memSource
	start int64
}

func (s *shortened) Bounds(ctx context.Context, p Partition) (int64, int64, error) {
	_, end, err := s.memSource.Bounds(ctx, p)
	return s.start, end, err
}

// rated is a world in which one partition was rated and the engine stopped in order, or was killed.
func rated(t testing.TB, cfg Config, killed bool) (*world, *[]ReferenceRecord) {
	t.Helper()
	w := newWorld(5)
	refs := &[]ReferenceRecord{}
	var uids []string
	for i := range 12 {
		uids = append(uids, fmt.Sprintf("CP%d", i))
	}
	publishBasics(w, refs, uids...)
	traffic(w, 5, []Partition{readings})
	l := w.begin(w.engine(t, cfg, refs, readings))
	waitUntil(t, "all committed", func() bool { return w.committed(readings) })
	if killed {
		l.kill()
	} else {
		l.stop(t)
	}
	return w, refs
}

// edit changes the metadata of the partition's commit.
func (w *world) edit(t testing.TB, change func(c *Commit, m *Metadata)) {
	t.Helper()
	c := w.commits[readings]
	m, err := ParseMetadata(c.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	change(&c, m)
	c.Metadata = string(AppendMetadata(nil, m))
	w.commits[readings] = c
}

// state returns the chunks on the state topic that the commit names.
func (w *world) state(t testing.TB) (log []Record, chunks []int) {
	t.Helper()
	m, err := ParseMetadata(w.commits[readings].Metadata)
	if err != nil {
		t.Fatal(err)
	}
	log = w.logs["wattline.state/0"]
	for i := range int(m.Snapshot.Count) {
		key := string(snapshotKey(readings, m.Snapshot.ID, i))
		chunks = append(chunks, slices.IndexFunc(log, func(r Record) bool { return string(r.Key) == key }))
	}
	if len(chunks) < 2 {
		t.Fatalf("a snapshot of %d chunks proves little", len(chunks))
	}
	return log, chunks
}

// TestHalts: where going on would lose or double, a partition stands still, says why, and nothing is written.
func TestHalts(t *testing.T) {
	f := func(name string, killed bool, spoil func(t *testing.T, w *world, e *Engine), reason, detail string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.SnapshotChunk, cfg.SnapshotReplay = 4096, time.Hour
			w, refs := rated(t, cfg, killed)
			e := w.engine(t, cfg, refs, readings)
			spoil(t, w, e)
			before, commit := w.result(), w.commits[readings]
			h := haltOf(t, w, e)
			if h.Reason != reason || !strings.Contains(h.Detail, detail) || h.Do == "" || h.Partition != readings {
				t.Errorf("halt %v, want %s with %q", h, reason, detail)
			}
			if diff := cmp.Diff(before, w.result()); diff != "" {
				t.Errorf("rows changed: %s", diff)
			}
			if diff := cmp.Diff(commit, w.commits[readings]); diff != "" {
				t.Errorf("the commit changed: %s", diff)
			}
		})
	}
	end := func(w *world) int64 { return int64(len(w.logs[readings.String()])) }

	f("the group was deleted", false, func(_ *testing.T, w *world, _ *Engine) { delete(w.commits, readings) },
		"no-metadata", "ledger has blocks up to offset")
	f("the offset was set by a tool", false, func(_ *testing.T, w *world, _ *Engine) { w.commits[readings] = Commit{Offset: 0} },
		"no-metadata", "committed offset 0")
	f("another program's offset, empty ledger", false, func(_ *testing.T, w *world, _ *Engine) {
		w.blocks, w.commits[readings] = nil, Commit{Offset: 7}
	}, "foreign-commit", "offset 7 without Wattline's plan")
	f("another program's metadata", false, func(_ *testing.T, w *world, _ *Engine) {
		w.commits[readings] = Commit{Offset: 7, Metadata: "spark"}
	}, "foreign-commit", "spark")

	f("messages were deleted unread", false, func(_ *testing.T, w *world, e *Engine) {
		e.source = &shortened{e.source.(*memSource), end(w) + 3}
		log := w.logs[readings.String()]
		w.logs[readings.String()] = append(log, log[:10]...)
	}, "offset-below-log-start", "3 messages were deleted unread")
	f("what has to be replayed was deleted", true, func(_ *testing.T, w *world, e *Engine) {
		e.source = &shortened{e.source.(*memSource), 5}
	}, "offset-below-log-start", "offset 0 is needed, the log begins at 5")
	f("the topic was truncated", false, func(_ *testing.T, w *world, _ *Engine) {
		w.logs[readings.String()] = w.logs[readings.String()][:20]
	}, "offset-beyond-log-end", "the log ends at 20")

	f("the reference log lost a tariff that a session has", false, func(_ *testing.T, w *world, e *Engine) {
		decode := e.ref.decode
		e.ref.decode = func(k, v []byte) (ReferenceRecord, error) {
			r, err := decode(k, v)
			if r.Tariff != nil {
				r = ReferenceRecord{}
			}
			return r, err
		}
	}, "snapshot-unusable", "is not in the reference log")

	f("another rating version has a plan", false, func(t *testing.T, w *world, _ *Engine) {
		w.edit(t, func(c *Commit, m *Metadata) {
			m.RatingVersion, m.Plans = rating.RatingVersion+1, []Plan{{First: c.Offset, Last: c.Offset + 1}}
		})
	}, "rating-version", "this release has")
	f("another rating version was killed: there is something to replay", true, func(t *testing.T, w *world, _ *Engine) {
		w.edit(t, func(_ *Commit, m *Metadata) { m.RatingVersion = rating.RatingVersion + 1 })
	}, "rating-version", "made by rating version")
	f("another slice length, and something to replay", true, func(_ *testing.T, _ *world, e *Engine) { e.cfg.SliceMs = 5 * minuteMs },
		"configuration-changed", "slices of 900000 ms")
	f("another session time-out, and something to replay", true, func(_ *testing.T, _ *world, e *Engine) { e.cfg.SessionTimeoutMs *= 2 },
		"configuration-changed", "7200000 ms")
	f("a plan that does not follow", false, func(t *testing.T, w *world, _ *Engine) {
		w.edit(t, func(c *Commit, m *Metadata) {
			c.Offset -= 10
			m.Snapshot, m.Books, m.Plans = SnapshotRef{}, []BookChange{{From: 0, Book: m.Books[0].Book}}, []Plan{{First: c.Offset + 1, Last: c.Offset + 5}}
		})
	}, "plan-gap", "does not follow offset")
	f("the planned block is there with other rows", true, func(t *testing.T, w *world, _ *Engine) {
		last := w.blocks[len(w.blocks)-1]
		w.edit(t, func(c *Commit, m *Metadata) {
			c.Offset, m.Plans = last.First, []Plan{{First: last.First, Last: last.Last}}
		})
		for i := range w.charges {
			if w.charges[i].block == last.First {
				w.charges[i].c.InclMicros++
				return
			}
		}
		t.Fatal("the last block has no charges")
	}, "block-differs", "table charges month 202506")
}

// stood is a Committer whose first answer is of before.
type stood struct {
	*world
	old *Commit
}

func (s *stood) Committed(ctx context.Context, p Partition) (Commit, error) {
	if c := s.old; c != nil {
		s.old = nil
		return *c, nil
	}
	return s.world.Committed(ctx, p)
}

// TestNoHalt: what only looks like the above goes on.
func TestNoHalt(t *testing.T) {
	f := func(name string, spoil func(t *testing.T, w *world, e *Engine)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.SnapshotChunk, cfg.SnapshotReplay = 4096, time.Hour
			w, refs := rated(t, cfg, false)
			before := w.result()
			e := w.engine(t, cfg, refs, readings)
			spoil(t, w, e)
			if err := runUntil(t, w, e, readings); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, w.result()); diff != "" {
				t.Error(diff)
			}
			w.checkTiles(t, 5)
		})
	}
	f("it stood still in its recovery while another engine went on", func(t *testing.T, w *world, e *Engine) {
		old := w.commits[readings]
		m, err := ParseMetadata(old.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		m.Plans, old.Offset = nil, w.blocks[0].First
		old.Metadata = string(AppendMetadata(nil, m))
		e.committer = &stood{world: w, old: &old}
	})
	f("a clean stop, then another rating version", func(t *testing.T, w *world, _ *Engine) {
		w.edit(t, func(_ *Commit, m *Metadata) { m.RatingVersion = rating.RatingVersion + 1 })
	})
	f("a clean stop, then another configuration", func(_ *testing.T, _ *world, e *Engine) { e.cfg.SliceMs, e.cfg.SessionTimeoutMs = -1, 7_200_000 })
	f("a clean stop, then all that was read is deleted", func(_ *testing.T, w *world, e *Engine) {
		e.source = &shortened{e.source.(*memSource), int64(len(w.logs[readings.String()]))}
	})
	f("the snapshot's chunks were produced twice, and an unfinished one lies between", func(t *testing.T, w *world, _ *Engine) {
		log, chunks := w.state(t)
		other := log[chunks[0]]
		other.Key, other.Value = []byte("readings/0/5/0"), []byte("unfinished")
		w.append("wattline.state", 0, other, log[chunks[1]], log[chunks[0]])
	})
}

// TestReferenceUnreadable: an engine that can not read the reference log does not start.
func TestReferenceUnreadable(t *testing.T) {
	w, refs := rated(t, testConfig(), false)
	w.append("wattline.reference", 0, Record{Value: []byte("a release from the future")})
	err := w.engine(t, testConfig(), refs, readings).Run(t.Context())
	if want := "halt: reference-unreadable"; err == nil || haltText(err) != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestBooksAreReplayed: after a kill without snapshot the readings are rated with the books that they were rated
// with before, each from its offset on: what an engine that was never killed makes is the same.
func TestBooksAreReplayed(t *testing.T) {
	run := func(seed uint64, kill func(phase int) bool) []string {
		w := newWorld(seed)
		refs := &[]ReferenceRecord{}
		publishBasics(w, refs, "CP1", "CP2", "CP3")
		cfg := testConfig()
		cfg.SnapshotReplay = time.Hour
		rnd := rand.New(rand.NewPCG(seed, 11))
		l := w.begin(w.engine(t, cfg, refs, readings))
		reg, killed := int64(0), 0
		for phase := range 6 {
			if phase > 0 {
				publishTariff(w, refs, testTariff("T1", 300_000_000+int64(phase)*7_000_000, 400_000_000+int64(phase)*11_000_000))
			}
			waitUntil(t, "the reference to be read", func() bool { return l.e.ref.Next() == int64(len(*refs)) })
			at := minutes(int64(phase) * 40)
			var ms []message
			for i := range 3 { // CP1 runs through all phases, the others begin anew in each
				cp, tx := fmt.Sprintf("CP%d", i+1), fmt.Sprintf("%d-%d", i, phase*min(i, 1))
				if i > 0 || phase == 0 {
					ms = append(ms, of(cp, tx, startAt(at, reg, int64(phase)*100))...)
				}
				for j := range int64(3) {
					reg += rnd.Int64N(kwh)
					ms = append(ms, of(cp, tx, meter(at+(j+1)*5*minuteMs, reg, int64(phase)*100+j+1))...)
				}
				if i == 1 {
					ms = append(ms, of(cp, tx, stopAt(at+20*minuteMs, reg, int64(phase)*100+9))...)
				}
			}
			for _, m := range ms {
				w.send(readings, m.At, m)
			}
			waitUntil(t, "a phase to be committed", func() bool { return w.committed(readings) })
			if kill(phase) {
				killed++
				m, err := w.planOf(readings)
				if err != nil || m.Snapshot.Count > 0 || len(m.Books) < phase {
					t.Fatalf("seed %d, phase %d: metadata %+v, error %v: nothing to replay", seed, phase, m, err)
				}
				l.kill()
				l = w.begin(w.engine(t, cfg, refs, readings))
			}
		}
		l.stop(t)
		w.checkTiles(t, seed)
		if n := energyPrices(w); n < 6 {
			t.Fatalf("seed %d: only %d prices of energy: the books prove nothing", seed, n)
		}
		return w.result()
	}
	for seed := uint64(1); seed <= 3; seed++ {
		want := run(seed, func(int) bool { return false })
		if diff := cmp.Diff(want, run(seed, func(int) bool { return true })); diff != "" {
			t.Errorf("seed %d, killed after each phase: %s", seed, diff)
		}
		if diff := cmp.Diff(want, run(seed, func(p int) bool { return p == 3 })); diff != "" {
			t.Errorf("seed %d, killed once: %s", seed, diff)
		}
	}
}

// energyPrices counts the prices of energy in the rows.
func energyPrices(w *world) int {
	prices := map[int64]bool{}
	for _, c := range w.charges {
		if c.c.Dimension == rating.Energy {
			prices[c.c.PriceNano] = true
		}
	}
	return len(prices)
}

// TestManyBooksAndKills: however often an engine is killed between book changes, the metadata stays readable: a
// snapshot comes in time.
func TestManyBooksAndKills(t *testing.T) {
	w := newWorld(1)
	refs := &[]ReferenceRecord{}
	publishBasics(w, refs, "CP1")
	cfg := testConfig()
	cfg.SnapshotReplay = time.Hour
	snapshots := map[uint64]bool{}
	for i := range int64(3 * commit.MaxBookChanges) {
		publishTariff(w, refs, testTariff("T1", 300_000_000+i, 400_000_000))
		e := w.engine(t, cfg, refs, readings)
		l := w.begin(e)
		w.send(readings, minutes(i), message{Kind: rating.KindStatus, CP: "CP1", Conn: 1, At: minutes(i), Reg: noReg, Seq: noSeq})
		waitUntil(t, "a message to be committed", func() bool {
			return w.committed(readings) || halted(e)
		})
		l.kill()
		m, err := ParseMetadata(w.commits[readings].Metadata)
		if err != nil {
			t.Fatalf("after %d books: %v (%v)", i+1, err, e.Ready())
		}
		if !w.committed(readings) {
			t.Fatalf("after %d books: %v", i+1, e.Ready())
		}
		snapshots[m.Snapshot.ID] = true
	}
	if len(snapshots) < 3 {
		t.Errorf("%d snapshots for %d book changes", len(snapshots)-1, 3*commit.MaxBookChanges)
	}
}
