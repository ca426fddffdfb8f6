package clickhouse

import (
	"fmt"
	"io"
	"sync"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/wattline/wattline/internal/invariant"
)

// nativeBody is the body of an insert over HTTP in ClickHouse's format Native, made column by column while it is read.
// The driver's own batch makes all columns anew for every insert and a buffer of all their bytes after it; touching that
// fresh memory was a third of the engine's CPU.
//
// net/http may read a body in the background for a while after it has returned. Whoever made the body calls detach
// before it lets go of what the columns are made of.
type nativeBody struct {
	mu      sync.Mutex
	columns int
	next    int // column; -1: the header is to come
	rows    int
	add     func(buf *proto.Buffer, column int) error // appends the column's name, type and values
	buf     *proto.Buffer
	pack    *compress.Writer // nil: as it is
	rest    []byte           // of what was made, not read yet
}

// Read has no peer in io.WriterTo on purpose: every access to the columns is within a Read, so detach can end them.
func (b *nativeBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.add == nil {
		return 0, io.ErrClosedPipe
	}
	for len(b.rest) == 0 {
		if b.next == b.columns {
			return 0, io.EOF
		}
		if err := b.make(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// make fills rest with the next piece.
func (b *nativeBody) make() error {
	b.buf.Reset()
	if b.next < 0 {
		b.buf.PutUVarInt(uint64(b.columns))
		b.buf.PutUVarInt(uint64(b.rows))
	} else if err := b.add(b.buf, b.next); err != nil {
		return err
	}
	b.next++
	b.rest = b.buf.Buf
	if b.pack == nil {
		return nil
	}
	if err := b.pack.Compress(b.rest); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	b.rest = b.pack.Data
	return nil
}

// detach ends the reading: what the columns are made of is the caller's again.
func (b *nativeBody) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add, b.rest = nil, nil
}

// wire is what the bytes of one insert at a time are made in.
type wire struct {
	buf  proto.Buffer
	pack *compress.Writer
}

// wires are kept for the next insert, as many as run at the same time. The largest holds a column of a block, some MB.
type wires struct {
	free chan *wire
	pack func() *compress.Writer
}

func newWires(compression string, n int) wires {
	w := wires{free: make(chan *wire, n), pack: func() *compress.Writer { return nil }}
	switch compression {
	case compressLZ4:
		w.pack = func() *compress.Writer { return compress.NewWriter(compress.LevelZero, compress.LZ4) }
	case compressZSTD:
		w.pack = func() *compress.Writer { return compress.NewWriter(1, compress.ZSTD) }
	}
	return w
}

func (w *wires) get() *wire {
	select {
	case x := <-w.free:
		return x
	default:
		return &wire{pack: w.pack()}
	}
}

func (w *wires) put(x *wire) {
	select {
	case w.free <- x:
	default:
	}
}

// adder is nativeBody's add for the columns of data. All have rows values, which is checked (C3).
func adder[T any](list []column[T], data *T, rows int) func(*proto.Buffer, int) error {
	return func(buf *proto.Buffer, i int) error {
		c := &list[i]
		buf.PutString(c.name)
		typ := c.typ
		if typ == typeLow {
			// The server makes the dictionary: ours would ask a map for every value, five times a row.
			typ = "String"
		}
		buf.PutString(typ)
		if n := encode(buf, c.of(data)); n != rows {
			return fmt.Errorf("column %s has %d values, want %d", c.name, n, rows)
		}
		return nil
	}
}

// encode appends values as format Native has them and returns how many they are.
func encode(buf *proto.Buffer, values any) int {
	switch v := values.(type) {
	case repeated:
		for range v.n {
			buf.PutString(v.value)
		}
		return v.n
	case nullable:
		proto.ColBool(v.null).EncodeColumn(buf)
		proto.ColInt64(v.values).EncodeColumn(buf)
		return len(v.values)
	case []string:
		for _, s := range v {
			buf.PutString(s)
		}
		return len(v)
	case []uuid.UUID:
		proto.ColUUID(v).EncodeColumn(buf)
		return len(v)
	case []int64:
		proto.ColInt64(v).EncodeColumn(buf)
		return len(v)
	case []int32:
		proto.ColInt32(v).EncodeColumn(buf)
		return len(v)
	case []int16:
		proto.ColInt16(v).EncodeColumn(buf)
		return len(v)
	case []int8:
		proto.ColInt8(v).EncodeColumn(buf)
		return len(v)
	case []uint64:
		proto.ColUInt64(v).EncodeColumn(buf)
		return len(v)
	case []uint32:
		proto.ColUInt32(v).EncodeColumn(buf)
		return len(v)
	case []uint16:
		proto.ColUInt16(v).EncodeColumn(buf)
		return len(v)
	case []bool:
		proto.ColBool(v).EncodeColumn(buf)
		return len(v)
	}
	invariant.Bug("column of %T", values)
	return 0
}
