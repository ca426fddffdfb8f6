package loadgen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/rating"
)

// Record is what goes to the broker.
type Record struct {
	Partition   int32
	TimestampMs int64  // simulated time, ms since 1970 UTC
	Key         []byte // the charge point's identity
	Value       []byte // one reading, as Encode wrote it
}

// Producer takes records to the broker. Run calls it from one goroutine.
type Producer interface {
	// Append adds a record. Its bytes are valid during the call: what is kept is copied. It may send and wait
	// when a batch is full. Records of a partition must reach the broker in the order of the calls.
	Append(ctx context.Context, r *Record) error
	// Flush sends what was appended and returns when all of it is acknowledged. An error of either method means
	// that some of it may not be, and ends Run.
	Flush(ctx context.Context) error
}

// Clock is the time of day. Simulated time is made of it when there is a Speed.
type Clock interface {
	// Now is used for differences only.
	Now() time.Time
	// After returns a channel that gets the time once d has passed.
	After(d time.Duration) <-chan time.Time
}

// RunConfig says what Run sends, and when.
type RunConfig struct {
	// Network is what is simulated. Required.
	Network *Network
	// Encode appends the message of a reading to dst. Default: wire.Append, Protobuf. The reading is valid during
	// the call and names no charge point: the record's key does.
	Encode func(dst []byte, r *rating.Reading) []byte
	// FromMs is the simulated time to begin at, floored to a tick. Default: the network's epoch.
	FromMs int64
	// Sent resumes a run that was stopped or killed: by partition, the timestamp of its newest record, ms;
	// rating.Unknown (or an index beyond the end) for a partition without records. Nothing that a partition has is
	// sent again but its last tick, whose readings are known to an engine by their sequence numbers; what is
	// missing up to the newest record of all is sent at once, and from there on time passes again.
	// Default nil: a first run.
	Sent []int64
	// UntilMs is the simulated time to end before, rounded up to a tick. Default 0: the network's end, if it has
	// one, else until ctx ends.
	UntilMs int64
	// Partitions limits the run to these, so that several can run at once. Default: all.
	Partitions []int32
	// PaceFromMs is the simulated time from which on time passes when there is a Speed, ms; what is before is sent at once.
	// Default: where the run begins.
	PaceFromMs int64
	// Speed is how many simulated seconds pass in a second. Default 0: as fast as the producer takes it.
	Speed int64
	// FlushEvery is the longest time for which appended records wait. Default 100 ms; with Speed 0 only the
	// producer's own batching and the end of the run flush.
	FlushEvery time.Duration
	// Clock is the time of day. Required.
	Clock Clock
	// Progress is told how far the run is, about every ProgressEvery and at the end. Default: nobody is. It is
	// called from Run's goroutine, which it holds up.
	Progress func(Progress)
	// ProgressEvery is the time between two calls of Progress. Default 1 s.
	ProgressEvery time.Duration
}

func (c *RunConfig) validate() error {
	var faults []error
	if c.Network == nil {
		faults = append(faults, errors.New("loadgen.RunConfig.Network: missing"))
	}
	if c.Clock == nil {
		faults = append(faults, errors.New("loadgen.RunConfig.Clock: missing"))
	}
	const fastest = 1_000_000
	if c.Speed < 0 || c.Speed > fastest {
		faults = append(faults, fmt.Errorf("loadgen.RunConfig.Speed: %d is not in 0..%d", c.Speed, fastest))
	}
	return errors.Join(faults...)
}

// Progress is how far a run is.
type Progress struct {
	SimulatedMs int64 // all readings before it were appended
	Records     int64 // since the run began, duplicates included
	Duplicates  int64
	Bytes       int64 // of keys and values
	Elapsed     time.Duration
	// Behind is how much later than intended the last tick was sent: 0 for a run without Speed. It grows when
	// the producer cannot follow; nothing is left out.
	Behind time.Duration
	// Left is when the run is expected to end, from now; negative if that is not known.
	Left time.Duration
	Done bool
}

// Run sends the network's readings until its end, UntilMs, or the end of ctx, whose cause it returns then.
//
// It is an open loop: a tick has an intended time to be sent (that of the run's beginning + simulated time / Speed),
// which a slow producer does not move; what is late is sent at once. Everything appended is flushed before Run returns,
// unless the producer failed or ctx ended.
func Run(ctx context.Context, cfg RunConfig, p Producer) (Progress, error) {
	if err := cfg.validate(); err != nil {
		return Progress{}, err
	}
	r := newRun(&cfg, p)
	err := r.run(ctx)
	if err == nil {
		err = p.Flush(ctx)
	}
	if err != nil {
		return r.progress(false), fmt.Errorf("load run at simulated %s: %w", timeText(r.stream.NowMs()), err)
	}
	last := r.progress(true)
	if cfg.Progress != nil {
		cfg.Progress(last)
	}
	return last, nil
}

// run is Run at work.
type run struct {
	cfg      *RunConfig
	producer Producer
	stream   *Stream
	fromMs   int64
	paceMs   int64   // time passes from here on
	skipMs   []int64 // by partition: what is sent before it was sent by an earlier run
	untilMs  int64   // never if open
	start    time.Time
	paced    time.Time // when time began to pass; zero until then
	now      time.Time // when the clock was last asked
	flushed  time.Time
	told     time.Time
	unsent   bool
	count    Progress
	record   Record
	value    []byte
}

func newRun(cfg *RunConfig, p Producer) *run {
	r := &run{cfg: cfg, producer: p, untilMs: never}
	if r.cfg.FlushEvery <= 0 {
		r.cfg.FlushEvery = 100 * time.Millisecond
	}
	if r.cfg.Encode == nil {
		r.cfg.Encode = wire.Append
	}
	if r.cfg.ProgressEvery <= 0 {
		r.cfg.ProgressEvery = time.Second
	}
	from := r.resume()
	r.stream = cfg.Network.Stream(from, cfg.Partitions...)
	r.fromMs = r.stream.NowMs()
	r.paceMs = max(r.paceMs, r.fromMs, cfg.PaceFromMs)
	if end := cfg.Network.cfg.EndMs; end != 0 {
		r.untilMs = end + cfg.Network.cfg.TickMs
	}
	if cfg.UntilMs != 0 {
		r.untilMs = min(r.untilMs, cfg.UntilMs)
	}
	r.start = cfg.Clock.Now()
	r.now, r.flushed, r.told = r.start, r.start, r.start
	return r
}

// resume says where to begin, and notes what each partition has and where time passes from. A partition that no
// charge point is in holds nothing up.
func (r *run) resume() (fromMs int64) {
	n := r.cfg.Network
	r.skipMs = make([]int64, n.cfg.Partitions)
	if len(r.cfg.Sent) == 0 {
		return r.cfg.FromMs
	}
	for p := range r.skipMs {
		if p < len(r.cfg.Sent) && r.cfg.Sent[p] != rating.Unknown {
			r.skipMs[p] = r.cfg.Sent[p] - r.cfg.Sent[p]%n.cfg.TickMs
		}
		r.paceMs = max(r.paceMs, r.skipMs[p])
	}
	fromMs = r.paceMs
	for i := range n.stations {
		p := n.stations[i].partition
		if len(r.cfg.Partitions) == 0 || slices.Contains(r.cfg.Partitions, p) {
			fromMs = min(fromMs, r.skipMs[p])
		}
	}
	return max(fromMs, r.cfg.FromMs)
}

// intended is when the tick at simulated atMs is to be sent: when it is over, for nothing is sent before it is
// measured. Until time passes, it is as if it began to now.
func (r *run) intended(atMs int64) time.Time {
	ms := atMs + r.cfg.Network.cfg.TickMs - r.paceMs
	seconds, rest := ms/r.cfg.Speed, ms%r.cfg.Speed // in two parts: ms * 1e6 does not fit for a long run
	since := r.paced
	if since.IsZero() {
		since = r.now
	}
	return since.Add(time.Duration(seconds)*time.Millisecond + time.Duration(rest)*time.Millisecond/time.Duration(r.cfg.Speed))
}

func (r *run) run(ctx context.Context) error {
	send := func(e *Event) error { return r.send(ctx, e) }
	for r.stream.NowMs() < r.untilMs {
		if r.cfg.Speed > 0 && r.stream.NowMs() >= r.paceMs {
			if r.paced.IsZero() {
				r.paced = r.now
			}
			if err := r.await(ctx, r.intended(r.stream.NowMs())); err != nil {
				return err
			}
		} else if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.stream.Tick(send); err != nil {
			return err
		}
		r.now = r.cfg.Clock.Now()
		if r.cfg.Speed > 0 && r.now.Sub(r.flushed) >= r.cfg.FlushEvery {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
		if r.cfg.Progress != nil && r.now.Sub(r.told) >= r.cfg.ProgressEvery {
			r.told = r.now
			r.cfg.Progress(r.progress(false))
		}
	}
	return nil
}

// await waits for the intended time of a tick, and notes how late it is.
func (r *run) await(ctx context.Context, intended time.Time) error {
	for {
		wait := intended.Sub(r.now)
		if wait <= 0 {
			r.count.Behind = -wait
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil
		}
		r.count.Behind = 0
		// What was appended does not wait longer than it may because the next tick is far away.
		if due := r.flushed.Add(r.cfg.FlushEvery); r.unsent && intended.After(due) {
			wait = max(0, due.Sub(r.now))
		}
		select {
		case <-r.cfg.Clock.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		r.now = r.cfg.Clock.Now()
		if r.unsent && r.now.Sub(r.flushed) >= r.cfg.FlushEvery {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
}

func (r *run) flush(ctx context.Context) error {
	r.unsent = false
	if err := r.producer.Flush(ctx); err != nil {
		return err
	}
	r.now = r.cfg.Clock.Now()
	r.flushed = r.now
	return nil
}

func (r *run) send(ctx context.Context, e *Event) error {
	if e.SendMs < r.skipMs[e.Partition] {
		return nil
	}
	if !e.Duplicate { // the same bytes again
		key := e.Reading.ChargePoint
		e.Reading.ChargePoint = nil
		r.value = r.cfg.Encode(r.value[:0], &e.Reading)
		r.record = Record{Partition: e.Partition, TimestampMs: e.SendMs, Key: key, Value: r.value}
	} else {
		r.count.Duplicates++
	}
	r.count.Records++
	r.count.Bytes += int64(len(r.record.Key) + len(r.record.Value))
	r.unsent = true
	return r.producer.Append(ctx, &r.record)
}

// progress is how far the run is by the clock's last answer.
func (r *run) progress(done bool) Progress {
	p := r.count
	p.SimulatedMs = r.stream.NowMs()
	p.Elapsed = r.now.Sub(r.start)
	p.Done = done
	p.Left = -1
	switch sent, all := p.SimulatedMs-r.fromMs, r.untilMs-r.fromMs; {
	case done:
		p.Left = 0
	case r.untilMs == never:
	case r.cfg.Speed > 0:
		p.Left = max(0, r.intended(r.untilMs-r.cfg.Network.cfg.TickMs).Sub(r.now))
	case sent > 0:
		p.Left = p.Elapsed / time.Duration(sent/1000+1) * time.Duration((all-sent)/1000)
	}
	return p
}
