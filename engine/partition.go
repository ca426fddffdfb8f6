package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wattline/wattline/engine/commit"
	"github.com/wattline/wattline/engine/pace"
	"github.com/wattline/wattline/engine/stats"
)

// partition runs one partition that is assigned to this engine: its shard's goroutine (run) rates and fills
// blocks, its keeper's goroutine (keep) commits plans and offsets and has blocks settled. Blocks go round
// between the two: closed -> keeper -> free -> shard. With all of them in flight the shard waits: that is the
// back-pressure that reaches the fetch.
type partition struct {
	e     *Engine
	p     Partition
	log   *slog.Logger
	shard *shard
	feed  Feed

	closed    chan closedBlock
	free      chan struct{} // one for each block that may still be taken
	questions chan func(*shard)
	counters  atomic.Pointer[stats.Shard] // of shard, once it is there
	rating    atomic.Bool                 // recovered, and taking what comes
	shows     atomic.Bool                 // nothing newer than its state can have been shown
	shownTo   int64                       // offset from which on it shows
	stop      chan struct{}               // closed: close the block, take a snapshot, end
	ended     chan struct{}               // closed when run and keep have returned
	cancel    context.CancelCauseFunc
	err       error // why it ended, valid once ended is closed

	began      time.Time // this life of the partition
	opened     time.Time // when the block at hand got its first offset; zero: it is empty
	age        time.Duration
	lastBook   time.Time
	rateNs     int64 // that rating again what came since the last snapshot would take
	cost       pace.Cost
	sinceBooks int           // book changes since the last snapshot
	named      atomic.Int32  // books that the next commit names
	room       bool          // a block may be taken from the pool: its token out of free is here
	pending    Batch         // of recovery: not used up
	books      []BookChange  // of recovery: changes at the beginnings of planned blocks
	stateAt    int64         // NextOffset of the newest snapshot taken
	stateTime  time.Time     // when it was taken
	imaging    atomic.Bool   // an image is being made, or produced
	imaged     chan struct{} // told when that ends
}

type closedBlock struct {
	*Block
	recovered bool
}

// blocksInFlight is how many blocks may be planned and not yet durable.
const blocksInFlight = 2

func newPartition(e *Engine, p Partition) *partition {
	c := &partition{
		e: e, p: p, log: e.log.With("partition", p.String()),
		closed: make(chan closedBlock), free: make(chan struct{}, blocksInFlight+1), questions: make(chan func(*shard)),
		imaged: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}), age: e.cfg.BlockAge, stateAt: -1,
	}
	for range blocksInFlight + 1 {
		c.free <- struct{}{}
	}
	return c
}

// start runs the partition until stop is closed, ctx ends, or it fails. before is the same partition's last
// life in this process, if it may not have ended yet.
func (c *partition) start(ctx context.Context, before *partition) {
	ctx, c.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(c.ended)
		if before != nil {
			<-before.ended
		}
		err := c.guard(func() error { return c.main(ctx) })
		c.cancel(err)
		if err != nil && !errors.Is(err, context.Canceled) {
			c.err = err
		}
	}()
}

func (c *partition) main(ctx context.Context) error {
	c.began = c.e.clock.Now()
	if err := c.measureShown(ctx); err != nil {
		return err
	}
	k, err := c.recover(ctx)
	if err != nil {
		return err
	}
	c.e.noteRecovery(c.p)
	defer c.feed.Close()
	plans := k.plans // the keeper shortens its own list
	kept := make(chan error, 1)
	go func() {
		err := c.guard(func() error { return k.keep(ctx) })
		if panicked(err) {
			_ = k.wait(err)
		} else if err != nil {
			c.cancel(err)
		}
		kept <- err
	}()
	told := make(chan struct{})
	go func() {
		defer close(told)
		c.tellPrices(ctx)
	}()
	err = c.guard(func() error { return c.run(ctx, plans) })
	c.shard.teller.Close()
	if panicked(err) {
		c.cancel(err) // what the shard has handed over is not to be trusted either
	}
	c.shard.dropImage() // of a run that failed
	defer c.endImage()
	close(c.closed)
	defer func() { <-told }()
	if kerr := <-kept; kerr != nil {
		return kerr
	}
	if err == nil {
		c.log.Info("partition stopped", "ran", c.e.clock.Now().Sub(c.began).Round(time.Millisecond), "offset", c.shard.nextOffset)
	}
	return err
}

// run re-makes the planned blocks, then rates what comes.
func (c *partition) run(ctx context.Context, plans []Plan) error {
	for _, p := range plans {
		if err := c.remake(ctx, p); err != nil {
			return err
		}
	}
	c.publish()
	if b := c.pending; b != nil {
		c.pending = nil
		if err := c.rate(ctx, b); err != nil {
			return err
		}
	}
	c.rating.Store(true)
	for {
		if err := c.closeIfDue(ctx); err != nil {
			return err
		}
		select {
		case <-c.working():
			c.work()
		case <-c.shard.teller.Due():
			c.beginPrices()
		case <-c.shard.teller.Done:
		case b, ok := <-c.feed.Batches():
			if !ok {
				return c.leave(ctx, c.feedError())
			}
			if err := c.rate(ctx, b); err != nil {
				return c.leave(ctx, err)
			}
		case ask := <-c.questions:
			ask(c.shard)
		case <-c.blockAged():
		case <-c.roomForAged():
			c.room = true
		case <-c.stop:
			return c.closeBlock(ctx, true)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// leave ends the partition at what can not be read: what came before it is made durable first, since nobody knows
// when it goes on.
func (c *partition) leave(ctx context.Context, err error) error {
	if errors.Is(err, ErrUnreadable) {
		if cerr := c.closeBlock(ctx, true); cerr != nil {
			return cerr
		}
	}
	return err
}

func (c *partition) feedError() error {
	if err := c.feed.Err(); err != nil {
		return err
	}
	return fmt.Errorf("feed of %s ended", c.p)
}

// rate works one batch off, closing blocks as they get full.
func (c *partition) rate(ctx context.Context, b Batch) error {
	defer b.Release()
	for {
		t := c.e.clock.Now()
		if c.shard.nextOffset == c.shard.block.Row.First && b.NextOffset() > c.shard.nextOffset && c.bookDue() {
			c.changeBook(c.e.ref.Next())
		}
		done, err := c.rateUpTo(b, unlimited)
		c.publish()
		if err != nil {
			return err
		}
		c.work()
		if c.opened.IsZero() && c.shard.nextOffset > c.shard.block.Row.First {
			c.opened = t
		}
		if done {
			return nil
		}
		if err := c.closeBlock(ctx, false); err != nil {
			return err
		}
	}
}

// rateUpTo has the shard rate b, and notes what rating it again would cost.
func (c *partition) rateUpTo(b Batch, last int64) (done bool, err error) {
	t, before := c.e.clock.Now(), c.shard.stats.Readings.Load()
	done, err = c.shard.rate(b, last)
	d := c.e.clock.Now().Sub(t)
	c.rateNs += c.cost.Of(c.shard.stats.Readings.Load()-before, int64(d))
	c.shard.stats.RateNs.Add(int64(d))
	return done, err
}

// publish lets others see where the shard stands.
func (c *partition) publish() {
	st := c.shard.stats
	st.Position.Store(c.shard.nextOffset)
	st.Live.Store(int64(c.shard.sessions.Live))
	st.Held.Store(int64(len(c.shard.held)))
	st.Watermark.Store(c.shard.watermarkMs)
	c.show()
}

// blockAged gets a value when the block at hand is old enough; nil while it is empty, and when it is old and waits for room.
func (c *partition) blockAged() <-chan time.Time {
	if c.opened.IsZero() || c.old() {
		return nil
	}
	return c.e.clock.After(c.age - c.e.clock.Now().Sub(c.opened))
}

// old says whether the block at hand has reached its age.
func (c *partition) old() bool {
	return !c.opened.IsZero() && c.e.clock.Now().Sub(c.opened) >= c.age
}

// roomForAged returns the channel of the blocks that may be taken, if the block at hand is old and waits for one.
func (c *partition) roomForAged() <-chan struct{} {
	if c.room || !c.old() {
		return nil
	}
	return c.free
}

// closeIfDue closes the block if it is full, or if its time has come and the next one can be taken at once. While the
// store is slower than the age would have it, rating goes on and blocks get larger, which is what the store needs.
func (c *partition) closeIfDue(ctx context.Context) error {
	if c.shard.full() || (c.room || len(c.free) > 0) && (c.old() || !c.opened.IsZero() && c.bookDue()) {
		return c.closeBlock(ctx, false)
	}
	return nil
}

// bookDue says whether the shard should change to a newer book: at most once a minute, sooner for held sessions.
func (c *partition) bookDue() bool {
	if c.e.ref.Next() <= c.shard.bookOffset || c.named.Load() > commit.MaxBooks-3 { // two more may be on their way to the keeper
		return false
	}
	every := c.e.cfg.BookEvery
	if len(c.shard.held) > 0 {
		every = min(every, time.Second)
	}
	return c.lastBook.IsZero() || c.e.clock.Now().Sub(c.lastBook) >= every
}

// closeBlock ends the block at hand, hands it to the keeper, and begins the next one. last is a clean stop: the
// state goes to Kafka with the block. Questions are answered while it waits for a free block.
func (c *partition) closeBlock(ctx context.Context, last bool) error {
	s := c.shard
	b := s.block
	empty := s.nextOffset == b.Row.First
	if empty && b.bookChange != nil {
		// What was to come behind the new book could not be read. A block without an offset is not written (I7), so
		// nothing may be kept of what the book did to the state: the next life does it again.
		return nil
	}
	if last {
		c.finishImage()
	}
	imageDue, err := c.imageDue(ctx, last, empty)
	if err != nil || empty && !imageDue {
		return err
	}
	c.measureAge(b)
	s.closeBlock(c.e.cfg.EngineID)
	if imageDue {
		c.beginImage(b)
	}
	if last {
		c.finishImage()
	}
	return c.turn(ctx, closedBlock{Block: b})
}

// turn hands a closed block to the keeper and begins the next one.
func (c *partition) turn(ctx context.Context, b closedBlock) error {
	if err := c.hand(ctx, b); err != nil {
		return err
	}
	next, err := c.takeFree(ctx)
	if err != nil {
		return err
	}
	s := c.shard
	s.block = next
	s.block.reset(c.p, s.nextOffset, s.bookOffset)
	c.opened = time.Time{}
	return nil
}

// changeBook gives the shard a newer book. It is called at the beginning of a block that is about to get its
// first messages: a block always has an offset, and what the book changes (held sessions are priced) is in it.
func (c *partition) changeBook(book int64) {
	c.shard.changeBook(book)
	c.shard.block.Row.BookOffset = book
	c.shard.block.bookChange = &BookChange{From: c.shard.nextOffset, Book: book}
	c.lastBook = c.e.clock.Now()
	c.sinceBooks++
}

// measureAge sets the age for the next block: what a busy partition gets, or more so that thin ones together
// make few blocks.
func (c *partition) measureAge(b *Block) {
	const busy = 500 // readings a second
	openMs := c.e.clock.Now().Sub(c.opened).Milliseconds()
	thin := c.opened.IsZero() || b.Row.Readings*1000 < busy*openMs
	c.age = c.e.blockAge(c.p, thin)
}

func (c *partition) hand(ctx context.Context, b closedBlock) error {
	for {
		select {
		case c.closed <- b:
			return nil
		case <-c.working():
			c.work()
		case ask := <-c.questions:
			ask(c.shard)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *partition) takeFree(ctx context.Context) (*Block, error) {
	for !c.room {
		select {
		case <-c.free:
			c.room = true
		case <-c.working():
			c.work()
		case ask := <-c.questions:
			ask(c.shard)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	c.room = false
	return c.e.blocks.get(), nil
}

// remake rates the range of a planned block again, byte for byte, and hands it over as recovered.
func (c *partition) remake(ctx context.Context, p Plan) error {
	if len(c.books) > 0 && c.books[0].From == p.First {
		c.shard.changeBook(c.books[0].Book)
		c.shard.block.Row.BookOffset = c.books[0].Book
		c.books = c.books[1:]
	}
	if err := c.rateTo(ctx, p.Last); err != nil {
		return err
	}
	c.shard.closeBlock(c.e.cfg.EngineID)
	return c.turn(ctx, closedBlock{Block: c.shard.block, recovered: true})
}

// closeBlock fills in the block's row. Rejects are noted as chunks are decoded; their order must not tell.
func (s *shard) closeBlock(engineID string) {
	slices.SortStableFunc(s.block.Rejects, func(a, b Message) int { return cmp.Compare(a.source, b.source) })
	s.block.close(s.nextOffset-1, s.watermarkMs, engineID)
}
