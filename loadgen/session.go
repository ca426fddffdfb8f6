package loadgen

import (
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
)

const maxPhases = 8

// phase is a part of a session in one state, in which the power changes linearly. Energy in it is counted in
// millijoules: W * ms.
type phase struct {
	durationMs int32
	fromW, toW int32
	state      rating.ChargeState
	stop       bool  // it is the end of the session: one reading, no time
	index      uint8 // in the plan; set in a cursor only
}

const mjPerMwh = 3_600

// energyMj is the floor of the energy in the first ms of the phase. It never decreases with ms (L4): the floor
// of something that does not.
func (p *phase) energyMj(ms int64) int64 {
	from, rise, length := int64(p.fromW), int64(p.toW-p.fromW), int64(p.durationMs)
	switch {
	case rise == 0:
		return from * ms
	case rise > 0:
		return from*ms + rise*ms*ms/(2*length)
	default: // a floor of the whole is a ceiling of what is taken off
		return from*ms - (-rise*ms*ms+2*length-1)/(2*length)
	}
}

// wholeMj is the energy of the whole phase.
func (p *phase) wholeMj() int64 { return p.energyMj(int64(p.durationMs)) }

// powerW is the power ms after the beginning of the phase.
func (p *phase) powerW(ms int64) int64 {
	return int64(p.fromW) + int64(p.toW-p.fromW)*ms/int64(p.durationMs)
}

// plan is a session from its start to its end.
type plan struct {
	number         int32 // 0, 1, ... on the connector
	startMs, endMs int64
	baseMwh        int64 // register at the start, before it is floored to the meter's step
	phases         [maxPhases]phase
	n              uint8
	expired        bool // a reservation that nobody used
}

// add appends a phase; one that has no length is left out.
func (s *plan) add(state rating.ChargeState, durationMs, fromW, toW int64) {
	if durationMs <= 0 {
		return
	}
	// The square of the time times the power has to fit: a day at 100 W, an hour at 700 kW.
	rise := max(toW-fromW, fromW-toW)
	invariant.Check(durationMs < 1<<31 && rise <= (1<<62)/(durationMs*durationMs), "a charging phase beyond int64")
	s.phases[s.n] = phase{durationMs: int32(durationMs), fromW: int32(fromW), toW: int32(toW), state: state}
	s.n++
	s.endMs += durationMs
}

// energyMj is what all phases take.
func (s *plan) energyMj() int64 {
	var sum int64
	for i := range s.n {
		sum += s.phases[i].wholeMj()
	}
	return sum
}

// afterMwh is where the register stands after the session.
func (s *plan) afterMwh(stepMwh int64) int64 {
	v := s.baseMwh + s.energyMj()/mjPerMwh
	return v - v%stepMwh
}

// startAt cuts off what lies before atMs.
func (s *plan) startAt(atMs int64) {
	for s.n > 0 && s.startMs < atMs {
		p := &s.phases[0]
		cut, length := atMs-s.startMs, int64(p.durationMs)
		if cut < length {
			p.fromW = int32(p.powerW(cut))
			p.durationMs -= int32(cut)
			s.startMs = atMs
			return
		}
		s.startMs += length
		copy(s.phases[:], s.phases[1:s.n])
		s.n--
	}
}

// endAt cuts off what lies at and after atMs.
func (s *plan) endAt(atMs int64) {
	for s.n > 0 && s.endMs > atMs {
		p := &s.phases[s.n-1]
		from := s.endMs - int64(p.durationMs)
		if from < atMs {
			p.toW = int32(p.powerW(atMs - from))
			p.durationMs = int32(atMs - from)
			s.endMs = atMs
			return
		}
		s.endMs = from
		s.n--
	}
}

// stop is the phase behind the last: it holds the stop of the session.
func (s *plan) stop() phase {
	if s.expired {
		return phase{stop: true, state: rating.StateReservationExpired}
	}
	return phase{stop: true, state: rating.StateUnchanged}
}

// cursor stands at the next reading of a connector: number j of a phase. It is all that a reading looks at, in
// one cache line: with 100,000 connectors nothing is in the cache when its turn comes.
type cursor struct {
	nextMs    int64 // when it is measured
	phaseAtMs int64
	doneMj    int64 // in the phases before
	baseMwh   int64 // of the plan
	seq, j    int32
	everyMs   int32 // between readings of the phase
	number    int32 // of the plan
	now       phase
}

// begin puts the cursor at the first reading of s.
func (c *cursor) begin(n *Network, s *plan) {
	*c = cursor{nextMs: s.startMs, phaseAtMs: s.startMs, baseMwh: s.baseMwh, number: s.number}
	c.enter(n, s, 0)
}

// enter takes on a phase of s.
func (c *cursor) enter(n *Network, s *plan, index uint8) {
	c.now = s.stop()
	if index < s.n {
		c.now = s.phases[index]
	}
	c.now.index = index
	c.everyMs = int32(n.everyMs(c.now.state))
}

// advance goes to the next reading of s; false: the last one was its stop.
func (c *cursor) advance(n *Network, s *plan) bool {
	if c.now.stop {
		return false
	}
	c.seq++
	c.j++
	c.nextMs += int64(c.everyMs)
	if c.nextMs >= c.phaseAtMs+int64(c.now.durationMs) {
		c.nextPhase(n, s)
	}
	return true
}

func (c *cursor) nextPhase(n *Network, s *plan) {
	c.doneMj += c.now.wholeMj()
	c.phaseAtMs += int64(c.now.durationMs)
	c.nextMs = c.phaseAtMs
	c.j = 0
	c.enter(n, s, c.now.index+1)
}

// seek goes to the first reading of s at or after atMs; false: the session has none.
func (c *cursor) seek(n *Network, s *plan, atMs int64) bool {
	if s.endMs < atMs {
		return false
	}
	c.begin(n, s)
	for !c.now.stop {
		every := int64(c.everyMs)
		count := (int64(c.now.durationMs) + every - 1) / every // readings in the phase
		if j := (atMs - c.phaseAtMs + every - 1) / every; j < count {
			c.j = int32(max(j, 0))
			c.seq += c.j
			c.nextMs = c.phaseAtMs + int64(c.j)*every
			return true
		}
		c.seq += int32(count)
		c.nextPhase(n, s)
	}
	return true
}

// registerMwh is the meter's value ms after the beginning of the phase, on the meter's step.
func (c *cursor) registerMwh(ms, stepMwh int64) int64 {
	v := c.baseMwh + (c.doneMj+c.now.energyMj(ms))/mjPerMwh
	if stepMwh > 1 {
		v -= v % stepMwh
	}
	return v
}
