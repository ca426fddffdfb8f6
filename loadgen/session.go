package loadgen

import (
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
)

const maxPhases = 8

// phase is a part of a session in one state, in which the power changes linearly. Energy in it is counted in
// millijoules: W * ms.
type phase struct {
	durationMs int64
	fromW, toW int64
	state      rating.ChargeState
}

const mjPerMwh = 3_600

// energyMj is the floor of the energy in the first ms of the phase. It never decreases with ms (L4): the floor
// of something that does not.
func (p *phase) energyMj(ms int64) int64 {
	rise := p.toW - p.fromW
	switch {
	case rise == 0:
		return p.fromW * ms
	case rise > 0:
		return p.fromW*ms + rise*ms*ms/(2*p.durationMs)
	default: // a floor of the whole is a ceiling of what is taken off
		return p.fromW*ms - (-rise*ms*ms+2*p.durationMs-1)/(2*p.durationMs)
	}
}

// powerW is the power ms after the beginning of the phase.
func (p *phase) powerW(ms int64) int64 {
	return p.fromW + (p.toW-p.fromW)*ms/p.durationMs
}

// plan is a session from its start to its end.
type plan struct {
	number         int64 // 0, 1, ... on the connector
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
	invariant.Check(durationMs <= 1<<31 && rise <= (1<<62)/(durationMs*durationMs), "a charging phase beyond int64")
	s.phases[s.n] = phase{durationMs: durationMs, fromW: fromW, toW: toW, state: state}
	s.n++
	s.endMs += durationMs
}

// energyMj is what all phases take.
func (s *plan) energyMj() int64 {
	var sum int64
	for i := range s.n {
		sum += s.phases[i].energyMj(s.phases[i].durationMs)
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
		cut := atMs - s.startMs
		if cut < p.durationMs {
			p.fromW = p.powerW(cut)
			p.durationMs -= cut
			s.startMs = atMs
			return
		}
		s.startMs += p.durationMs
		copy(s.phases[:], s.phases[1:s.n])
		s.n--
	}
}

// endAt cuts off what lies at and after atMs.
func (s *plan) endAt(atMs int64) {
	for s.n > 0 && s.endMs > atMs {
		p := &s.phases[s.n-1]
		from := s.endMs - p.durationMs
		if from < atMs {
			p.toW = p.powerW(atMs - from)
			p.durationMs = atMs - from
			s.endMs = atMs
			return
		}
		s.endMs = from
		s.n--
	}
}

// cursor stands at the next reading of a connector: number j of phase number phase, or the stop when all phases
// are over.
type cursor struct {
	nextMs    int64 // when it is measured
	seq       int64
	j         int64
	everyMs   int64 // between readings of the phase
	phaseAtMs int64
	doneMj    int64 // in the phases before
	phase     uint8
	plan      plan
}

// begin puts the cursor at the first reading of its plan.
func (c *cursor) begin(n *Network) {
	c.nextMs, c.phaseAtMs = c.plan.startMs, c.plan.startMs
	c.seq, c.j, c.doneMj, c.phase = 0, 0, 0, 0
	c.everyMs = n.everyMs(c.plan.phases[0].state)
}

// advance goes to the next reading of the session; false: the last one was its stop.
func (c *cursor) advance(n *Network) bool {
	if c.phase == c.plan.n {
		return false
	}
	c.seq++
	c.j++
	c.nextMs += c.everyMs
	if p := &c.plan.phases[c.phase]; c.nextMs >= c.phaseAtMs+p.durationMs {
		c.nextPhase(n)
	}
	return true
}

func (c *cursor) nextPhase(n *Network) {
	p := &c.plan.phases[c.phase]
	c.doneMj += p.energyMj(p.durationMs)
	c.phaseAtMs += p.durationMs
	c.nextMs = c.phaseAtMs
	c.j = 0
	c.phase++
	if c.phase < c.plan.n {
		c.everyMs = n.everyMs(c.plan.phases[c.phase].state)
	}
}

// seek goes to the first reading at or after atMs; false: the session has none.
func (c *cursor) seek(n *Network, atMs int64) bool {
	if c.plan.endMs < atMs {
		return false
	}
	c.begin(n)
	for c.phase < c.plan.n {
		p := &c.plan.phases[c.phase]
		count := (p.durationMs + c.everyMs - 1) / c.everyMs // readings in the phase
		if j := (atMs - c.phaseAtMs + c.everyMs - 1) / c.everyMs; j < count {
			c.j = max(j, 0)
			c.seq += c.j
			c.nextMs = c.phaseAtMs + c.j*c.everyMs
			return true
		}
		c.seq += count
		c.nextPhase(n)
	}
	return true
}

// registerMwh is the meter's value at reading j of the phase, on its step.
func (c *cursor) registerMwh(j, stepMwh int64) int64 {
	mj := c.doneMj
	if c.phase < c.plan.n {
		mj += c.plan.phases[c.phase].energyMj(j * c.everyMs)
	}
	v := c.plan.baseMwh + mj/mjPerMwh
	if stepMwh > 1 {
		v -= v % stepMwh
	}
	return v
}
