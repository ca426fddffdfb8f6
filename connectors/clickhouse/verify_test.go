package clickhouse

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
)

// ledger inserts three blocks of charges, sessions and their rows, and returns the block rows.
func ledger(t *testing.T, s *Store) (rows []engine.BlockRow) {
	for i := range 3 {
		first := int64(1000 * i)
		charges, sessions := makeCharges(3000, int(first), uint64(i)), makeSessions(500, int(first))
		row := engine.BlockRow{
			Partition: testPartition, First: first, Last: first + 999, Charges: charges.Sums(), Sessions: sessions.Sums(), EngineID: "e",
		}
		for _, r := range []any{charges, sessions, &row} {
			mustInsert(t, s, insertOf(first, r))
		}
		rows = append(rows, row)
	}
	return rows
}

func TestBlocksAndSums(t *testing.T) {
	s := newStore(t)
	want := ledger(t, s)
	if err := s.exec(t.Context(), "OPTIMIZE TABLE "+s.table("sessions")+" FINAL"); err != nil {
		t.Fatal(err)
	}
	var blocks []engine.BlockRow
	for b, err := range s.Blocks(t.Context(), testPartition) {
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	if diff := cmp.Diff(want, blocks); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
	var sums, wantSums []BlockSums
	for _, b := range want {
		wantSums = append(wantSums, BlockSums{First: b.First, Charges: b.Charges, Sessions: b.Sessions})
	}
	for b, err := range s.BlockSums(t.Context(), testPartition) {
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, b)
	}
	if diff := cmp.Diff(wantSums, sums); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	partitions, err := s.Partitions(t.Context())
	if diff := cmp.Diff([]engine.Partition{testPartition}, partitions); err != nil || diff != "" {
		t.Errorf("partitions: %v\n%s", err, diff)
	}
	n := 0
	for _, err := range s.Blocks(t.Context(), testPartition) { // the iterator may be left early
		if n++; n == 2 || err != nil {
			break
		}
	}
	s.cfg.Database = "nowhere"
	for _, err := range s.Blocks(t.Context(), testPartition) {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("no database: %v", err)
		}
	}
}

func TestSessionSums(t *testing.T) {
	s := newStore(t)
	ledger(t, s)
	want := map[[16]byte]SessionSum{}
	for i := range 3 {
		rows := makeCharges(3000, 1000*i, uint64(i))
		for j, c := range rows.Charge {
			v := want[rows.SessionID[j]]
			v.SessionID = rows.SessionID[j]
			v.Rows++
			v.BilledMwh += c.EnergyMwh
			if c.Kind == 0 {
				v.EnergyMwh += c.EnergyMwh
			}
			if c.ExclUnknown {
				v.ExclUnknown = true
			} else {
				v.ExclMicros += c.ExclMicros
			}
			v.InclMicros += c.InclMicros
			want[v.SessionID] = v
		}
	}
	collect := func(ids [][16]byte) map[[16]byte]SessionSum {
		got := map[[16]byte]SessionSum{}
		for v, err := range s.SessionSums(t.Context(), ids) {
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := got[v.SessionID]; twice {
				t.Errorf("%x twice", v.SessionID)
			}
			got[v.SessionID] = v
		}
		return got
	}
	if diff := cmp.Diff(want, collect(nil)); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	a, b, none := sessionID(3), sessionID(77), sessionID(999_999)
	if diff := cmp.Diff(map[[16]byte]SessionSum{a: want[a], b: want[b]}, collect([][16]byte{a, none, b})); diff != "" {
		t.Errorf("some (-want +got):\n%s", diff)
	}
	if got := collect([][16]byte{}); len(got) != 0 {
		t.Errorf("none: %v", got)
	}
}

func TestProjectionsEqual(t *testing.T) {
	s := newStore(t)
	ledger(t, s)
	f := func(want bool, wantDetail string) {
		t.Helper()
		equal, detail, err := s.ProjectionsEqual(t.Context())
		if err != nil || equal != want || !strings.Contains(detail, wantDetail) || want != (detail == "") {
			t.Errorf("equal %v, detail %q, err %v; want %v with %q", equal, detail, err, want, wantDetail)
		}
	}
	f(true, "")
	if n := text(t, s, "SELECT toString(count()) FROM system.projections WHERE table = 'charges' AND database = '"+s.cfg.Database+"'"); n != "4" {
		t.Fatalf("%s projections were compared, want 4", n)
	}
	// Parts without their projection are the difference that can be made by hand.
	if err := s.exec(t.Context(), "ALTER TABLE "+s.table("charges")+" CLEAR PROJECTION by_tariff SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	f(false, "projection by_tariff: ")
}

func TestAccruedEqual(t *testing.T) {
	s := newStore(t)
	charges := makeCharges(30, 1, 1)
	sessions := makeSessions(10, 1)
	for i := range sessions.SessionID {
		sessions.AccruedExcl[i], sessions.AccruedIncl[i] = 0, 0
		for j := range charges.Charge {
			if charges.SessionID[j] == sessions.SessionID[i] {
				if !charges.Charge[j].ExclUnknown {
					sessions.AccruedExcl[i] += charges.Charge[j].ExclMicros
				}
				sessions.AccruedIncl[i] += charges.Charge[j].InclMicros
			}
		}
	}
	mustInsert(t, s, insertOf(1, charges))
	mustInsert(t, s, insertOf(1, sessions))
	row := engine.BlockRow{Partition: testPartition, First: 1, Last: 9, Charges: charges.Sums(), Sessions: sessions.Sums()}
	mustInsert(t, s, insertOf(1, &row))
	if equal, detail, err := s.AccruedEqual(t.Context()); !equal || err != nil {
		t.Errorf("equal %v, detail %q, err %v", equal, detail, err)
	}
	sessions.Version[4]++
	sessions.AccruedIncl[4]++
	mustInsert(t, s, insertOf(2, sessions))
	if equal, detail, err := s.AccruedEqual(t.Context()); equal || err != nil || !strings.Contains(detail, "1 sessions differ") {
		t.Errorf("one micro too much: equal %v, detail %q, err %v", equal, detail, err)
	}
	mustInsert(t, s, insertOf(2, makeCharges(3, 1, 9)))
	if _, _, err := s.AccruedEqual(t.Context()); !errors.Is(err, ErrChanging) {
		t.Errorf("an unfinished block: %v", err)
	}
}
