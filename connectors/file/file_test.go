package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	pq "github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/rating"
)

func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed) // shown when the test fails
	return rand.New(rand.NewPCG(seed, 0))
}

// shape is how a test's file is written.
type shape struct {
	codec     compress.Compression
	plain     bool // no dictionaries
	groupRows int
	pageBytes int64
	stamps    bool // times are timestamps
}

// numberOf is a column of a row as a number; there is none for rating.Unknown.
func numberOf(r *row, c column) int64 {
	x := &r.reading
	switch c {
	case connector:
		return int64(x.Connector)
	case atMs:
		return x.AtMs
	case registerMwh:
		return x.RegisterMwh
	case powerUW:
		return x.PowerMicroW
	case currentNA:
		return x.CurrentNanoA
	case seq:
		return x.Seq
	case state:
		return int64(x.State)
	case kind:
		return int64(x.Kind)
	case readingContext:
		return int64(x.Context)
	case resolutionMwh:
		return x.ResolutionMwh
	}
	return r.receivedMs
}

func textOf(r *row, c column) []byte {
	switch c {
	case chargePoint:
		return r.reading.ChargePoint
	case transaction:
		return r.reading.Transaction
	case messageID:
		return r.reading.MessageID
	}
	return r.reading.Token
}

// narrow says whether a column is an int32 in tests' files, as arrowipc's schema has it.
func narrow(c column) bool { return c == connector || c == state || c == kind || c == readingContext }

func nodeOf(c column, stamps bool) schema.Node {
	logical, physical := schema.LogicalType(schema.NoLogicalType{}), parquet.Types.Int64
	switch {
	case infoOf(c).kind == kindText:
		logical, physical = schema.StringLogicalType{}, parquet.Types.ByteArray
	case infoOf(c).kind == kindTime && stamps:
		logical = schema.NewTimestampLogicalType(true, schema.TimeUnitMillis)
	case c == connector:
		physical = parquet.Types.Int32
	case narrow(c):
		logical, physical = schema.NewIntLogicalType(8, false), parquet.Types.Int32
	}
	return schema.MustPrimitive(schema.NewPrimitiveNodeLogical(infoOf(c).name, parquet.Repetitions.Optional, logical, physical, -1, -1))
}

// written is a file of rows, made by the library.
func written(t testing.TB, rows []row, s shape) []byte {
	t.Helper()
	var fields schema.FieldList
	for c := range columns {
		fields = append(fields, nodeOf(c, s.stamps))
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		t.Fatal(err)
	}
	if s.pageBytes == 0 {
		s.pageBytes = 1 << 20
	}
	var b bytes.Buffer
	w := pq.NewParquetWriter(&b, root, pq.WithWriterProps(parquet.NewWriterProperties(
		parquet.WithCompression(s.codec), parquet.WithDictionaryDefault(!s.plain), parquet.WithDataPageSize(s.pageBytes), parquet.WithBatchSize(16))))
	for len(rows) > 0 {
		n := len(rows)
		if s.groupRows > 0 {
			n = min(n, s.groupRows)
		}
		g := w.AppendRowGroup()
		for c := range columns {
			writeColumn(t, g, c, rows[:n])
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		rows = rows[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeColumn(t testing.TB, g pq.SerialRowGroupWriter, c column, rows []row) {
	t.Helper()
	w, err := g.NextColumn()
	if err != nil {
		t.Fatal(err)
	}
	var levels []int16
	var int32s []int32
	var int64s []int64
	var texts []parquet.ByteArray
	for i := range rows {
		there := false
		if infoOf(c).kind == kindText {
			if text := textOf(&rows[i], c); len(text) > 0 {
				there, texts = true, append(texts, text)
			}
		} else if n := numberOf(&rows[i], c); n != rating.Unknown {
			there, int32s, int64s = true, append(int32s, int32(n)), append(int64s, n)
		}
		levels = append(levels, int16(truth(there)))
	}
	switch w := w.(type) {
	case *pq.Int32ColumnChunkWriter:
		_, err = w.WriteBatch(int32s, levels, nil)
	case *pq.Int64ColumnChunkWriter:
		_, err = w.WriteBatch(int64s, levels, nil)
	case *pq.ByteArrayColumnChunkWriter:
		_, err = w.WriteBatch(texts, levels, nil)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
}

// readAll reads all rows of a file.
func readAll(b []byte) (rows []row, err error) {
	d, err := newReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	defer d.close()
	for {
		var r row
		if err := d.next(&r); errors.Is(err, errEnd) {
			return rows, nil
		} else if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
}

// randomRows are within the ranges of the format; few has few different values, so that dictionaries are used.
func randomRows(rnd *rand.Rand, n int, few bool) []row {
	number := func() int64 {
		if few {
			return rnd.Int64N(3)
		}
		return int64(rnd.Uint64() >> (1 + rnd.IntN(63)))
	}
	text := func(c column) []byte {
		if few {
			return []byte(strings.Repeat("x", rnd.IntN(4)))
		}
		b := make([]byte, rnd.Int64N(infoOf(c).limit+1))
		for i := range b {
			b[i] = byte(' ' + rnd.IntN(95))
		}
		return b
	}
	rows := make([]row, n)
	for i := range rows {
		r := &rows[i]
		r.reset()
		x := &r.reading
		x.ChargePoint, x.Transaction, x.MessageID, x.Token = text(chargePoint), text(transaction), text(messageID), text(token)
		x.Connector, x.Kind, x.State, x.Context = int32(number()&0x7fffffff), rating.Kind(rnd.IntN(5)), rating.ChargeState(rnd.IntN(7)), rating.Context(rnd.IntN(5))
		x.ResolutionMwh = number()
		for _, v := range []*int64{&x.RegisterMwh, &x.PowerMicroW, &x.CurrentNanoA, &x.Seq} {
			if rnd.IntN(4) > 0 {
				*v = number()
			}
		}
		x.PowerMicroW = max(-x.PowerMicroW, -(1<<63 - 1)) // Unknown stays out of it
		if rnd.IntN(4) > 0 {
			x.AtMs, r.receivedMs = rnd.Int64N(maxAtMs+1), rnd.Int64N(maxAtMs+1)
		}
	}
	return rows
}

func sameRows() cmp.Options {
	return cmp.Options{cmp.AllowUnexported(row{}), cmpopts.EquateEmpty()}
}

// TestRoundTrip: rows that the library wrote, in every shape that is read, come back.
func TestRoundTrip(t *testing.T) {
	rnd := seeded(t)
	for _, codec := range []compress.Compression{compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Zstd, compress.Codecs.Gzip} {
		for i := range 8 {
			s := shape{codec: codec, plain: i&1 == 1, groupRows: []int{0, 37}[i>>1&1], pageBytes: []int64{0, 512}[i>>2&1], stamps: rnd.IntN(2) == 0}
			want := randomRows(rnd, 1+rnd.IntN(120), rnd.IntN(2) == 0)
			got, err := readAll(written(t, want, s))
			if err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			if d := cmp.Diff(want, got, sameRows()); d != "" {
				t.Fatalf("%+v (-written +read)\n%s", s, d)
			}
		}
	}
	if got, err := readAll(written(t, nil, shape{})); err != nil || len(got) != 0 {
		t.Errorf("a file without rows: %d, %v", len(got), err)
	}
}

// one is a file of one column of ours, with other types.
func one(t testing.TB, name string, logical schema.LogicalType, physical parquet.Type, rep parquet.Repetition) []byte {
	t.Helper()
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, schema.FieldList{
		schema.MustPrimitive(schema.NewPrimitiveNodeLogical(name, rep, logical, physical, -1, -1)),
	}, -1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := pq.NewParquetWriter(&b, root).Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFaults: what is refused, in words.
func TestFaults(t *testing.T) {
	f := func(b []byte, want string) {
		t.Helper()
		if _, err := readAll(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	types, reps := parquet.Types, parquet.Repetitions
	f(nil, "0 bytes are no Parquet file")
	f([]byte("PAR1 this is no file at all"), "does not end with PAR1")
	f([]byte("PAR1\xff\xff\xff\xffPARE"), "encrypted")
	f([]byte("PAR1\xff\xff\xff\xffPAR1"), "a footer of 4294967295 bytes in a file of 12")
	f(one(t, "volts", schema.NoLogicalType{}, types.Int64, reps.Optional), `column "volts" is unknown`)
	f(one(t, "seq", schema.NoLogicalType{}, types.Double, reps.Optional), "column seq has the wrong type")
	f(one(t, "seq", schema.NewIntLogicalType(64, false), types.Int64, reps.Optional), "column seq has the wrong type")
	f(one(t, "seq", schema.NewDecimalLogicalType(10, 2), types.Int64, reps.Optional), "column seq has the wrong type")
	f(one(t, "seq", schema.NewTimestampLogicalType(true, schema.TimeUnitMillis), types.Int64, reps.Optional), "column seq has the wrong type")
	f(one(t, "at_ms", schema.NewTimestampLogicalType(true, schema.TimeUnitMicros), types.Int64, reps.Optional), "column at_ms has the wrong type")
	f(one(t, "at_ms", schema.NewTimestampLogicalType(false, schema.TimeUnitMillis), types.Int64, reps.Optional), "column at_ms has the wrong type")
	f(one(t, "token", schema.JSONLogicalType{}, types.ByteArray, reps.Optional), "column token has the wrong type")
	f(one(t, "seq", schema.NoLogicalType{}, types.Int64, reps.Repeated), "column seq is a list")
	f(written(t, randomRows(rand.New(rand.NewPCG(1, 1)), 3, true), shape{codec: compress.Codecs.Brotli}), "compression 4 is not read")
	faulty := func(set func(r *row), want string) {
		t.Helper()
		rows := randomRows(rand.New(rand.NewPCG(1, 1)), 2, true)
		set(&rows[1])
		got, err := readAll(written(t, rows, shape{}))
		if err != nil || len(got) != 2 || got[0].fault != "" || got[1].fault != want {
			t.Errorf("%d rows, %v, want the second with %q", len(got), err, want)
		}
	}
	faulty(func(r *row) { r.reading.Seq = -1 }, "seq: -1 is out of range: 0 to 9223372036854775807")
	faulty(func(r *row) { r.reading.State = 7 }, "state: 7 is out of range: 0 to 6")
	faulty(func(r *row) { r.receivedMs = maxAtMs + 1 }, fmt.Sprintf("received: %d is out of range: 0 to %d", int64(maxAtMs)+1, int64(maxAtMs)))
	faulty(func(r *row) { r.reading.Token = bytes.Repeat([]byte("SECRET"), 50) }, "token: 300 bytes, at most 255")
	faulty(func(r *row) { r.reading.Token = []byte("SECRET\xff") }, "token: not UTF-8")
	b := written(t, randomRows(rand.New(rand.NewPCG(1, 1)), 300, false), shape{groupRows: 100})
	copy(b[4:], bytes.Repeat([]byte{0xff}, 100))
	f(b, "row 0 (row group 0), column charge_point: the page header at 4 is damaged")
}

// TestBombs: a page makes no more memory than its header says, whatever its compression says.
func TestBombs(t *testing.T) {
	c := &pages{codec: codecSnappy}
	if _, err := c.unpack(binary.AppendUvarint(nil, 1<<31), 10); !errors.Is(err, errSize) {
		t.Errorf("snappy: %v", err)
	}
	for _, codec := range []int64{codecZstd, codecGzip} {
		name := map[int64]compress.Compression{codecZstd: compress.Codecs.Zstd, codecGzip: compress.Codecs.Gzip}[codec]
		tool, err := compress.GetCodec(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := newReader(bytes.NewReader(written(t, nil, shape{})), int64(len(written(t, nil, shape{}))))
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		p := &pages{codec: codec, zstd: d.zstd}
		large := tool.Encode(nil, make([]byte, 2*maxPage))
		if data, err := p.unpack(large, 10); err == nil {
			t.Errorf("%v: %d bytes of a page of 10", name, len(data))
		}
		if data, err := p.unpack(append(tool.Encode(nil, []byte("0123456789")), large...), 10); err == nil {
			t.Errorf("%v, two frames: %d bytes of a page of 10", name, len(data))
		}
		if data, err := p.unpack(tool.Encode(nil, []byte("0123456789")), 10); err != nil || string(data) != "0123456789" {
			t.Errorf("%v: %q, %v", name, data, err)
		}
	}
}

// seeds are files of every shape, for what damages them.
func seeds(t testing.TB) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 1))
	return [][]byte{
		written(t, nil, shape{}),
		written(t, randomRows(rnd, 5, true), shape{}),
		written(t, randomRows(rnd, 5, false), shape{plain: true, codec: compress.Codecs.Snappy, groupRows: 3}),
		written(t, randomRows(rnd, 20, true), shape{codec: compress.Codecs.Zstd, pageBytes: 16, stamps: true}),
	}
}

// TestDamage: whatever bit of a file is wrong, wherever it is cut off, whichever bytes are something else: it is refused, or read within
// what its bytes hold, without a panic and to an end.
func TestDamage(t *testing.T) {
	rnd := seeded(t)
	try := func(b []byte) {
		t.Helper()
		if rows, err := readAll(b); err != nil && strings.Contains(err.Error(), "the reader fails") || len(rows) > maxRowsPerByte*len(b) {
			t.Fatalf("%x: %d rows, %v", b, len(rows), err)
		}
	}
	values := []uint64{0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	for _, seed := range seeds(t) {
		for i := range seed {
			broken := bytes.Clone(seed)
			broken[i] ^= 1 << rnd.IntN(8)
			try(broken)
			if i%7 == 0 {
				try(seed[:i])
			}
		}
		for range 1000 {
			broken := bytes.Clone(seed)
			for range 1 + rnd.IntN(3) {
				v, width := values[rnd.IntN(len(values))], []int{1, 2, 4, 8}[rnd.IntN(4)]
				for k, at := 0, rnd.IntN(len(broken)-8); k < width; k++ {
					broken[at+k] = byte(v >> (8 * k))
				}
			}
			try(broken)
		}
	}
}

// FuzzRead: any bytes. What is read is in the ranges of the format, or says why not.
func FuzzRead(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := readAll(b)
		if err != nil {
			if strings.Contains(err.Error(), "the reader fails") {
				t.Fatal(err)
			}
			return
		}
		for i := range rows {
			for c := range columns {
				info := infoOf(c)
				switch n := numberOf(&rows[i], c); {
				case rows[i].fault != "":
				case info.kind == kindText && int64(len(textOf(&rows[i], c))) > info.limit:
					t.Fatalf("row %d: %s of %d bytes", i, info.name, len(textOf(&rows[i], c)))
				case info.kind != kindText && n != rating.Unknown && info.limit > 0 && (n < 0 || n > info.limit):
					t.Fatalf("row %d: %s %d", i, info.name, n)
				}
			}
		}
	})
}

// TestGolden: a file that was written before is read the same for ever.
func TestGolden(t *testing.T) {
	want := make([]row, 2)
	want[0].reset()
	want[1].reset()
	want[0].receivedMs = 1_772_000_000_500
	want[0].reading = rating.Reading{
		AtMs: 1_772_000_000_000, RegisterMwh: 3_051_113_000, PowerMicroW: -7_400_000_000, CurrentNanoA: 32_000_000_000, Seq: 17,
		ResolutionMwh: 1000, Connector: 2, Kind: rating.KindStop, State: rating.StateSuspendedEV, Context: rating.ContextEnd,
		ChargePoint: []byte("cp-1"), Transaction: []byte("tx"), MessageID: []byte("m"), Token: []byte("ä"),
	}
	const name = "testdata/readings-v1.parquet"
	b, err := os.ReadFile(name)
	if err != nil {
		if err := os.WriteFile(name, written(t, want, shape{codec: compress.Codecs.Snappy, stamps: true}), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("%s was missing and is made", name)
	}
	got, err := readAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, sameRows()); d != "" {
		t.Error(d)
	}
}

func BenchmarkRead(b *testing.B) {
	rows := randomRows(rand.New(rand.NewPCG(1, 2)), 20_000, false)
	for i := range rows { // as meters have them
		x := &rows[i].reading
		x.Token, x.MessageID, x.ChargePoint, x.Transaction = nil, nil, fmt.Appendf(nil, "cp-%d", i%500), fmt.Appendf(nil, "tx-%d", i%2000)
	}
	file := written(b, rows, shape{codec: compress.Codecs.Zstd})
	b.ReportAllocs()
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		d, err := newReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			b.Fatal(err)
		}
		var r row
		for err == nil {
			err = d.next(&r)
		}
		if !errors.Is(err, errEnd) {
			b.Fatal(err)
		}
		d.close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/reading")
}
