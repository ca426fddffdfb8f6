package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"slices"
	"time"
)

// stage is a part of a running program.
type stage struct {
	name string
	stop func(ctx context.Context) error
}

// stages are the parts that run, in the order in which they were started: from the sink backwards, so that nobody
// produces before someone consumes. They are stopped the other way round.
type stages struct {
	log     *slog.Logger
	tell    func(line string) // says what happened to people; nil: nobody is told
	running []stage
}

// start starts a stage and notes how to stop it. What it starts is labelled with its name in profiles. stop may be
// nil: there is nothing to stop.
func (s *stages) start(ctx context.Context, name string, start func(ctx context.Context) (detail string, stop func(context.Context) error, err error)) error {
	began := time.Now()
	var err error
	var detail string
	pprof.Do(ctx, pprof.Labels("stage", name), func(ctx context.Context) {
		var stop func(context.Context) error
		detail, stop, err = start(ctx)
		if err == nil && stop != nil {
			s.running = append(s.running, stage{name, stop})
		}
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	took := time.Since(began).Round(time.Millisecond)
	s.log.Info("started", "stage", name, "took", took, "detail", detail)
	if s.tell != nil {
		s.tell(fmt.Sprintf("%-10s %s (%v)", name, detail, took))
	}
	return nil
}

// stopAll stops everything that runs, newest first, each logged with its duration. A stage that fails to stop does
// not keep the others from it.
func (s *stages) stopAll(ctx context.Context) error {
	var errs []error
	for _, st := range slices.Backward(s.running) {
		began := time.Now()
		err := st.stop(ctx)
		took := time.Since(began).Round(time.Millisecond)
		if err != nil {
			s.log.Error("stopped with an error", "stage", st.name, "took", took, "error", err)
		} else {
			s.log.Info("stopped", "stage", st.name, "took", took)
		}
		if s.tell != nil {
			s.tell(fmt.Sprintf("%-10s stopped (%v)", st.name, took))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", st.name, err))
		}
	}
	s.running = nil
	return errors.Join(errs...)
}

// bounded closes what knows no time-out. Leaving the group, say, asks a broker, which may be away: a stop does not wait
// for it beyond its own bound, and the group forgets the engine by itself.
func bounded(ctx context.Context, closing func() error) error {
	done := make(chan error, 1)
	go func() { done <- closing() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it was still closing: %w", context.Cause(ctx))
	}
}
