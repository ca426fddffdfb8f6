package engine

import (
	"bytes"
	"strings"
	"testing"

	"github.com/wattline/wattline/rating"
)

// TestPANLike: an id that may be the number of a payment card opens nothing and is in no row, state or reject; ids that
// only look long do.
func TestPANLike(t *testing.T) {
	const pan = "4111111111111111"
	f := func(rejects int, list ...message) {
		t.Helper()
		b := newBare(t, testConfig(), "CP1")
		b.each(t, list...)
		if opened := b.stats.Opened.Load(); len(b.block.Rejects) != rejects || (rejects == 0) != (opened > 0) {
			t.Errorf("%d rejects, want %d; %d sessions", len(b.block.Rejects), rejects, opened)
		}
		for _, r := range b.block.Rejects {
			if text := string(r.Key) + string(r.Value); strings.Contains(text, pan) || !strings.Contains(text, `"reason":"pan_like: `) {
				t.Error(text)
			}
		}
	}
	start, first, stop := startAt(minutes(0), 0, 0), meter(minutes(5), kwh, 1), stopAt(minutes(9), kwh, 2)
	f(3, of("CP1", pan, start, first, stop)...)
	f(3, of("CP1", "4111 1111 1111 1111", start, first, stop)...)
	f(2, of(pan, "7", start, first)...)
	f(0, of("CP1", "4111111111111112", start)...) // no valid check digit
	f(0, of("CP1", "1772000000000", start)...)
	f(0, of("CP1", "9223372036854766666", start)...)
	status := message{Kind: rating.KindStatus, CP: pan, Conn: 1, At: minutes(5), Reg: noReg, Seq: noSeq, State: rating.StateCharging}
	f(1, status)
}

// TestRejectQuotesNothing: what a decoder or a content type says of a message does not repeat it.
func TestRejectQuotesNothing(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	b.decoders = func(string, []byte) Decode { return nil }
	recs := []Record{{Offset: 0, TimestampMs: t0, Value: []byte("x"), ContentType: []byte("text/planted-token")}}
	if _, err := b.rate(&memBatch{recs: recs, next: 1}, unlimited); err != nil {
		t.Fatal(err)
	}
	if len(b.block.Rejects) != 1 || !strings.Contains(string(b.block.Rejects[0].Value), `content-type \"...\" is unknown`) {
		t.Errorf("%d rejects: %s", len(b.block.Rejects), b.block.Rejects[0].Value)
	}
}

// TestPANLikeMessageID: what pairs a Start with its answer is not an id that anybody bills by, so nothing is rejected
// for it, and the pair is found all the same; what is kept of it is short.
func TestPANLikeMessageID(t *testing.T) {
	const pan = "4111111111111111"
	b := newBare(t, testConfig(), "CP1")
	start := startAt(minutes(0), 0, noSeq)
	start.Tx, start.MsgID = "", pan
	b.each(t, start)
	if image := encode(b.shard); bytes.Contains(image, []byte(pan)) {
		t.Error("the number is in the state")
	}
	answer := message{Kind: rating.KindAnswer, CP: "CP1", Tx: "7", Conn: 1, At: minutes(1), MsgID: pan, Reg: noReg, Seq: noSeq}
	b.each(t, answer, meter(minutes(5), kwh, noSeq), stopAt(minutes(9), 2*kwh, noSeq))
	if got := b.last()["7"]; len(b.block.Rejects) != 0 || !strings.Contains(got, " 2000 Wh") {
		t.Errorf("%d rejects; %s", len(b.block.Rejects), got)
	}
}
