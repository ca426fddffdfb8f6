package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/wattline/wattline/engine"
)

const (
	referenceTopic = "wattline.reference"
	stateTopic     = "wattline.state"
	rejectsTopic   = "wattline.rejects"
)

// kafka is the logs. What is in a log is never changed, only lost by compaction or a fault.
type kafka struct {
	logs  map[string]*log // topic/partition
	parts []engine.Partition
	down  bool
}

// log is one partition's records, in order; offsets may have gaps.
type log struct {
	recs []engine.Record
	next int64
}

func newKafka(p *Plan) kafka {
	k := kafka{logs: map[string]*log{}}
	for n := range p.Partitions {
		k.parts = append(k.parts, engine.Partition{Topic: topic, Number: int32(n)})
	}
	return k
}

func (k *kafka) log(topic string, p int32) *log {
	key := fmt.Sprintf("%s/%d", topic, p)
	if k.logs[key] == nil {
		k.logs[key] = &log{}
	}
	return k.logs[key]
}

func (l *log) append(recs ...engine.Record) int64 {
	first := l.next
	for _, r := range recs {
		r.Offset = l.next
		l.recs = append(l.recs, r)
		l.next++
	}
	return first
}

// since returns the records from offset from on. They are shared.
func (l *log) since(from int64) []engine.Record {
	i, _ := slices.BinarySearchFunc(l.recs, from, func(r engine.Record, o int64) int { return int(r.Offset - o) })
	return l.recs[i:]
}

// refer publishes record i of the reference log.
func (k *kafka) refer(i int) {
	k.log(referenceTopic, 0).append(engine.Record{Value: binary.BigEndian.AppendUint32(nil, uint32(i))})
}

// send appends a charger's message. Now and then an offset before it is a marker that no reader sees.
func (k *kafka) send(w *world, m *sent) {
	l := k.log(topic, m.partition)
	if w.rnd.IntN(50) == 0 {
		l.next++
	}
	l.append(engine.Record{TimestampMs: m.recordMs, Value: m.value, ContentType: m.kind})
}

// feed is engine.Feed.
type feed struct {
	proc *proc
	p    engine.Partition
	from int64
	ch   chan engine.Batch
	err  error
	over sync.Once
	done bool // of the scheduler: nothing comes any more
}

// Batches implements engine.Feed.
func (f *feed) Batches() <-chan engine.Batch { return f.ch }

// Err implements engine.Feed.
func (f *feed) Err() error { return f.err }

// Close implements engine.Feed.
func (f *feed) Close() {
	w := f.proc.w
	w.mu.Lock()
	defer w.mu.Unlock()
	f.end(nil)
}

// end closes the feed; mu is held.
func (f *feed) end(err error) {
	f.over.Do(func() {
		f.err, f.done = err, true
		close(f.ch)
		f.proc.feeds = slices.DeleteFunc(f.proc.feeds, func(o *feed) bool { return o == f })
	})
}

func (k *kafka) has(f *feed) bool { return !f.done && f.from < k.log(f.p.Topic, f.p.Number).next }

// deliver hands over a batch, if the partition waits for one.
func (w *world) deliver(f *feed) (how string, done bool) {
	l := w.kafka.log(f.p.Topic, f.p.Number)
	recs := l.since(f.from)
	b := &batch{recs: recs, next: l.next}
	if n := 1 + w.rnd.IntN(w.plan.Batch); n < len(recs) {
		b.recs, b.next = recs[:n], recs[n-1].Offset+1
	}
	b.recs = slices.Clone(b.recs)
	probe := &effect{proc: f.proc, spoil: []FaultKind{FeedFails, BatchFails}}
	var kind FaultKind
	if !w.calm {
		kind = w.peek(probe)
	}
	if kind == BatchFails {
		b.err = fmt.Errorf("batch of %s at offset %d: %w", f.p, f.from, errInjected)
	}
	if kind == FeedFails {
		w.ambush(probe)
		f.end(fmt.Errorf("feed of %s: %w", f.p, errInjected))
		return kind.String(), true
	}
	select {
	case f.ch <- b:
	default:
		return "", false
	}
	how = fmt.Sprintf("%d-%d", f.from, b.next-1)
	if kind == BatchFails {
		w.ambush(probe)
		how += ", " + kind.String()
	}
	f.from = b.next
	return how, true
}

// peek is ambush, but the fault goes on lying in wait.
func (w *world) peek(e *effect) FaultKind {
	for _, f := range w.armed {
		if slices.Contains(e.spoil, f.Kind) {
			return f.Kind
		}
	}
	return noFault
}

// batch is engine.Batch.
type batch struct {
	recs []engine.Record
	next int64
	err  error
}

// Read implements engine.Batch.
func (b *batch) Read(dst []engine.Record) (int, error) {
	if b.err != nil && len(b.recs) <= 1 {
		return 0, b.err
	}
	n := copy(dst, b.recs)
	if b.err != nil {
		n = min(n, len(b.recs)/2)
	}
	b.recs = b.recs[n:]
	return n, nil
}

// NextOffset implements engine.Batch.
func (b *batch) NextOffset() int64 { return b.next }

// Release implements engine.Batch.
func (b *batch) Release() {}

// Open implements engine.Source.
func (p *proc) Open(part engine.Partition, from int64) (engine.Feed, error) {
	var f *feed
	err := p.w.call(context.Background(), &effect{
		proc: p, op: "open", key: fmt.Sprintf("%s from %d", part, from), part: part, spoil: []FaultKind{OpenFails},
		do: func(k FaultKind) error {
			if k == OpenFails {
				return fmt.Errorf("open %s: %w", part, errInjected)
			}
			f = &feed{proc: p, p: part, from: from, ch: make(chan engine.Batch)}
			p.feeds = append(p.feeds, f)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Bounds implements engine.Source.
func (p *proc) Bounds(ctx context.Context, part engine.Partition) (start, end int64, err error) {
	err = p.w.call(ctx, &effect{
		proc: p, op: "bounds", key: part.String(), part: part, spoil: []FaultKind{BoundsFails},
		do: func(k FaultKind) error {
			if k == BoundsFails {
				return fmt.Errorf("bounds of %s: %w", part, errInjected)
			}
			end = p.w.kafka.log(part.Topic, part.Number).next
			return nil
		},
	})
	return start, end, err
}

// Produce implements engine.Producer.
func (p *proc) Produce(ctx context.Context, topic string, partition int32, msgs []engine.Message) (int64, error) {
	w := p.w
	recs := make([]engine.Record, len(msgs))
	for i, m := range msgs { // the caller may use them again once it does not wait
		// What would be sealed stands behind the value: doubles are compared by what they were before.
		recs[i] = engine.Record{Key: slices.Clone(m.Key), Value: slices.Concat(m.Value, m.Private), TimestampMs: m.TimestampMs}
		if m.ContentType != "" {
			recs[i].ContentType = []byte(m.ContentType)
		}
	}
	first := int64(0)
	var call *effect
	land := func(late bool) {
		w.checkProduced(topic, partition, recs)
		if topic == pricesTopic {
			w.checkPrices(p, w.kafka.parts[partition], recs, late || call.gone)
		}
		first = w.kafka.log(topic, partition).append(recs...)
	}
	key := fmt.Sprintf("%s/%d %d from %s", topic, partition, len(recs), least(recs))
	call = &effect{
		proc: p, op: "produce", key: key, lands: true, spoil: []FaultKind{ProduceRefused, ProduceLostAck, ProduceLate},
		do: func(k FaultKind) error {
			if w.kafka.down && !w.calm {
				return fmt.Errorf("produce to %s: %w", topic, errInjected)
			}
			switch k {
			case ProduceRefused:
			case ProduceLate:
				w.pending = append(w.pending, &effect{proc: p, op: "late produce", key: key, lands: true, gone: true, do: func(FaultKind) error { land(true); return nil }})
			case ProduceLostAck:
				land(false)
			default:
				land(false)
				return nil
			}
			return fmt.Errorf("produce to %s: %w", topic, errInjected)
		},
	}
	err := w.call(ctx, call)
	return first, err
}

// least is the smallest key: messages of a sweep come in any order.
func least(recs []engine.Record) string {
	s := ""
	for i, r := range recs {
		if k := string(r.Key); i == 0 || k < s {
			s = k
		}
	}
	return s
}

// ReadLog implements engine.LogReader.
func (p *proc) ReadLog(ctx context.Context, topic string, partition int32, from int64, fn func(engine.Record) error) (int64, error) {
	var recs []engine.Record
	next := from
	var broken error
	err := p.w.call(ctx, &effect{
		proc: p, op: "read", key: fmt.Sprintf("%s/%d from %d", topic, partition, from), spoil: []FaultKind{ReadLogFails},
		do: func(k FaultKind) error {
			if p.w.kafka.down && !p.w.calm {
				return fmt.Errorf("read %s: %w", topic, errInjected)
			}
			l := p.w.kafka.log(topic, partition)
			recs, next = slices.Clone(l.since(from)), max(l.next, from)
			if k == ReadLogFails {
				recs, broken = recs[:len(recs)/2], fmt.Errorf("read %s: %w", topic, errInjected)
			}
			return nil
		},
	})
	if err != nil {
		return from, err
	}
	for _, r := range recs {
		if err := fn(r); err != nil {
			return r.Offset, err
		}
	}
	return next, broken
}

// compact drops records of the state topic whose key came again, and tombstones that are the last of their key.
func (k *kafka) compact() {
	for _, p := range k.parts {
		l := k.log(stateTopic, p.Number)
		last := map[string]int64{}
		for _, r := range l.recs {
			last[string(r.Key)] = r.Offset
		}
		l.recs = slices.DeleteFunc(l.recs, func(r engine.Record) bool { return r.Value == nil || last[string(r.Key)] != r.Offset })
	}
}

var errNoInstallation = errors.New("the simulation's reference log has a first record")
