package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/parts"
)

// TestApacheKafka runs what a fake broker may answer otherwise against a real one: one process for all parts.
func TestApacheKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Apache Kafka")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	k, err := parts.StartKafka(ctx, parts.KafkaConfig{Dir: t.TempDir(), HeapMiB: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	a := apache{addr: k.Addr()}
	t.Run("codecs", a.codecs)
	t.Run("produce", a.produce)
	t.Run("transactions", a.transactions)
	t.Run("range", a.outOfRange)
	t.Run("topics", a.topics)
	t.Run("restart", a.staticRestart)
	t.Run("fenced", a.fenced)
	t.Run("rebalance", a.rebalance)
	t.Run("leave", a.leave)
	t.Run("conformance", a.conformance)
}

type apache struct{ addr string }

func (a apache) client(t testing.TB, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{Brokers: []string{a.addr}}
	cfg.Group = GroupConfig{SessionTimeout: 6 * time.Second, HeartbeatInterval: 100 * time.Millisecond, RebalanceTimeout: 5 * time.Second}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.pool.mangle = true
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// topic makes topic readings-NAME and returns a fetcher of it.
func (a apache) topic(t testing.TB, c *Client, name string, partitions int32) string {
	t.Helper()
	topic := "readings-" + name
	if _, err := c.EnsureTopics(testContext(t), []TopicSpec{ReadingsTopic(topic, partitions)}); err != nil {
		t.Fatal(err)
	}
	return topic
}

func (a apache) feed(t testing.TB, c *Client, topic string, from int64) engine.Feed {
	t.Helper()
	f := c.newFetcher(map[string]int{topic: 1}, func(error) {})
	t.Cleanup(f.close)
	fd, err := f.open(engine.Partition{Topic: topic}, from)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func (a apache) codecs(t *testing.T) {
	c := a.client(t, nil)
	for _, codec := range allCodecs {
		topic := a.topic(t, c, "codec-"+codec.String(), 1)
		tr := &kafkago.Transport{} // a new one knows the new topic
		defer tr.CloseIdleConnections()
		w := &kafkago.Writer{
			Addr: kafkago.TCP(a.addr), Topic: topic, Transport: tr, RequiredAcks: kafkago.RequireAll,
			Compression: kafkago.Compression(codec), BatchTimeout: time.Millisecond,
		}
		if err := w.WriteMessages(testContext(t), goldenMessages()...); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(goldenWant(), collect(t, a.feed(t, c, topic, 0), 5)); d != "" {
			t.Errorf("%s: %s", codec, d)
		}
	}
}

func (a apache) produce(t *testing.T) {
	for _, codec := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
		c := a.client(t, func(c *Config) { c.Produce.Compression = codec; c.Produce.MaxBatchBytes = 20_000 })
		topic := a.topic(t, c, "produce-"+codec.String(), 1)
		msgs := numbered(3000)
		for i := 0; i < len(msgs); i += 1500 {
			if first, err := c.Producer().Produce(testContext(t), topic, 0, msgs[i:i+1500]); err != nil || first != int64(i) {
				t.Fatal(first, err)
			}
		}
		if d := cmp.Diff(wantRecs(msgs, 0), collect(t, a.feed(t, c, topic, 0), 3000)); d != "" {
			t.Errorf("%s: %s", codec, d)
		}
		if d := cmp.Diff(wantRecs(msgs, 0)[700:], readAll(t, c, topic, 700)); d != "" {
			t.Errorf("%s: %s", codec, d)
		}
	}
}

// transactions: what was rolled back does not come, what is open holds the end back.
func (a apache) transactions(t *testing.T) {
	c := a.client(t, nil)
	topic := a.topic(t, c, "txn", 1)
	tr := &kafkago.Transport{}
	defer tr.CloseIdleConnections()
	kc := &kafkago.Client{Addr: kafkago.TCP(a.addr), Transport: tr}
	var want []rec
	offset := int64(0)
	for i, commit := range []bool{true, false, true, false} {
		first := a.inTransaction(t, kc, topic, fmt.Sprintf("txn-%d", i%2), numbered(10), commit)
		if first != offset {
			t.Fatalf("transaction %d begins at %d, want %d", i, first, offset)
		}
		if commit {
			want = append(want, wantRecs(numbered(10), first)...)
		}
		offset = first + 11 // ten records and the marker, which comes after the answer to EndTxn
		for end := int64(0); end < offset; {
			var err error
			if _, end, err = c.offsetsOf(testContext(t), engine.Partition{Topic: topic}, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := c.Producer().Produce(testContext(t), topic, 0, numbered(1)); err != nil {
		t.Fatal(err)
	}
	want = append(want, wantRecs(numbered(1), offset)...)
	if d := cmp.Diff(want, collect(t, a.feed(t, c, topic, 0), len(want))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, readAll(t, c, topic, 0)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want[len(want)-1:], readAll(t, c, topic, 36)); d != "" {
		t.Errorf("from inside an aborted transaction: %s", d)
	}
}

// inTransaction produces msgs in a transaction of its own and returns their first offset.
func (a apache) inTransaction(t *testing.T, kc *kafkago.Client, topic, id string, msgs []engine.Message, commit bool) int64 {
	t.Helper()
	ctx := testContext(t)
	var producer int64
	var epoch int
	for { // the coordinator of transactions takes its time on a new cluster
		init, err := kc.InitProducerID(ctx, &kafkago.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: 10_000, ProducerID: -1, ProducerEpoch: -1})
		if err == nil && init.Error == nil {
			producer, epoch = int64(init.Producer.ProducerID), init.Producer.ProducerEpoch
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	add, err := kc.AddPartitionsToTxn(ctx, &kafkago.AddPartitionsToTxnRequest{
		TransactionalID: id, ProducerID: int(producer), ProducerEpoch: epoch, Topics: map[string][]kafkago.AddPartitionToTxn{topic: {{Partition: 0}}},
	})
	if err != nil || add.Topics[topic][0].Error != nil {
		t.Fatal(err, add)
	}
	set := reseal(ourSet(t, 0, CompressionNone, msgs...), func(h *setHeader) { h.attr |= attrTransactional; h.producer = producer })
	binary.BigEndian.PutUint16(set[posEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(set[posSequence:], 0)
	binary.BigEndian.PutUint32(set[posCRC:], crc32.Checksum(set[posAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	framed := append(binary.BigEndian.AppendUint32(nil, uint32(len(set))), set...)
	res, err := kc.RawProduce(ctx, &kafkago.RawProduceRequest{
		Topic: topic, TransactionalID: id, RequiredAcks: kafkago.RequireAll, RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(framed)},
	})
	if err != nil || res.Error != nil {
		t.Fatal(err, res)
	}
	end, err := kc.EndTxn(ctx, &kafkago.EndTxnRequest{TransactionalID: id, ProducerID: int(producer), ProducerEpoch: epoch, Committed: commit})
	if err != nil || end.Error != nil {
		t.Fatal(err, end)
	}
	return res.BaseOffset
}

func (a apache) outOfRange(t *testing.T) {
	c := a.client(t, nil)
	topic := a.topic(t, c, "range", 1)
	if _, err := c.Producer().Produce(testContext(t), topic, 0, numbered(10)); err != nil {
		t.Fatal(err)
	}
	wantHalt(t, ended(t, a.feed(t, c, topic, 11)), "offset-beyond-log-end")
	fd := a.feed(t, c, topic, 10)
	if _, err := c.Producer().Produce(testContext(t), topic, 0, numbered(1)); err != nil {
		t.Fatal(err)
	}
	collect(t, fd, 1)
}

func (a apache) topics(t *testing.T) {
	c := a.client(t, nil)
	specs := []TopicSpec{ReferenceTopic("wattline.reference"), StateTopic("wattline.state", 3), RejectsTopic("wattline.rejects", 2)}
	want := map[string]int32{"wattline.reference": 1, "wattline.state": 3, "wattline.rejects": 2}
	for range 2 {
		if got, err := c.EnsureTopics(testContext(t), specs); err != nil || !cmp.Equal(got, want) {
			t.Error(got, err)
		}
	}
	if _, err := c.CheckTopics(testContext(t), []TopicSpec{ReferenceTopic("wattline.rejects")}); err == nil {
		t.Error("a topic with retention passed as reference log")
	}
}

func (a apache) member(t testing.TB, topic, instance string) *Group {
	t.Helper()
	c := a.client(t, func(c *Config) {
		c.Group.ID, c.Group.InstanceID, c.Group.Topics, c.Group.LeaveOnClose = "group-"+topic, instance, []string{topic}, instance == "leaver"
	})
	g, err := c.Join(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// staticRestart: leader and follower come back into their generation without a rebalance.
func (a apache) staticRestart(t *testing.T) {
	topic := a.topic(t, a.client(t, nil), "static", 6)
	first := a.member(t, topic, "first")
	settled(t, 6, first)
	second := a.member(t, topic, "second")
	shares := settled(t, 6, first, second)
	generation := generationOf(second)
	for i, g := range []*Group{first, second} {
		p := shares[i][0]
		commitAt(t, g, p, 7, string(bytes.Repeat([]byte("p"), metadataLimit)))
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		again := a.member(t, topic, []string{"first", "second"}[i])
		got := next(t, again)
		t.Logf("%s assigned again after %s", again.cfg.InstanceID, time.Since(at))
		if d := cmp.Diff(shares[i], got.Partitions); d != "" || got.Generation != generation {
			t.Errorf("generation %d, was %d: %s", got.Generation, generation, d)
		}
		if c := committed(t, again, p); c.Offset != 7 || len(c.Metadata) != metadataLimit {
			t.Errorf("committed %d with %d bytes", c.Offset, len(c.Metadata))
		}
		commitAt(t, again, p, 8, "")
	}
}

func (a apache) fenced(t *testing.T) {
	topic := a.topic(t, a.client(t, nil), "fenced", 2)
	old := a.member(t, topic, "twin")
	settled(t, 2, old)
	p := engine.Partition{Topic: topic}
	commitAt(t, old, p, 1, "")
	young := a.member(t, topic, "twin")
	settled(t, 2, young)
	if err := old.Commit(testContext(t), p, engine.Commit{Offset: 9}); !errors.Is(err, engine.ErrFenced) {
		t.Errorf("zombie's commit: %v", err)
	}
	if _, err := old.Next(testContext(t)); !errors.Is(err, engine.ErrFenced) {
		t.Errorf("zombie's Next: %v", err)
	}
	commitAt(t, young, p, 2, "")
	if c := committed(t, young, p); c.Offset != 2 {
		t.Errorf("committed %+v", c)
	}
}

// rebalance: while members join, all partitions commit without pause; each commit is stored or lost, none hangs.
func (a apache) rebalance(t *testing.T) {
	const n = 12
	topic := a.topic(t, a.client(t, nil), "rebalance", n)
	groups := []*Group{a.member(t, topic, "m0")}
	m0 := groups[0]
	settled(t, n, groups...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for number := range int32(n) {
		wg.Go(func() {
			p := engine.Partition{Topic: topic, Number: number}
			for offset := int64(1); ; offset++ {
				select {
				case <-stop:
					return
				default:
				}
				err := m0.Commit(testContext(t), p, engine.Commit{Offset: offset, Metadata: "m0"})
				if errors.Is(err, engine.ErrLost) {
					return
				}
				if err != nil {
					t.Errorf("%s: %v", p, err)
					return
				}
			}
		})
	}
	for i := 1; i < 3; i++ {
		g := a.member(t, topic, fmt.Sprintf("m%d", i))
		shares := settled(t, n, append(groups, g)...)
		for _, p := range shares[i] {
			commitAt(t, g, p, 1000, g.cfg.InstanceID)
		}
		time.Sleep(200 * time.Millisecond) // time for a zombie's commit, were there one
		for _, p := range shares[i] {
			if c := committed(t, g, p); c.Offset != 1000 || c.Metadata != g.cfg.InstanceID {
				t.Errorf("%s was overwritten: %+v", p, c)
			}
		}
		groups = append(slices.Clip(groups), g)
	}
	close(stop)
	wg.Wait()
}

func (a apache) leave(t *testing.T) {
	topic := a.topic(t, a.client(t, nil), "leave", 4)
	stays := a.member(t, topic, "stays")
	settled(t, 4, stays)
	leaver := a.member(t, topic, "leaver")
	settled(t, 4, stays, leaver)
	at := time.Now()
	if err := leaver.Close(); err != nil {
		t.Fatal(err)
	}
	settled(t, 4, stays)
	if d := time.Since(at); d > 4*time.Second {
		t.Errorf("partitions came back after %s, as if it had not left", d)
	}
}
