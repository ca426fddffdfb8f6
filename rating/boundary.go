package rating

import (
	"math/bits"
	"slices"
	"sort"

	"github.com/wattline/wattline/rating/money"
)

// interval is what lies between two neighbouring Points: the only thing that is ever interpolated (R4).
type interval struct{ t0, r0, t1, r1 int64 }

// at is the register at t (EXACTNESS section 1).
func (iv *interval) at(t int64) int64 {
	if t >= iv.t1 {
		return iv.r1
	}
	return iv.r0 + int64(money.MulDivRound(uint64(iv.r1-iv.r0), uint64(t-iv.t0), uint64(iv.t1-iv.t0)))
}

// reach is the first millisecond at which the rounded register is x or more, for r0 < x <= r1 (EXACTNESS
// section 2).
func (iv *interval) reach(x int64) int64 {
	n := 2*uint64(x-iv.r0) - 1
	return iv.t0 + int64(money.MulDivCeil(n, uint64(iv.t1-iv.t0), 2*uint64(iv.r1-iv.r0)))
}

// moment is the situation at the newest Point or cut, and until when no clock or duration can change an answer.
func (p *Plan) moment(s *State, f phase, power, current uint16) (m moment, untilMs int64) {
	m.power, m.current = power, current
	untilMs = MaxAtMs + 1
	at := s.LastMs
	if edges := p.edges[f]; len(edges) > 0 {
		offset, until := p.zone.Offset(at)
		day := floorDiv(at+offset, dayMs)
		m.day = int32(day)
		m.dayMs = int32(at + offset - day*dayMs)
		m.weekday = 1 << floorMod7(day+3) // 1970-01-01 was a Thursday
		untilMs = min(untilMs, until, at+int64(nextEdge(edges, m.dayMs)-m.dayMs))
	}
	if f.ofSession() {
		m.durationMs = at - s.StartMs
		m.energyMwh = s.LastMwh - s.StartMwh
		if next, ok := above(p.durations, m.durationMs); ok {
			untilMs = min(untilMs, s.StartMs+next)
		}
	}
	return m, untilMs
}

func floorMod7(day int64) int64 { return day - 7*floorDiv(day, 7) }

// nextEdge is the first edge after now (all in ms after local midnight), today or tomorrow.
func nextEdge(edges []int32, now int32) int32 {
	i := sort.Search(len(edges), func(i int) bool { return edges[i] > now })
	if i == len(edges) {
		return edges[0] + dayMs
	}
	return edges[i]
}

// above is the first value of an ascending list that is greater than v.
func above(list []int64, v int64) (next int64, ok bool) {
	for _, x := range list {
		if x > v {
			return x, true
		}
	}
	return 0, false
}

// nextEnergy is the register at which the next energy limit is reached, above any register if there is none.
func (p *Plan) nextEnergy(s *State, f phase) int64 {
	if f.ofSession() {
		if next, ok := above(p.energies, s.LastMwh-s.StartMwh); ok {
			return min(s.StartMwh+next, MaxRegisterMwh+1)
		}
	}
	return MaxRegisterMwh + 1
}

// why is what made the answers change at the newest Point or cut.
func (p *Plan) why(s *State, f phase, m *moment) Split {
	switch {
	case !s.has(flagOpened):
		return SplitStart
	case f != s.openPhase:
		return SplitState
	case s.NextMwh == s.LastMwh: // R8: an energy limit was reached, and not asked about yet
		return SplitEnergy
	case f.ofSession() && slices.Contains(p.durations, m.durationMs):
		return SplitDuration
	}
	if edges := p.edges[f]; len(edges) > 0 {
		now, _ := p.zone.Offset(s.LastMs)
		before, _ := p.zone.Offset(s.LastMs - 1)
		if now != before {
			return SplitClock
		}
		if slices.Contains(edges, m.dayMs) {
			if m.dayMs == 0 && p.weekdays && !p.dayEdge {
				return SplitWeekday
			}
			return SplitClock
		}
	}
	if m.power != s.openPower || m.current != s.openCurrent {
		return SplitPower
	}
	return SplitClock
}

// classes is the power and current classes of the interval that begins at the newest Point (EXACTNESS section
// 2): the power of the reading it starts with, else the mean power.
func (p *Plan) classes(s *State, pt *Point) (power, current uint16) {
	if p.plain {
		return noClass, noClass
	}
	power = s.power
	if power == noClass && pt.AtMs > s.LastMs && len(p.powers) > 0 {
		power = meanClass(p.powers, uint64(pt.RegisterMwh-s.LastMwh), uint64(pt.AtMs-s.LastMs))
	}
	return power, s.current
}

// meanClass is the class of the mean power of an energy over a time, without a division: threshold * time is
// compared with energy * 3.6e9 (1 mWh in 1 ms is 3,600 W, 3.6e9 microwatt).
func meanClass(thresholds []int64, mwh, ms uint64) uint16 {
	const microwatt = 3_600_000_000
	hi, lo := bits.Mul64(mwh, microwatt)
	n := uint16(0)
	for _, t := range thresholds {
		thi, tlo := bits.Mul64(uint64(t), ms)
		if thi > hi || (thi == hi && tlo > lo) {
			break
		}
		n++
	}
	return n
}

// classOf is how many thresholds a measured value reaches; Unknown has no class.
func classOf(thresholds []int64, value int64) uint16 {
	if len(thresholds) == 0 || value == Unknown {
		return noClass
	}
	n := uint16(0)
	for _, t := range thresholds {
		if value < t {
			break
		}
		n++
	}
	return n
}
