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
// places, plans) is shared by its length; connectors are copied by the piece.
//
// The shard's goroutine fills it until whole is closed; then it is the settler's.
type image struct {
	head       snapshot.State // the single values, names, places and plans
	sessions   slab.Pile[snapshot.Session]
	windows    slab.Pile[snapshot.Window]
	held       slab.Pile[snapshot.Held]
	changes    slab.Pile[snapshot.Changes]
	starts     slab.Pile[slab.Waiting]
	connectors []*[slab.PieceSize]snapshot.Connector

	// The walk: places of what is still to be looked at, and how many there were at the beginning.
	slot, slots     uint32
	place, places   uint32
	piece, numConns int

	whole  chan struct{}
	broken bool // the shard ended before it was whole; valid once whole is closed
}

// imagePools are an engine's: the pieces of images that are encoded serve the next ones, of any partition.
type imagePools struct {
	sessions slab.Pool[snapshot.Session]
	windows  slab.Pool[snapshot.Window]
}

// imageStep is how many sessions a step of the walk looks at before it asks whether it took long enough: some 20
// microseconds where the memory is at hand, a hundred where it is new.
const imageStep = 128

// beginImage begins an image of the state as it is. The caller has seen that none is being made.
func (s *shard) beginImage(pools *imagePools) *image {
	img := &image{
		head: snapshot.State{
			Topic: s.partition.Topic, Partition: s.partition.Number, NextOffset: s.nextOffset, WatermarkMs: s.watermarkMs,
			TickMinute: s.tickMinute, BookOffset: s.bookOffset, RatingVersion: s.block.Row.RatingVersion,
			Names: slices.Clip(s.names.List), Places: slices.Clip(s.places.Ref), Plans: slices.Clip(s.plans.Ref),
		},
		sessions: slab.NewPile(&pools.sessions), windows: slab.NewPile(&pools.windows),
		connectors: make([]*[slab.PieceSize]snapshot.Connector, s.connectors.Pieces()),
		slots:      s.sessions.Slots(), places: s.starts.Places(), numConns: s.connectors.Len(),
		whole: make(chan struct{}),
	}
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
			img.start(x)
			x.Mark = s.mark
		}
		img.place++
	}
	for ; n > 0 && img.piece<<slab.PieceBits < img.numConns; n -= slab.PieceSize / 4 {
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
	x := img.sessions.Push()
	*x = *ss
	x.Mark = 0
	if ss.Window != 0 {
		img.windows.Add(*s.windows.At(ss.Window - 1))
		x.Window = uint32(img.windows.Len())
	}
	if ss.HasChanges {
		img.changes.Add(snapshot.Changes{Key: ss.Key, List: slices.Clone(s.changes[ss.Key])})
	}
	if ss.Plan == 0 {
		if h := s.held[ss.Key]; h != nil {
			held := *h // its lists only grow: what they have now stays as it is
			held.Points, held.Changes = slices.Clip(held.Points), slices.Clip(held.Changes)
			img.held.Add(held)
		}
	}
}

// start copies a Start that waits.
func (img *image) start(x *slab.Waiting) { img.starts.Add(*x) }

// leaveConnectors copies a piece of the connectors, unless it was.
func (s *shard) leaveConnectors(piece int) {
	if s.connectors.Left(piece) {
		return
	}
	copied := s.connectors.Leave(piece)
	if img := s.image; img != nil && piece<<slab.PieceBits < img.numConns {
		img.connectors[piece] = copied
	}
}

// changing returns a connector that is about to change.
func (s *shard) changing(i uint32) *snapshot.Connector {
	if !s.connectors.Left(int(i >> slab.PieceBits)) {
		s.leaveConnectors(int(i >> slab.PieceBits))
	}
	return s.connectors.At(i)
}

// parts puts the image into the order in which a state is encoded (N1): sessions and what is theirs by key, windows
// by their sessions. The image must be whole, and is not to be used otherwise afterwards.
func (img *image) parts() *snapshot.Parts {
	type place struct {
		key snapshot.Key
		at  uint32
	}
	order := make([]place, img.sessions.Len())
	for i := range order {
		order[i] = place{img.sessions.At(uint32(i)).Key, uint32(i)}
	}
	slices.SortFunc(order, func(a, b place) int { return compareKeys(a.key, b.key) })
	var windows []uint32
	for _, o := range order { // windows are numbered anew: which were free before must not tell
		if w := &img.sessions.At(o.at).Window; *w != 0 {
			windows = append(windows, *w-1)
			*w = uint32(len(windows))
		}
	}
	p := &snapshot.Parts{
		State:       img.head,
		NumSessions: len(order), Session: func(i int) *snapshot.Session { return img.sessions.At(order[i].at) },
		NumWindows: len(windows), Window: func(i int) *snapshot.Window { return img.windows.At(windows[i]) },
		NumConnectors: img.numConns, Connector: func(i int) *snapshot.Connector { return &img.connectors[i>>slab.PieceBits][i&(slab.PieceSize-1)] },
	}
	waiting := make([]*slab.Waiting, img.starts.Len())
	for i := range waiting {
		waiting[i] = img.starts.At(uint32(i))
	}
	slices.SortFunc(waiting, func(a, b *slab.Waiting) int { return compareKeys(a.Key, b.Key) })
	for _, x := range waiting {
		p.State.Starts = append(p.State.Starts, x.Start)
	}
	for i := range uint32(img.held.Len()) {
		p.State.Held = append(p.State.Held, *img.held.At(i))
	}
	slices.SortFunc(p.State.Held, func(a, b snapshot.Held) int { return compareKeys(a.Key, b.Key) })
	for i := range uint32(img.changes.Len()) {
		p.State.Changes = append(p.State.Changes, *img.changes.At(i))
	}
	slices.SortFunc(p.State.Changes, func(a, b snapshot.Changes) int { return compareKeys(a.Key, b.Key) })
	return p
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

// free gives the image's memory back.
func (img *image) free() {
	img.sessions.Free()
	img.windows.Free()
}
