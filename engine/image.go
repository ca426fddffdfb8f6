package engine

import (
	"context"
	"slices"

	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
)

// image is the state of a shard as it was between two messages, made while the shard goes on. The shard walks over its
// slab in steps. Whatever is about to change, or go, before its turn leaves the image a copy first; what comes after
// the beginning is not in it. That costs the hot path one comparison, of a mark in a line that it reads anyway.
//
// A session has the shard's mark if the image has it or must not have it; beginning an image turns the mark over, so
// that at one stroke all sessions are still to be copied. Between two images all have it. What only grows (names,
// places, plans, tiers) is shared by its length; connectors are copied by the piece.
//
// The shard's goroutine fills it until whole is closed; then it is the settler's.
type image struct {
	slab.Image

	// The walk: places of what is still to be looked at, and how many there were at the beginning.
	slot, slots   uint32
	place, places uint32
	piece         int

	whole  chan struct{}
	broken bool // the shard ended before it was whole; valid once whole is closed
}

// imageStep is how many sessions a step of the walk looks at before it asks whether it took long enough: some 20
// microseconds where the memory is at hand, a hundred where it is new.
const imageStep = 128

// beginImage begins an image of the state as it is. The caller has seen that none is being made.
func (s *shard) beginImage(pools *slab.ImagePools) *image {
	img := &image{
		Image: slab.NewImage(snapshot.State{
			Topic: s.partition.Topic, Partition: s.partition.Number, NextOffset: s.nextOffset, WatermarkMs: s.watermarkMs,
			TickMinute: s.tickMinute, BookOffset: s.bookOffset, RatingVersion: s.block.Row.RatingVersion,
			Names: slices.Clip(s.names.List), Places: slices.Clip(s.places.Ref), Plans: slices.Clip(s.plans.Ref), Tiers: slices.Clip(s.tiers.Ref),
		}, pools),
		slots: s.sessions.Slots(), places: s.starts.Places(), whole: make(chan struct{}),
	}
	img.Connectors, img.NumConns = make([]*[slab.PieceSize]snapshot.Connector, s.connectors.Pieces()), s.connectors.Len()
	s.image = img
	s.mark ^= 1
	s.sessions.Mark, s.starts.Mark, s.connectors.Mark = s.mark, s.mark, s.mark
	return img
}

// stepImage looks at the next n sessions or so, and says whether there is more to do.
func (s *shard) stepImage(n int) (more bool) {
	img := s.image
	if img == nil {
		return false
	}
	for ; n > 0 && img.slot < img.slots; n-- {
		if ss := s.sessions.At(img.slot); ss.Mark != s.mark && ss.Key != (snapshot.Key{}) {
			s.leave(ss)
		}
		img.slot++
	}
	for ; n > 0 && img.place < img.places; n-- {
		if x := s.starts.At(img.place); x.Mark != s.mark && x.Key != (snapshot.Key{}) {
			img.Starts.Add(*x)
			x.Mark = s.mark
		}
		img.place++
	}
	for ; n > 0 && img.piece<<slab.PieceBits < img.NumConns; n -= slab.PieceSize / 4 {
		s.leaveConnectors(img.piece)
		img.piece++
	}
	if n <= 0 {
		return true
	}
	s.image = nil
	close(img.whole)
	return false
}

// dropImage gives up the image that is being made, if one is.
func (s *shard) dropImage() {
	if img := s.image; img != nil {
		s.image, img.broken = nil, true
		close(img.whole)
	}
}

// leave copies a session, and what it has elsewhere, into the image before it changes.
func (s *shard) leave(ss *snapshot.Session) {
	ss.Mark = s.mark
	img := s.image
	x := img.Sessions.Push()
	*x = *ss
	x.Mark = 0
	if ss.Window != 0 {
		img.Windows.Add(*s.windows.At(ss.Window - 1))
		x.Window = uint32(img.Windows.Len())
	}
	if ss.Sheet != 0 {
		x.Sheet = img.AddSheet(&s.sheets, ss.Sheet-1)
	}
	if ss.HasChanges {
		img.Changes.Add(snapshot.Changes{Key: ss.Key, List: slices.Clone(s.changes[ss.Key])})
	}
	if ss.Plan == 0 {
		if h := s.held[ss.Key]; h != nil {
			held := *h // its lists only grow: what they have now stays as it is
			held.Points, held.Changes = slices.Clip(held.Points), slices.Clip(held.Changes)
			img.Held.Add(held)
		}
	}
}

// leaveConnectors copies a piece of the connectors, unless it was.
func (s *shard) leaveConnectors(piece int) {
	if s.connectors.Left(piece) {
		return
	}
	copied := s.connectors.Leave(piece)
	if img := s.image; img != nil && piece<<slab.PieceBits < img.NumConns {
		img.Connectors[piece] = copied
	}
}

// changing returns a connector that is about to change.
func (s *shard) changing(i uint32) *snapshot.Connector {
	if !s.connectors.Left(int(i >> slab.PieceBits)) {
		s.leaveConnectors(int(i >> slab.PieceBits))
	}
	return s.connectors.At(i)
}

// await returns once the image is whole; ok false: it never will be.
func (img *image) await(ctx context.Context) (ok bool, err error) {
	select {
	case <-img.whole:
		return !img.broken, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
