package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// BatchEncoder makes one v2 record batch after another. It is for one goroutine. Use: Append until Size is what you
// want, Finish, produce the bytes, Reset.
type BatchEncoder struct {
	codec   Compression
	body    []byte // records, not compressed
	out     []byte // the finished batch
	count   int32
	firstMs int64
	maxMs   int64
	zstd    *zstd.Encoder
	lz4     *lz4.Writer
	packed  bytes.Buffer
}

// NewBatchEncoder returns an empty encoder. An error names a codec that cannot be written.
func NewBatchEncoder(codec Compression) (*BatchEncoder, error) {
	e := &BatchEncoder{codec: codec, out: make([]byte, setHead)}
	switch codec {
	case CompressionNone:
	case CompressionLZ4:
		e.lz4 = lz4.NewWriter(nil)
		// 64 KiB blocks, independent, no content checksum: the batch has its CRC.
		if err := e.lz4.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1)); err != nil {
			return nil, fmt.Errorf("make lz4 encoder: %w", err)
		}
	case CompressionZstd:
		var err error
		if e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
			return nil, fmt.Errorf("make zstd encoder: %w", err)
		}
	default:
		return nil, fmt.Errorf("make batch encoder: %s cannot be written", codec)
	}
	return e, nil
}

// Reset empties e; its memory is kept.
func (e *BatchEncoder) Reset() {
	e.body, e.count = e.body[:0], 0
}

// Count returns the number of records appended since Reset.
func (e *BatchEncoder) Count() int { return int(e.count) }

// Size returns the bytes of the records appended since Reset, before compression.
func (e *BatchEncoder) Size() int { return len(e.body) }

// Append adds a record. key and value may be nil (no key, a tombstone) and are copied. timestampMs is in ms since
// 1970 UTC; contentType "" means no header.
func (e *BatchEncoder) Append(key, value []byte, timestampMs int64, contentType string) {
	if e.count == 0 {
		e.firstMs, e.maxMs = timestampMs, timestampMs
	}
	e.maxMs = max(e.maxMs, timestampMs)
	timeDelta, offDelta := timestampMs-e.firstMs, int64(e.count)
	size := 1 + varintSize(timeDelta) + varintSize(offDelta) + bytesSize(key) + bytesSize(value) + 1
	if contentType != "" {
		size += varintSize(int64(len(contentTypeHeader))) + len(contentTypeHeader) + varintSize(int64(len(contentType))) + len(contentType)
	}
	b := appendVarint(e.body, int64(size))
	b = append(b, 0) // attributes, unused
	b = appendVarint(b, timeDelta)
	b = appendVarint(b, offDelta)
	b = appendBytes(b, key)
	b = appendBytes(b, value)
	if contentType == "" {
		b = append(b, 0)
	} else {
		b = append(b, 1<<1) // one header
		b = appendVarint(b, int64(len(contentTypeHeader)))
		b = append(b, contentTypeHeader...)
		b = appendVarint(b, int64(len(contentType)))
		b = append(b, contentType...)
	}
	e.body = b
	e.count++
}

// Finish returns the batch of the records appended. The bytes are e's: valid until the next Finish. At least one
// record must be there.
func (e *BatchEncoder) Finish() ([]byte, error) {
	if e.count == 0 {
		return nil, fmt.Errorf("finish record batch: no record was appended")
	}
	out := e.out[:setHead]
	switch e.codec {
	case CompressionLZ4:
		e.packed.Reset()
		e.lz4.Reset(&e.packed)
		if _, err := e.lz4.Write(e.body); err != nil {
			return nil, fmt.Errorf("compress record batch with lz4: %w", err)
		}
		if err := e.lz4.Close(); err != nil {
			return nil, fmt.Errorf("compress record batch with lz4: %w", err)
		}
		out = append(out, e.packed.Bytes()...)
	case CompressionZstd:
		out = e.zstd.EncodeAll(e.body, out)
	default:
		out = append(out, e.body...)
	}
	e.out = out
	putHead(out, setHeader{
		lastDelta: e.count - 1, attr: uint16(e.codec), firstMs: e.firstMs, maxMs: e.maxMs, producer: -1, count: e.count,
	})
	return out, nil
}

// putHead writes the head and checksum of the set whose records follow in set.
func putHead(set []byte, h setHeader) {
	be := binary.BigEndian
	be.PutUint64(set, uint64(h.base))
	be.PutUint32(set[posLength:], uint32(len(set)-lengthExcluded))
	be.PutUint32(set[posLength+4:], ^uint32(0)) // leader epoch: the broker's business
	set[posMagic] = 2
	be.PutUint16(set[posAttributes:], h.attr)
	be.PutUint32(set[posLastDelta:], uint32(h.lastDelta))
	be.PutUint64(set[posFirstTime:], uint64(h.firstMs))
	be.PutUint64(set[posMaxTime:], uint64(h.maxMs))
	be.PutUint64(set[posProducer:], uint64(h.producer))
	be.PutUint16(set[posEpoch:], ^uint16(0))
	be.PutUint32(set[posSequence:], ^uint32(0))
	be.PutUint32(set[posCount:], uint32(h.count))
	be.PutUint32(set[posCRC:], crc32.Checksum(set[posAttributes:], crc32.MakeTable(crc32.Castagnoli)))
}

// appendVarint appends v as a zigzag number.
func appendVarint(dst []byte, v int64) []byte {
	return binary.AppendVarint(dst, v)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // zigzag -1
	}
	dst = appendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

func varintSize(v int64) int {
	return (bits.Len64(uint64(v<<1^v>>63)|1) + 6) / 7
}

func bytesSize(b []byte) int {
	return varintSize(int64(len(b))) + len(b) // nil is -1: one byte as 0
}
