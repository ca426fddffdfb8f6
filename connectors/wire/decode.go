package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/wattline/wattline/rating"
)

const (
	maxInt32  = 1<<31 - 1
	maxInt64  = 1<<63 - 1
	maxUint64 = 1<<64 - 1 // the smallest int64 in zigzag
)

// Decode appends the readings of one Kafka message to dst and returns the longer dst. The byte slices of the
// readings point into value, which the caller owns and must keep as it is for as long as it uses them. key is
// not read: a Reading without charge point leaves ChargePoint empty, which means the key.
//
// On an error (an *Error) dst is returned with its old length; what lies behind it may be overwritten.
func Decode(_, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
	if isBatch(value) {
		return decodeBatch(value, dst)
	}
	out, r := extend(dst)
	version, err := decodeFields(value, 0, r)
	if err == nil && version != Version {
		err = versionError(len(value), version)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// isBatch tells the two messages apart by the number of the first field (W4). What has no whole first tag is
// taken as a Reading: its decoder says what is wrong.
func isBatch(value []byte) bool {
	if len(value) == 0 || value[0] < 0x80 {
		return false // a tag of one byte is a field below 16
	}
	tag, _ := binary.Uvarint(value)
	return tag>>3 >= firstBatchField
}

// extend adds one reading to dst that says nothing (W1).
func extend(dst []rating.Reading) ([]rating.Reading, *rating.Reading) {
	n := len(dst)
	if n < cap(dst) {
		dst = dst[:n+1]
	} else {
		dst = append(dst, rating.Reading{})
	}
	r := &dst[n]
	*r = rating.Reading{
		AtMs: rating.Unknown, RegisterMwh: rating.Unknown, PowerMicroW: rating.Unknown,
		CurrentNanoA: rating.Unknown, Seq: rating.Unknown,
	}
	return dst, r
}

// decodeFields reads the fields of one Reading into r, which says nothing yet. base is the offset of b in the message, for errors. It returns
// the version, 0 if the bytes do not say it.
func decodeFields(b []byte, base int, r *rating.Reading) (version uint64, _ error) {
	for i := 0; i < len(b); {
		tag, at := b[i], i
		i++
		var v uint64
		if kind := tag & 7; kind == typeVarint || kind == typeBytes {
			if i < len(b) && b[i] < 0x80 {
				v = uint64(b[i])
				i++
			} else if v, i = varint(b, i); i < 0 {
				return 0, badVarint(b, at, base)
			}
			if kind == typeBytes && tag < 0x80 && v > uint64(len(b)-i) {
				return 0, malformed(uint64(tag>>3), base+at, fmt.Sprintf("%d bytes are announced, %d are left", v, len(b)-i))
			}
		}
		ok := true
		switch tag {
		case tagVersion:
			version, ok = v, v == Version
		case tagChargePoint:
			r.ChargePoint, i, ok = text(b, i, v, MaxChargePoint)
		case tagConnector:
			r.Connector, ok = int32(v), v <= maxInt32
		case tagTransaction:
			r.Transaction, i, ok = text(b, i, v, MaxTransaction)
		case tagAtMs:
			if len(b)-i < 8 {
				return 0, malformed(5, base+at, "the message ends inside of the value")
			}
			v = binary.LittleEndian.Uint64(b[i:])
			i += 8
			r.AtMs, ok = int64(v), v <= MaxAtMs
		case tagRegister:
			r.RegisterMwh, ok = int64(v), int64(v) != rating.Unknown
		case tagPower:
			r.PowerMicroW, ok = unzigzag(v), v != maxUint64
		case tagCurrent:
			r.CurrentNanoA, ok = unzigzag(v), v != maxUint64
		case tagSeq:
			r.Seq, ok = int64(v), v <= maxInt64
		case tagState:
			r.State, ok = rating.ChargeState(v), v <= uint64(rating.StateReservationExpired)
		case tagKind:
			r.Kind, ok = rating.Kind(v), v <= uint64(rating.KindStatus)
		case tagContext:
			r.Context, ok = rating.Context(v), v <= uint64(rating.ContextOther)
		case tagResolution:
			r.ResolutionMwh, ok = int64(v), v <= maxInt64
		case tagMessageID:
			r.MessageID, i, ok = text(b, i, v, MaxMessageID)
		case tagToken:
			r.Token, i, ok = text(b, i, v, MaxToken)
		default:
			var err error
			if i, err = skip(b, at, base, false); err != nil {
				return 0, err
			}
		}
		if !ok {
			return 0, rangeError(b, at, i, base, v)
		}
	}
	return version, nil
}

// decodeBatch reads a ReadingBatch. What the batch says for all its readings may stand before or after them.
func decodeBatch(b []byte, dst []rating.Reading) ([]rating.Reading, error) {
	var chargePoint, transaction []byte
	var connector int32
	version := uint64(0)
	out := dst
	for i := 0; i < len(b); {
		at := i
		tag, i2 := varint(b, i)
		if i2 < 0 {
			return dst, malformed(0, at, "the tag is no varint")
		}
		if tag < tagBatchVersion || tag > tagBatchTransaction {
			var err error
			if i, err = skip(b, at, 0, true); err != nil {
				return dst, err
			}
			continue
		}
		v, i2 := varint(b, i2)
		if i2 < 0 && (tag&7 == typeVarint || tag&7 == typeBytes) {
			return dst, badVarint(b, at, 0)
		}
		if tag&7 == typeBytes && v > uint64(len(b)-i2) {
			return dst, malformed(tag>>3, at, fmt.Sprintf("%d bytes are announced, %d are left", v, len(b)-i2))
		}
		i = i2
		ok := true
		switch tag {
		case tagBatchReadings:
			n := len(out) - len(dst)
			if n == MaxReadings {
				return dst, &Error{Field: "readings", Offset: at, Reason: fmt.Sprintf("more than %d readings", MaxReadings)}
			}
			var r *rating.Reading
			out, r = extend(out)
			if _, err := decodeFields(b[i:i+int(v)], i, r); err != nil {
				return dst, inReading(err, n)
			}
			i += int(v)
		case tagBatchVersion:
			version, ok = v, v == Version
		case tagBatchChargePoint:
			chargePoint, i, ok = text(b, i, v, MaxChargePoint)
		case tagBatchConnector:
			connector, ok = int32(v), v <= maxInt32
		case tagBatchTransaction:
			transaction, i, ok = text(b, i, v, MaxTransaction)
		default:
			var err error
			if i, err = skip(b, at, 0, true); err != nil {
				return dst, err
			}
		}
		if !ok {
			return dst, rangeError(b, at, i, 0, v)
		}
	}
	if version != Version {
		return dst, versionError(len(b), version)
	}
	if len(chargePoint) != 0 || len(transaction) != 0 || connector != 0 {
		inherit(out[len(dst):], chargePoint, connector, transaction)
	}
	return out, nil
}

// inherit gives to readings what their batch says for those that say nothing.
func inherit(readings []rating.Reading, chargePoint []byte, connector int32, transaction []byte) {
	for i := range readings {
		r := &readings[i]
		if len(r.ChargePoint) == 0 {
			r.ChargePoint = chargePoint
		}
		if r.Connector == 0 {
			r.Connector = connector
		}
		if len(r.Transaction) == 0 {
			r.Transaction = transaction
		}
	}
}

// varint reads a varint at b[i]; the new i is -1 if it is cut off or longer than 64 bits.
func varint(b []byte, i int) (v uint64, next int) {
	if len(b)-i >= 8 {
		// Without a branch for each byte: registers, powers and currents take five or six.
		x := binary.LittleEndian.Uint64(b[i:])
		stop := ^x & 0x8080808080808080
		if stop != 0 {
			x &= stop ^ (stop - 1) // up to and with the last byte's top bit, which is 0
			x = x&0x007f007f007f007f | x>>1&0x3f803f803f803f80
			x = x&0x00003fff00003fff | x>>2&0x0fffc0000fffc000
			x = x&0x000000000fffffff | x>>4&0x00fffffff0000000
			return x, i + lastByte(stop)
		}
	}
	if i > len(b) {
		return 0, -1
	}
	v, n := binary.Uvarint(b[i:])
	if n <= 0 {
		return 0, -1
	}
	return v, i + n
}

// text reads n bytes at b[i] as text of at most limit bytes. The caller has checked that they are there. ok is
// false if they are too many, or not UTF-8.
func text(b []byte, i int, n uint64, limit int) (v []byte, next int, ok bool) {
	next = i + int(n)
	if n > uint64(limit) || next > len(b) {
		return nil, i, false
	}
	v = b[i:next:next]
	return v, next, ascii(v) || utf8.Valid(v)
}

// ascii says whether all bytes of v are below 0x80.
func ascii(v []byte) bool {
	const top = 0x8080808080808080
	all := uint64(0)
	for len(v) >= 8 {
		all |= binary.LittleEndian.Uint64(v)
		v = v[8:]
	}
	for _, c := range v {
		all |= uint64(c)
	}
	return all&top == 0
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
