package engine

import (
	"bytes"
	"fmt"

	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/internal/invariant"
)

// Replayer rates a partition again, block by block, without writing anything: package engine/verify holds the
// ledger against what it makes. It cleans and prices as a shard does, because it is one, and tells its Tracer. One
// goroutine uses it.
type Replayer struct {
	shard *shard
	began bool
	one   [1]Record
}

// NewReplayer returns a Replayer of p, of which nothing was rated yet. cfg says slices and time-out as they were;
// the rest of it is not looked at. ref must have followed its log. An error: the log has no installation record.
func NewReplayer(p Partition, cfg Config, decoders Decoders, ref *Reference, tracer Tracer) (*Replayer, error) {
	key, ok := ref.HashKey()
	if !ok {
		return nil, fmt.Errorf("replay %s: the reference log has no installation record, so sessions have no identity", p)
	}
	cfg = cfg.WithDefaults()
	s := newShard(p, &cfg, decoders, ref, key)
	s.tracer = tracer
	s.block = newBlock()
	return &Replayer{shard: s}, nil
}

// Begin begins a block at offset first, rated with the book that its row names. A newer book than that of the block
// before is taken as the engine takes it: between two messages, held sessions first.
func (r *Replayer) Begin(first, book int64) {
	s := r.shard
	s.nextOffset = first
	if !r.began {
		r.began, s.bookOffset = true, book
	}
	s.block.reset(s.partition, first, book)
	if book != s.bookOffset {
		s.changeBook(book)
	}
}

// Rate rates one record. Offsets grow; the record's slices are not kept.
func (r *Replayer) Rate(rec Record) {
	r.one[0] = rec
	r.shard.rateRecords(r.one[:])
	r.one[0] = Record{}
}

// End ends the block at offset last, inclusive, and returns the row that the ledger should have of it, but for the
// engine's name.
func (r *Replayer) End(last int64) BlockRow {
	s := r.shard
	s.nextOffset = last + 1
	s.closeBlock("")
	return s.block.Row
}

// Block is the block that End ended, with its rows and rejects; it is good until the next Begin.
func (r *Replayer) Block() *Block { return r.shard.block }

// Snapshot is what a snapshot of the state after the block that End ended has.
func (r *Replayer) Snapshot() []byte {
	s := r.shard
	img := s.beginImage(&slab.ImagePools{})
	for s.stepImage(imageStep) {
	}
	var b bytes.Buffer
	if _, _, err := snapshot.Write(&b, img.Parts()); err != nil {
		invariant.Bug("a buffer refused a snapshot: %v", err)
	}
	return b.Bytes()
}

// Price is what is told of a running session once all messages below offset are in it; nil: it does not run.
func (r *Replayer) Price(offset int64, id SessionID) (told []byte) {
	s := r.shard
	defer func(next int64) { s.nextOffset = next }(s.nextOffset)
	s.nextOffset = offset
	s.withID(id, func(ss *snapshot.Session) {
		if ss.Priced() && !s.over(ss) {
			price := s.priceNow(ss)
			told = outbox.AppendPrice(nil, s.outSource(), &price)
		}
	})
	return told
}

// Position is the source position of the reading at hand, for a Tracer that is being told something.
func (r *Replayer) Position() int64 { return r.shard.position }

// SessionUUID is the column session_id of ss.
func (r *Replayer) SessionUUID(ss *snapshot.Session) [16]byte { return identity.Of(r.shard.source, ss) }

// Plan is what prices ss; ok false while nothing does.
func (r *Replayer) Plan(ss *snapshot.Session) (plan snapshot.Plan, ok bool) {
	return r.shard.plans.Ref[ss.Plan], ss.Plan != 0
}

// Each calls fn for every session that runs, is held, or was closed provisionally a short while ago. The order is
// none; fn may not keep ss.
func (r *Replayer) Each(fn func(ss *snapshot.Session)) { r.shard.sessions.Each(fn) }
