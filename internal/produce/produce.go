package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/loadgen"
)

// loadProducer writes simulated readings: a batch for each partition, the partitions of a flush side by side. It is
// for one goroutine.
type loadProducer struct {
	to          *kafka.Producer
	topic       string
	contentType string // header of every record; "" for none
	batches     []*kafka.BatchEncoder
	limit       int // bytes of a batch
}

func newLoadProducer(to *kafka.Producer, topic string, partitions int32, codec kafka.Compression) (*loadProducer, error) {
	p := &loadProducer{to: to, topic: topic, limit: 256 << 10}
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
func (p *loadProducer) Append(ctx context.Context, r *loadgen.Record) error {
	b := p.batches[r.Partition]
	b.Append(r.Key, r.Value, r.TimestampMs, p.contentType)
	if b.Size() < p.limit {
		return nil
	}
	return p.send(ctx, r.Partition)
}

// Flush implements loadgen.Producer.
func (p *loadProducer) Flush(ctx context.Context) error {
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

func (p *loadProducer) send(ctx context.Context, partition int32) error {
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
