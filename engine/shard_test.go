package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/rating"
)

// fleet is n running sessions of as many charge points, and the messages that they send: a reading each in every
// round, in an order that has nothing to do with where their states lie.
type fleet struct {
	*bare
	ids   [][2]string // charge point and transaction: 40 bytes together
	order []int32
	round int64
	step  int64 // ms between two rounds

	recs  []Record
	arena []byte
	batch memBatch
	next  int // in order
}

// newFleet starts n sessions that are read every stepMs; a chunk of messages has most records.
func newFleet(t testing.TB, n, most int, stepMs int64) *fleet {
	t.Helper()
	f := &fleet{step: stepMs, order: make([]int32, n), recs: make([]Record, most), arena: make([]byte, 0, most*160)}
	rnd := rand.New(rand.NewPCG(1, 9))
	var uids []string
	for i := range n {
		f.ids = append(f.ids, [2]string{fmt.Sprintf("NL-WTL-%010d-%06d", i*7919, i%997), fmt.Sprintf("tx-%013d", i)})
		f.order[i] = int32(i)
		uids = append(uids, f.ids[i][0])
	}
	rnd.Shuffle(n, func(i, j int) { f.order[i], f.order[j] = f.order[j], f.order[i] })
	f.bare = newBare(t, testConfig(), uids...)
	f.decoders = func(string, []byte) Decode { return wire.Decode }
	for f.round == 0 {
		f.prepare(rating.KindStart, len(f.recs))
		f.rateAll(t)
	}
	if f.sessions.Live != n {
		t.Fatalf("%d sessions live, want %d", f.sessions.Live, n)
	}
	return f
}

// prepare encodes the next messages, at most n of them and no more than to the end of the round.
func (f *fleet) prepare(kind rating.Kind, n int) int {
	n = min(n, len(f.order)-f.next)
	f.arena = f.arena[:0]
	at := t0 + f.round*f.step
	for i := range n {
		id := &f.ids[f.order[f.next+i]]
		r := rating.Reading{
			AtMs: at, RegisterMwh: 1_000_000 + f.round*f.step*3, PowerMicroW: 11_000_000_000, CurrentNanoA: rating.Unknown, Seq: f.round,
			Connector: 1, Kind: kind, State: rating.StateCharging, ChargePoint: []byte(id[0]), Transaction: []byte(id[1]),
		}
		lo := len(f.arena)
		f.arena = wire.Append(f.arena, &r)
		f.recs[i] = Record{Offset: f.nextOffset + int64(i), TimestampMs: at, Value: f.arena[lo:len(f.arena):len(f.arena)]}
	}
	if f.next += n; f.next == len(f.order) {
		f.next, f.round = 0, f.round+1
	}
	f.batch = memBatch{recs: f.recs[:n], next: f.nextOffset + int64(n)}
	return n
}

// rateAll rates what was prepared. A full block is begun anew, as the partition does.
func (f *fleet) rateAll(t testing.TB) {
	for {
		done, err := f.rate(&f.batch, unlimited)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
		f.block.reset(readings, f.nextOffset, f.bookOffset)
	}
}

// TestNoAllocation: a reading of a running session allocates nothing, from the record's bytes to the rows that a
// slice's end makes (issue 3, section 3).
func TestNoAllocation(t *testing.T) {
	const n = 500
	f := newFleet(t, n, n, 5*minuteMs) // every third reading ends a slice
	rows := 0
	round := func() {
		f.rateAll(t)
		rows += f.block.rows
		f.block.reset(readings, f.nextOffset, f.bookOffset)
	}
	for range 6 { // every array gets its size
		f.prepare(rating.KindMeter, n)
		round()
	}
	rows = 0
	var before, after runtime.MemStats
	mallocs := uint64(0)
	for range 6 { // within the hour in which no session's time-out is looked at
		f.prepare(rating.KindMeter, n)
		runtime.ReadMemStats(&before)
		round()
		runtime.ReadMemStats(&after)
		mallocs += after.Mallocs - before.Mallocs
	}
	if rows < 2*n*3 { // two slices, energy and time and a version each
		t.Fatalf("%d rows: no slice ended, so this proves nothing", rows)
	}
	if mallocs != 0 {
		t.Errorf("%d allocations for %d readings and %d rows", mallocs, 6*n, rows)
	}
	if got := f.stats.Rejects.Load(); got != 0 {
		t.Errorf("%d rejects", got)
	}
}

// TestFewAllocationsByTheHour: looking at every session's time-out once an hour costs next to nothing.
func TestFewAllocationsByTheHour(t *testing.T) {
	const n, rounds = 500, 60
	f := newFleet(t, n, n, 5*minuteMs)
	var before, after runtime.MemStats
	mallocs := uint64(0)
	for i := range 2 * rounds {
		f.prepare(rating.KindMeter, n)
		f.block.reset(readings, f.nextOffset, f.bookOffset)
		runtime.ReadMemStats(&before)
		f.rateAll(t)
		runtime.ReadMemStats(&after)
		if i >= rounds {
			mallocs += after.Mallocs - before.Mallocs
		}
	}
	if most := uint64(n * rounds / 100); mallocs > most {
		t.Errorf("%d allocations for %d readings of five hours, at most %d", mallocs, n*rounds, most)
	}
}

// deterministic runs the traffic of seed through a bare shard: cut gives the size of the next batch.
func deterministic(t *testing.T, seed uint64, cut func(*rand.Rand) int, restore bool) []string {
	t.Helper()
	var uids []string
	for i := range 10 { // CP10 and CP11 are unknown: held
		uids = append(uids, fmt.Sprintf("CP%d", i))
	}
	b := newBare(t, testConfig(), uids...)
	traffic(b.w, seed, []Partition{readings})
	log := b.w.logs[readings.String()]
	rnd := rand.New(rand.NewPCG(seed, 10))
	var out []string
	for len(log) > 0 {
		n := min(len(log), cut(rnd))
		batch := &memBatch{recs: slices.Clone(log[:n]), next: log[n-1].Offset + 1}
		if done, err := b.rate(batch, unlimited); err != nil || !done {
			t.Fatalf("seed %d: done %v, error %v", seed, done, err)
		}
		log = log[n:]
		if restore && rnd.IntN(4) == 0 {
			out = append(out, b.rows()...)
			b = b.again(t)
		}
	}
	out = append(out, b.rows()...)
	return append(newestVersions(out), fmt.Sprintf("state %x", encode(b.shard)))
}

// newestVersions sorts rows and leaves of every session only the last version, as the table does.
func newestVersions(rows []string) []string {
	slices.Sort(rows)
	newest := map[string]string{}
	var out []string
	for _, r := range rows {
		var id string
		var version int64
		if n, _ := fmt.Sscanf(r, "session %s %d ", &id, &version); n < 2 {
			out = append(out, r)
			continue
		}
		var old int64
		if _, err := fmt.Sscanf(newest[id], "session %s %d ", &id, &old); err != nil || version >= old {
			newest[id] = r
		}
	}
	for _, r := range newest {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

// TestShardDeterminism: rows, versions, rejects and the state's bytes do not tell how the log was cut into
// batches, nor whether the shard came from a snapshot on the way (I1, N1).
func TestShardDeterminism(t *testing.T) {
	for seed := uint64(1); seed <= 25; seed++ {
		want := deterministic(t, seed, func(*rand.Rand) int { return 1 }, false)
		if len(want) < 200 {
			t.Fatalf("seed %d: only %d rows", seed, len(want))
		}
		f := func(name string, restore bool, cut func(*rand.Rand) int) {
			t.Helper()
			if diff := cmp.Diff(want, deterministic(t, seed, cut, restore)); diff != "" {
				t.Fatalf("seed %d, %s: %s", seed, name, diff)
			}
		}
		f("batches of 7", false, func(*rand.Rand) int { return 7 })
		f("batches of 64", false, func(*rand.Rand) int { return 64 })
		f("one batch", false, func(*rand.Rand) int { return 1 << 20 })
		f("restored on the way", true, func(r *rand.Rand) int { return 1 + r.IntN(90) })
	}
}

// TestEngineDeterminism: the same through the whole engine, under batch sizes, block limits and snapshots.
func TestEngineDeterminism(t *testing.T) {
	parts := []Partition{{"readings", 0}, {"readings", 1}}
	run := func(seed uint64, batch int, blockOffsets int64, snapshots bool) []string {
		t.Helper()
		w := newWorld(seed)
		w.batch = batch
		var refs []ReferenceRecord
		var uids []string
		for i := range 11 {
			uids = append(uids, fmt.Sprintf("CP%d", i))
		}
		publishBasics(w, &refs, uids...)
		traffic(w, seed, parts)
		cfg := testConfig()
		cfg.BlockOffsets = blockOffsets
		if snapshots {
			cfg.SnapshotReplay = 1
		}
		if err := runUntil(t, w, w.engine(t, cfg, &refs, parts...), parts...); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w.checkTiles(t, seed)
		return w.result()
	}
	for seed := uint64(1); seed <= 4; seed++ {
		want := run(seed, 1, 1<<20, false)
		f := func(batch int, blockOffsets int64, snapshots bool) {
			t.Helper()
			if diff := cmp.Diff(want, run(seed, batch, blockOffsets, snapshots)); diff != "" {
				t.Fatalf("seed %d, batches of %d, blocks of %d, snapshots %v: %s", seed, batch, blockOffsets, snapshots, diff)
			}
		}
		f(7, 100, false)
		f(64, 250, true)
		f(1000, 100, true)
		f(1000, 1<<20, false)
	}
}

// BenchmarkShardQuiet is a shard alone: a reading of 40-byte ids every 5 s from each of n sessions, decoded from
// Protobuf, none of which ends a slice. ns/op is ns a reading.
func BenchmarkShardQuiet(b *testing.B) { benchmarkShard(b, 5_000, false) }

// BenchmarkShardSlice is the same where every reading ends a slice: two rows and a version.
func BenchmarkShardSlice(b *testing.B) { benchmarkShard(b, 15*minuteMs, false) }

// BenchmarkShardPrices is BenchmarkShardQuiet with prices told: a session a message, a step of a round for each of 32,768
// readings, as under load.
func BenchmarkShardPrices(b *testing.B) { benchmarkShard(b, 5_000, true) }

func benchmarkShard(b *testing.B, stepMs int64, prices bool) {
	for _, n := range []int{100_000, 1_000_000} {
		if testing.Short() && n > 100_000 {
			continue
		}
		const most = 32_768
		var f *fleet // one for all tries of the benchmark: it takes longer to make than to measure
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if f == nil {
				f = newFleet(b, n, most, stepMs)
				f.teller.Start(f.watermarkMs, !prices)
			}
			f.block.reset(readings, f.nextOffset, f.bookOffset)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; {
				b.StopTimer()
				k := f.prepare(rating.KindMeter, min(most, b.N-done))
				b.StartTimer()
				f.rateAll(b)
				if !f.teller.Prices.Due() {
					f.teller.Prices.Begin(max(0, f.watermarkMs))
				}
				for _, key := range f.teller.Prices.Take(256) {
					f.livePrice(key)
				}
				done += k
			}
			if b.N > 1 && f.stats.Rejects.Load() != 0 {
				b.Fatal("rejects")
			}
		})
	}
}
