package slab

import "strings"

// Names numbers the charge points that a shard has seen, from 1, and leads to their connectors.
type Names struct {
	List  []string // by number; the first is unused
	First []uint32 // by number: the first connector of the charge point, index in Connectors; 0: none
	index map[string]uint32
}

// NewNames returns one that has none.
func NewNames() Names {
	return Names{List: []string{""}, First: []uint32{0}, index: map[string]uint32{}}
}

// Find returns the number of a name, whose bytes are not kept.
func (n *Names) Find(name []byte) (uint32, bool) {
	i, ok := n.index[string(name)] // no allocation: the compiler sees that the string is not kept
	return i, ok
}

// Put returns the number of a name, a new one if it has none yet.
func (n *Names) Put(name string) uint32 {
	if i, ok := n.index[name]; ok {
		return i
	}
	name = strings.Clone(name)
	i := uint32(len(n.List))
	n.List, n.First = append(n.List, name), append(n.First, 0)
	n.index[name] = i
	return i
}

// Fill takes over the names of a snapshot, of which the first is unused. false: one is there twice.
func (n *Names) Fill(list []string) bool {
	n.List, n.First, n.index = list, make([]uint32, len(list)), make(map[string]uint32, len(list))
	for i, name := range list[1:] {
		n.index[name] = uint32(i + 1)
	}
	return len(n.index) == len(list)-1
}

// Interned numbers values that many sessions share, from 1.
type Interned[K comparable, V any] struct {
	Ref   []K // by number; the first is unused
	Info  []V // what is known of them
	index map[K]uint32
}

// NewInterned returns one that has none.
func NewInterned[K comparable, V any]() Interned[K, V] {
	return Interned[K, V]{Ref: make([]K, 1), Info: make([]V, 1), index: map[K]uint32{}}
}

// Put returns the number of k, a new one, of which v is known, if it has none yet.
func (n *Interned[K, V]) Put(k K, v V) uint32 {
	if i, ok := n.index[k]; ok {
		return i
	}
	i := uint32(len(n.Ref))
	n.Ref, n.Info = append(n.Ref, k), append(n.Info, v)
	n.index[k] = i
	return i
}

// Fill takes over the values of a snapshot, of which the first is unused, and what is known of them. false: one is
// there twice.
func (n *Interned[K, V]) Fill(ref []K, info []V) bool {
	n.Ref, n.Info, n.index = ref, info, make(map[K]uint32, len(ref))
	for i, k := range ref[1:] {
		n.index[k] = uint32(i + 1)
	}
	return len(n.index) == len(ref)-1
}
