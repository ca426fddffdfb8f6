package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wattline/wattline/engine/config"
	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/pace"
	"github.com/wattline/wattline/engine/slab"
)

// What an Engine can be told: package engine/config.
type (
	// Config is all of it.
	Config = config.Config
	// Partitioner says how producers choose a partition.
	Partitioner = config.Partitioner
)

// Ends are what an Engine is connected to.
type Ends struct {
	Source    Source
	Committer Committer
	Producer  Producer
	Logs      LogReader
	Sink      Sink
	Ledger    Ledger
	Clock     Clock
	Decoders  Decoders
	Reference DecodeReference
	// Tokens makes pseudonyms of drivers' tokens. Nil: a reference log that names keys of them can not be followed.
	Tokens Tokens
	// Membership tells when questions may be answered. Nil: nobody else ever has our partitions.
	Membership Membership
	// StoreProbe and GroupProbe are asked now and then whether ClickHouse and the group's coordinator answer, so that
	// an engine without work notices too. Default: nobody is asked.
	StoreProbe, GroupProbe ends.Prober
	// Installation makes the first record of a reference log that has none: a new hash key.
	Installation func() (Message, error)
	Logger       *slog.Logger
}

// Engine runs the partitions that the group assigns to it.
type Engine struct {
	cfg        Config
	source     Source
	committer  Committer
	producer   Producer
	logs       LogReader
	sink       Sink
	ledger     Ledger
	clock      Clock
	decoders   Decoders
	ref        *Reference
	blocks     blockPool
	install    func() (Message, error)
	log        *slog.Logger
	membership Membership

	pools  slab.ImagePools
	images atomic.Int32  // that are being made
	always chan struct{} // closed

	ends *ends.Set

	mu         sync.Mutex
	parts      map[Partition]*partition
	leaving    map[Partition]*partition // dropped, not ended yet: its successor waits for it
	owned      []Partition              // of the last assignment
	generation int32
	ages       pace.Ages[Partition]
	halted     map[Partition]error
	failing    *ends.Restarts[Partition]
	joined     bool
	recoveries map[Partition]int64 // of this process's life
}

// New returns an Engine that does nothing until Run.
func New(cfg Config, ends Ends) (*Engine, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		cfg: cfg, source: ends.Source, committer: ends.Committer, logs: ends.Logs, sink: ends.Sink,
		clock: ends.Clock, decoders: ends.Decoders, ref: NewReference(ends.Reference, ends.Tokens),
		install: ends.Installation, log: ends.Logger, membership: ends.Membership,
		parts: map[Partition]*partition{}, leaving: map[Partition]*partition{}, ages: pace.Ages[Partition]{Age: cfg.BlockAge, Max: cfg.BlockAgeMax, PerSecond: cfg.BlocksPerSecond}, halted: map[Partition]error{},
		recoveries: map[Partition]int64{}, always: make(chan struct{}),
	}
	close(e.always)
	e.watch(ends)
	return e, nil
}

// Run joins the group and rates until ctx ends; then every partition closes its block and leaves its state on
// Kafka, so that nothing is pending. It returns early when another engine uses its instance id (ErrFenced), or
// the reference log can not be read.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var follower sync.WaitGroup
	follower.Go(func() { e.follow(ctx) })
	defer follower.Wait()
	e.ends.Probe(ctx, &follower)
	next := make(chan Assignment)
	failed := make(chan error, 1)
	sourceCtx, leave := context.WithCancel(ctx)
	defer leave()
	go func() {
		for {
			a, err := e.source.Next(sourceCtx)
			if err != nil {
				failed <- err
				return
			}
			select {
			case next <- a:
			case <-sourceCtx.Done():
				failed <- sourceCtx.Err()
				return
			}
		}
	}()
	watch := e.clock.After(time.Second)
	for {
		select {
		case a := <-next:
			e.assign(work, a)
		case err := <-failed:
			if ctx.Err() != nil {
				return e.stop()
			}
			stop(err)
			return errors.Join(fmt.Errorf("consumer group: %w", err), e.stop())
		case <-watch:
			e.ends.Look(e.backlog)
			if err := e.reap(work); err != nil {
				stop(err)
				return errors.Join(err, e.stop())
			}
			watch = e.clock.After(time.Second)
		case <-ctx.Done():
			return e.stop()
		}
	}
}

// prepare reads the reference log, and makes its first record if there is none.
func (e *Engine) prepare(ctx context.Context) error {
	if err := e.ref.Follow(ctx, e.logs, e.cfg.ReferenceTopic); err != nil {
		return err
	}
	if _, ok := e.ref.HashKey(); ok {
		return nil
	}
	msg, err := e.install()
	if err != nil {
		return fmt.Errorf("make the installation record: %w", err)
	}
	if _, err := e.producer.Produce(ctx, e.cfg.ReferenceTopic, 0, []Message{msg}); err != nil {
		return fmt.Errorf("write the installation record to %s: %w", e.cfg.ReferenceTopic, err)
	}
	if err := e.ref.Follow(ctx, e.logs, e.cfg.ReferenceTopic); err != nil {
		return err
	}
	if _, ok := e.ref.HashKey(); !ok {
		return fmt.Errorf("the installation record did not come back from %s", e.cfg.ReferenceTopic)
	}
	return nil
}

// follow keeps the reference, and the ends of the logs, up to date.
func (e *Engine) follow(ctx context.Context) {
	for {
		select {
		case <-e.clock.After(e.cfg.ReferencePoll):
		case <-ctx.Done():
			return
		}
		call := e.ends.Reference.Begin()
		err := e.ref.Follow(ctx, e.logs, e.cfg.ReferenceTopic)
		call.Done()
		if ctx.Err() != nil {
			return
		}
		e.ends.Reference.Note(e.cfg.ReferenceTopic, err)
		e.measureLag(ctx) // bounded: a partition without a leader holds up nobody's tariffs
	}
}

// hasEnded says that the partition's goroutines are gone.
func (c *partition) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// assign starts what is new and drops what left. What stays is not touched.
func (e *Engine) assign(ctx context.Context, a Assignment) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A generation that is neither the last one nor the next was missed: another engine may have had anything.
	missed := e.joined && a.Generation != e.generation && a.Generation != e.generation+1
	e.joined, e.owned, e.generation = true, a.Partitions, a.Generation
	for p, c := range e.parts {
		if missed || !slices.Contains(a.Partitions, p) {
			c.cancel(ErrLost)
			e.leaving[p] = c
			delete(e.parts, p)
			e.ages.Forget(p)
			e.log.Info("partition left", "partition", p.String(), "generation", a.Generation)
		}
	}
	for p := range e.halted {
		if !slices.Contains(a.Partitions, p) {
			delete(e.halted, p)
		}
	}
	for _, p := range e.failing.All() {
		if missed || !slices.Contains(a.Partitions, p) {
			e.failing.Forget(p)
		}
	}
	for _, p := range a.Partitions {
		if _, failed := e.failing.Of(p); !failed && e.parts[p] == nil && e.halted[p] == nil {
			c := newPartition(e, p)
			e.parts[p] = c
			c.start(ctx, e.leaving[p])
			delete(e.leaving, p)
		}
	}
}

// reap looks after partitions that ended by themselves: halted ones stay down and are told, others start again.
func (e *Engine) reap(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for p, c := range e.leaving {
		if c.hasEnded() {
			delete(e.leaving, p)
		}
	}
	for p, c := range e.parts {
		if !c.hasEnded() {
			continue
		}
		delete(e.parts, p)
		err := c.err
		if !isHalt(err) && !errors.Is(err, ErrFenced) && slices.Contains(e.owned, p) {
			// A lost one, too: it left and came back, and what it has in memory is of before.
			err = e.noteFailure(c)
		}
		var halt *Halt
		switch {
		case errors.Is(err, ErrFenced):
			return fmt.Errorf("%w: %s; give each engine its own engine.id and start this one again", ErrFenced, e.cfg.EngineID)
		case errors.As(err, &halt):
			e.halted[p] = err
			e.failing.Forget(p)
			e.log.Error("partition halted", "error", err)
			if panicked(err) {
				e.log.Error("partition panicked", "partition", p.String(), "stack", string(halt.Stack))
			}
		}
	}
	e.tryAgain(ctx)
	return nil
}

// stop ends all partitions in order and waits for them, StopTimeout at most: what is not durable by then is
// planned, and the next start finishes it as after a crash.
func (e *Engine) stop() error {
	e.mu.Lock()
	parts := make([]*partition, 0, len(e.parts))
	for _, c := range e.parts {
		parts = append(parts, c)
		close(c.stop)
	}
	for _, c := range e.leaving {
		parts = append(parts, c)
	}
	e.mu.Unlock()
	slices.SortFunc(parts, func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.p.Topic, b.p.Topic), cmp.Compare(a.p.Number, b.p.Number))
	})
	var errs []error
	late := e.clock.After(e.cfg.StopTimeout)
	for _, c := range parts {
		select {
		case <-c.ended:
		case <-late:
			for _, c := range parts {
				c.cancel(errStopTimeout)
			}
			late = nil
			<-c.ended
		}
		switch {
		case errors.Is(c.err, errStopTimeout):
			errs = append(errs, fmt.Errorf("%s: %w", c.p, errStopTimeout))
		case c.err != nil && !lost(c.err):
			errs = append(errs, c.err)
		}
	}
	return errors.Join(errs...)
}

// errStopTimeout ends a clean stop that takes too long.
var errStopTimeout = errors.New("not durable within the stop time-out: the next start finishes it, if release and configuration are the same")

// blockAge is the age at which a partition's next block is closed.
func (e *Engine) blockAge(p Partition, thin bool) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ages.Of(p, thin, len(e.parts))
}

// replayShare is the rating time of one partition after which it takes a snapshot: its share of SnapshotReplay, less
// a fifth for fetching.
func (e *Engine) replayShare() time.Duration {
	e.mu.Lock()
	n := max(len(e.parts), 1)
	e.mu.Unlock()
	return e.cfg.SnapshotReplay * time.Duration(4*min(runtime.GOMAXPROCS(0), n)) / time.Duration(5*n)
}

// Ready returns nil when the engine is in the group and every partition it has is rating, else what is not.
func (e *Engine) Ready() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.joined {
		return errors.New("not yet in the consumer group")
	}
	var down []string
	for p, c := range e.parts {
		if _, failed := e.failing.Of(p); !failed && !c.rating.Load() {
			down = append(down, p.String()+" is not rating yet")
		}
	}
	for _, p := range e.failing.All() {
		f, _ := e.failing.Of(p)
		down = append(down, fmt.Sprintf("%s failed %d times since %s and is tried again: %v", p, f.Tries, f.Since.UTC().Format(time.RFC3339), f.Err))
	}
	for _, err := range e.halted {
		down = append(down, err.Error())
	}
	slices.Sort(down)
	if len(down) > 0 {
		return errors.New(strings.Join(down, "; "))
	}
	return nil
}
