package engine

import (
	"testing"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

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
