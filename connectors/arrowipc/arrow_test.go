package arrowipc

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/rating"
)

func dirty() []rating.Reading {
	list := make([]rating.Reading, 4)
	for i := range list {
		list[i] = rating.Reading{
			AtMs: 1, RegisterMwh: 2, PowerMicroW: 3, CurrentNanoA: 4, Seq: 5, ResolutionMwh: 6, Connector: 7, Kind: 4, State: 5,
			Context: 4, Flags: 0xffff, ChargePoint: []byte("x"), Transaction: []byte("x"), MessageID: []byte("x"), Token: []byte("x"),
		}
	}
	return list
}

// randomReading is within the ranges of the format.
func randomReading(rnd *rand.Rand) rating.Reading {
	number := func() int64 { return int64(rnd.Uint64() >> (1 + rnd.IntN(63))) }
	text := func(limit int) []byte {
		b := make([]byte, rnd.IntN(limit+1))
		for i := range b {
			b[i] = byte(' ' + rnd.IntN(95))
		}
		return b
	}
	r := rating.Reading{
		AtMs: rnd.Int64N(MaxAtMs + 1), RegisterMwh: number(), PowerMicroW: -number(), CurrentNanoA: number(), Seq: number(),
		ResolutionMwh: number(), Connector: int32(number() & 0x7fffffff), Kind: rating.Kind(rnd.IntN(5)),
		State: rating.ChargeState(rnd.IntN(7)), Context: rating.Context(rnd.IntN(5)),
		ChargePoint: text(MaxChargePoint), Transaction: text(MaxTransaction), MessageID: text(MaxMessageID), Token: text(MaxToken),
	}
	for _, v := range []*int64{&r.AtMs, &r.RegisterMwh, &r.PowerMicroW, &r.CurrentNanoA, &r.Seq} {
		if rnd.IntN(4) == 0 {
			*v = rating.Unknown
		}
	}
	return r
}

func randomReadings(rnd *rand.Rand, most int) []rating.Reading {
	readings := make([]rating.Reading, rnd.IntN(most+1))
	for i := range readings {
		readings[i] = randomReading(rnd)
	}
	return readings
}

func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed) // shown when the test fails
	return rand.New(rand.NewPCG(seed, 0))
}

func encode(t testing.TB, readings []rating.Reading) []byte {
	t.Helper()
	value, err := Encode(nil, readings)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// outOfRange says what no message could say of a reading, and of which: "" for nothing.
func outOfRange(readings []rating.Reading) (row int, fault string) {
	for i := range readings {
		r := &readings[i]
		for _, v := range []struct {
			c column
			n int64
		}{
			{connector, int64(r.Connector)}, {atMs, r.AtMs}, {seq, r.Seq}, {state, int64(r.State)}, {kind, int64(r.Kind)}, {context, int64(r.Context)}, {resolutionMwh, r.ResolutionMwh},
		} {
			if info := infoOf(v.c); v.n != rating.Unknown && (v.n < 0 || v.n > info.limit) {
				return i, fmt.Sprintf("%s: %d is out of range: 0 to %d", info.name, v.n, info.limit)
			}
		}
		for _, v := range []struct {
			c    column
			text []byte
		}{{chargePoint, r.ChargePoint}, {transaction, r.Transaction}, {messageID, r.MessageID}, {token, r.Token}} {
			info := infoOf(v.c)
			if int64(len(v.text)) > info.limit {
				return i, fmt.Sprintf("%s: %d bytes, at most %d", info.name, len(v.text), info.limit)
			}
			if !utf8.Valid(v.text) {
				return i, fmt.Sprintf("%s: not UTF-8", info.name)
			}
		}
	}
	return 0, ""
}

// TestRoundTrip: what Encode writes comes back (A4), and is what the Protobuf decoder reads of the same readings.
func TestRoundTrip(t *testing.T) {
	rnd := seeded(t)
	for range 100 {
		readings := randomReadings(rnd, 70)
		want, err := wire.Decode(nil, wire.AppendBatch(nil, readings), nil)
		if err != nil {
			t.Fatal(err)
		}
		dst := dirty()
		got, err := Decode(nil, encode(t, readings), dst[:1])
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got[1:], cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-protobuf +arrow)\n%s", d)
		}
	}
}

// written is a message of record batches in a schema of the caller's.
func written(t testing.TB, schema *arrow.Schema, opts []ipc.Option, build ...func(b *array.RecordBuilder)) []byte {
	t.Helper()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, append(opts, ipc.WithSchema(schema))...)
	for _, f := range build {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		f(b)
		if err := w.Write(b.NewRecord()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func one(name string, t arrow.DataType) *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{{Name: name, Type: t, Nullable: true}}, nil)
}

// TestColumns: what of a schema is free: columns, their order, dictionaries, timestamps, several batches, metadata.
func TestColumns(t *testing.T) {
	words := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}
	md := arrow.NewMetadata([]string{"pandas", VersionKey}, []string{"{}", Version})
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "transaction", Type: words, Nullable: true, Metadata: arrow.NewMetadata([]string{"PARQUET:field_id"}, []string{"1"})},
		{Name: "at_ms", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}},
		{Name: "token", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, Nullable: true},
	}, &md)
	batch := func(b *array.RecordBuilder) {
		for i, tx := range []string{"a", "b", "a"} {
			if err := b.Field(0).(*array.BinaryDictionaryBuilder).AppendString(tx); err != nil {
				t.Fatal(err)
			}
			b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(1000 + i))
			b.Field(2).AppendNull()
		}
		b.Field(0).AppendNull()
		b.Field(1).(*array.TimestampBuilder).Append(7)
		b.Field(2).AppendNull()
	}
	got, err := Decode(nil, written(t, schema, nil, batch), dirty()[:0])
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, r := range got {
		text = append(text, fmt.Sprintf("%s %d %t", r.Transaction, r.AtMs, r.RegisterMwh == rating.Unknown))
	}
	if want := "a 1000 true, b 1001 true, a 1002 true,  7 true"; strings.Join(text, ", ") != want {
		t.Errorf("%v, want %s", text, want)
	}
	numbers := func(from int64) func(b *array.RecordBuilder) {
		return func(b *array.RecordBuilder) {
			b.Field(0).(*array.Int64Builder).AppendValues([]int64{from, from + 1}, []bool{true, false})
		}
	}
	got, err = Decode(nil, written(t, one("seq", arrow.PrimitiveTypes.Int64), nil, numbers(1), numbers(5), func(*array.RecordBuilder) {}), nil)
	if err != nil || len(got) != 4 || got[0].Seq != 1 || got[1].Seq != rating.Unknown || got[2].Seq != 5 {
		t.Errorf("two batches: %+v, %v", got, err)
	}
}

// TestFaults: what is refused, in words.
func TestFaults(t *testing.T) {
	f := func(value []byte, want string) {
		t.Helper()
		got, err := Decode(nil, value, nil)
		if err == nil || len(got) != 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%d readings, error %v, want %q", len(got), err, want)
		}
	}
	int64s := func(name string, v ...int64) []byte {
		return written(t, one(name, arrow.PrimitiveTypes.Int64), nil, func(b *array.RecordBuilder) { b.Field(0).(*array.Int64Builder).AppendValues(v, nil) })
	}
	none := func(schema *arrow.Schema) []byte { return written(t, schema, nil) }
	f(nil, "arrow: message 0 of the stream: no schema")
	f([]byte("ARROW1\x00\x00"), "a file, or a stream of before Arrow 0.15, is not read")
	f([]byte{0, 0, 0, 0}, "no schema")
	f(int64s("volts", 1), `column "volts" is unknown`)
	f(int64s("seq", 1, -1), "message 1 of the stream: row 1: seq: -1 is out of range: 0 to 9223372036854775807")
	f(int64s("at_ms", MaxAtMs+1), "row 0: at_ms")
	f(int64s("power_uw", -1<<63), "row 0: power_uw")
	f(none(one("seq", arrow.PrimitiveTypes.Float64)), "column seq has the wrong type")
	f(none(one("register_mwh", arrow.PrimitiveTypes.Uint64)), "column register_mwh has the wrong type")
	f(none(one("token", arrow.BinaryTypes.LargeString)), "column token has the wrong type")
	f(none(one("at_ms", &arrow.TimestampType{Unit: arrow.Millisecond})), "column at_ms has the wrong type")
	f(none(one("at_ms", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"})), "column at_ms has the wrong type")
	f(none(one("seq", arrow.ListOf(arrow.PrimitiveTypes.Int64))), "column \"seq\" has children")
	f(none(one("transaction", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint32, ValueType: arrow.BinaryTypes.String})), "column transaction has the wrong type")
	f(none(one("seq", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.PrimitiveTypes.Int64})), "column seq has the wrong type")
	f(none(arrow.NewSchema([]arrow.Field{{Name: "seq", Type: arrow.PrimitiveTypes.Int64}, {Name: "seq", Type: arrow.PrimitiveTypes.Int64}}, nil)), "column seq is there twice")
	md := arrow.NewMetadata([]string{VersionKey}, []string{"2"})
	f(none(arrow.NewSchema(one("seq", arrow.PrimitiveTypes.Int64).Fields(), &md)), `wattline.reading.version is "2"; this program reads 1`)
	f(written(t, Schema(), []ipc.Option{ipc.WithLZ4()}, func(b *array.RecordBuilder) { r := rating.Reading{Seq: 1}; appendRow(b, &r) }), "compressed buffers")
	long := rating.Reading{Token: bytes.Repeat([]byte("SECRET"), 50)}
	f(encode(t, []rating.Reading{long}), "row 0: token: 300 bytes, at most 255")
	f(encode(t, []rating.Reading{{Token: []byte("SECRET\xff")}}), "row 0: token: not UTF-8")
	f(append(encode(t, nil), 1), "1 bytes follow the end of the stream")
	f(encode(t, make([]rating.Reading, MaxReadings+1)), "65536 rows, at most 65535 in a message")
	f(make([]byte, MaxBytes+1), "67108865 bytes, at most 67108864")
	if got, err := Decode(nil, encode(t, make([]rating.Reading, MaxReadings)), nil); err != nil || len(got) != MaxReadings {
		t.Errorf("%d readings, %v", len(got), err)
	}
}

// TestGolden: bytes that were written before are read the same for ever.
func TestGolden(t *testing.T) {
	readings := []rating.Reading{
		{
			AtMs: 1_772_000_000_000, RegisterMwh: 3_051_113_000, PowerMicroW: -7_400_000_000, CurrentNanoA: 32_000_000_000, Seq: 17,
			ResolutionMwh: 1000, Connector: 2, Kind: rating.KindStop, State: rating.StateSuspendedEV, Context: rating.ContextEnd,
			ChargePoint: []byte("cp-1"), Transaction: []byte("tx"), MessageID: []byte("m"), Token: []byte("ä"),
		},
		{AtMs: rating.Unknown, RegisterMwh: rating.Unknown, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, Seq: rating.Unknown},
	}
	const file = "testdata/reading-v1.hex"
	text, err := os.ReadFile(file)
	if err != nil {
		if err := os.WriteFile(file, []byte(hex.EncodeToString(encode(t, readings))+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("%s was missing and is made", file)
	}
	value, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(nil, value, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(readings, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

// seeds are messages of every shape, for what damages them.
func seeds(t testing.TB) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 1))
	words := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	dictionaries := arrow.NewSchema([]arrow.Field{{Name: "transaction", Type: words}, {Name: "charge_point", Type: words, Nullable: true}}, nil)
	return [][]byte{
		encode(t, nil), encode(t, randomReadings(rnd, 3)), encode(t, []rating.Reading{randomReading(rnd), randomReading(rnd)}),
		written(t, dictionaries, nil, func(b *array.RecordBuilder) {
			_ = b.Field(0).(*array.BinaryDictionaryBuilder).AppendString("tx")
			b.Field(1).AppendNull()
		}),
		written(t, one("at_ms", &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}), nil),
	}
}

// TestDamage: whatever bit of a message is wrong, wherever it is cut off, whichever 4 or 8 bytes are something else: it
// is refused, or read without a complaint of the library. A length that the library believed would end this process.
func TestDamage(t *testing.T) {
	rnd := seeded(t)
	try := func(value []byte) {
		t.Helper()
		if _, err := Decode(nil, value, nil); err != nil && strings.Contains(err.Error(), "the library refuses") {
			t.Fatalf("%x: %v", value, err)
		}
	}
	values := []uint64{0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	for _, seed := range seeds(t) {
		for i := range seed {
			broken := bytes.Clone(seed)
			for bit := range 8 {
				broken[i] = seed[i] ^ 1<<bit
				try(broken)
			}
			try(seed[:i])
		}
		for range 20_000 {
			broken := bytes.Clone(seed)
			for range 1 + rnd.IntN(3) {
				v, width := values[rnd.IntN(len(values))], []int{1, 2, 4, 8}[rnd.IntN(4)]
				for k, at := 0, rnd.IntN(len(broken)-8)&^(width-1); k < width; k++ {
					broken[at+k] = byte(v >> (8 * k))
				}
			}
			try(broken)
		}
	}
}

// FuzzDecode: any bytes. What the check accepts the library must read.
func FuzzDecode(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := Decode(nil, value, dirty()[:0])
		if err != nil {
			if strings.Contains(err.Error(), "the library refuses") {
				t.Fatal(err)
			}
			return
		}
		if _, fault := outOfRange(got); fault != "" {
			t.Fatal(fault)
		}
		again, err := Decode(nil, encode(t, got), nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestAccepts(t *testing.T) {
	f := func(contentType string, want bool) {
		t.Helper()
		if got := Accepts([]byte(contentType)); got != want {
			t.Errorf("%q: %t", contentType, got)
		}
	}
	f("application/vnd.apache.arrow.stream", true)
	f("Application/VND.apache.arrow.stream; x=y", true)
	f("application/vnd.apache.arrow.file", false)
	f("", false)
}

func BenchmarkDecode(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 100, 1000} {
		readings := make([]rating.Reading, n)
		for i := range readings {
			readings[i] = randomReading(rnd)
			readings[i].Token, readings[i].MessageID, readings[i].ChargePoint = nil, nil, nil
		}
		value := encode(b, readings)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dst := make([]rating.Reading, 0, n)
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if _, err := Decode(nil, value, dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/reading")
		})
	}
}
