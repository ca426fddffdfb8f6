package file

import "encoding/binary"

// Thrift's compact protocol, as far as Parquet's footers and page headers need it. Nothing is allocated for what the
// bytes say, only for what they hold; the first thing that is wrong sets bad, and all reads after it give zeros.

// Types of the protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// maxDepth is how deep structs may lie in each other; Parquet's own are less than 8 deep.
const maxDepth = 16

// compact reads b from i on.
type compact struct {
	b     []byte
	i     int
	depth int
	bad   bool
}

func (c *compact) octet() byte {
	if c.bad || c.i >= len(c.b) {
		c.bad = true
		return 0
	}
	c.i++
	return c.b[c.i-1]
}

func (c *compact) uvarint() uint64 {
	if c.bad {
		return 0
	}
	v, n := binary.Uvarint(c.b[c.i:])
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.i += n
	return v
}

// number reads an integer field of any width.
func (c *compact) number(typ byte) int64 {
	switch {
	case typ == thriftByte:
		return int64(int8(c.octet()))
	case typ > thriftByte && typ <= thriftI64:
		v := c.uvarint()
		return int64(v>>1) ^ -int64(v&1)
	}
	c.bad = true
	return 0
}

// flag reads a bool field, whose value is in its type.
func (c *compact) flag(typ byte) bool {
	c.bad = c.bad || typ != thriftTrue && typ != thriftFalse
	return typ == thriftTrue
}

// text reads a binary field. The result points into b.
func (c *compact) text(typ byte) []byte {
	n := c.uvarint()
	if typ != thriftBinary || c.bad || n > uint64(len(c.b)-c.i) {
		c.bad = true
		return nil
	}
	c.i += int(n)
	return c.b[c.i-int(n) : c.i]
}

// structs reads a field that is a list of structs and calls fn for each element, which must read it.
func (c *compact) structs(typ byte, fn func(i, n int)) {
	n, element := c.list(typ)
	c.bad = c.bad || element != thriftStruct && n > 0
	for i := 0; i < n && !c.bad; i++ {
		fn(i, n)
	}
}

// list reads the head of a list or set: each element takes at least a byte.
func (c *compact) list(typ byte) (n int, element byte) {
	head := c.octet()
	size := uint64(head >> 4)
	if size == 15 {
		size = c.uvarint()
	}
	if typ != thriftList && typ != thriftSet || c.bad || size > uint64(len(c.b)-c.i) {
		c.bad = true
		return 0, 0
	}
	return int(size), head & 15
}

// fields reads a struct and calls fn for each field. fn returns false for one that it has not read: it is skipped.
func (c *compact) fields(fn func(id int, typ byte) bool) {
	c.depth++
	defer func() { c.depth-- }()
	c.bad = c.bad || c.depth > maxDepth
	for id := 0; !c.bad; {
		head := c.octet()
		if head == 0 {
			return
		}
		if delta := int(head >> 4); delta != 0 {
			id += delta
		} else {
			id = int(int16(c.number(thriftI64)))
		}
		if !fn(id, head&15) {
			c.skip(head & 15)
		}
	}
}

// child reads a field that is a struct.
func (c *compact) child(typ byte, fn func(id int, typ byte) bool) bool {
	c.bad = c.bad || typ != thriftStruct
	c.fields(fn)
	return true
}

// skip reads a value of any type and forgets it.
func (c *compact) skip(typ byte) {
	switch typ {
	case thriftTrue, thriftFalse:
	case thriftDouble:
		c.bad = c.bad || len(c.b)-c.i < 8
		c.i += 8
	case thriftBinary:
		c.text(typ)
	case thriftList, thriftSet:
		n, element := c.list(typ)
		for ; n > 0 && !c.bad; n-- {
			c.skipElement(element)
		}
	case thriftMap:
		n := c.uvarint()
		types := byte(0)
		if n > 0 {
			types = c.octet()
		}
		c.bad = c.bad || n > uint64(len(c.b)-c.i)
		for ; n > 0 && !c.bad; n-- {
			c.skipElement(types >> 4)
			c.skipElement(types & 15)
		}
	case thriftStruct:
		c.fields(func(int, byte) bool { return false })
	default:
		c.number(typ)
	}
}

// skipElement skips an element of a list, where a bool is a byte of its own.
func (c *compact) skipElement(typ byte) {
	c.depth++
	defer func() { c.depth-- }()
	switch {
	case c.depth > maxDepth:
		c.bad = true
	case typ == thriftTrue || typ == thriftFalse:
		c.octet()
	default:
		c.skip(typ)
	}
}
