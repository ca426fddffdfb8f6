package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// TestKeyGolden is the table of docs/formats/identity.md: a session's id is for ever.
func TestKeyGolden(t *testing.T) {
	var key HashKey
	for i := range key {
		key[i] = byte(i)
	}
	h := newHasher(key)
	f := func(chargePoint string, connector int32, transaction, want string) {
		t.Helper()
		if k := h.key([]byte(chargePoint), connector, []byte(transaction)); fmt.Sprintf("%016x%016x", k[0], k[1]) != strings.ReplaceAll(want, "-", "") {
			t.Errorf("%q, %d, %q: %x, want %s", chargePoint, connector, transaction, k, want)
		}
	}
	f("CP1", 1, "7", "b09d94a8-0e22-d2ef-e9b8-632d0473a86e")
	f("CP1", 2, "7", "48cad7f0-10ff-b292-b8f5-627451be104f")
	f("CP1", 1, "8", "37bbf11f-4800-ea02-e583-4f846fdadaca")
	f("", 0, "", "cc29fb86-2cce-e81f-73c8-1cb2ae15ddfc")
	f(strings.Repeat("c", MaxChargePoint), 1<<31-1, strings.Repeat("t", snapshot.MaxTransaction), "9a48cb88-b643-41c5-8039-b23a7bff3c9e")
	f("CP1", -1, "m1", "377ba8cc-d51b-160e-6759-292a204d42fd")
}

// TestKeyTellsFieldsApart: the same bytes, cut elsewhere, are another session.
func TestKeyTellsFieldsApart(t *testing.T) {
	h := newHasher(HashKey{9})
	seen := map[snapshot.Key]string{}
	put := func(cp string, connector int32, tx string) {
		what := fmt.Sprintf("%q %d %q", cp, connector, tx)
		k := h.key([]byte(cp), connector, []byte(tx))
		if other, ok := seen[k]; ok && other != what {
			t.Errorf("%s and %s have one key", what, other)
		}
		seen[k] = what
	}
	const bytes = "\x01\x00\x00\x00ab\x01\x00\x00\x00cd"
	for i := range len(bytes) {
		for _, connector := range []int32{0, 1, 256, -1} {
			put(bytes[:i], connector, bytes[i:])
		}
	}
	if k := newHasher(HashKey{1}); k.key([]byte("CP1"), 1, []byte("7")) == h.key([]byte("CP1"), 1, []byte("7")) {
		t.Error("two installations give a session one key")
	}
	if n := testing.AllocsPerRun(100, func() { h.key([]byte(bytes), 1, []byte(bytes)) }); n != 0 {
		t.Errorf("%v allocations a key", n)
	}
}

func TestSessionID(t *testing.T) {
	k := SessionID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	if got, want := k.String(), "01020304-0506-0708-090a-0b0c0d0e0f10"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	ss := snapshot.Session{Key: snapshot.Key{0x0102030405060708, 0x090a0b0c0d0e0f10}, FirstOffset: 42}
	if got, want := SessionID(sessionUUID(sourceOf(Partition{"readings", 3}), &ss)).String(), "01020304-0506-0708-6d80-b408c008f0bd"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	f := func(text string, want SessionID, ok bool) {
		t.Helper()
		if got, gotOK := ParseSessionID(text); got != want || gotOK != ok {
			t.Errorf("%q: %x %v", text, got, gotOK)
		}
	}
	f("01020304-0506-0708-090a-0b0c0d0e0f10", k, true)
	f("0102030405060708090A0B0C0D0E0F10", k, true)
	f("0102030405060708090a0b0c0d0e0f", SessionID{}, false)
	f("0102030405060708090a0b0c0d0e0f1011", SessionID{}, false)
	f("g1020304-0506-0708-090a-0b0c0d0e0f10", SessionID{}, false)
	f("", SessionID{}, false)
}

// TestNames: numbers are given in order of first use; a connector is found through its charge point.
func TestNames(t *testing.T) {
	b := newBare(t, testConfig())
	buf := []byte("CP1")
	one := b.connector(buf, 1)
	copy(buf, "XXX") // the caller's bytes are its own again
	two := b.connector([]byte("CP1"), 2)
	other := b.connector([]byte("CP2"), 1)
	if one != 1 || two != 2 || other != 3 {
		t.Errorf("connectors %d %d %d, want 1 2 3", one, two, other)
	}
	for i, want := range map[uint32]string{1: "CP1", 2: "CP1", 3: "CP2"} {
		c := b.connectors.At(i)
		if got := b.names.List[c.ChargePoint]; got != want || c.StatusMs != rating.Unknown {
			t.Errorf("connector %d is of %q, status at %d", i, got, c.StatusMs)
		}
	}
	if b.connector([]byte("CP1"), 1) != one || b.connector([]byte("CP1"), 2) != two || b.connectors.Len() != 4 {
		t.Error("a connector is made twice")
	}
	if _, ok := b.names.Find([]byte("XXX")); ok {
		t.Error("a name changed with the caller's bytes")
	}
	n := testing.AllocsPerRun(100, func() { b.connector([]byte("CP1"), 1) })
	if n != 0 {
		t.Errorf("%v allocations to find a connector", n)
	}
}

// TestNoteSeq: the window of sequence numbers against a set of all that was seen.
func TestNoteSeq(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		s := &shard{}
		ss := &snapshot.Session{LastSeq: rating.Unknown}
		seen, last := map[int64]bool{}, int64(0)
		at := rnd.Int64N(1000) - 500
		for i := range 400 {
			seq := at + rnd.Int64N(10)
			switch rnd.IntN(12) {
			case 0:
				seq = at - rnd.Int64N(90)
			case 1:
				seq = at + 55 + rnd.Int64N(20)
			case 2:
				seq = at + rnd.Int64N(1<<40)
			}
			want := !seen[seq] || seq < last-64 // below the window nothing is known: new
			if got := s.noteSeq(ss, seq); got != want {
				t.Fatalf("seed %d, message %d: seq %d after %d is new: %v, want %v", seed, i, seq, last, got, want)
			}
			if len(seen) == 0 || seq > last {
				last = seq
			}
			seen[seq] = true
			at = last
			if ss.LastSeq != last {
				t.Fatalf("seed %d: LastSeq %d, want %d", seed, ss.LastSeq, last)
			}
		}
	}
}

// TestNoteFingerprint: the last 64 messages are remembered, and only they.
func TestNoteFingerprint(t *testing.T) {
	s := &shard{}
	ss := &snapshot.Session{}
	r := func(i int64) *rating.Reading {
		return &rating.Reading{AtMs: t0 + i*1000, RegisterMwh: i, PowerMicroW: rating.Unknown, Seq: noSeq}
	}
	const window = int64(len(snapshot.Window{}.Seen))
	for i := range window {
		if s.noteFingerprint(ss, r(i)) {
			t.Fatalf("message %d is repeated", i)
		}
	}
	for i := range window {
		if !s.noteFingerprint(ss, r(i)) {
			t.Fatalf("message %d is not known", i)
		}
	}
	if s.noteFingerprint(ss, r(window)) || s.noteFingerprint(ss, r(0)) || s.noteFingerprint(ss, r(1)) {
		t.Error("what the window lost is repeated")
	}
	if !s.noteFingerprint(ss, r(window)) || !s.noteFingerprint(ss, r(3)) {
		t.Error("what the window has is new")
	}
	// Another session has a window of its own; one that ended gives its window, empty, to the next.
	other := &snapshot.Session{}
	if s.noteFingerprint(other, r(window)) || other.Window == ss.Window {
		t.Error("two sessions share a window")
	}
	s.windows.Free(ss.Window - 1)
	next := &snapshot.Session{}
	if s.noteFingerprint(next, r(window)) || next.Window != ss.Window || s.windows.Len() != 2 {
		t.Errorf("a freed window is not used, empty: window %d of %d", next.Window, s.windows.Len())
	}
}
