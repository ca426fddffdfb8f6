package engine

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
)

// scene is a partition that left two snapshots behind, was rated a while beyond them, and whose engine was killed. A
// tariff came in front of each life, so that replaying needs the books of the readings. The rest of the log is still
// to come.
type scene struct {
	w    *world
	refs *[]ReferenceRecord
	log  []Record
	cfg  Config
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{w: newWorld(5), refs: &[]ReferenceRecord{}, cfg: testConfig()}
	s.cfg.SnapshotChunk, s.cfg.SnapshotReplay, s.cfg.BookEvery = 4096, time.Hour, time.Hour
	var uids []string
	for i := range overlapping {
		uids = append(uids, fmt.Sprintf("CP%d", i))
	}
	publishBasics(s.w, s.refs, uids...)
	overlap(s.w, 5)
	s.log = s.w.logs[readings.String()]
	for i, part := range []int{3, 6, 8} { // tenths of the log
		if i > 0 {
			publishTariff(s.w, s.refs, testTariff("T1", 300_000_000+int64(i)*7_000_000, 400_000_000))
		}
		s.w.logs[readings.String()] = s.log[:len(s.log)*part/10]
		l := s.w.begin(s.w.engine(t, s.cfg, s.refs, readings))
		waitUntil(t, "all committed", func() bool { return s.w.committed(readings) })
		if part == 8 {
			l.kill()
		} else {
			l.stop(t)
		}
	}
	publishTariff(s.w, s.refs, testTariff("T1", 400_000_000, 500_000_000))
	return s
}

const overlapping = 90

// overlap sends sessions that begin one after the other and run long: wherever the log is cut, many are alive, and
// they began under different books.
func overlap(w *world, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	reg, seq := [overlapping]int64{}, [overlapping]int64{}
	for step := range int64(overlapping + 40) {
		at := t0 + step*7*minuteMs
		for i := range int64(overlapping) {
			k, age := rating.KindMeter, step-i
			switch {
			case age == 0:
				k = rating.KindStart
			case age == 40 && i%3 > 0:
				k = rating.KindStop
			case age < 0 || age >= 40 || rnd.IntN(3) > 0:
				continue
			}
			m := message{Kind: k, CP: fmt.Sprintf("CP%d", i), Tx: fmt.Sprint(i), Conn: 1, At: at + i*100, Reg: reg[i], Seq: seq[i]}
			if i%2 > 0 {
				m.Seq = noSeq // known by their fingerprints
			}
			w.send(readings, m.At+1000, m)
			seq[i]++
			reg[i] += rnd.Int64N(kwh)
		}
	}
}

// finish rates the rest of the log, stops in order, and returns what the partition was made from.
func (s *scene) finish(t testing.TB, e *Engine) (from loaded) {
	t.Helper()
	s.w.logs[readings.String()] = s.log
	l := s.w.begin(e)
	waitUntil(t, "all committed, or halted", func() bool {
		return s.w.committed(readings) || halted(e)
	})
	if err := e.Ready(); err != nil {
		t.Fatal(err)
	}
	switch st := e.Stats()[0]; {
	case st.FallbackBefore > 0:
		from = fromBefore
	case st.FallbackLedger > 0:
		from = fromLedger
	}
	l.stop(t)
	return from
}

// chunksOf returns where the chunks of a snapshot lie on the state topic.
func (w *world) chunksOf(t testing.TB, ref SnapshotRef) (log []Record, chunks []int) {
	t.Helper()
	log = w.logs["wattline.state/0"]
	for i := range int(ref.Count) {
		key := string(snapshotKey(readings, ref.ID, i))
		chunks = append(chunks, slices.IndexFunc(log, func(r Record) bool { return string(r.Key) == key }))
	}
	if len(chunks) < 2 {
		t.Fatalf("a snapshot of %d chunks proves little", len(chunks))
	}
	return log, chunks
}

// The ways in which a snapshot is lost.
var spoilers = []struct {
	name  string
	spoil func(log []Record, chunks []int)
}{
	{"a chunk is missing", func(log []Record, chunks []int) { log[chunks[1]].Key = []byte("gone") }},
	{"a chunk is a tombstone", func(log []Record, chunks []int) { log[chunks[0]].Value = nil }},
	{"a byte changed", func(log []Record, chunks []int) {
		v := slices.Clone(log[chunks[1]].Value)
		v[17] ^= 4
		log[chunks[1]].Value = v
	}},
	{"a chunk is short", func(log []Record, chunks []int) { log[chunks[0]].Value = log[chunks[0]].Value[1:] }},
	{"two chunks changed places", func(log []Record, chunks []int) {
		log[chunks[0]].Value, log[chunks[1]].Value = log[chunks[1]].Value, log[chunks[0]].Value
	}},
}

// TestFallback: a snapshot that can not be used costs time and nothing else: the one before is taken, or everything
// is rated again, and what comes out is the same to the byte.
func TestFallback(t *testing.T) {
	whole := newScene(t)
	if from := whole.finish(t, whole.w.engine(t, whole.cfg, whole.refs, readings)); from != fromSnapshot {
		t.Fatalf("nothing was spoilt, and it was made from the %s", from)
	}
	want := whole.w.result()
	if n := energyPrices(whole.w); n < 4 {
		t.Fatalf("only %d prices of energy: the books prove nothing", n)
	}

	f := func(name string, from loaded, spoil func(t *testing.T, s *scene, m *Metadata, e *Engine)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			m, err := s.w.planOf(readings)
			if err != nil {
				t.Fatal(err)
			}
			if m.Before.Count == 0 || m.Before.Offset >= m.Snapshot.Offset || m.Books[0].From > m.Before.Offset {
				t.Fatalf("metadata %+v: no two snapshots", m)
			}
			e := s.w.engine(t, s.cfg, s.refs, readings)
			spoil(t, s, m, e)
			if got := s.finish(t, e); got != from {
				t.Errorf("made from the %s, want %s", got, from)
			}
			if diff := cmp.Diff(want, s.w.result()); diff != "" {
				t.Error(diff)
			}
			s.w.checkTiles(t, 5)
			s.checkAfter(t, from, m)
		})
	}
	for _, x := range spoilers {
		f(x.name, fromBefore, func(t *testing.T, s *scene, m *Metadata, _ *Engine) { x.spoil(s.w.chunksOf(t, m.Snapshot)) })
		f(x.name+" of both", fromLedger, func(t *testing.T, s *scene, m *Metadata, _ *Engine) {
			x.spoil(s.w.chunksOf(t, m.Snapshot))
			x.spoil(s.w.chunksOf(t, m.Before))
		})
	}
	f("the commit names another checksum", fromBefore, func(t *testing.T, s *scene, _ *Metadata, _ *Engine) {
		s.w.edit(t, func(_ *Commit, m *Metadata) { m.Snapshot.CRC++ })
	})
	f("the commit names another offset", fromBefore, func(t *testing.T, s *scene, _ *Metadata, _ *Engine) {
		s.w.edit(t, func(_ *Commit, m *Metadata) { m.Snapshot.Offset-- })
	})
	f("the state topic was emptied", fromLedger, func(_ *testing.T, s *scene, _ *Metadata, _ *Engine) {
		clear(s.w.logs["wattline.state/0"])
	})
	f("the state topic is another one", fromLedger, func(_ *testing.T, s *scene, m *Metadata, e *Engine) {
		e.logs = beyond{s.w, m.Before.At}
	})
	f("a batch of the state topic is damaged", fromBefore, func(t *testing.T, s *scene, m *Metadata, e *Engine) {
		_, chunks := s.w.chunksOf(t, m.Snapshot)
		e.logs = rotten{s.w, int64(chunks[1])}
	})
	f("chunks come again, and out of order", fromSnapshot, func(t *testing.T, s *scene, m *Metadata, _ *Engine) {
		log, chunks := s.w.chunksOf(t, m.Snapshot)
		first, second := log[chunks[0]], log[chunks[1]]
		first.Offset, second.Offset = second.Offset, first.Offset
		log[chunks[0]], log[chunks[1]] = second, first
		if len(chunks) > 2 {
			again := slices.Insert(log, chunks[2], second, first)
			for i := range again {
				again[i].Offset = int64(i)
			}
			s.w.logs["wattline.state/0"] = again
		}
	})
	f("the release before wrote the commit", fromLedger, func(t *testing.T, s *scene, m *Metadata, _ *Engine) {
		x := *m
		x.Before, x.Books = SnapshotRef{}, booksSince(m.Books, m.Snapshot.Offset)
		c := s.w.commits[readings]
		c.Metadata = string(bytes.Replace(AppendMetadata(nil, &x), []byte("wattline2"), []byte("wattline1"), 1))
		s.w.commits[readings] = c
		spoilers[0].spoil(s.w.chunksOf(t, m.Snapshot))
	})
	f("the log is deleted up to the snapshot before", fromBefore, func(t *testing.T, s *scene, m *Metadata, e *Engine) {
		e.source = &shortened{e.source.(*memSource), m.Before.Offset}
		spoilers[0].spoil(s.w.chunksOf(t, m.Snapshot))
	})
}

// beyond is a state topic that was made anew: it ends before the chunks that the commit names.
type beyond struct {
	*world
	end int64
}

func (b beyond) ReadLog(ctx context.Context, topic string, p int32, from int64, fn func(Record) error) (int64, error) {
	if topic == "wattline.state" && from >= b.end {
		return 0, &Halt{Reason: "offset-beyond-log-end", Detail: "the log ends before"}
	}
	return b.world.ReadLog(ctx, topic, p, from, fn)
}

// rotten is a state topic with a record batch that can not be read.
type rotten struct {
	*world
	at int64
}

func (d rotten) ReadLog(ctx context.Context, topic string, p int32, from int64, fn func(Record) error) (int64, error) {
	return d.world.ReadLog(ctx, topic, p, from, func(r Record) error {
		if topic == "wattline.state" && r.Offset == d.at {
			return fmt.Errorf("read log: %w: CRC32C", ErrUnreadable)
		}
		return fn(r)
	})
}

// checkAfter: the next snapshot is named with one that can be read, and those that can not are removed.
func (s *scene) checkAfter(t *testing.T, from loaded, was *Metadata) {
	t.Helper()
	now, err := s.w.planOf(readings)
	if err != nil {
		t.Fatal(err)
	}
	if now.Snapshot.Offset != int64(len(s.log)) {
		t.Errorf("the newest snapshot is of offset %d, want %d", now.Snapshot.Offset, len(s.log))
	}
	named := map[uint64]bool{now.Snapshot.ID: true, now.Before.ID: true}
	if from != fromSnapshot && named[was.Snapshot.ID] || from == fromLedger && named[was.Before.ID] {
		t.Errorf("from the %s: the commit names %+v and %+v, of which one was spoilt", from, now.Snapshot, now.Before)
	}
	live := map[uint64]bool{}
	for _, id := range []uint64{was.Before.ID, was.Snapshot.ID, now.Before.ID, now.Snapshot.ID} {
		key := string(snapshotKey(readings, id, 0))
		for _, r := range s.w.logs["wattline.state/0"] {
			if string(r.Key) == key {
				live[id] = r.Value != nil
			}
		}
	}
	for id, there := range live {
		if there != named[id] {
			t.Errorf("snapshot %d: there %v, named %v", id, there, named[id])
		}
	}
}

// TestNoFallback: where no way is left, the partition stands still, names each way and why it is none, and writes
// nothing.
func TestNoFallback(t *testing.T) {
	f := func(name string, spoil func(t *testing.T, s *scene, m *Metadata, e *Engine), details ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			m, err := s.w.planOf(readings)
			if err != nil {
				t.Fatal(err)
			}
			spoilers[0].spoil(s.w.chunksOf(t, m.Snapshot))
			e := s.w.engine(t, s.cfg, s.refs, readings)
			spoil(t, s, m, e)
			before, commit := s.w.result(), s.w.commits[readings]
			h := haltOf(t, s.w, e)
			if h.Reason != "snapshot-unusable" {
				t.Fatalf("halt %v", h)
			}
			for _, d := range append(details, "1 of ", "chunks are missing") {
				if !strings.Contains(h.Detail, d) {
					t.Errorf("%q is not in: %s", d, h.Detail)
				}
			}
			if diff := cmp.Diff(before, s.w.result()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(commit, s.w.commits[readings]); diff != "" {
				t.Error(diff)
			}
		})
	}
	f("the log is too short for either", func(_ *testing.T, s *scene, m *Metadata, e *Engine) {
		e.source = &shortened{e.source.(*memSource), m.Before.Offset + 1}
	}, "the one before, needs readings from offset", "first block begins at offset 0, the log at")
	f("the one before is lost too, and the log is too short", func(t *testing.T, s *scene, m *Metadata, e *Engine) {
		spoilers[2].spoil(s.w.chunksOf(t, m.Before))
		e.source = &shortened{e.source.(*memSource), 7}
	}, "with checksum", "the log at 7")
	f("both are lost, and a block is not in the ledger", func(t *testing.T, s *scene, m *Metadata, _ *Engine) {
		spoilers[1].spoil(s.w.chunksOf(t, m.Before))
		s.w.blocks = slices.Delete(s.w.blocks, 1, 2)
	}, "does not follow the one up to offset")
	f("both are lost, and a block was made otherwise", func(t *testing.T, s *scene, m *Metadata, _ *Engine) {
		spoilers[1].spoil(s.w.chunksOf(t, m.Before))
		s.w.blocks[1].Checksum++
	}, "rated again, block", "the ledger has")
	f("both are lost, and a block is of another rating version", func(t *testing.T, s *scene, m *Metadata, _ *Engine) {
		spoilers[1].spoil(s.w.chunksOf(t, m.Before))
		s.w.blocks[0].RatingVersion = rating.RatingVersion - 1
	}, "was made by rating version")
	f("both are lost, and the readings had another session time-out", func(t *testing.T, s *scene, m *Metadata, e *Engine) {
		spoilers[1].spoil(s.w.chunksOf(t, m.Before))
		s.w.edit(t, func(c *Commit, m *Metadata) { m.SliceMs = 5 * minuteMs })
		e.cfg.SliceMs = 5 * minuteMs
	}, "rated again, block")
	f("after a stop in order the rules were changed", func(t *testing.T, s *scene, _ *Metadata, e *Engine) {
		s.w.edit(t, func(c *Commit, m *Metadata) { c.Offset = m.Snapshot.Offset })
		s.w.blocks = slices.DeleteFunc(s.w.blocks, func(b BlockRow) bool { return b.First >= s.w.mustPlan(t).Snapshot.Offset })
		e.cfg.SliceMs = 5 * minuteMs
	}, "was rated by other rules", "rated again, block")
}

func (w *world) mustPlan(t testing.TB) *Metadata {
	t.Helper()
	m, err := w.planOf(readings)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRulesChangeDropsBefore: a snapshot from before a change of the rules is no way back across it: it is no longer
// named, and removed.
func TestRulesChangeDropsBefore(t *testing.T) {
	s := newScene(t)
	was := s.w.mustPlan(t)
	s.w.edit(t, func(c *Commit, m *Metadata) { c.Offset = m.Snapshot.Offset })
	s.w.blocks = slices.DeleteFunc(s.w.blocks, func(b BlockRow) bool { return b.First >= was.Snapshot.Offset })
	s.log = s.log[:was.Snapshot.Offset+1]
	cfg := s.cfg
	cfg.SliceMs = 5 * minuteMs
	s.w.logs[readings.String()] = s.log
	l := s.w.begin(s.w.engine(t, cfg, s.refs, readings))
	waitUntil(t, "all committed", func() bool { return s.w.committed(readings) })
	l.kill()
	now := s.w.mustPlan(t)
	if now.Snapshot.ID != was.Snapshot.ID || now.Before.Count != 0 {
		t.Errorf("named are %+v and %+v, want the newest alone", now.Snapshot, now.Before)
	}
	waitUntil(t, "a tombstone", func() bool {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		last := ""
		for _, r := range s.w.logs["wattline.state/0"] {
			if string(r.Key) == string(snapshotKey(readings, was.Before.ID, 0)) {
				last = string(r.Value)
			}
		}
		return last == ""
	})
}
