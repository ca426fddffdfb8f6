package identity

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wattline/wattline/engine/snapshot"
)

// TestKeyGolden is the table of docs/formats/identity.md: a session's id is for ever.
func TestKeyGolden(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	h := NewHasher(key)
	f := func(chargePoint string, connector int32, transaction, want string) {
		t.Helper()
		if k := h.Key([]byte(chargePoint), connector, []byte(transaction)); fmt.Sprintf("%016x%016x", k[0], k[1]) != strings.ReplaceAll(want, "-", "") {
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
	h := NewHasher([16]byte{9})
	seen := map[snapshot.Key]string{}
	put := func(cp string, connector int32, tx string) {
		what := fmt.Sprintf("%q %d %q", cp, connector, tx)
		k := h.Key([]byte(cp), connector, []byte(tx))
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
	if k := NewHasher([16]byte{1}); k.Key([]byte("CP1"), 1, []byte("7")) == h.Key([]byte("CP1"), 1, []byte("7")) {
		t.Error("two installations give a session one key")
	}
	if n := testing.AllocsPerRun(100, func() { h.Key([]byte(bytes), 1, []byte(bytes)) }); n != 0 {
		t.Errorf("%v allocations a key", n)
	}
}

func TestSessionID(t *testing.T) {
	k := SessionID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	if got, want := k.String(), "01020304-0506-0708-090a-0b0c0d0e0f10"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	ss := snapshot.Session{Key: snapshot.Key{0x0102030405060708, 0x090a0b0c0d0e0f10}, FirstOffset: 42}
	if got, want := Of(SourceOf("readings/3"), &ss).String(), "01020304-0506-0708-6d80-b408c008f0bd"; got != want {
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
