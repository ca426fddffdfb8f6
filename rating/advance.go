package rating

import "github.com/wattline/wattline/internal/invariant"

// Start begins a session at its first Point. A Point without a state is CHARGING. sliceMs is the length of the
// slices that rows are cut at, aligned to multiples of it since 1970 UTC; 0 cuts at charging periods only. It
// stays the same for the session.
func (p *Plan) Start(s *State, pt Point, sliceMs int64) {
	inRange(pt.AtMs, pt.RegisterMwh)
	invariant.Check(sliceMs >= 0, "negative slice")
	state := pt.State
	if state == StateUnchanged {
		state = StateCharging
	}
	*s = State{
		LastMs: pt.AtMs, LastMwh: pt.RegisterMwh,
		NextMs: pt.AtMs, NextMwh: pt.RegisterMwh, // R8: nothing was asked yet
		PrevMs: pt.AtMs, PrevMwh: pt.RegisterMwh,
		Charge:  state,
		FirstMs: pt.AtMs, StartMs: pt.AtMs, StartMwh: pt.RegisterMwh,
		PeriodStartMs: pt.AtMs,
		rowMs:         pt.AtMs, rowMwh: pt.RegisterMwh,
		power: classOf(p.powers, pt.PowerMicroW), current: classOf(p.currents, pt.CurrentNanoA),
		openPower: noClass, openCurrent: noClass,
		energyComp: noComp, timeComp: noComp, flatComp: noComp,
		lastEnergy: noComp, lastReservation: noComp, lastPricedMs: noComp,
	}
	s.set(flagInSession, phaseOf(state).ofSession())
}

// Advance rates the interval from the newest Point to pt and appends the rows that it closed to out, which it
// returns grown; it keeps nothing of pt, changes or out. changes are changes of state in the interval, both
// ends included, in order of time; later ones are not looked at. At pt the state of pt wins. Neither time nor
// register of pt may be below the newest Point's.
//
// An expiry found here (a reservation turns StateReservationExpired) is settled as Expire does. A reservation
// state after the session has begun, and any state after an expiry, changes nothing.
func (p *Plan) Advance(s *State, pt Point, changes []Change, sliceMs int64, out []Charge) []Charge {
	// One unsigned comparison holds both ends of LastMs <= AtMs < NextMs (R8 makes the bound >= 0).
	if uint64(pt.AtMs-s.LastMs) < uint64(s.NextMs-s.LastMs) &&
		uint64(pt.RegisterMwh-s.LastMwh) < uint64(s.NextMwh-s.LastMwh) &&
		(pt.State == s.Charge || pt.State == StateUnchanged) && p.plain && len(changes) == 0 {
		s.PrevMs, s.PrevMwh = s.LastMs, s.LastMwh
		s.LastMs, s.LastMwh = pt.AtMs, pt.RegisterMwh
		return out
	}
	return p.advance(s, &pt, changes, sliceMs, out)
}

// advance is Advance where something may have to be asked.
func (p *Plan) advance(s *State, pt *Point, changes []Change, sliceMs int64, out []Charge) []Charge {
	inRange(pt.AtMs, pt.RegisterMwh)
	invariant.Check(pt.AtMs >= s.LastMs && pt.RegisterMwh >= s.LastMwh, "a point that goes back")
	fromMs, fromMwh := s.LastMs, s.LastMwh
	power, current := p.classes(s, pt)
	if len(changes) == 0 && power == s.openPower && current == s.openCurrent &&
		pt.AtMs < s.NextMs && pt.RegisterMwh < s.NextMwh {
		s.LastMs, s.LastMwh = pt.AtMs, pt.RegisterMwh // quiet, but for a state or class that begins at pt
	} else {
		out = p.rate(s, pt, changes, sliceMs, power, current, out)
	}
	s.PrevMs, s.PrevMwh = fromMs, fromMwh
	if !p.plain {
		s.power, s.current = classOf(p.powers, pt.PowerMicroW), classOf(p.currents, pt.CurrentNanoA)
	}
	out = p.enter(s, pt.State, out)
	if phaseOf(s.Charge) != s.openPhase {
		s.NextMs = s.LastMs
	}
	return out
}

// rate cuts the interval at everything in time at which an answer can change, and moves the newest Point along.
func (p *Plan) rate(s *State, pt *Point, changes []Change, sliceMs int64, power, current uint16, out []Charge) []Charge {
	iv := interval{s.LastMs, s.LastMwh, pt.AtMs, pt.RegisterMwh}
	for {
		for len(changes) > 0 && changes[0].AtMs <= s.LastMs {
			out = p.enter(s, changes[0].State, out)
			changes = changes[1:]
		}
		f := phaseOf(s.Charge)
		m, until := p.moment(s, f, power, current)
		slice := nextSlice(s.LastMs, sliceMs)
		to := min(iv.t1, until, slice)
		if len(changes) > 0 {
			to = min(to, changes[0].AtMs)
		}
		invariant.Check(to > s.LastMs || to == iv.t1, "a cut that does not advance")
		m.validMs = min(until, slice)
		out = p.segment(s, &iv, f, &m, to, out)
		if slice == to {
			out = p.closeRows(s, out)
		}
		if to == iv.t1 {
			break
		}
	}
	for len(changes) > 0 && changes[0].AtMs <= s.LastMs {
		out = p.enter(s, changes[0].State, out)
		changes = changes[1:]
	}
	return out
}

// segment rates what lies between two cuts in time. It is cut further at energy limits. All of it is asked
// with the clock and duration of its beginning: no answer changes with them inside, so this is also what
// EXACTNESS asks after an energy cut (the millisecond before it, which lies inside).
func (p *Plan) segment(s *State, iv *interval, f phase, m *moment, toMs int64, out []Charge) []Charge {
	toMwh := iv.at(toMs)
	for {
		next := p.nextEnergy(s, f)
		endMs, endMwh := toMs, toMwh
		if next <= toMwh {
			endMs, endMwh = iv.reach(next), next
		}
		// A piece without time and energy is none: it has no FLAT and begins no period.
		if endMs > s.LastMs || (endMwh > s.LastMwh && f.ofSession()) {
			m.energyMwh = s.LastMwh - s.StartMwh
			out = p.piece(s, f, m, out)
			s.NextMs, s.NextMwh = m.validMs, next
			s.openPower, s.openCurrent = m.power, m.current
		}
		s.LastMs, s.LastMwh = endMs, endMwh
		s.NextMwh = max(s.NextMwh, s.LastMwh)
		s.set(flagAtCut, endMs < iv.t1 || endMwh < iv.r1)
		if next > toMwh {
			return out
		}
	}
}

// piece asks the tariff about what follows, and begins a charging period if the answers are not those of the
// open row.
func (p *Plan) piece(s *State, f phase, m *moment, out []Charge) []Charge {
	energy, time, flat := noComp, first(p.time[f], m), noComp
	done := flagFlatReservation
	if f.ofSession() {
		energy = first(p.energy[f], m)
		done = flagFlatSession
	}
	if !s.has(done) {
		flat = first(p.flat[f], m)
	}
	if s.has(flagOpened) && f == s.openPhase && energy == s.energyComp && time == s.timeComp && flat == noComp {
		return out
	}
	why := p.why(s, f, m)
	out = p.closeRows(s, out)
	if s.has(flagOpened) {
		s.Period++
	}
	s.LastSplit = why
	s.PeriodStartMs = s.LastMs
	s.openPhase, s.energyComp, s.timeComp, s.flatComp = f, energy, time, flat
	s.set(flagOpened, true)
	s.set(done, s.has(done) || flat != noComp)
	return out
}

// enter takes on a state from the newest Point or cut on. The session proper begins with the first state that
// is not of the reservation.
func (p *Plan) enter(s *State, c ChargeState, out []Charge) []Charge {
	if c == StateUnchanged || c == s.Charge || s.Charge == StateReservationExpired {
		return out
	}
	if !phaseOf(c).ofSession() {
		if s.has(flagInSession) {
			return out
		}
		if c == StateReservationExpired {
			return p.Expire(s, s.LastMs, out)
		}
	}
	s.Charge = c
	if phaseOf(c).ofSession() && !s.has(flagInSession) {
		s.set(flagInSession, true)
		s.StartMs, s.StartMwh = s.LastMs, s.LastMwh
	}
	return out
}

// nextSlice is the end of the slice that a moment lies in.
func nextSlice(atMs, sliceMs int64) int64 {
	if sliceMs == 0 {
		return MaxAtMs + 1
	}
	return (floorDiv(atMs, sliceMs) + 1) * sliceMs
}

// inRange holds the caller to the bounds within which nothing overflows.
func inRange(atMs, registerMwh int64) {
	invariant.Check(within(atMs, MaxAtMs), "a time out of range")
	invariant.Check(within(registerMwh, MaxRegisterMwh), "a register out of range")
}
