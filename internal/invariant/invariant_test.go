package invariant

import (
	"bytes"
	"testing"
)

// panicText runs f and returns what it panicked with, nil if it did not.
func panicText(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func TestBug(t *testing.T) {
	if got := panicText(func() { Bug("slot %d of %d", 7, 5) }); got != "BUG: slot 7 of 5" {
		t.Errorf("Bug panicked with %v", got)
	}
}

func TestCheck(t *testing.T) {
	if got := panicText(func() { Check(true, "no") }); got != nil {
		t.Errorf("Check(true) panicked with %v", got)
	}
	if got := panicText(func() { Check(false, "rows are out of order") }); got != "BUG: rows are out of order" {
		t.Errorf("Check(false) panicked with %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { Check(true, "no") }); n != 0 {
		t.Errorf("Check allocates %v times", n)
	}
}

// Run with and without the tag: `go test ./internal/invariant` and `go test -tags invariants ./internal/invariant`.
func TestMangle(t *testing.T) {
	b := []byte("0123456789")
	Mangle(b[2:4])
	want := []byte("0123456789")
	if Enabled {
		want = append([]byte("01"), bytes.Repeat([]byte{0xDB}, 8)...)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("Enabled is %v: %q, want %q", Enabled, b, want)
	}
	Mangle(nil)
}
