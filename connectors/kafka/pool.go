package kafka

import (
	"math/bits"
	"sync"
)

// Buffers come in powers of two, so that one that was released fits the next of about its size.
const (
	minClass = 14 // 16 KiB
	maxClass = 28 // 256 MiB; what is larger is left to the garbage collector
)

// bufferPool keeps released buffers for the next batch. It bounds what lies idle, never what is in use: that is
// bounded by the depth of each feed. Safe for concurrent use.
type bufferPool struct {
	limit  int  // bytes that may lie idle
	mangle bool // tests: overwrite what is given back, so that a use after Release shows

	mu   sync.Mutex
	idle int
	free [maxClass + 1][][]byte
}

// get returns an empty slice with room for n bytes or more. It is the caller's until put.
func (p *bufferPool) get(n int) []byte {
	class := max(minClass, bits.Len(uint(max(n, 1)-1)))
	if class > maxClass {
		return make([]byte, 0, n)
	}
	p.mu.Lock()
	if list := p.free[class]; len(list) > 0 {
		b := list[len(list)-1]
		list[len(list)-1] = nil
		p.free[class] = list[:len(list)-1]
		p.idle -= cap(b)
		p.mu.Unlock()
		return b
	}
	p.mu.Unlock()
	return make([]byte, 0, 1<<class)
}

// put takes b back; the caller may not touch it any more. nil is fine.
func (p *bufferPool) put(b []byte) {
	if cap(b) < 1<<minClass {
		return
	}
	b = b[:cap(b)]
	if p.mangle {
		for i := range b {
			b[i] = 0xDD
		}
	}
	class := bits.Len(uint(cap(b))) - 1 // rounds down: every buffer of a class has the room that the class promises
	if class > maxClass {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle+cap(b) > p.limit {
		return
	}
	p.free[class] = append(p.free[class], b[:0])
	p.idle += cap(b)
}

// grow returns b with room for n more bytes; the bytes of b are kept, its old array goes back to the pool.
func (p *bufferPool) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := append(p.get(max(2*cap(b), len(b)+n)), b...)
	p.put(b)
	return bigger
}
