package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet"
	pq "github.com/apache/arrow/go/v15/parquet/file"
	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// records are a log in memory: of readings, and of the reference.
type records []engine.Record

func (l *records) Append(_ context.Context, r *loadgen.Record) error {
	*l = append(*l, engine.Record{Offset: int64(len(*l)), TimestampMs: r.TimestampMs, Key: slices.Clone(r.Key), Value: slices.Clone(r.Value)})
	return nil
}

func (l *records) Flush(context.Context) error { return nil }

func (l *records) ReadLog(_ context.Context, _ string, _ int32, from int64, fn func(engine.Record) error) (int64, error) {
	for _, r := range (*l)[from:] {
		if err := fn(r); err != nil {
			return r.Offset, err
		}
	}
	return int64(len(*l)), nil
}

// city is six hours of a small city: its reference and its messages in Protobuf.
func city(t testing.TB) (*engine.Reference, records) {
	t.Helper()
	cfg := loadgen.City()
	cfg.ChargePoints, cfg.Partitions = 40, 1
	n, err := loadgen.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var refs, list records
	put := func(r ocpi.Reference) {
		key, value, err := ocpi.AppendReference(nil, nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, engine.Record{Offset: int64(len(refs)), Key: key, Value: value})
	}
	put(ocpi.Reference{Kind: ocpi.ReferenceInstallation})
	for _, x := range n.Tariffs() {
		put(ocpi.Reference{Kind: ocpi.ReferenceTariff, Tariff: x, TariffKey: rating.TariffKey{CountryCode: x.CountryCode, PartyID: x.PartyID, ID: x.ID}})
	}
	for i := range n.Sites() {
		entries, report := ocpi.ParseLocations(n.LocationJSON(nil, i), func(string) error { return nil })
		if err := report.Err(); err != nil || len(entries) != 1 {
			t.Fatal(len(entries), err)
		}
		l := entries[0].Location
		put(ocpi.Reference{Kind: ocpi.ReferenceLocation, Location: l, LocationKey: rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}})
	}
	ref := engine.NewReference(reference.Decode, nil)
	if err := ref.Follow(t.Context(), &refs, ""); err != nil {
		t.Fatal(err)
	}
	_, err = loadgen.Run(t.Context(), loadgen.RunConfig{Network: n, UntilMs: cfg.EpochMs + 6*3_600_000, Clock: engine.SystemClock{}}, &list)
	if err != nil {
		t.Fatal(err)
	}
	return ref, list
}

// rowsOf are the messages as rows of a file.
func rowsOf(t testing.TB, list records) []row {
	t.Helper()
	rows := make([]row, len(list))
	for i := range list {
		one, err := wire.Decode(list[i].Key, list[i].Value, nil)
		if err != nil || len(one) != 1 {
			t.Fatalf("%d readings, %v", len(one), err)
		}
		rows[i] = row{reading: one[0], receivedMs: list[i].TimestampMs}
		rows[i].reading.ChargePoint = list[i].Key
	}
	return rows
}

// readColumns reads a file that was written, by the library: its values as text, "null" for none.
func readColumns(t testing.TB, name string) (names []string, values map[string][]string, types map[string]string) {
	t.Helper()
	d, err := pq.OpenParquetFile(name, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if v := d.MetaData().KeyValueMetadata().FindValue(VersionKey); v == nil || *v != Version {
		t.Errorf("%s: version %v", name, v)
	}
	values, types = map[string][]string{}, map[string]string{}
	for i := range d.MetaData().Schema.NumColumns() {
		c := d.MetaData().Schema.Column(i)
		names = append(names, c.Name())
		types[c.Name()] = fmt.Sprint(c.PhysicalType(), " ", c.LogicalType())
		for g := range d.NumRowGroups() {
			values[c.Name()] = append(values[c.Name()], readChunk(t, d.RowGroup(g), i)...)
		}
	}
	return names, values, types
}

func readChunk(t testing.TB, g *pq.RowGroupReader, i int) []string {
	t.Helper()
	w, err := g.Column(i)
	if err != nil {
		t.Fatal(err)
	}
	n := g.NumRows()
	levels, text := make([]int16, n), []string(nil)
	put := func(total int64, err error, format func(k int) string) {
		if err != nil || total != n {
			t.Fatalf("column %d: %d of %d rows, %v", i, total, n, err)
		}
		k := 0
		for _, level := range levels {
			if w.Descriptor().MaxDefinitionLevel() == 1 && level == 0 {
				text = append(text, "null")
				continue
			}
			text = append(text, format(k))
			k++
		}
	}
	switch w := w.(type) {
	case *pq.Int64ColumnChunkReader:
		v := make([]int64, n)
		total, _, err := w.ReadBatch(n, v, levels, nil)
		put(total, err, func(k int) string { return fmt.Sprint(v[k]) })
	case *pq.Int32ColumnChunkReader:
		v := make([]int32, n)
		total, _, err := w.ReadBatch(n, v, levels, nil)
		put(total, err, func(k int) string { return fmt.Sprint(v[k]) })
	case *pq.BooleanColumnChunkReader:
		v := make([]bool, n)
		total, _, err := w.ReadBatch(n, v, levels, nil)
		put(total, err, func(k int) string { return fmt.Sprint(v[k]) })
	case *pq.ByteArrayColumnChunkReader:
		v := make([]parquet.ByteArray, n)
		total, _, err := w.ReadBatch(n, v, levels, nil)
		put(total, err, func(k int) string { return string(v[k]) })
	default:
		t.Fatalf("column %d: %T", i, w)
	}
	return text
}

// TestRate: rows of files give what the same readings give as Protobuf messages through the shard, wherever files and
// row groups end.
func TestRate(t *testing.T) {
	ref, list := city(t)
	rows := rowsOf(t, list)
	var m0 engine.Record
	m0.Offset, m0.TimestampMs = int64(len(list)), list[len(list)-1].TimestampMs+62*60_000
	decode := func(key, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
		if value == nil {
			return dst, nil
		}
		return wire.Decode(key, value, dst)
	}
	r, err := engine.NewReplayer(engine.Partition{Topic: "city"}, engine.Config{}, func(string, []byte) engine.Decode { return decode }, ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Begin(0, ref.Next())
	for _, rec := range append(list, m0) {
		r.Rate(rec)
	}
	want := r.End(m0.Offset)

	dir := t.TempDir()
	var names []string
	for i, part := range [][]row{rows[:1000], nil, rows[1000:]} {
		names = append(names, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(names[i], written(t, part, shape{groupRows: 777, stamps: i == 0}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out")
	s, err := Rate(t.Context(), Config{Topic: "city"}, ref, names, out)
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows != int64(len(list)) || s.Charges != want.Charges.Rows || s.Sessions != want.Sessions.Rows || s.Rejects != want.Rejects || s.Closed == 0 {
		t.Errorf("%+v, want %d rows, %+v", s, len(list), want)
	}
	if s.Charges < 500 || s.Sessions < 500 {
		t.Fatalf("%+v: too little to tell anything", s)
	}
	b := r.Block()
	_, got, _ := readColumns(t, filepath.Join(out, ChargesFile))
	compare(t, "charges", got, "position session_id line energy_mwh duration_ms excl_micros incl_micros from_time tariff charge_point kind", func(add func(v ...any)) {
		for i := range b.Charges {
			x := &b.Charges[i]
			for j := range x.Position {
				c, id, excl := &x.Charge[j], x.SessionID[j], "null"
				if !c.ExclUnknown {
					excl = fmt.Sprint(c.ExclMicros)
				}
				add(x.Position[j], fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), x.Line[j],
					c.EnergyMwh, c.DurationMs, excl, c.InclMicros, c.FromMs, x.Tariff[j], x.ChargePoint[j],
					[]string{"usage", "step", "min", "max", "expiry", "rounding"}[c.Kind])
			}
		}
	})
	_, got, _ = readColumns(t, filepath.Join(out, SessionsFile))
	compare(t, "sessions", got, "version transaction status start_time energy_mwh incl_micros accrued_incl_micros flags zone", func(add func(v ...any)) {
		for i := range b.Sessions {
			x := &b.Sessions[i]
			for j := range x.Version {
				add(x.Version[j], x.Transaction[j], []string{"", "RESERVED", "ACTIVE", "COMPLETED", "PROVISIONAL", "HELD", "UNPRICEABLE"}[x.Status[j]],
					x.StartMs[j], x.Total[j].EnergyMwh, x.Total[j].InclMicros, x.AccruedIncl[j], uint32(x.Flags[j]), x.Zone[j])
			}
		}
	})
}

// compare holds columns of a file against rows, in any order.
func compare(t *testing.T, what string, got map[string][]string, columns string, fill func(add func(v ...any))) {
	t.Helper()
	var want, have []string
	fill(func(v ...any) {
		var text []string
		for _, x := range v {
			text = append(text, fmt.Sprint(x))
		}
		want = append(want, strings.Join(text, " "))
	})
	names := strings.Fields(columns)
	for i := range got[names[0]] {
		var text []string
		for _, n := range names {
			text = append(text, got[n][i])
		}
		have = append(have, strings.Join(text, " "))
	}
	slices.Sort(want)
	slices.Sort(have)
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("%s (-protobuf +parquet)\n%.2000s", what, d)
	}
}

// withAdded puts the columns that later schema files add to a table into their places.
func withAdded(t *testing.T, columns []string, table string, types map[string]string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "clickhouse", "schema", "*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	added := regexp.MustCompile(`ADD COLUMN IF NOT EXISTS ([a-z_]+) ([A-Z]\w+).* AFTER ([a-z_]+)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "ALTER TABLE {{.Database}}."+table+"{{") {
			continue
		}
		for _, m := range added.FindAllStringSubmatch(string(text), -1) {
			at := slices.IndexFunc(columns, func(c string) bool { return strings.HasPrefix(c, m[3]+" ") })
			columns = slices.Insert(columns, at+1, m[1]+" "+types[m[2]])
		}
	}
	return columns
}

// TestTables: the files have the columns of the ClickHouse tables, in their order, with their types.
func TestTables(t *testing.T) {
	ref, list := city(t)
	name, out := filepath.Join(t.TempDir(), "in"), t.TempDir()
	if err := os.WriteFile(name, written(t, rowsOf(t, list[:500]), shape{}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Rate(t.Context(), Config{}, ref, []string{name}, out); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{
		"Int64": "INT64 None", "Int32": "INT32 None", "Int16": "INT32 Int(bitWidth=16, isSigned=true)",
		"UInt16": "INT32 Int(bitWidth=16, isSigned=false)", "UInt32": "INT32 Int(bitWidth=32, isSigned=false)",
		"Bool": "BOOLEAN None", "String": "BYTE_ARRAY String", "UUID": "BYTE_ARRAY String", "Enum8": "BYTE_ARRAY String",
		"LowCardinality": "BYTE_ARRAY String", "Nullable": "INT64 None",
		"DateTime64": "INT64 Timestamp(isAdjustedToUTC=true, timeUnit=milliseconds, is_from_converted_type=false, force_set_converted_type=false)",
	}
	line := regexp.MustCompile(`(?m)^    ([a-z_]+) ([A-Z]\w+).* COMMENT `)
	for file, sql := range map[string]string{ChargesFile: "0001_charges.sql", SessionsFile: "0002_sessions.sql"} {
		text, err := os.ReadFile(filepath.Join("..", "clickhouse", "schema", sql))
		if err != nil {
			t.Fatal(err)
		}
		var want, have []string
		for _, m := range line.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[0], " ALIAS ") {
				want = append(want, m[1]+" "+types[m[2]])
			}
		}
		want = withAdded(t, want, strings.TrimSuffix(file, ".parquet"), types)
		names, _, got := readColumns(t, filepath.Join(out, file))
		for _, n := range names {
			have = append(have, n+" "+got[n])
		}
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("%s (-table +file)\n%s", file, d)
		}
	}
}

// TestRejects: a row that can not be used is a line with file and row, and delays nothing; a fault leaves nothing.
func TestRejects(t *testing.T) {
	ref, list := city(t)
	rows := rowsOf(t, list[:50])
	rows[3].reading.Seq = -5
	rows[7].reading.AtMs, rows[7].receivedMs = rating.Unknown, rating.Unknown
	rows[30].reading.AtMs += 25 * 3_600_000
	dir := t.TempDir()
	a, b, out := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "out")
	for name, part := range map[string][]row{a: rows[:20], b: rows[20:]} {
		if err := os.WriteFile(name, written(t, part, shape{}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Rate(t.Context(), Config{}, ref, []string{a, b}, out)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, RejectsFile))
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		File   string
		Row    int
		Reason string
	}
	var got []string
	for l := range strings.Lines(string(text)) {
		var x line
		if err := json.Unmarshal([]byte(l), &x); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d %.20s", filepath.Base(x.File), x.Row, x.Reason))
	}
	if d := cmp.Diff([]string{"a 3 seq: -5 is out of ra", "a 7 neither at_ms nor re", fmt.Sprintf("b 10 %.20s", fmt.Sprintf("time %d ms", rows[30].reading.AtMs))}, got); d != "" || s.Rejects != 3 {
		t.Errorf("%+v\n%s", s, d)
	}
	damaged, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	copy(damaged[4:], strings.Repeat("\xff", 60))
	if err := os.WriteFile(b, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	_, err = Rate(t.Context(), Config{}, ref, []string{a, b}, empty)
	left, _ := os.ReadDir(empty)
	if want := b + ": row 0 (row group 0), column charge_point: "; err == nil || !strings.HasPrefix(err.Error(), want) || len(left) != 0 {
		t.Errorf("%v, want %q; %d files are left", err, want, len(left))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	many := filepath.Join(dir, "many")
	if err := os.WriteFile(many, written(t, rowsOf(t, list[:min(len(list), 5000)]), shape{}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Rate(ctx, Config{}, ref, []string{many}, empty); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
