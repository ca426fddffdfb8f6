package ends

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lines is a logger's output, one text a line of level Info or above.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, strings.TrimSpace(string(p)))
	return len(p), nil
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// handClock is moved by the test.
type handClock struct{ now time.Time }

func (c *handClock) Now() time.Time                       { return c.now }
func (c *handClock) After(time.Duration) <-chan time.Time { return nil }

func full() error { return &FaultError{Fault: FaultFull, Do: "make room", Err: errors.New("disk")} }

func away() error {
	return &FaultError{Fault: FaultUnreachable, Do: "see whether it runs", Err: errors.New("refused")}
}

// TestEndStates: an end's state is told once, however many calls meet it, and what the next try mends is not told.
func TestEndStates(t *testing.T) {
	clock := &handClock{now: time.UnixMilli(1_750_000_000_000)}
	var out lines
	e := New(Store, clock, out.logger())
	backlog := func() []any { return []any{"messages_waiting", 7} }
	step := func(d time.Duration, want ...string) {
		t.Helper()
		clock.now = clock.now.Add(d)
		out.list = nil
		e.Look(backlog)
		e.Look(backlog) // changes nothing
		var got []string
		for _, line := range out.list {
			got = append(got, strings.TrimSpace(regexp.MustCompile(`(level|msg|end|lasted|runbook|messages_waiting)=("[^"]*"|\S+) ?`).ReplaceAllString(line, "")))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}

	calls := make([]*Call, 200)
	for i := range calls {
		calls[i] = e.Begin()
	}
	step(time.Second / 2)
	calls[0].Failed(away())
	step(time.Second)
	calls[0].Again()
	calls[0].Done()
	step(10*time.Second, `state=slow was=ok calls=199 error="no answer yet" do="see whether it is overloaded, stopped, or cut off"`)
	for _, c := range calls[1:] {
		c.Failed(away())
	}
	step(time.Second, `state=unreachable was=slow calls=199 error=refused do="see whether it runs"`)
	for range 5 {
		for _, c := range calls[1:] {
			c.Again()
			c.Failed(away())
		}
		step(10 * time.Second)
	}
	// Some find the disk full, some find nobody: the gravest is told, whoever spoke last.
	for i, c := range calls[1:] {
		c.Again()
		if c.Failed(away()); i%2 == 0 {
			c.Again()
			c.Failed(full())
		}
	}
	step(time.Second, `state=full was=unreachable calls=199 error=disk do="make room"`)
	for _, c := range calls[2:] {
		c.Again()
		c.Done()
	}
	step(time.Second) // one is left
	calls[1].Again()
	calls[1].Failed(full())
	calls[1].Failed(context.Canceled) // the partition has left
	calls[1].Done()
	step(time.Second, "state=ok was=full")
	if s := e.State(); s.Changes != 4 || s.Waiting != 0 || s.Detail != "" || len(e.calls) != 0 {
		t.Errorf("%+v, %d calls", s, len(e.calls))
	}
	// A failure that nobody comes back to is forgotten.
	lost := e.Begin()
	lost.Failed(errors.New("x"))
	step(3*time.Second, `state=failing was=ok calls=1 error=x do="see whether it is overloaded, stopped, or cut off"`)
	step(2*time.Minute, "state=ok was=failing")
}

// TestRestarts: what fails is started again less and less often, with one line, and forgotten once it got on.
func TestRestarts(t *testing.T) {
	clock := &handClock{now: time.UnixMilli(1_750_000_000_000)}
	var out lines
	r := NewRestarts[name](clock, out.logger())
	err := errors.New("x")
	for i, want := range []int{0, 1, 2, 4, 8, 16, 30, 30} {
		if f := r.Failed("p", 7, err, false); f.Tries != i+1 {
			t.Errorf("%d tries, want %d", f.Tries, i+1)
		}
		if want > 0 {
			clock.now = clock.now.Add(time.Duration(want)*time.Second - 1)
			if r.Due("p") {
				t.Errorf("try %d is due before %ds", i+1, want)
			}
			clock.now = clock.now.Add(1)
		}
		if !r.Due("p") {
			t.Errorf("try %d is not due after %ds", i+1, want)
		}
	}
	r.Runs("p", 7)
	r.Runs("p", 7)
	if _, failed := r.Of("p"); !failed {
		t.Error("forgotten, though it did not get on")
	}
	r.Runs("p", 8)
	if _, failed := r.Of("p"); failed || len(out.list) != 2 {
		t.Errorf("not forgotten when it got on, or told otherwise than once and once: %q", out.list)
	}
	r.Failed("p", 9, err, true) // nobody's business
	r.Runs("p", 9)
	clock.now = clock.now.Add(settledAfter)
	r.Runs("p", 9)
	if len(r.All()) != 0 || len(out.list) != 2 {
		t.Errorf("%v is left, lines %q", r.All(), out.list)
	}
}

type name string

func (n name) String() string { return string(n) }

// TestGuard: a panic comes back as an error with its stack, an error as it is.
func TestGuard(t *testing.T) {
	var p *PanicError
	if err := Guard(func() error { panic("odd") }); !errors.As(err, &p) || err.Error() != "odd" || !strings.Contains(string(p.Stack), "TestGuard") {
		t.Errorf("got %v", err)
	}
	if err := Guard(func() error { return context.Canceled }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
