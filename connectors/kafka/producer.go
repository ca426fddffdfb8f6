package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"github.com/wattline/wattline/engine"
)

// Producer writes messages. Safe for concurrent use.
type Producer struct {
	c        *Client
	encoders sync.Pool // of *BatchEncoder
}

var _ engine.Producer = (*Producer)(nil)

// Producer returns a producer with the settings of Config.Produce.
func (c *Client) Producer() *Producer { return &Producer{c: c} }

// Produce implements engine.Producer. Batches of one call go out one after the other, so the order holds; a message
// larger than Config.Produce.MaxBatchBytes is an error before anything is sent. It retries what can be retried until
// ctx ends; a retry may double what an answer was lost for.
func (p *Producer) Produce(ctx context.Context, topic string, partition int32, msgs []engine.Message) (int64, error) {
	if len(msgs) == 0 {
		return 0, fmt.Errorf("produce to %s/%d: no message given", topic, partition)
	}
	limit := p.c.cfg.Produce.MaxBatchBytes
	for i := range msgs {
		if n := messageSize(&msgs[i]); n > limit {
			return 0, fmt.Errorf("produce to %s/%d: message %d with key %.64q has %d bytes, kafka.Produce.MaxBatchBytes allows %d; raise it and the topic's max.message.bytes",
				topic, partition, i, msgs[i].Key, n, limit)
		}
	}
	e, _ := p.encoders.Get().(*BatchEncoder)
	if e == nil {
		var err error
		if e, err = NewBatchEncoder(p.c.cfg.Produce.Compression); err != nil {
			return 0, err
		}
	}
	first := int64(-1)
	for done := 0; done < len(msgs); {
		e.Reset()
		for ; done < len(msgs); done++ {
			m := &msgs[done]
			if e.Count() > 0 && e.Size()+messageSize(m) > limit {
				break
			}
			e.Append(m.Key, m.Value, m.TimestampMs, m.ContentType)
		}
		set, err := e.Finish()
		if err != nil {
			return 0, fmt.Errorf("produce to %s/%d: %w", topic, partition, err)
		}
		base, err := p.ProduceBatch(ctx, topic, partition, set)
		if err != nil {
			return 0, err // e is not used again: a cancelled request may still be reading its bytes
		}
		if first < 0 {
			first = base
		}
	}
	p.encoders.Put(e)
	return first, nil
}

// ProduceBatch appends one finished batch of a BatchEncoder with acks=all and returns the offset of its first record.
// set may not be changed during the call, and never again if it returns an error: a request whose context ended may
// still be read. Retries as Produce does.
func (p *Producer) ProduceBatch(ctx context.Context, topic string, partition int32, set []byte) (int64, error) {
	base := int64(-1)
	where := engine.Partition{Topic: topic, Number: partition}
	err := p.c.atLeader(ctx, where, "produce to", func(address string) (kafkago.Error, error) {
		// Kafka-go writes the reader's bytes as they are: the length of the record set has to come with them.
		size := binary.BigEndian.AppendUint32(nil, uint32(len(set)))
		res, err := p.c.do(ctx, address, &rawproduce.Request{
			Acks: -1, Timeout: int32(p.c.cfg.RequestTimeout.Milliseconds()),
			Topics: []rawproduce.RequestTopic{{Topic: topic, Partitions: []rawproduce.RequestPartition{{
				Partition: partition, RecordSet: protocol.RawRecordSet{Reader: io.MultiReader(bytes.NewReader(size), bytes.NewReader(set))},
			}}}},
		}, 0)
		if err != nil {
			return 0, err
		}
		r := res.(*produce.Response)
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return 0, fmt.Errorf("produce answer of broker %s does not have the partition written to", address)
		}
		got := &r.Topics[0].Partitions[0]
		base = got.BaseOffset
		if got.ErrorCode != 0 && got.ErrorMessage != "" {
			return 0, fmt.Errorf("broker %s: %w: %s", address, codeError(kafkago.Error(got.ErrorCode)), got.ErrorMessage)
		}
		return kafkago.Error(got.ErrorCode), nil
	})
	if err != nil {
		return 0, err
	}
	return base, nil
}

// messageSize is the most that m takes in a batch.
func messageSize(m *engine.Message) int {
	const fields = 5 + 1 + 10 + 5 + 5 + 5 + 1 // lengths, deltas, attributes and counts at their longest
	n := fields + len(m.Key) + len(m.Value)
	if m.ContentType != "" {
		n += 2 + len(contentTypeHeader) + 5 + len(m.ContentType)
	}
	return n
}
