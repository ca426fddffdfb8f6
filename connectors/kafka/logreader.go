package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/engine"
)

var _ engine.LogReader = (*Client)(nil)

// emptyAnswers is how often in a row a broker must have nothing from an offset on for the rest up to the end to count as
// compacted away.
const emptyAnswers = 3

// readChunk is how many records ReadLog takes from a batch at a time.
const readChunk = 256

// ReadLog implements engine.LogReader. A from below the log's start is a *engine.Halt unless the topic is compacted:
// there the start moves as old versions go, and reading begins at it. A from beyond the end is a *engine.Halt.
func (c *Client) ReadLog(ctx context.Context, topic string, partition int32, from int64, fn func(engine.Record) error) (int64, error) {
	p := engine.Partition{Topic: topic, Number: partition}
	if from < 0 {
		return 0, fmt.Errorf("read log %s: offset %d is negative", p, from)
	}
	start, end, err := c.offsetsOf(ctx, p, true)
	if err != nil {
		return 0, err
	}
	switch {
	case from > end:
		return 0, beyondEnd(p, from, end)
	case from < start:
		if from, err = c.fromStart(ctx, p, from, start); err != nil {
			return 0, err
		}
	}
	at := from
	r := logRead{c: c, p: p, end: end, fn: fn, msg: c.newFetchMsg(true), maxBytes: int32(c.cfg.Fetch.MaxBytesPerPartition)}
	for at < end && r.empty < emptyAnswers {
		if at, err = r.step(ctx, at); err != nil {
			return 0, err
		}
	}
	return max(end, from), nil
}

// Bounds asks for the first offset that p still has and the offset that its next record gets. It retries what can be
// retried until ctx ends.
func (c *Client) Bounds(ctx context.Context, p engine.Partition) (start, end int64, err error) {
	return c.offsetsOf(ctx, p, true)
}

// fromStart returns the log's start where the topic is compacted, else a Halt.
func (c *Client) fromStart(ctx context.Context, p engine.Partition, from, start int64) (int64, error) {
	configs, err := c.topicConfigs(ctx, []string{p.Topic})
	if err != nil {
		return 0, fmt.Errorf("read log %s, which begins at offset %d above the wanted %d: %w", p, start, from, err)
	}
	if strings.Contains(configs[p.Topic]["cleanup.policy"], "compact") {
		return start, nil
	}
	return 0, belowStart(p, from, start)
}

// logRead is one call of ReadLog.
type logRead struct {
	c        *Client
	p        engine.Partition
	end      int64
	fn       func(engine.Record) error
	msg      *fetchMsg
	maxBytes int32
	empty    int // answers without records in a row
	records  [readChunk]engine.Record
}

// step fetches once at offset at, hands the records over and returns where to go on.
func (r *logRead) step(ctx context.Context, at int64) (int64, error) {
	err := r.c.atLeader(ctx, r.p, "read log", func(address string) (kafkago.Error, error) {
		r.msg.asks = append(r.msg.asks[:0], ask{partition: r.p, from: at, maxBytes: r.maxBytes})
		if err := r.c.fetch(ctx, address, r.msg); err != nil {
			r.msg = r.c.newFetchMsg(true)
			return 0, err
		}
		if a := &r.msg.answers[0]; a.code != 0 || !a.known {
			r.c.pool.put(a.records)
			if !a.known {
				return kafkago.Unknown, nil
			}
			return a.code, nil
		}
		return 0, nil
	})
	var code kafkago.Error
	if errors.As(err, &code) && code == kafkago.OffsetOutOfRange {
		return 0, belowStart(r.p, at, at+1) // the log was in range when the call began: retention ran over us
	}
	if err != nil {
		return 0, err
	}
	return r.consume(&r.msg.answers[0], at)
}

// consume hands the records of an answer to fn.
func (r *logRead) consume(a *answer, at int64) (int64, error) {
	whole, next, err := scanSets(a.records, at)
	b := &batch{data: a.records, next: next, pool: r.c.pool}
	defer b.Release()
	if err != nil {
		return 0, fmt.Errorf("read log %s at offset %d: %w: %w", r.p, at, engine.ErrUnreadable, err)
	}
	if len(a.records) == 0 && a.stable >= r.end {
		r.empty++
		return at, nil
	}
	r.empty = 0
	if whole == 0 {
		if len(a.records) > 0 {
			if r.maxBytes >= maxPartitionBytes/2 {
				return 0, fmt.Errorf("read log %s at offset %d: %w", r.p, at, errOversized)
			}
			r.maxBytes *= 2
		}
		return at, nil
	}
	b.parser = parser{partition: r.p, wanted: at, inflater: r.c.inflater, aborted: a.aborted, sets: a.records[:whole]}
	for {
		n, err := b.Read(r.records[:])
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return next, nil
		}
		for i := range r.records[:n] {
			if r.records[i].Offset >= r.end {
				return r.end, nil
			}
			if err := r.fn(r.records[i]); err != nil {
				return 0, err
			}
		}
	}
}
