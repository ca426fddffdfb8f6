package engine

import (
	"context"
	"runtime"
	"time"

	"github.com/wattline/wattline/engine/commit"
)

// When snapshots are taken, and when the shard works on one. A snapshot is an image of the state at a block's end,
// which the shard makes in steps between its batches and while it waits, and the keeper has encoded and produced. A
// partition has one at a time, and an engine a few: those of many partitions neither come all at once nor take
// memory all at once.

// imagesAtOnce is how many images an engine's partitions make at the same time, unless one is overdue.
const imagesAtOnce = 2

// imageDue says whether the block at hand ends with a snapshot. For the last one it waits for the one before.
func (c *partition) imageDue(ctx context.Context, last, empty bool) (bool, error) {
	if last {
		if c.stateAt == c.shard.nextOffset {
			return false, nil
		}
		return true, c.awaitImage(ctx)
	}
	urgency := c.snapshotUrgency()
	if urgency < 1 || empty || c.imaging.Load() {
		return false, nil
	}
	return c.e.takeImage(urgency >= 2), nil
}

// awaitImage waits until the partition's image is no more. The shard walks on meanwhile.
func (c *partition) awaitImage(ctx context.Context) error {
	for c.imaging.Load() {
		select {
		case <-c.working():
			c.work()
		case <-c.imaged:
		case ask := <-c.questions:
			ask(c.shard)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	c.e.takeImage(true)
	return nil
}

// snapshotUrgency is 0 while no snapshot is due, 1 when one is, and 2 when one is overdue: it waits for no other
// partition.
func (c *partition) snapshotUrgency() int {
	share, age := int64(c.e.replayShare()), c.e.clock.Now().Sub(c.stateTime)
	switch {
	case c.rateNs > 2*share, age > 2*c.e.cfg.SnapshotAge, c.sinceBooks >= commit.MaxBookChanges, c.named.Load() > commit.MaxBooks-4:
		return 2
	case c.rateNs > share, age > c.e.cfg.SnapshotAge, c.sinceBooks >= commit.MaxBookChanges-2, c.named.Load() > commit.MaxBooks-6:
		return 1
	}
	return 0
}

// beginImage begins the image that goes with b.
func (c *partition) beginImage(b *Block) {
	began := c.e.clock.Now()
	c.imaging.Store(true)
	b.image = c.shard.beginImage(&c.e.pools)
	c.stateAt, c.stateTime, c.rateNs, c.sinceBooks = c.shard.nextOffset, began, 0, 0
	c.stalled(began)
}

// The walk stops after stepTime, or after stepsAtOnce steps, and goes on behind the next batch.
const (
	stepTime    = 500 * time.Microsecond
	stepsAtOnce = 16
)

// stepImage works on the image that is being made, if one is, and says whether there is more to do.
func (c *partition) stepImage() (more bool) {
	if c.shard.image == nil {
		return false
	}
	runtime.Gosched() // a fresh slice of time: whoever has used up its own is set aside in the middle, for as long as all others take
	began := c.e.clock.Now()
	more = true
	for i := 0; more && i < stepsAtOnce && (i == 0 || c.e.clock.Now().Sub(began) < stepTime); i++ {
		more = c.shard.stepImage(imageStep)
	}
	c.stalled(began)
	return more
}

// finishImage walks to the end, at a stop: nothing else is left to do.
func (c *partition) finishImage() {
	for c.stepImage() {
		continue
	}
}

// stalled notes for how long the shard rated nothing for the sake of a snapshot.
func (c *partition) stalled(since time.Time) {
	ns := int64(c.e.clock.Now().Sub(since))
	st := c.shard.stats
	st.StallNs.Add(ns)
	if ns > st.StallMaxNs.Load() { // the shard is the only writer
		st.StallMaxNs.Store(ns)
	}
}

// working is always ready while there is an image or a round of prices to work on, else never. Whoever waits works on
// them, so that what is told does not depend on what else is ready.
func (c *partition) working() <-chan struct{} {
	if c.shard.image == nil && !c.shard.teller.Working() {
		return nil
	}
	return c.e.always
}

func (c *partition) work() {
	c.stepImage()
	c.stepPrices()
}

// endImage ends the time of the partition's image, whatever became of it. The keeper and the end of the partition
// may both say so.
func (c *partition) endImage() {
	if !c.imaging.CompareAndSwap(true, false) {
		return
	}
	c.e.images.Add(-1)
	select {
	case c.imaged <- struct{}{}:
	default:
	}
}

// takeImage counts an image more, if there is room for it or it is overdue.
func (e *Engine) takeImage(overdue bool) bool {
	if e.images.Add(1) > imagesAtOnce && !overdue {
		e.images.Add(-1)
		return false
	}
	return true
}
