package reject

import (
	"encoding/binary"
	"errors"
)

// originalVersion leads the bytes of an Original.
const originalVersion = 1

// MaxValue is the largest value of a message that is kept in its reject, bytes. Sealed and as text it is a third more,
// and a record has to fit into Kafka's default of 1 MB. A larger one lies in its readings topic, while that keeps it.
const MaxValue = 512 << 10

// Original is what only the installation's private key shows of a rejected message.
type Original struct {
	Reason      string // in full
	ContentType []byte // header; nil: none
	Key         []byte // nil: none
	Value       []byte // nil: larger than MaxValue, or a tombstone
	Size        int    // bytes of the value
}

// AppendOriginal appends the bytes of an Original.
func AppendOriginal(dst []byte, reason string, contentType, key, value []byte) []byte {
	dst = append(dst, originalVersion)
	dst = appendBytes(dst, []byte(reason))
	dst = appendBytes(dst, contentType)
	dst = appendBytes(dst, key)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	if len(value) > MaxValue {
		value = nil
	}
	return appendBytes(dst, value)
}

// appendBytes writes 0 for nil, else the length + 1, then the bytes.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))+1), b...)
}

var errOriginal = errors.New("read the original of a reject: damaged, or of a later version")

// ParseOriginal reads what AppendOriginal wrote. The slices are those of b.
func ParseOriginal(b []byte) (o Original, err error) {
	if len(b) == 0 || b[0] != originalVersion {
		return Original{}, errOriginal
	}
	r := reader{b[1:], true}
	o.Reason = string(r.bytes())
	o.ContentType, o.Key = r.bytes(), r.bytes()
	size := r.uvarint()
	o.Value = r.bytes()
	if !r.ok || len(r.b) > 0 || size > 1<<40 || o.Value != nil && uint64(len(o.Value)) != size {
		return Original{}, errOriginal
	}
	o.Size = int(size)
	return o, nil
}

// reader reads from b; after a fault ok is false and all else is zero.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.ok = nil, false
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	switch {
	case n == 0:
		return nil
	case n-1 > uint64(len(r.b)):
		r.b, r.ok = nil, false
		return nil
	}
	v := r.b[: n-1 : n-1]
	r.b = r.b[n-1:]
	return v
}
