package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxPage is the largest page, compressed or not: writers make pages of 1 MiB, some of a whole row group's column.
	maxPage = 64 << 20
	// headerBytes are read for a page's header at first: more only where statistics are long.
	headerBytes    = 1 << 10
	maxHeaderBytes = 1 << 20
)

// Page types and encodings, by Parquet's numbers.
const (
	pageData       = 0
	pageIndex      = 1
	pageDictionary = 2

	encodingPlain           = 0
	encodingPlainDictionary = 2
	encodingRLE             = 3
	encodingRLEDictionary   = 8
)

// pageHeader is a PageHeader. values is what data or dictionary header says.
type pageHeader struct {
	kind, plain, packed int64 // plain, packed: bytes without and with compression
	values              int64
	encoding, levels    int64 // levels: the encoding of definition levels
	length              int   // bytes of the header itself
}

func parsePageHeader(b []byte) (h pageHeader, ok bool) {
	c := &compact{b: b}
	h = pageHeader{kind: -1, plain: -1, packed: -1, values: -1, encoding: -1, levels: -1}
	of := func(id int, typ byte) bool {
		switch id {
		case 1:
			h.values = c.number(typ)
		case 2:
			h.encoding = c.number(typ)
		case 3:
			if typ == thriftTrue || typ == thriftFalse { // is_sorted of a dictionary
				return false
			}
			h.levels = c.number(typ)
		default:
			return false
		}
		return true
	}
	c.fields(func(id int, typ byte) bool {
		switch id {
		case 1:
			h.kind = c.number(typ)
		case 2:
			h.plain = c.number(typ)
		case 3:
			h.packed = c.number(typ)
		case 5, 7:
			return c.child(typ, of)
		default:
			return false
		}
		return true
	})
	h.length = c.i
	return h, !c.bad
}

// pages reads the pages of a column of a row group, one after the other.
type pages struct {
	r       io.ReaderAt
	at, end int64
	codec   int64
	zstd    *zstd.Decoder // of the file
	head    []byte
}

// next reads the next page that has values or a dictionary. data is new memory, at most maxPage.
func (p *pages) next() (h pageHeader, data []byte, err error) {
	for {
		if h, err = p.header(); err != nil {
			return h, nil, err
		}
		p.at += int64(h.length)
		switch {
		case h.packed < 0 || h.packed > min(maxPage, p.end-p.at):
			return h, nil, fmt.Errorf("a page of %d bytes, %d are left (at most %d are read)", h.packed, p.end-p.at, maxPage)
		case h.plain < 0 || h.plain > maxPage:
			return h, nil, fmt.Errorf("a page of %d bytes without compression, at most %d are read", h.plain, maxPage)
		case h.kind == pageIndex:
			p.at += h.packed
			continue
		case h.kind != pageData && h.kind != pageDictionary:
			return h, nil, fmt.Errorf("page type %d is not read: write data pages of version 1", h.kind)
		}
		packed := make([]byte, h.packed)
		if _, err := p.r.ReadAt(packed, p.at); err != nil {
			return h, nil, fmt.Errorf("read a page of %d bytes at %d: %w", h.packed, p.at, err)
		}
		p.at += h.packed
		if data, err = p.unpack(packed, int(h.plain)); err != nil {
			return h, nil, fmt.Errorf("a page of %d bytes: %w", h.packed, err)
		}
		return h, data, nil
	}
}

func (p *pages) header() (pageHeader, error) {
	for n := int64(headerBytes); ; n *= 4 {
		n = min(n, p.end-p.at)
		if n <= 0 {
			return pageHeader{}, errors.New("there are fewer values than rows")
		}
		if int64(cap(p.head)) < n {
			p.head = make([]byte, n)
		}
		b := p.head[:n]
		if _, err := p.r.ReadAt(b, p.at); err != nil {
			return pageHeader{}, fmt.Errorf("read a page's header at %d: %w", p.at, err)
		}
		if h, ok := parsePageHeader(b); ok {
			return h, nil
		}
		if n == p.end-p.at || n >= maxHeaderBytes {
			return pageHeader{}, fmt.Errorf("the page header at %d is damaged", p.at)
		}
	}
}

var errSize = errors.New("it has another size than its header says")

// unpack returns the size bytes that packed holds. Nothing beyond size, or maxPage for zstd, is made of it.
func (p *pages) unpack(packed []byte, size int) (data []byte, err error) {
	switch p.codec {
	case codecSnappy:
		if n, err := snappy.DecodedLen(packed); err != nil || n != size {
			return nil, errors.Join(errSize, err)
		}
		data, err = snappy.Decode(make([]byte, size), packed)
	case codecZstd:
		data, err = p.zstd.DecodeAll(packed, make([]byte, 0, size))
	case codecGzip:
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		data = make([]byte, size)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, errors.Join(errSize, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			return nil, errors.Join(errSize, err)
		}
		return data, nil
	default:
		data = packed
	}
	if err == nil && len(data) != size {
		err = errSize
	}
	return data, err
}
