package kafka

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/wattline/wattline/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startFake starts a broker in this process and a client of it. Both end with the test.
func startFake(t testing.TB, change func(*Config), opts ...kfake.Opt) (*kfake.Cluster, *Client) {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake, newTestClient(t, fake, change)
}

func newTestClient(t testing.TB, fake *kfake.Cluster, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{Brokers: fake.ListenAddrs(), RequestTimeout: 5 * time.Second, BackoffMax: 100 * time.Millisecond}
	cfg.Fetch.MaxWait = 50 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.pool.mangle = true // a use after Release then shows as garbage
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// rec is an engine.Record that can be kept and compared.
type rec struct {
	Offset int64
	AtMs   int64
	Key    string
	Value  string
	Nil    string // "k" when the key was nil, "v" when the value was
	Type   string
}

func keep(r *engine.Record) rec {
	out := rec{Offset: r.Offset, AtMs: r.TimestampMs, Key: string(r.Key), Value: string(r.Value), Type: string(r.ContentType)}
	if r.Key == nil {
		out.Nil += "k"
	}
	if r.Value == nil {
		out.Nil += "v"
	}
	return out
}

// drain reads b to its end in steps of chunk records.
func drain(b engine.Batch, chunk int) ([]rec, error) {
	var out []rec
	dst := make([]engine.Record, chunk)
	for {
		n, err := b.Read(dst)
		if err != nil || n == 0 {
			return out, err
		}
		for i := range dst[:n] {
			out = append(out, keep(&dst[i]))
		}
	}
}

// openSets returns a batch over sets as a feed would make it, and what scanning said.
func openSets(t testing.TB, sets []byte, wanted int64, ab ...aborted) (*batch, error) {
	t.Helper()
	pool := &bufferPool{limit: 1 << 20}
	in, err := newInflater(1<<20, pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.close)
	whole, next, err := scanSets(sets, wanted)
	b := &batch{next: next, pool: pool}
	b.parser = parser{partition: engine.Partition{Topic: "readings", Number: 3}, wanted: wanted, inflater: in, aborted: ab, sets: sets[:whole]}
	return b, err
}

// theirSet encodes records with kafka-go.
func theirSet(t testing.TB, base int64, codec Compression, records ...protocol.Record) []byte {
	t.Helper()
	rs := protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(codec), Records: protocol.NewRecordReader(records...)}
	var buf bytes.Buffer
	if _, err := rs.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	set := buf.Bytes()[4:]
	rebase(set, base)
	return set
}

// rebase does what a broker does to a produced batch. The base offset is outside the checksum.
func rebase(set []byte, base int64) {
	for i := range 8 {
		set[i] = byte(base >> (56 - 8*i))
	}
}

// reseal puts the checksum right after a test changed a batch's head.
func reseal(set []byte, change func(*setHeader)) []byte {
	h, _, _, ok, err := cutSet(set)
	if err != nil || !ok {
		panic(fmt.Sprint("test set cannot be cut: ", err))
	}
	change(&h)
	putHead(set, h)
	return set
}

func ourSet(t testing.TB, base int64, codec Compression, msgs ...engine.Message) []byte {
	t.Helper()
	e, err := NewBatchEncoder(codec)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		e.Append(m.Key, m.Value, m.TimestampMs, m.ContentType)
	}
	set, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	rebase(set, base)
	return set
}

func numbered(n int) []engine.Message {
	out := make([]engine.Message, n)
	for i := range out {
		out[i] = engine.Message{
			Key: fmt.Appendf(nil, "cp-%05d", i%97), Value: fmt.Appendf(nil, "value-%d", i), TimestampMs: 1_700_000_000_000 + int64(i), ContentType: "application/x-test",
		}
	}
	return out
}

func wantRecs(msgs []engine.Message, base int64) []rec {
	var out []rec
	for i, m := range msgs {
		r := engine.Record{Offset: base + int64(i), TimestampMs: m.TimestampMs, Key: m.Key, Value: m.Value}
		if m.ContentType != "" {
			r.ContentType = []byte(m.ContentType)
		}
		out = append(out, keep(&r))
	}
	return out
}
