package embedded

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
)

type row struct {
	ID     int64
	Offset uint64
	At     time.Time
	Name   string
	Site   string
	Hash   string
	Limit  *int64
	Kind   uint8
	Open   bool
}

const rowTable = `CREATE TABLE %s (ID Int64, Offset UInt64, At DateTime64(3, 'UTC'), Name String, Site LowCardinality(String),
	Hash FixedString(16), "Limit" Nullable(Int64), Kind UInt8, Open Bool) ENGINE = MergeTree ORDER BY ID
	SETTINGS non_replicated_deduplication_window = 1000`

func makeRows(n int) []row {
	rows := make([]row, n)
	for i := range rows {
		limit := int64(i) * 1000
		rows[i] = row{
			ID: int64(i) - 5, Offset: uint64(i) << 40, At: time.UnixMilli(1_700_000_000_000 + int64(i)).UTC(),
			Name: fmt.Sprintf("charger \x00 %d ü", i), Site: fmt.Sprintf("site-%d", i%7),
			Hash: fmt.Sprintf("%016d", i), Kind: uint8(i), Open: i%3 == 0,
		}
		if i%4 != 0 {
			rows[i].Limit = &limit
		}
	}
	return rows
}

// insertRows appends by column, as the sink does.
func insertRows(ctx context.Context, c clickhouse.Conn, table string, rows []row) error {
	b, err := c.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		return err
	}
	n := len(rows)
	id, off, at := make([]int64, n), make([]uint64, n), make([]time.Time, n)
	name, site, hash := make([]string, n), make([]string, n), make([]string, n)
	limit, kind, isOpen := make([]*int64, n), make([]uint8, n), make([]bool, n)
	for i, r := range rows {
		id[i], off[i], at[i], name[i], site[i], hash[i] = r.ID, r.Offset, r.At, r.Name, r.Site, r.Hash
		limit[i], kind[i], isOpen[i] = r.Limit, r.Kind, r.Open
	}
	for i, col := range []any{id, off, at, name, site, hash, limit, kind, isOpen} {
		if err := b.Column(i).Append(col); err != nil {
			return err
		}
	}
	return b.Send()
}

func selectRows(t *testing.T, c clickhouse.Conn, table string) (rows []row) {
	t.Helper()
	rs, err := c.Query(context.Background(), `SELECT * FROM `+table+` ORDER BY ID`)
	if err != nil {
		t.Fatal(err)
	}
	for rs.Next() {
		var r row
		if err := rs.Scan(&r.ID, &r.Offset, &r.At, &r.Name, &r.Site, &r.Hash, &r.Limit, &r.Kind, &r.Open); err != nil {
			t.Fatal(err)
		}
		r.At = r.At.UTC()
		rows = append(rows, r)
	}
	if err := rs.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestDriverColumnarBothWays(t *testing.T) {
	s := server(t)
	for _, m := range []clickhouse.CompressionMethod{
		clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD,
		clickhouse.CompressionGZIP, clickhouse.CompressionDeflate, clickhouse.CompressionBrotli,
	} {
		t.Run(m.String(), func(t *testing.T) {
			c := open(t, s, func(o *clickhouse.Options) { o.Compression = &clickhouse.Compression{Method: m, Level: 3} })
			table := "cols_" + m.String()
			if err := c.Exec(context.Background(), fmt.Sprintf(rowTable, table)); err != nil {
				t.Fatal(err)
			}
			want := makeRows(20_000)
			if err := insertRows(context.Background(), c, table, want); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, selectRows(t, c, table)); d != "" {
				t.Error(d[:min(len(d), 2000)])
			}
		})
	}
}

func TestDriverHandshake(t *testing.T) {
	s := server(t)
	c := open(t, s)
	v, err := c.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if v.Revision != 0 || s.Version() != fmt.Sprintf("%d.%d.%d.1", v.Version.Major, v.Version.Minor, v.Version.Patch) {
		t.Errorf("revision %d version %+v, server %s", v.Revision, v.Version, s.Version())
	}
	if err := c.Ping(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestDriverDeduplicationToken(t *testing.T) {
	s := server(t)
	c := open(t, s)
	if err := c.Exec(context.Background(), fmt.Sprintf(rowTable, "dedup")); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"a", "a", "b", "a"} {
		ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token}))
		if err := insertRows(ctx, c, "dedup", makeRows(3)); err != nil {
			t.Fatal(err)
		}
	}
	if got := sql(t, s, "SELECT count() FROM dedup"); got != "6" {
		t.Errorf("got %s rows, want 6: the token a counts once, b once", got)
	}
}

func TestDriverSettingsAndParameters(t *testing.T) {
	s := server(t)
	c := open(t, s)
	ctx := clickhouse.Context(context.Background(),
		clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 77}),
		clickhouse.WithParameters(clickhouse.Parameters{"x": "41", "s": "it's {a} \\ ü"}))
	var size uint64
	var x int64
	var text string
	err := c.QueryRow(ctx, "SELECT toUInt64(getSetting('max_block_size')), {x:Int64} + 1, {s:String}").Scan(&size, &x, &text)
	if err != nil || size != 77 || x != 42 || text != "it's {a} \\ ü" {
		t.Errorf("got %d %d %q %v", size, x, text, err)
	}
	if err := c.QueryRow(context.Background(), "SELECT toUInt64(getSetting('max_block_size'))").Scan(&size); err != nil || size == 77 {
		t.Errorf("the setting leaked: %d %v", size, err)
	}
	var n int64
	if err := c.QueryRow(context.Background(), "SELECT toInt64(?) + toInt64(@b)", clickhouse.Named("b", 3)).Scan(&n); err == nil {
		t.Error("mixed binds went through")
	}
	if err := c.QueryRow(context.Background(), "SELECT toInt64(@b) + 1", clickhouse.Named("b", 3)).Scan(&n); err != nil || n != 4 {
		t.Errorf("named bind: %d %v", n, err)
	}
}

func TestDriverExceptions(t *testing.T) {
	s := server(t)
	c := open(t, s)
	f := func(query string, wantCode int32, wantName string) {
		t.Helper()
		var ex *clickhouse.Exception
		rs, err := c.Query(context.Background(), query)
		if err == nil {
			for rs.Next() {
			}
			err = rs.Err()
		}
		if !errors.As(err, &ex) || ex.Code != wantCode || ex.CodeName != wantName {
			t.Errorf("%s: got %v (%+v), want code %d %s", query, err, ex, wantCode, wantName)
		}
	}
	f("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE")
	f("SELECT nothing", 47, "UNKNOWN_IDENTIFIER")
	f("SELEKT 1", 62, "SYNTAX_ERROR")
	f("SELECT 1 SETTINGS no_such = 1", 115, "UNKNOWN_SETTING")
	f("SELECT throwIf(number = 3000000) FROM numbers(10000000)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO")
	f("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR")
	bad := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"no_such_setting": 1}))
	var ex *clickhouse.Exception
	if err := c.Exec(bad, "SELECT 1"); !errors.As(err, &ex) || ex.Code != 115 {
		t.Errorf("unknown setting: %v", err)
	}
	bad = clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": "many"}))
	if err := c.Exec(bad, "SELECT 1"); !errors.As(err, &ex) || ex.Code != 27 && ex.Code != 72 {
		t.Errorf("bad setting value: %v", err)
	}
}

// TestDriverMidStreamExceptions: the error comes after megabytes of data, in every encoding.
func TestDriverMidStreamExceptions(t *testing.T) {
	s := server(t)
	for _, m := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionGZIP} {
		c := open(t, s, func(o *clickhouse.Options) { o.Compression = &clickhouse.Compression{Method: m} })
		rs, err := c.Query(context.Background(),
			"SELECT sipHash64(number), throwIf(number = 2600000) FROM numbers(10000000) SETTINGS max_threads = 1")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rs.Next() {
			n++
		}
		var ex *clickhouse.Exception
		if err := rs.Err(); !errors.As(err, &ex) || ex.Code != 395 {
			t.Errorf("%s: after %d rows: %v", m, n, err)
		}
		if n == 0 {
			t.Errorf("%s: no rows before the exception, nothing was tested", m)
		}
	}
}

func TestCancelKillsTheQuery(t *testing.T) {
	s := server(t)
	c := open(t, s)
	running := func() string {
		return sql(t, s, "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%' AND query NOT LIKE '%system.processes%'")
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		rs, err := c.Query(ctx, "SELECT sum(sleepEachRow(0.01)) FROM numbers(100000) SETTINGS max_block_size = 10, function_sleep_max_microseconds_per_block = 0")
		if err == nil {
			rs.Next()
			err = rs.Err()
		}
		result <- err
	}()
	waitFor(t, func() bool { return running() == "1" })
	cancel()
	if err := <-result; err == nil {
		t.Error("the query ended without an error")
	}
	waitFor(t, func() bool { return running() == "0" })
}

// TestCancelKillsTheInsert: the client goes away while the engine works on its rows.
func TestCancelKillsTheInsert(t *testing.T) {
	s := server(t)
	c := open(t, s)
	sql(t, s, `CREATE TABLE slow (a Int64, b UInt8 MATERIALIZED sleepEachRow(0.01)) ENGINE = MergeTree ORDER BY a`)
	running := func() string {
		return sql(t, s, "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO slow%'")
	}
	ctx, cancel := context.WithCancel(clickhouse.Context(context.Background(), clickhouse.WithSettings(
		clickhouse.Settings{"function_sleep_max_microseconds_per_block": 0, "max_block_size": 10})))
	b, err := c.PrepareBatch(ctx, "INSERT INTO slow")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Column(0).Append(make([]int64, 1000)); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- b.Send() }()
	waitFor(t, func() bool { return running() == "1" })
	cancel()
	if err := <-result; err == nil {
		t.Error("the insert ended without an error")
	}
	waitFor(t, func() bool { return running() == "0" })
	if got := sql(t, s, "SELECT count() FROM slow"); got != "0" {
		t.Errorf("%s rows landed", got)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal("waited 20 s in vain")
}

func BenchmarkInsert100k(b *testing.B) {
	s := server(b)
	c := open(b, s)
	_ = c.Exec(context.Background(), "DROP TABLE IF EXISTS bench")
	if err := c.Exec(context.Background(), fmt.Sprintf(rowTable, "bench")); err != nil {
		b.Fatal(err)
	}
	rows := makeRows(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := insertRows(context.Background(), c, "bench", rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(rows))/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkSelect1(b *testing.B) {
	s := server(b)
	for name, change := range map[string]func(*clickhouse.Options){
		"plain":    func(*clickhouse.Options) {},
		"database": func(o *clickhouse.Options) { o.Auth.Database = "system" },
		"settings": func(o *clickhouse.Options) { o.Settings = clickhouse.Settings{"max_threads": 1} },
	} {
		b.Run(name, func(b *testing.B) {
			c := open(b, s, change)
			for b.Loop() {
				if err := c.Ping(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
