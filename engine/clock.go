package engine

import (
	"context"
	"errors"
	"time"
)

// Clock is the time of day for what decides no row: block age, retries, back-off.
type Clock interface {
	Now() time.Time
	// After returns a channel that gets the time once d has passed.
	After(d time.Duration) <-chan time.Time
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now returns time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// After returns time.After.
func (SystemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// backoff doubles the wait between attempts up to a bound.
type backoff struct{ next, max time.Duration }

func newBackoff(most time.Duration) *backoff {
	return &backoff{next: min(100*time.Millisecond, most), max: most}
}

func (b *backoff) sleep(ctx context.Context, c Clock) error {
	d := b.next
	b.next = min(2*b.next, b.max)
	select {
	case <-c.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func isHalt(err error) bool {
	var h *Halt
	return errors.As(err, &h)
}
