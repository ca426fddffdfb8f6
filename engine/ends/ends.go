package ends

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Fault is what ails an end, by a short and stable name: it is a label of metrics and part of the name of a page in
// docs/runbook.
type Fault string

// The faults, the gravest last: where calls fail in several ways at once, the end has the gravest.
const (
	FaultNone         Fault = "ok"
	FaultUnreachable  Fault = "unreachable"    // nobody answers: process, machine or network
	FaultSlow         Fault = "slow"           // it takes requests, and does not answer in time
	FaultFailing      Fault = "failing"        // it answers with errors that have no name here
	FaultOverloaded   Fault = "overloaded"     // memory or the number of queries is at its limit
	FaultTooManyParts Fault = "too-many-parts" // merges do not keep up with inserts
	FaultFull         Fault = "full"           // no disk space
	FaultReadOnly     Fault = "read-only"      // the table or the user may not write
	FaultDenied       Fault = "denied"         // password or rights
	FaultSchema       Fault = "schema"         // a table or column is missing, or another than expected
)

// Faults lists all faults, the gravest last.
func Faults() []Fault {
	return []Fault{
		FaultNone, FaultUnreachable, FaultSlow, FaultFailing, FaultOverloaded, FaultTooManyParts, FaultFull, FaultReadOnly, FaultDenied, FaultSchema,
	}
}

// FaultError is an error of an end that knows what ails the end. Connectors return it (errors.As), for the engine to say
// so once for all partitions. An error without one is FaultFailing.
type FaultError struct {
	Fault Fault
	Do    string // what an operator does now
	Err   error
}

func (e *FaultError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *FaultError) Unwrap() error { return e.Err }

// The names of the ends.
const (
	Store     = "store"     // inserts, read-back and the newest blocks; ClickHouse
	Producer  = "producer"  // snapshots and rejects; Kafka
	Reference = "reference" // the reference log; Kafka
	Group     = "group"     // membership and offsets; Kafka's coordinator
)

// State is how an end is.
type State struct {
	End     string
	State   Fault
	Since   time.Time // of the state
	Changes int64     // of the state, since the process began
	Errors  int64     // calls that failed, also those that the next try mended
	Waiting int       // calls that fail or hang now
	Detail  string    // the newest error of the state; "" when it is ok
	Do      string    // what an operator does now
}

// Prober asks an end for a sign of life.
type Prober interface {
	// Ping returns nil when the end answers and would take work. It may take as long as ctx lets it.
	Ping(ctx context.Context) error
}

const (
	// faultGrace is how long a call must have failed until the end has its fault: what the next try mends is nobody's
	// business but a counter's.
	faultGrace = 2 * time.Second
	// slowAfter is how long a call may take until the end is slow. An insert takes tenths of a second.
	slowAfter = 5 * time.Second
	// faultKept is how long a failure counts that nobody tried again: its partition may have left.
	faultKept = time.Minute
	// probeEvery is how often an end is asked that may have nothing to do.
	probeEvery = 2 * time.Second
)

// End is one of the engine's ends, watched. Its state is the gravest fault of the calls that are being made, so that
// 200 partitions that wait for one store change it once; it is ok when none of them fails. Calls are told by any
// number of goroutines; Look, from one, changes the state and says so.
type End struct {
	name  string
	clock Clock
	log   *slog.Logger

	mu     sync.Mutex
	calls  map[*Call]struct{}
	errors int64
	now    State
	noted  map[any]*Call
}

// Call is something that is tried until it works.
type Call struct {
	end      *End
	began    time.Time // this attempt; zero: it is not running
	failedAt time.Time // first failure in a row; zero: it did not fail
	toldAt   time.Time // newest failure
	fault    Fault
	err      error
}

// New returns an End that is ok. log hears of changes at Warn and Info, of each failure at Debug.
func New(name string, clock Clock, log *slog.Logger) *End {
	return &End{
		name: name, clock: clock, log: log, calls: map[*Call]struct{}{}, noted: map[any]*Call{},
		now: State{End: name, State: FaultNone, Since: clock.Now()},
	}
}

// Begin notes that an attempt begins; Done must follow.
func (e *End) Begin() *Call {
	c := &Call{end: e}
	c.Again()
	return c
}

// Again notes that another attempt begins.
func (c *Call) Again() {
	e := c.end
	e.mu.Lock()
	defer e.mu.Unlock()
	c.began = e.clock.Now()
	e.calls[c] = struct{}{}
}

// Failed notes that the attempt failed, and that there will be another. The end of the caller's context says nothing
// about the end.
func (c *Call) Failed(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	e := c.end
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	if c.failedAt.IsZero() {
		c.failedAt = now
		if !c.began.IsZero() {
			c.failedAt = c.began // it hung for a while first
		}
	}
	c.began, c.toldAt, c.fault, c.err = time.Time{}, now, faultOf(err), err
	e.calls[c] = struct{}{}
	e.errors++
	e.log.Debug("call failed, will be tried again", "end", e.name, "fault", string(c.fault), "error", err)
}

// Done notes that the call worked, or that nobody waits for it any longer.
func (c *Call) Done() {
	e := c.end
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.calls, c)
	*c = Call{end: e}
}

// faultOf is the fault that a connector gave to err.
func faultOf(err error) Fault {
	var f *FaultError
	switch {
	case errors.As(err, &f):
		return f.Fault
	case errors.Is(err, context.DeadlineExceeded):
		return FaultSlow
	}
	return FaultFailing
}

func rank(f Fault) int {
	for i, x := range Faults() {
		if x == f {
			return i
		}
	}
	return 0
}

// Look takes the state from the calls and says it if it is another. waiting is asked only then.
func (e *End) Look(waiting func() []any) {
	e.mu.Lock()
	now := e.clock.Now()
	worst, count := e.worst(now)
	was := e.now
	e.now.Waiting = count
	if worst == nil {
		e.now.Detail, e.now.Do = "", ""
	} else {
		e.now.Detail, e.now.Do = "no answer yet", "see whether it is overloaded, stopped, or cut off"
		var f *FaultError
		if worst.err != nil {
			e.now.Detail = worst.err.Error()
		}
		if errors.As(worst.err, &f) && f.Do != "" {
			e.now.Do = f.Do
		}
	}
	state := FaultNone
	if worst != nil {
		state = worst.state(now)
	}
	if state != was.State {
		e.now.State, e.now.Since = state, now
		e.now.Changes++
	}
	is := e.now
	e.mu.Unlock()
	if is.State == was.State {
		return
	}
	attrs := []any{"end", e.name, "state", string(is.State), "was", string(was.State), "lasted", is.Since.Sub(was.Since).Round(time.Millisecond)}
	if is.State == FaultNone {
		e.log.Info("end works again", append(attrs, waiting()...)...)
		return
	}
	attrs = append(attrs, "calls", count, "error", is.Detail, "do", is.Do, "runbook", "docs/runbook/"+is.page())
	e.log.Warn("end does not work: what needs it waits and is tried again", append(attrs, waiting()...)...)
}

// page is the runbook's page for the state.
func (s *State) page() string {
	if s.End == Store {
		return "store-" + string(s.State) + ".md"
	}
	return "kafka-unreachable.md"
}

// state is the fault that the call has shown by now.
func (c *Call) state(now time.Time) Fault {
	switch {
	case !c.failedAt.IsZero() && now.Sub(c.failedAt) >= faultGrace:
		return c.fault
	case !c.began.IsZero() && now.Sub(c.began) >= slowAfter:
		return FaultSlow
	}
	return FaultNone
}

// worst is the call with the gravest fault, nil if there is none, and how many calls have one. mu is held.
func (e *End) worst(now time.Time) (worst *Call, count int) {
	for c := range e.calls {
		if c.began.IsZero() && now.Sub(c.toldAt) >= faultKept {
			delete(e.calls, c)
			continue
		}
		f := c.state(now)
		if f == FaultNone {
			continue
		}
		count++
		if worst == nil || rank(f) > rank(worst.state(now)) || f == worst.state(now) && c.failedAt.Before(worst.failedAt) {
			worst = c
		}
	}
	return worst, count
}

// State is the state as Look found it last.
func (e *End) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.now
	s.Errors = e.errors
	return s
}

// Probe asks p for signs of life until ctx ends.
func (e *End) Probe(ctx context.Context, p Prober) {
	c := &Call{end: e}
	defer c.Done()
	for {
		within, cancel := context.WithTimeout(ctx, slowAfter)
		c.Again()
		err := p.Ping(within)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.Failed(err)
		default:
			c.Done()
		}
		select {
		case <-e.clock.After(probeEvery):
		case <-ctx.Done():
			return
		}
	}
}

// Note takes in how something went that is tried by others: what failed counts until the same key works, or for a
// minute.
func (e *End) Note(key any, err error) {
	e.mu.Lock()
	c := e.noted[key]
	if err != nil && c == nil {
		c = &Call{end: e}
		e.noted[key] = c
	}
	if err == nil {
		delete(e.noted, key)
	}
	e.mu.Unlock()
	switch {
	case err != nil:
		c.Failed(err)
	case c != nil:
		c.Done()
	}
}
