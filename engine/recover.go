package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/wattline/wattline/engine/book"
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// recover brings the shard to the committed offset: snapshot, then mute replay with the books that were used
// (ARCHITECTURE section 4, point 8). It opens the feed and returns the keeper, whose plans are what run has to
// make again.
func (c *partition) recover(ctx context.Context) (*keeper, error) {
	commit, err := c.e.committer.Committed(ctx, c.p)
	if err != nil {
		return nil, fmt.Errorf("read committed offset of %s: %w", c.p, err)
	}
	k, err := c.recoverFrom(ctx, commit)
	if isHalt(err) {
		return nil, c.unlessMoved(ctx, commit, err)
	}
	return k, err
}

// unlessMoved returns the halt, unless the commit it was found with is not the newest any more. An engine that stood
// still in its recovery compares that commit with what another one has made since, and must not tell an operator to
// adopt anything.
func (c *partition) unlessMoved(ctx context.Context, was Commit, halt error) error {
	now, err := c.e.committer.Committed(ctx, c.p)
	if err != nil {
		return fmt.Errorf("read committed offset of %s again: %w", c.p, err)
	}
	if now != was {
		return fmt.Errorf("another engine went on with %s while this one recovered it: %w", c.p, ErrLost)
	}
	return halt
}

func (c *partition) recoverFrom(ctx context.Context, commit Commit) (*keeper, error) {
	began := c.e.clock.Now()
	start, end, err := c.e.source.Bounds(ctx, c.p)
	if err != nil {
		return nil, fmt.Errorf("read bounds of %s: %w", c.p, err)
	}
	m, err := c.metadata(ctx, commit, start)
	if err != nil {
		return nil, err
	}
	if err := c.followBooks(ctx, m); err != nil {
		return nil, err
	}
	if commit.Offset < 0 {
		commit.Offset = start
	}
	if err := c.checkBounds(commit.Offset, start, end); err != nil {
		return nil, err
	}
	from, first, err := c.resume(ctx, commit.Offset, m, start, end)
	if err != nil {
		return nil, err
	}
	c.shard.block.reset(c.p, commit.Offset, c.shard.bookOffset)
	c.stateAt, c.stateTime, c.sinceBooks = m.Snapshot.Offset, began, len(booksSince(m.Books, m.Snapshot.Offset))-1
	if from != fromSnapshot {
		c.stateAt, c.stateTime = -1, time.Time{} // the next block takes a snapshot
	}
	c.publish()
	c.log.Info("partition recovered", "from", from.String(), "snapshot", first, "replayed", commit.Offset-first, "offset", commit.Offset,
		"end", end, "plans", len(m.Plans), "sessions", c.shard.sessions.Live, "took", c.e.clock.Now().Sub(began))
	return c.newKeeper(commit.Offset, m, from), nil
}

// metadata reads the plan beside the committed offset, and refuses to go on where that would lose or double.
func (c *partition) metadata(ctx context.Context, commit Commit, start int64) (*Metadata, error) {
	last, has, err := c.e.ledger.LastBlock(ctx, c.p)
	if err != nil {
		return nil, fmt.Errorf("read last block of %s: %w", c.p, err)
	}
	adopt := c.adopt()
	if commit.Offset < 0 || commit.Metadata == "" {
		if has {
			return nil, &Halt{
				Reason: "no-metadata", Partition: c.p,
				Detail: fmt.Sprintf("the group has no plan of it (committed offset %d), but the ledger has blocks up to offset %d", commit.Offset, last.Last),
				Do:     adopt,
			}
		}
		if commit.Offset > start {
			return nil, &Halt{
				Reason: "foreign-commit", Partition: c.p,
				Detail: fmt.Sprintf("the group committed offset %d without Wattline's plan", commit.Offset), Do: adopt,
			}
		}
		return &Metadata{RatingVersion: rating.RatingVersion}, nil
	}
	m, err := ParseMetadata(commit.Metadata)
	if err != nil {
		return nil, &Halt{Reason: "foreign-commit", Partition: c.p, Detail: err.Error(), Do: adopt}
	}
	if err := c.checkLedger(commit, m, last, has); err != nil {
		return nil, err
	}
	return m, c.checkReplay(commit, m)
}

// adopt is the operator's way on where what is found is wanted.
func (c *partition) adopt() string {
	return fmt.Sprintf("if this is wanted: stop the engines, then `wattline adopt --topic %s --partition %d`", c.p.Topic, c.p.Number)
}

// checkLedger compares the commit with the newest block that ClickHouse has.
func (c *partition) checkLedger(commit Commit, m *Metadata, last BlockRow, has bool) error {
	planned := commit.Offset
	for _, p := range m.Plans {
		if p.First != planned {
			return &Halt{
				Reason: "plan-gap", Partition: c.p,
				Detail: fmt.Sprintf("planned block %d-%d does not follow offset %d", p.First, p.Last, planned),
				Do:     "see docs/runbook/plan-gap.md",
			}
		}
		planned = p.Last + 1
	}
	if has && last.Last >= planned {
		return &Halt{
			Reason: "ledger-ahead", Partition: c.p,
			Detail: fmt.Sprintf("the group's plans end before offset %d, but the ledger has a block up to offset %d: the commit is of before", planned, last.Last),
			Do:     c.adopt(),
		}
	}
	if len(m.Books) > 0 && commit.Offset > m.Books[0].From && (!has || last.Last < commit.Offset-1) {
		found := "no block of it"
		if has {
			found = fmt.Sprintf("blocks up to offset %d only", last.Last)
		}
		return &Halt{
			Reason: "ledger-behind", Partition: c.p,
			Detail: fmt.Sprintf("everything below offset %d was written, the group says, but the ledger has %s", commit.Offset, found),
			Do:     "check clickhouse.addr and clickhouse.database, and see docs/runbook/ledger-behind.md",
		}
	}
	return nil
}

// checkReplay refuses to rate again, with other rules, what has been rated.
func (c *partition) checkReplay(commit Commit, m *Metadata) error {
	replays := m.Snapshot.Offset != commit.Offset && (m.Snapshot.Count > 0 || len(m.Books) > 0 && m.Books[0].From != commit.Offset)
	if m.RatingVersion != rating.RatingVersion && (len(m.Plans) > 0 || replays) {
		return &Halt{
			Reason: "rating-version", Partition: c.p,
			Detail: fmt.Sprintf("its state was made by rating version %d, this release has %d", m.RatingVersion, rating.RatingVersion),
			Do:     "start the release before, stop it cleanly, then start this one",
		}
	}
	cfg := &c.e.cfg
	if !c.sameConfig(m) && (len(m.Plans) > 0 || replays) {
		return &Halt{
			Reason: "configuration-changed", Partition: c.p,
			Detail: fmt.Sprintf("its rows since the last snapshot were made with slices of %d ms, a session time-out of %d ms and partitioner %q, now they are %d, %d ms and %q",
				m.SliceMs, m.TimeoutMs, m.Partitioner, cfg.SliceMs, cfg.SessionTimeoutMs, cfg.Partitioners[c.p.Topic]),
			Do: "start once with the old values and stop cleanly, then change them",
		}
	}
	return nil
}

// sameRules says that what the metadata speaks of was rated as this engine would rate it.
func (c *partition) sameRules(m *Metadata) bool {
	return m.RatingVersion == rating.RatingVersion && c.sameConfig(m)
}

// sameConfig says that this engine's configuration makes the same rows as that of the metadata.
func (c *partition) sameConfig(m *Metadata) bool {
	cfg := &c.e.cfg
	return m.SliceMs == cfg.SliceMs && m.TimeoutMs == cfg.SessionTimeoutMs && m.Partitioner == cfg.Partitioners[c.p.Topic].String()
}

// followBooks reads the reference log on, up to the books that the partition was rated with: another engine may
// have seen them first.
func (c *partition) followBooks(ctx context.Context, m *Metadata) error {
	last := int64(0)
	for _, b := range m.Books {
		last = max(last, b.Book)
	}
	if c.e.ref.Next() >= last {
		return nil
	}
	if err := c.e.ref.Follow(ctx, c.e.logs, c.e.cfg.ReferenceTopic); err != nil {
		return err
	}
	for _, b := range m.Books {
		if next := c.e.ref.Next(); next < b.Book {
			return fmt.Errorf("%s was rated with %d records of %s, which has only %d", c.p, b.Book, c.e.cfg.ReferenceTopic, next)
		}
	}
	return nil
}

func (c *partition) checkBounds(committed, start, end int64) error {
	if committed > end {
		return &Halt{
			Reason: "offset-beyond-log-end", Partition: c.p,
			Detail: fmt.Sprintf("committed offset is %d, the log ends at %d: the topic was recreated or truncated", committed, end),
			Do:     "give the new topic a new name, or `wattline adopt` it from offset 0 after checking what the ledger has",
		}
	}
	if committed < start {
		return c.belowStart(committed, start)
	}
	return nil
}

func (c *partition) belowStart(want, start int64) error {
	return &Halt{
		Reason: "offset-below-log-start", Partition: c.p,
		Detail: fmt.Sprintf("offset %d is needed, the log begins at %d: %d messages were deleted unread", want, start, start-want),
		Do:     "restore them, or accept the loss with `wattline adopt`",
	}
}

// replay rates up to the committed offset without writing, changing books where they were changed. A change at
// or beyond it belongs to a planned block: remake does it, and its rows are written.
func (c *partition) replay(ctx context.Context, books []BookChange, to int64) error {
	s := c.shard
	s.mute = true
	defer func() { s.mute = false }()
	s.block.reset(c.p, s.nextOffset, s.bookOffset)
	books = booksSince(books, s.nextOffset) // a snapshot has those of before behind it
	for i, b := range books {
		if s.bookOffset == 0 { // no snapshot: the first book is in force from the beginning, nothing is held yet
			s.bookOffset = b.Book
			continue
		}
		if b.Book == s.bookOffset {
			continue
		}
		if b.From >= to {
			c.books = books[i:]
			break
		}
		if err := c.rateTo(ctx, b.From-1); err != nil {
			return err
		}
		s.changeBook(b.Book)
	}
	return c.rateTo(ctx, to-1)
}

// rateTo rates up to and including offset last. What the batch at hand has beyond it is kept for run.
func (c *partition) rateTo(ctx context.Context, last int64) error {
	s := c.shard
	for s.nextOffset <= last {
		b, err := c.batch(ctx)
		if err != nil {
			return err
		}
		done, err := c.rateUpTo(b, last)
		if err != nil {
			return err
		}
		if done {
			c.pending = nil
			b.Release()
		}
	}
	return nil
}

// batch returns the batch at hand, or waits for the next one. A stop does not end it: an orderly stop leaves nothing to
// replay and no plan, also one that comes while a recovery runs.
func (c *partition) batch(ctx context.Context) (Batch, error) {
	if c.pending != nil {
		return c.pending, nil
	}
	select {
	case b, ok := <-c.feed.Batches():
		if !ok {
			return nil, c.feedError()
		}
		c.pending = b
		return b, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// restore takes the state of a snapshot over: nobody else may use it any more.
func (s *shard) restore(st *snapshot.State) error {
	s.nextOffset, s.watermarkMs, s.tickMinute, s.bookOffset = st.NextOffset, st.WatermarkMs, st.TickMinute, st.BookOffset
	once := len(st.Names) == 0 || s.names.Fill(st.Names)
	if len(st.Places) > 0 {
		infos, err := s.ref.RecoverPlaces(st.Places)
		if err != nil {
			return err
		}
		once = s.places.Fill(st.Places, infos) && once
	}
	if len(st.Plans) > 0 {
		infos := make([]planInfo, len(st.Plans))
		for i, p := range st.Plans[1:] {
			plan, err := s.ref.RecoverPlan(p)
			if err != nil {
				return err
			}
			infos[i+1] = planInfo{plan, book.TariffName(p), plan.Tariff().Currency}
		}
		once = s.plans.Fill(st.Plans, infos) && once
	}
	if n := len(st.Tiers); n > 0 {
		once = s.tiers.Fill(st.Tiers, make([]struct{}, n)) && once
	}
	if !once {
		return fmt.Errorf("%w: a name, place, plan or tier is there twice", snapshot.ErrCorrupt)
	}
	if len(st.Connectors) > 0 {
		s.connectors = slab.Connectors{}
		for i := range st.Connectors {
			s.connectors.Add(st.Connectors[i])
		}
	}
	if err := s.linkConnectors(); err != nil {
		return err
	}
	s.windows = slab.WindowsOf(st.Windows)
	s.sheets.Fill(st.Sheets, st.Periods)
	return s.restoreSessions(st)
}

// linkConnectors finds the head of every charge point's chain: the last one that was put in front.
func (s *shard) linkConnectors() error {
	for i := uint32(1); int(i) < s.connectors.Len(); i++ {
		c := s.connectors.At(i)
		if int(c.ChargePoint) >= len(s.names.List) || c.Next >= i {
			return fmt.Errorf("%w: connector %d", snapshot.ErrCorrupt, i)
		}
		s.names.First[c.ChargePoint] = i
	}
	return nil
}

func (s *shard) restoreSessions(st *snapshot.State) error {
	used := make([]bool, len(st.Windows))
	for i := range st.Sessions {
		ss := &st.Sessions[i]
		if ss.Key == (snapshot.Key{}) || int(ss.ChargePoint) >= len(s.names.List) || int(ss.Place) >= len(s.places.Ref) ||
			int(ss.Plan) >= len(s.plans.Ref) || int(ss.Driver.Tier) >= len(s.tiers.Ref) || int(ss.Window) > len(st.Windows) {
			return fmt.Errorf("%w: session %d", snapshot.ErrCorrupt, i)
		}
		if ss.Priced() {
			if err := s.plans.Info[ss.Plan].plan.Fits(&ss.Rate); err != nil {
				return fmt.Errorf("%w: session %d: %w", snapshot.ErrCorrupt, i, err)
			}
		}
		if ss.Window > 0 {
			used[ss.Window-1] = true
		}
		s.arm(ss)
	}
	if i := s.sessions.Fill(st.Sessions); i >= 0 {
		return fmt.Errorf("%w: session %d is there twice", snapshot.ErrCorrupt, i)
	}
	for i := range used {
		if !used[i] {
			s.windows.Free(uint32(i))
		}
	}
	for _, x := range st.Starts {
		if int(x.Connector) >= s.connectors.Len() {
			return fmt.Errorf("%w: a start of connector %d", snapshot.ErrCorrupt, x.Connector)
		}
		name := s.names.List[s.connectors.At(x.Connector).ChargePoint]
		s.wait(s.startKey([]byte(name), x.MessageID[:x.MessageLen]), x)
	}
	for i := range st.Held {
		h := &st.Held[i]
		if ss := s.lookup(h.Key, noSlot); ss == nil || ss.Plan != 0 {
			return fmt.Errorf("%w: readings held of no session that waits for its price", snapshot.ErrCorrupt)
		}
		s.held[h.Key] = h
		s.heldBytes += heldSize + pointSize*(len(h.Points)+len(h.Changes))
	}
	for _, x := range st.Changes {
		ss := s.lookup(x.Key, noSlot)
		if ss == nil {
			return fmt.Errorf("%w: changes of no session", snapshot.ErrCorrupt)
		}
		s.changes[x.Key], ss.HasChanges = x.List, true
	}
	return nil
}

// unlimited is the last offset of a block without plan.
const unlimited = int64(1<<63 - 1)
