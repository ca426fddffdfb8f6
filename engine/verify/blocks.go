package verify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// blockChecks are the questions about the blocks of one partition.
type blockChecks struct {
	*run
	p      engine.Partition
	blocks []engine.BlockRow // in order of First, as the ledger has them
	broken bool              // they do not tile: blocks can not be made again one by one
	short  bool              // the log ends before they do
	before bool              // there are rows of blocks before the first one that has a row
}

// last is the newest block.
func (b *blockChecks) last() *engine.BlockRow { return &b.blocks[len(b.blocks)-1] }

func (b *blockChecks) read(ctx context.Context) error {
	b.blocks = nil
	for row, err := range b.ends.Blocks.Blocks(ctx, b.p) {
		if err != nil {
			return err
		}
		b.blocks = append(b.blocks, row)
	}
	return nil
}

// none is what there is to say of a partition without any block. Nothing is wrong if nothing was committed and the
// ledger has no row of it either: an engine commits what it has stored, and no offset above 0 before that.
func (b *blockChecks) none(ctx context.Context, committed int64, known bool) error {
	switch {
	case committed > 0:
		b.found(CheckTiling, -1, fmt.Sprintf("the group has committed offset %d of %s, but the ledger has no block of it", committed, b.p),
			"blocks from where the log begins: is clickhouse.database the one that the engines write to?", b.look(0, committed))
	case known:
		b.found(CheckTiling, -1, "rows, but no block, and no committed offset", "blocks from where the log begins", b.look(0, 0))
	default:
		return nil
	}
	for got, err := range b.ends.Blocks.Sums(ctx, b.p) {
		if err != nil {
			return err
		}
		b.orphan(got, fmt.Sprintf("%d rows of a block that has no row", got.rows()))
	}
	return nil
}

func (b *blockChecks) found(c Check, block int64, found, want, look string) {
	b.run.found(c, b.p, block, "", found, want, look)
}

// where is the condition that picks the partition.
func (b *blockChecks) where() string {
	return fmt.Sprintf("topic = '%s' AND partition = %d", b.p.Topic, b.p.Number)
}

// look is SQL that shows the rows of blocks around an offset.
func (b *blockChecks) look(from, to int64) string {
	return fmt.Sprintf("SELECT * FROM %s.blocks WHERE %s AND block_last >= %d AND block_first <= %d ORDER BY block_first",
		b.cfg.Database, b.where(), from-1, to+1)
}

// tile is I7 of package engine, and what a row says of itself.
func (b *blockChecks) tile(start, end, committed int64) {
	first, last := &b.blocks[0], b.last()
	if first.First > start {
		b.broken = true
		b.found(CheckTiling, first.First, fmt.Sprintf("the first block begins at offset %d, the log at %d", first.First, start),
			"a block that begins where the log does", b.look(start, first.First))
	}
	if last.Last >= end {
		b.short = true
		b.found(CheckTopic, last.First, fmt.Sprintf("the last block ends at offset %d, the log at %d", last.Last, end-1),
			"a log that is at least as long: was the topic made anew?", b.look(last.First, last.Last))
	}
	if committed > last.Last+1 {
		b.broken = true
		b.found(CheckTiling, last.First, fmt.Sprintf("the last block ends at offset %d, the engines have committed offset %d", last.Last, committed),
			"blocks up to the committed offset", b.look(last.First, committed))
	}
	for i := range b.blocks {
		b.sane(&b.blocks[i])
		b.report.Blocks++
		b.report.Rows += b.blocks[i].Charges.Rows
		b.report.Versions += b.blocks[i].Sessions.Rows
		if i > 0 {
			b.follows(&b.blocks[i-1], &b.blocks[i])
		}
	}
}

func (b *blockChecks) sane(row *engine.BlockRow) {
	bad := func(ok bool, found, want string) {
		if !ok {
			b.found(CheckBlock, row.First, found, want, b.look(row.First, row.Last))
		}
	}
	if row.Last < row.First {
		b.broken = true
	}
	bad(row.Last >= row.First, fmt.Sprintf("offsets %d to %d", row.First, row.Last), "at least one offset")
	bad(row.First >= 0, fmt.Sprintf("first offset %d", row.First), "an offset of 0 or more")
	bad(row.Readings >= 0 && row.Rejects >= 0 && row.Charges.Rows >= 0 && row.Sessions.Rows >= 0,
		fmt.Sprintf("%d readings, %d rejects, %d charges, %d versions", row.Readings, row.Rejects, row.Charges.Rows, row.Sessions.Rows), "counts of 0 or more")
	bad(row.RatingVersion >= 1, fmt.Sprintf("rating version %d", row.RatingVersion), "1 or more")
	if next := b.ref.Next(); row.BookOffset < 1 || row.BookOffset > next {
		b.found(CheckReference, row.First, fmt.Sprintf("book offset %d", row.BookOffset), fmt.Sprintf("a book of the reference log: 1 to %d", next), b.look(row.First, row.Last))
	}
}

// follows compares a block with the one before it.
func (b *blockChecks) follows(was, row *engine.BlockRow) {
	look := b.look(min(was.Last, row.First), max(was.Last, row.First))
	switch {
	case was.First == row.First && was.Last == row.Last:
		b.broken = true
		b.found(CheckTiling, row.First, fmt.Sprintf("the row of block %d-%d is there twice", row.First, row.Last), "once", look)
	case row.First <= was.Last:
		b.broken = true
		b.found(CheckTiling, row.First, fmt.Sprintf("blocks %d-%d and %d-%d overlap", was.First, was.Last, row.First, row.Last), "none in common", look)
	case row.First > was.Last+1:
		b.broken = true
		b.found(CheckTiling, row.First, fmt.Sprintf("no block has offsets %d to %d", was.Last+1, row.First-1), "each offset in one block", look)
	}
	bad := func(ok bool, what string, before, now int64) {
		if !ok {
			b.found(CheckBlock, row.First, fmt.Sprintf("%s %d after %d", what, now, before), "one that never goes back", look)
		}
	}
	bad(row.BookOffset >= was.BookOffset, "book offset", was.BookOffset, row.BookOffset)
	bad(row.RatingVersion >= was.RatingVersion, "rating version", int64(was.RatingVersion), int64(row.RatingVersion))
	bad(row.WatermarkMs >= was.WatermarkMs, "watermark", was.WatermarkMs, row.WatermarkMs)
}

// sums compares what charges and sessions got of every block with the block's row. A block without rows is not in the sums.
func (b *blockChecks) sums(ctx context.Context) error {
	var beyond []BlockSums
	i := 0
	for got, err := range b.ends.Blocks.Sums(ctx, b.p) {
		if err != nil {
			return err
		}
		for ; i < len(b.blocks) && b.blocks[i].First < got.First; i++ {
			b.compareSums(&b.blocks[i], BlockSums{})
		}
		switch {
		case i < len(b.blocks) && b.blocks[i].First == got.First:
			b.compareSums(&b.blocks[i], got)
			for first := got.First; i < len(b.blocks) && b.blocks[i].First == first; i++ { // one that is there twice was told
			}
		case got.First > b.last().Last:
			beyond = append(beyond, got)
		default:
			b.before = b.before || got.First < b.blocks[0].First
			b.orphan(got, fmt.Sprintf("%d rows of a block that has no row", got.rows()))
		}
	}
	for ; i < len(b.blocks); i++ {
		b.compareSums(&b.blocks[i], BlockSums{})
	}
	return b.unfinished(ctx, beyond)
}

func (b *blockChecks) compareSums(row *engine.BlockRow, got BlockSums) {
	b.report.Compared++
	if got.Charges != row.Charges {
		b.found(CheckSums, row.First, sumsText(got.Charges, "positions"), sumsText(row.Charges, "positions"), fmt.Sprintf(
			"SELECT * FROM %s.charges WHERE %s AND block_first = %d ORDER BY position, session_id, line", b.cfg.Database, b.where(), row.First))
	}
	if got.Sessions != row.Sessions {
		// What newer versions replaced is only in the projection, which a mutation of the table, or a copy row by row,
		// makes anew without it.
		b.found(CheckVersions, row.First, sumsText(got.Sessions, "versions"), sumsText(row.Sessions, "versions")+" (a table that was altered, or copied row by row, has lost replaced versions)", fmt.Sprintf(
			"SELECT * FROM %s.sessions WHERE %s AND block_first = %d ORDER BY version, session_id", b.cfg.Database, b.where(), row.First))
	}
}

func sumsText(s engine.Sums, positions string) string {
	return fmt.Sprintf("%d rows, %d mWh, %d ms, excl %d micros, incl %d micros, %s %d", s.Rows, s.EnergyMwh, s.DurationMs, s.ExclMicros, s.InclMicros, positions, s.Versions)
}

func (b *blockChecks) orphan(got BlockSums, found string) {
	b.found(CheckOrphan, got.First, found, "a row in blocks for every block that has rows", fmt.Sprintf(
		"SELECT count(), min(position), max(position) FROM %s.charges WHERE %s AND block_first = %d -- or FROM sessions", b.cfg.Database, b.where(), got.First))
}

// unfinished waits for the rows of blocks that were being inserted when the run began.
func (b *blockChecks) unfinished(ctx context.Context, beyond []BlockSums) error {
	const every = 200 * time.Millisecond
	for waited := time.Duration(0); len(beyond) > 0; waited += every {
		have := map[int64]bool{}
		for row, err := range b.ends.Blocks.Blocks(ctx, b.p) {
			if err != nil {
				return err
			}
			have[row.First] = true
		}
		beyond = slices.DeleteFunc(beyond, func(s BlockSums) bool { return have[s.First] })
		if len(beyond) == 0 || waited >= b.cfg.Patience {
			break
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, s := range beyond {
		b.orphan(s, fmt.Sprintf("%d rows of a block that has no row after %v: its engine stopped in the middle (start it), or the row is lost", s.rows(), b.cfg.Patience))
	}
	return nil
}

func (b *blockChecks) doubled(ctx context.Context) error {
	for k, err := range b.ends.Rows.Doubled(ctx, b.p) {
		if err != nil {
			return err
		}
		id := idText(k.Session)
		b.run.found(CheckDoubled, b.p, k.Block, id, fmt.Sprintf("%d rows of position %d, line %d", k.Times, k.Position, k.Line), "one", fmt.Sprintf(
			"SELECT * FROM %s.charges WHERE session_id = '%s' AND position = %d AND line = %d", b.cfg.Database, id, k.Position, k.Line))
	}
	return nil
}

// foreign says whether one of the blocks that offsets from to to lie in was rated by another rating version.
func (b *blockChecks) foreign(from, to int64) bool {
	for i := range b.blocks {
		if r := &b.blocks[i]; r.RatingVersion != rating.RatingVersion && r.Last >= from && r.First <= to {
			return true
		}
	}
	return false
}
