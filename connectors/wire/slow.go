package wire

import (
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// lastByte is the number of bytes of a varint whose end is the lowest bit of stop.
func lastByte(stop uint64) int { return bits.TrailingZeros64(stop)>>3 + 1 }

// skip goes over a field that the caller does not know by its tag, at b[at]: a field of a later version, or a
// fault. In a batch the fields are those of a ReadingBatch. It returns the index after the field.
func skip(b []byte, at, base int, batch bool) (int, error) {
	tag, i := varint(b, at)
	if i < 0 {
		return 0, malformed(0, base+at, "the tag is no varint")
	}
	number := tag >> 3
	if number == 0 || number > 1<<29-1 {
		return 0, malformed(0, base+at, fmt.Sprintf("there is no field %d", number))
	}
	var next int
	switch tag & 7 {
	case typeVarint:
		if _, next = varint(b, i); next < 0 {
			return 0, badVarint(b, at, base)
		}
	case typeFixed64:
		next = i + 8
	case typeBytes:
		n, j := varint(b, i)
		if j < 0 {
			return 0, badVarint(b, at, base)
		}
		if n > uint64(len(b)-j) {
			return 0, malformed(number, base+at, fmt.Sprintf("%d bytes are announced, %d are left", n, len(b)-j))
		}
		next = j + int(n)
	case typeFixed32:
		next = i + 4
	case 3, 4:
		// Protobuf, but proto3 has no groups; to skip one would need a depth limit.
		return 0, &Error{Field: fieldName(number), Offset: base + at, Reason: "a group is not allowed"}
	default:
		return 0, malformed(number, base+at, fmt.Sprintf("wire type %d does not exist", tag&7))
	}
	if next > len(b) {
		return 0, malformed(number, base+at, "the message ends inside of the value")
	}
	if batch != (number >= firstBatchField) {
		return 0, &Error{Field: fieldName(number), Offset: base + at, Reason: fmt.Sprintf(
			"field %d in the wrong message: a Reading has those below %d, a ReadingBatch the others", number, firstBatchField)}
	}
	if want, known := wireType(number); known {
		reason := "the tag takes more bytes than it needs" // else the caller had known it
		if tag&7 != want {
			reason = fmt.Sprintf("wire type %d instead of %d", tag&7, want)
		}
		return 0, &Error{Field: fieldName(number), Offset: base + at, Reason: reason}
	}
	return next, nil
}

// wireType is the wire type of a known field.
func wireType(number uint64) (want uint64, known bool) {
	switch number {
	case 2, 4, 14, 15, 33, 34, 36:
		return typeBytes, true
	case 5:
		return typeFixed64, true
	case 1, 3, 6, 7, 8, 9, 10, 11, 12, 13, 32, 35:
		return typeVarint, true
	}
	return 0, false
}

func malformed(number uint64, offset int, reason string) error {
	name := "message"
	if number != 0 {
		name = fieldName(number)
	}
	return &Error{Field: name, Offset: offset, Reason: reason, Malformed: true}
}

// badVarint says that the value of the field at b[at] is no varint.
func badVarint(b []byte, at, base int) error {
	tag, i := varint(b, at)
	if i < 0 {
		return malformed(0, base+at, "the tag is no varint")
	}
	return malformed(tag>>3, base+at, "the varint is cut off or longer than 64 bits")
}

func versionError(offset int, version uint64) error {
	return &Error{Field: "version", Offset: offset, Reason: fmt.Sprintf("%d; this program reads version %d", version, Version)}
}

// rangeError says what is wrong with the known field at b[at], whose value or length is v. i is the index
// after it, or where its text begins if that is too long.
func rangeError(b []byte, at, i, base int, v uint64) error {
	tag, _ := varint(b, at)
	number := tag >> 3
	e := &Error{Field: fieldName(number), Offset: base + at}
	limit := 0
	switch number {
	case 1, 32:
		return versionError(base+at, v)
	case 2, 34:
		limit = MaxChargePoint
	case 4, 36:
		limit = MaxTransaction
	case 14:
		limit = MaxMessageID
	case 15:
		limit = MaxToken
	case 3, 35:
		e.Reason = fmt.Sprintf("%d is out of range: 0 to 2147483647", v)
	case 5:
		e.Reason = fmt.Sprintf("%d is out of range: 0 to %d", int64(v), int64(MaxAtMs))
	case 6, 7, 8:
		e.Reason = "the smallest number of 64 bits can not be said"
	case 9, 13:
		e.Reason = fmt.Sprintf("%d is negative", int64(v))
	default:
		e.Reason = fmt.Sprintf("%d is no value of this enum", v)
	}
	switch {
	case limit == 0:
	case v > uint64(limit):
		e.Reason = fmt.Sprintf("%d bytes, at most %d", v, limit)
	case i >= int(v) && !utf8.Valid(b[i-int(v):i]):
		e.Reason, e.Malformed = "not UTF-8", true
	}
	return e
}

// inReading names the reading of a batch in an error of decodeFields.
func inReading(err error, index int) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.Field = fmt.Sprintf("readings[%d].%s", index, e.Field)
	}
	return err
}
