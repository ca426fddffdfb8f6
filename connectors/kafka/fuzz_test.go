package kafka

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRecordSets reads bytes as ours and as kafka-go's parser do: where ours reads a batch to its end, kafka-go must
// have found the same records. Ours may refuse what kafka-go does not check.
func FuzzRecordSets(f *testing.F) {
	for _, codec := range allCodecs {
		f.Add(benchSet(f, codec, 3), false)
	}
	f.Add(ourSet(f, 5, CompressionNone, numbered(4)...), false)
	f.Add(append(ourSet(f, 5, CompressionNone, numbered(2)...), ourSet(f, 7, CompressionZstd, numbered(2)...)...), false)
	f.Add(append(ourSet(f, 5, CompressionNone, numbered(2)...), ourSet(f, 7, CompressionNone, numbered(2)...)[:70]...), true)
	f.Add(reseal(ourSet(f, 0, CompressionNone, numbered(1)...), func(h *setHeader) { h.attr |= attrLogAppendTime }), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealAll(data) // so that mutations get past the checksum
		}
		b, err := openSets(t, data, 0)
		if err != nil {
			return
		}
		whole := data[:len(b.sets)]
		got, err := drain(b, 3)
		next := b.NextOffset()
		b.Release()
		if err != nil {
			return
		}
		for i, r := range got {
			if r.Offset >= next || i > 0 && r.Offset <= got[i-1].Offset {
				t.Fatalf("record %d has offset %d, next is %d", i, r.Offset, next)
			}
		}
		if !sameMeaning(whole) {
			return
		}
		want, err := theirRecords(whole)
		if err != nil {
			t.Fatalf("kafka-go does not read what we read as %d records: %v", len(got), err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

// sealAll puts the checksum of each set in data right.
func sealAll(data []byte) []byte {
	data = bytes.Clone(data)
	for rest := data; ; {
		h, set, r, ok, err := cutSet(rest)
		if err != nil || !ok {
			return data
		}
		putHead(set, h)
		rest = r
	}
}

// sameMeaning says whether kafka-go gives the same meaning to sets: it does not skip control batches, does not apply
// LogAppendTime, and its readers tell an empty compressed body differently.
func sameMeaning(sets []byte) bool {
	for {
		h, _, r, ok, err := cutSet(sets)
		if err != nil || !ok {
			return true
		}
		if h.has(attrControl|attrLogAppendTime) || h.count == 0 {
			return false
		}
		sets = r
	}
}

// FuzzFetchAnswer: any bytes as an answer give an error or answers that fit the request; never a panic, never more
// memory than the answer says it has.
func FuzzFetchAnswer(f *testing.F) {
	f.Add(fetchAnswer(0, 0, nil))
	f.Add(fetchAnswer(1, 0, []byte("records")))
	f.Add(fetchAnswer(0, 6, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &fetchMsg{pool: &bufferPool{}, most: 1 << 10}
		m.asks = []ask{{partition: testPartition(0)}, {partition: testPartition(1)}}
		m.fill()
		if err := m.readAnswer(bytes.NewReader(data)); err != nil {
			m.drop()
			return
		}
		for i, a := range m.answers {
			if !a.known && (a.records != nil || a.code != 0) {
				t.Errorf("answer %d: %+v", i, a)
			}
		}
	})
}

// FuzzMetadataAnswer: any bytes as an answer give an error or metadata, never a panic.
func FuzzMetadataAnswer(f *testing.F) {
	f.Add(metadataAnswer())
	f.Add(metadataAnswer()[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		md := &clusterMeta{brokers: map[int32]string{}, topics: map[string]topicMeta{}}
		md.read(&wireReader{r: bytes.NewReader(data), left: len(data)})
	})
}
