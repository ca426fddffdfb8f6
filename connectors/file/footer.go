package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	magic     = "PAR1"
	encrypted = "PARE"

	// maxFooter is the longest footer that is read: 14 columns of 10,000 row groups, with statistics, take about half.
	maxFooter = 32 << 20
	// maxColumns of a file: more than the schema knows are refused one by one.
	maxColumns = 64
	// maxRowsPerByte is how many rows a file may claim for each of its bytes. Readings have times of their own, so real
	// files are far below; without it a few bytes of "null, 2^31 times" are a night of rejects.
	maxRowsPerByte = 64
)

// Physical types, and codecs, by Parquet's numbers.
const (
	typeInt32     = 1
	typeInt64     = 2
	typeByteArray = 6

	codecNone   = 0
	codecSnappy = 1
	codecGzip   = 2
	codecZstd   = 6
)

// annotation is what a column's logical or converted type makes of its physical one.
type annotation uint8

const (
	asIs annotation = iota
	asText
	asInteger   // signed, or so narrow that it does not matter
	asUnsigned  // 32 or 64 bits
	asUTCMillis // a timestamp
	asOther     // anything else: it would mean something else than the column's name says
)

// leaf is a column as the schema of a file has it.
type leaf struct {
	name     string
	physical int64
	as       annotation
	optional bool
	repeated bool
	children int64
}

// chunkPlace is where the values of a column of a row group lie.
type chunkPlace struct {
	physical, codec, values int64
	at, size                int64 // bytes
}

// rowGroup is a row group of the footer.
type rowGroup struct {
	rows   int64
	chunks []chunkPlace
}

// footer is what a file says of itself, checked against what it has.
type footer struct {
	rows    int64
	columns []leaf
	groups  []rowGroup
}

// readFooter reads and checks the footer of a file of size bytes.
func readFooter(r io.ReaderAt, size int64) (*footer, error) {
	var tail [8]byte
	if size < int64(len(magic)+len(tail)) {
		return nil, fmt.Errorf("%d bytes are no Parquet file", size)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, fmt.Errorf("read the last 8 bytes: %w", err)
	}
	switch string(tail[4:]) {
	case magic:
	case encrypted:
		return nil, errors.New("the file is encrypted: that is not read")
	default:
		return nil, errors.New("it does not end with PAR1: no Parquet file, or one that was cut off")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > maxFooter || n > size-12 {
		return nil, fmt.Errorf("a footer of %d bytes in a file of %d (at most %d are read)", n, size, maxFooter)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-8-n); err != nil {
		return nil, fmt.Errorf("read the footer of %d bytes: %w", n, err)
	}
	f, err := parseFooter(b)
	if err != nil {
		return nil, err
	}
	return f, f.check(size, size-8-n)
}

// parseFooter reads a FileMetaData. What it makes is bounded by the bytes: a row group has all its columns, or is the
// last that is read.
func parseFooter(b []byte) (*footer, error) {
	f, c := &footer{}, &compact{b: b}
	var err error
	fail := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
		c.bad = true
	}
	root := int64(-1)
	c.fields(func(id int, typ byte) bool {
		switch id {
		case 2:
			c.structs(typ, func(i, n int) {
				if n > maxColumns+1 {
					fail("%d columns, at most %d", n-1, maxColumns)
					return
				}
				l := c.leaf()
				if i == 0 {
					root = l.children
					return
				}
				f.columns = append(f.columns, l)
			})
		case 3:
			f.rows = c.number(typ)
		case 4:
			c.structs(typ, func(i, _ int) {
				g := c.rowGroup(len(f.columns))
				if len(g.chunks) != len(f.columns) {
					fail("row group %d has %d columns, the schema %d", i, len(g.chunks), len(f.columns))
					return
				}
				f.groups = append(f.groups, g)
			})
		case 8:
			fail("the file is encrypted: that is not read")
		default:
			return false
		}
		return true
	})
	if err == nil && c.bad {
		err = fmt.Errorf("the footer is damaged at byte %d of %d", c.i, len(b))
	}
	if err == nil && root != int64(len(f.columns)) {
		err = fmt.Errorf("a root of %d columns, but there are %d: columns in columns are not read", root, len(f.columns))
	}
	return f, err
}

// leaf reads a SchemaElement.
func (c *compact) leaf() (l leaf) {
	l.physical = -1
	converted := int64(-1)
	c.fields(func(id int, typ byte) bool {
		switch id {
		case 1:
			l.physical = c.number(typ)
		case 3:
			v := c.number(typ)
			l.optional, l.repeated = v == 1, v != 0 && v != 1
		case 4:
			l.name = string(c.text(typ))
		case 5:
			l.children = c.number(typ)
		case 6:
			converted = c.number(typ)
		case 10:
			l.as = asOther
			return c.child(typ, func(id int, typ byte) bool { return c.logical(&l, id, typ) })
		default:
			return false
		}
		return true
	})
	if l.as == asIs { // the old way to say it, which new files have too
		switch {
		case converted == -1:
		case converted == 0 || converted == 4:
			l.as = asText
		case converted == 9:
			l.as = asUTCMillis
		case converted == 13 || converted == 14:
			l.as = asUnsigned
		case converted >= 11 && converted <= 18:
			l.as = asInteger
		default:
			l.as = asOther
		}
	}
	return l
}

// logical reads the member of a LogicalType.
func (c *compact) logical(l *leaf, id int, typ byte) bool {
	switch id {
	case 1, 4: // STRING, ENUM
		l.as = asText
	case 8: // TIMESTAMP
		utc, millis := false, false
		c.child(typ, func(id int, typ byte) bool {
			switch id {
			case 1:
				utc = c.flag(typ)
			case 2:
				return c.child(typ, func(id int, _ byte) bool {
					millis = id == 1
					return false
				})
			}
			return id == 1
		})
		if utc && millis {
			l.as = asUTCMillis
		}
		return true
	case 10: // INTEGER
		width, signed := int64(0), false
		c.child(typ, func(id int, typ byte) bool {
			switch id {
			case 1:
				width = c.number(typ)
			case 2:
				signed = c.flag(typ)
			default:
				return false
			}
			return true
		})
		l.as = asInteger
		if !signed && width > 16 {
			l.as = asUnsigned
		}
		return true
	}
	return false
}

// rowGroup reads a RowGroup of at most so many columns.
func (c *compact) rowGroup(columns int) (g rowGroup) {
	g.rows = -1
	c.fields(func(id int, typ byte) bool {
		switch id {
		case 1:
			c.structs(typ, func(_, n int) {
				if n != columns {
					c.bad = true
					return
				}
				if g.chunks == nil {
					g.chunks = make([]chunkPlace, 0, n)
				}
				g.chunks = append(g.chunks, c.chunk())
			})
		case 3:
			g.rows = c.number(typ)
		default:
			return false
		}
		return true
	})
	return g
}

// chunk reads a ColumnChunk.
func (c *compact) chunk() (p chunkPlace) {
	data, dictionary := int64(-1), int64(0)
	c.fields(func(id int, typ byte) bool {
		switch id {
		case 1: // file_path: the values are in another file
			c.bad = true
			return false
		case 3:
			return c.child(typ, func(id int, typ byte) bool {
				switch id {
				case 1:
					p.physical = c.number(typ)
				case 4:
					p.codec = c.number(typ)
				case 5:
					p.values = c.number(typ)
				case 7:
					p.size = c.number(typ)
				case 9:
					data = c.number(typ)
				case 11:
					dictionary = c.number(typ)
				default:
					return false
				}
				return true
			})
		}
		return false
	})
	p.at = data
	if dictionary > 0 && dictionary < data {
		p.at = dictionary
	}
	return p
}

// check holds a footer against the file: size bytes, of which those up to end are data.
func (f *footer) check(size, end int64) error {
	rows, bytes := int64(0), int64(0)
	for i := range f.groups {
		g := &f.groups[i]
		if g.rows < 0 || g.rows > size*maxRowsPerByte-rows {
			return fmt.Errorf("row group %d claims %d rows in a file of %d bytes", i, g.rows, size)
		}
		rows += g.rows
		for j := range g.chunks {
			p, l := &g.chunks[j], &f.columns[j]
			where := fmt.Sprintf("row group %d, column %.60q", i, l.name)
			switch {
			case p.at < int64(len(magic)) || p.size < 0 || p.at > end || p.size > end-p.at || p.size > size-bytes:
				return fmt.Errorf("%s: %d bytes at %d do not lie in the file's %d", where, p.size, p.at, end)
			case p.values != g.rows:
				return fmt.Errorf("%s: %d values of %d rows", where, p.values, g.rows)
			case p.physical != l.physical:
				return fmt.Errorf("%s: type %d, but %d in the schema", where, p.physical, l.physical)
			case p.codec != codecNone && p.codec != codecSnappy && p.codec != codecGzip && p.codec != codecZstd:
				return fmt.Errorf("%s: compression %d is not read: write it with zstd, snappy, gzip or none", where, p.codec)
			}
			bytes += p.size
		}
	}
	if rows != f.rows {
		return fmt.Errorf("%d rows, but the row groups have %d", f.rows, rows)
	}
	return nil
}
