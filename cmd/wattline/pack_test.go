package main

import (
	"bytes"
	"context"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/murmur2"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// taken keeps what a load sends, decoded, by partition.
type taken struct {
	t        *testing.T
	decode   engine.Decode
	readings [][]rating.Reading
	messages int
	most     int
	oldest   int64 // of a reading, by its record
}

func (k *taken) Append(_ context.Context, r *loadgen.Record) error {
	key, value := bytes.Clone(r.Key), bytes.Clone(r.Value)
	got, err := k.decode(key, value, nil)
	if err != nil || murmur2.Partition(key, int32(len(k.readings))) != r.Partition {
		k.t.Errorf("partition %d, key %s: %v", r.Partition, key, err)
	}
	for i := range got {
		if len(got[i].ChargePoint) == 0 {
			got[i].ChargePoint = key
		}
		got[i].ResolutionMwh = 0 // not of the reading, but of how it was written
		k.oldest = max(k.oldest, r.TimestampMs-got[i].AtMs)
	}
	k.readings[r.Partition] = append(k.readings[r.Partition], got...)
	k.messages++
	k.most = max(k.most, len(got))
	return nil
}

func (k *taken) Flush(context.Context) error { return nil }

// TestPacked: packed into messages the readings are the same, in the same order, and none is made late by it.
func TestPacked(t *testing.T) {
	cfg := loadgen.City()
	cfg.ChargePoints, cfg.Partitions = 300, 4
	n, err := loadgen.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	send := func(decode engine.Decode, wrap func(loadgen.Producer) loadgen.Producer) *taken {
		t.Helper()
		k := &taken{t: t, decode: decode, readings: make([][]rating.Reading, cfg.Partitions)}
		_, err := loadgen.Run(t.Context(), loadgen.RunConfig{Network: n, UntilMs: cfg.EpochMs + 2*3_600_000, Clock: engine.SystemClock{}}, wrap(k))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	plain := send(wire.Decode, func(p loadgen.Producer) loadgen.Producer { return p })
	for _, p := range packings() {
		f, ok := formatNamed(p.format)
		if !ok {
			t.Fatal(p.format)
		}
		packed := send(f.decode, func(to loadgen.Producer) loadgen.Producer { return loadgen.NewPacker(to, p.encode) })
		if !reflect.DeepEqual(plain.readings, packed.readings) {
			t.Errorf("%s: other readings\n%.2000s", p.name, cmp.Diff(plain.readings, packed.readings))
		}
		if packed.messages*3 > plain.messages || packed.most > 100 || packed.oldest > plain.oldest+60_000+n.Config().TickMs {
			t.Errorf("%s: %d messages of %d at most, %d plain; a reading is %d ms older than its record, plain %d", p.name, packed.messages, packed.most, plain.messages, packed.oldest, plain.oldest)
		}
	}
}
