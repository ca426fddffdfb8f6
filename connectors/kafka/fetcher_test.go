package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/wattline/wattline/engine"
)

const readings = "readings"

func part(n int32) engine.Partition { return engine.Partition{Topic: readings, Number: n} }

// startFetcher starts a fetcher of topic readings with partitions, without a group.
func startFetcher(t testing.TB, c *Client, partitions int) *fetcher {
	t.Helper()
	f := c.newFetcher(map[string]int{readings: partitions}, func(error) {})
	t.Cleanup(f.close)
	return f
}

func mustOpen(t testing.TB, f *fetcher, n int32, from int64) engine.Feed {
	t.Helper()
	fd, err := f.open(part(n), from)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func mustProduce(t testing.TB, c *Client, n int32, msgs []engine.Message) int64 {
	t.Helper()
	off, err := c.Producer().Produce(testContext(t), readings, n, msgs)
	if err != nil {
		t.Fatal(err)
	}
	return off
}

// collect reads n records from fd, checking that they come without gap in the batches' own account.
func collect(t testing.TB, fd engine.Feed, n int) []rec {
	t.Helper()
	var out []rec
	timeout := time.After(15 * time.Second)
	for len(out) < n {
		select {
		case b, ok := <-fd.Batches():
			if !ok {
				t.Fatalf("feed ended after %d of %d records: %v", len(out), n, fd.Err())
			}
			got, err := drain(b, 100)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, got...)
			if len(got) > 0 && b.NextOffset() <= got[len(got)-1].Offset {
				t.Fatalf("next offset %d after record %d", b.NextOffset(), got[len(got)-1].Offset)
			}
			b.Release()
		case <-timeout:
			t.Fatalf("%d of %d records after 15 s", len(out), n)
		}
	}
	return out
}

// ended waits for fd's end and returns its error.
func ended(t testing.TB, fd engine.Feed) error {
	t.Helper()
	timeout := time.After(15 * time.Second)
	for {
		select {
		case b, ok := <-fd.Batches():
			if !ok {
				return fd.Err()
			}
			b.Release()
		case <-timeout:
			t.Fatal("feed did not end in 15 s")
		}
	}
}

func wantHalt(t testing.TB, err error, reason string) {
	t.Helper()
	var h *engine.Halt
	if !errors.As(err, &h) || h.Reason != reason || h.Detail == "" || h.Do == "" {
		t.Errorf("got %v, want a halt %s", err, reason)
	}
}

func TestFetchManyPartitions(t *testing.T) {
	_, c := startFake(t, nil, kfake.SeedTopics(5, readings), kfake.NumBrokers(3))
	f := startFetcher(t, c, 5)
	want := map[int32][]rec{}
	for round := range 3 {
		for p := range int32(5) {
			msgs := numbered(100 + int(p))
			base := mustProduce(t, c, p, msgs)
			want[p] = append(want[p], wantRecs(msgs, base)...)
		}
		if round == 0 {
			for p := range int32(5) {
				fd := mustOpen(t, f, p, 0)
				if d := cmp.Diff(want[p], collect(t, fd, len(want[p]))); d != "" {
					t.Errorf("partition %d: %s", p, d)
				}
				fd.Close()
				fd.Close()
				if err := fd.Err(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	for p := range int32(5) {
		fd := mustOpen(t, f, p, 50)
		if d := cmp.Diff(want[p][50:], collect(t, fd, len(want[p])-50)); d != "" {
			t.Errorf("partition %d from 50: %s", p, d)
		}
	}
}

// TestSlowFeed holds I3: a shard that releases nothing keeps QueueDepth batches, and the others go on.
func TestSlowFeed(t *testing.T) {
	_, c := startFake(t, func(c *Config) { c.Fetch.QueueDepth = 2; c.Fetch.MaxBytesPerPartition = 1000 }, kfake.SeedTopics(2, readings))
	f := startFetcher(t, c, 2)
	for range 20 {
		mustProduce(t, c, 0, numbered(20))
		mustProduce(t, c, 1, numbered(20))
	}
	slow, quick := mustOpen(t, f, 0, 0), mustOpen(t, f, 1, 0)
	collect(t, quick, 400)
	var held []engine.Batch
	for len(held) < 2 {
		held = append(held, <-slow.Batches())
	}
	mustProduce(t, c, 1, numbered(20))
	collect(t, quick, 20) // time enough for a third batch, were there one
	select {
	case <-slow.Batches():
		t.Fatal("a third batch came while two are held")
	default:
	}
	first, err := drain(held[0], 1000)
	if err != nil || first[0].Offset != 0 {
		t.Fatal(first, err)
	}
	held[0].Release()
	b := <-slow.Batches()
	got, err := drain(b, 1000)
	if err != nil || got[0].Offset != held[1].NextOffset() {
		t.Errorf("third batch begins with %v, the second ended at %d; %v", got[0], held[1].NextOffset(), err)
	}
	b.Release()
	held[1].Release()
}

func TestLeaderMoves(t *testing.T) {
	fake, c := startFake(t, nil, kfake.SeedTopics(1, readings), kfake.NumBrokers(3))
	f := startFetcher(t, c, 1)
	fd := mustOpen(t, f, 0, 0)
	for range 4 {
		mustProduce(t, c, 0, numbered(10))
		collect(t, fd, 10)
		if err := fake.MoveTopicPartition(readings, 0, (fake.LeaderFor(readings, 0)+1)%3); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPartitionErrors(t *testing.T) {
	f := func(err *kerr.Error, count int, wantErr string) {
		t.Helper()
		fake, c := startFake(t, nil, kfake.SeedTopics(2, readings))
		f := startFetcher(t, c, 2)
		mustProduce(t, c, 0, numbered(10))
		mustProduce(t, c, 1, numbered(10))
		fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: readings, Partitions: []int32{0}, Err: err, Count: count})
		bad, good := mustOpen(t, f, 0, 0), mustOpen(t, f, 1, 0)
		collect(t, good, 10)
		if wantErr == "" {
			collect(t, bad, 10)
			if fault.Hits() != count {
				t.Errorf("%v: fault was hit %d times", err, fault.Hits())
			}
			return
		}
		if got := ended(t, bad); got == nil || !strings.Contains(got.Error(), wantErr) || !strings.Contains(got.Error(), "readings/0") {
			t.Errorf("%v: feed ended with %v", err, got)
		}
		mustProduce(t, c, 1, numbered(10))
		collect(t, good, 10)
	}
	f(kerr.NotLeaderForPartition, 3, "")
	f(kerr.UnknownTopicOrPartition, 2, "")
	f(kerr.LeaderNotAvailable, 2, "")
	f(kerr.FencedLeaderEpoch, 2, "")
	f(kerr.UnknownLeaderEpoch, 2, "")
	f(kerr.OffsetNotAvailable, 2, "")
	f(kerr.KafkaStorageError, 2, "")
	f(kerr.OffsetOutOfRange, 2, "") // the range says otherwise: go on
	f(kerr.TopicAuthorizationFailed, -1, "right to read")
	f(kerr.UnsupportedCompressionType, -1, "ompression")
}

func TestOutOfRange(t *testing.T) {
	fake, c := startFake(t, nil, kfake.SeedTopics(2, readings))
	f := startFetcher(t, c, 2)
	mustProduce(t, c, 0, numbered(10))
	wantHalt(t, ended(t, mustOpen(t, f, 0, 11)), "offset-beyond-log-end")
	wantHalt(t, ended(t, mustOpen(t, f, 1, 1)), "offset-beyond-log-end")
	if err := fake.DeleteRecords(readings, 0, 5); err != nil {
		t.Fatal(err)
	}
	wantHalt(t, ended(t, mustOpen(t, f, 0, 4)), "offset-below-log-start")
	collect(t, mustOpen(t, f, 0, 5), 5)
}

func TestTopicDeleted(t *testing.T) {
	fake, c := startFake(t, func(c *Config) { c.Fetch.UnknownTopicAfter = 300 * time.Millisecond }, kfake.SeedTopics(1, readings))
	f := startFetcher(t, c, 1)
	fd := mustOpen(t, f, 0, 0)
	mustProduce(t, c, 0, numbered(10))
	collect(t, fd, 10)
	if err := fake.DeleteTopic(readings); err != nil {
		t.Fatal(err)
	}
	wantHalt(t, ended(t, fd), "topic-gone")
}

func TestTopicMadeAnew(t *testing.T) {
	fake, c := startFake(t, nil, kfake.SeedTopics(1, readings))
	f := startFetcher(t, c, 1)
	fd := mustOpen(t, f, 0, 0)
	mustProduce(t, c, 0, numbered(10))
	collect(t, fd, 10)
	if err := fake.DeleteTopic(readings); err != nil {
		t.Fatal(err)
	}
	if err := fake.CreateTopic(readings, 1, nil); err != nil {
		t.Fatal(err)
	}
	wantHalt(t, ended(t, fd), "topic-recreated")
}

// TestTopicMadeAnewUnnoticed: brokers that tell no topic ids show it only by the offsets.
func TestTopicMadeAnewUnnoticed(t *testing.T) {
	fake, c := startFake(t, nil, kfake.SeedTopics(1, readings), kfake.MaxVersions(kversion.V2_4_0()))
	f := startFetcher(t, c, 1)
	fd := mustOpen(t, f, 0, 0)
	mustProduce(t, c, 0, numbered(10))
	collect(t, fd, 10)
	if err := fake.DeleteTopic(readings); err != nil {
		t.Fatal(err)
	}
	if err := fake.CreateTopic(readings, 1, nil); err != nil {
		t.Fatal(err)
	}
	wantHalt(t, ended(t, fd), "offset-beyond-log-end")
}

func TestPartitionCountChanges(t *testing.T) {
	fake, c := startFake(t, func(c *Config) { c.MetadataInterval = 100 * time.Millisecond }, kfake.SeedTopics(1, readings))
	var halted atomic.Value
	f := c.newFetcher(map[string]int{readings: 1}, func(err error) { halted.Store(err) })
	t.Cleanup(f.close)
	fd := mustOpen(t, f, 0, 0)
	mustProduce(t, c, 0, numbered(10))
	collect(t, fd, 10)
	kc := &kafkago.Client{Addr: kafkago.TCP(fake.ListenAddrs()...), Transport: c.transport}
	if _, err := kc.CreatePartitions(testContext(t), &kafkago.CreatePartitionsRequest{Topics: []kafkago.TopicPartitionsConfig{{Name: readings, Count: 4}}}); err != nil {
		t.Fatal(err)
	}
	wantHalt(t, ended(t, fd), "partition-count-changed")
	wantHalt(t, halted.Load().(error), "partition-count-changed")
}

// TestTruncatedFirstBatch: a broker that keeps to the limits (before KIP-74) sends a batch in pieces; ours asks for more.
func TestTruncatedFirstBatch(t *testing.T) {
	fake, c := startFake(t, func(c *Config) { c.Fetch.MaxBytesPerPartition = 100 }, kfake.SeedTopics(1, readings))
	msgs := numbered(50)
	mustProduce(t, c, 0, msgs)
	set := ourSet(t, 0, CompressionNone, msgs...)
	var most atomic.Int32
	fake.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		p := &req.Topics[0].Partitions[0]
		most.Store(max(most.Load(), p.PartitionMaxBytes))
		if int(p.PartitionMaxBytes) >= len(set) {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.FetchResponse)
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark, rp.LastStableOffset, rp.RecordBatches = 50, 50, set[:p.PartitionMaxBytes]
		res.Topics = []kmsg.FetchResponseTopic{{Topic: readings, Partitions: []kmsg.FetchResponseTopicPartition{rp}}}
		return res, nil, true
	})
	f := startFetcher(t, c, 1)
	if d := cmp.Diff(wantRecs(msgs, 0), collect(t, mustOpen(t, f, 0, 0), 50)); d != "" {
		t.Error(d)
	}
	if int(most.Load()) < len(set) {
		t.Errorf("%d bytes were asked for at most", most.Load())
	}
}

// TestDamagedOnTheWay: a broken set ends the feed, or shows at Read, and never hides records.
func TestDamagedOnTheWay(t *testing.T) {
	fake, c := startFake(t, nil, kfake.SeedTopics(1, readings))
	mustProduce(t, c, 0, numbered(5))
	set := ourSet(t, 0, CompressionNone, numbered(5)...)
	set[len(set)-1] ^= 1
	answerWith(fake, set)
	f := startFetcher(t, c, 1)
	fd := mustOpen(t, f, 0, 0)
	b := <-fd.Batches()
	if n, err := b.Read(make([]engine.Record, 10)); n != 0 || err == nil || !strings.Contains(err.Error(), "CRC32C") {
		t.Error(n, err)
	}
	b.Release()
	fd.Close()
	set[posMagic] = 0
	if err := ended(t, mustOpen(t, f, 0, 0)); err == nil || !strings.Contains(err.Error(), "message format 0") {
		t.Error(err)
	}
}

// answerWith answers every fetch at offset 0 with set.
func answerWith(fake *kfake.Cluster, set []byte) {
	fake.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		if req.Topics[0].Partitions[0].FetchOffset != 0 {
			return nil, nil, false
		}
		res := kreq.ResponseKind().(*kmsg.FetchResponse)
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark, rp.LastStableOffset, rp.RecordBatches = 5, 5, bytes.Clone(set)
		res.Topics = []kmsg.FetchResponseTopic{{Topic: readings, Partitions: []kmsg.FetchResponseTopicPartition{rp}}}
		return res, nil, true
	})
}

func TestBrokerGoesAndComes(t *testing.T) {
	dir := t.TempDir()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, readings), kfake.DataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, fake, nil)
	f := startFetcher(t, c, 1)
	fd := mustOpen(t, f, 0, 0)
	mustProduce(t, c, 0, numbered(10))
	collect(t, fd, 10)
	addr := fake.ListenAddrs()[0]
	var port int
	if _, err := fmt.Sscanf(addr[strings.LastIndex(addr, ":")+1:], "%d", &port); err != nil {
		t.Fatal(err)
	}
	fake.Close()
	time.Sleep(200 * time.Millisecond)
	fake, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.Ports(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	mustProduce(t, c, 0, numbered(10))
	if got := collect(t, fd, 10); got[0].Offset != 10 {
		t.Errorf("after the restart offset %d came", got[0].Offset)
	}
}

func TestOpenRefuses(t *testing.T) {
	_, c := startFake(t, nil, kfake.SeedTopics(1, readings))
	f := startFetcher(t, c, 1)
	mustOpen(t, f, 0, 0)
	for _, p := range []engine.Partition{part(0), part(1), part(-1), {Topic: "other"}} {
		if _, err := f.open(p, 0); err == nil {
			t.Errorf("%s opened", p)
		}
	}
}

func TestNoBroker(t *testing.T) {
	c, err := New(Config{Brokers: []string{"127.0.0.1:1"}, RequestTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err = c.Producer().Produce(ctx, readings, 0, numbered(1))
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the address or the reason is missing: %v", err)
	}
}
