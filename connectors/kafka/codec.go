package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compression is the codec of a record batch, with Kafka's numbers (bits 0-2 of a batch's attributes).
type Compression int8

// The codecs that Kafka knows. All are read; none, lz4 and zstd are written.
const (
	CompressionNone   Compression = 0
	CompressionGzip   Compression = 1
	CompressionSnappy Compression = 2
	CompressionLZ4    Compression = 3
	CompressionZstd   Compression = 4
)

func (c Compression) String() string {
	switch c {
	case CompressionNone:
		return "none"
	case CompressionGzip:
		return "gzip"
	case CompressionSnappy:
		return "snappy"
	case CompressionLZ4:
		return "lz4"
	case CompressionZstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

func (c Compression) producible() bool {
	return c == CompressionNone || c == CompressionLZ4 || c == CompressionZstd
}

// errTooLarge: a batch unpacks to more than Config.MaxInflatedBytes.
var errTooLarge = errors.New("unpacks to more than MaxInflatedBytes")

// xerialMagic begins the framing that Java's snappy writes; Kafka's clients use it, librdkafka writes raw blocks.
const xerialMagic = "\x82SNAPPY\x00"

// inflater unpacks record batches. Safe for concurrent use: shards of all partitions share it.
type inflater struct {
	limit int // bytes that one batch may unpack to
	pool  *bufferPool
	zstd  *zstd.Decoder
	gzips sync.Pool // of *gzip.Reader
	lz4s  sync.Pool // of *lz4.Reader
	// ratio is how much batches grew lately, in sixteenths: the first buffer is then mostly the right one.
	ratio atomic.Int64
}

func newInflater(limit int, pool *bufferPool) (*inflater, error) {
	// Concurrency 0 is one decoder a processor: DecodeAll is called by as many shards as run at once.
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	in := &inflater{limit: limit, pool: pool, zstd: z}
	in.gzips.New = func() any { return new(gzip.Reader) }
	in.lz4s.New = func() any { return lz4.NewReader(nil) }
	in.ratio.Store(4 * 16)
	return in, nil
}

func (in *inflater) close() { in.zstd.Close() }

// inflate returns what src unpacks to, in a buffer of the pool that the caller owns and puts back. src stays the
// caller's. errTooLarge beyond the limit; other errors are the codec's.
func (in *inflater) inflate(codec Compression, src []byte) ([]byte, error) {
	dst := in.pool.get(min(in.limit, int(int64(len(src))*in.ratio.Load()/16)+64))
	var err error
	switch codec {
	case CompressionGzip:
		dst, err = in.gunzip(dst, src)
	case CompressionSnappy:
		dst, err = in.unsnappy(dst, src)
	case CompressionLZ4:
		z := in.lz4s.Get().(*lz4.Reader)
		z.Reset(bytes.NewReader(src))
		dst, err = in.readAll(dst, z)
		in.lz4s.Put(z)
	case CompressionZstd:
		dst, err = in.unzstd(dst, src)
	default:
		err = fmt.Errorf("unknown compression codec %d", int8(codec))
	}
	if err != nil {
		in.pool.put(dst)
		return nil, err
	}
	// Follow growth at once and forget it slowly: an overestimate costs idle memory, an underestimate a copy.
	if was, now := in.ratio.Load(), int64(len(dst))*16/int64(max(len(src), 1))+1; now > was {
		in.ratio.Store(min(now, 64*16))
	} else if was > 16 {
		in.ratio.Store(was - (was-now)/64)
	}
	return dst, nil
}

func (in *inflater) gunzip(dst, src []byte) ([]byte, error) {
	z := in.gzips.Get().(*gzip.Reader)
	defer in.gzips.Put(z)
	if err := z.Reset(bytes.NewReader(src)); err != nil {
		return dst, fmt.Errorf("gzip: %w", err)
	}
	return in.readAll(dst, z)
}

func (in *inflater) unzstd(dst, src []byte) ([]byte, error) {
	out, err := in.zstd.DecodeAll(src, dst)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return dst, errTooLarge
	}
	if err != nil {
		return dst, fmt.Errorf("zstd: %w", err)
	}
	if cap(out) != cap(dst) {
		in.pool.put(dst) // DecodeAll moved to a larger array
	}
	if len(out) > in.limit {
		return out, errTooLarge
	}
	return out, nil
}

// readAll appends everything that r has to dst.
func (in *inflater) readAll(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = in.pool.grow(dst, 1)
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst) > in.limit {
			return dst, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, fmt.Errorf("unpack: %w", err)
		}
	}
}

func (in *inflater) unsnappy(dst, src []byte) ([]byte, error) {
	if !bytes.HasPrefix(src, []byte(xerialMagic)) {
		return in.snappyBlock(dst, src)
	}
	if len(src) < 16 {
		return dst, errors.New("snappy: xerial header is cut")
	}
	src = src[16:] // magic, version, lowest compatible version
	for len(src) > 0 {
		if len(src) < 4 {
			return dst, errors.New("snappy: xerial chunk length is cut")
		}
		n := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(n) > uint64(len(src)) {
			return dst, fmt.Errorf("snappy: xerial chunk of %d bytes, %d are left", n, len(src))
		}
		var err error
		if dst, err = in.snappyBlock(dst, src[:n]); err != nil {
			return dst, err
		}
		src = src[n:]
	}
	return dst, nil
}

func (in *inflater) snappyBlock(dst, src []byte) ([]byte, error) {
	n, err := snappy.DecodedLen(src)
	if err != nil {
		return dst, fmt.Errorf("snappy: %w", err)
	}
	if n > in.limit-len(dst) {
		return dst, errTooLarge
	}
	dst = in.pool.grow(dst, n)
	if _, err = snappy.Decode(dst[len(dst):len(dst)+n], src); err != nil {
		return dst, fmt.Errorf("snappy: %w", err)
	}
	return dst[:len(dst)+n], nil
}
