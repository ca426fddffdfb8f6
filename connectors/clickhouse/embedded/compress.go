package embedded

import (
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decodeBody undoes Content-Encoding and then ClickHouse's own block
// compression (decompress=1). close frees the decoders, not body.
func decodeBody(body io.Reader, encoding string, blocks bool) (r io.Reader, closeFn func(), err error) {
	r, closeFn = body, func() {}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(body)
	case "deflate": // as the server and the driver have it: the zlib format
		r, err = zlib.NewReader(body)
	case "br":
		r = brotli.NewReader(body)
	case "lz4":
		r = lz4.NewReader(body)
	case "zstd":
		var d *zstd.Decoder
		d, err = zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxDecodeWindowBytes))
		if err == nil {
			r, closeFn = d, d.Close
		}
	default:
		return nil, nil, newException(codeUnknownCompression, "Unknown Content-Encoding %q", encoding)
	}
	if errors.Is(err, io.EOF) { // an empty body has no gzip header
		return strings.NewReader(""), closeFn, nil
	}
	if err != nil {
		return nil, nil, newException(codeCannotReadAll, "Cannot decode the %s body: %v", encoding, err)
	}
	if blocks {
		r = &stickyReader{r: compress.NewReader(&wholeBlocks{r: r})}
	}
	return r, closeFn, nil
}

// stickyReader repeats the first error. ch-go's Reader gives stale bytes when
// it is read again after its end.
type stickyReader struct {
	r   io.Reader
	err error
}

func (s *stickyReader) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if errors.Is(err, io.EOF) { // ch-go wraps it
		err = io.EOF
	}
	s.err = err
	return n, err
}

// wholeBlocks passes the bytes of compressed blocks through and turns an end
// inside a block into io.ErrUnexpectedEOF: ch-go gives a plain EOF when the body ends
// just behind a block's header, and the cut body would look whole (I1).
type wholeBlocks struct {
	r      io.Reader
	header [blockHeaderBytes]byte
	have   int   // bytes of the header so far
	left   int64 // bytes of the block's data still to come
}

// A block is a checksum of 16 bytes, then method (1), size of method to end (4,
// little endian), size of the plain data (4), data.
const (
	blockHeaderBytes   = 25
	blockSizeAt        = 17
	blockSizeOfItsHead = 9
)

func (w *wholeBlocks) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	for b := p[:n]; len(b) > 0; {
		if w.left > 0 {
			m := min(int64(len(b)), w.left)
			b, w.left = b[m:], w.left-m
			continue
		}
		m := copy(w.header[w.have:], b)
		b, w.have = b[m:], w.have+m
		if w.have == blockHeaderBytes {
			size := binary.LittleEndian.Uint32(w.header[blockSizeAt:])
			w.have, w.left = 0, max(0, int64(size)-blockSizeOfItsHead)
		}
	}
	if errors.Is(err, io.EOF) && (w.have > 0 || w.left > 0) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// acceptedEncoding picks the first encoding of Accept-Encoding that is known.
func acceptedEncoding(h http.Header) string {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		weight = strings.ReplaceAll(weight, " ", "")
		if weight == "q=0" || weight == "q=0.0" {
			continue
		}
		switch name = strings.ToLower(strings.TrimSpace(name)); name {
		case "gzip", "deflate", "br", "lz4", "zstd":
			return name
		}
	}
	return ""
}

// newEncoder makes the writer for an encoding of acceptedEncoding, fast rather
// than small: the peer is on the same machine.
func newEncoder(w io.Writer, encoding string) (io.WriteCloser, error) {
	switch encoding {
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "deflate":
		return zlib.NewWriterLevel(w, zlib.BestSpeed)
	case "br":
		return brotli.NewWriterLevel(w, brotli.BestSpeed), nil
	case "lz4":
		return lz4.NewWriter(w), nil
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	}
	return nil, fmt.Errorf("embedded: no encoder for %q", encoding)
}

// blockWriter compresses into ClickHouse's block format (compress=1), one block
// per blockBytes.
type blockWriter struct {
	w   io.Writer
	c   *compress.Writer
	buf []byte
}

const blockBytes = 1 << 20

func newBlockWriter(w io.Writer, method string) (*blockWriter, error) {
	switch strings.ToUpper(method) {
	case "", "LZ4", "LZ4HC":
		return &blockWriter{w: w, c: compress.NewWriter(compress.LevelZero, compress.LZ4)}, nil
	case "ZSTD":
		return &blockWriter{w: w, c: compress.NewWriter(compress.LevelZero, compress.ZSTD)}, nil
	case "NONE":
		return &blockWriter{w: w, c: compress.NewWriter(compress.LevelZero, compress.None)}, nil
	}
	return nil, newException(codeUnknownCompression, "Unknown network_compression_method %q", method)
}

func (b *blockWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		m := min(blockBytes-len(b.buf), len(p))
		b.buf = append(b.buf, p[:m]...)
		p = p[m:]
		if len(b.buf) == blockBytes {
			if err := b.flush(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

func (b *blockWriter) flush() error {
	if len(b.buf) == 0 {
		return nil
	}
	if err := b.c.Compress(b.buf); err != nil {
		return fmt.Errorf("embedded: compress block: %w", err)
	}
	b.buf = b.buf[:0]
	_, err := b.w.Write(b.c.Data)
	return err
}

// Close writes the last block.
func (b *blockWriter) Close() error { return b.flush() }
