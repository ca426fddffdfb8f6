package kafka

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/wattline/wattline/engine"
)

var update = flag.Bool("update", false, "write golden files anew")

var allCodecs = []Compression{CompressionNone, CompressionGzip, CompressionSnappy, CompressionLZ4, CompressionZstd}

// goldenMessages is what the golden batches have, made by kafka-go's Writer.
func goldenMessages() []kafkago.Message {
	at := time.UnixMilli(1_767_225_600_000).UTC()
	return []kafkago.Message{
		{Key: []byte("cp-1"), Value: []byte("first"), Time: at, Headers: []kafkago.Header{{Key: "content-type", Value: []byte("application/x-protobuf")}}},
		{Key: []byte("cp-2"), Value: bytes.Repeat([]byte("abcd"), 300), Time: at.Add(3 * time.Millisecond)},
		{Value: []byte("no key"), Time: at.Add(-70 * time.Second), Headers: []kafkago.Header{{Key: "trace", Value: nil}, {Key: "content-type", Value: []byte("a")}, {Key: "content-type", Value: []byte("b")}}},
		{Key: []byte("tombstone"), Value: nil, Time: at.Add(time.Hour)},
		{Key: []byte{}, Value: []byte{}, Time: at},
	}
}

func goldenWant() []rec {
	const at = 1_767_225_600_000
	return []rec{
		{Offset: 0, AtMs: at, Key: "cp-1", Value: "first", Type: "application/x-protobuf"},
		{Offset: 1, AtMs: at + 3, Key: "cp-2", Value: strings.Repeat("abcd", 300)},
		{Offset: 2, AtMs: at - 70_000, Value: "no key", Nil: "k", Type: "b"},
		{Offset: 3, AtMs: at + 3_600_000, Key: "tombstone", Nil: "v"},
		{Offset: 4, AtMs: at},
	}
}

// TestGoldenBatches reads batches that kafka-go's Writer made, as a broker kept them. -update writes them anew.
func TestGoldenBatches(t *testing.T) {
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			path := filepath.Join("testdata", "golden", "writer-"+codec.String()+".hex")
			if *update {
				writeGolden(t, codec, path)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sets, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			h, _, _, ok, err := cutSet(sets)
			if err != nil || !ok || Compression(h.attr&attrCodec) != codec {
				t.Fatalf("first batch: ok=%v err=%v attributes=%x", ok, err, h.attr)
			}
			b, err := openSets(t, sets, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := drain(b, 2)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(goldenWant(), got); d != "" {
				t.Error(d)
			}
			if b.NextOffset() != 5 {
				t.Errorf("next offset %d", b.NextOffset())
			}
		})
	}
}

func writeGolden(t *testing.T, codec Compression, path string) {
	fake, c := startFake(t, nil, kfake.SeedTopics(1, "readings"))
	tr := &kafkago.Transport{}
	defer tr.CloseIdleConnections()
	w := &kafkago.Writer{Transport: tr, Addr: kafkago.TCP(fake.ListenAddrs()...), Topic: "readings", RequiredAcks: kafkago.RequireAll, Compression: kafkago.Compression(codec), BatchTimeout: time.Millisecond}
	if err := w.WriteMessages(testContext(t), goldenMessages()...); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m := c.newFetchMsg(true)
	m.asks = []ask{{partition: engine.Partition{Topic: "readings"}, maxBytes: 1 << 20}}
	if err := c.fetch(testContext(t), fake.ListenAddrs()[0], m); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for s := hex.EncodeToString(m.answers[0].records); s != ""; {
		n := min(120, len(s))
		out.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReadOwnBatches(t *testing.T) {
	for _, codec := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
		for _, chunk := range []int{1, 7, 1000} {
			msgs := numbered(500)
			sets := append(ourSet(t, 40, codec, msgs[:200]...), ourSet(t, 240, codec, msgs[200:]...)...)
			b, err := openSets(t, sets, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := drain(b, chunk)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(wantRecs(msgs, 40), got); d != "" {
				t.Errorf("%s in steps of %d: %s", codec, chunk, d)
			}
			if b.NextOffset() != 540 {
				t.Errorf("next offset %d", b.NextOffset())
			}
		}
	}
}

func TestOurEncoderTheirReader(t *testing.T) {
	msgs := append(numbered(50), engine.Message{TimestampMs: 5}, engine.Message{Key: []byte{}, Value: []byte{}, TimestampMs: -1})
	for _, codec := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
		set := ourSet(t, 7, codec, msgs...)
		got, err := theirRecords(set)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(wantRecs(msgs, 7), got); d != "" {
			t.Errorf("%s: %s", codec, d)
		}
	}
}

// theirRecords reads sets with kafka-go.
func theirRecords(sets []byte) ([]rec, error) {
	var rs protocol.RecordSet
	in := append(binary.BigEndian.AppendUint32(nil, uint32(len(sets))), sets...)
	if _, err := rs.ReadFrom(bytes.NewReader(in)); err != nil {
		return nil, err
	}
	var out []rec
	for rs.Records != nil {
		r, err := rs.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		k, errK := protocol.ReadAll(r.Key)
		v, errV := protocol.ReadAll(r.Value)
		if errK != nil || errV != nil {
			return out, fmt.Errorf("their key or value: %w %w", errK, errV)
		}
		er := engine.Record{Offset: r.Offset, TimestampMs: r.Time.UnixMilli(), Key: k, Value: v}
		for _, h := range r.Headers {
			if h.Key == contentTypeHeader {
				er.ContentType = h.Value
			}
		}
		out = append(out, keep(&er))
	}
	return out, nil
}

// TestSets holds the rules on what is given out and where the partition then stands.
func TestSets(t *testing.T) {
	f := func(name string, sets []byte, wanted int64, ab []aborted, wantOffsets []int64, wantNext int64) {
		t.Helper()
		b, err := openSets(t, sets, wanted, ab...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		got, err := drain(b, 3)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var offsets []int64
		for _, r := range got {
			offsets = append(offsets, r.Offset)
		}
		if d := cmp.Diff(wantOffsets, offsets); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if b.NextOffset() != wantNext {
			t.Errorf("%s: next offset %d, want %d", name, b.NextOffset(), wantNext)
		}
	}
	m := numbered(3)
	join := func(sets ...[]byte) []byte { return bytes.Join(sets, nil) }
	plain := func(base int64) []byte { return ourSet(t, base, CompressionNone, m...) }
	txn := func(base, producer int64) []byte {
		return reseal(plain(base), func(h *setHeader) { h.attr |= attrTransactional; h.producer = producer })
	}
	marker := func(base, producer int64, kind byte) []byte {
		set := ourSet(t, base, CompressionNone, engine.Message{Key: []byte{0, 0, 0, kind}, Value: []byte{0, 0, 0, 0, 0, 0}})
		return reseal(set, func(h *setHeader) { h.attr |= attrTransactional | attrControl; h.producer = producer })
	}
	empty := ourSet(t, 3, CompressionNone, m[0])[:setHead]
	binary.BigEndian.PutUint32(empty[posLength:], setHead-lengthExcluded)
	reseal(empty, func(h *setHeader) { h.lastDelta = 6; h.count = 0 })

	f("nothing", nil, 5, nil, nil, 5)
	f("below wanted", join(plain(0), plain(3)), 4, nil, []int64{4, 5}, 6)
	f("batch all below wanted", plain(0), 3, nil, nil, 3)
	f("gap between batches", join(plain(0), plain(10)), 0, nil, []int64{0, 1, 2, 10, 11, 12}, 13)
	f("empty compacted batch", join(plain(0), empty), 0, nil, []int64{0, 1, 2}, 10)
	f("truncated last batch", join(plain(0), plain(3)[:70]), 0, nil, []int64{0, 1, 2}, 3)
	f("truncated in the head", join(plain(0), plain(3)[:12]), 0, nil, []int64{0, 1, 2}, 3)
	f("control batch", join(plain(0), marker(3, 9, 1), plain(4)), 0, nil, []int64{0, 1, 2, 4, 5, 6}, 7)
	f("committed transaction", join(txn(0, 9), marker(3, 9, 1)), 0, nil, []int64{0, 1, 2}, 4)
	f("aborted transaction", join(txn(0, 9), marker(3, 9, 0)), 0, []aborted{{9, 0}}, nil, 4)
	f("aborted, then committed by the same producer", join(txn(0, 9), marker(3, 9, 0), txn(4, 9), marker(7, 9, 1)), 0,
		[]aborted{{9, 0}}, []int64{4, 5, 6}, 8)
	f("two producers, one aborted, interleaved", join(txn(0, 9), txn(3, 8), marker(6, 9, 0), txn(7, 8), marker(10, 8, 1)), 0,
		[]aborted{{9, 0}}, []int64{3, 4, 5, 7, 8, 9}, 11)
	f("aborted twice", join(txn(0, 9), marker(3, 9, 0), txn(4, 9), marker(7, 9, 0), plain(8)), 0,
		[]aborted{{9, 0}, {9, 4}}, []int64{8, 9, 10}, 11)
	f("fetch begins inside an aborted transaction", join(txn(3, 9), marker(6, 9, 0), plain(7)), 4, []aborted{{9, 0}}, []int64{7, 8, 9}, 10)
	f("no transaction of an aborted producer", join(plain(0), txn(3, 9)), 0, []aborted{{9, 3}}, []int64{0, 1, 2}, 6)
}

func TestLogAppendTime(t *testing.T) {
	set := reseal(ourSet(t, 0, CompressionZstd, numbered(3)...), func(h *setHeader) { h.attr |= attrLogAppendTime; h.maxMs = 123456 })
	b, err := openSets(t, set, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := drain(b, 10)
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	for _, r := range got {
		if r.AtMs != 123456 {
			t.Errorf("record %d is at %d", r.Offset, r.AtMs)
		}
	}
}

func TestXerialAndRawSnappy(t *testing.T) {
	plain := ourSet(t, 0, CompressionNone, numbered(40)...)
	body := plain[setHead:]
	xerial := append([]byte(xerialMagic), 0, 0, 0, 0, 1, 0, 0, 0, 1)[:16]
	for rest := body; len(rest) > 0; {
		n := min(300, len(rest))
		block := snappy.Encode(nil, rest[:n])
		xerial = append(binary.BigEndian.AppendUint32(xerial, uint32(len(block))), block...)
		rest = rest[n:]
	}
	for name, packed := range map[string][]byte{"raw": snappy.Encode(nil, body), "xerial": xerial} {
		set := append(bytes.Clone(plain[:setHead]), packed...)
		binary.BigEndian.PutUint32(set[posLength:], uint32(len(set)-lengthExcluded))
		reseal(set, func(h *setHeader) { h.attr |= uint16(CompressionSnappy) })
		b, err := openSets(t, set, 0)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := drain(b, 64)
		if err != nil {
			t.Fatal(name, err)
		}
		if d := cmp.Diff(wantRecs(numbered(40), 0), got); d != "" {
			t.Error(name, d)
		}
	}
}

// TestDamage: what is wrong in a batch is an error that names the partition and the offset.
func TestDamage(t *testing.T) {
	f := func(name string, sets []byte, want string) {
		t.Helper()
		b, err := openSets(t, sets, 0)
		if err == nil {
			_, err = drain(b, 10)
			if err != nil && !strings.Contains(err.Error(), "readings/3") {
				t.Errorf("%s: the partition is not in: %v", name, err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "offset") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	m := numbered(3)
	set := func() []byte { return ourSet(t, 9, CompressionNone, m...) }
	with := func(at int, b byte) []byte { s := set(); s[at] = b; return s }
	f("old format", with(posMagic, 1), "message format 1")
	f("oldest format", with(posMagic, 0), "message format 0")
	f("future format", with(posMagic, 3), "unknown message format 3")
	f("flipped bit", with(80, 0xff), "CRC32C")
	short := set()
	binary.BigEndian.PutUint32(short[posLength:], 20)
	f("length", short, "impossible length 20")
	f("more records than bytes", reseal(set(), func(h *setHeader) { h.count = 4; h.lastDelta = 3 }), errRecord.Error())
	f("fewer records than bytes", reseal(set(), func(h *setHeader) { h.count = 2 }), "follow the last record")
	f("offset beyond the last", reseal(set(), func(h *setHeader) { h.lastDelta = 1 }), errRecord.Error())
	f("negative last offset", reseal(set(), func(h *setHeader) { h.lastDelta = -2 }), "impossible last offset delta")
	f("codec 5", reseal(set(), func(h *setHeader) { h.attr = 5 }), "unknown compression codec 5")
	f("not lz4", reseal(set(), func(h *setHeader) { h.attr = 3 }), "unpack")
	f("not gzip", reseal(set(), func(h *setHeader) { h.attr = 1 }), "gzip")
	f("not zstd", reseal(set(), func(h *setHeader) { h.attr = 4 }), "zstd")
	f("not snappy", reseal(set(), func(h *setHeader) { h.attr = 2 }), "snappy")
	f("back in offsets", append(set(), ourSet(t, 4, CompressionNone, m...)...), "comes after offset")
	swapped := set()
	swapped[setHead+3] = 2 // the first record's offset delta becomes 1, as the second's
	f("same offset twice", reseal(swapped, func(*setHeader) {}), errRecord.Error())
}

// TestBombs: a batch that unpacks to more than the limit (1 MiB here) is an error, not memory.
func TestBombs(t *testing.T) {
	for _, codec := range allCodecs[1:] {
		big := protocol.Record{Value: protocol.NewBytes(make([]byte, 3<<20)), Time: time.UnixMilli(1)}
		b, err := openSets(t, theirSet(t, 77, codec, big), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = drain(b, 1)
		if err == nil || !strings.Contains(err.Error(), errTooLarge.Error()) || !strings.Contains(err.Error(), "readings/3") || !strings.Contains(err.Error(), "77") {
			t.Errorf("%s: %v", codec, err)
		}
	}
}

func TestErrorComesAfterGoodRecords(t *testing.T) {
	bad := ourSet(t, 3, CompressionNone, numbered(3)...)
	bad[80] ^= 1
	b, err := openSets(t, append(ourSet(t, 0, CompressionNone, numbered(3)...), bad...), 0)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]engine.Record, 10)
	if n, err := b.Read(dst); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	for range 2 {
		if n, err := b.Read(dst); n != 0 || err == nil {
			t.Fatal(n, err)
		}
	}
}

func TestReleaseTwiceAndReadAfter(t *testing.T) {
	b, err := openSets(t, ourSet(t, 0, CompressionLZ4, numbered(3)...), 0)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	b.release = func() { told++ }
	b.Release()
	b.Release()
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	if n, err := b.Read(make([]engine.Record, 1)); n != 0 || err == nil {
		t.Error(n, err)
	}
}

func TestNoAllocationPerRecord(t *testing.T) {
	for _, codec := range allCodecs {
		sets := benchSet(t, codec, 2000)
		pool := &bufferPool{limit: 8 << 20}
		in, err := newInflater(8<<20, pool)
		if err != nil {
			t.Fatal(err)
		}
		defer in.close()
		dst := make([]engine.Record, 256)
		read := func() {
			p := parser{inflater: in, sets: sets}
			for {
				n, err := p.read(dst)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
			}
			for _, b := range p.buffers {
				pool.put(b)
			}
		}
		read()
		// A batch may cost a few (reader objects, the list of buffers), a record none.
		if n := testing.AllocsPerRun(20, read); n > 20 {
			t.Errorf("%s: %.0f allocations for 2000 records", codec, n)
		}
	}
}

// benchSet is one batch of n records of about 100 bytes.
func benchSet(t testing.TB, codec Compression, n int) []byte {
	t.Helper()
	var recs []protocol.Record
	for i := range n {
		v := fmt.Appendf(nil, "%064x", uint64(i)*0x9E3779B97F4A7C15)
		recs = append(recs, protocol.Record{Key: protocol.NewBytes(fmt.Appendf(nil, "DE*WAT*E%06d*1", i%5000)), Value: protocol.NewBytes(v), Time: time.UnixMilli(1_700_000_000_000 + int64(i))})
	}
	return theirSet(t, 0, codec, recs...)
}

func BenchmarkRead(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			const n = 10_000
			sets := benchSet(b, codec, n)
			pool := &bufferPool{limit: 64 << 20}
			in, err := newInflater(64<<20, pool)
			if err != nil {
				b.Fatal(err)
			}
			defer in.close()
			dst := make([]engine.Record, 1024)
			b.ReportAllocs()
			b.SetBytes(int64(len(sets)))
			for b.Loop() {
				p := parser{inflater: in, sets: sets}
				for {
					k, err := p.read(dst)
					if err != nil {
						b.Fatal(err)
					}
					if k == 0 {
						break
					}
				}
				for _, buf := range p.buffers {
					pool.put(buf)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, codec := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
		b.Run(codec.String(), func(b *testing.B) {
			const n = 10_000
			msgs := numbered(n)
			for i := range msgs {
				msgs[i].Value = fmt.Appendf(nil, "%064x", uint64(i)*0x9E3779B97F4A7C15)
			}
			e, err := NewBatchEncoder(codec)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				e.Reset()
				for i := range msgs {
					e.Append(msgs[i].Key, msgs[i].Value, msgs[i].TimestampMs, msgs[i].ContentType)
				}
				if _, err := e.Finish(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		})
	}
}
