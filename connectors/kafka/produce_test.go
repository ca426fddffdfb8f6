package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wattline/wattline/engine"
)

func readAll(t testing.TB, c *Client, topic string, from int64) []rec {
	t.Helper()
	var out []rec
	if _, err := c.ReadLog(testContext(t), topic, 0, from, func(r engine.Record) error { out = append(out, keep(&r)); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestProduceAndReadLog(t *testing.T) {
	for _, codec := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
		_, c := startFake(t, func(c *Config) { c.Produce.Compression = codec; c.Produce.MaxBatchBytes = 2000 }, kfake.SeedTopics(1, readings))
		msgs := append(numbered(300), engine.Message{Key: []byte("gone"), TimestampMs: 5})
		if first := mustProduce(t, c, 0, msgs[:100]); first != 0 {
			t.Errorf("first offset %d", first)
		}
		if first := mustProduce(t, c, 0, msgs[100:]); first != 100 {
			t.Errorf("first offset %d", first)
		}
		if d := cmp.Diff(wantRecs(msgs, 0), readAll(t, c, readings, 0)); d != "" {
			t.Errorf("%s: %s", codec, d)
		}
		if d := cmp.Diff(wantRecs(msgs, 0)[150:], readAll(t, c, readings, 150)); d != "" {
			t.Errorf("%s: %s", codec, d)
		}
	}
}

func TestProduceErrors(t *testing.T) {
	fake, c := startFake(t, func(c *Config) { c.Produce.MaxBatchBytes = 2000 }, kfake.SeedTopics(1, readings))
	f := func(err *kerr.Error, want string) {
		t.Helper()
		fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: 2})
		defer fault.Remove()
		_, got := c.Producer().Produce(testContext(t), readings, 0, numbered(1))
		if want == "" && got != nil || want != "" && (got == nil || !strings.Contains(got.Error(), want)) {
			t.Errorf("%v: %v, want %q", err, got, want)
		}
	}
	f(kerr.NotLeaderForPartition, "")
	f(kerr.NotEnoughReplicas, "")
	f(kerr.RequestTimedOut, "")
	f(kerr.UnknownTopicOrPartition, "")
	f(kerr.MessageTooLarge, "max.message.bytes")
	f(kerr.TopicAuthorizationFailed, "right to read")
	f(kerr.InvalidRecord, "nvalid")

	_, err := c.Producer().Produce(testContext(t), readings, 0, []engine.Message{{Key: []byte("big"), Value: make([]byte, 3000)}})
	if err == nil || !strings.Contains(err.Error(), "MaxBatchBytes") || !strings.Contains(err.Error(), "big") {
		t.Error(err)
	}
	if _, err := c.Producer().Produce(testContext(t), readings, 0, nil); err == nil {
		t.Error("nothing was produced without error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Producer().Produce(ctx, readings, 0, numbered(1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestProduceFollowsLeader(t *testing.T) {
	fake, c := startFake(t, nil, kfake.SeedTopics(1, readings), kfake.NumBrokers(3))
	for i := range int64(4) {
		if first := mustProduce(t, c, 0, numbered(5)); first != i*5 {
			t.Errorf("first offset %d", first)
		}
		if err := fake.MoveTopicPartition(readings, 0, (fake.LeaderFor(readings, 0)+1)%3); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, c, readings, 0); len(got) != 20 {
		t.Errorf("%d records", len(got))
	}
}

func TestReadLogRange(t *testing.T) {
	fake, c := startFake(t, nil)
	ctx := testContext(t)
	if _, err := c.EnsureTopics(ctx, []TopicSpec{ReferenceTopic("ref"), StateTopic("state", 1)}); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"ref", "state"} {
		if _, err := c.Producer().Produce(ctx, topic, 0, numbered(10)); err != nil {
			t.Fatal(err)
		}
		if err := fake.DeleteRecords(topic, 0, 4); err != nil {
			t.Fatal(err)
		}
	}
	none := func(engine.Record) error { return nil }
	_, err := c.ReadLog(ctx, "ref", 0, 3, none)
	wantHalt(t, err, "offset-below-log-start")
	_, err = c.ReadLog(ctx, "ref", 0, 11, none)
	wantHalt(t, err, "offset-beyond-log-end")
	if next, err := c.ReadLog(ctx, "ref", 0, 10, none); next != 10 || err != nil {
		t.Error(next, err)
	}
	if got := readAll(t, c, "state", 0); len(got) != 6 || got[0].Offset != 4 {
		t.Errorf("compacted log from 0: %v", got)
	}
	stop := errors.New("stop")
	if _, err := c.ReadLog(ctx, "ref", 0, 4, func(engine.Record) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestTopics(t *testing.T) {
	_, c := startFake(t, nil)
	ctx := testContext(t)
	specs := []TopicSpec{ReferenceTopic("wattline.reference"), StateTopic("wattline.state", 3), RejectsTopic("wattline.rejects", 2), ReadingsTopic("readings", 4)}
	if _, err := c.CheckTopics(ctx, specs); err == nil || !strings.Contains(err.Error(), "wattline.state does not exist") || !strings.Contains(err.Error(), "cleanup.policy=compact") {
		t.Error(err)
	}
	want := map[string]int32{"wattline.reference": 1, "wattline.state": 3, "wattline.rejects": 2, "readings": 4}
	for range 2 {
		got, err := c.EnsureTopics(ctx, specs)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	if got, err := c.CheckTopics(ctx, specs); err != nil || !cmp.Equal(want, got) {
		t.Error(got, err)
	}
	bad := []TopicSpec{ReferenceTopic("readings"), StateTopic("wattline.rejects", 2), ReadingsTopic("wattline.state", 3)}
	_, err := c.EnsureTopics(ctx, bad)
	for _, w := range []string{"readings has 4 partitions", "readings has retention.ms=", "wattline.rejects has cleanup.policy=delete", "wattline.state has cleanup.policy=compact"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%q is missing in: %v", w, err)
		}
	}
}
