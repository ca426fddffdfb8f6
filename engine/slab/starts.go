package slab

import "github.com/wattline/wattline/engine/snapshot"

// Starts keeps the Starts that wait for their answer, by the key of their message and by connector. What waits never
// changes, it only comes and goes: so a snapshot can look at one place after the other.
type Starts struct {
	index map[snapshot.Key]uint32 // place in list
	first map[uint32]uint32       // by connector: the head of its chain, place + 1
	list  Pile[Waiting]
	free  []uint32
	Mark  uint8 // of those that are put
}

// Waiting is a Start that waits. Places that are empty have no Key.
type Waiting struct {
	Key        snapshot.Key
	Start      snapshot.Start
	prev, next uint32 // of the same connector, place + 1
	Mark       uint8
}

// NewStarts returns one that has none.
func NewStarts() Starts {
	return Starts{index: map[snapshot.Key]uint32{}, first: map[uint32]uint32{}}
}

// Len is how many Starts wait.
func (w *Starts) Len() int { return len(w.index) }

// Places is how many places there are, empty ones included.
func (w *Starts) Places() uint32 { return uint32(w.list.Len()) }

// At returns what is at a place; it may be empty.
func (w *Starts) At(place uint32) *Waiting { return w.list.At(place) }

// Place returns where the Start that waits under k is.
func (w *Starts) Place(k snapshot.Key) (place uint32, ok bool) {
	place, ok = w.index[k]
	return place, ok
}

// Get returns the Start that waits under k.
func (w *Starts) Get(k snapshot.Key) (snapshot.Start, bool) {
	i, ok := w.index[k]
	if !ok {
		return snapshot.Start{}, false
	}
	return w.list.At(i).Start, true
}

// Put keeps st under k, where none waits.
func (w *Starts) Put(k snapshot.Key, st snapshot.Start) {
	var i uint32
	if n := len(w.free); n > 0 {
		i, w.free = w.free[n-1], w.free[:n-1]
	} else {
		i = uint32(w.list.Len())
		w.list.Push()
	}
	head := w.first[st.Connector]
	*w.list.At(i) = Waiting{Key: k, Start: st, next: head, Mark: w.Mark}
	if head != 0 {
		w.list.At(head - 1).prev = i + 1
	}
	w.first[st.Connector], w.index[k] = i+1, i
}

// Take drops the Start at place i, which waits.
func (w *Starts) Take(i uint32) {
	x := w.list.At(i)
	switch {
	case x.prev != 0:
		w.list.At(x.prev - 1).next = x.next
	case x.next != 0:
		w.first[x.Start.Connector] = x.next
	default:
		delete(w.first, x.Start.Connector)
	}
	if x.next != 0 {
		w.list.At(x.next - 1).prev = x.prev
	}
	delete(w.index, x.Key)
	*x = Waiting{}
	w.free = append(w.free, i)
}

// Of calls fn for the Starts that wait at a connector, in no order. fn may have the one it is given dropped.
func (w *Starts) Of(connector uint32, fn func(place uint32, x *Waiting)) {
	for at := w.first[connector]; at != 0; {
		x := w.list.At(at - 1)
		next := x.next
		fn(at-1, x)
		at = next
	}
}
