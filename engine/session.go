package engine

import (
	"fmt"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// meter rates a register value, power, current or state of a session, the usual message. A transaction that is
// not known is opened by it.
func (s *shard) meter(r *rating.Reading, rec *Record, key snapshot.Key) {
	ss := s.resolve(r, key)
	if ss == nil {
		s.meterUnknown(r, rec, key)
		return
	}
	if !s.takes(ss, r, rec) {
		return
	}
	if r.State == rating.StateReservationExpired {
		s.expire(ss, r.AtMs)
		return
	}
	s.measure(ss, r)
}

// takes says whether a message has an effect on its session: the session is not over, the message not from too far
// and not the same again. One that has is counted.
func (s *shard) takes(ss *snapshot.Session, r *rating.Reading, rec *Record) bool {
	if s.over(ss) {
		s.afterEnd(ss, r)
		return false
	}
	if s.tooFar(ss, r, rec) {
		return false
	}
	if s.repeated(ss, r) {
		ss.Flags |= uint32(FlagDuplicate)
		return false
	}
	if ss.Connector == 0 && r.Connector != 0 {
		s.plugIn(ss, r)
	}
	s.note(ss, r)
	if s.unknownDriver(ss, r) {
		s.adopt(ss, r.Token)
	}
	return true
}

// plugIn gives a session that began before its connector was known (OCPP 2.x: the driver was authorised first) to the
// connector that a later message names, and prices it if that is what was missing. Its id stays.
func (s *shard) plugIn(ss *snapshot.Session, r *rating.Reading) {
	connector := s.connector(r.ChargePoint, r.Connector)
	s.endLost(connector, ss.Rate.StartMs)
	for i := s.names.First[ss.ChargePoint]; i != 0; i = s.connectors.At(i).Next {
		if s.connectors.At(i).Live == ss.Key {
			s.changing(i).Live = snapshot.Key{}
		}
	}
	s.changing(connector).Live = ss.Key
	ss.Connector = r.Connector
	if h := s.held[ss.Key]; h != nil && !h.Trimmed && s.price(ss, s.bookOffset, ss.Rate.FirstMs) {
		s.release(ss, h)
	}
}

// tooFar rejects a reading so long after the session's last one that its slices could not be written down: a
// clock that was wrong at one of the two. The session waits for a better one, and its time-out.
func (s *shard) tooFar(ss *snapshot.Session, r *rating.Reading, rec *Record) bool {
	gap := r.AtMs - ss.Rate.LastMs
	if gap <= s.maxGapMs {
		return false
	}
	ss.Flags |= uint32(FlagBadTime)
	s.reject(rec, s.position&MaxReadings, fmt.Sprintf("time %d ms is %d h after the session's last reading, at most %d h", r.AtMs, gap/3_600_000, s.maxGapMs/3_600_000))
	return true
}

// measure takes the effect of a new reading on a running session.
func (s *shard) measure(ss *snapshot.Session, r *rating.Reading) {
	switch {
	case r.Context == rating.ContextBegin:
		// A start value. It is never the newest (Growatt repeats it in every message), and only a session whose Start
		// had no register still needs it.
		if ss.Rate.LastMwh == rating.Unknown && r.RegisterMwh != rating.Unknown {
			s.firstRegister(ss, &rating.Reading{
				AtMs: ss.Rate.LastMs, RegisterMwh: r.RegisterMwh, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, ResolutionMwh: r.ResolutionMwh,
			})
		}
	case r.Context == rating.ContextEnd && r.RegisterMwh != rating.Unknown:
		ss.EndMs, ss.EndMwh = r.AtMs, r.RegisterMwh
	case r.RegisterMwh == rating.Unknown:
		if r.State != rating.StateUnchanged {
			s.change(ss, r.AtMs, r.State)
		}
	case ss.Rate.LastMwh == rating.Unknown:
		s.firstRegister(ss, r)
	case r.AtMs < ss.Rate.LastMs:
		s.late(ss, r)
	default:
		s.register(ss, r)
	}
}

// register takes a raw register value at or after the last reading: glitch, reset, resolution, or progress
// (ARCHITECTURE section 3, "The register").
func (s *shard) register(ss *snapshot.Session, r *rating.Reading) {
	adj := r.RegisterMwh + ss.RegOffsetMwh
	switch {
	case adj >= ss.Rate.LastMwh:
		if ss.Pend == snapshot.PendLow {
			ss.Pend = snapshot.PendNone
			ss.Flags |= uint32(FlagGlitch)
		}
		s.point(ss, r.AtMs, adj, r.PowerMicroW, r.CurrentNanoA, r.State)
	case ss.Rate.LastMwh-adj <= r.ResolutionMwh:
		if ss.Pend == snapshot.PendLow { // the register is back: what waited was a glitch
			ss.Pend = snapshot.PendNone
			ss.Flags |= uint32(FlagGlitch)
		}
		ss.Flags |= uint32(FlagResolution)
		s.point(ss, r.AtMs, ss.Rate.LastMwh, r.PowerMicroW, r.CurrentNanoA, r.State)
	case ss.Pend == snapshot.PendLow && r.RegisterMwh >= ss.PendMwh:
		s.reset(ss, r.AtMs)
		s.point(ss, r.AtMs, r.RegisterMwh+ss.RegOffsetMwh, r.PowerMicroW, r.CurrentNanoA, r.State)
	default:
		ss.Pend = snapshot.PendLow
		ss.PendMs, ss.PendMwh = r.AtMs, r.RegisterMwh
		ss.PendPower, ss.PendCurrent, ss.PendState = r.PowerMicroW, r.CurrentNanoA, uint8(r.State)
	}
}

// reset takes the waiting low value as the register's new beginning: the gap before it carries no energy. What
// proves it was measured at provenMs, which may be before the waiting value's own time.
func (s *shard) reset(ss *snapshot.Session, provenMs int64) {
	ss.RegOffsetMwh = ss.Rate.LastMwh - ss.PendMwh
	ss.Flags |= uint32(FlagReset)
	ss.Pend = snapshot.PendNone
	atMs := max(ss.Rate.LastMs, min(ss.PendMs, provenMs))
	s.point(ss, atMs, ss.Rate.LastMwh, ss.PendPower, ss.PendCurrent, rating.ChargeState(ss.PendState))
}

// firstRegister begins a session whose Start had no register: it gets the first value that comes.
func (s *shard) firstRegister(ss *snapshot.Session, r *rating.Reading) {
	s.begin(ss, rating.Point{
		AtMs: ss.Rate.LastMs, RegisterMwh: r.RegisterMwh, PowerMicroW: ss.PendPower, CurrentNanoA: ss.PendCurrent,
		State: rating.ChargeState(ss.PendState),
	})
	if r.AtMs < ss.Rate.LastMs {
		ss.Flags |= uint32(FlagDisorder)
		return
	}
	s.register(ss, r)
}

// point is a cleaned reading: at or after the last one in time and register.
func (s *shard) point(ss *snapshot.Session, atMs, registerMwh, power, current int64, state rating.ChargeState) {
	changes := s.takeChanges(ss, atMs)
	if state == rating.StateUnchanged {
		state = ss.Rate.Charge
		if n := len(changes); n > 0 {
			state = changes[n-1].State
		}
	}
	pt := rating.Point{AtMs: atMs, RegisterMwh: registerMwh, PowerMicroW: power, CurrentNanoA: current, State: state}
	if s.tracer != nil {
		s.tracer.Point(ss, pt, changes)
	}
	if ss.Plan == 0 {
		s.hold(ss, pt, changes)
		return
	}
	if atMs == ss.Rate.FirstMs {
		ss.PendPower, ss.PendCurrent = power, current // see adopt
	}
	was := ss.Status
	ss.Status = uint8(activeStatus(state))
	s.out = s.plans.Info[ss.Plan].plan.Advance(&ss.Rate, pt, changes, s.cfg.RatedSliceMs(), s.out[:0])
	if len(s.out) != 0 || was != ss.Status {
		s.emit(ss, s.out)
		s.version(ss)
	}
}

func activeStatus(state rating.ChargeState) SessionStatus {
	if state == rating.StateReserved || state == rating.StateReservationExpired {
		return StatusReserved
	}
	return StatusActive
}

// begin starts pricing, or holding, at the session's first Point.
func (s *shard) begin(ss *snapshot.Session, pt rating.Point) {
	if s.tracer != nil {
		s.tracer.Point(ss, pt, nil)
	}
	if ss.Plan == 0 {
		ss.Rate.FirstMs, ss.Rate.StartMs, ss.Rate.StartMwh = pt.AtMs, pt.AtMs, pt.RegisterMwh
		s.hold(ss, pt, nil)
		return
	}
	ss.Status = uint8(activeStatus(pt.State))
	ss.PendPower, ss.PendCurrent = pt.PowerMicroW, pt.CurrentNanoA // in case its driver is named later: adopt
	s.plans.Info[ss.Plan].plan.Start(&ss.Rate, pt, s.cfg.RatedSliceMs())
}

// change notes a change of state between two register values.
func (s *shard) change(ss *snapshot.Session, atMs int64, state rating.ChargeState) {
	if atMs < ss.Rate.LastMs {
		if timeClass(state) != timeClass(ss.Rate.Charge) {
			ss.Flags |= uint32(FlagDisorder)
		}
		return
	}
	list := s.changes[ss.Key]
	i := len(list)
	for i > 0 && list[i-1].AtMs > atMs {
		i--
	}
	list = append(list, rating.Change{})
	copy(list[i+1:], list[i:])
	list[i] = rating.Change{AtMs: atMs, State: state}
	s.changes[ss.Key] = list
	ss.HasChanges = true
}

// The classes of time that a state is priced as.
const (
	chargingTime = iota
	parkingTime
	reservedTime
)

func timeClass(state rating.ChargeState) int {
	switch state {
	case rating.StateSuspendedEV, rating.StateIdle:
		return parkingTime
	case rating.StateReserved, rating.StateReservationExpired:
		return reservedTime
	}
	return chargingTime
}

// takeChanges returns the changes up to atMs and forgets them; later ones stay.
func (s *shard) takeChanges(ss *snapshot.Session, atMs int64) []rating.Change {
	if !ss.HasChanges {
		return nil
	}
	list := s.changes[ss.Key]
	n := 0
	for n < len(list) && list[n].AtMs <= atMs {
		n++
	}
	if n == 0 {
		return nil
	}
	if n == len(list) {
		delete(s.changes, ss.Key)
		ss.HasChanges = false
	} else {
		s.changes[ss.Key] = append([]rating.Change(nil), list[n:]...)
	}
	return list[:n]
}

// late takes a new reading that was measured before the last accepted one. It changes nothing if it lies in the
// last interval and the interval was priced as if it were there; else the session is flagged.
func (s *shard) late(ss *snapshot.Session, r *rating.Reading) {
	adj := r.RegisterMwh + ss.RegOffsetMwh
	settled := ss.Plan != 0 && r.AtMs >= ss.Rate.PrevMs && adj >= ss.Rate.PrevMwh && adj <= ss.Rate.LastMwh &&
		(r.State == rating.StateUnchanged || r.State == ss.Rate.Charge) &&
		s.plans.Info[ss.Plan].plan.Uncut(&ss.Rate)
	if !settled {
		ss.Flags |= uint32(FlagDisorder)
	}
}

// note counts a message that has an effect and keeps its soft findings.
func (s *shard) note(ss *snapshot.Session, r *rating.Reading) {
	ss.Readings++
	s.heard(ss)
	f := SessionFlags(0)
	if r.AtMs > s.recordMs+flagAheadMs {
		f |= FlagClock
	}
	if r.AtMs < s.recordMs-flagLateMs {
		f |= FlagLate
	}
	if r.Flags != 0 {
		f |= readingFlags(r.Flags)
	}
	ss.Flags |= uint32(f)
}

func readingFlags(f rating.ReadingFlags) (out SessionFlags) {
	if f&rating.ReadingPhaseSum != 0 {
		out |= FlagPhaseSum
	}
	if f&rating.ReadingUnitGuessed != 0 {
		out |= flagUnitGuessed
	}
	if f&(rating.ReadingNoZone|rating.ReadingAtUnreadable) != 0 {
		out |= FlagBadTime
	}
	if f&rating.ReadingStopUnknown != 0 {
		out |= FlagStopUnknown
	}
	if f&rating.ReadingOffline != 0 {
		out |= FlagLate
	}
	if f&rating.ReadingSigned != 0 {
		out |= FlagSigned
	}
	return out
}

// repeated says whether the message was seen before, and remembers it.
func (s *shard) repeated(ss *snapshot.Session, r *rating.Reading) bool {
	if r.Seq != rating.Unknown {
		return !ss.NoteSeq(r.Seq)
	}
	return s.noteFingerprint(ss, r)
}

// noteFingerprint is NoteSeq for protocols without sequence numbers: 32 bits of (time, register, context, kind,
// state, power) of the last 64 messages. A chance collision can at most hide that a late reading came late.
func (s *shard) noteFingerprint(ss *snapshot.Session, r *rating.Reading) (repeated bool) {
	if ss.Window == 0 {
		ss.Window = s.windows.Take() + 1
	}
	w := s.windows.At(ss.Window - 1)
	h := uint64(r.AtMs)*0x9e3779b97f4a7c15 ^ uint64(r.RegisterMwh)*0xc2b2ae3d27d4eb4f ^
		uint64(r.PowerMicroW)*0x165667b19e3779f9 ^ uint64(r.Context)<<8 ^ uint64(r.Kind)<<16 ^ uint64(r.State)<<24
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	return !w.Note(uint32(h>>32) | 1) // 0 is an empty place
}
