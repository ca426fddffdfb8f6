package conntest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
)

// Rig is the peer under test: one empty topic of readings, and how to reach it.
type Rig struct {
	Topic      string
	Partitions int32 // 2 or more
	// Produce appends messages to a partition and returns when they can be read.
	Produce func(t testing.TB, partition int32, msgs []engine.Message)
	// Member starts one engine's end under an instance id. Calls come from several goroutines.
	Member func(t testing.TB, instance string) End
}

// End is one engine's end.
type End struct {
	Source    engine.Source
	Committer engine.Committer
	// Close ends it as a crash does: its partitions are not given back. The suite calls it once.
	Close func()
}

const caseTimeout = 60 * time.Second

// SourceSuite runs all cases, each with a rig of its own. The seed of the random ones is in their output.
func SourceSuite(t *testing.T, newRig func(t *testing.T) Rig) {
	for name, run := range map[string]func(*testing.T, Rig){
		"no gap": noGap, "crash": crash, "stall": stall, "beyond end": beyondEnd, "close": closing, "bounds": bounds, "rebalance": rebalance,
	} {
		t.Run(name, func(t *testing.T) { run(t, newRig(t)) })
	}
}

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), caseTimeout)
	t.Cleanup(cancel)
	return ctx
}

// messages are n messages whose content says where they belong: partition and number, from first.
func messages(partition int32, first, n int) []engine.Message {
	out := make([]engine.Message, n)
	for i := range out {
		out[i] = engine.Message{
			Key: fmt.Appendf(nil, "%d/%d", partition, first+i), Value: fmt.Appendf(nil, "value of %d/%d", partition, first+i),
			ContentType: "text/conntest", TimestampMs: 1_700_000_000_000 + int64(first+i),
		}
	}
	return out
}

// checkRecord checks that r is message number n of partition.
func checkRecord(r *engine.Record, partition int32, n int64) error {
	want := messages(partition, int(n), 1)[0]
	if r.Offset != n || string(r.Key) != string(want.Key) || string(r.Value) != string(want.Value) || string(r.ContentType) != want.ContentType || r.TimestampMs != want.TimestampMs {
		return fmt.Errorf("partition %d offset %d: got offset %d key %q value %q type %q at %d", partition, n, r.Offset, r.Key, r.Value, r.ContentType, r.TimestampMs)
	}
	return nil
}

// consume reads b, whose first record must be number at, in random steps, releases it and returns where it ended.
func consume(b engine.Batch, partition int32, at int64, r *rand.Rand) (int64, error) {
	defer b.Release()
	dst := make([]engine.Record, 1+r.IntN(300))
	for {
		n, err := b.Read(dst[:1+r.IntN(len(dst))])
		if err != nil {
			return at, err
		}
		if n == 0 {
			break
		}
		for i := range dst[:n] {
			if err := checkRecord(&dst[i], partition, at); err != nil {
				return at, err
			}
			at++
		}
	}
	if b.NextOffset() != at {
		return at, fmt.Errorf("partition %d: batch used up at %d says that %d is next", partition, at, b.NextOffset())
	}
	return at, nil
}

// readTo consumes fd from record at up to record end.
func readTo(ctx context.Context, fd engine.Feed, partition int32, at, end int64, r *rand.Rand) error {
	for at < end {
		select {
		case b, ok := <-fd.Batches():
			if !ok {
				return fmt.Errorf("partition %d: feed ended at %d: %w", partition, at, fd.Err())
			}
			var err error
			if at, err = consume(b, partition, at, r); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("partition %d: at %d of %d: %w", partition, at, end, ctx.Err())
		}
	}
	return nil
}

// alone starts a member and waits until it has all partitions.
func alone(t testing.TB, rig Rig, instance string) End {
	t.Helper()
	e := rig.Member(t, instance)
	for {
		a, err := e.Source.Next(bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Partitions) == int(rig.Partitions) {
			return e
		}
	}
}

func mustOpen(t testing.TB, rig Rig, e End, partition int32, from int64) engine.Feed {
	t.Helper()
	fd, err := e.Source.Open(engine.Partition{Topic: rig.Topic, Number: partition}, from)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// noGap (S1): what is produced while it is read comes once, in order, whatever the steps.
func noGap(t *testing.T, rig Rig) {
	ctx, r := bounded(t), seeded(t)
	e := alone(t, rig, "a")
	defer e.Close()
	var wg sync.WaitGroup
	for p := range rig.Partitions {
		sizes := make([]int, 10)
		total := 0
		for i := range sizes {
			sizes[i] = 1 + r.IntN(400)
			total += sizes[i]
		}
		fd, rp := mustOpen(t, rig, e, p, 0), rand.New(rand.NewPCG(r.Uint64(), 0))
		wg.Go(func() {
			first := 0
			for _, n := range sizes {
				rig.Produce(t, p, messages(p, first, n))
				first += n
			}
		})
		wg.Go(func() {
			if err := readTo(ctx, fd, p, 0, int64(total), rp); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// crash (S2): what was read and not committed comes again under the same instance id, the plan comes back as it was.
func crash(t *testing.T, rig Rig) {
	ctx, r := bounded(t), seeded(t)
	const n = 500
	p := engine.Partition{Topic: rig.Topic, Number: 1}
	rig.Produce(t, 1, messages(1, 0, n))
	at := int64(0)
	for round := range 4 {
		e := alone(t, rig, "a")
		c, err := e.Committer.Committed(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		want := engine.Commit{Offset: at, Metadata: fmt.Sprint("plan ", at)}
		if round == 0 {
			want = engine.Commit{Offset: -1}
		}
		if c != want {
			t.Fatalf("round %d: committed %+v, want %+v", round, c, want)
		}
		if err := readTo(ctx, mustOpen(t, rig, e, 1, at), 1, at, n, r); err != nil {
			t.Fatal(err)
		}
		at += 1 + r.Int64N(100)
		if err := e.Committer.Commit(ctx, p, engine.Commit{Offset: at, Metadata: fmt.Sprint("plan ", at)}); err != nil {
			t.Fatal(err)
		}
		e.Close()
	}
}

// stall (S3): a partition whose batches nobody releases does not keep the others from going on, nor loses its place.
func stall(t *testing.T, rig Rig) {
	ctx, r := bounded(t), seeded(t)
	e := alone(t, rig, "a")
	defer e.Close()
	const rounds, n = 30, 100
	slow, quick := mustOpen(t, rig, e, 0, 0), mustOpen(t, rig, e, 1, 0)
	rig.Produce(t, 0, messages(0, 0, n))
	first, ok := <-slow.Batches()
	if !ok {
		t.Fatal(slow.Err())
	}
	for i := range rounds {
		rig.Produce(t, 0, messages(0, (i+1)*n, n))
		rig.Produce(t, 1, messages(1, i*n, n))
		if err := readTo(ctx, quick, 1, int64(i*n), int64((i+1)*n), r); err != nil {
			t.Fatal(err)
		}
	}
	at, err := consume(first, 0, 0, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := readTo(ctx, slow, 0, at, (rounds+1)*n, r); err != nil {
		t.Fatal(err)
	}
}

// beyondEnd (S5): an offset that the log does not have yet is a Halt that says what to do.
func beyondEnd(t *testing.T, rig Rig) {
	ctx := bounded(t)
	rig.Produce(t, 0, messages(0, 0, 10))
	e := alone(t, rig, "a")
	defer e.Close()
	fd := mustOpen(t, rig, e, 0, 11)
	select {
	case _, ok := <-fd.Batches():
		var halt *engine.Halt
		if ok || !errors.As(fd.Err(), &halt) || halt.Reason == "" || halt.Detail == "" || halt.Do == "" || halt.Partition.Number != 0 {
			t.Errorf("batch %v, error %v; want a Halt", ok, fd.Err())
		}
	case <-ctx.Done():
		t.Error("a feed beyond the end waits")
	}
}

// bounds (S7): an empty partition begins where it ends, a filled one ends at the offset that its next record gets.
func bounds(t *testing.T, rig Rig) {
	ctx := bounded(t)
	e := alone(t, rig, "a")
	defer e.Close()
	for i := range int64(3) {
		start, end, err := e.Source.Bounds(ctx, engine.Partition{Topic: rig.Topic, Number: 1})
		if start != 0 || end != 70*i || err != nil {
			t.Errorf("after %d records the log reaches from %d to %d, %v", 70*i, start, end, err)
		}
		rig.Produce(t, 1, messages(1, int(70*i), 70))
	}
}

// closing (S6): a closed feed ends without error, twice is once, and the partition can be opened again.
func closing(t *testing.T, rig Rig) {
	ctx, r := bounded(t), seeded(t)
	rig.Produce(t, 0, messages(0, 0, 50))
	e := alone(t, rig, "a")
	defer e.Close()
	for range 5 {
		fd := mustOpen(t, rig, e, 0, 0)
		if err := readTo(ctx, fd, 0, 0, 50, r); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Source.Open(engine.Partition{Topic: rig.Topic, Number: 0}, 0); err == nil {
			t.Fatal("one partition was opened twice")
		}
		fd.Close()
		fd.Close()
		if _, ok := <-fd.Batches(); ok {
			t.Error("a closed feed gave a batch")
		}
		if err := fd.Err(); err != nil {
			t.Error(err)
		}
	}
}
