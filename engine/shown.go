package engine

import (
	"context"
	"errors"
	"fmt"
)

// What is shown of a running session is a function of the offset its partition stands at, and it must never go back:
// not after a kill, when the new life begins at the committed offset, below what the old one had rated and shown; and
// not in a move, when two engines may know the session for a moment. Two rules see to it:
//
//   - A life of a partition answers from the offset on that was the end of the log when it began. Whatever any earlier
//     life had rated was in the log by then.
//   - An answer leaves only while no other engine can have begun a life (Membership.Holds). So the end that the next
//     owner asks for is asked after our last answer.

// Membership is what questions need to know of the group. *kafka.Group is one.
type Membership interface {
	// Holds says that up to now no other engine can have got a partition of the assignment of generation: no rebalance
	// is running that we know of, and we were heard by the group too lately for one without us.
	Holds(generation int32) bool
	// Readable asks the broker for the offset that p can be read up to: the end of the log, or before the first record
	// of an open transaction.
	Readable(ctx context.Context, p Partition) (int64, error)
}

// Errors of questions; all pass by themselves.
var (
	// ErrCatchingUp says that a partition that would know has not come as far as was shown before, or is busy.
	ErrCatchingUp = errors.New("catching up: a partition is not yet where it was when its last engine stopped, or is busy")
	// ErrElsewhere says that another engine has the partition.
	ErrElsewhere = errors.New("the partition is with another engine")
	// ErrRegrouping says that another engine may have the partition by now.
	ErrRegrouping = errors.New("catching up: the group deals its partitions anew, or has not been heard for a while")
)

// measureShown notes the offset from which on this life of the partition may answer.
func (c *partition) measureShown(ctx context.Context) error {
	end := func() (int64, error) {
		if m := c.e.membership; m != nil {
			return m.Readable(ctx, c.p)
		}
		_, end, err := c.e.source.Bounds(ctx, c.p)
		return end, err
	}
	var err error
	if c.shownTo, err = end(); err != nil {
		return fmt.Errorf("read the end of %s: %w", c.p, err)
	}
	return nil
}

// show lets questions in once nothing newer can have been shown.
func (c *partition) show() {
	if !c.shows.Load() && c.shard.nextOffset >= c.shownTo {
		c.shows.Store(true)
		c.shard.teller.Start(c.shard.watermarkMs, c.e.cfg.NoPrices)
	}
}

// holds says that nobody else can have answered for the assignment of generation.
func (e *Engine) holds(generation int32) bool {
	return e.membership == nil || e.membership.Holds(generation)
}

// noteRecovery counts a life of p that came as far as its committed offset.
func (e *Engine) noteRecovery(p Partition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recoveries[p]++
}
