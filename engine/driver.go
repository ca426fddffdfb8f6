package engine

import (
	"github.com/wattline/wattline/engine/book"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// tokenKeys are those of the shard's book. Without any, tokens are not looked at.
func (s *shard) tokenKeys() []uint32 {
	if s.keysOf != s.bookOffset {
		s.keysOf, s.tokenIDs = s.bookOffset, s.ref.TokenKeys(s.bookOffset)
	}
	return s.tokenIDs
}

// pseudonym is what is kept of a token; nothing where the book says nothing of tokens.
func (s *shard) pseudonym(token []byte) rating.Pseudonym {
	if len(token) == 0 {
		return rating.Pseudonym{}
	}
	keys := s.tokenKeys()
	if len(keys) == 0 {
		return rating.Pseudonym{}
	}
	return s.ref.Pseudonym(s.bookOffset, keys, token)
}

// asks is what the book is asked for a session that began at startMs.
func (s *shard) asks(ss *snapshot.Session, startMs int64) book.Session {
	return book.Session{
		StartMs: startMs, ChargePoint: s.names.List[ss.ChargePoint], Connector: ss.Connector, Driver: ss.Driver.Pseudonym(),
	}
}

// unknownDriver says that a message may name the driver of a session that has none yet.
func (s *shard) unknownDriver(ss *snapshot.Session, r *rating.Reading) bool {
	return len(r.Token) != 0 && ss.Driver.KeyID == 0 && len(s.tokenKeys()) != 0
}

// adopt takes a token that comes after its session began (OCPP 2.x begins a transaction when the cable is plugged in, and
// has the driver authorised later). As long as nothing was measured but the beginning, the session is priced anew, as
// if the token had been there. After that it keeps its tariff: the contract is noted, and FlagLateToken.
func (s *shard) adopt(ss *snapshot.Session, token []byte) {
	ss.Driver.Set(s.pseudonym(token))
	switch {
	case ss.Plan == 0:
		if h := s.held[ss.Key]; h != nil && !h.Trimmed && s.price(ss, s.bookOffset, ss.Rate.FirstMs) {
			s.release(ss, h)
		}
	case !s.unmeasured(ss):
		ss.Flags |= uint32(FlagLateToken)
		asks := s.asks(ss, ss.Rate.FirstMs)
		ss.Driver.SetContract(s.ref.Contract(s.bookOffset, &asks))
	default:
		s.priceAgain(ss)
	}
	s.version(ss)
}

// unmeasured says that a priced session has at most its first Point, and so no rows.
func (s *shard) unmeasured(ss *snapshot.Session) bool {
	r := &ss.Rate
	return r.LastMwh == rating.Unknown || r.LastMs == r.FirstMs && r.LastMwh == r.StartMwh && ss.Pend == snapshot.PendNone &&
		r.Charge != rating.StateReservationExpired
}

// priceAgain prices a session that is unmeasured by its driver.
func (s *shard) priceAgain(ss *snapshot.Session) {
	before := ss.Plan
	ok := s.price(ss, s.bookOffset, ss.Rate.FirstMs)
	if ok && ss.Plan == before || ss.Rate.LastMwh == rating.Unknown {
		return
	}
	first := rating.Point{
		AtMs: ss.Rate.LastMs, RegisterMwh: ss.Rate.LastMwh, PowerMicroW: ss.PendPower, CurrentNanoA: ss.PendCurrent, State: ss.Rate.Charge,
	}
	if ok {
		s.plans.Info[ss.Plan].plan.Start(&ss.Rate, first, s.cfg.RatedSliceMs())
		return
	}
	ss.Rate = rating.State{FirstMs: first.AtMs, StartMs: first.AtMs, StartMwh: first.RegisterMwh}
	s.hold(ss, first, nil)
}
