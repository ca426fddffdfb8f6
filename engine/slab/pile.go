package slab

import "sync"

// Pile is a list in pieces: growing it moves nothing, so an append never costs more than a piece (I6), and a
// pointer into it stays valid.
type Pile[T any] struct {
	pieces []*[PieceSize]T
	n      int
	spare  *Pool[T]
}

// NewPile returns an empty pile whose pieces come from spare, and go back to it. The zero Pile makes its own.
func NewPile[T any](spare *Pool[T]) Pile[T] { return Pile[T]{spare: spare} }

// Len is how many elements there are.
func (p *Pile[T]) Len() int { return p.n }

// PieceSize is how many elements a piece has.
const (
	PieceBits = 8
	PieceSize = 1 << PieceBits
)

// Pool keeps pieces that are no longer needed, for as long as the garbage collector lets it. It is shared by goroutines.
type Pool[T any] struct{ pieces sync.Pool }

// At returns element i.
func (p *Pile[T]) At(i uint32) *T { return &p.pieces[i>>PieceBits][i&(PieceSize-1)] }

// Push appends an element, which has whatever a piece had before, and returns it.
func (p *Pile[T]) Push() *T {
	if p.n>>PieceBits == len(p.pieces) {
		p.pieces = append(p.pieces, p.spare.take())
	}
	p.n++
	return p.At(uint32(p.n - 1))
}

// Add appends v.
func (p *Pile[T]) Add(v T) { *p.Push() = v }

// Free empties p and gives its pieces back.
func (p *Pile[T]) Free() {
	for _, piece := range p.pieces {
		p.spare.put(piece)
	}
	p.pieces, p.n = nil, 0
}

// PileOf is a pile of what list has.
func PileOf[T any](list []T) Pile[T] {
	var p Pile[T]
	for i := range list {
		p.Add(list[i])
	}
	return p
}

func (p *Pool[T]) take() *[PieceSize]T {
	if p != nil {
		if piece, ok := p.pieces.Get().(*[PieceSize]T); ok {
			return piece
		}
	}
	return new([PieceSize]T)
}

func (p *Pool[T]) put(piece *[PieceSize]T) {
	if p != nil {
		p.pieces.Put(piece)
	}
}
