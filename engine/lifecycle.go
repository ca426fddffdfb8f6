package engine

import (
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// opening is what is known when a session opens.
type opening struct {
	connector   uint32 // index in s.connectors
	transaction []byte
	atMs        int64
	registerMwh int64 // or rating.Unknown
	power       int64
	current     int64
	state       rating.ChargeState
	seq         int64
	offset      int64 // of the message that began it
	flags       SessionFlags
	driver      rating.Pseudonym
}

// resolve finds the session that a reading belongs to when its own key does not: OCPP messages name the
// transaction without the connector (StopTransaction), or the connector without the transaction.
func (s *shard) resolve(r *rating.Reading, key snapshot.Key) *snapshot.Session {
	if ss := s.lookup(key, noSlot); ss != nil {
		return ss
	}
	name, ok := s.names.Find(r.ChargePoint)
	if !ok {
		return nil
	}
	for i := s.names.First[name]; i != 0; i = s.connectors.At(i).Next {
		c := s.connectors.At(i)
		if !mayBe(c.Number, r.Connector) {
			continue
		}
		if ss := s.lookup(c.Live, noSlot); ss != nil {
			if len(r.Transaction) == 0 && r.Connector != 0 && c.Number == r.Connector || string(ss.Transaction()) == string(r.Transaction) {
				return ss
			}
		}
		// One that was closed without its Stop is kept for a while.
		if ss := s.lookup(c.Ended, noSlot); ss != nil && len(r.Transaction) != 0 && string(ss.Transaction()) == string(r.Transaction) {
			return ss
		}
	}
	return nil
}

// mayBe says whether a message of a connector can be one of a session of another number: 0 is a connector that was
// not said. OCPP 2.x authorises before it knows the EVSE, and does not repeat it.
func mayBe(number, said int32) bool { return said == 0 || number == 0 || number == said }

// bygone says that a message of a session that is not known was measured before the newest session of its
// connector began. Sessions of a connector do not overlap: it is of one that is over, sent again, and must not
// bill anything a second time.
func (s *shard) bygone(connector uint32, atMs int64) bool {
	c := s.connectors.At(connector)
	if ss := s.lookup(c.Live, noSlot); ss != nil && atMs < beganMs(ss) {
		return true
	}
	return c.Ended != (snapshot.Key{}) && atMs < c.EndedFromMs
}

// beganMs is when a session began, by a clock that is not ahead of its records: a charger whose clock was ahead
// once must not cost the sessions after it.
func beganMs(ss *snapshot.Session) int64 {
	return ss.Rate.FirstMs - max(0, ss.Rate.LastMs-ss.LastRecordMs)
}

const reasonBygone = "measured before the connector's newest session began: of a session that is over, sent again"

// endedBefore says whether the reading belongs to the last session that ended on one of the charge point's
// connectors: it opens nothing.
func (s *shard) endedBefore(r *rating.Reading) bool {
	name, ok := s.names.Find(r.ChargePoint)
	if !ok || len(r.Transaction) == 0 {
		return false
	}
	for i := s.names.First[name]; i != 0; i = s.connectors.At(i).Next {
		c := s.connectors.At(i)
		if !mayBe(c.Number, r.Connector) || c.Ended == (snapshot.Key{}) {
			continue
		}
		if s.hash.Key(r.ChargePoint, c.Number, r.Transaction) == c.Ended {
			return true
		}
	}
	return false
}

// meterUnknown takes a meter message whose session is not known: it may belong to one that ended, to a Start
// whose answer was not seen, to no session at all (clock-aligned readings), or it opens one.
func (s *shard) meterUnknown(r *rating.Reading, rec *Record, key snapshot.Key) {
	if noTransaction(r.Transaction) || s.endedBefore(r) {
		s.stats.Outside.Add(1)
		return
	}
	connector := s.connector(r.ChargePoint, r.Connector)
	if s.bygone(connector, r.AtMs) {
		s.reject(rec, s.position&MaxReadings, reasonBygone)
		return
	}
	if st, ok := s.pendingStart(connector); ok {
		if r.AtMs-st.AtMs > s.maxGapMs { // the charger's clock was not set when it sent the Start
			st.AtMs, st.Flags = r.AtMs, st.Flags|uint32(FlagBadTime)
		}
		ss := s.openStart(&st, connector, r.Transaction)
		s.note(ss, r)
		s.repeated(ss, r)
		s.measure(ss, r)
		return
	}
	if r.Context == rating.ContextEnd {
		s.stats.Outside.Add(1)
		return
	}
	state := r.State
	if state == rating.StateUnchanged {
		state = rating.StateCharging
	}
	o := opening{
		connector: connector, transaction: r.Transaction, atMs: r.AtMs, registerMwh: r.RegisterMwh, power: r.PowerMicroW,
		current: r.CurrentNanoA, state: state, seq: r.Seq, offset: s.offset, flags: FlagNoStart | s.softFlags(r),
		driver: s.pseudonym(r.Token),
	}
	startMs, ok := sessionRegister(r)
	if !ok {
		s.open(key, &o, r)
		return
	}
	o.atMs, o.registerMwh, o.flags = startMs, 0, o.flags|FlagSessionRegister
	ss := s.open(key, &o, r)
	s.measure(ss, r)
}

// sessionRegister recognises a register that counts from the session's own start, where no Start was seen: many
// central systems give the unix time of the start as transaction id, and the register is what the power in the
// same message delivers from then on, within a tenth (ABB Terra AC among the real traces). Anything less than
// all of that is no evidence, and the session begins at its first register.
func sessionRegister(r *rating.Reading) (startMs int64, ok bool) {
	const dayMs, mwhPerMicroWms = 24 * 3_600_000, 3_600_000_000
	if r.RegisterMwh <= 0 || r.PowerMicroW <= 0 || len(r.Transaction) != 10 {
		return 0, false
	}
	for _, c := range r.Transaction {
		if c < '0' || c > '9' {
			return 0, false
		}
		startMs = startMs*10 + int64(c-'0')
	}
	startMs *= 1000
	ms := r.AtMs - startMs
	if ms <= 0 || ms > dayMs || r.PowerMicroW > (1<<62)/ms {
		return 0, false
	}
	off := r.PowerMicroW*ms/mwhPerMicroWms - r.RegisterMwh
	return startMs, max(off, -off) <= r.RegisterMwh/10
}

// noTransaction says that a meter reading names no session that it could open: chargers send 0 or -1 outside
// one (seen in real logs: docs/formats/ocpp16-envelope.md). A session that a Start or an answer gave such an id is found before this is asked.
func noTransaction(id []byte) bool {
	return len(id) == 0 || string(id) == "0" || string(id) == "-1"
}

func (s *shard) softFlags(r *rating.Reading) SessionFlags {
	f := readingFlags(r.Flags)
	if r.AtMs > s.recordMs+flagAheadMs {
		f |= FlagClock
	}
	if r.AtMs < s.recordMs-flagLateMs {
		f |= FlagLate
	}
	return f
}

// start takes a Start. One that names its transaction opens the session; one that does not (OCPP 1.6) waits for
// the answer that does.
func (s *shard) start(r *rating.Reading, rec *Record, key snapshot.Key) {
	connector := s.connector(r.ChargePoint, r.Connector)
	if len(r.Transaction) == 0 {
		s.startPending(r, rec, connector)
		return
	}
	if ss := s.lookup(key, noSlot); ss != nil && !s.renewed(ss, r.AtMs) {
		if s.repeated(ss, r) {
			ss.Flags |= uint32(FlagDuplicate)
			return
		}
		ss.Flags |= uint32(FlagDisorder)
		if s.unknownDriver(ss, r) && !s.over(ss) { // a meter reading had opened it
			s.adopt(ss, r.Token)
		}
		return
	}
	if c := s.connectors.At(connector); c.Ended == key && r.AtMs <= c.EndedMs {
		s.stats.Outside.Add(1)
		return
	}
	if s.bygone(connector, r.AtMs) {
		s.reject(rec, s.position&MaxReadings, reasonBygone)
		return
	}
	s.endLost(connector, r.AtMs)
	state := r.State
	if state == rating.StateUnchanged {
		state = rating.StateCharging
	}
	s.open(key, &opening{
		connector: connector, transaction: r.Transaction, atMs: r.AtMs, registerMwh: r.RegisterMwh, power: r.PowerMicroW,
		current: r.CurrentNanoA, state: state, seq: r.Seq, offset: s.offset, flags: s.softFlags(r), driver: s.pseudonym(r.Token),
	}, r)
}

// renewed says that a Start at atMs gives the transaction id of a session that was closed without its Stop to a
// new one: the central system counts anew. The closed one is given up.
func (s *shard) renewed(ss *snapshot.Session, atMs int64) bool {
	if SessionStatus(ss.Status) != StatusProvisional || atMs <= ss.Rate.LastMs {
		return false
	}
	s.tell(ss, s.total(ss), false, true, "")
	s.drop(ss)
	return true
}

// startPending keeps a Start until its answer comes. A charger that repeats it after a reconnect sends the same
// time and register (TARIFF-RULES 5.2): the running session keeps its start.
func (s *shard) startPending(r *rating.Reading, rec *Record, connector uint32) {
	c := s.connectors.At(connector)
	if ss := s.lookup(c.Live, noSlot); ss != nil && ss.Rate.StartMs == r.AtMs && ss.Rate.StartMwh == r.RegisterMwh {
		ss.Flags |= uint32(FlagDuplicate)
		return
	}
	if s.bygone(connector, r.AtMs) {
		s.reject(rec, s.position&MaxReadings, reasonBygone)
		return
	}
	st := snapshot.Start{
		Connector: connector, AtMs: r.AtMs, RegisterMwh: r.RegisterMwh, RecordMs: s.recordMs, Offset: s.offset,
		State: uint8(r.State), Flags: uint32(s.softFlags(r)), MessageLen: uint8(len(r.MessageID)),
	}
	copy(st.MessageID[:], r.MessageID)
	p := s.pseudonym(r.Token)
	st.KeyID, st.Pseudonym = p.KeyID, p.Value
	s.wait(s.startKey(r.ChargePoint, r.MessageID), st)
}

// answer takes the central system's answer to a Start: it names the transaction.
func (s *shard) answer(r *rating.Reading) {
	k := s.startKey(r.ChargePoint, r.MessageID)
	st, ok := s.starts.Get(k)
	if !ok || len(r.Transaction) == 0 {
		s.stats.Outside.Add(1)
		return
	}
	s.forget(k)
	s.openStart(&st, st.Connector, r.Transaction)
}

// openStart opens the session of a pending Start under its transaction.
func (s *shard) openStart(st *snapshot.Start, connector uint32, transaction []byte) *snapshot.Session {
	c := s.connectors.At(connector)
	chargePoint := []byte(s.names.List[c.ChargePoint])
	key := s.hash.Key(chargePoint, c.Number, transaction)
	if ss := s.lookup(key, noSlot); ss != nil && !s.renewed(ss, st.AtMs) {
		return ss
	}
	s.endLost(connector, st.AtMs)
	s.forgetOlder(connector, st.AtMs)
	state := rating.ChargeState(st.State)
	if state == rating.StateUnchanged {
		state = rating.StateCharging
	}
	ss := s.open(key, &opening{
		connector: connector, transaction: transaction, atMs: st.AtMs, registerMwh: st.RegisterMwh, power: rating.Unknown,
		current: rating.Unknown, state: state, seq: rating.Unknown, offset: st.Offset, flags: SessionFlags(st.Flags),
		driver: rating.Pseudonym{KeyID: st.KeyID, Value: st.Pseudonym},
	}, nil)
	if c := s.connectors.At(connector); c.StatusMs != rating.Unknown && c.StatusMs >= st.AtMs &&
		rating.ChargeState(c.Status) < rating.StateReserved {
		s.change(ss, c.StatusMs, rating.ChargeState(c.Status))
	}
	return ss
}

// endLost closes the session that still runs on a connector when the next one starts there: its Stop was lost.
// A Start from before the running session's own (replayed late) closes nothing.
func (s *shard) endLost(connector uint32, startMs int64) {
	ss := s.lookup(s.connectors.At(connector).Live, noSlot)
	if ss == nil || startMs < ss.Rate.StartMs {
		return
	}
	s.endProvisional(ss)
}

// status takes a connector's state. It cuts the session's time; the register there is on the line.
func (s *shard) status(r *rating.Reading) {
	if r.Connector == 0 || r.State == rating.StateUnchanged {
		return
	}
	connector := s.connector(r.ChargePoint, r.Connector)
	c := s.connectors.At(connector)
	if c.StatusMs != rating.Unknown && (r.AtMs < c.StatusMs || r.AtMs == c.StatusMs && c.Status == uint8(r.State)) {
		return // older than what is known, or the same again
	}
	c = s.changing(connector)
	c.Status, c.StatusMs = uint8(r.State), r.AtMs
	ss := s.lookup(c.Live, noSlot)
	if ss == nil || s.over(ss) || r.State >= rating.StateReserved {
		return
	}
	s.note(ss, r)
	s.change(ss, r.AtMs, r.State)
}

// open makes a session, takes from the book what prices it, and begins it. r is the reading that opened it, nil
// for a Start that waited.
func (s *shard) open(key snapshot.Key, o *opening, r *rating.Reading) *snapshot.Session {
	ss := s.sessions.At(s.sessions.Insert(key))
	c := s.changing(o.connector)
	ss.ChargePoint, ss.Connector, ss.FirstOffset = c.ChargePoint, c.Number, o.offset
	ss.LastSeq, ss.EndMs = rating.Unknown, rating.Unknown
	ss.TxLen = uint8(copy(ss.Tx[:], o.transaction))
	s.heard(ss)
	ss.LastRecordMs, ss.Readings, ss.Flags = s.recordMs, 1, uint32(o.flags)
	ss.Driver.Set(o.driver)
	c.Live = key
	s.arm(ss)
	if r != nil {
		s.repeated(ss, r)
	}
	s.offer(ss, o.connector, o.atMs)
	if o.registerMwh == rating.Unknown {
		ss.Rate.FirstMs, ss.Rate.StartMs, ss.Rate.LastMs, ss.Rate.LastMwh = o.atMs, o.atMs, o.atMs, rating.Unknown
		ss.PendPower, ss.PendCurrent, ss.PendState = o.power, o.current, uint8(o.state)
		if ss.Plan != 0 {
			ss.Status = uint8(activeStatus(o.state))
		}
	} else {
		s.begin(ss, rating.Point{AtMs: o.atMs, RegisterMwh: o.registerMwh, PowerMicroW: o.power, CurrentNanoA: o.current, State: o.state})
	}
	s.version(ss)
	s.stats.Opened.Add(1)
	return ss
}

// offer is price for a session that opens: what a connector's last session without a driver was offered holds for the
// next one, as long as the book is the same and no tariff of the connector begins or ends.
func (s *shard) offer(ss *snapshot.Session, connector uint32, startMs int64) {
	if ss.Driver.KeyID != 0 {
		s.price(ss, s.bookOffset, startMs)
		return
	}
	for len(s.offers) < s.connectors.Len() {
		s.offers = append(s.offers, offer{})
	}
	o := &s.offers[connector]
	if o.plan != 0 && o.book == s.bookOffset {
		ss.Plan, ss.Place = o.plan, o.place
		return
	}
	if s.price(ss, s.bookOffset, startMs) && s.priced.Always {
		*o = offer{book: s.bookOffset, plan: ss.Plan, place: ss.Place}
	}
}

// price takes plan and place of a session from the book of asOf, or holds it.
func (s *shard) price(ss *snapshot.Session, asOf, startMs int64) bool {
	asks := s.asks(ss, startMs)
	p, reason, ok := s.ref.Price(asOf, &asks)
	ss.Driver.SetContract(p.Contract)
	if ss.Driver.Tier = 0; p.Tier != "" {
		ss.Driver.Tier = s.tiers.Put(p.Tier, struct{}{})
	}
	if !ok {
		ss.Plan, ss.Place = 0, 0
		ss.Status = uint8(StatusHeld)
		ss.Flags |= uint32(FlagHeld)
		if h := s.held[ss.Key]; h != nil {
			h.Reason = reason
		} else {
			s.held[ss.Key] = &snapshot.Held{Key: ss.Key, Reason: reason}
			s.heldBytes += heldSize
		}
		return false
	}
	s.priced = p
	ss.Plan = s.plans.Put(p.Plan, planInfo{p.Compiled, p.Tariff, p.Compiled.Tariff().Currency})
	ss.Place = s.places.Put(p.Place, p.Stand)
	return true
}

// stop takes the end of a session.
func (s *shard) stop(r *rating.Reading, rec *Record, key snapshot.Key) {
	ss := s.resolve(r, key)
	if ss == nil {
		if s.endedBefore(r) {
			s.stats.Outside.Add(1)
			return
		}
		if ss = s.stopOfStart(r); ss == nil {
			s.reject(rec, s.position&MaxReadings, "stop of a session that was never seen, or ended before the last one")
			return
		}
	}
	if !s.takes(ss, r, rec) {
		return
	}
	if r.State == rating.StateReservationExpired {
		s.expire(ss, r.AtMs)
	}
	if ss.Rate.LastMwh == rating.Unknown {
		reg := r.RegisterMwh
		if reg == rating.Unknown {
			reg = 0
		}
		s.begin(ss, rating.Point{
			AtMs: ss.Rate.LastMs, RegisterMwh: reg, PowerMicroW: ss.PendPower, CurrentNanoA: ss.PendCurrent,
			State: rating.ChargeState(ss.PendState),
		})
	}
	s.endAt(ss, r.AtMs, r.RegisterMwh, r.ResolutionMwh)
	s.finish(ss, StatusCompleted)
}

// stopOfStart finds the Start without answer that a Stop without session may belong to: the only one that waits
// at the charge point.
func (s *shard) stopOfStart(r *rating.Reading) *snapshot.Session {
	name, ok := s.names.Find(r.ChargePoint)
	if !ok || len(r.Transaction) == 0 {
		return nil
	}
	only, waiting := uint32(0), 0
	for i := s.names.First[name]; i != 0; i = s.connectors.At(i).Next {
		s.starts.Of(i, func(uint32, *slab.Waiting) { only, waiting = i, waiting+1 })
	}
	if waiting != 1 {
		return nil
	}
	st, _ := s.pendingStart(only)
	if r.AtMs-st.AtMs > s.maxGapMs {
		st.AtMs, st.Flags = r.AtMs, st.Flags|uint32(FlagBadTime)
	}
	return s.openStart(&st, only, r.Transaction)
}

// endAt takes the last point of a session: time and raw register of its Stop.
func (s *shard) endAt(ss *snapshot.Session, atMs, registerMwh, resolutionMwh int64) {
	if atMs < ss.Rate.LastMs {
		// A closing reading stamped after the Stop came before it. Taking its time back is an amendment.
		ss.Flags |= uint32(FlagAfterEnd | FlagDisorder)
		atMs = ss.Rate.LastMs
	}
	if ss.EndMs != rating.Unknown && ss.EndMs > atMs {
		ss.Flags |= uint32(FlagAfterEnd)
	}
	adj := ss.Rate.LastMwh
	if registerMwh == rating.Unknown && ss.EndMs != rating.Unknown && ss.EndMwh+ss.RegOffsetMwh >= adj {
		registerMwh = ss.EndMwh // the last value is the end, and a Transaction.End value is one
	}
	if registerMwh != rating.Unknown {
		adj = registerMwh + ss.RegOffsetMwh
		if adj < ss.Rate.LastMwh && ss.Pend == snapshot.PendLow && registerMwh >= ss.PendMwh {
			s.reset(ss, atMs)
			adj = registerMwh + ss.RegOffsetMwh
		}
		if adj < ss.Rate.LastMwh {
			if ss.Rate.LastMwh-adj <= resolutionMwh {
				ss.Flags |= uint32(FlagResolution)
			} else {
				ss.Flags |= uint32(FlagBelowStart)
			}
			adj = ss.Rate.LastMwh
		}
	}
	if ss.Pend == snapshot.PendLow {
		ss.Pend = snapshot.PendNone
		ss.Flags |= uint32(FlagGlitch)
	}
	s.point(ss, atMs, adj, rating.Unknown, rating.Unknown, rating.StateUnchanged)
}

// expire re-labels a reservation that nobody used.
func (s *shard) expire(ss *snapshot.Session, atMs int64) {
	if ss.Rate.LastMwh == rating.Unknown || ss.Rate.Charge != rating.StateReserved {
		if ss.Rate.Charge != rating.StateReservationExpired {
			ss.Flags |= uint32(FlagDisorder)
		}
		return
	}
	for _, c := range s.changes[ss.Key] { // a status said that it was used: the register is still to come
		if c.AtMs <= atMs && timeClass(c.State) != reservedTime {
			ss.Flags |= uint32(FlagDisorder)
			return
		}
	}
	atMs = max(atMs, ss.Rate.LastMs)
	if ss.Plan == 0 {
		s.point(ss, atMs, ss.Rate.LastMwh, rating.Unknown, rating.Unknown, rating.StateReservationExpired)
		return
	}
	if s.tracer != nil {
		s.tracer.Expired(ss, atMs)
	}
	s.out = s.plans.Info[ss.Plan].plan.Expire(&ss.Rate, atMs, s.out[:0])
	s.emit(ss, s.out)
	s.version(ss)
}

// finish settles a session, writes its last rows, and forgets it.
func (s *shard) finish(ss *snapshot.Session, status SessionStatus) {
	delete(s.changes, ss.Key) // of after the end
	ss.HasChanges = false
	for i := s.names.First[ss.ChargePoint]; i != 0; i = s.connectors.At(i).Next {
		c := s.changing(i)
		if c.Live == ss.Key {
			c.Live = snapshot.Key{}
		}
		if c.Number == ss.Connector || c.Number == 0 && s.hash.Key([]byte(s.names.List[ss.ChargePoint]), 0, ss.Transaction()) == ss.Key {
			c.Ended, c.EndedFromMs, c.EndedMs = ss.Key, beganMs(ss), ss.Rate.LastMs
		}
	}
	if s.tracer != nil {
		s.tracer.Ended(ss, s.names.List[ss.ChargePoint], s.plans.Ref[ss.Plan])
	}
	s.stats.Ended.Add(1)
	if ss.Plan == 0 {
		s.endHeld(ss, status)
		return
	}
	s.plausible(ss)
	ss.Status = uint8(status)
	var total rating.Total
	s.out, total = s.plans.Info[ss.Plan].plan.Close(&ss.Rate, s.out[:0])
	s.emit(ss, s.out)
	s.versionOf(ss, total)
	s.tell(ss, total, true, status == StatusCompleted, "")
	if status == StatusProvisional {
		s.arm(ss) // kept a while, so that what comes late is seen
		return
	}
	s.drop(ss)
}

func (s *shard) drop(ss *snapshot.Session) {
	if ss.Window != 0 {
		s.windows.Free(ss.Window - 1)
	}
	if ss.Sheet != 0 {
		s.sheets.Free(ss.Sheet - 1)
	}
	s.sessions.Remove(ss.Key)
}

// endProvisional closes a session whose Stop did not come, at its last reading (or its Transaction.End value).
func (s *shard) endProvisional(ss *snapshot.Session) {
	ss.Flags |= uint32(FlagNoStop)
	if ss.Rate.LastMwh == rating.Unknown {
		s.begin(ss, rating.Point{
			AtMs: ss.Rate.LastMs, RegisterMwh: max(ss.EndMwh, 0), PowerMicroW: ss.PendPower, CurrentNanoA: ss.PendCurrent,
			State: rating.ChargeState(ss.PendState),
		})
	}
	if ss.EndMs != rating.Unknown && ss.EndMs >= ss.Rate.LastMs && ss.EndMwh+ss.RegOffsetMwh >= ss.Rate.LastMwh {
		s.point(ss, ss.EndMs, ss.EndMwh+ss.RegOffsetMwh, rating.Unknown, rating.Unknown, rating.StateUnchanged)
	}
	if ss.Pend == snapshot.PendLow {
		ss.Pend = snapshot.PendNone
		ss.Flags |= uint32(FlagGlitch)
	}
	s.finish(ss, StatusProvisional)
}

// over says that the session has ended and is only kept: closed without its Stop, or held.
func (s *shard) over(ss *snapshot.Session) bool {
	if SessionStatus(ss.Status) == StatusProvisional {
		return true
	}
	h := s.held[ss.Key]
	return h != nil && h.Ended
}

// afterEnd takes a message of a session that is over. What it would change in one that was closed without its
// Stop is an amendment: the session is flagged, once.
func (s *shard) afterEnd(ss *snapshot.Session, r *rating.Reading) {
	if s.repeated(ss, r) {
		return
	}
	s.stats.Outside.Add(1)
	if SessionFlags(ss.Flags)&FlagNoStop == 0 || SessionFlags(ss.Flags)&FlagDisorder != 0 || r.AtMs <= ss.Rate.LastMs {
		return
	}
	ss.Flags |= uint32(FlagDisorder)
	s.version(ss)
}

// plausible flags energies that the connector can not have delivered, and a register in the wrong unit.
func (s *shard) plausible(ss *snapshot.Session) {
	energyMwh, ms := ss.Rate.LastMwh-ss.Rate.StartMwh, ss.Rate.LastMs-ss.Rate.StartMs
	maxW := s.places.Info[ss.Place].MaxW
	if maxW <= 0 {
		maxW = 1_000_000 // no charger delivers more than a megawatt
	}
	// mWh over ms against W: mWh * 3,600 = W * ms; a quarter more, and one kWh, are allowed.
	canMwh := maxW*ms/3600*5/4 + 1_000_000
	if energyMwh > canMwh {
		ss.Flags |= uint32(FlagImpossible)
	}
	if SessionFlags(ss.Flags)&flagUnitGuessed != 0 && energyMwh > 0 && energyMwh <= canMwh/1000 {
		ss.Flags |= uint32(FlagUnit) // taken as kWh it would be just what the connector delivers
	}
	ss.Flags &^= uint32(flagUnitGuessed)
}
