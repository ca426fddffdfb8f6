package analytics_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/analytics"
	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/clickhouse/embedded"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/rating"
)

// The engine takes one data directory a process, so the tests share a server; each has a database of its own.
var shared struct {
	sync.Once
	srv *embedded.Server
	dir string
	err error
	n   atomic.Int64
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.srv != nil {
		if err := shared.srv.Close(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

func start() {
	lib := os.Getenv("WATTLINE_LIBCHDB")
	if lib == "" {
		if lib, shared.err = parts.Libchdb(context.Background(), parts.Options{}); shared.err != nil {
			return
		}
	}
	if shared.dir, shared.err = os.MkdirTemp("", "wattline-analytics-"); shared.err == nil {
		shared.srv, shared.err = embedded.Start(context.Background(), embedded.Config{LibraryPath: lib, DataDir: shared.dir, Addr: "127.0.0.1:0"})
	}
}

// store is a migrated database with the views, and a way to ask it.
type store struct {
	*clickhouse.Store
	conn ch.Conn
	db   string
}

func newStore(t testing.TB) store {
	t.Helper()
	shared.Do(start)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	db := fmt.Sprintf("a%d", shared.n.Add(1))
	s, err := clickhouse.Open(t.Context(), clickhouse.Config{Addrs: []string{shared.srv.Addr()}, Password: secret.New(shared.srv.Password()), Database: db})
	if err != nil {
		t.Fatal(err)
	}
	views, err := analytics.Views()
	if err != nil {
		t.Fatal(err)
	}
	var list []clickhouse.View
	for _, v := range views {
		list = append(list, clickhouse.View(v))
	}
	for range 2 { // replacing them is the same as creating them
		if err := s.Migrate(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := ch.Open(&ch.Options{
		Addr: []string{shared.srv.Addr()}, Protocol: ch.HTTP,
		Auth: ch.Auth{Database: db, Username: "default", Password: shared.srv.Password()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = s.Close() })
	return store{Store: s, conn: conn, db: db}
}

// ask returns the rows of sql as text, cells apart by |.
func (s store) ask(t testing.TB, sql string) string {
	t.Helper()
	rows, err := s.conn.Query(t.Context(), "SELECT arrayStringConcat(arrayMap(x -> ifNull(x, 'NULL'), array(*)), '|') FROM (SELECT "+
		"* APPLY toString FROM ("+sql+"))")
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		line := ""
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// describe lists the columns and types of a table, view or (SELECT).
func (s store) describe(t testing.TB, what string) (columns []string) {
	t.Helper()
	rows, err := s.conn.Query(t.Context(), "DESCRIBE TABLE "+what)
	if err != nil {
		t.Fatalf("describe %s: %v", what, err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, typ, rest string
		if err := rows.Scan(&name, &typ, &rest, &rest, &rest, &rest, &rest); err != nil {
			t.Fatal(err)
		}
		columns = append(columns, name+" "+typ)
	}
	if err := rows.Err(); err != nil || len(columns) == 0 {
		t.Fatalf("describe %s: %d columns, %v", what, len(columns), err)
	}
	return columns
}

func (s store) insert(t testing.TB, first int64, rows any) {
	t.Helper()
	in := &engine.Insert{Partition: engine.Partition{Topic: "readings", Number: 1}, First: first, QueryID: fmt.Sprintf("q-%s-%d-%T", s.db, first, rows)}
	switch r := rows.(type) {
	case *engine.ChargeRows:
		in.Table, in.Charges, in.Month = engine.TableCharges, r, r.Month
	case *engine.SessionRows:
		in.Table, in.Sessions, in.Month = engine.TableSessions, r, r.Month
	case *engine.BlockRow:
		in.Table, in.Block = engine.TableBlocks, r
	}
	in.Token = in.QueryID
	if err := s.Insert(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func id(b byte) [16]byte { return [16]byte{0: b, 15: 1} }

const uuid7, uuid8, uuid9 = "07000000-0000-0000-0000-000000000001", "08000000-0000-0000-0000-000000000001", "09000000-0000-0000-0000-000000000001"

func ms(hour, minute int) int64 {
	return time.Date(2026, 7, 1, hour, minute, 0, 0, time.UTC).UnixMilli()
}

// charge adds a row of session b at site to rows.
func charge(rows *engine.ChargeRows, b byte, site string, c rating.Charge) {
	rows.Month = 202607
	rows.Position = append(rows.Position, int64(len(rows.Position))<<16)
	rows.Line = append(rows.Line, 0)
	rows.SessionID = append(rows.SessionID, id(b))
	rows.ChargePoint = append(rows.ChargePoint, "cp"+site)
	rows.Connector = append(rows.Connector, 1)
	rows.Location = append(rows.Location, site)
	rows.Tariff = append(rows.Tariff, "T")
	rows.Currency = append(rows.Currency, "EUR")
	rows.Tier = append(rows.Tier, "member")
	rows.Charge = append(rows.Charge, c)
}

// day is a morning at two sites: session 7 charges over an hour's end, then parks; it pays a minimum. Session 8 is at
// another site, with an amount whose net is unknown.
func day() *engine.ChargeRows {
	rows := &engine.ChargeRows{}
	energy := rating.Charge{
		HasDimension: true, Dimension: rating.Energy, PeriodStartMs: ms(9, 30), FromMs: ms(9, 30), ToMs: ms(10, 0),
		EnergyMwh: 5_000_000, ExclMicros: 1_000_000, InclMicros: 1_210_000, VAT: 2100, Interpolated: true,
	}
	charge(rows, 7, "A", energy)
	energy.FromMs, energy.ToMs, energy.EnergyMwh, energy.Interpolated = ms(10, 0), ms(10, 15), 2_500_001, false
	energy.ExclMicros, energy.InclMicros = 500_001, 605_001
	charge(rows, 7, "A", energy)
	charge(rows, 7, "A", rating.Charge{
		HasDimension: true, Dimension: rating.Time, PeriodStartMs: ms(9, 30), FromMs: ms(10, 0), ToMs: ms(10, 15), DurationMs: 900_000, Element: rating.NoElement,
	})
	charge(rows, 7, "A", rating.Charge{
		HasDimension: true, Dimension: rating.ParkingTime, Period: 1, Split: rating.SplitState, PeriodStartMs: ms(10, 15), FromMs: ms(10, 15),
		ToMs: ms(10, 30), DurationMs: 900_500, ExclMicros: 10, InclMicros: 12, Element: 2,
	})
	charge(rows, 7, "A", rating.Charge{
		HasDimension: true, Dimension: rating.Energy, Kind: rating.ChargeStep, Period: 1, PeriodStartMs: ms(10, 15), FromMs: ms(10, 15), ToMs: ms(10, 30),
		EnergyMwh: 499_999, ExclMicros: 5, InclMicros: 6,
	})
	charge(rows, 7, "A", rating.Charge{
		Kind: rating.ChargeMin, Period: 1, PeriodStartMs: ms(10, 15), FromMs: ms(10, 30), ToMs: ms(10, 30), ExclMicros: 100_000, InclMicros: 121_000, Element: rating.NoElement,
	})
	charge(rows, 8, "B", rating.Charge{
		HasDimension: true, Dimension: rating.Energy, PeriodStartMs: ms(9, 0), FromMs: ms(9, 0), ToMs: ms(9, 15), EnergyMwh: 1_000_000, InclMicros: 333_333, ExclUnknown: true,
	})
	return rows
}

// version adds a version of session b.
func version(rows *engine.SessionRows, b byte, v int64, status engine.SessionStatus, zone string, incl int64) {
	rows.Month = 202607
	rows.Version = append(rows.Version, v)
	rows.SessionID = append(rows.SessionID, id(b))
	rows.ChargePoint = append(rows.ChargePoint, "cp")
	rows.Connector = append(rows.Connector, 2)
	rows.Transaction = append(rows.Transaction, "tx")
	rows.Location, rows.Tariff, rows.Currency = append(rows.Location, "A"), append(rows.Tariff, "T"), append(rows.Currency, "EUR")
	rows.TariffFrom, rows.Zone, rows.Status = append(rows.TariffFrom, 1), append(rows.Zone, zone), append(rows.Status, status)
	rows.Pseudonym, rows.TokenKey = append(rows.Pseudonym, [16]byte{b}), append(rows.TokenKey, uint32(b))
	rows.Contract, rows.Tier = append(rows.Contract, "C"), append(rows.Tier, "member")
	rows.StartMs, rows.LastMs = append(rows.StartMs, ms(9, 30)), append(rows.LastMs, ms(9, 30)+v)
	rows.StartMwh, rows.LastMwh = append(rows.StartMwh, 0), append(rows.LastMwh, v)
	rows.Total = append(rows.Total, rating.Total{EnergyMwh: v, InclMicros: incl, ExclMicros: incl - 1, ExclUnknown: b == 8, ChargingMs: 1500, ParkingMs: 2, ReservationMs: 3})
	rows.AccruedExcl, rows.AccruedIncl = append(rows.AccruedExcl, 0), append(rows.AccruedIncl, 0)
	rows.Flags, rows.Readings = append(rows.Flags, engine.FlagLate), append(rows.Readings, 5)
	rows.HeldReason, rows.FirstOffset = append(rows.HeldReason, ""), append(rows.FirstOffset, 1)
}

func TestViews(t *testing.T) {
	s := newStore(t)
	s.insert(t, 1, day())
	first, second := &engine.SessionRows{}, &engine.SessionRows{}
	version(first, 7, 1000, engine.StatusActive, "Europe/Amsterdam", 1_210_000)
	version(first, 7, 3000, engine.StatusCompleted, "Europe/Amsterdam", 1_936_019) // two of one session in one insert
	version(first, 8, 1000, engine.StatusReserved, "", 0)
	version(second, 8, 2000, engine.StatusActive, "Asia/Kolkata", 333_333)
	version(second, 7, 2000, engine.StatusActive, "Europe/Amsterdam", 9_999_999) // older than what is there
	version(second, 9, 500, engine.StatusHeld, "", 0)
	s.insert(t, 1, first)
	s.insert(t, 2, second)
	for i := range int64(2) {
		s.insert(t, i+1, &engine.BlockRow{
			Partition: engine.Partition{Topic: "readings", Number: 1}, First: i * 10, Last: i*10 + 9, Readings: 100, Rejects: i, WatermarkMs: ms(10, 30) + i,
		})
	}
	f := func(sql, want string) {
		t.Helper()
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(s.ask(t, sql), "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sql, diff)
		}
	}
	f("SELECT session_id, status, start_local, last_time, energy_kwh, charging_s, excl, incl, flags FROM sessions_latest ORDER BY session_id",
		uuid7+"|COMPLETED|2026-07-01 11:30:00|2026-07-01 09:30:03.000|0.003|1.5|1.936018|1.936019|['late']\n"+
			uuid8+"|ACTIVE|2026-07-01 15:00:00|2026-07-01 09:30:02.000|0.002|1.5|NULL|0.333333|['late']\n"+
			uuid9+"|HELD|NULL|2026-07-01 09:30:00.500|0.0005|1.5|-0.000001|0|['late']")
	f("SELECT session_id, status, incl FROM live_sessions ORDER BY session_id", uuid8+"|ACTIVE|0.333333\n"+uuid9+"|HELD|0")
	f("SELECT session_id, period, location, start_time, end_time, split, energy_kwh, charging_s, parking_s, elements, interpolated, excl, incl, settlement_incl, rows "+
		"FROM charging_periods ORDER BY session_id, period",
		uuid7+"|0|A|2026-07-01 09:30:00.000|2026-07-01 10:15:00.000|start|7.500001|900|0|[0]|true|1.500001|1.815001|0|3\n"+
			uuid7+"|1|A|2026-07-01 10:15:00.000|2026-07-01 10:30:00.000|state|0|0|900.5|[0,2]|false|0.100015|0.121018|0.121006|3\n"+
			uuid8+"|0|B|2026-07-01 09:00:00.000|2026-07-01 09:15:00.000|start|1|0|0|[0]|false|NULL|0.333333|0|1")
	const to = "2026-07-01 10:30:00.001" // the watermark of the only partition
	f("SELECT * FROM revenue_by_hour ORDER BY hour, location, dimension, kind",
		"2026-07-01 09:00:00|A|EUR|ENERGY|usage|1|5|0|1|1.21|"+to+"\n"+
			"2026-07-01 09:00:00|B|EUR|ENERGY|usage|1|1|0|NULL|0.333333|"+to+"\n"+
			"2026-07-01 10:00:00|A|EUR|ENERGY|usage|1|2.500001|0|0.500001|0.605001|"+to+"\n"+
			"2026-07-01 10:00:00|A|EUR|ENERGY|step|1|0.499999|0|0.000005|0.000006|"+to+"\n"+
			"2026-07-01 10:00:00|A|EUR|TIME|usage|1|0|900|0|0|"+to+"\n"+
			"2026-07-01 10:00:00|A|EUR|PARKING_TIME|usage|1|0|900.5|0.00001|0.000012|"+to+"\n"+
			"2026-07-01 10:00:00|A|EUR|NONE|min|1|0|0|0.1|0.121|"+to)
	f("SELECT * FROM energy_by_site ORDER BY hour, location",
		"2026-07-01 09:00:00|A|5|0|0|"+to+"\n2026-07-01 09:00:00|B|1|0|0|"+to+"\n2026-07-01 10:00:00|A|2.500001|900|900.5|"+to)
	f("SELECT hour, hour_local, location, tariff, currency, dimension, kind, element, component, price, vat_percent, rows, energy_kwh, billed_kwh, billed_s, excl, incl "+
		"FROM earned_by_component WHERE hour >= '2026-07-01 10:00:00' ORDER BY hour, dimension, kind",
		"2026-07-01 10:00:00|2026-07-01 12:00:00|A|T|EUR|ENERGY|usage|0|0|0|21|1|2.500001|2.500001|0|0.500001|0.605001\n"+
			"2026-07-01 10:00:00|2026-07-01 12:00:00|A|T|EUR|ENERGY|step|0|0|0|0|1|0|0.499999|0|0.000005|0.000006\n"+
			"2026-07-01 10:00:00|2026-07-01 12:00:00|A|T|EUR|TIME|usage|-1|0|0|0|1|0|0|900|0|0\n"+
			"2026-07-01 10:00:00|2026-07-01 12:00:00|A|T|EUR|PARKING_TIME|usage|2|0|0|0|1|0|0|900.5|0.00001|0.000012\n"+
			"2026-07-01 10:00:00|2026-07-01 12:00:00|A|T|EUR|NONE|min|-1|0|0|0|1|0|0|0|0.1|0.121")
	// B is at no place that a session has named: its hours are those of UTC.
	f("SELECT hour_local FROM earned_by_component WHERE location = 'B'", "2026-07-01 09:00:00")
	f("SELECT location, zone, charge_points, connectors, first_start, last_time FROM sites", "A|Europe/Amsterdam|1|1|2026-07-01 09:30:00.000|2026-07-01 09:30:03.000")
	f("SELECT topic, partition, last_offset, watermark, inserted_at > now() - 3600, delay_s = toDecimal128(dateDiff('millisecond', watermark, inserted_at), 3) / 1000, blocks, readings, rejects FROM freshness",
		"readings|1|19|2026-07-01 10:30:00.001|1|1|2|200|1")
	// A2: whatever the view, the sums are those of the ledger.
	for _, view := range []string{"charging_periods", "revenue_by_hour", "earned_by_component"} {
		f("SELECT sum(incl) FROM "+view, "2.269352")
	}
}

// complete_to is honest: the partition that is behind holds it back in every view, and only its own next block moves it.
func TestCompleteTo(t *testing.T) {
	s := newStore(t)
	s.insert(t, 1, day())
	sessions := &engine.SessionRows{}
	version(sessions, 7, 1000, engine.StatusActive, "Europe/Amsterdam", 1)
	s.insert(t, 1, sessions)
	block := func(topic string, number int32, first, watermarkMs int64) {
		s.insert(t, first, &engine.BlockRow{Partition: engine.Partition{Topic: topic, Number: number}, First: first, Last: first + 9, WatermarkMs: watermarkMs})
	}
	f := func(want string) {
		t.Helper()
		views, err := analytics.Views()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			if v.Name == "freshness" && want == never {
				continue // without blocks it has no rows
			}
			if got := s.ask(t, "SELECT DISTINCT complete_to FROM "+v.Name); got != want {
				t.Errorf("%s: complete to %s, want %s", v.Name, got, want)
			}
		}
	}
	f(never) // rows of a block that is not whole yet
	block("readings", 1, 100, ms(10, 30))
	f("2026-07-01 10:30:00.000")
	block("readings", 2, 200, ms(9, 15)) // behind
	f("2026-07-01 09:15:00.000")
	block("readings", 1, 110, ms(11, 0)) // the others go on
	block("ocpp", 1, 300, ms(12, 0))
	f("2026-07-01 09:15:00.000")
	block("readings", 2, 210, ms(10, 45))
	f("2026-07-01 10:45:00.000")
	block("readings", 2, 220, ms(11, 30))
	f("2026-07-01 11:00:00.000")
	if got := s.ask(t, "SELECT topic, partition, watermark FROM freshness ORDER BY topic, partition"); got !=
		"ocpp|1|2026-07-01 12:00:00.000\nreadings|1|2026-07-01 11:00:00.000\nreadings|2|2026-07-01 11:30:00.000" {
		t.Errorf("freshness:\n%s", got)
	}
}

const never = "1970-01-01 00:00:00.000"

// A3, and what a view declares is what its SELECT gives.
func TestViewColumns(t *testing.T) {
	s := newStore(t)
	if got := s.ask(t, "SELECT table, name FROM system.columns WHERE database = '"+s.db+"' AND comment = ''"); got != "" {
		t.Errorf("columns without comment:\n%s", got)
	}
	if got := s.ask(t, "SELECT name FROM system.tables WHERE database = '"+s.db+"' AND comment = ''"); got != "" {
		t.Errorf("tables without comment:\n%s", got)
	}
	views, err := analytics.Views()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		if strings.Contains(strings.ToLower(v.Definition), "float") {
			t.Errorf("%s: a float (A1)", v.Name)
		}
		_, sql, _ := strings.Cut(strings.ReplaceAll(v.Definition, "{{.Database}}", s.db), "\nAS ")
		if diff := cmp.Diff(s.describe(t, "("+sql+")"), s.describe(t, v.Name)); diff != "" {
			t.Errorf("%s (-SELECT +declared):\n%s", v.Name, diff)
		}
	}
}

// Views over sums are answered by the projections: that is what makes them fast.
func TestViewsUseProjections(t *testing.T) {
	s := newStore(t)
	s.insert(t, 1, day())
	s.insert(t, 1, &engine.BlockRow{Partition: engine.Partition{Topic: "readings"}, First: 1, Last: 2})
	for _, sql := range []string{
		"SELECT location, hour, sum(incl) FROM revenue_by_hour WHERE hour >= '2026-07-01 00:00:00' AND location = 'A' GROUP BY location, hour",
		"SELECT dimension, sum(incl) FROM revenue_by_hour GROUP BY dimension",
		"SELECT toDate(hour), location, sum(energy_kwh) FROM energy_by_site WHERE hour >= '2026-07-01 00:00:00' GROUP BY ALL",
		"SELECT location, sum(incl), any(complete_to) FROM revenue_by_hour GROUP BY location",
		"SELECT min(watermark) FROM freshness", "SELECT * FROM freshness",
	} {
		if err := s.conn.Exec(t.Context(), sql+" SETTINGS force_optimize_projection = 1"); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
