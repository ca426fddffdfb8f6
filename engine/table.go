package engine

import (
	"github.com/wattline/wattline/engine/snapshot"
)

// table finds the state of a session by its key: an open-addressing index of 8-byte entries over a slab without
// pointers.
//
// The index is a directory of segments, chosen by the key's top bits. A full segment is split in two, so the
// most that one insert ever moves is a segment (I6: no rehash stops a shard for long). Inside a segment entries
// are probed linearly, and a removal shifts the followers back: there are no tombstones to slow later finds.
//
// A slot number stays valid until its session is removed. Slabs never move, so a *Session does too.
type table struct {
	dir   []*segment // 1 << depth entries; a segment of lesser depth stands in several
	depth uint8
	slabs []*slab
	free  []uint32 // slots that were removed
	next  uint32   // the first slot never used
	live  int
}

const (
	slabBits    = 10
	slabSize    = 1 << slabBits
	segmentMin  = 1 << 8  // entries of a table's first segment: thin partitions stay small
	segmentSize = 1 << 13 // entries of a grown segment, 64 KiB: splitting one takes tens of microseconds
	noSlot      = ^uint32(0)
)

type slab [slabSize]snapshot.Session

// segment is one open-addressing table. An entry is tag<<32 | slot+1; 0 is empty. The tag is key[1]'s upper
// half, so a probe reads the slab only where 32 bits agree already.
type segment struct {
	entries []uint64
	used    int
	depth   uint8
}

func newTable() *table {
	return &table{dir: []*segment{{entries: make([]uint64, segmentMin)}}}
}

func (t *table) at(slot uint32) *snapshot.Session {
	return &t.slabs[slot>>slabBits][slot&(slabSize-1)]
}

func (t *table) segmentOf(k snapshot.Key) *segment {
	return t.dir[k[0]>>(64-t.depth)] // depth 0: the shift by 64 gives 0
}

// find returns the slot of k, or noSlot.
func (t *table) find(k snapshot.Key) uint32 {
	s := t.segmentOf(k)
	mask := uint64(len(s.entries) - 1)
	tag := k[1] >> 32
	for i := k[1] & mask; ; i = (i + 1) & mask {
		e := s.entries[i]
		if e == 0 {
			return noSlot
		}
		if e>>32 == tag {
			slot := uint32(e) - 1
			if t.at(slot).Key == k {
				return slot
			}
		}
	}
}

// probe is find without the look at the slab: the slot of the first entry whose tag agrees, or noSlot. It is a
// hint for a chunk's first pass, so that the cache misses of many readings overlap; the second pass checks it.
func (t *table) probe(k snapshot.Key) uint32 {
	s := t.segmentOf(k)
	mask := uint64(len(s.entries) - 1)
	tag := k[1] >> 32
	for i := k[1] & mask; ; i = (i + 1) & mask {
		e := s.entries[i]
		if e == 0 {
			return noSlot
		}
		if e>>32 == tag {
			return uint32(e) - 1
		}
	}
}

// insert makes room for k, which is not in the table, and returns its slot with a zero Session under that key.
func (t *table) insert(k snapshot.Key) uint32 {
	slot := t.takeSlot()
	*t.at(slot) = snapshot.Session{Key: k}
	for {
		s := t.segmentOf(k)
		if s.used < len(s.entries)*7/10 {
			s.put(k, slot)
			break
		}
		t.grow(s, k)
	}
	t.live++
	return slot
}

func (t *table) takeSlot() uint32 {
	if n := len(t.free); n > 0 {
		slot := t.free[n-1]
		t.free = t.free[:n-1]
		return slot
	}
	if int(t.next>>slabBits) == len(t.slabs) {
		t.slabs = append(t.slabs, new(slab))
	}
	t.next++
	return t.next - 1
}

func (s *segment) put(k snapshot.Key, slot uint32) {
	mask := uint64(len(s.entries) - 1)
	i := k[1] & mask
	for s.entries[i] != 0 {
		i = (i + 1) & mask
	}
	s.entries[i] = k[1]>>32<<32 | uint64(slot+1)
	s.used++
}

// grow doubles a small segment, or splits a full-sized one; k is a key that belongs to it.
func (t *table) grow(s *segment, k snapshot.Key) {
	if len(s.entries) < segmentSize {
		old := s.entries
		s.entries, s.used = make([]uint64, 2*len(old)), 0
		for _, e := range old {
			if e != 0 {
				s.put(t.at(uint32(e)-1).Key, uint32(e)-1)
			}
		}
		return
	}
	if s.depth == t.depth {
		t.double()
	}
	halves := [2]*segment{
		{entries: make([]uint64, segmentSize), depth: s.depth + 1},
		{entries: make([]uint64, segmentSize), depth: s.depth + 1},
	}
	for _, e := range s.entries {
		if e != 0 {
			key := t.at(uint32(e) - 1).Key
			halves[key[0]>>(63-s.depth)&1].put(key, uint32(e)-1)
		}
	}
	// The entries of the directory that pointed to s are one run, the first half of it with a 0 bit.
	run := 1 << (t.depth - s.depth)
	first := int(k[0]>>(64-s.depth)) << (t.depth - s.depth)
	if s.depth == 0 {
		first = 0
	}
	for i := range run {
		t.dir[first+i] = halves[i*2/run]
	}
}

func (t *table) double() {
	dir := make([]*segment, 2*len(t.dir))
	for i, s := range t.dir {
		dir[2*i], dir[2*i+1] = s, s
	}
	t.dir, t.depth = dir, t.depth+1
}

// remove takes k out; its slot is used again. It does nothing when k is not there.
func (t *table) remove(k snapshot.Key) {
	s := t.segmentOf(k)
	mask := uint64(len(s.entries) - 1)
	i := k[1] & mask
	for ; ; i = (i + 1) & mask {
		e := s.entries[i]
		if e == 0 {
			return
		}
		if e>>32 == k[1]>>32 && t.at(uint32(e)-1).Key == k {
			break
		}
	}
	slot := uint32(s.entries[i]) - 1
	*t.at(slot) = snapshot.Session{}
	t.free = append(t.free, slot)
	t.live--
	s.used--
	t.shiftBack(s, i, mask)
}

// shiftBack closes the hole at i: every follower of the run that may stand there moves up.
func (t *table) shiftBack(s *segment, i, mask uint64) {
	for j := i; ; {
		s.entries[i] = 0
		for {
			j = (j + 1) & mask
			e := s.entries[j]
			if e == 0 {
				return
			}
			home := t.at(uint32(e) - 1).Key[1] & mask
			// e may move to i unless its home lies cyclically in (i, j].
			if (j-home)&mask >= (j-i)&mask {
				s.entries[i] = e
				i = j
				break
			}
		}
	}
}

// half calls fn for the sessions whose key begins with k0: those of one segment are looked at.
func (t *table) half(k0 uint64, fn func(*snapshot.Session)) {
	for _, e := range t.segmentOf(snapshot.Key{k0}).entries {
		if e != 0 {
			if s := t.at(uint32(e) - 1); s.Key[0] == k0 {
				fn(s)
			}
		}
	}
}

// each calls fn for every live session, in slot order: not a deterministic order (I1: sort before anything of
// it is written).
func (t *table) each(fn func(*snapshot.Session)) {
	for i := uint32(0); i < t.next; i++ {
		if s := t.at(i); s.Key != (snapshot.Key{}) {
			fn(s)
		}
	}
}
