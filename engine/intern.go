package engine

import (
	"strings"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// names numbers the charge points that a shard has seen, from 1, and leads to their connectors.
type names struct {
	list  []string
	index map[string]uint32
	first []uint32 // first connector of the charge point, index in shard.connectors; 0: none
}

func newNames() names {
	return names{list: []string{""}, index: map[string]uint32{}, first: []uint32{0}}
}

func (n *names) find(name []byte) (uint32, bool) {
	i, ok := n.index[string(name)] // no allocation: the compiler sees that the string is not kept
	return i, ok
}

func (n *names) put(name string) uint32 {
	if i, ok := n.index[name]; ok {
		return i
	}
	name = strings.Clone(name)
	i := uint32(len(n.list))
	n.list, n.first = append(n.list, name), append(n.first, 0)
	n.index[name] = i
	return i
}

// interned numbers values that many sessions share, from 1.
type interned[K comparable, V any] struct {
	ref   []K
	info  []V
	index map[K]uint32
}

func newInterned[K comparable, V any]() interned[K, V] {
	return interned[K, V]{ref: make([]K, 1), info: make([]V, 1), index: map[K]uint32{}}
}

func (n *interned[K, V]) put(k K, v V) uint32 {
	if i, ok := n.index[k]; ok {
		return i
	}
	i := uint32(len(n.ref))
	n.ref, n.info = append(n.ref, k), append(n.info, v)
	n.index[k] = i
	return i
}

// connector returns the index of a charge point's connector, made if it is new.
func (s *shard) connector(chargePoint []byte, number int32) uint32 {
	name, ok := s.names.find(chargePoint)
	if !ok {
		name = s.names.put(string(chargePoint))
	}
	for i := s.names.first[name]; i != 0; i = s.connectors.At(i).Next {
		if s.connectors.At(i).Number == number {
			return i
		}
	}
	i := uint32(s.connectors.Len())
	s.connectors.Add(newConnector(name, number, s.names.first[name]))
	s.names.first[name] = i
	return i
}

func newConnector(name uint32, number int32, next uint32) snapshot.Connector {
	return snapshot.Connector{ChargePoint: name, Number: number, Next: next, StatusMs: rating.Unknown}
}
