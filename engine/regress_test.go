package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// TestSkippedOffsets: a batch may end beyond its last data record (a transaction's end, what compaction took).
func TestSkippedOffsets(t *testing.T) {
	f := func(last, nextOfBatch, wantNext int64, wantDone bool) {
		t.Helper()
		b := newBare(t, testConfig(), "CP1")
		rec := b.record(t0, startAt(t0, 0, 0))
		done, err := b.rate(&memBatch{recs: []Record{rec}, next: nextOfBatch}, last)
		if err != nil || done != wantDone || b.nextOffset != wantNext {
			t.Errorf("up to %d of a batch up to %d: done %v at %d, error %v; want %v at %d", last, nextOfBatch, done, b.nextOffset, err, wantDone, wantNext)
		}
	}
	f(unlimited, 1, 1, true)
	f(unlimited, 2, 2, true)
	f(unlimited, 100, 100, true)
	f(1, 2, 2, true)
	f(1, 100, 2, false)
	f(0, 1, 1, false) // the caller closes its block first
}

// TestStartWithoutRegister: the first value that comes is where the register began.
func TestStartWithoutRegister(t *testing.T) {
	f := func(seq func(int64) int64, want string) {
		t.Helper()
		b := newBare(t, testConfig(), "CP1")
		b.each(t, startAt(minutes(0), noReg, seq(0)), meter(minutes(10), 2*kwh, seq(1)), meter(minutes(20), 3*kwh, seq(2)), stopAt(minutes(30), 4*kwh, seq(3)))
		if diff := cmp.Diff(map[string]string{"7": want}, b.last()); diff != "" {
			t.Error(diff)
		}
	}
	f(func(int64) int64 { return noSeq }, "status 3, 2000 Wh, 4 readings, flags []")
	f(func(i int64) int64 { return i }, "status 3, 2000 Wh, 4 readings, flags []")
}

// TestStatusRepeated: a repeated message changes nothing, be it a status.
func TestStatusRepeated(t *testing.T) {
	f := func(times int, want string) {
		t.Helper()
		b := newBare(t, testConfig(), "CP1")
		st := message{Kind: rating.KindStatus, CP: "CP1", Conn: 1, At: minutes(12), Reg: noReg, Seq: noSeq, State: rating.StateIdle}
		b.each(t, startAt(minutes(0), 0, 0), meter(minutes(10), 2*kwh, 1))
		for range times {
			b.each(t, st)
		}
		b.each(t, stopAt(minutes(30), 4*kwh, 3))
		if diff := cmp.Diff(map[string]string{"7": want}, b.last()); diff != "" {
			t.Errorf("%d times: %s", times, diff)
		}
	}
	f(1, "status 3, 4000 Wh, 4 readings, flags []")
	f(3, "status 3, 4000 Wh, 4 readings, flags []")
}

// TestHeldIgnoresWhatComesAfterItsEnd: a session that waits for its charger is, once priced, what it would have
// been with the charger known from the beginning.
func TestHeldIgnoresWhatComesAfterItsEnd(t *testing.T) {
	f := func(name string, after ...message) {
		t.Helper()
		run := func(known bool) []string {
			b := newBare(t, testConfig(), "CP1")
			location := ReferenceRecord{
				LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L2"}, Location: testLocation("L2", "T1", "CP9"),
			}
			publish := func() {
				b.w.publish(&b.refs, location)
				if err := b.ref.Follow(context.Background(), b.w, "wattline.reference"); err != nil {
					t.Fatal(err)
				}
				b.changeBook(b.ref.Next())
			}
			if known {
				publish()
			}
			b.each(t, of("CP9", "7", startAt(minutes(0), 0, 0), meter(minutes(10), kwh, 1), stopAt(minutes(20), 2*kwh, 2))...)
			b.each(t, of("CP9", "7", after...)...)
			if !known {
				publish()
			}
			var out []string
			for i := range b.block.Charges {
				r := &b.block.Charges[i]
				for j := range r.Position {
					out = append(out, fmt.Sprintf("%+v", r.Charge[j]))
				}
			}
			slices.Sort(out)
			return out
		}
		if diff := cmp.Diff(run(true), run(false)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	f("nothing")
	f("a tail reading", meter(minutes(21), 3*kwh, 3))
	f("a second stop", stopAt(minutes(25), 3*kwh, 4))
	f("the stop again", stopAt(minutes(20), 2*kwh, 2))
}

// TestBlockForgetsItsPast: a block that was used before is closed to the same bytes as a new one (I1).
func TestBlockForgetsItsPast(t *testing.T) {
	july := int64(1_751_500_000_000)
	fill := func(b *Block, at ...int64) uint64 {
		b.reset(readings, 10, 1)
		for i, ms := range at {
			r := b.charges(b.month.of(ms))
			r.Position, r.Line, r.SessionID = append(r.Position, int64(i)), append(r.Line, 0), append(r.SessionID, [16]byte{})
			r.ChargePoint, r.Connector, r.Location = append(r.ChargePoint, ""), append(r.Connector, 0), append(r.Location, "")
			r.Tariff, r.Currency, r.Tier, r.Charge = append(r.Tariff, ""), append(r.Currency, ""), append(r.Tier, ""), append(r.Charge, rating.Charge{FromMs: ms})
			s := b.sessions(b.month.of(ms))
			s.grow()
			s.Version[len(s.Version)-1] = int64(i)
		}
		b.close(20, t0, "e")
		return b.Row.Checksum
	}
	used := newBlock()
	fill(used, t0, july)
	if got, want := fill(used, july, t0), fill(newBlock(), july, t0); got != want {
		t.Errorf("checksum %x of a used block, %x of a new one", got, want)
	}
	fill(used, july)
	if got, want := fill(used, t0), fill(newBlock(), t0); got != want {
		t.Errorf("checksum %x of a used block, %x of a new one: one month", got, want)
	}
}

// encode is the snapshot of s as bytes.
func encode(s *shard) []byte { return snapshot.Append(nil, copyAtOnce(s)) }

// again is a shard with the decoded snapshot of b.
func (b *bare) again(t testing.TB) *bare {
	t.Helper()
	st, err := snapshot.Decode(encode(b.shard))
	if err != nil {
		t.Fatal(err)
	}
	key, _ := b.ref.HashKey()
	n := &bare{w: b.w, refs: b.refs, shard: newShard(readings, b.cfg, b.decoders, b.ref, key)}
	n.block = newBlock()
	if err := n.restore(st); err != nil {
		t.Fatal(err)
	}
	n.block.reset(readings, n.nextOffset, n.bookOffset)
	return n
}

// TestWindowsDoNotTellTheirPast: the fingerprints' places are reused in another order after a restore. Neither
// rows nor the next snapshot may tell (I1, N1).
func TestWindowsDoNotTellTheirPast(t *testing.T) {
	live := newBare(t, testConfig(), "CP1", "CP2", "CP3", "CP4")
	for i := range 4 {
		cp := fmt.Sprintf("CP%d", i+1)
		live.each(t, of(cp, "a", startAt(minutes(0), 0, noSeq), meter(minutes(1), kwh, noSeq))...)
	}
	for _, cp := range []string{"CP2", "CP1", "CP3"} {
		live.each(t, of(cp, "a", stopAt(minutes(5), kwh, noSeq))...)
	}
	restored := live.again(t)
	for _, b := range []*bare{live, restored} {
		for _, cp := range []string{"CP3", "CP1"} {
			b.each(t, of(cp, "b", startAt(minutes(10), 0, noSeq), meter(minutes(11), kwh, noSeq))...)
		}
	}
	if !slices.Equal(encode(live.shard), encode(restored.shard)) {
		t.Error("the same state has other bytes after a restore")
	}
}

// TestTimeOutsDoNotTellTheirPast: record timestamps may go back (CreateTime); a session ends at the same record
// whether the shard was restored in between or not (I1).
func TestTimeOutsDoNotTellTheirPast(t *testing.T) {
	live := newBare(t, testConfig(), "CP1")
	live.send(t, minutes(100), startAt(minutes(40), 0, 0))
	live.send(t, minutes(50), meter(minutes(45), kwh, 1)) // an old record
	restored := live.again(t)
	tick := func(min int64) message {
		return message{Kind: rating.KindStatus, CP: "CP2", Conn: 1, At: minutes(min), Reg: noReg, Seq: noSeq}
	}
	for _, b := range []*bare{live, restored} {
		b.block.reset(readings, b.nextOffset, b.bookOffset)
		for _, min := range []int64{105, 115, 125, 165, 175} {
			b.send(t, minutes(min), tick(min))
		}
	}
	if diff := cmp.Diff(live.rows(), restored.rows()); diff != "" {
		t.Error(diff)
	}
}

// TestStartsAreForgotten: a Start whose answer never came goes after a day of the watermark, however thin the
// partition is.
func TestStartsAreForgotten(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	s := startAt(minutes(0), 0, noSeq)
	s.Tx, s.MsgID = "", "m1"
	b.each(t, s)
	for min := int64(0); min < 40*60; min += 60 { // t0 is at minute 6 of an hour
		b.send(t, minutes(min), message{Kind: rating.KindStatus, CP: "CP2", Conn: 1, At: minutes(min), Reg: noReg, Seq: noSeq})
	}
	if b.starts.Len() != 0 {
		t.Errorf("%d Starts still wait after 40 hours", b.starts.Len())
	}
}

// TestPowerTellsMessagesApart: two messages of one instant without sequence numbers, one with another power, are
// two.
func TestPowerTellsMessagesApart(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	b.each(t, startAt(minutes(0), 0, noSeq))
	ss := b.lookup(b.hash.Key([]byte("CP1"), 1, []byte("7")), noSlot)
	r := rating.Reading{AtMs: minutes(1), RegisterMwh: kwh, PowerMicroW: 1, CurrentNanoA: rating.Unknown, Seq: noSeq}
	if b.noteFingerprint(ss, &r) {
		t.Error("a new message is repeated")
	}
	r.PowerMicroW = 2
	if b.noteFingerprint(ss, &r) {
		t.Error("another power is taken for a repetition")
	}
	if !b.noteFingerprint(ss, &r) {
		t.Error("a repetition is taken for new")
	}
}

// TestRowsOfOneReadingHaveTheirOwnLines: a charger that comes back with the right year makes one long interval.
func TestRowsOfOneReadingHaveTheirOwnLines(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	b.send(t, t0, startAt(minAtMs+1, 0, 0))
	rec := b.record(t0+1000, meter(t0, 2*kwh, 1))
	if _, err := b.rate(&memBatch{recs: []Record{rec}, next: rec.Offset + 1}, unlimited); err != nil {
		t.Fatal(err)
	}
	type line struct {
		id       [16]byte
		position int64
		line     uint16
	}
	seen, doubled := map[line]bool{}, 0
	for i := range b.block.Charges {
		r := &b.block.Charges[i]
		for j := range r.Position {
			k := line{r.SessionID[j], r.Position[j], r.Line[j]}
			if seen[k] {
				doubled++
			}
			seen[k] = true
		}
	}
	if doubled > 0 {
		t.Errorf("%d of %d rows share position and line with another of their session", doubled, b.block.rows)
	}
}
