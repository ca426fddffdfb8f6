package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
)

// bodyOf is the body of an insert of two columns, with rows said to be n.
func bodyOf(s *Store, n int) (*nativeBody, *wire) {
	type data struct {
		ids  []int64
		text []string
	}
	d := &data{ids: []int64{1, -1}, text: []string{"é", ""}}
	list := []column[data]{
		{"id", typeInt, func(d *data) any { return d.ids }},
		{"text", typeLow, func(d *data) any { return d.text }},
	}
	w := s.wires.get()
	return &nativeBody{columns: len(list), next: -1, rows: n, add: adder(list, d, n), buf: &w.buf, pack: w.pack}, w
}

// The golden bytes are those of ClickHouse's documentation of format Native: columns and rows, then of each column
// its name, its type and its values.
func TestNativeBody(t *testing.T) {
	want := "\x02\x02" + "\x02id\x05Int64" + "\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff" + "\x04text\x06String" + "\x02\xc3\xa9\x00"
	for _, compression := range []string{compressNone, compressLZ4, compressZSTD} {
		s := &Store{wires: newWires(compression, 1)}
		for _, piece := range []int{1, 7, 4096} { // however it is read
			body, w := bodyOf(s, 2)
			var got bytes.Buffer
			if _, err := io.CopyBuffer(&got, struct{ io.Reader }{body}, make([]byte, piece)); err != nil {
				t.Fatal(err)
			}
			raw := got.Bytes()
			if compression != compressNone {
				raw = make([]byte, len(want))
				if _, err := io.ReadFull(compress.NewReader(&got), raw); err != nil {
					t.Fatal(err)
				}
				if got.Len() != 0 {
					t.Errorf("%s: %d bytes after the end", compression, got.Len())
				}
			}
			if diff := cmp.Diff(want, string(raw)); diff != "" {
				t.Errorf("%s, pieces of %d (-want +got):\n%s", compression, piece, diff)
			}
			s.wires.put(w)
		}
	}
}

// A ragged insert is an error, never a short one that ClickHouse says OK to (C3).
func TestNativeBodyRagged(t *testing.T) {
	body, _ := bodyOf(&Store{wires: newWires(compressNone, 1)}, 3)
	if _, err := io.ReadAll(body); err == nil || !strings.Contains(err.Error(), "column id has 2 values, want 3") {
		t.Errorf("3 rows of 2 values: error %v", err)
	}
}

// After detach nothing of the caller's is read any longer.
func TestNativeBodyDetach(t *testing.T) {
	body, _ := bodyOf(&Store{wires: newWires(compressNone, 1)}, 2)
	if _, err := body.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	body.detach()
	if n, err := body.Read(make([]byte, 100)); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after detach: %d bytes, error %v", n, err)
	}
}

// What goes over a network is packed; the rows are the same.
func TestInsertPacked(t *testing.T) {
	for _, compression := range []string{compressLZ4, compressZSTD} {
		cfg := testConfig(t)
		cfg.Compression = compression
		s := open(t, cfg)
		if err := s.Migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		charges := makeCharges(3000, 7, 5)
		mustInsert(t, s, insertOf(7, charges))
		if diff := cmp.Diff(charges.Sums(), readBack(t, s, insertOf(7, charges))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", compression, diff)
		}
	}
}

// Inserts at the same time share wires and scratch, and every one arrives whole, also beside ones that are given up
// while they are sent.
func TestInsertTogether(t *testing.T) {
	s := newStore(t)
	const n = 24
	rows := make([]*engine.ChargeRows, n)
	fail := make(chan error, n)
	for i := range n {
		rows[i] = makeCharges(500+100*i, 1000*i, uint64(i))
		go func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%3 == 0 {
				go cancel()
			}
			err := s.Insert(ctx, insertOf(int64(1000*i), rows[i]))
			if i%3 == 0 {
				err = nil // it may or may not have come through
			}
			fail <- err
		}()
	}
	for range n {
		if err := <-fail; err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		got, want := readBack(t, s, insertOf(int64(1000*i), rows[i])), rows[i].Sums()
		if got != want && (i%3 != 0 || got != engine.Sums{}) {
			t.Error(fmt.Sprintf("insert %d (-want +got):\n", i) + cmp.Diff(want, got))
		}
	}
}
