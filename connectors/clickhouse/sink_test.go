package clickhouse

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/rating"
)

func TestInsertReadBack(t *testing.T) {
	s := newStore(t)
	f := func(name string, in *engine.Insert, want engine.Sums) {
		t.Helper()
		if got := readBack(t, s, in); got != (engine.Sums{}) {
			t.Errorf("%s: before the insert: %+v", name, got)
		}
		mustInsert(t, s, in)
		if diff := cmp.Diff(want, readBack(t, s, in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		other := *in
		other.First++
		if got := readBack(t, s, &other); got != (engine.Sums{}) {
			t.Errorf("%s: another block has its sums: %+v", name, got)
		}
		other = *in
		if other.Month++; in.Month > 0 {
			if got := readBack(t, s, &other); got != (engine.Sums{}) {
				t.Errorf("%s: another month has its sums: %+v", name, got)
			}
		}
	}
	charges, sessions := makeCharges(5000, 100, 1), makeSessions(700, 100)
	f("charges", insertOf(100, charges), charges.Sums())
	f("sessions", insertOf(100, sessions), sessions.Sums())
	f("blocks", insertOf(100, &engine.BlockRow{Partition: testPartition, First: 100, Last: 200}), engine.Sums{Rows: 1})
}

// All values arrive as they were sent, also the ones at the edges.
func TestValues(t *testing.T) {
	s := newStore(t)
	charges := makeCharges(30, 1, 2)
	c := &charges.Charge[4]
	*c = rating.Charge{
		PeriodStartMs: november, FromMs: november + 1, ToMs: november + 2, EnergyMwh: 1<<63 - 1, DurationMs: -1 << 62,
		ExclMicros: 99, ExclUnknown: true, InclMicros: -1 << 63, PriceNano: -5, Period: 1<<32 - 1, VAT: rating.NoVAT,
		Element: rating.NoElement, Component: -1, Kind: rating.ChargeExpiry, Split: rating.SplitState,
	}
	charges.Location[4] = "it's \\ \"new\"\n\x00é"
	charges.Line[4] = 65535
	mustInsert(t, s, insertOf(1, charges))
	got := text(t, s, `SELECT concat_ws('|', line, toString(session_id), charge_point, connector, location = 'it\'s \\ "new"\n\0é', kind, dimension, split,
		element, component, interpolated, period, toUnixTimestamp64Milli(period_start), toUnixTimestamp64Milli(from_time), toUnixTimestamp64Milli(to_time),
		energy_mwh, duration_ms, isNull(excl_micros), incl_micros, price_nano, vat_bp, topic, partition, block_first)
		FROM `+s.table("charges")+` WHERE line = 65535`)
	want := "65535|" + uuid.UUID(charges.SessionID[4]).String() + "|" + charges.ChargePoint[4] + "|2|1|expiry|NONE|state|-1|-1|false|4294967295|1793491200000|1793491200001|1793491200002|" +
		"9223372036854775807|-4611686018427387904|1|-9223372036854775808|-5|-1|wattline.readings|3|1"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTokens(t *testing.T) {
	s := newStore(t)
	rows := makeCharges(300, 1, 3)
	in := insertOf(1, rows)
	one, two := rows.Sums(), rows.Sums()
	two.Rows, two.EnergyMwh, two.DurationMs = 2*one.Rows, 2*one.EnergyMwh, 2*one.DurationMs
	two.ExclMicros, two.InclMicros, two.Versions = 2*one.ExclMicros, 2*one.InclMicros, 2*one.Versions
	f := func(token string, want engine.Sums) {
		t.Helper()
		in.Token = token
		mustInsert(t, s, in)
		if diff := cmp.Diff(want, readBack(t, s, in)); diff != "" {
			t.Errorf("after token %s (-want +got):\n%s", token, diff)
		}
	}
	f("a", one)
	f("a", one)
	f("a#2", two)
	f("a#2", two)
	f("a", two)
}

// C4: what a block brought can be read back after merges have dropped its versions, and after inserts that had
// several versions of one session.
func TestReadBackOutlivesMerge(t *testing.T) {
	s := newStore(t)
	twice := makeSessions(50, 10)
	for i := range twice.SessionID {
		twice.SessionID[i] = sessionID(i / 2)
		twice.StartMs[i] = november
	}
	want := map[int64]engine.Sums{}
	for first, rows := range map[int64]*engine.SessionRows{10: twice, 100: makeSessions(40, 100), 200: makeSessions(20, 200)} {
		mustInsert(t, s, insertOf(first, rows))
		want[first] = rows.Sums()
	}
	if err := s.exec(t.Context(), "OPTIMIZE TABLE "+s.table("sessions")+" FINAL"); err != nil {
		t.Fatal(err)
	}
	if n := text(t, s, "SELECT toString(count()) FROM (SELECT * FROM "+s.table("sessions")+") SETTINGS optimize_use_projections = 0"); n != "40" {
		t.Fatalf("%s rows after the merge, want 40: this test shows nothing", n)
	}
	for first, sums := range want {
		if diff := cmp.Diff(sums, readBack(t, s, insertOf(first, twice))); diff != "" {
			t.Errorf("block %d (-want +got):\n%s", first, diff)
		}
	}
}

func TestTwoMonthsRefused(t *testing.T) {
	s := newStore(t)
	rows := makeCharges(6, 1, 4)
	rows.Charge[5].FromMs += 40 * 86_400_000
	in := insertOf(1, rows)
	if err := s.Insert(t.Context(), in); err == nil {
		t.Error("rows of two months were taken under one token")
	}
	if got := readBack(t, s, in); got != (engine.Sums{}) {
		t.Errorf("refused, yet there: %+v", got)
	}
}

func TestRaggedRefused(t *testing.T) {
	s := newStore(t)
	rows := makeCharges(6, 1, 5)
	rows.Location = rows.Location[:5]
	if err := s.Insert(t.Context(), insertOf(1, rows)); err == nil {
		t.Error("a batch with a short column was taken")
	}
}

func TestLastBlock(t *testing.T) {
	s := newStore(t)
	if _, ok, err := s.LastBlock(t.Context(), testPartition); ok || err != nil {
		t.Fatalf("empty table: ok %v, err %v", ok, err)
	}
	var want engine.BlockRow
	for i := range int64(3) {
		want = engine.BlockRow{
			Partition: testPartition, First: i * 100, Last: i*100 + 99, Readings: 1, Rejects: 2,
			Charges:    engine.Sums{Rows: 3, EnergyMwh: 4, DurationMs: 5, ExclMicros: -6, InclMicros: 7, Versions: -1 << 63},
			Sessions:   engine.Sums{Rows: 9, EnergyMwh: 10, DurationMs: 11, ExclMicros: 12, InclMicros: 13, Versions: 1<<63 - 1},
			BookOffset: 15, RatingVersion: 16, Checksum: 1<<64 - 1, WatermarkMs: rating.Unknown, EngineID: "engine-1",
		}
		mustInsert(t, s, insertOf(want.First, &want))
	}
	other := want
	other.Partition.Number, other.First = 4, 10_000
	in := insertOf(other.First, &other)
	in.Partition = other.Partition
	mustInsert(t, s, in)
	got, ok, err := s.LastBlock(t.Context(), testPartition)
	if !ok || err != nil {
		t.Fatalf("ok %v, err %v", ok, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestQuiesce(t *testing.T) {
	s := newStore(t)
	if err := s.Quiesce(t.Context(), "wl-none-"); err != nil {
		t.Fatal(err)
	}
	// An insert that takes for ever, as one that hangs on a disk would.
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		done <- s.conn.Exec(queryCtx(ctx, "wl-abc-1"), "INSERT INTO "+s.table("blocks")+
			" (topic, block_first) SELECT 'x', number + sleepEachRow(0.05) FROM numbers(1000) SETTINGS max_block_size = 1")
	}()
	deadline := time.Now().Add(20 * time.Second)
	for text(t, s, "SELECT toString(count()) FROM system.processes WHERE Settings['log_comment'] = 'wl-abc-1' OR query_id = 'wl-abc-1'") == "0" {
		if time.Now().After(deadline) {
			t.Fatal("the insert did not start")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := s.Quiesce(t.Context(), "wl-abd-"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("another prefix ended it: %v", err)
	default:
	}
	if err := s.Quiesce(t.Context(), "wl-abc-"); err != nil {
		t.Fatal(err)
	}
	if n := text(t, s, "SELECT toString(count()) FROM system.processes WHERE Settings['log_comment'] = 'wl-abc-1' OR query_id = 'wl-abc-1'"); n != "0" {
		t.Errorf("%s queries still run", n)
	}
	if err := <-done; err == nil {
		t.Error("the killed insert said OK")
	}
}

func TestRefused(t *testing.T) {
	cfg := testConfig(t)
	s := open(t, cfg)
	f := func(what string, err error, want bool) {
		t.Helper()
		if err == nil || errors.Is(err, ErrRefused) != want {
			t.Errorf("%s: refused %v wanted, got %v", what, want, err)
		}
	}
	f("no database", s.Insert(t.Context(), insertOf(1, makeCharges(1, 1, 1))), true)
	if err := s.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	wrong := cfg
	wrong.Password = secret.New("wrong")
	_, err := Open(t.Context(), wrong)
	f("password", err, true)
	nobody := cfg
	nobody.Addrs = []string{"127.0.0.1:1"}
	_, err = Open(t.Context(), nobody)
	f("nobody listens", err, false)
	reader := cfg
	reader.User, reader.Password = "reader", secret.New(server(t).ReaderPassword())
	r := open(t, reader)
	f("reader", r.Insert(t.Context(), insertOf(1, makeCharges(1, 1, 1))), true)
	if err := s.exec(t.Context(), "ALTER TABLE "+s.table("charges")+" DROP COLUMN price SETTINGS mutations_sync = 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.exec(t.Context(), "ALTER TABLE "+s.table("charges")+" DROP COLUMN price_nano SETTINGS mutations_sync = 1"); err != nil {
		t.Fatal(err)
	}
	f("no column", s.Insert(t.Context(), insertOf(1, makeCharges(1, 1, 1))), true)
	s.cfg.InsertTimeout = time.Nanosecond
	f("no time", s.Insert(t.Context(), insertOf(1, makeCharges(1, 1, 1))), false)
}
