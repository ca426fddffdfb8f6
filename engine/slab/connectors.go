package slab

import "github.com/wattline/wattline/engine/snapshot"

// Connectors are the connectors that a shard has seen; index 0 is unused.
type Connectors struct {
	list  Pile[snapshot.Connector]
	marks []uint8 // by piece
	Mark  uint8   // of pieces that are new
}

// NewConnectors returns one that has only the unused one.
func NewConnectors() Connectors {
	var c Connectors
	c.Add(snapshot.Connector{})
	return c
}

// Len is how many there are, the unused one included.
func (c *Connectors) Len() int { return c.list.Len() }

// Pieces is how many pieces they lie in.
func (c *Connectors) Pieces() int { return len(c.marks) }

// At returns connector i. Its piece was left before it is changed.
func (c *Connectors) At(i uint32) *snapshot.Connector { return c.list.At(i) }

// Add appends a connector.
func (c *Connectors) Add(v snapshot.Connector) {
	c.list.Add(v)
	if len(c.marks) < len(c.list.pieces) {
		c.marks = append(c.marks, c.Mark)
	}
}

// Left says that a piece has the mark.
func (c *Connectors) Left(piece int) bool { return c.marks[piece] == c.Mark }

// Leave gives a piece the mark and returns a copy of it.
func (c *Connectors) Leave(piece int) *[PieceSize]snapshot.Connector {
	c.marks[piece] = c.Mark
	copied := *c.list.pieces[piece]
	return &copied
}

// Windows are the fingerprints of the sessions that have no sequence numbers.
type Windows struct {
	list Pile[snapshot.Window]
	free []uint32
}

// WindowsOf returns those of list.
func WindowsOf(list []snapshot.Window) Windows { return Windows{list: PileOf(list)} }

// Len is how many there are, those that nobody has included.
func (w *Windows) Len() int { return w.list.Len() }

// At returns window i.
func (w *Windows) At(i uint32) *snapshot.Window { return w.list.At(i) }

// Take returns an empty window.
func (w *Windows) Take() uint32 {
	if n := len(w.free); n > 0 {
		i := w.free[n-1]
		w.free = w.free[:n-1]
		*w.list.At(i) = snapshot.Window{}
		return i
	}
	w.list.Add(snapshot.Window{})
	return uint32(w.list.Len() - 1)
}

// Free gives window i back.
func (w *Windows) Free(i uint32) { w.free = append(w.free, i) }
