package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
)

// A message has at most so many readings, over at most so much simulated time: older ones would count as late.
const (
	perPack  = 100
	packedMs = 60_000
)

// Packer is a Producer that gathers the readings of a partition into messages of up to 100, over a simulated minute at
// most, in their order. Each reading says its charge point; the record's key, the charge point of the first, only leads to
// the partition. RunConfig.Encode has to be Protobuf's, its default. It is for one goroutine.
type Packer struct {
	to     Producer
	encode func(dst []byte, readings []rating.Reading) ([]byte, error)
	packs  map[int32]*pack
}

type pack struct {
	readings    []rating.Reading
	firstMs     int64
	timestampMs int64 // the greatest
	value       []byte
}

// NewPacker returns a Packer that hands its messages to to. encode appends readings as one message to dst.
func NewPacker(to Producer, encode func(dst []byte, readings []rating.Reading) ([]byte, error)) *Packer {
	return &Packer{to: to, encode: encode, packs: map[int32]*pack{}}
}

// Append implements Producer.
func (p *Packer) Append(ctx context.Context, r *Record) error {
	b := p.packs[r.Partition]
	if b == nil {
		b = &pack{}
		p.packs[r.Partition] = b
	}
	if n := len(b.readings); n == perPack || n > 0 && r.TimestampMs-b.firstMs > packedMs {
		if err := p.send(ctx, r.Partition, b); err != nil {
			return err
		}
	}
	n := len(b.readings)
	if n == 0 {
		b.firstMs, b.timestampMs = r.TimestampMs, r.TimestampMs
	}
	var err error
	if b.readings, err = wire.Decode(r.Key, r.Value, b.readings); err != nil || len(b.readings) != n+1 {
		invariant.Bug("%d readings of a record of the load generator: %v", len(b.readings)-n, err)
	}
	own := &b.readings[n] // the record's bytes are used again
	own.ChargePoint = bytes.Clone(r.Key)
	own.Transaction, own.MessageID, own.Token = bytes.Clone(own.Transaction), bytes.Clone(own.MessageID), bytes.Clone(own.Token)
	b.timestampMs = max(b.timestampMs, r.TimestampMs)
	return nil
}

// Flush implements Producer.
func (p *Packer) Flush(ctx context.Context) error {
	for _, partition := range slices.Sorted(maps.Keys(p.packs)) {
		if err := p.send(ctx, partition, p.packs[partition]); err != nil {
			return err
		}
	}
	return p.to.Flush(ctx)
}

func (p *Packer) send(ctx context.Context, partition int32, b *pack) error {
	if len(b.readings) == 0 {
		return nil
	}
	var err error
	if b.value, err = p.encode(b.value[:0], b.readings); err != nil {
		return fmt.Errorf("pack %d readings: %w", len(b.readings), err)
	}
	record := Record{Partition: partition, TimestampMs: b.timestampMs, Key: b.readings[0].ChargePoint, Value: b.value}
	clear(b.readings)
	b.readings = b.readings[:0]
	return p.to.Append(ctx, &record)
}
