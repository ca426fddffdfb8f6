package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
)

// coarse is m of a charger whose register has no decimals of a kilowatt-hour.
func coarse(m message) message {
	m.Res = kwh
	return m
}

// TestLowRegistersOutOfOrder: a register that waits (glitch or reset?) has a time, too; what proves it a reset may
// come with an earlier one. No input makes the pricer go back.
func TestLowRegistersOutOfOrder(t *testing.T) {
	f := func(name, want string, ms ...message) {
		t.Helper()
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("%s: the engine would die of it, at every start again: %v", name, p)
			}
		}()
		b := newBare(t, testConfig(), "CP1")
		for _, m := range ms {
			b.send(t, minutes(60), m)
		}
		if got := b.last()["7"]; !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	start, five := startAt(minutes(0), 1000*kwh, noSeq), meter(minutes(10), 1005*kwh, noSeq)
	f("in order", ", 8000 Wh, ",
		start, five, meter(minutes(20), 0, noSeq), meter(minutes(30), kwh, noSeq), stopAt(minutes(40), 3*kwh, noSeq))
	f("the second low value was measured first", ", 8000 Wh, ",
		start, five, meter(minutes(20), 0, noSeq), meter(minutes(15), kwh, noSeq), stopAt(minutes(40), 3*kwh, noSeq))
	f("the Stop was stamped before the low value", ", 8000 Wh, ",
		start, five, meter(minutes(20), 0, noSeq), stopAt(minutes(18), 3*kwh, noSeq))
	f("a value within the resolution between the two", ", 8000 Wh, ",
		start, five, meter(minutes(20), 0, noSeq), coarse(meter(minutes(25), 1004*kwh+kwh/2, noSeq)),
		meter(minutes(30), 0, noSeq), stopAt(minutes(40), 3*kwh, noSeq))
}

// TestGlitchThenResolution: what waits is forgotten once the register is back, be it only within its resolution.
func TestGlitchThenResolution(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	b.each(t, startAt(minutes(0), 1000*kwh, noSeq), meter(minutes(10), 1005*kwh, noSeq),
		meter(minutes(20), 0, noSeq), coarse(meter(minutes(25), 1004*kwh+kwh/2, noSeq)), // a glitch, and back
		meter(minutes(30), 3*kwh, noSeq), // another glitch
		meter(minutes(35), 1006*kwh, noSeq), stopAt(minutes(40), 1007*kwh, noSeq))
	if diff := cmp.Diff(map[string]string{"7": "status 3, 7000 Wh, 7 readings, flags [glitch resolution]"}, b.last()); diff != "" {
		t.Error(diff)
	}
}

func pending(id string, at, reg int64) message {
	m := startAt(at, reg, noSeq)
	m.Tx, m.MsgID = "", id
	return m
}

func answered(id, tx string) message {
	return message{Kind: rating.KindAnswer, CP: "CP1", Tx: tx, MsgID: id, At: noReg, Reg: noReg, Seq: noSeq}
}

// TestStartSentTwice: a Start that was repeated under another message id because its answer was lost opens one
// session, not a second one a day later.
func TestStartSentTwice(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	tx := func(id string, m message) message { m.Tx = id; return m }
	b.each(t, pending("m1", minutes(0), 1000*kwh), pending("m2", minutes(0), 1000*kwh))
	b.send(t, minutes(1), answered("m2", "5"))
	b.each(t, tx("5", meter(minutes(10), 1001*kwh, noSeq)), tx("5", stopAt(minutes(20), 1002*kwh, noSeq)))
	// The next session's Start is lost.
	b.each(t, tx("6", meter(minutes(100), 1003*kwh, noSeq)), tx("6", stopAt(minutes(120), 1006*kwh, noSeq)))
	want := map[string]string{"5": "status 3, 2000 Wh, 3 readings, flags []", "6": "status 3, 3000 Wh, 2 readings, flags [no_start]"}
	if diff := cmp.Diff(want, b.last()); diff != "" {
		t.Error(diff)
	}
}

// TestPendingStartOfBadClock: a Start of a charger whose clock was never set, and a meter reading once it was. One
// reading may not make more rows than a source position has lines.
func TestPendingStartOfBadClock(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	old := minAtMs + int64(minuteMs)
	b.send(t, minutes(0), pending("m1", old, 0))
	rec := b.record(minutes(1), meter(minutes(1), kwh, noSeq))
	if _, err := b.rate(&memBatch{recs: []Record{rec}, next: rec.Offset + 1}, unlimited); err != nil {
		t.Fatal(err)
	}
	if n := b.block.rows; n > MaxReadings {
		t.Errorf("%d rows of one reading", n)
	}
}

// TestClockAheadOnce: one session with a clock that is a day ahead does not cost the sessions after it.
func TestClockAheadOnce(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	ahead := int64(20 * 60)
	b.send(t, minutes(0), startAt(minutes(ahead), 0, 0))
	b.send(t, minutes(10), stopAt(minutes(ahead+10), kwh, 1))
	b.each(t, of("CP1", "8", startAt(minutes(30), kwh, 0), stopAt(minutes(60), 5*kwh, 1))...)
	want := map[string]string{"7": "status 3, 1000 Wh, 2 readings, flags [clock]", "8": "status 3, 4000 Wh, 2 readings, flags []"}
	if diff := cmp.Diff(want, b.last()); diff != "" {
		t.Errorf("%s\n%d rejects", diff, len(b.block.Rejects))
	}
}

// TestStopWithoutRegisterAfterEndValue: the last value is the end (TARIFF-RULES 5.2), and a Transaction.End value is
// one.
func TestStopWithoutRegisterAfterEndValue(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	end := meter(minutes(20), 1004*kwh, noSeq)
	end.Context = rating.ContextEnd
	b.each(t, startAt(minutes(0), 1000*kwh, noSeq), meter(minutes(10), 1002*kwh, noSeq), end, stopAt(minutes(20), noReg, noSeq))
	if got := b.last()["7"]; !strings.Contains(got, " 4000 Wh") {
		t.Errorf("want 4000 Wh, the End value: %s", got)
	}
}

// TestRejectsFillABlock: messages that nobody can decode take memory, as rows do; a block is bounded all the same.
func TestRejectsFillABlock(t *testing.T) {
	cfg := testConfig()
	cfg.BlockRows = 100
	b := newBare(t, cfg, "CP1")
	var recs []Record
	for i := range int64(10_000) {
		recs = append(recs, Record{Offset: i, TimestampMs: t0, Value: []byte("garbage")})
	}
	batch := &memBatch{recs: recs, next: int64(len(recs))}
	if _, err := b.rate(batch, unlimited); err != nil {
		t.Fatal(err)
	}
	if n := len(b.block.Rejects); n > cfg.BlockRows+chunk {
		t.Errorf("a block of at most %d rows has %d rejects", cfg.BlockRows, n)
	}
}

// TestManyReleasedAtOnce: a new book prices so many held sessions that the block is full before it has a message. It
// must take one, or the partition stands still for ever.
func TestManyReleasedAtOnce(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	for i := range 100 {
		b.each(t, of("CP9", fmt.Sprint(i), startAt(minutes(int64(i)), 0, 0), stopAt(minutes(int64(i))+30_000, kwh, 1))...)
	}
	b.w.publish(&b.refs, ReferenceRecord{
		LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L2"}, Location: testLocation("L2", "T1", "CP9"),
	})
	if err := b.ref.Follow(context.Background(), b.w, "wattline.reference"); err != nil {
		t.Fatal(err)
	}
	b.block.reset(readings, b.nextOffset, b.bookOffset)
	b.cfg.BlockRows = 100
	b.changeBook(b.ref.Next())
	if b.block.rows < b.cfg.BlockRows {
		t.Fatalf("%d rows: not the case that is tested", b.block.rows)
	}
	before := b.nextOffset
	rec := b.record(minutes(200), meter(minutes(200), kwh, 2))
	if _, err := b.rate(&memBatch{recs: []Record{rec}, next: rec.Offset + 1}, unlimited); err != nil {
		t.Fatal(err)
	}
	if b.nextOffset == before {
		t.Errorf("the block is full at offset %d and has no message: it can not be closed, nothing goes on", before)
	}
}

// TestExpiredAfterItBegan: a reservation that was used, as a status said, does not expire: what is charged after is
// billed, also in a session that waits for its charger.
func TestExpiredAfterItBegan(t *testing.T) {
	in := func(state rating.ChargeState, m message) message { m.State = state; return m }
	b := newBare(t, testConfig(), "CP1")
	b.each(t, in(rating.StateReserved, startAt(minutes(0), 0, noSeq)),
		message{Kind: rating.KindStatus, CP: "CP1", Conn: 1, At: minutes(5), Reg: noReg, Seq: noSeq, State: rating.StateCharging},
		in(rating.StateReservationExpired, meter(minutes(10), noReg, noSeq)), meter(minutes(20), 2*kwh, noSeq), stopAt(minutes(30), 3*kwh, noSeq))
	if got := b.last()["7"]; !strings.Contains(got, " 2500 Wh") { // the first 5 minutes are of the reservation
		t.Errorf("want 2500 Wh: %s", got)
	}
}

// TestHeldIsReservedOnce: a reservation state within a session says nothing, whether its charger is known or not.
func TestHeldIsReservedOnce(t *testing.T) {
	in := func(state rating.ChargeState, m message) message { m.State = state; return m }
	run := func(known bool) string {
		uids := []string{"CP1"}
		if known {
			uids = append(uids, "CP9")
		}
		b := newBare(t, testConfig(), uids...)
		b.each(t, of("CP9", "7", in(rating.StateIdle, startAt(minutes(0), 0, noSeq)), in(rating.StateReserved, meter(minutes(10), kwh, noSeq)),
			in(rating.StateReservationExpired, meter(minutes(25), 2*kwh, noSeq)), in(rating.StateCharging, meter(minutes(20), 2*kwh, noSeq)), stopAt(minutes(30), 3*kwh, noSeq))...)
		if !known {
			b.w.publish(&b.refs, ReferenceRecord{
				LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L2"}, Location: testLocation("L2", "T1", "CP9"),
			})
			if err := b.ref.Follow(context.Background(), b.w, "wattline.reference"); err != nil {
				t.Fatal(err)
			}
			b.changeBook(b.ref.Next())
		}
		incl := int64(0)
		for i := range b.block.Charges {
			for _, c := range b.block.Charges[i].Charge {
				incl += c.InclMicros
			}
		}
		return fmt.Sprint(b.last()["7"][:17], incl)
	}
	if diff := cmp.Diff(run(true), run(false)); diff != "" {
		t.Error(diff)
	}
}
