package arrowipc

import (
	"encoding/binary"
	"fmt"
)

// The headers of a message (org.apache.arrow.flatbuf.MessageHeader) and the types of a field (Type).
const (
	headerSchema     = 1
	headerDictionary = 2
	headerBatch      = 3

	fbInt       = 2
	fbUtf8      = 5
	fbTimestamp = 10
)

// field is a column of a message's schema.
type field struct {
	column    column
	typ       columnType
	timestamp bool // at_ms as timestamp[ms, UTC]: an int64 all the same
	// dictionary says that the values are indices of indexWidth bytes into the texts of dictionary id.
	dictionary bool
	indexWidth int64
	id         int64
	words      int64 // texts of the dictionary, once it was there
	known      bool  // it was there
}

// stream is what is known of a message while it is walked.
type stream struct {
	value  []byte
	fields []field
	rows   int64 // of all batches so far
	where  string
	err    error
}

// check walks a whole message. After it, and only then, the library may see it (A1). The result has the columns.
func check(value []byte) ([]field, error) {
	s := stream{value: value, where: "message"}
	if len(value) > MaxBytes {
		s.fail("%d bytes, at most %d", len(value), MaxBytes)
		return nil, s.err
	}
	for n, at := 0, 0; ; n++ {
		s.where = fmt.Sprintf("message %d of the stream", n)
		next, more := s.message(at, n)
		if s.err != nil {
			return nil, s.err
		}
		if !more {
			if n == 0 {
				s.fail("no schema")
			} else if next != len(value) {
				s.fail("%d bytes follow the end of the stream", len(value)-next)
			}
			return s.fields, s.err
		}
		at = next
	}
}

// message walks the message at byte at, the n-th of the stream. more is false at the stream's end.
func (s *stream) message(at, n int) (next int, more bool) {
	if at == len(s.value) {
		return at, false // the end mark may be left out
	}
	head := flat(s.value[at:])
	mark, ok := head.u16(0)
	high, ok2 := head.u16(2)
	if ok && ok2 && mark == 0 && high == 0 {
		return at + 4, false // the end mark of before Arrow 0.15
	}
	if !ok || !ok2 || mark != 0xffff || high != 0xffff {
		s.fail("byte %d does not begin a message of an Arrow stream (a file, or a stream of before Arrow 0.15, is not read)", at)
		return 0, false
	}
	size, ok := head.u32(4)
	if !ok || size > len(head)-8 {
		s.fail("byte %d: metadata of %d bytes, %d are left", at+4, size, max(len(head)-8, 0))
		return 0, false
	}
	if size == 0 {
		return at + 8, false
	}
	b := flat(s.value[at+8 : at+8+size])
	body := s.value[at+8+size:]
	t, ok := b.root()
	if !ok {
		s.damaged("header")
		return 0, false
	}
	length, ok := b.number(t, 3, 8, 0)
	if !ok || length < 0 || length > int64(len(body)) {
		s.fail("body of %d bytes, %d are left", length, len(body))
		return 0, false
	}
	kind, ok1 := b.number(t, 1, 1, 0)
	header, there, ok2 := b.child(t, 2)
	_, ok3 := b.number(t, 0, 2, 0)
	if !ok1 || !ok2 || !ok3 || !there {
		s.damaged("header")
		return 0, false
	}
	s.header(b, kind, header, body[:length], n)
	return at + 8 + size + int(length), s.err == nil
}

// header walks what a message is about.
func (s *stream) header(b flat, kind int64, t table, body []byte, n int) {
	switch {
	case n == 0 && kind == headerSchema && len(body) == 0:
		s.schema(b, t)
	case n == 0:
		s.fail("not a schema: a Kafka message is one whole stream")
	case kind == headerDictionary:
		s.dictionary(b, t, body)
	case kind == headerBatch:
		for i := range s.fields {
			if f := &s.fields[i]; f.dictionary && !f.known {
				s.fail("a record batch before the dictionary of column %s", infoOf(f.column).name)
				return
			}
		}
		s.batch(b, t, body)
	default:
		s.fail("header type %d is neither a dictionary nor a record batch", kind)
	}
}

func (s *stream) schema(b flat, t table) {
	order, ok := b.number(t, 0, 2, 0)
	first, n, ok2 := b.vector(t, 1, 4)
	if !ok || !ok2 || !s.metadata(b, t, 2, true) {
		s.damaged("schema")
		return
	}
	if order != 0 {
		s.fail("big-endian values")
		return
	}
	if n == 0 || n > maxColumns {
		s.fail("%d columns, 1 to %d are possible", n, maxColumns)
		return
	}
	seen := [columns]bool{}
	for i := range n {
		e, ok := b.element(first, i)
		if !ok {
			s.damaged("schema")
			return
		}
		f, ok := s.field(b, e)
		if s.err != nil {
			return
		}
		if !ok {
			s.damaged("field %d of the schema", i)
			return
		}
		if seen[f.column] {
			s.fail("column %s is there twice", infoOf(f.column).name)
			return
		}
		seen[f.column] = true
		for j := range s.fields {
			if f.dictionary && s.fields[j].dictionary && s.fields[j].id == f.id {
				s.fail("columns %s and %s share a dictionary", infoOf(s.fields[j].column).name, infoOf(f.column).name)
				return
			}
		}
		s.fields = append(s.fields, f)
	}
}

// field reads a column of the schema. What the format does not allow is an error; ok is false for damaged bytes.
func (s *stream) field(b flat, t table) (f field, ok bool) {
	name, ok := b.text(t, 0)
	if !ok {
		return f, false
	}
	if f.column = columnNamed(name); f.column == noColumn {
		s.fail("column %.60q is unknown", name)
		return f, true
	}
	_, nullable := b.number(t, 1, 1, 0)
	kind, ok := b.number(t, 2, 1, 0)
	typ, there, ok2 := b.child(t, 3)
	_, children, ok3 := b.vector(t, 5, 4)
	if !nullable || !ok || !ok2 || !ok3 || !there || !s.metadata(b, t, 6, false) {
		return f, false
	}
	if children != 0 {
		s.fail("column %.60q has children", name)
		return f, true
	}
	f.typ = infoOf(f.column).typ
	d, isDictionary, ok := b.child(t, 4)
	if !ok || isDictionary && !b.dictionaryOf(d, &f) {
		return f, false
	}
	if !b.isType(kind, typ, &f) || f.dictionary && (f.typ != typeText || f.indexWidth == 0) {
		s.fail("column %s has the wrong type: docs/formats/reading-arrow.md has the right one", infoOf(f.column).name)
	}
	return f, true
}

// dictionaryOf reads how a column's dictionary is encoded; indexWidth stays 0 for indices that are not taken.
func (b flat) dictionaryOf(t table, f *field) bool {
	id, ok := b.number(t, 0, 8, 0)
	index, there, ok2 := b.child(t, 1)
	_, ok3 := b.number(t, 2, 1, 0)
	kind, ok4 := b.number(t, 3, 2, 0)
	if !ok || !ok2 || !ok3 || !ok4 {
		return false
	}
	f.dictionary, f.id = true, id
	if kind != 0 || !there { // without an index type it is int32 by the standard; the library panics
		return true
	}
	bits, ok := b.number(index, 0, 4, 0)
	signed, ok2 := b.number(index, 1, 1, 0)
	if !ok || !ok2 {
		return false
	}
	if signed == 1 && (bits == 8 || bits == 16 || bits == 32) {
		f.indexWidth = bits / 8
	}
	return true
}

// isType says whether a type of the schema is the column's.
func (b flat) isType(kind int64, t table, f *field) bool {
	switch {
	case f.typ == typeText:
		return kind == fbUtf8
	case kind == fbInt:
		bits, ok := b.number(t, 0, 4, 0)
		signed, ok2 := b.number(t, 1, 1, 0)
		want := int64(1)
		if f.typ == typeUint8 {
			want = 0
		}
		return ok && ok2 && bits == 8*f.typ.width() && signed == want
	case kind == fbTimestamp && f.column == atMs:
		unit, ok := b.number(t, 0, 2, 0)
		zone, ok2 := b.text(t, 1)
		f.timestamp = true
		return ok && ok2 && unit == 1 && string(zone) == "UTC"
	}
	return false
}

// metadata walks the pairs of texts that a field of t names, and checks the version if they are the schema's.
func (s *stream) metadata(b flat, t table, number int, ofSchema bool) bool {
	first, n, ok := b.vector(t, number, 4)
	if !ok || n > maxMetadata {
		return false
	}
	for i := range n {
		pair, ok := b.element(first, i)
		if !ok {
			return false
		}
		key, ok := b.text(pair, 0)
		value, ok2 := b.text(pair, 1)
		if !ok || !ok2 {
			return false
		}
		if ofSchema && string(key) == VersionKey && string(value) != Version {
			s.fail("%s is %.20q; this program reads %s", VersionKey, value, Version)
		}
		if string(key) == "ARROW:extension:name" {
			s.fail("extension type %.60q", value)
		}
	}
	return true
}

func (s *stream) damaged(format string, args ...any) {
	s.fail("the %s is damaged: something lies outside of it", fmt.Sprintf(format, args...))
}

// fail notes the first fault.
func (s *stream) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("arrow: %s: %s", s.where, fmt.Sprintf(format, args...))
	}
}

// u32At and others read values of a body, which the caller has checked to be there.
func u32At(b []byte, i int64) int64 { return int64(binary.LittleEndian.Uint32(b[4*i:])) }
