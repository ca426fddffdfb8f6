package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/wattline/wattline/rating"
)

// badBatch gives its records, then what can not be read.
type badBatch struct{ memBatch }

func (b *badBatch) Read(dst []Record) (int, error) {
	if n, _ := b.memBatch.Read(dst); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("checksum: %w", ErrUnreadable)
}

// badFeed gives the log of its partition up to an offset, then a batch that can not be read. Mended, it is gone on with.
type badFeed struct {
	memFeed
	err error
}

func (f *badFeed) Err() error { return f.err }

// damaged is a Source whose partition p can not be read at offset at until it is mended. inFeed: the feed finds out,
// else the batch.
type damaged struct {
	*handed
	p      Partition
	at     int64
	inFeed bool

	mu     sync.Mutex
	opened int
	mended bool
}

func (d *damaged) Open(p Partition, from int64) (Feed, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p != d.p || d.mended {
		return d.memSource.Open(p, from)
	}
	d.opened++
	d.w.mu.Lock()
	recs := d.w.logs[p.String()]
	d.w.mu.Unlock()
	f := &badFeed{memFeed: memFeed{ch: make(chan Batch, 1), stop: make(chan struct{})}}
	good := memBatch{recs: recs[from:d.at], next: d.at}
	if d.inFeed {
		f.err = fmt.Errorf("head: %w", ErrUnreadable)
		if len(good.recs) > 0 {
			f.ch <- &good
		}
	} else {
		f.ch <- &badBatch{memBatch{recs: good.recs, next: d.at + 1}}
	}
	close(f.ch)
	return f, nil
}

// TestUnreadableBatch: bytes that can not be read stop their partition alone, after some tries that are further and
// further apart, with one line, and with all that came before them durable. When they can be read it goes on.
func TestUnreadableBatch(t *testing.T) {
	for _, inFeed := range []bool{true, false} {
		t.Run(fmt.Sprintf("inFeed=%v", inFeed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(41)
			var refs []ReferenceRecord
			publishBasics(w, &refs, "CP1")
			parts := manyPartitions(w, 4, 10)
			bad, others := parts[1], []Partition{parts[0], parts[2], parts[3]}
			var out lines
			s := &damaged{handed: newHanded(w), p: bad, at: 20, inFeed: inFeed}
			e, stop := hostedTo(t, w, &refs, s, &out)
			s.assignments <- Assignment{Generation: 1, Partitions: parts}
			inTime(t, "the others are durable", func() bool { return allDurable(w, others) })
			inTime(t, "all before the damage is durable", func() bool { return w.committedUpTo(bad) == 20 })
			inTimeLong(t, "it halts", func() bool { return strings.Contains(fmt.Sprint(e.Ready()), "unreadable-batch") })
			for _, p := range others {
				sendSessions(w, p, 10, 5)
			}
			inTime(t, "the others go on", func() bool { return allDurable(w, others) })
			if s.opened != unreadableTries {
				t.Errorf("it was opened %d times, want %d", s.opened, unreadableTries)
			}
			if n := len(out.with("level=WARN")) + len(out.with("level=ERROR")); n != 2 {
				t.Errorf("want a warning and the halt, got\n%s", strings.Join(out.with(""), "\n"))
			}
			s.mu.Lock()
			s.mended = true
			s.mu.Unlock()
			s.assignments <- Assignment{Generation: 2, Partitions: others}
			s.assignments <- Assignment{Generation: 3, Partitions: parts}
			inTime(t, "all is durable", func() bool { return allDurable(w, parts) })
			if err := stop(); err != nil {
				t.Error(err)
			}
			w.checkTiles(t, 41)
			if got := len(w.sessions); got != 10+3*15 {
				t.Errorf("%d sessions", got)
			}
		})
	}
}

// TestUnreadableOnce: bytes that were damaged on the way are read the next time, and forgotten.
func TestUnreadableOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(42)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	parts := manyPartitions(w, 2, 10)
	var out lines
	s := &damaged{handed: newHanded(w), p: parts[0], at: 7}
	e, _ := hostedTo(t, w, &refs, s, &out)
	s.assignments <- Assignment{Generation: 1, Partitions: parts}
	inTime(t, "it failed", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.opened >= 2 })
	if err := e.Ready(); err == nil || !strings.Contains(err.Error(), "is tried again") {
		t.Errorf("ready says %v", err)
	}
	s.mu.Lock()
	s.mended = true
	s.mu.Unlock()
	inTime(t, "all is durable", func() bool { return allDurable(w, parts) })
	inTimeLong(t, "it is ready", func() bool { return e.Ready() == nil })
	if len(out.with("level=WARN")) != 1 || len(out.with("partition rates again")) != 1 {
		t.Errorf("want a line and its end, got\n%s", strings.Join(out.with(""), "\n"))
	}
}

// TestPanicStopsItsPartition: a record that a decoder, or what rates, panics at halts its partition, loudly, and no
// other; nothing half done becomes durable, and a question that panics stops nobody.
func TestPanicStopsItsPartition(t *testing.T) {
	t.Parallel()
	w := newWorld(43)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	parts := manyPartitions(w, 3, 4)
	w.send(parts[1], minutes(500), message{Kind: rating.KindMeter, CP: "CP1", Tx: "poison", Conn: 1, At: minutes(500), Reg: kwh})
	poison := w.end(parts[1]) - 1
	sendSessions(w, parts[1], 40, 3)
	var out lines
	s := newHanded(w)
	e := w.engine(t, testConfig(), &refs)
	e.source, e.log = s, out.logger()
	e.watch(Ends{Producer: w, Ledger: w})
	e.decoders = func(string, []byte) Decode {
		return func(key, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
			if strings.Contains(string(value), "poison") {
				panic("index out of range [3] with length 2")
			}
			return decodeJSON(key, value, dst)
		}
	}
	stop := runHosted(t, e)
	s.assignments <- Assignment{Generation: 1, Partitions: parts}
	inTime(t, "it halts", func() bool { return strings.Contains(fmt.Sprint(e.Ready()), ": panic: index out of range") })
	inTime(t, "the others are durable", func() bool { return allDurable(w, []Partition{parts[0], parts[2]}) })
	if at := w.committedUpTo(parts[1]); at > poison {
		t.Errorf("offset %d is committed, though %d was not rated", at, poison)
	}
	if got := out.with("partition panicked"); len(got) != 1 || !strings.Contains(got[0], "tries_test.go") {
		t.Errorf("want the stack once, got %q", got)
	}
	for _, st := range e.Stats() {
		if (st.Halted != "") != (st.Partition == parts[1]) {
			t.Errorf("%s: halted %q", st.Partition, st.Halted)
		}
	}
	if err := e.ask(t.Context(), func(*shard) { panic("odd question") }); err == nil || errors.Is(err, ErrCatchingUp) {
		t.Errorf("a question that panics: %v", err)
	}
	sendSessions(w, parts[0], 4, 2)
	inTime(t, "the others go on", func() bool { return allDurable(w, []Partition{parts[0], parts[2]}) })
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.checkTiles(t, 43)
}

// TestFailingBacksOff: a partition that never starts is tried less and less often, with one line.
func TestFailingBacksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(44)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	var out lines
	s := newHanded(w)
	tries := make(chan struct{}, 100)
	s.open = func(Partition, int64) (Feed, error) { tries <- struct{}{}; return nil, errors.New("no way") }
	e, _ := hostedTo(t, w, &refs, s, &out)
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	for range 3 {
		<-tries
	}
	inTime(t, "it says so", func() bool { return strings.Contains(fmt.Sprint(e.Ready()), "no way") })
	if n := len(out.with("level=WARN")); n != 1 {
		t.Errorf("%d lines, want 1: %s", n, strings.Join(out.with(""), "\n"))
	}
}
