package slab

import (
	"github.com/wattline/wattline/engine/snapshot"
)

// Table finds the state of a session by its key: an open-addressing index of 8-byte entries over a slab without
// pointers.
//
// The index is a directory of segments, chosen by the key's top bits. A full segment is split in two, so the
// most that one insert ever moves is a segment (I6: no rehash stops a shard for long). Inside a segment entries
// are probed linearly, and a removal shifts the followers back: there are no tombstones to slow later finds.
//
// A slot number stays valid until its session is removed. Slabs never move, so a *Session does too.
type Table struct {
	dir   []*segment // 1 << depth entries; a segment of lesser depth stands in several
	depth uint8
	slabs []*slab
	free  []uint32 // slots that were removed
	next  uint32   // the first slot never used
	Live  int      // sessions
	Mark  uint8    // of the sessions that are inserted
}

const (
	slabBits    = 10
	slabSize    = 1 << slabBits
	segmentMin  = 1 << 8  // entries of a table's first segment: thin partitions stay small
	segmentSize = 1 << 13 // entries of a grown segment, 64 KiB: splitting one takes tens of microseconds

	// NoSlot is no session's slot.
	NoSlot = ^uint32(0)
)

type slab [slabSize]snapshot.Session

// segment is one open-addressing table. An entry is tag<<32 | slot+1; 0 is empty. The tag is key[1]'s upper
// half, so a probe reads the slab only where 32 bits agree already.
type segment struct {
	entries []uint64
	used    int
	depth   uint8
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{dir: []*segment{{entries: make([]uint64, segmentMin)}}}
}

// At returns the session of a slot.
func (t *Table) At(slot uint32) *snapshot.Session {
	return &t.slabs[slot>>slabBits][slot&(slabSize-1)]
}

func (t *Table) segmentOf(k snapshot.Key) *segment {
	return t.dir[k[0]>>(64-t.depth)] // depth 0: the shift by 64 gives 0
}

// Slots is how many slots were ever used; those of removed sessions have no key.
func (t *Table) Slots() uint32 { return t.next }

// Find returns the slot of k, or NoSlot.
func (t *Table) Find(k snapshot.Key) uint32 {
	s := t.segmentOf(k)
	mask := uint64(len(s.entries) - 1)
	tag := k[1] >> 32
	for i := k[1] & mask; ; i = (i + 1) & mask {
		e := s.entries[i]
		if e == 0 {
			return NoSlot
		}
		if e>>32 == tag {
			slot := uint32(e) - 1
			if t.At(slot).Key == k {
				return slot
			}
		}
	}
}

// Probe is find without the look at the slab: the slot of the first entry whose tag agrees, or NoSlot. It is a
// hint for a chunk's first pass, so that the cache misses of many readings overlap; the second pass checks it.
func (t *Table) Probe(k snapshot.Key) uint32 {
	s := t.segmentOf(k)
	mask := uint64(len(s.entries) - 1)
	tag := k[1] >> 32
	for i := k[1] & mask; ; i = (i + 1) & mask {
		e := s.entries[i]
		if e == 0 {
			return NoSlot
		}
		if e>>32 == tag {
			return uint32(e) - 1
		}
	}
}

// Insert makes room for k, which is not in the table, and returns its slot with a zero Session under that key.
func (t *Table) Insert(k snapshot.Key) uint32 {
	slot := t.takeSlot()
	*t.At(slot) = snapshot.Session{Key: k, Mark: t.Mark}
	t.index(k, slot)
	t.Live++
	return slot
}

// index makes slot the one of k, which has none.
func (t *Table) index(k snapshot.Key, slot uint32) {
	for {
		s := t.segmentOf(k)
		if s.used < len(s.entries)*7/10 {
			s.put(k, slot)
			return
		}
		t.grow(s, k)
	}
}

// Fill puts all sessions of list into t, which has none, and keeps list: they stay where they are. Its index is made in
// the size that they need. A list in the order of keys is cheapest. twice is the first one whose key another one before
// it has, -1 if none has; the table is not to be used otherwise.
func (t *Table) Fill(list []snapshot.Session) (twice int) {
	for len(t.slabs)<<slabBits+slabSize <= len(list) {
		from := len(t.slabs) << slabBits
		t.slabs = append(t.slabs, (*slab)(list[from:from+slabSize]))
	}
	if from := len(t.slabs) << slabBits; from < len(list) {
		last := new(slab)
		copy(last[:], list[from:])
		t.slabs = append(t.slabs, last)
	}
	t.next, t.Live = uint32(len(list)), len(list)
	size := segmentMin
	for size < segmentSize && len(list) >= size*6/10 {
		size *= 2
	}
	t.depth = 0
	for len(list)>>t.depth >= segmentSize*6/10 {
		t.depth++
	}
	t.dir = make([]*segment, 1<<t.depth)
	for i := range t.dir {
		t.dir[i] = &segment{entries: make([]uint64, size), depth: t.depth}
	}
	for i := range t.next {
		s := t.At(i)
		if t.Find(s.Key) != NoSlot {
			return int(i)
		}
		s.Mark = t.Mark
		t.index(s.Key, i)
	}
	return -1
}

func (t *Table) takeSlot() uint32 {
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
func (t *Table) grow(s *segment, k snapshot.Key) {
	if len(s.entries) < segmentSize {
		old := s.entries
		s.entries, s.used = make([]uint64, 2*len(old)), 0
		for _, e := range old {
			if e != 0 {
				s.put(t.At(uint32(e)-1).Key, uint32(e)-1)
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
			key := t.At(uint32(e) - 1).Key
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

func (t *Table) double() {
	dir := make([]*segment, 2*len(t.dir))
	for i, s := range t.dir {
		dir[2*i], dir[2*i+1] = s, s
	}
	t.dir, t.depth = dir, t.depth+1
}

// Remove takes k out; its slot is used again. It does nothing when k is not there.
func (t *Table) Remove(k snapshot.Key) {
	s := t.segmentOf(k)
	mask := uint64(len(s.entries) - 1)
	i := k[1] & mask
	for ; ; i = (i + 1) & mask {
		e := s.entries[i]
		if e == 0 {
			return
		}
		if e>>32 == k[1]>>32 && t.At(uint32(e)-1).Key == k {
			break
		}
	}
	slot := uint32(s.entries[i]) - 1
	*t.At(slot) = snapshot.Session{}
	t.free = append(t.free, slot)
	t.Live--
	s.used--
	t.shiftBack(s, i, mask)
}

// shiftBack closes the hole at i: every follower of the run that may stand there moves up.
func (t *Table) shiftBack(s *segment, i, mask uint64) {
	for j := i; ; {
		s.entries[i] = 0
		for {
			j = (j + 1) & mask
			e := s.entries[j]
			if e == 0 {
				return
			}
			home := t.At(uint32(e) - 1).Key[1] & mask
			// e may move to i unless its home lies cyclically in (i, j].
			if (j-home)&mask >= (j-i)&mask {
				s.entries[i] = e
				i = j
				break
			}
		}
	}
}

// Half calls fn for the sessions whose key begins with k0: those of one segment are looked at.
func (t *Table) Half(k0 uint64, fn func(*snapshot.Session)) {
	for _, e := range t.segmentOf(snapshot.Key{k0}).entries {
		if e != 0 {
			if s := t.At(uint32(e) - 1); s.Key[0] == k0 {
				fn(s)
			}
		}
	}
}

// Each calls fn for every live session, in slot order: not a deterministic order (I1: sort before anything of
// it is written).
func (t *Table) Each(fn func(*snapshot.Session)) {
	for i := uint32(0); i < t.next; i++ {
		if s := t.At(i); s.Key != (snapshot.Key{}) {
			fn(s)
		}
	}
}
