package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// chunks lends blocks of spoolChunkBytes. A block given back is written over by the
// next holder.
type chunks struct{ pool sync.Pool }

func (c *chunks) get() []byte {
	if b, ok := c.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, spoolChunkBytes)
}

func (c *chunks) put(b []byte) { c.pool.Put(&b) }

// spool holds a stream of bytes of any length: the first in memory, the rest in
// a file without a name. It owns both until close.
type spool struct {
	chunks   *chunks
	dir      string // of the file
	inMemory int64
	blocks   [][]byte
	file     *os.File
	size     int64
}

// Write appends a copy of p.
func (s *spool) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && s.file == nil {
		if s.size >= s.inMemory {
			f, err := os.CreateTemp(s.dir, "body-")
			if err != nil {
				return n - len(p), fmt.Errorf("embedded: spool: %w", err)
			}
			s.file = f
			if err := os.Remove(f.Name()); err != nil { // gone with the process, also on kill -9
				return n - len(p), fmt.Errorf("embedded: spool: %w", err)
			}
			break
		}
		k := len(s.blocks) - 1
		if k < 0 || len(s.blocks[k]) == cap(s.blocks[k]) {
			s.blocks = append(s.blocks, s.chunks.get())
			k++
		}
		b := s.blocks[k]
		m := min(cap(b)-len(b), len(p))
		s.blocks[k] = append(b, p[:m]...)
		s.size += int64(m)
		p = p[m:]
	}
	if len(p) > 0 {
		m, err := s.file.Write(p)
		s.size += int64(m)
		if err != nil {
			return n - len(p) + m, fmt.Errorf("embedded: spool: %w", err)
		}
	}
	return n, nil
}

// fill reads r to its end, max bytes at most, straight into the blocks.
func (s *spool) fill(r io.Reader, max int64) error {
	for s.file == nil && s.size < s.inMemory {
		k := len(s.blocks) - 1
		if k < 0 || len(s.blocks[k]) == cap(s.blocks[k]) {
			s.blocks = append(s.blocks, s.chunks.get())
			k++
		}
		b := s.blocks[k]
		n, err := r.Read(b[len(b):cap(b)])
		s.blocks[k] = b[:len(b)+n]
		s.size += int64(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if s.size > max {
			return newException(codeQueryTooLarge, "The body is larger than %d bytes", max)
		}
	}
	_, err := io.Copy(struct{ io.Writer }{s}, io.LimitReader(r, max-s.size+1))
	if err == nil && s.size > max {
		return newException(codeQueryTooLarge, "The body is larger than %d bytes", max)
	}
	return err
}

// each hands all bytes to f in order; f must not keep them.
func (s *spool) each(f func([]byte) error) error {
	for _, b := range s.blocks {
		if err := f(b); err != nil {
			return err
		}
	}
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("embedded: spool: %w", err)
	}
	buf := s.chunks.get()
	defer s.chunks.put(buf)
	buf = buf[:cap(buf)]
	for {
		n, err := s.file.Read(buf)
		if n > 0 {
			if err := f(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("embedded: spool: %w", err)
		}
	}
}

// close gives everything back. The spool is empty afterwards.
func (s *spool) close() {
	for _, b := range s.blocks {
		s.chunks.put(b)
	}
	if s.file != nil {
		_ = s.file.Close() // nameless and read only from here: nothing to lose
	}
	s.blocks, s.file, s.size = nil, nil, 0
}
