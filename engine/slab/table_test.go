package slab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wattline/wattline/engine/snapshot"
)

// checkTable compares t with want (key -> slot) in every way that it can be asked.
func checkTable(tb testing.TB, t *Table, want map[snapshot.Key]uint32, what string) {
	tb.Helper()
	if t.Live != len(want) {
		tb.Fatalf("%s: %d live, want %d", what, t.Live, len(want))
	}
	for k, slot := range want {
		if got := t.Find(k); got != slot {
			tb.Fatalf("%s: find(%x) is slot %d, want %d", what, k, int32(got), slot)
		}
		if t.At(slot).Key != k {
			tb.Fatalf("%s: slot %d has key %x, want %x", what, slot, t.At(slot).Key, k)
		}
		if hint := t.Probe(k); hint == NoSlot || t.At(hint).Key[1]>>32 != k[1]>>32 {
			tb.Fatalf("%s: probe(%x) is slot %d", what, k, int32(hint))
		}
	}
	n := 0
	t.Each(func(s *snapshot.Session) {
		n++
		if _, ok := want[s.Key]; !ok {
			tb.Fatalf("%s: each has %x, which was removed", what, s.Key)
		}
	})
	if n != len(want) {
		tb.Fatalf("%s: each has %d, want %d", what, n, len(want))
	}
	checkSegments(tb, t, what)
}

// checkSegments holds the index to its form: entries are counted, each segment stands in one aligned run of the
// directory, and every entry is where its key's top bits say.
func checkSegments(tb testing.TB, t *Table, what string) {
	tb.Helper()
	if len(t.dir) != 1<<t.depth {
		tb.Fatalf("%s: directory of %d at depth %d", what, len(t.dir), t.depth)
	}
	entries := 0
	for i := 0; i < len(t.dir); {
		s := t.dir[i]
		run := 1 << (t.depth - s.depth)
		if i%run != 0 {
			tb.Fatalf("%s: segment of depth %d begins at %d of %d", what, s.depth, i, len(t.dir))
		}
		used := 0
		for _, e := range s.entries {
			if e == 0 {
				continue
			}
			used++
			k := t.At(uint32(e) - 1).Key
			if k[0]>>(64-t.depth)>>(t.depth-s.depth) != uint64(i/run) || e>>32 != k[1]>>32 {
				tb.Fatalf("%s: key %x stands in segment %d of depth %d", what, k, i, s.depth)
			}
		}
		if used != s.used {
			tb.Fatalf("%s: segment counts %d entries, has %d", what, s.used, used)
		}
		entries += used
		for j := range run {
			if t.dir[i+j] != s {
				tb.Fatalf("%s: segment's run of %d is broken at %d", what, run, i+j)
			}
		}
		i += run
	}
	if entries != t.Live {
		tb.Fatalf("%s: %d entries, %d live", what, entries, t.Live)
	}
}

// step inserts k if it is not there, else removes it (when remove says so) or finds it.
func step(t *Table, want map[snapshot.Key]uint32, k snapshot.Key, remove bool) {
	_, there := want[k]
	switch {
	case k == snapshot.Key{}:
	case !there && remove:
		t.Remove(k) // nothing there: nothing happens
	case !there:
		slot := t.Insert(k)
		t.At(slot).FirstOffset = int64(k[0] ^ k[1])
		want[k] = slot
	case remove:
		t.Remove(k)
		delete(want, k)
	}
}

// TestTable: a table is a map whose slots stay where they are.
func TestTable(t *testing.T) {
	f := func(name string, ops, most, checks int, key func(r *rand.Rand) snapshot.Key) {
		t.Helper()
		for seed := uint64(1); seed <= 3; seed++ {
			rnd := rand.New(rand.NewPCG(seed, 5))
			tab, want := NewTable(), map[snapshot.Key]uint32{}
			var keys []snapshot.Key // of want; one that was removed by another way is skipped
			for i := range ops {
				what := fmt.Sprintf("%s, seed %d, after %d", name, seed, i)
				n := len(keys)
				// It grows to most; from then on about as many come as go.
				if n > 0 && (n >= most && rnd.IntN(2) == 0 || rnd.IntN(10) == 0) {
					at := rnd.IntN(n)
					step(tab, want, keys[at], true)
					keys[at], keys = keys[n-1], keys[:n-1]
				} else {
					k := key(rnd)
					if _, ok := want[k]; !ok && k != (snapshot.Key{}) {
						keys = append(keys, k)
					}
					step(tab, want, k, false)
				}
				if k := key(rnd); tab.Find(k) != NoSlot && !has(want, k) {
					t.Fatalf("%s: find has %x, which is not there", what, k)
				}
				if i%(ops/checks+1) == 0 {
					checkTable(t, tab, want, what)
				}
			}
			checkTable(t, tab, want, fmt.Sprintf("%s, seed %d, at the end", name, seed))
			for k, slot := range want {
				if got := tab.At(slot).FirstOffset; got != int64(k[0]^k[1]) {
					t.Fatalf("%s, seed %d: slot %d of %x has the state of another session", name, seed, slot, k)
				}
				step(tab, want, k, true)
			}
			checkTable(t, tab, want, fmt.Sprintf("%s, seed %d, emptied", name, seed))
		}
	}
	random := func(r *rand.Rand) snapshot.Key { return snapshot.Key{r.Uint64(), r.Uint64()} }

	f("tiny", 4_000, 20, 4000, random)
	f("few keys again and again", 4_000, 20, 4000, func(r *rand.Rand) snapshot.Key { return snapshot.Key{0, r.Uint64N(32)} })
	f("one segment that grows", 20_000, 5_000, 20, random)
	f("segments that split", 120_000, 60_000, 6, random)
	f("same tag", 6_000, 3_000, 10, func(r *rand.Rand) snapshot.Key {
		return snapshot.Key{r.Uint64(), 7<<32 | uint64(r.Uint32())}
	})
	f("same tag and home", 3_000, 1_000, 10, func(r *rand.Rand) snapshot.Key { return snapshot.Key{r.Uint64(), 7<<32 | 5} })
	f("homes at the end of a segment", 4_000, 120, 400, func(r *rand.Rand) snapshot.Key {
		return snapshot.Key{r.Uint64(), uint64(r.Uint32())<<32 | 0xf8 | r.Uint64N(8)}
	})
	f("same top bits: the directory doubles for a few", 24_000, 20_000, 6, func(r *rand.Rand) snapshot.Key {
		return snapshot.Key{0b1011<<60 | r.Uint64()>>4, r.Uint64()}
	})
}

// TestTableFill: a table that took a list over is like one that was given its sessions one by one, and goes on like it.
func TestTableFill(t *testing.T) {
	f := func(name string, n int, key func(r *rand.Rand) snapshot.Key) {
		t.Helper()
		rnd := rand.New(rand.NewPCG(uint64(n), 6))
		want := map[snapshot.Key]uint32{}
		list := make([]snapshot.Session, 0, n)
		for len(list) < n {
			k := key(rnd)
			if has(want, k) || k == (snapshot.Key{}) {
				continue
			}
			want[k] = uint32(len(list))
			list = append(list, snapshot.Session{Key: k, FirstOffset: int64(k[0] ^ k[1])})
		}
		what := fmt.Sprintf("%s, %d", name, n)
		tab := NewTable()
		tab.Mark = 1
		if twice := tab.Fill(list); twice >= 0 {
			t.Fatalf("%s: session %d is said to be there twice", what, twice)
		}
		checkTable(t, tab, want, what)
		for k, slot := range want {
			if s := tab.At(slot); s.FirstOffset != int64(k[0]^k[1]) || s.Mark != 1 {
				t.Fatalf("%s: slot %d of %x has the state of another session, or no mark", what, slot, k)
			}
		}
		for k := range want { // it goes on
			if rnd.IntN(2) == 0 {
				step(tab, want, k, true)
			}
		}
		for range n + 10 {
			if k := key(rnd); k != (snapshot.Key{}) {
				step(tab, want, k, false)
			}
		}
		checkTable(t, tab, want, what+", afterwards")
	}
	random := func(r *rand.Rand) snapshot.Key { return snapshot.Key{r.Uint64(), r.Uint64()} }
	for _, n := range []int{0, 1, 153, 154, slabSize - 1, slabSize, slabSize + 1, 4_914, 4_915, 5_800, 60_000} {
		f("random", n, random)
	}
	f("same top bits", 6_000, func(r *rand.Rand) snapshot.Key { return snapshot.Key{0b1011<<60 | r.Uint64()>>4, r.Uint64()} })
	f("same tag and home", 500, func(r *rand.Rand) snapshot.Key { return snapshot.Key{r.Uint64(), 7<<32 | 5} })

	list := make([]snapshot.Session, 3_000)
	for i := range list {
		list[i].Key = snapshot.Key{uint64(i + 1), 9}
	}
	list[2_500].Key = list[17].Key
	if twice := NewTable().Fill(list); twice != 2_500 {
		t.Errorf("session 2500 is there twice, and it is said to be %d", twice)
	}
}

func has(m map[snapshot.Key]uint32, k snapshot.Key) bool { _, ok := m[k]; return ok }

// FuzzTable: any order of inserts and removals of keys that collide as the input wants.
func FuzzTable(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 1, 2, 2, 129, 1, 1, 3, 130, 2})
	f.Add([]byte("\x01\x10\x02\x10\x03\x10\x81\x10\x04\x10\x82\x10\x83\x10"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		tab, want := NewTable(), map[snapshot.Key]uint32{}
		for len(ops) >= 2 && len(want) < 2000 {
			op := binary.BigEndian.Uint16(ops)
			ops = ops[2:]
			// The top bit removes; the low byte is the home; the rest makes the key, all with one of two tags.
			k := snapshot.Key{uint64(op&0x7f00) << 48, uint64(op&0x100)<<33 | uint64(op&0xff) | 1<<40}
			step(tab, want, k, op&0x8000 != 0)
		}
		checkTable(t, tab, want, "fuzz")
	})
}

func tableOf(n int) (*Table, []snapshot.Key) {
	rnd := rand.New(rand.NewPCG(1, 5))
	t, keys := NewTable(), make([]snapshot.Key, n)
	for i := range keys {
		keys[i] = snapshot.Key{rnd.Uint64(), rnd.Uint64()}
		t.Insert(keys[i])
	}
	rnd.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return t, keys
}

// BenchmarkTable is the price of one session's look-up: one by one, and in chunks of two passes as the shard
// does; and of a session that comes and goes.
func BenchmarkTable(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		t, keys := tableOf(n)
		b.Run(fmt.Sprintf("find/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			sum := int64(0)
			for i, at := 0, 0; i < b.N; i++ {
				sum += t.At(t.Find(keys[at])).LastSeq
				if at++; at == n {
					at = 0
				}
			}
			sink += sum
		})
		b.Run(fmt.Sprintf("twopass/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			sum := int64(0)
			var hints [64]uint32
			for i, at := 0, 0; i < b.N; i += 64 {
				if at+64 > n {
					at = 0
				}
				for j := range hints {
					hints[j] = t.Probe(keys[at+j])
				}
				for _, h := range hints {
					sum ^= t.At(h).LastSeq ^ t.At(h).Rate.LastMs ^ int64(t.At(h).Key[0])
				}
				for j, h := range hints {
					if ss := t.At(h); ss.Key == keys[at+j] {
						ss.LastSeq++
					}
				}
				at += 64
			}
			sink += sum
		})
		b.Run(fmt.Sprintf("turnover/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			rnd := rand.New(rand.NewPCG(2, 5))
			for i, at := 0, 0; i < b.N; i++ {
				t.Remove(keys[at])
				keys[at] = snapshot.Key{rnd.Uint64(), rnd.Uint64()}
				t.Insert(keys[at])
				if at++; at == n {
					at = 0
				}
			}
		})
	}
}

// sink keeps the compiler from leaving out what a benchmark measures.
var sink int64
