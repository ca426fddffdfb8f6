package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// RunConfig says how readings are sent.
type RunConfig struct {
	// Partitions is how many the topic has. Required.
	Partitions int32
	// Encode appends the message of a reading to dst. Default: wire.Append, Protobuf. The reading is valid during the
	// call and names no charge point: the record's key does.
	Encode func(dst []byte, r *rating.Reading) []byte
	// Speed is how many seconds of the file pass in a second. Default 0: as fast as the producer takes it.
	Speed int64
	// Clock is the time of day. Required.
	Clock loadgen.Clock
	// Progress is told how far the run is, about every two seconds. Default: nobody is.
	Progress func(loadgen.Progress)
}

const (
	progressEvery = 2 * time.Second
	flushEvery    = 100 * time.Millisecond
)

// Run sends all readings, in order of measurement; the timestamp of a record is when its reading was measured. All is
// flushed when it returns without an error. Errors: those of p; the cause of ctx, when that ends.
func (r *Replay) Run(ctx context.Context, cfg RunConfig, p loadgen.Producer) (loadgen.Progress, error) {
	if cfg.Partitions < 1 || cfg.Clock == nil || cfg.Speed < 0 {
		return loadgen.Progress{}, errors.New("replay: RunConfig needs Partitions, a Clock, and a Speed of 0 or more")
	}
	if cfg.Encode == nil {
		cfg.Encode = wire.Append
	}
	start := cfg.Clock.Now()
	s := &sender{r: r, cfg: &cfg, p: p, start: start, now: start, flushed: start, told: start}
	s.keys, s.of = r.partitions(cfg.Partitions)
	err := s.run(ctx)
	if err == nil {
		err = p.Flush(ctx)
	}
	s.progress.Elapsed = cfg.Clock.Now().Sub(start)
	if err != nil {
		return s.progress, fmt.Errorf("replay at %s: %w", timeText(s.progress.SimulatedMs), err)
	}
	s.progress.Done = true
	return s.progress, nil
}

// sender is one Run.
type sender struct {
	r        *Replay
	cfg      *RunConfig
	p        loadgen.Producer
	keys     [Garages][][]byte
	of       [Garages][]int32
	start    time.Time
	now      time.Time
	flushed  time.Time
	told     time.Time
	reading  rating.Reading
	value    []byte
	progress loadgen.Progress
}

func (s *sender) run(ctx context.Context) error {
	for i := range s.r.events {
		e := &s.r.events[i]
		if i&1023 == 0 || s.cfg.Speed > 0 {
			if err := s.pace(ctx, e.atMs); err != nil {
				return err
			}
		}
		station := s.r.sessions[e.session].Station
		s.r.reading(&s.reading, e)
		s.value = s.cfg.Encode(s.value[:0], &s.reading)
		record := loadgen.Record{Partition: s.of[e.garage][station], TimestampMs: e.atMs, Key: s.keys[e.garage][station], Value: s.value}
		if err := s.p.Append(ctx, &record); err != nil {
			return err
		}
		s.progress.SimulatedMs = e.atMs
		s.progress.Records++
		s.progress.Bytes += int64(len(record.Key) + len(record.Value))
	}
	return nil
}

// pace waits until the reading at atMs is due, sends what waits too long, and tells how far the run is.
func (s *sender) pace(ctx context.Context, atMs int64) error {
	s.now = s.cfg.Clock.Now()
	if speed := s.cfg.Speed; speed > 0 {
		ms := atMs - s.r.events[0].atMs
		due := s.start.Add(time.Duration(ms/speed)*time.Millisecond + time.Duration(ms%speed)*time.Millisecond/time.Duration(speed))
		wait := due.Sub(s.now)
		if wait > 0 || s.now.Sub(s.flushed) >= flushEvery {
			if err := s.p.Flush(ctx); err != nil {
				return err
			}
			s.flushed = s.now
		}
		if wait > 0 {
			select {
			case <-s.cfg.Clock.After(wait):
			case <-ctx.Done():
			}
		}
		s.progress.Behind = max(0, -wait)
	}
	if s.cfg.Progress != nil && s.now.Sub(s.told) >= progressEvery {
		s.told = s.now
		s.progress.Elapsed = s.now.Sub(s.start)
		s.cfg.Progress(s.progress)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func timeText(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
