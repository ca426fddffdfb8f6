package arrowipc

import "encoding/binary"

// Flatbuffers, as far as Arrow's metadata need them. Every function says by ok whether what it read lies inside of b;
// the library checks nothing, so nothing that it reads may be left out here.

// flat is the metadata of one message.
type flat []byte

// table is the place of a table in a flat, with its vtable.
type table struct {
	pos    int // of the table
	vtable int
	fields int // entries of the vtable
}

func (b flat) u16(i int) (int, bool) {
	if i < 0 || i > len(b)-2 {
		return 0, false
	}
	return int(binary.LittleEndian.Uint16(b[i:])), true
}

// u32 reads a length or an offset; more than int32 can say is none.
func (b flat) u32(i int) (int, bool) {
	if i < 0 || i > len(b)-4 {
		return 0, false
	}
	v := binary.LittleEndian.Uint32(b[i:])
	return int(v), v < 1<<31
}

func (b flat) i64(i int) (int64, bool) {
	if i < 0 || i > len(b)-8 {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(b[i:])), true
}

// follow reads the offset at i and returns the place that it names.
func (b flat) follow(i int) (int, bool) {
	off, ok := b.u32(i)
	return i + off, ok && off > 0 && i+off <= len(b)
}

// root is the table that the flat begins with.
func (b flat) root() (table, bool) {
	pos, ok := b.follow(0)
	if !ok {
		return table{}, false
	}
	return b.table(pos)
}

// table reads the head of the table at pos, whose vtable lies inside of b. The size that the vtable gives the table is
// not believed, and not held against anything: Go's builder of flatbuffers shares vtables between tables of other sizes.
func (b flat) table(pos int) (t table, ok bool) {
	if pos < 0 || pos > len(b)-4 {
		return t, false
	}
	t.pos = pos
	t.vtable = pos - int(int32(binary.LittleEndian.Uint32(b[pos:])))
	bytes, ok := b.u16(t.vtable)
	if !ok || bytes < 4 || bytes%2 != 0 || t.vtable+bytes > len(b) {
		return t, false
	}
	t.fields = bytes/2 - 2
	return t, true
}

// field is the place of a table's field of size bytes; there is false for one that the table does not have.
func (b flat) field(t table, number, size int) (pos int, there, ok bool) {
	if number >= t.fields {
		return 0, false, true
	}
	off, ok := b.u16(t.vtable + 4 + 2*number)
	if !ok || off == 0 {
		return 0, false, ok
	}
	return t.pos + off, true, off >= 4 && t.pos+off+size <= len(b)
}

// number reads a field that is an integer of size bytes, with its default.
func (b flat) number(t table, number, size int, missing int64) (int64, bool) {
	pos, there, ok := b.field(t, number, size)
	if !ok || !there {
		return missing, ok
	}
	switch size {
	case 1:
		return int64(b[pos]), true
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b[pos:]))), true
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b[pos:]))), true
	}
	return b.i64(pos)
}

// child is the table that a field names.
func (b flat) child(t table, number int) (c table, there, ok bool) {
	pos, there, ok := b.field(t, number, 4)
	if !ok || !there {
		return c, false, ok
	}
	if pos, ok = b.follow(pos); !ok {
		return c, true, false
	}
	c, ok = b.table(pos)
	return c, true, ok
}

// vector is the vector that a field names: the place of its first element, and how many of size bytes it has. A field
// that is not there is an empty one.
func (b flat) vector(t table, number, size int) (first, n int, ok bool) {
	pos, there, ok := b.field(t, number, 4)
	if !ok || !there {
		return 0, 0, ok
	}
	if pos, ok = b.follow(pos); !ok {
		return 0, 0, false
	}
	if n, ok = b.u32(pos); !ok || int64(n)*int64(size) > int64(len(b)-pos-4) {
		return 0, 0, false
	}
	return pos + 4, n, true
}

// text is the string that a field names.
func (b flat) text(t table, number int) ([]byte, bool) {
	first, n, ok := b.vector(t, number, 1)
	if !ok {
		return nil, false
	}
	return b[first : first+n], true
}

// element is the table that an element of a vector of tables names.
func (b flat) element(first, i int) (table, bool) {
	pos, ok := b.follow(first + 4*i)
	if !ok {
		return table{}, false
	}
	return b.table(pos)
}
