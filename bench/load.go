package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// loadReference publishes the network's tariffs and locations, as `wattline reference load` does: each is parsed and
// written anew.
func loadReference(ctx context.Context, n *loadgen.Network, p *kafka.Producer, topic string) error {
	var msgs []engine.Message
	add := func(r *ocpi.Reference) error {
		r.By, r.AtMs = "wattline bench", time.Now().UnixMilli()
		key, value, err := ocpi.AppendReference(nil, nil, r)
		msgs = append(msgs, engine.Message{Key: key, Value: value, TimestampMs: r.AtMs})
		return err
	}
	var text []byte
	for i := range n.Tariffs() {
		text = n.TariffJSON(text[:0], i)
		entries, report := ocpi.ParseTariffs(text)
		if err := errors.Join(report.Err(), entries[0].Report.Err()); err != nil {
			return fmt.Errorf("tariff %d of the network: %w", i, err)
		}
		t := entries[0].Tariff
		key := rating.TariffKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID}
		if err := add(&ocpi.Reference{Kind: ocpi.ReferenceTariff, TariffKey: key, Tariff: t}); err != nil {
			return err
		}
	}
	for i := range n.Sites() {
		text = n.LocationJSON(text[:0], i)
		entries, report := ocpi.ParseLocations(text, nil)
		if err := errors.Join(report.Err(), entries[0].Report.Err()); err != nil {
			return fmt.Errorf("location %d of the network: %w", i, err)
		}
		l := entries[0].Location
		key := rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}
		if err := add(&ocpi.Reference{Kind: ocpi.ReferenceLocation, LocationKey: key, Location: l}); err != nil {
			return err
		}
	}
	msg, err := installation()
	if err != nil {
		return err
	}
	_, err = p.Produce(ctx, topic, 0, append(msgs, msg))
	return err
}

// loaders is how many goroutines make readings, each for partitions of its own.
const loaders = 2

// loadReadings sends the network's readings up to untilMs and returns how many records each partition has.
func loadReadings(ctx context.Context, cfg *PipeConfig, n *loadgen.Network, untilMs int64, p *kafka.Producer, topic string) ([]int64, error) {
	counts := make([]int64, cfg.Partitions)
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, loaders)
	f := cfg.format()
	stop := make(chan struct{})
	for w := range loaders {
		var mine []int32
		for i := int32(w); i < cfg.Partitions; i += loaders {
			mine = append(mine, i)
		}
		if len(mine) == 0 {
			continue
		}
		wg.Go(func() {
			b := newBatcher(p, topic, cfg.BatchRecords, counts, &done)
			_, errs[w] = loadgen.Run(ctx, loadgen.RunConfig{
				Network: n, Encode: f.encode, UntilMs: untilMs, Partitions: mine, Clock: engine.SystemClock{},
			}, f.producer(b))
		})
	}
	go cfg.tell("loading readings", "readings", cfg.Readings, &done, stop)
	wg.Wait()
	close(stop)
	return counts, errors.Join(errs...)
}

// tell reports progress until stop is closed.
func (e *Ends) tell(doing, unit string, total int64, done *atomic.Int64, stop <-chan struct{}) {
	began := time.Now()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			e.say(doing, unit, done.Load(), total, began)
		}
	}
}

// say reports one piece of progress with the time left at the mean speed so far.
func (e *Ends) say(doing, unit string, done, total int64, began time.Time) {
	if e.Parts.Progress == nil {
		return
	}
	ev := parts.Event{Part: "bench", Doing: doing, Done: min(done, total), Total: total, Unit: unit}
	if done > 0 && done < total {
		ev.Left = time.Duration(float64(time.Since(began)) / float64(done) * float64(total-done))
	}
	e.Parts.Progress(ev)
}

// batcher makes record batches of a fixed number of records. While one of a partition is on its way the next is
// filled; the order in a partition holds. It is for one goroutine.
type batcher struct {
	producer *kafka.Producer
	topic    string
	records  int
	counts   []int64 // by partition; only the ones that this batcher is given
	done     *atomic.Int64
	parts    map[int32]*batchPart
}

// batchPart has two encoders: one is filled while the bytes of the other are being sent.
type batchPart struct {
	number  int32
	fill    *kafka.BatchEncoder
	sending *kafka.BatchEncoder
	sent    chan error // one value for each batch on its way
	busy    bool
}

func newBatcher(p *kafka.Producer, topic string, records int, counts []int64, done *atomic.Int64) *batcher {
	return &batcher{producer: p, topic: topic, records: records, counts: counts, done: done, parts: map[int32]*batchPart{}}
}

// Append implements loadgen.Producer.
func (b *batcher) Append(ctx context.Context, r *loadgen.Record) error {
	p := b.parts[r.Partition]
	if p == nil {
		fill, err1 := kafka.NewBatchEncoder(kafka.CompressionNone)
		other, err2 := kafka.NewBatchEncoder(kafka.CompressionNone)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		p = &batchPart{number: r.Partition, fill: fill, sending: other, sent: make(chan error, 1)}
		b.parts[r.Partition] = p
	}
	p.fill.Append(r.Key, r.Value, r.TimestampMs, "")
	b.counts[r.Partition]++
	if p.fill.Count() < b.records {
		return nil
	}
	return b.send(ctx, p)
}

// Flush implements loadgen.Producer.
func (b *batcher) Flush(ctx context.Context) error {
	var errs []error
	for _, p := range b.parts {
		if p.fill.Count() > 0 {
			errs = append(errs, b.send(ctx, p))
		}
		errs = append(errs, p.wait())
	}
	return errors.Join(errs...)
}

func (b *batcher) send(ctx context.Context, p *batchPart) error {
	if err := p.wait(); err != nil {
		return err
	}
	p.fill, p.sending = p.sending, p.fill
	p.fill.Reset()
	set, err := p.sending.Finish()
	if err != nil {
		return err
	}
	p.busy = true
	n := int64(p.sending.Count())
	go func() {
		_, err := b.producer.ProduceBatch(ctx, b.topic, p.number, set)
		b.done.Add(n)
		p.sent <- err
	}()
	return nil
}

// wait returns when the batch on its way is acknowledged.
func (p *batchPart) wait() error {
	if !p.busy {
		return nil
	}
	p.busy = false
	return <-p.sent
}
