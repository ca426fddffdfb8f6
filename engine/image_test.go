package engine

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// copyAtOnce copies the state in one go: what an image, made in steps, must come to.
func copyAtOnce(s *shard) *snapshot.State {
	st := &snapshot.State{
		Topic: s.partition.Topic, Partition: s.partition.Number, NextOffset: s.nextOffset, WatermarkMs: s.watermarkMs,
		TickMinute: s.tickMinute, BookOffset: s.bookOffset, RatingVersion: s.block.Row.RatingVersion,
		Names: slices.Clone(s.names.List), Places: slices.Clone(s.places.Ref), Plans: slices.Clone(s.plans.Ref), Tiers: slices.Clone(s.tiers.Ref),
		Sessions: make([]snapshot.Session, 0, s.sessions.Live),
	}
	for i := range uint32(s.connectors.Len()) {
		st.Connectors = append(st.Connectors, *s.connectors.At(i))
	}
	s.sessions.Each(func(ss *snapshot.Session) { st.Sessions = append(st.Sessions, *ss) })
	slices.SortFunc(st.Sessions, func(a, b snapshot.Session) int { return a.Key.Compare(b.Key) })
	for i := range st.Sessions { // windows are numbered anew: which were free before must not tell (N1)
		if w := &st.Sessions[i].Window; *w != 0 {
			st.Windows = append(st.Windows, *s.windows.At(*w - 1))
			*w = uint32(len(st.Windows))
		}
	}
	for i := range st.Sessions { // and so are sheets
		if n := &st.Sessions[i].Sheet; *n != 0 {
			st.Periods = s.sheets.AppendPeriods(st.Periods, *n-1)
			st.Sheets = append(st.Sheets, *s.sheets.At(*n - 1))
			*n = uint32(len(st.Sheets))
		}
	}
	waiting := map[snapshot.Key]snapshot.Start{}
	for i := range s.starts.Places() {
		if x := s.starts.At(i); x.Key != (snapshot.Key{}) {
			waiting[x.Key] = x.Start
		}
	}
	for _, k := range sortedKeys(waiting) {
		st.Starts = append(st.Starts, waiting[k])
	}
	for _, k := range sortedKeys(s.held) {
		h := *s.held[k]
		h.Points, h.Changes = slices.Clone(h.Points), slices.Clone(h.Changes)
		st.Held = append(st.Held, h)
	}
	for _, k := range sortedKeys(s.changes) {
		st.Changes = append(st.Changes, snapshot.Changes{Key: k, List: slices.Clone(s.changes[k])})
	}
	return st
}

// eventful sends message after message of all kinds: Starts that wait and their answers, sessions with and without
// sequence numbers, changes of state, ends, time-outs, and sessions that nothing prices.
type eventful struct {
	rnd  *rand.Rand
	at   int64
	next int
	live [40]string // transaction by charge point, "" none
	wait [40]string // message id of a Start that waits
	reg  [40]int64
	seq  int64
}

func (e *eventful) message() message {
	e.at += e.rnd.Int64N(20_000)
	if e.rnd.IntN(300) == 0 {
		e.at += 70 * minuteMs // some fall silent for too long
	}
	i := e.rnd.IntN(len(e.live))
	e.reg[i] += e.rnd.Int64N(kwh)
	e.seq++
	m := message{CP: fmt.Sprintf("CP%d", i), Conn: 1 + int32(i%2), At: e.at, Reg: e.reg[i], Seq: e.seq, Tx: e.live[i]}
	if i%3 == 0 {
		m.Seq = noSeq
	}
	switch k := e.rnd.IntN(20); {
	case e.wait[i] != "" && k < 10:
		e.next++
		e.live[i] = fmt.Sprintf("t%d", e.next)
		m.Kind, m.Tx, m.MsgID, e.wait[i] = rating.KindAnswer, e.live[i], e.wait[i], ""
	case e.live[i] == "" && i%4 == 0 || k == 0:
		e.next++
		e.wait[i] = fmt.Sprintf("m%d", e.next)
		m.Kind, m.Tx, m.MsgID = rating.KindStart, "", e.wait[i]
	case e.live[i] == "" || k == 1:
		e.next++
		e.live[i] = fmt.Sprintf("t%d", e.next)
		m.Kind, m.Tx = rating.KindStart, e.live[i]
	case k < 4:
		m.Kind, e.live[i] = rating.KindStop, ""
	case k < 8:
		m.Kind, m.State, m.Reg, m.Tx = rating.KindStatus, rating.ChargeState(1+e.rnd.IntN(4)), noReg, ""
		e.at += 20_000
	case k < 10:
		m.Kind, m.State, m.Reg = rating.KindMeter, rating.ChargeState(1+e.rnd.IntN(4)), noReg
		m.At -= e.rnd.Int64N(1_500_000) // in front of changes that are known
	default:
		m.Kind = rating.KindMeter
	}
	return m
}

// TestImage: an image that is made in steps, of any size, between messages that change everything, has the bytes of a
// copy made at once when it was begun; and it keeps them whatever happens after it is whole.
func TestImage(t *testing.T) {
	seen := snapshot.State{}
	f := func(seed uint64, step int) {
		var uids []string
		for i := range 30 { // the other ten are held
			uids = append(uids, fmt.Sprintf("CP%d", i))
		}
		b := newBare(t, Config{}, uids...)
		e := &eventful{rnd: rand.New(rand.NewPCG(seed, 7)), at: t0}
		send := func() {
			m := e.message()
			b.send(t, m.At+500, m)
			if b.block.rows > 1000 {
				b.block.reset(readings, b.nextOffset, b.bookOffset)
			}
		}
		for range 300 {
			send()
		}
		for round := range 8 {
			want := copyAtOnce(b.shard)
			seen.Sessions, seen.Windows = append(seen.Sessions, want.Sessions...), append(seen.Windows, want.Windows...)
			seen.Sheets, seen.Periods = append(seen.Sheets, want.Sheets...), append(seen.Periods, want.Periods...)
			seen.Starts, seen.Held, seen.Changes = append(seen.Starts, want.Starts...), append(seen.Held, want.Held...), append(seen.Changes, want.Changes...)
			wantBytes := snapshot.Append(nil, want)
			img := b.beginImage(&slab.ImagePools{})
			for more := true; more; more = b.stepImage(step) {
				if e.rnd.IntN(3) > 0 {
					send()
				}
				if round == 4 && e.rnd.IntN(10) == 0 { // as a new book does, between two blocks
					b.changeBook(b.bookOffset)
				}
			}
			for range e.rnd.IntN(50) {
				send()
			}
			var got bytes.Buffer
			size, sum, err := snapshot.Write(&got, img.Parts())
			if err != nil || size != int64(got.Len()) || sum != snapshot.Checksum(got.Bytes()) {
				t.Fatalf("seed %d: wrote %d bytes of %d, checksum %x, error %v", seed, size, got.Len(), sum, err)
			}
			if bytes.Equal(got.Bytes(), wantBytes) {
				continue
			}
			st, err := snapshot.Decode(got.Bytes())
			t.Fatalf("seed %d, step %d, round %d: the image is not the copy (%v): %s", seed, step, round, err, cmp.Diff(want, st, cmpopts.IgnoreUnexported(snapshot.Session{}), cmpopts.IgnoreFields(snapshot.Session{}, "Rate", "Mark", "HasChanges")))
		}
	}
	for seed := range uint64(8) {
		for _, step := range []int{1, 2, 7, 64, 1 << 20} {
			f(seed, step)
		}
	}
	for what, n := range map[string]int{"sessions": len(seen.Sessions), "sheets": len(seen.Sheets), "periods": len(seen.Periods), "windows": len(seen.Windows), "starts": len(seen.Starts), "held": len(seen.Held), "changes": len(seen.Changes)} {
		if n < 1000 {
			t.Errorf("only %d %s were in the images: they prove little", n, what)
		}
	}
}

// TestImageGivenUp: a settler that waits for an image learns that it never will be whole.
func TestImageGivenUp(t *testing.T) {
	b := newBare(t, Config{}, "CP1")
	b.each(t, startAt(minutes(0), 0, 0))
	img := b.beginImage(&slab.ImagePools{})
	done := make(chan bool)
	go func() {
		ok, err := img.await(t.Context())
		done <- ok || err != nil
	}()
	b.dropImage()
	if <-done {
		t.Error("an image that was given up is whole, or an error")
	}
}

// TestImageReusesMemory: the pieces of one image serve the next.
func TestImageReusesMemory(t *testing.T) {
	b := newBare(t, Config{}, "CP1")
	for i := range 3000 {
		b.sessions.Insert(snapshot.Key{uint64(i) << 40, 1 + uint64(i)})
	}
	pools := &slab.ImagePools{}
	image := func() {
		img := b.beginImage(pools)
		for b.stepImage(100) {
			continue
		}
		img.Free()
	}
	image()
	const size = 3000 * 512
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	image()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > size/2 {
		t.Errorf("a second image of %d bytes allocates %d", size, n)
	}
}

// BenchmarkImage is a snapshot of a shard of n sessions: what one step of the walk holds the shard up for, at most and
// on average, and what the settler does beside it.
func BenchmarkImage(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		if testing.Short() && n > 100_000 {
			continue
		}
		var f *fleet
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if f == nil {
				f = newFleet(b, n, 32_768, 5_000)
			}
			pools := &slab.ImagePools{}
			var longest, begin, walk, encode time.Duration
			var steps int64
			for b.Loop() {
				t := time.Now()
				img := f.beginImage(pools)
				begin = max(begin, time.Since(t))
				for more := true; more; steps++ {
					t := time.Now()
					more = f.stepImage(imageStep)
					d := time.Since(t)
					longest, walk = max(longest, d), walk+d
				}
				t = time.Now()
				if _, _, err := snapshot.Write(io.Discard, img.Parts()); err != nil {
					b.Fatal(err)
				}
				img.Free()
				encode += time.Since(t)
			}
			b.ReportMetric(float64(begin.Microseconds())/1e3, "begin-max-ms")
			b.ReportMetric(float64(longest.Microseconds())/1e3, "step-max-ms")
			b.ReportMetric(float64(walk.Microseconds())/1e3/float64(steps), "step-ms")
			b.ReportMetric(float64(encode.Microseconds())/1e3/float64(b.N), "encode-ms")
		})
	}
}

// BenchmarkRestore is what a recovery does with the bytes of a snapshot of n sessions.
func BenchmarkRestore(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		if testing.Short() && n > 100_000 {
			continue
		}
		var f *fleet
		var encoded []byte
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if f == nil {
				f = newFleet(b, n, 32_768, 5_000)
				encoded = snapshot.Append(nil, copyAtOnce(f.shard))
			}
			var decode, restore time.Duration
			b.SetBytes(int64(len(encoded)))
			b.ReportAllocs()
			for b.Loop() {
				t := time.Now()
				st, err := snapshot.Decode(encoded)
				if err != nil {
					b.Fatal(err)
				}
				decode += time.Since(t)
				t = time.Now()
				s := newShard(readings, f.cfg, f.decoders, f.ref, HashKey{1, 2, 3})
				if err := s.restore(st); err != nil {
					b.Fatal(err)
				}
				restore += time.Since(t)
			}
			b.ReportMetric(float64(decode.Milliseconds())/float64(b.N), "decode-ms")
			b.ReportMetric(float64(restore.Milliseconds())/float64(b.N), "restore-ms")
			b.ReportMetric(float64(len(encoded))/float64(n), "B/session")
		})
	}
}
