package produce

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/loadgen"
)

// Producer writes simulated readings: a batch for each partition, the partitions of a flush side by side. It is
// for one goroutine.
type Producer struct {
	to          *kafka.Producer
	topic       string
	ContentType string // header of every record; "" for none
	batches     []*kafka.BatchEncoder
	limit       int // bytes of a batch
}

// New returns a Producer to a topic of so many partitions. An error names a codec that there is none of.
func New(to *kafka.Producer, topic string, partitions int32, codec kafka.Compression) (*Producer, error) {
	p := &Producer{to: to, topic: topic, limit: 256 << 10}
	for range partitions {
		b, err := kafka.NewBatchEncoder(codec)
		if err != nil {
			return nil, err
		}
		p.batches = append(p.batches, b)
	}
	return p, nil
}

// Append implements loadgen.Producer.
func (p *Producer) Append(ctx context.Context, r *loadgen.Record) error {
	b := p.batches[r.Partition]
	b.Append(r.Key, r.Value, r.TimestampMs, p.ContentType)
	if b.Size() < p.limit {
		return nil
	}
	return p.send(ctx, r.Partition)
}

// Flush implements loadgen.Producer.
func (p *Producer) Flush(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(p.batches))
	for i, b := range p.batches {
		if b.Count() > 0 {
			wg.Go(func() { errs[i] = p.send(ctx, int32(i)) })
		}
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Producer) send(ctx context.Context, partition int32) error {
	b := p.batches[partition]
	set, err := b.Finish()
	if err != nil {
		return err
	}
	if _, err := p.to.ProduceBatch(ctx, p.topic, partition, set); err != nil {
		return fmt.Errorf("produce to %s/%d: %w", p.topic, partition, err)
	}
	b.Reset()
	return nil
}

// Paced holds readings back to a rate. It is for one goroutine.
type Paced struct {
	loadgen.Producer
	PerSecond int64     // readings a second
	Start     time.Time // of the run
	count     int64
}

// Append implements loadgen.Producer.
func (p *Paced) Append(ctx context.Context, r *loadgen.Record) error {
	if err := p.Producer.Append(ctx, r); err != nil {
		return err
	}
	p.count++
	early := time.Duration(p.count*int64(time.Second/time.Microsecond)/p.PerSecond)*time.Microsecond - time.Since(p.Start)
	if early < 20*time.Millisecond {
		return nil
	}
	if err := p.Flush(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(early):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
