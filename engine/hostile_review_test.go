package engine

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// laterBad is a Source whose first feed brings what is below offset at, and when told so a batch that can not be read.
type laterBad struct {
	*handed
	at    int64
	now   chan struct{}
	tried atomic.Bool
}

func (s *laterBad) Open(p Partition, from int64) (Feed, error) {
	if s.tried.Swap(true) {
		return s.memSource.Open(p, from)
	}
	f := &memFeed{ch: make(chan Batch), stop: make(chan struct{})}
	s.w.mu.Lock()
	good := &memBatch{recs: s.w.logs[p.String()][from:s.at], next: s.at}
	s.w.mu.Unlock()
	go func() {
		defer close(f.ch)
		f.ch <- good
		<-s.now
		f.ch <- &badBatch{memBatch{next: s.at + 1}}
	}()
	return f, nil
}

// TestUnreadableAtABookChange: the first batch of a block can not be read, when a new book has just priced held
// sessions. The block has no offset, so it has no plan and is never written (I7): what the book changed must not be in
// a snapshot either, else the rows of the held sessions are lost.
func TestUnreadableAtABookChange(t *testing.T) {
	t.Parallel()
	w := newWorld(45)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	for _, m := range of("CP9", "held", startAt(t0, 0, 0), meter(minutes(10), kwh, 1), stopAt(minutes(20), 2*kwh, 2)) {
		w.send(readings, m.At, m)
	}
	before := w.end(readings)
	for _, m := range of("CP1", "a", startAt(minutes(30), 0, 0), stopAt(minutes(40), kwh, 1)) {
		w.send(readings, m.At, m)
	}
	var out lines
	s := &laterBad{handed: newHanded(w), at: before, now: make(chan struct{})}
	e, stop := hostedTo(t, w, &refs, s, &out)
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	inTime(t, "what came before it is durable", func() bool { return w.committedUpTo(readings) == before })
	l := testLocation("L2", "T1", "CP9")
	w.publish(&refs, ReferenceRecord{LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L2"}, Location: l})
	inTime(t, "the engine knows the book", func() bool { return e.ref.Next() == 4 })
	close(s.now)
	inTimeLong(t, "all is durable", func() bool { return w.committedUpTo(readings) == w.end(readings) })
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.checkTiles(t, 45)
	energy := int64(0)
	for _, c := range w.charges {
		if c.c.Kind == rating.ChargeUsage {
			energy += c.c.EnergyMwh
		}
	}
	if energy != 3*kwh {
		t.Errorf("%d mWh are in the rows, want %d: those of the held session are lost", energy, 3*kwh)
	}
}

// TestStopWalksToTheEnd: a stop that comes while the image of this very state is being made waits for it. Given up, it
// would leave something to replay, which another release or configuration refuses.
func TestStopWalksToTheEnd(t *testing.T) {
	w, refs := newWorld(46), []ReferenceRecord{}
	c := newPartition(w.engine(t, testConfig(), &refs), readings)
	c.shard = newShard(readings, &c.e.cfg, c.e.decoders, c.e.ref, HashKey{})
	for i := range uint64(10 * imageStep * stepsAtOnce) {
		c.shard.sessions.Insert(snapshot.Key{i * 0x9e3779b97f4a7c15, i*0xbf58476d1ce4e5b9 + 1})
	}
	c.shard.block, c.shard.nextOffset = newBlock(), 7
	c.shard.block.reset(readings, 7, 1)
	c.beginImage(c.shard.block)
	img := c.shard.image
	if err := c.closeBlock(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	c.shard.dropImage()
	if ok, _ := img.await(t.Context()); !ok {
		t.Error("the image was given up")
	}
}

// TestPanicEndsTheWait: a keeper whose settlers panicked, or whose commit did, ends, and so does its partition. keep
// waits for what still runs, and so does who guards keep.
func TestPanicEndsTheWait(t *testing.T) {
	k := &keeper{c: &partition{cancel: func(error) {}}, done: make(chan *flight, blocksInFlight), shot: make(chan shot, 1), shooting: true}
	f := &flight{}
	k.inflight = []*flight{{settled: true}, f}
	k.done <- f
	k.shot <- shot{}
	done := make(chan struct{})
	go func() { _ = k.wait(context.Canceled); _ = k.wait(context.Canceled); close(done) }()
	inTime(t, "it ends", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// TestWaitForAll: a keeper waits for every settler, in whatever order they land: nothing outlives the partition.
func TestWaitForAll(t *testing.T) {
	k := &keeper{c: &partition{cancel: func(error) {}}, done: make(chan *flight, blocksInFlight)}
	a, b := &flight{}, &flight{}
	k.inflight = []*flight{a, b}
	k.done <- b
	k.done <- a
	_ = k.wait(context.Canceled)
	if !a.settled || !b.settled || len(k.done) != 0 {
		t.Errorf("it ended without waiting: first settled %v, second %v, %d left", a.settled, b.settled, len(k.done))
	}
}
