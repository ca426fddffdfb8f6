package sample

import (
	"errors"
	"slices"
	"testing"

	"github.com/wattline/wattline/engine"
)

// Make holds every session to the oracle itself (E2). Made again, the first blocks are the same (E1).
func TestMake(t *testing.T) {
	var checksums []uint64
	s, err := Make(t.Context(), func(b *engine.Block) error {
		checksums = append(checksums, b.Row.Checksum)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", s)
	if s.Proven < 1400 || s.Rejects != 2 || s.Blocks != int64(len(checksums)) {
		t.Errorf("%+v", s)
	}
	enough := errors.New("enough")
	var again []uint64
	_, err = Make(t.Context(), func(b *engine.Block) error {
		if again = append(again, b.Row.Checksum); len(again) == 5 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || !slices.Equal(again, checksums[:5]) {
		t.Errorf("%v: blocks %x, and before %x", err, again, checksums[:5])
	}
}

// A session that does not cost what it should is told (E2).
func TestProveFails(t *testing.T) {
	m, err := newMaker(t.Context(), func(*engine.Block) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := m.prove(); !errors.Is(err, ErrTruth) {
		t.Errorf("nothing was rated, and prove says %v", err)
	}
}
