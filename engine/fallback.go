package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/engine/stats"
	"github.com/wattline/wattline/rating"
)

// loaded says what the state of a recovered partition was made from.
type loaded uint8

const (
	fromSnapshot loaded = iota // the newest snapshot, or the log's beginning where there is none yet
	fromBefore                 // the one before: the newest can not be used
	fromLedger                 // every reading since the first block: no snapshot can be used
)

func (l loaded) String() string { return [...]string{"snapshot", "snapshot before", "ledger"}[l] }

// unusable says why a way to the state is no way.
type unusable struct{ why string }

func (u *unusable) Error() string { return u.why }

// resume makes the state at the committed offset and leaves the feed open there. It tries the newest snapshot, the
// one before, then all readings since the first block, and tells what it does instead of what. first is the offset
// from which it rated.
func (c *partition) resume(ctx context.Context, committed int64, m *Metadata, start, end int64) (from loaded, first int64, err error) {
	<-c.free
	block := c.e.blocks.get()
	fresh := func() {
		key, _ := c.e.ref.HashKey()
		c.shard = newShard(c.p, &c.e.cfg, c.e.decoders, c.e.ref, key)
		c.shard.teller.After = c.e.clock.After
		c.shard.stats.End.Store(end)
		c.shard.stats.Committed.Store(committed)
		c.shard.block, c.shard.nextOffset = block, committed
		c.counters.Store(c.shard.stats)
	}
	var why []string
	for from = fromSnapshot; from <= fromLedger; from++ {
		fresh()
		if first, err = c.attempt(ctx, from, committed, m, start); err == nil {
			fellBack(c.shard.stats, from)
			return from, first, nil
		}
		bad, ok := errors.AsType[*unusable](err)
		if !ok {
			return from, first, err
		}
		c.closeFeed()
		why = append(why, bad.why)
		if from < fromLedger {
			c.log.Warn("snapshot can not be used", "why", bad.why, "trying", (from + 1).String())
		}
	}
	return from, first, &Halt{
		Reason: "snapshot-unusable", Partition: c.p, Detail: strings.Join(why, "; and "), Do: "see docs/runbook/snapshot-unusable.md",
	}
}

func (c *partition) closeFeed() {
	if c.feed != nil {
		c.feed.Close()
		c.feed = nil
	}
	if c.pending != nil {
		c.pending.Release()
		c.pending = nil
	}
}

// attempt makes the state one way. An *unusable error says that this is no way.
func (c *partition) attempt(ctx context.Context, from loaded, committed int64, m *Metadata, start int64) (first int64, err error) {
	switch from {
	case fromSnapshot:
		err = c.begin(ctx, m)
	case fromBefore:
		err = c.beginBefore(ctx, m, start)
	default:
		return c.rerate(ctx, committed, m, start)
	}
	if err != nil {
		return 0, err
	}
	first = c.shard.nextOffset
	if first < start {
		return first, c.belowStart(first, start)
	}
	if err := c.open(first); err != nil {
		return first, err
	}
	if err := c.replay(ctx, m.Books, committed); err != nil {
		c.closeFeed()
		return first, err
	}
	return first, nil
}

func (c *partition) open(from int64) (err error) {
	if c.feed, err = c.e.source.Open(c.p, from); err != nil {
		return fmt.Errorf("open %s at offset %d: %w", c.p, from, err)
	}
	return nil
}

// begin takes the newest snapshot, or the empty state where there is none yet.
func (c *partition) begin(ctx context.Context, m *Metadata) error {
	if err := c.load(ctx, m.Snapshot); err != nil {
		return err
	}
	if m.Snapshot.Count == 0 && len(m.Books) > 0 {
		c.shard.nextOffset = m.Books[0].From
	}
	if len(m.Books) == 0 {
		m.Books = []BookChange{{From: c.shard.nextOffset, Book: c.e.ref.Next()}}
		c.shard.bookOffset = m.Books[0].Book
	}
	return nil
}

// beginBefore takes the snapshot before the newest.
func (c *partition) beginBefore(ctx context.Context, m *Metadata, start int64) error {
	switch {
	case m.Before.Count == 0:
		return &unusable{"the commit names no snapshot before it"}
	case !c.sameRules(m):
		return &unusable{fmt.Sprintf("what came behind snapshot %d, the one before, was rated by other rules", m.Before.ID)}
	case m.Before.Offset < start:
		return &unusable{fmt.Sprintf("snapshot %d, the one before, needs readings from offset %d, but the log begins at %d", m.Before.ID, m.Before.Offset, start)}
	}
	return c.load(ctx, m.Before)
}

// errLoaded ends a ReadLog early: all chunks are there.
var errLoaded = errors.New("all chunks loaded")

// load restores the snapshot that ref names, if it names one.
func (c *partition) load(ctx context.Context, ref SnapshotRef) error {
	if ref.Count == 0 {
		return nil
	}
	bad := func(format string, args ...any) error {
		return &unusable{fmt.Sprintf("snapshot %d on %s/%d at offset %d: ", ref.ID, c.e.cfg.StateTopic, c.p.Number, ref.At) + fmt.Sprintf(format, args...)}
	}
	bytes, missing, err := c.chunks(ctx, ref)
	if h, ok := errors.AsType[*Halt](err); ok { // the topic is another one, or was emptied
		return bad("%s", h.Detail)
	}
	if errors.Is(err, ErrUnreadable) { // what is behind it may be gone for good, and there are other ways
		return bad("%s", err)
	}
	if err != nil {
		return fmt.Errorf("read snapshot %d of %s from %s at offset %d: %w", ref.ID, c.p, c.e.cfg.StateTopic, ref.At, err)
	}
	if missing > 0 {
		return bad("%d of %d chunks are missing", missing, ref.Count)
	}
	if int64(len(bytes)) != ref.Bytes || snapshot.Checksum(bytes) != ref.CRC {
		return bad("%d bytes with checksum %08x, want %d with %08x", len(bytes), snapshot.Checksum(bytes), ref.Bytes, ref.CRC)
	}
	st, err := snapshot.Decode(bytes)
	if err != nil {
		return bad("%s", err)
	}
	if st.Topic != c.p.Topic || st.Partition != c.p.Number || st.NextOffset != ref.Offset {
		return bad("it is of %s/%d at offset %d", st.Topic, st.Partition, st.NextOffset)
	}
	if err := c.shard.restore(st); err != nil {
		return bad("%s", err)
	}
	return nil
}

// chunks reads the chunks of a snapshot and puts them together in order. They come in order, but where a producer's
// retry or two engines' clean-up made it otherwise.
func (c *partition) chunks(ctx context.Context, ref SnapshotRef) (bytes []byte, missing int, err error) {
	place := make(map[string]int, ref.Count)
	for i := range int(ref.Count) {
		place[string(snapshotKey(c.p, ref.ID, i))] = i
	}
	missing, bytes = int(ref.Count), make([]byte, 0, min(max(ref.Bytes, 0), 1<<30)) // the size is a hint, until it is compared
	next, early := 0, map[int][]byte{}
	_, err = c.e.logs.ReadLog(ctx, c.e.cfg.StateTopic, c.p.Number, ref.At, func(rec Record) error {
		if i, ok := place[string(rec.Key)]; ok && i >= next && early[i] == nil && rec.Value != nil {
			early[i] = rec.Value
			if missing--; i > next {
				early[i] = append([]byte{}, rec.Value...) // its turn comes later
			}
		}
		for ; early[next] != nil; next++ {
			bytes = append(bytes, early[next]...)
			delete(early, next)
		}
		if missing == 0 {
			return errLoaded
		}
		return nil
	})
	if errors.Is(err, errLoaded) {
		err = nil
	}
	return bytes, missing, err
}

// ratedBlock is what the ledger says of a block.
type ratedBlock struct {
	first, last, book int64
	checksum          uint64
}

// rerate makes the state from every reading since the partition's first block, block by block with the books that
// the ledger has of them. What each block comes out as must be what was written: a checksum that differs says that
// the state would, too.
func (c *partition) rerate(ctx context.Context, committed int64, m *Metadata, start int64) (first int64, err error) {
	blocks, err := c.ratedBlocks(ctx, committed, start)
	if err != nil {
		return 0, err
	}
	s := c.shard
	first = blocks[0].first
	c.log.Warn("rating everything again", "from", first, "to", committed, "blocks", len(blocks))
	if err := c.open(first); err != nil {
		return first, err
	}
	s.nextOffset, s.bookOffset = first, blocks[0].book
	for i := range blocks {
		b := &blocks[i]
		s.block.reset(c.p, b.first, b.book)
		if b.book != s.bookOffset {
			s.changeBook(b.book)
		}
		if err := c.rateTo(ctx, b.last); err != nil {
			c.closeFeed()
			return first, err
		}
		s.closeBlock("")
		if got := s.block.Row.Checksum; got != b.checksum {
			return first, &unusable{fmt.Sprintf("rated again, block %d-%d has checksum %016x, the ledger has %016x: it was made with another configuration or state",
				b.first, b.last, got, b.checksum)}
		}
	}
	c.books = booksFrom(m.Books, committed)
	return first, nil
}

// ratedBlocks lists the blocks below committed, if they can all be rated again.
func (c *partition) ratedBlocks(ctx context.Context, committed, start int64) ([]ratedBlock, error) {
	no := func(format string, args ...any) error {
		return &unusable{"the readings can not be rated again: " + fmt.Sprintf(format, args...)}
	}
	var blocks []ratedBlock
	for row, err := range c.e.ledger.Blocks(ctx, c.p) {
		if err != nil {
			return nil, fmt.Errorf("read the blocks of %s: %w", c.p, err)
		}
		if row.First >= committed {
			break
		}
		switch n := len(blocks); {
		case n == 0 && row.First < start:
			return nil, no("the first block begins at offset %d, the log at %d", row.First, start)
		case n > 0 && row.First != blocks[n-1].last+1:
			return nil, no("block %d does not follow the one up to offset %d", row.First, blocks[n-1].last)
		case row.RatingVersion != rating.RatingVersion:
			return nil, no("block %d was made by rating version %d, this release has %d", row.First, row.RatingVersion, rating.RatingVersion)
		case row.BookOffset > c.e.ref.Next():
			return nil, no("block %d has the book of %d reference records, the log has %d", row.First, row.BookOffset, c.e.ref.Next())
		}
		blocks = append(blocks, ratedBlock{row.First, row.Last, row.BookOffset, row.Checksum})
	}
	switch n := len(blocks); {
	case n == 0:
		return nil, no("the ledger has no block of them")
	case blocks[n-1].last != committed-1:
		return nil, no("the ledger's blocks end at offset %d, wanted is %d", blocks[n-1].last, committed-1)
	}
	return blocks, nil
}

// booksFrom are the changes at or beyond offset.
func booksFrom(books []BookChange, offset int64) []BookChange {
	for i, b := range books {
		if b.From >= offset {
			return books[i:]
		}
	}
	return nil
}

// fellBack notes what a recovery made the state from.
func fellBack(s *stats.Shard, to loaded) {
	switch to {
	case fromBefore:
		s.FallbackBefore.Store(1)
	case fromLedger:
		s.FallbackLedger.Store(1)
	}
}
