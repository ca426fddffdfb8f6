package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wattline/wattline/engine/ends"
)

// ErrUnreadable says that a partition has bytes at the wanted offset that can not be read: a damaged batch, an unknown
// codec, a batch that unpacks to too much. Feeds and batches return it; asking again may help, where the bytes were
// damaged on the way.
var ErrUnreadable = errors.New("the batch can not be read")

// unreadableTries is how often an unreadable batch is fetched again before the partition halts.
const unreadableTries = 5

// position is how far the partition came; 0 while it is not known.
func (c *partition) position() int64 {
	if s := c.counters.Load(); s != nil {
		return s.Position.Load()
	}
	return 0
}

// noteFailure takes in that c ended with an error that is no halt, and returns a halt when trying again is in vain. mu
// is held.
func (e *Engine) noteFailure(c *partition) error {
	f := e.failing.Failed(c.p, c.position(), c.err, errors.Is(c.err, ErrLost)) // which is no failure
	if !errors.Is(c.err, ErrUnreadable) || f.Tries < unreadableTries {
		return nil
	}
	return &Halt{
		Reason: "unreadable-batch", Partition: c.p,
		Detail: fmt.Sprintf("%v; it was fetched %d times in %v", c.err, f.Tries, e.clock.Now().Sub(f.Since).Round(time.Second)),
		Do:     "what came before it is written; bring the batch back from another replica, or skip it as docs/runbook/unreadable-batch.md says",
	}
}

// tryAgain starts what failed and is due, and forgets the failures that are over. mu is held.
func (e *Engine) tryAgain(ctx context.Context) {
	for _, p := range e.failing.All() {
		switch c := e.parts[p]; {
		case c == nil && e.failing.Due(p):
			again := newPartition(e, p)
			e.parts[p] = again
			again.start(ctx, nil)
		case c != nil && !c.hasEnded() && c.rating.Load():
			e.failing.Runs(p, c.position())
		}
	}
}

// panicked says whether err is the halt of a panic.
func panicked(err error) bool {
	var h *Halt
	return errors.As(err, &h) && h.Stack != nil
}

// guard runs fn and turns a panic into a halt: one partition must not end the process of all. A panic is a bug of ours,
// met by a record or a state that nobody had thought of. The same bytes would meet it again, so it is not tried again; a
// release without the bug rates them. What the partition had in memory is thrown away, so nothing half done becomes
// durable, and the others have nothing of it.
func (c *partition) guard(fn func() error) error {
	err := ends.Guard(fn)
	if p, ok := errors.AsType[*ends.PanicError](err); ok {
		return &Halt{
			Reason: "panic", Partition: c.p,
			Detail: fmt.Sprintf("%v, while it rated behind offset %d", p, c.position()),
			Do:     "report it with the log's stack and the records from that offset on; see docs/runbook/panic.md", Stack: p.Stack,
		}
	}
	return err
}
