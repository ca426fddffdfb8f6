package file

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// reader reads the rows of a file in order, one row group after the other.
type reader struct {
	r       io.ReaderAt
	foot    *footer
	columns []column // of the file's columns
	zstd    *zstd.Decoder
	group   int   // the next
	left    int64 // rows of the group at hand
	row     int64 // number of the next row in the file
	values  []values
}

// newReader checks the footer of a file of size bytes. The caller keeps r open and calls close.
func newReader(r io.ReaderAt, size int64) (*reader, error) {
	foot, err := readFooter(r, size)
	if err != nil {
		return nil, err
	}
	list, err := columnsOf(foot.columns)
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &reader{r: r, foot: foot, columns: list, zstd: dec}, nil
}

func (d *reader) close() { d.zstd.Close() }

// errEnd says that all rows were read.
var errEnd = errors.New("no more rows")

// next reads the next row into dst: errEnd after the last one. Texts of dst stay as they are for ever. A panic is an
// error: a belt, for what the checks hold, because files come from anywhere.
func (d *reader) next(dst *row) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("row %d: the reader fails: %v (a bug: the file is not what it expects)", d.row, p)
		}
	}()
	for d.left == 0 {
		if d.group == len(d.foot.groups) {
			return errEnd
		}
		d.open()
	}
	dst.reset()
	for i := range d.values {
		n, text, null, err := d.values[i].next()
		switch {
		case err != nil:
			return fmt.Errorf("row %d (row group %d), column %s: %w", d.row, d.group-1, infoOf(d.columns[i]).name, err)
		case null:
		case infoOf(d.columns[i]).kind == kindText:
			dst.setText(d.columns[i], text)
		default:
			dst.setNumber(d.columns[i], n)
		}
	}
	d.left--
	d.row++
	return nil
}

// open begins the next row group.
func (d *reader) open() {
	g := &d.foot.groups[d.group]
	d.group++
	d.left = g.rows
	d.values = d.values[:0]
	for i := range g.chunks {
		p := &g.chunks[i]
		d.values = append(d.values, values{
			pages:    pages{r: d.r, at: p.at, end: p.at + p.size, codec: p.codec, zstd: d.zstd},
			physical: p.physical, optional: d.foot.columns[i].optional,
		})
	}
}
