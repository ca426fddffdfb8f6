package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/wattline/wattline/engine/commit"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
)

// keeper commits the plans and offsets of one partition, and has its blocks settled, at most blocksInFlight at
// once. The order of durability is its whole purpose: plan, then rows and messages, the block's row, the
// snapshot, then offset with the next plan (I4).
type keeper struct {
	c       *partition
	settler *settler

	durable  int64         // all below is in the ledger
	snapshot SnapshotRef   // the newest one that is complete and not beyond durable
	before   SnapshotRef   // the one before it, in case it can not be read
	loaded   loaded        // which of the two the state is made from, as long as no newer one is complete
	buried   []SnapshotRef // that the next commit no longer names
	books    []BookChange  // since the older of the two
	plans    []Plan        // of recovery: planned, perhaps inserted in part, and not launched again yet

	inflight []*flight
	done     chan *flight
	shot     chan shot       // the snapshot that is being produced, when it is
	shooting bool            // one is
	produced SnapshotRef     // is produced, but beyond durable
	fences   chan chan error // settlers that want the plan committed again
	dirty    bool            // durable or snapshot moved since the last commit

	swept    bool           // snapshots that no commit names were looked for
	sweeping sync.WaitGroup // the look
	found    chan []Message // what it found: tombstones, for after the next commit
}

// flight is a block on its way.
type flight struct {
	block     *Block
	recovered bool
	settled   bool
	err       error
}

// shot is what became of a snapshot.
type shot struct {
	ref SnapshotRef
	err error
}

func (c *partition) newKeeper(durable int64, m *Metadata, from loaded) *keeper {
	k := &keeper{
		c: c, durable: durable, snapshot: m.Snapshot, before: m.Before, loaded: from, books: m.Books, plans: m.Plans,
		done: make(chan *flight, blocksInFlight), shot: make(chan shot, 1), fences: make(chan chan error),
		found: make(chan []Message, 1),
	}
	if !c.sameRules(m) && m.Before.Count > 0 { // what came behind it was rated by other rules: it leads nowhere
		k.bury(m.Before)
		k.before, k.books = SnapshotRef{}, booksSince(k.books, k.snapshot.Offset)
	}
	c.named.Store(int32(len(k.books)))
	k.settler = &settler{
		cfg: &c.e.cfg, sink: c.e.sink, producer: c.e.producer, clock: c.e.clock, log: c.log, store: c.e.ends.Store, fence: k.fence,
		gate:   &c.shard.teller.Gate,
		lastID: max(uint64(c.began.UnixNano()), m.Snapshot.ID, m.Before.ID),
	}
	return k
}

// keep runs until the shard closes its channel and everything is durable and committed, or it fails.
func (k *keeper) keep(ctx context.Context) error {
	defer k.sweeping.Wait()
	closed := k.c.closed
	for closed != nil || len(k.inflight) > 0 || k.shooting {
		// What is durable first: its commit carries the next plan.
		take, fences, shot := closed, k.fences, k.shot
		if len(k.done) > 0 {
			take, fences, shot = nil, nil, nil
		}
		if len(k.inflight) == blocksInFlight || len(shot) > 0 {
			take = nil
		}
		select {
		case b, ok := <-take:
			if !ok {
				closed = nil
				continue
			}
			if err := k.launch(ctx, b); err != nil {
				return k.wait(err)
			}
		case reply := <-fences:
			err := k.c.guard(func() error { return k.commit(ctx) }) // the settler waits for a reply
			reply <- err
			if err != nil {
				return k.wait(err)
			}
		case f := <-k.done:
			if err := k.landed(ctx, f, closed); err != nil {
				return k.wait(err)
			}
		case s := <-shot:
			if err := k.photographed(ctx, s); err != nil {
				return k.wait(err)
			}
		case <-ctx.Done():
			return k.wait(context.Cause(ctx))
		}
	}
	if !k.dirty {
		return nil
	}
	return k.commit(ctx)
}

// fence commits what is planned again, for a settler that has tried for long. It is called from the settler's
// goroutine; the commit is the keeper's.
func (k *keeper) fence(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case k.fences <- reply:
		return <-reply
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wait lets the settlers that still run see the end of the context, so that nothing outlives the partition. It may be
// called again: a settler that panicked ends keep, and who guards keep waits, too.
func (k *keeper) wait(err error) error {
	k.c.cancel(err)
	out := 0
	for _, f := range k.inflight {
		if !f.settled {
			out++
		}
	}
	for range out { // in whatever order they land
		(<-k.done).settled = true
	}
	if k.shooting {
		<-k.shot
		k.shooting = false
	}
	return err
}

// launch commits the plan of a closed block, and only then has it settled.
func (k *keeper) launch(ctx context.Context, b closedBlock) error {
	f := &flight{block: b.Block, recovered: b.recovered}
	if b.bookChange != nil {
		k.books = append(k.books, *b.bookChange)
		k.c.named.Store(int32(len(k.books)))
	}
	if b.recovered {
		k.plans = k.plans[1:]
	}
	k.inflight = append(k.inflight, f)
	if err := k.c.guard(func() error { return k.commit(ctx) }); err != nil {
		k.inflight = k.inflight[:len(k.inflight)-1]
		return err
	}
	go func() {
		f.err = k.c.guard(func() error { return k.settler.settle(ctx, f.block, f.recovered) })
		k.done <- f
	}()
	k.shoot(ctx, f.block.image)
	return nil
}

// shoot has a snapshot produced from the image that came with a block. It holds up no block: the commits go on, and
// name it once it is complete.
func (k *keeper) shoot(ctx context.Context, img *image) {
	if img == nil {
		return
	}
	if k.shooting {
		invariant.Bug("%s has two snapshots under way", k.c.p)
	}
	k.shooting = true
	go func() {
		var s shot
		s.err = k.c.guard(func() (err error) {
			s.ref, err = k.settler.snapshot(ctx, k.c.p, img)
			return err
		})
		k.shot <- s
	}()
}

// photographed takes a snapshot that was produced, or given up.
func (k *keeper) photographed(ctx context.Context, s shot) error {
	k.shooting = false
	if s.err != nil {
		return s.err
	}
	k.bury(k.produced) // one that no commit has named yet is not needed any more
	k.produced = s.ref
	k.nameProduced()
	k.c.endImage()
	if !k.dirty {
		return nil
	}
	return k.commit(ctx)
}

// nameProduced lets the next commit name the snapshot that was produced last, if all before it is durable (I4).
func (k *keeper) nameProduced() {
	if k.produced.Count == 0 || k.produced.Offset > k.durable {
		return
	}
	k.complete(k.produced)
	k.c.shard.stats.Snapshots.Add(1)
	k.produced, k.dirty = SnapshotRef{}, true
}

// landed takes a settled block; offsets advance in order. The commit waits for the next plan if one is at hand.
func (k *keeper) landed(ctx context.Context, f *flight, closed <-chan closedBlock) error {
	f.settled = true
	if f.err != nil {
		return f.err
	}
	freed := 0
	for ; len(k.inflight) > 0 && k.inflight[0].settled; freed++ {
		k.advance(k.inflight[0])
		k.inflight = k.inflight[1:]
	}
	var next closedBlock
	if k.dirty {
		select {
		case next = <-closed:
		default:
		}
	}
	for range freed { // only now: whether the shard is quick enough to close another one must not tell
		k.c.free <- struct{}{}
	}
	if next.Block != nil {
		return k.launch(ctx, next)
	}
	if !k.dirty {
		return nil
	}
	return k.commit(ctx)
}

// advance takes the oldest block off: it is durable.
func (k *keeper) advance(f *flight) {
	row := &f.block.Row
	st := k.c.shard.stats
	if row.Last >= row.First {
		k.durable = row.Last + 1
		st.DurableMs.Store(row.WatermarkMs)
		st.Blocks.Add(1)
		st.Rows.Add(row.Charges.Rows + row.Sessions.Rows)
		st.CDRs.Add(f.block.told[outbox.CDR])
		st.NoCDRs.Add(f.block.told[outbox.Reject])
	}
	k.dirty = true
	k.nameProduced()
	k.c.e.blocks.put(f.block)
}

// complete takes a new snapshot as the newest. The one before it is the newest that could be read: one that could
// not stayed named until now, so that a crash on the way here found the same way out.
func (k *keeper) complete(ref SnapshotRef) {
	switch k.loaded {
	case fromSnapshot:
		k.bury(k.before)
		k.before = k.snapshot
	case fromBefore:
		k.bury(k.snapshot)
	case fromLedger:
		k.bury(k.snapshot)
		k.bury(k.before)
		k.before = SnapshotRef{}
	}
	k.snapshot, k.loaded = ref, fromSnapshot
	oldest := k.snapshot.Offset
	if k.before.Count > 0 {
		oldest = k.before.Offset
	}
	k.books = booksSince(k.books, oldest)
	k.c.named.Store(int32(len(k.books)))
}

// bury has ref removed after the next commit, which no longer names it.
func (k *keeper) bury(ref SnapshotRef) {
	if ref.Count > 0 {
		k.buried = append(k.buried, ref)
	}
}

// booksSince drops the book changes that a snapshot at offset has behind it, keeping the one in force there.
func booksSince(books []BookChange, offset int64) []BookChange {
	i := 0
	for i+1 < len(books) && books[i+1].From <= offset {
		i++
	}
	return append([]BookChange(nil), books[i:]...)
}

// commit stores the durable offset with the plan of every block beyond it that may have rows: what is in flight,
// settled or not, and what a recovery has yet to make again.
func (k *keeper) commit(ctx context.Context) error {
	cfg := &k.c.e.cfg
	var dead []Message
	select {
	case dead = <-k.found:
	default:
	}
	m := Metadata{
		RatingVersion: rating.RatingVersion, SliceMs: cfg.SliceMs, TimeoutMs: cfg.SessionTimeoutMs,
		Partitioner: cfg.Partitioners[k.c.p.Topic].String(),
		Snapshot:    k.snapshot, Before: k.before, Books: k.books,
	}
	for _, f := range k.inflight {
		if row := &f.block.Row; row.Last >= row.First {
			m.Plans = append(m.Plans, Plan{First: row.First, Last: row.Last})
		}
	}
	m.Plans = append(m.Plans, k.plans...)
	text := AppendMetadata(nil, &m)
	if len(text) > commit.Limit || len(m.Books) > commit.MaxBooks {
		invariant.Bug("commit metadata of %d bytes and %d books is over %d and %d", len(text), len(m.Books), commit.Limit, commit.MaxBooks)
	}
	if err := k.c.e.committer.Commit(ctx, k.c.p, Commit{Offset: k.durable, Metadata: string(text)}); err != nil {
		return fmt.Errorf("commit offset %d of %s: %w", k.durable, k.c.p, err)
	}
	k.dirty = false
	k.c.shard.stats.Committed.Store(k.durable)
	for _, ref := range k.buried {
		k.settler.bury(ctx, k.c.p, ref)
	}
	k.buried = k.buried[:0]
	if len(dead) > 0 {
		k.settler.tombstones(ctx, k.c.p, dead)
	}
	k.sweepOnce(ctx)
	return nil
}

// sweepOnce looks, after the first commit, for snapshots that engines produced and were killed before they could
// commit them. What is younger than this life is left alone, it may be our own next one. They are removed after a
// later commit: it shows that the partition was ours until after the look, so that no other engine's commit can name
// one of them. An engine that stood still during the look might else remove the snapshot of its successor, whose
// clock is another.
func (k *keeper) sweepOnce(ctx context.Context) {
	if k.swept {
		return
	}
	k.swept = true
	keep, began := []uint64{k.snapshot.ID, k.before.ID}, k.c.began
	k.sweeping.Go(func() {
		var dead []Message
		err := k.c.guard(func() (err error) {
			dead, err = k.settler.sweep(ctx, k.c.e.logs, k.c.p, keep, uint64(began.UnixNano()))
			return err
		})
		switch {
		case err == nil:
			k.found <- dead
		case ctx.Err() == nil:
			k.c.log.Warn("old snapshots not looked for", "error", err)
		}
	})
}

// lost says whether err means that the partition is simply not ours any longer.
func lost(err error) bool { return errors.Is(err, ErrLost) || errors.Is(err, context.Canceled) }
