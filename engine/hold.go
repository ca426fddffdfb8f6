package engine

import (
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// Bounds of what waits for a missing charger or tariff (ARCHITECTURE section 4.1).
const (
	maxHeldPoints = 4096     // a session
	maxHeldBytes  = 64 << 20 // a shard
	pointSize     = 40
	heldSize      = 200 // of an empty one, with its map entry
)

// hold keeps a cleaned reading of a session that nothing can price yet.
func (s *shard) hold(ss *snapshot.Session, pt rating.Point, changes []rating.Change) {
	// As in pricing, a reservation does not come back once the session has begun.
	if was := ss.Rate.Charge; was != rating.StateUnchanged && timeClass(was) != reservedTime && timeClass(pt.State) == reservedTime {
		pt.State = was
	}
	ss.Rate.PrevMs, ss.Rate.PrevMwh = ss.Rate.LastMs, ss.Rate.LastMwh
	ss.Rate.LastMs, ss.Rate.LastMwh, ss.Rate.Charge = pt.AtMs, pt.RegisterMwh, pt.State
	h := s.held[ss.Key]
	if h == nil || h.Trimmed {
		return
	}
	size := pointSize * (1 + len(changes))
	if len(h.Points)+len(h.Changes)+1+len(changes) > maxHeldPoints || s.heldBytes+size > maxHeldBytes {
		s.heldBytes -= pointSize * (len(h.Points) + len(h.Changes))
		h.Points, h.Changes, h.Trimmed = nil, nil, true
		ss.Flags |= uint32(FlagTrimmed)
		ss.Status = uint8(StatusUnpriceable)
		s.version(ss)
		return
	}
	s.heldBytes += size
	h.Points = append(h.Points, pt)
	h.Changes = append(h.Changes, changes...)
}

// endHeld ends a session that is not priced yet: it waits on, or ends without a price when it has no readings.
func (s *shard) endHeld(ss *snapshot.Session, status SessionStatus) {
	h := s.held[ss.Key]
	if h == nil || h.Trimmed {
		ss.Status = uint8(StatusUnpriceable)
		s.version(ss)
		reason := "it has no readings"
		if h != nil {
			reason = h.Reason
		}
		s.tell(ss, s.total(ss), false, true, reason)
		s.forgetHeld(ss.Key)
		s.drop(ss)
		return
	}
	h.Ended = true
	h.Provisional = status == StatusProvisional
	s.version(ss)
}

func (s *shard) forgetHeld(k snapshot.Key) {
	if h := s.held[k]; h != nil {
		s.heldBytes -= heldSize + pointSize*(len(h.Points)+len(h.Changes))
		delete(s.held, k)
	}
}

// changeBook takes a newer book, between two blocks, and prices the held sessions for which it has what was
// missing. The position is the one after the last message: of no reading.
func (s *shard) changeBook(book int64) {
	s.bookOffset = book
	s.position, s.offset, s.recordMs = between(s.nextOffset), s.nextOffset, s.watermarkMs
	for _, k := range sortedKeys(s.held) {
		h := s.held[k]
		ss := s.lookup(k, noSlot)
		if h.Trimmed || ss == nil {
			continue
		}
		reason := h.Reason
		if s.price(ss, book, ss.Rate.FirstMs) {
			s.release(ss, h)
		} else if h.Reason != reason {
			s.version(ss)
		}
	}
}

// release prices a held session from its beginning.
func (s *shard) release(ss *snapshot.Session, h *snapshot.Held) {
	plan := s.plans.Info[ss.Plan].plan
	points, changes := h.Points, h.Changes
	s.forgetHeld(ss.Key)
	if len(points) == 0 { // its Start had no register, and no value came since
		ss.Status = uint8(activeStatus(rating.ChargeState(ss.PendState)))
		s.version(ss)
		return
	}
	ss.Rate = rating.State{}
	plan.Start(&ss.Rate, points[0], s.cfg.RatedSliceMs())
	s.out = s.out[:0]
	for _, pt := range points[1:] {
		n := 0
		for n < len(changes) && changes[n].AtMs <= pt.AtMs {
			n++
		}
		s.out = plan.Advance(&ss.Rate, pt, changes[:n], s.cfg.RatedSliceMs(), s.out)
		changes = changes[n:]
	}
	ss.Status = uint8(activeStatus(ss.Rate.Charge))
	s.emit(ss, s.out)
	s.version(ss)
	if h.Ended {
		status := StatusCompleted
		if h.Provisional {
			status = StatusProvisional
		}
		s.finish(ss, status)
	}
}
