package file

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	pq "github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// groupRows are the rows of a row group of what is written. The library keeps a row group in memory.
const groupRows = 128 << 10

// VersionKey and Version say in the metadata of a written file which columns it has.
const (
	VersionKey = "wattline.rated.version"
	Version    = "2"
)

// table writes the rows T to one file, *.part until finish.
type table[T any] struct {
	name    string
	columns []out[T]
	f       *os.File
	buffer  *bufio.Writer
	w       *pq.Writer
	group   pq.BufferedRowGroupWriter
	inGroup int
	rows    int64

	// Scratch of a column.
	int64s []int64
	int32s []int32
	bools  []bool
	texts  []parquet.ByteArray
	levels []int16
	arena  []byte
}

func newTable[T any](name string, columns []out[T]) (*table[T], error) {
	f, err := os.Create(name + ".part")
	if err != nil {
		return nil, err
	}
	t := &table[T]{name: name, columns: columns, f: f, buffer: bufio.NewWriterSize(f, 1<<20)}
	fields := make(schema.FieldList, len(columns))
	for i := range columns {
		fields[i] = columns[i].node()
	}
	root, err := schema.NewGroupNode("rows", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("schema of %s: %w", name, err), f.Close())
	}
	kv := metadata.NewKeyValueMetadata()
	if err := kv.Append(VersionKey, Version); err != nil {
		return nil, errors.Join(fmt.Errorf("metadata of %s: %w", name, err), f.Close())
	}
	props := []parquet.WriterProperty{parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCreatedBy("wattline")}
	for i := range columns {
		if k := columns[i].kind; k == outText || k == outUUID {
			// The library's statistics keep the least and the greatest text themselves, not copies: ours are used again.
			props = append(props, parquet.WithStatsFor(columns[i].name, false))
		}
	}
	t.w = pq.NewParquetWriter(t.buffer, root, pq.WithWriterProps(parquet.NewWriterProperties(props...)), pq.WithWriteMetadata(kv))
	return t, nil
}

// append writes n rows. It keeps none of them.
func (t *table[T]) append(rows *T, n int) error {
	if n == 0 {
		return nil
	}
	if t.group == nil {
		t.group = t.w.AppendBufferedRowGroup()
	}
	for i := range t.columns {
		w, err := t.group.Column(i)
		if err == nil {
			err = t.column(&t.columns[i], w, rows, n)
		}
		if err != nil {
			return fmt.Errorf("write column %s of %s: %w", t.columns[i].name, t.name, err)
		}
	}
	t.rows += int64(n)
	if t.inGroup += n; t.inGroup >= groupRows {
		return t.endGroup()
	}
	return nil
}

func (t *table[T]) endGroup() error {
	if t.group == nil {
		return nil
	}
	if err := t.group.Close(); err != nil {
		return fmt.Errorf("write a row group of %s: %w", t.name, err)
	}
	t.group, t.inGroup = nil, 0
	return nil
}

func (t *table[T]) column(o *out[T], w pq.ColumnChunkWriter, rows *T, n int) (err error) {
	levels := []int16(nil)
	if o.null != nil {
		t.levels = t.levels[:0]
		for i := range n {
			t.levels = append(t.levels, 1-int16(truth(o.null(rows, i))))
		}
		levels = t.levels
	}
	there := func(i int) bool { return levels == nil || levels[i] == 1 }
	switch w := w.(type) {
	case *pq.Int64ColumnChunkWriter:
		t.int64s = t.int64s[:0]
		for i := range n {
			if there(i) {
				t.int64s = append(t.int64s, o.number(rows, i))
			}
		}
		_, err = w.WriteBatch(t.int64s, levels, nil)
	case *pq.Int32ColumnChunkWriter:
		t.int32s = t.int32s[:0]
		for i := range n {
			t.int32s = append(t.int32s, int32(o.number(rows, i)))
		}
		_, err = w.WriteBatch(t.int32s, levels, nil)
	case *pq.BooleanColumnChunkWriter:
		t.bools = t.bools[:0]
		for i := range n {
			t.bools = append(t.bools, o.number(rows, i) == 1)
		}
		_, err = w.WriteBatch(t.bools, levels, nil)
	case *pq.ByteArrayColumnChunkWriter:
		t.takeTexts(o, rows, n)
		_, err = w.WriteBatch(t.texts, levels, nil)
		clear(t.texts)
	default:
		err = fmt.Errorf("no writer for %T", w)
	}
	return err
}

// takeTexts fills texts; they are only read, and only until the column is written.
func (t *table[T]) takeTexts(o *out[T], rows *T, n int) {
	t.texts, t.arena = t.texts[:0], t.arena[:0]
	if o.kind != outUUID {
		for i := range n {
			s := o.text(rows, i)
			t.texts = append(t.texts, unsafe.Slice(unsafe.StringData(s), len(s)))
		}
		return
	}
	const size = 36
	for i := range n {
		t.arena = appendUUID(t.arena, o.id(rows, i))
	}
	for i := range n {
		t.texts = append(t.texts, t.arena[size*i:size*(i+1)])
	}
}

// end makes the file whole and durable, unless err says that it can not be. It returns the first error.
func (t *table[T]) end(err error) error {
	if err == nil {
		err = t.endGroup()
	}
	if err == nil {
		if err = errors.Join(t.w.Close(), t.buffer.Flush()); err != nil {
			err = fmt.Errorf("write the end of %s: %w", t.name, err)
		}
	}
	return endFile(t.f, err)
}

// endFile makes a file durable, unless err says that it is not whole, and closes it. It returns the first error.
func endFile(f *os.File, err error) error {
	if err != nil {
		_ = f.Close() // it is to be removed
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return nil
}
