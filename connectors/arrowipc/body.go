package arrowipc

import (
	"encoding/binary"
	"unicode/utf8"
)

// recordBatch is the frame of a record batch or of a dictionary: its nodes and buffers lie inside of the metadata.
type recordBatch struct {
	b       flat
	rows    int64
	nodes   int // place of the first
	buffers int
	body    []byte
	used    int64 // bytes of body that buffers have taken
}

// open reads the frame of a batch with so many columns and buffers.
func (s *stream) open(b flat, t table, body []byte, columns, buffers int) (r recordBatch, ok bool) {
	rows, ok := b.number(t, 0, 8, 0)
	nodes, n, ok2 := b.vector(t, 1, 16)
	first, m, ok3 := b.vector(t, 2, 16)
	_, compressed, ok4 := b.child(t, 3)
	if !ok || !ok2 || !ok3 || !ok4 {
		s.damaged("record batch")
		return r, false
	}
	switch {
	case compressed:
		s.fail("compressed buffers: let Kafka compress the message")
	case rows < 0 || rows > MaxReadings:
		s.fail("%d rows, at most %d in a message", rows, MaxReadings)
	case n != columns || m != buffers:
		s.fail("%d columns and %d buffers, the schema has %d and %d", n, m, columns, buffers)
	default:
		return recordBatch{b: b, rows: rows, nodes: nodes, buffers: first, body: body}, true
	}
	return r, false
}

// node reads the node of column i: how many of its values are null.
func (s *stream) node(r *recordBatch, i int) (nulls int64, ok bool) {
	length, _ := r.b.i64(r.nodes + 16*i)
	nulls, _ = r.b.i64(r.nodes + 16*i + 8)
	if length != r.rows || nulls < 0 || nulls > length {
		s.fail("column %d has %d values and %d nulls, the batch %d rows", i, length, nulls, r.rows)
		return 0, false
	}
	return nulls, true
}

// buffer reads buffer i. It lies inside of the body, does not make all buffers together larger than it, and has at
// least need bytes.
func (s *stream) buffer(r *recordBatch, i int, need int64) (bytes []byte, ok bool) {
	offset, _ := r.b.i64(r.buffers + 16*i)
	length, _ := r.b.i64(r.buffers + 16*i + 8)
	size := int64(len(r.body))
	if offset < 0 || length < 0 || offset > size || length > size-offset {
		s.fail("buffer %d of %d bytes at byte %d of a body of %d", i, length, offset, size)
		return nil, false
	}
	if r.used += length; r.used > size {
		s.fail("buffers of %d bytes in a body of %d: they overlap", r.used, size)
		return nil, false
	}
	if length < need {
		s.fail("buffer %d of %d bytes, %d rows need %d", i, length, r.rows, need)
		return nil, false
	}
	return r.body[offset : offset+length], true
}

// validity reads the bitmap of a column; nil for one without nulls, whose bitmap nobody reads.
func (s *stream) validity(r *recordBatch, i int, nulls int64) (bits []byte, ok bool) {
	need := int64(0)
	if nulls > 0 {
		need = (r.rows + 7) / 8
	}
	bits, ok = s.buffer(r, i, need)
	if nulls == 0 {
		return nil, ok
	}
	return bits, ok
}

func valid(bits []byte, row int64) bool {
	return bits == nil || bits[row>>3]>>(row&7)&1 != 0
}

// batch walks a record batch.
func (s *stream) batch(b flat, t table, body []byte) {
	buffers := 0
	for i := range s.fields {
		buffers += s.fields[i].buffers()
	}
	r, ok := s.open(b, t, body, len(s.fields), buffers)
	if !ok {
		return
	}
	if s.rows += r.rows; s.rows > MaxReadings {
		s.fail("%d rows so far, at most %d in a message", s.rows, MaxReadings)
		return
	}
	at := 0
	for i := range s.fields {
		f := &s.fields[i]
		nulls, ok := s.node(&r, i)
		if !ok || !s.column(&r, f, at, nulls) {
			return
		}
		at += f.buffers()
	}
}

// buffers is how many buffers a column has: validity, values or offsets, texts.
func (f *field) buffers() int {
	if f.typ == typeText && !f.dictionary {
		return 3
	}
	return 2
}

// column walks the values of a column, whose buffers begin at number at.
func (s *stream) column(r *recordBatch, f *field, at int, nulls int64) bool {
	bits, ok := s.validity(r, at, nulls)
	if !ok {
		return false
	}
	switch {
	case f.dictionary:
		values, ok := s.buffer(r, at+1, r.rows*f.indexWidth)
		return ok && s.indices(r, f, values, bits)
	case f.typ == typeText:
		return s.texts(r, f, at+1, bits)
	}
	values, ok := s.buffer(r, at+1, r.rows*f.typ.width())
	return ok && s.numbers(r, f, values, bits)
}

// indices checks that every index of a dictionary is one of its texts.
func (s *stream) indices(r *recordBatch, f *field, values, bits []byte) bool {
	for row := range r.rows {
		if !valid(bits, row) {
			continue
		}
		index := int64(0)
		switch f.indexWidth {
		case 1:
			index = int64(int8(values[row]))
		case 2:
			index = int64(int16(binary.LittleEndian.Uint16(values[2*row:])))
		default:
			index = int64(int32(binary.LittleEndian.Uint32(values[4*row:])))
		}
		if index < 0 || index >= f.words {
			s.fail("row %d: %s: index %d of a dictionary of %d", row, infoOf(f.column).name, index, f.words)
			return false
		}
	}
	return true
}

// texts checks offsets and texts, whose buffers are number at and the next.
func (s *stream) texts(r *recordBatch, f *field, at int, bits []byte) bool {
	need := int64(0)
	if r.rows > 0 {
		need = 4 * (r.rows + 1)
	}
	offsets, ok := s.buffer(r, at, need)
	if !ok {
		return false
	}
	data, ok := s.buffer(r, at+1, 0)
	if !ok || r.rows == 0 {
		return ok
	}
	info := infoOf(f.column)
	from := u32At(offsets, 0)
	for row := range r.rows {
		to := u32At(offsets, row+1)
		switch {
		case to < from || to > int64(len(data)):
			s.fail("row %d: %s: text from byte %d to %d of %d", row, info.name, from, to, len(data))
			return false
		case !valid(bits, row):
		case to-from > info.limit:
			s.fail("row %d: %s: %d bytes, at most %d", row, info.name, to-from, info.limit)
			return false
		case !utf8.Valid(data[from:to]):
			s.fail("row %d: %s: not UTF-8", row, info.name)
			return false
		}
		from = to
	}
	return true
}

// numbers checks the range of a column's numbers.
func (s *stream) numbers(r *recordBatch, f *field, values, bits []byte) bool {
	info := infoOf(f.column)
	low, high := int64(0), info.limit
	if high == 0 {
		low, high = -(1<<63 - 1), 1<<63-1
	}
	for row := range r.rows {
		if !valid(bits, row) {
			continue
		}
		v := int64(0)
		switch f.typ {
		case typeInt64:
			v = int64(binary.LittleEndian.Uint64(values[8*row:]))
		case typeInt32:
			v = int64(int32(binary.LittleEndian.Uint32(values[4*row:])))
		default:
			v = int64(values[row])
		}
		if v < low || v > high {
			s.fail("row %d: %s: %d is out of range: %d to %d", row, info.name, v, low, high)
			return false
		}
	}
	return true
}

// dictionary walks the texts of a column's dictionary, which comes once, before the record batches.
func (s *stream) dictionary(b flat, t table, body []byte) {
	id, ok := b.number(t, 0, 8, 0)
	data, there, ok2 := b.child(t, 1)
	delta, ok3 := b.number(t, 2, 1, 0)
	if !ok || !ok2 || !ok3 || !there {
		s.damaged("dictionary")
		return
	}
	var f *field
	for i := range s.fields {
		if s.fields[i].dictionary && s.fields[i].id == id {
			f = &s.fields[i]
		}
	}
	switch {
	case f == nil:
		s.fail("no column has dictionary %d", id)
		return
	case delta != 0 || f.known:
		s.fail("the dictionary of column %s is changed: one a stream is read", infoOf(f.column).name)
		return
	}
	r, ok := s.open(b, data, body, 1, 3)
	if !ok {
		return
	}
	nulls, ok := s.node(&r, 0)
	if !ok {
		return
	}
	if nulls != 0 {
		s.fail("the dictionary of column %s has nulls", infoOf(f.column).name)
		return
	}
	if _, ok := s.validity(&r, 0, 0); !ok {
		return
	}
	if s.texts(&r, f, 1, nil) {
		f.known, f.words = true, r.rows
	}
}
