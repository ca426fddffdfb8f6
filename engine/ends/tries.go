package ends

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// Clock is the time of day for retries and for how long something lasts.
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

// Backoff doubles the wait between attempts up to a bound.
type Backoff struct{ next, max time.Duration }

// NewBackoff returns a Backoff that begins with 100 ms, or most if that is less.
func NewBackoff(most time.Duration) *Backoff {
	return &Backoff{next: min(100*time.Millisecond, most), max: most}
}

// Sleep waits, or returns why ctx ended.
func (b *Backoff) Sleep(ctx context.Context, c Clock) error {
	d := b.next
	b.next = min(2*b.next, b.max)
	select {
	case <-c.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Until calls fn until it works or ctx ends, with waits of most at the longest, and tells e how it goes.
func (e *End) Until(ctx context.Context, most time.Duration, fn func() error) error {
	c := e.Begin()
	defer c.Done()
	for wait := NewBackoff(most); ; c.Again() {
		err := fn()
		if err == nil || ctx.Err() != nil {
			return err
		}
		c.Failed(err)
		if serr := wait.Sleep(ctx, e.clock); serr != nil {
			return fmt.Errorf("%w (last: %w)", serr, err)
		}
	}
}

// PanicError is a panic that Guard caught.
type PanicError struct {
	Value any
	Stack []byte
}

func (p *PanicError) Error() string { return fmt.Sprint(p.Value) }

// Guard runs fn and returns its panic as a PanicError.
func Guard(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return fn()
}
