package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// loadOrder is what the load's process is told, by a file.
type loadOrder struct {
	Brokers []string
	Network loadgen.Config
	Speed   int64
}

// poisonEvery is how many records lie between two that cannot be used.
const poisonEvery = 700

// poisonKey marks them for the judge: no charge point has it.
const poisonKey = "chaos-poison"

// loadBatch is the size of a batch, bytes. A batch that is sent again must lie within the 64 messages of a session
// that an engine knows again.
const loadBatch = 16 << 10

// Load sends the network that the file orders to Kafka, from where the log ends, until all of it is there. It is the
// load's process: what fails is tried again, and a killed one goes on where the log ends. progress gets a line a second.
func Load(ctx context.Context, file string, progress io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var o loadOrder
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	n, err := loadgen.New(o.Network)
	if err != nil {
		return err
	}
	client, err := kafka.New(kafka.Config{
		Brokers: o.Brokers, ClientID: "chaos-load", Produce: kafka.ProduceConfig{Compression: kafka.CompressionLZ4}, RequestTimeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		err := loadOnce(ctx, n, client, &o, progress)
		if err == nil || ctx.Err() != nil {
			return err
		}
		fmt.Fprintln(progress, "load, trying again:", err)
		pause(ctx, 500*time.Millisecond)
	}
}

func loadOnce(ctx context.Context, n *loadgen.Network, client *kafka.Client, o *loadOrder, progress io.Writer) error {
	sent, err := newest(ctx, client, o.Brokers)
	if err != nil {
		return err
	}
	p := &poisoner{to: client.Producer()}
	for range partitions {
		e, err := kafka.NewBatchEncoder(kafka.CompressionLZ4)
		if err != nil {
			return err
		}
		p.batches = append(p.batches, e)
	}
	_, err = loadgen.Run(ctx, loadgen.RunConfig{
		Network: n, Sent: sent, Speed: o.Speed, Clock: wallClock{},
		Progress: func(p loadgen.Progress) {
			fmt.Fprintf(progress, "simulated %s, sent %d, behind %.1f s\n", time.UnixMilli(p.SimulatedMs).UTC().Format(time.DateTime), p.Records, p.Behind.Seconds())
		},
	}, p)
	return err
}

// wallClock implements loadgen.Clock.
type wallClock struct{}

// Now implements loadgen.Clock.
func (wallClock) Now() time.Time { return time.Now() }

// After implements loadgen.Clock.
func (wallClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// newest asks for the timestamp of each partition's newest record.
func newest(ctx context.Context, client *kafka.Client, brokers []string) ([]int64, error) {
	starts, ends, err := logBounds(ctx, brokers)
	if err != nil {
		return nil, err
	}
	list := make([]int64, partitions)
	for i := range list {
		list[i] = rating.Unknown
		if ends[i] == starts[i] {
			continue
		}
		_, err := client.ReadLog(ctx, readingsTopic, int32(i), ends[i]-1, func(r engine.Record) error {
			list[i] = max(list[i], r.TimestampMs)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// logBounds asks where the readings' logs begin and end.
func logBounds(ctx context.Context, brokers []string) (starts, ends []int64, err error) {
	c := kafkago.Client{Addr: kafkago.TCP(brokers...), Timeout: 5 * time.Second, Transport: &kafkago.Transport{MetadataTTL: time.Second}}
	defer c.Transport.(*kafkago.Transport).CloseIdleConnections()
	ask := func(of func(int) kafkago.OffsetRequest) ([]kafkago.PartitionOffsets, error) {
		var want []kafkago.OffsetRequest
		for i := range partitions {
			want = append(want, of(i))
		}
		res, err := c.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{readingsTopic: want}})
		if err != nil {
			return nil, err
		}
		return res.Topics[readingsTopic], nil
	}
	starts, ends = make([]int64, partitions), make([]int64, partitions)
	first, err := ask(kafkago.FirstOffsetOf)
	if err != nil {
		return nil, nil, err
	}
	last, err := ask(kafkago.LastOffsetOf)
	if err != nil {
		return nil, nil, err
	}
	if len(first) != partitions || len(last) != partitions {
		return nil, nil, fmt.Errorf("the brokers told the offsets of %d and %d partitions, want %d", len(first), len(last), partitions)
	}
	for _, p := range first {
		err = errors.Join(err, p.Error)
		starts[p.Partition] = p.FirstOffset
	}
	for _, p := range last {
		err = errors.Join(err, p.Error)
		ends[p.Partition] = p.LastOffset
	}
	return starts, ends, err
}

// logEnds is where the readings' logs end, once every partition has a leader that says so.
func (w *world) logEnds(ctx context.Context) ([]int64, error) {
	for {
		_, ends, err := logBounds(ctx, strings.Split(w.direct(), ", "))
		if err == nil || ctx.Err() != nil {
			return ends, err
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// poisoner sends loadgen's records, with some between them that nobody can read. It is for one goroutine.
type poisoner struct {
	to      *kafka.Producer
	batches []*kafka.BatchEncoder // by partition
	count   int
}

// Append implements loadgen.Producer.
func (p *poisoner) Append(ctx context.Context, r *loadgen.Record) error {
	b := p.batches[r.Partition]
	b.Append(r.Key, r.Value, r.TimestampMs, "")
	if p.count++; p.count%poisonEvery == 0 {
		p.poison(b, r.TimestampMs)
	}
	if b.Size() < loadBatch {
		return nil
	}
	return p.send(ctx, r.Partition)
}

// poison appends what is no Protobuf, or of a content type that does not exist. The timestamp is that of the record
// before, so that a load that goes on later sees no difference.
func (p *poisoner) poison(b *kafka.BatchEncoder, atMs int64) {
	value := strings.Repeat("\xff", 16) + fmt.Sprint(p.count, " ", time.Now().UnixNano())
	contentType := ""
	if p.count/poisonEvery%2 == 0 {
		contentType = "chaos/poison"
	}
	b.Append([]byte(poisonKey), []byte(value), atMs, contentType)
}

// Flush implements loadgen.Producer.
func (p *poisoner) Flush(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(p.batches))
	for i, b := range p.batches {
		if b.Count() > 0 {
			wg.Go(func() { errs[i] = p.send(ctx, int32(i)) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (p *poisoner) send(ctx context.Context, partition int32) error {
	b := p.batches[partition]
	set, err := b.Finish()
	if err != nil {
		return err
	}
	if _, err := p.to.ProduceBatch(ctx, readingsTopic, partition, set); err != nil {
		return fmt.Errorf("produce to %s/%d: %w", readingsTopic, partition, err)
	}
	b.Reset()
	return nil
}

// layLoad writes the load's order: at a speed, or 0 for all that is left at once.
func (w *world) layLoad(speed int64) error {
	text, err := json.Marshal(loadOrder{Brokers: strings.Split(w.direct(), ", "), Network: w.network.Config(), Speed: speed})
	if err != nil {
		return err
	}
	return os.WriteFile(w.loadFile(), text, 0o644)
}

func (w *world) loadFile() string { return filepath.Join(w.dir, "load.json") }

// startLoad describes the load's process and starts it.
func (w *world) startLoad() error {
	if err := w.layLoad(w.cfg.Speed); err != nil {
		return err
	}
	w.load = w.unit("load", nil)
	w.load.args = append(append([]string{}, w.cfg.Loader...), w.loadFile())
	w.load.finishes = true
	return w.load.start()
}

// finishLoad has the rest of the network sent at once.
func (w *world) finishLoad(ctx context.Context) error {
	if err := w.load.kill(); err != nil {
		return err
	}
	if err := w.layLoad(0); err != nil {
		return err
	}
	if err := w.load.start(); err != nil {
		return err
	}
	select {
	case <-w.load.running().done:
		return w.load.running().err
	case <-ctx.Done():
		return fmt.Errorf("the load was not sent in time; it said last:\n%s", tail(w.load.log, 5))
	}
}
