package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/rating"
)

// bare is a shard alone, with nothing around it: no goroutine, no keeper, one block that is never closed unless
// the test does.
type bare struct {
	*shard
	w    *world
	refs []ReferenceRecord
}

// newBare returns a shard that knows the charge points uids and the tariff of testTariff.
func newBare(t testing.TB, cfg Config, uids ...string) *bare {
	t.Helper()
	return newBareTokens(t, cfg, nil, nil, uids...)
}

// newBareTokens is newBare with more records in the reference log, and what makes pseudonyms.
func newBareTokens(t testing.TB, cfg Config, tokens Tokens, records []ReferenceRecord, uids ...string) *bare {
	t.Helper()
	b := &bare{w: newWorld(1)}
	publishBasics(b.w, &b.refs, uids...)
	for _, r := range records {
		b.w.publish(&b.refs, r)
	}
	cfg = cfg.WithDefaults()
	ref := NewReference(decodeRefs(b.w, &b.refs), tokens)
	if err := ref.Follow(context.Background(), b.w, "wattline.reference"); err != nil {
		t.Fatal(err)
	}
	key, ok := ref.HashKey()
	if !ok {
		t.Fatal("no hash key")
	}
	b.shard = newShard(readings, &cfg, func(string, []byte) Decode { return decodeJSON }, ref, key)
	b.block = newBlock()
	b.nextOffset, b.bookOffset = 0, ref.Next()
	b.block.reset(readings, 0, b.bookOffset)
	return b
}

// record makes a record of ms with the next offset of b.
func (b *bare) record(recordMs int64, ms ...message) Record {
	v, err := json.Marshal(ms)
	if err != nil {
		panic(err)
	}
	return Record{Offset: b.nextOffset, TimestampMs: recordMs, Value: v}
}

// send rates one message.
func (b *bare) send(t testing.TB, recordMs int64, ms ...message) {
	t.Helper()
	rec := b.record(recordMs, ms...)
	done, err := b.rate(&memBatch{recs: []Record{rec}, next: rec.Offset + 1}, unlimited)
	if err != nil || !done {
		t.Fatalf("rate of offset %d: done %v, error %v", rec.Offset, done, err)
	}
}

// each rates every m as a message of its own, half a second after it was measured.
func (b *bare) each(t testing.TB, ms ...message) {
	t.Helper()
	for _, m := range ms {
		b.send(t, m.At+500, m)
	}
}

// rows is everything in the block, as text.
func (b *bare) rows() []string {
	w := newWorld(1)
	for _, in := range b.block.inserts() {
		if err := w.Insert(context.Background(), in); err != nil {
			panic(err)
		}
	}
	for _, m := range b.block.Rejects {
		w.reject[string(m.Key)] = string(m.Value)
	}
	maps.Copy(w.cdrs, b.cdrs())
	return w.result()
}

// cdrs is what the block has for wattline.cdrs, and for wattline.rejects of sessions that can have none.
func (b *bare) cdrs() map[string]string {
	out := map[string]string{}
	err := b.block.Box.Each(outbox.Source{Topic: b.partition.Topic, Partition: b.partition.Number}, func(m outbox.Message) error {
		if m.Kind != outbox.Live {
			out[string(m.Key)] = string(m.Value)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return out
}

// last is the newest version of each session of the block, by transaction.
func (b *bare) last() map[string]string {
	out := map[string]string{}
	for i := range b.block.Sessions {
		r := &b.block.Sessions[i]
		for j := range r.Version {
			out[r.Transaction[j]] = fmt.Sprintf("status %d, %d Wh, %d readings, flags %v", r.Status[j], r.Total[j].EnergyMwh/1000, r.Readings[j], r.Flags[j].Names())
		}
	}
	return out
}

func startAt(at, reg, seq int64) message {
	m := meter(at, reg, seq)
	m.Kind = rating.KindStart
	return m
}

func stopAt(at, reg, seq int64) message {
	m := meter(at, reg, seq)
	m.Kind = rating.KindStop
	return m
}

func minutes(n int64) int64 { return t0 + n*minuteMs }

func of(cp, tx string, ms ...message) []message {
	ms = slices.Clone(ms)
	for i := range ms {
		ms[i].CP, ms[i].Tx = cp, tx
	}
	return ms
}
