package ends

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	// againMax bounds the wait between two lives of what fails.
	againMax = 30 * time.Second
	// settledAfter is how long it must run until its failure is forgotten, if no progress tells sooner.
	settledAfter = 10 * time.Second
)

// Failure is something that fails again and again.
type Failure struct {
	Err   error
	Tries int
	Since time.Time

	at    int64 // how far it came
	due   time.Time
	runs  time.Time // since when its newest life runs; zero: it does not
	quiet bool
}

// Restarts says when what failed is started again: at once, then after 1, 2, 4 and at most 30 s, and from the beginning
// once it got on. One goroutine at a time uses it.
type Restarts[K interface {
	comparable
	fmt.Stringer
}] struct {
	clock Clock
	log   *slog.Logger
	open  map[K]*Failure
}

// NewRestarts returns a Restarts of which nothing has failed.
func NewRestarts[K interface {
	comparable
	fmt.Stringer
}](clock Clock, log *slog.Logger) *Restarts[K] {
	return &Restarts[K]{clock: clock, log: log, open: map[K]*Failure{}}
}

// Failed takes in that k ended with err when it had come to at, and returns its failure. It says so the first time,
// unless quiet: then it is none that anybody has to hear of.
func (r *Restarts[K]) Failed(k K, at int64, err error, quiet bool) Failure {
	now := r.clock.Now()
	last := r.open[k]
	f := last
	if f == nil || at > f.at { // it got on since
		f = &Failure{at: at, Since: now}
		r.open[k] = f
	}
	f.Err, f.runs = err, time.Time{}
	f.Tries++
	level := slog.LevelDebug
	if !quiet && (last == nil || last.quiet) {
		level = slog.LevelWarn
	}
	f.quiet = quiet
	r.log.Log(context.Background(), level, "partition fails: it is started again, less and less often", "partition", k.String(), "offset", at, "tries", f.Tries, "error", err)
	f.due = now // the first time at once
	if f.Tries > 1 {
		f.due = now.Add(min(time.Second<<min(f.Tries-2, 10), againMax))
	}
	return *f
}

// Of returns the failure of k.
func (r *Restarts[K]) Of(k K) (f Failure, failed bool) {
	if x := r.open[k]; x != nil {
		return *x, true
	}
	return f, false
}

// All lists what failed and has not got on yet, in no order.
func (r *Restarts[K]) All() []K {
	list := make([]K, 0, len(r.open))
	for k := range r.open {
		list = append(list, k)
	}
	return list
}

// Due says whether k, which does not run, is to be started again.
func (r *Restarts[K]) Due(k K) bool { return !r.clock.Now().Before(r.open[k].due) }

// Runs takes in that k, which failed, runs and has come to at. Once it got on, its failure is forgotten, and that said.
func (r *Restarts[K]) Runs(k K, at int64) {
	now, f := r.clock.Now(), r.open[k]
	if f.runs.IsZero() {
		f.runs = now
		return
	}
	if at <= f.at && now.Sub(f.runs) < settledAfter {
		return
	}
	delete(r.open, k)
	if !f.quiet {
		r.log.Info("partition rates again", "partition", k.String(), "offset", at, "lasted", now.Sub(f.Since).Round(time.Millisecond), "tries", f.Tries)
	}
}

// Forget drops k: it is somebody else's, or halted.
func (r *Restarts[K]) Forget(k K) { delete(r.open, k) }
