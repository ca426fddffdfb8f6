package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/wattline/wattline/engine"
)

// The head of a v2 record batch ("record batch" in Kafka's protocol guide; we say set, as engine.Batch is the answer
// of a whole fetch). All big-endian.
const (
	posLength      = 8  // int32, bytes after itself
	posMagic       = 16 // int8; at the same place in the older formats
	posCRC         = 17 // uint32, Castagnoli, over everything from posAttributes on
	posAttributes  = 21 // int16
	posLastDelta   = 23 // int32
	posFirstTime   = 27 // int64, ms
	posMaxTime     = 35 // int64, ms
	posProducer    = 43 // int64
	posEpoch       = 51 // int16
	posSequence    = 53 // int32
	posCount       = 57 // int32
	setHead        = 61
	lengthExcluded = 12 // baseOffset and length itself

	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
)

// contentTypeHeader is the one header that we read.
const contentTypeHeader = "content-type"

// setHeader is what the head of a set says.
type setHeader struct {
	base      int64
	lastDelta int32
	attr      uint16
	firstMs   int64
	maxMs     int64
	producer  int64
	count     int32
}

func (h *setHeader) last() int64       { return h.base + int64(h.lastDelta) }
func (h *setHeader) has(a uint16) bool { return h.attr&a != 0 }

// cutSet cuts the first set off src and returns its head, all its bytes and what follows. ok is false when src ends
// before the set does: brokers cut an answer anywhere. The slices point into src.
func cutSet(src []byte) (h setHeader, set, rest []byte, ok bool, err error) {
	if len(src) <= posMagic {
		return h, nil, src, false, nil
	}
	h.base = int64(binary.BigEndian.Uint64(src))
	if magic := src[posMagic]; magic != 2 {
		if magic < 2 {
			return h, nil, src, false, fmt.Errorf("record batch at offset %d has the message format %d of Kafka before 0.11; only format 2 is read: "+
				"produce with a newer client, or let the topic's old segments expire", h.base, magic)
		}
		return h, nil, src, false, fmt.Errorf("record batch at offset %d has the unknown message format %d", h.base, magic)
	}
	length := int64(int32(binary.BigEndian.Uint32(src[posLength:])))
	if length < setHead-lengthExcluded {
		return h, nil, src, false, fmt.Errorf("record batch at offset %d has the impossible length %d", h.base, length)
	}
	if length+lengthExcluded > int64(len(src)) {
		return h, nil, src, false, nil
	}
	set, rest = src[:length+lengthExcluded], src[length+lengthExcluded:]
	h.attr = binary.BigEndian.Uint16(set[posAttributes:])
	h.lastDelta = int32(binary.BigEndian.Uint32(set[posLastDelta:]))
	h.firstMs = int64(binary.BigEndian.Uint64(set[posFirstTime:]))
	h.maxMs = int64(binary.BigEndian.Uint64(set[posMaxTime:]))
	h.producer = int64(binary.BigEndian.Uint64(set[posProducer:]))
	h.count = int32(binary.BigEndian.Uint32(set[posCount:]))
	if h.base < 0 || h.lastDelta < 0 || h.count < 0 || h.last() < h.base {
		return h, nil, src, false, fmt.Errorf("record batch at offset %d has the impossible last offset delta %d or count %d", h.base, h.lastDelta, h.count)
	}
	return h, set, rest, true, nil
}

// scanSets walks the heads of the sets in src, which a fetch from offset from returned, and returns the bytes of whole
// sets and the offset after the last of them. whole = 0 with bytes in src means that not even one set is there.
func scanSets(src []byte, from int64) (whole int, next int64, err error) {
	next = from
	floor := int64(-1) // the first set may begin below from, no later one may go back
	for rest := src; ; {
		h, set, r, ok, err := cutSet(rest)
		if err != nil {
			return whole, next, err
		}
		if !ok {
			return whole, next, nil
		}
		if h.base < floor {
			return whole, next, fmt.Errorf("record batch at offset %d comes after offset %d", h.base, floor-1)
		}
		floor = h.last() + 1
		next = max(next, floor)
		whole += len(set)
		rest = r
	}
}

// aborted is one entry of a fetch answer's list: the producer's transaction that began at firstOffset was rolled back.
type aborted struct {
	producer    int64
	firstOffset int64
}

// parser reads the records out of the sets of one fetched partition. It allocates nothing per record.
type parser struct {
	partition engine.Partition
	wanted    int64 // records below it are not given out
	inflater  *inflater
	aborted   []aborted // by firstOffset, those not yet begun
	open      []int64   // producers inside a rolled-back transaction

	sets    []byte // sets not yet begun
	head    setHeader
	src     []byte   // records of the set in work, unpacked
	left    int32    // records in src
	lastOff int64    // offset of the record before
	buffers [][]byte // unpacked sets, given back at Release
	err     error
}

// read fills dst; see engine.Batch.Read.
func (p *parser) read(dst []engine.Record) (int, error) {
	n := 0
	for n < len(dst) && p.err == nil {
		if p.left > 0 {
			k, err := p.records(dst[n:])
			n += k
			if err != nil {
				p.err = p.wrap(err)
			}
			continue
		}
		more, err := p.nextSet()
		if err != nil {
			p.err = p.wrap(err)
		}
		if !more {
			break
		}
	}
	if n == 0 && len(dst) > 0 {
		return 0, p.err
	}
	return n, nil
}

func (p *parser) wrap(err error) error {
	return fmt.Errorf("read %s, record batch at offset %d: %w: %w", p.partition, p.head.base, engine.ErrUnreadable, err)
}

// nextSet opens the next set that has records for us; false when there is none.
func (p *parser) nextSet() (bool, error) {
	for {
		if len(p.src) > 0 {
			return false, fmt.Errorf("%d bytes follow the last record", len(p.src))
		}
		h, set, rest, ok, err := cutSet(p.sets)
		if err != nil || !ok {
			return false, err
		}
		p.head, p.sets = h, rest
		if sum, want := crc32.Checksum(set[posAttributes:], crc32.MakeTable(crc32.Castagnoli)), binary.BigEndian.Uint32(set[posCRC:]); sum != want {
			return false, fmt.Errorf("CRC32C is %08x, the batch says %08x: the bytes were damaged on the broker's disk or on the way", sum, want)
		}
		skip, err := p.transaction(&h, set)
		if err != nil {
			return false, err
		}
		if skip || h.last() < p.wanted || h.count == 0 {
			continue
		}
		p.src = set[setHead:]
		if codec := Compression(h.attr & attrCodec); codec != CompressionNone {
			if p.src, err = p.inflater.inflate(codec, p.src); err != nil {
				p.src = nil
				return false, err
			}
			p.buffers = append(p.buffers, p.src)
		}
		p.left, p.lastOff = h.count, h.base-1
		return true, nil
	}
}

// transaction follows the rolled-back transactions up to this set and says whether its records are no data. The rule
// is that of Kafka's own consumer: a transaction is open from its first offset until its abort marker.
func (p *parser) transaction(h *setHeader, set []byte) (skip bool, err error) {
	for len(p.aborted) > 0 && p.aborted[0].firstOffset <= h.last() {
		p.open = append(p.open, p.aborted[0].producer)
		p.aborted = p.aborted[1:]
	}
	if !h.has(attrControl) {
		return h.has(attrTransactional) && slices.Contains(p.open, h.producer), nil
	}
	abort, err := abortMarker(h, set)
	if abort {
		if i := slices.Index(p.open, h.producer); i >= 0 {
			p.open = slices.Delete(p.open, i, i+1)
		}
	}
	return true, err
}

// abortMarker says whether a control set ends a transaction by rolling it back. Other markers are of no concern.
func abortMarker(h *setHeader, set []byte) (bool, error) {
	if h.count == 0 {
		return false, nil // compaction leaves empty control sets
	}
	if h.attr&attrCodec != 0 {
		return false, errors.New("control batch is compressed")
	}
	body := set[setHead:]
	n, i := varint(body, 0)
	if i < 0 || n < 1 || n > int64(len(body)-i) {
		return false, errors.New("control record is cut")
	}
	body = body[i : i+int(n)]
	_, i = varint(body, 1)
	_, i = varint(body, i)
	n, i = varint(body, i)
	if i < 0 || n < 4 || n > int64(len(body)-i) {
		return false, errors.New("control record has no type")
	}
	return binary.BigEndian.Uint16(body[i+2:]) == 0, nil
}

var errRecord = errors.New("record is damaged though its checksum is right: the producer wrote it so")

// records decodes records of the set in work into dst.
func (p *parser) records(dst []engine.Record) (int, error) {
	src, n := p.src, 0
	base, first, wanted, lastDelta := p.head.base, p.head.firstMs, p.wanted, int64(p.head.lastDelta)
	appendTime := p.head.has(attrLogAppendTime)
	for n < len(dst) && p.left > 0 {
		size, i := varint(src, 0)
		if i < 0 || size < 0 || size > int64(len(src)-i) {
			return n, errRecord
		}
		body := src[i : i+int(size)]
		src = src[i+int(size):]
		p.left--
		timeDelta, i := varint(body, 1) // body[0] are attributes, unused
		offDelta, i := varint(body, i)
		if i < 0 || offDelta < 0 || offDelta > lastDelta || base+offDelta <= p.lastOff {
			return n, errRecord
		}
		p.lastOff = base + offDelta
		if p.lastOff < wanted {
			continue
		}
		r := &dst[n]
		r.Offset = p.lastOff
		r.TimestampMs = first + timeDelta
		if appendTime {
			r.TimestampMs = p.head.maxMs
		}
		r.Key, i = varbytes(body, i)
		r.Value, i = varbytes(body, i)
		headers, i := varint(body, i)
		if i < 0 {
			return n, errRecord
		}
		r.ContentType = nil
		if headers != 0 {
			if r.ContentType, i = contentType(body, i, headers); i < 0 {
				return n, errRecord
			}
		}
		if i != len(body) {
			return n, errRecord
		}
		n++
	}
	p.src = src
	return n, nil
}

// contentType walks the headers of a record. The last header of the name counts, as in Kafka's own API.
func contentType(body []byte, i int, count int64) (value []byte, next int) {
	if count < 0 || count > int64(len(body)) {
		return nil, -1
	}
	for range count {
		var k, v []byte
		k, i = varbytes(body, i)
		v, i = varbytes(body, i)
		if i < 0 || k == nil {
			return nil, -1
		}
		if string(k) == contentTypeHeader {
			value = v
		}
	}
	return value, i
}

// varint decodes the zigzag number at p[i] and returns the index after it, or -1 when there is none: then every
// further call with it gives -1 too, so that a chain is checked once.
func varint(p []byte, i int) (int64, int) {
	if uint(i) < uint(len(p)) && p[i] < 0x80 {
		return int64(p[i]>>1) ^ -int64(p[i]&1), i + 1
	}
	return varintLong(p, i)
}

// varintLong is varint for more than one byte: mostly two, as lengths and offset deltas above 63 have.
func varintLong(p []byte, i int) (int64, int) {
	if i < 0 {
		return 0, -1
	}
	if i+1 < len(p) && p[i+1] < 0x80 {
		u := uint64(p[i]&0x7f) | uint64(p[i+1])<<7
		return int64(u>>1) ^ -int64(u&1), i + 2
	}
	var u uint64
	for shift := uint(0); shift < 64; shift += 7 {
		if i >= len(p) {
			return 0, -1
		}
		b := p[i]
		i++
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i
		}
	}
	return 0, -1
}

// varbytes returns the bytes at p[i] that their length precedes; -1 as length means nil.
func varbytes(p []byte, i int) ([]byte, int) {
	n, i := varint(p, i)
	if i < 0 || n < -1 || n > int64(len(p)-i) {
		return nil, -1
	}
	if n < 0 {
		return nil, i
	}
	return p[i : i+int(n) : i+int(n)], i + int(n)
}

// batch is an answer for one partition on its way to the shard.
type batch struct {
	parser
	data    []byte // from the pool
	next    int64
	pool    *bufferPool
	release func() // tells the fetcher that there is room again; nil outside a feed
}

var _ engine.Batch = (*batch)(nil)

// Read implements engine.Batch.
func (b *batch) Read(dst []engine.Record) (int, error) { return b.read(dst) }

// NextOffset implements engine.Batch.
func (b *batch) NextOffset() int64 { return b.next }

var errReleased = errors.New("batch was released")

// Release implements engine.Batch. A second call does nothing.
func (b *batch) Release() {
	if b.pool == nil {
		return
	}
	b.pool.put(b.data)
	for _, buf := range b.buffers {
		b.pool.put(buf)
	}
	b.data, b.buffers, b.sets, b.src, b.left, b.pool = nil, nil, nil, nil, 0, nil
	b.err = errReleased
	if b.release != nil {
		b.release()
	}
}
