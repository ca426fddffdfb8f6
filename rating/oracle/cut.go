package oracle

import (
	"math/big"
	"slices"
	"time"

	"github.com/wattline/wattline/rating"
)

// piece is a part of a session inside which no element can change its answer.
type piece struct {
	fromMs, toMs   int64 // its time; none for energy beyond a limit that was reached inside a millisecond
	fromMwh, toMwh int64 // register

	askedAtMs int64 // the clock and the duration that the tariff is asked with
	state     rating.ChargeState
	power     *big.Rat // µW; nil = unknown
	current   *big.Rat // nA; nil = unknown
}

// registerAt is R(t) of EXACTNESS 1: floor(r0 + (r1 - r0) * (t - t0) / (t1 - t0) + 1/2).
func registerAt(a, b Reading, t int64) int64 {
	if a.AtMs == b.AtMs {
		return a.RegisterMwh
	}
	part := new(big.Rat).SetFrac(big.NewInt(t-a.AtMs), big.NewInt(b.AtMs-a.AtMs))
	part.Mul(part, whole(b.RegisterMwh-a.RegisterMwh))
	part.Add(part, whole(a.RegisterMwh))
	return floor(part.Add(part, big.NewRat(1, 2))).Int64()
}

// firstMsAt is the first millisecond t with R(t) >= x, by EXACTNESS 2:
// t0 + ceil((2(x - r0) - 1)(t1 - t0) / (2(r1 - r0))).
func firstMsAt(a, b Reading, x int64) int64 {
	if a.AtMs == b.AtMs {
		return a.AtMs
	}
	part := new(big.Rat).SetFrac(big.NewInt(2*(x-a.RegisterMwh)-1), big.NewInt(2*(b.RegisterMwh-a.RegisterMwh)))
	part.Mul(part, whole(b.AtMs-a.AtMs))
	ceiling := floor(part.Neg(part))
	return a.AtMs - ceiling.Int64()
}

func whole(v int64) *big.Rat { return new(big.Rat).SetInt64(v) }

// floor is the greatest whole number that is not above r.
func floor(r *big.Rat) *big.Int {
	return new(big.Int).Div(r.Num(), r.Denom()) // Euclidean, which is floor for a positive denominator
}

// pieces cuts the interval between two register readings; those between them only change the state.
func (s *session) pieces(interval []Reading) []piece {
	a, b := interval[0], interval[len(interval)-1]
	common := piece{power: power(a, b), current: known(a.CurrentNanoA)}
	limits := s.energyCuts(a, b)
	if a.AtMs == b.AtMs {
		return s.withoutTime(interval, common, limits)
	}

	// Cutting the time where an energy limit is reached, too, makes it lie at the end of its part.
	instants := s.timeCuts(a.AtMs, b.AtMs)
	for _, r := range interval {
		instants = append(instants, r.AtMs)
	}
	for _, x := range limits {
		instants = append(instants, firstMsAt(a, b, x))
	}
	slices.Sort(instants)
	instants = slices.Compact(instants)

	var pieces []piece
	for i := 0; i+1 < len(instants); i++ {
		p := common
		p.fromMs, p.toMs = instants[i], instants[i+1]
		p.fromMwh, p.toMwh = registerAt(a, b, p.fromMs), registerAt(a, b, p.toMs)
		p.askedAtMs = p.fromMs
		p.state = stateAt(interval, p.fromMs)
		end := p.toMwh
		for _, x := range limits {
			if x <= p.fromMwh || x > end {
				continue
			}
			p.toMwh = x
			pieces = append(pieces, p)
			p.fromMs, p.fromMwh, p.toMwh = p.toMs, x, end
			p.askedAtMs = p.toMs - 1
		}
		if p.toMs > p.fromMs || p.toMwh > p.fromMwh {
			pieces = append(pieces, p)
		}
	}
	return pieces
}

// withoutTime cuts an interval whose two readings are of one instant: it has only energy, or is nothing.
func (s *session) withoutTime(interval []Reading, common piece, limits []int64) []piece {
	a, b := interval[0], interval[len(interval)-1]
	p := common
	p.fromMs, p.toMs, p.askedAtMs = a.AtMs, a.AtMs, a.AtMs
	p.state = interval[len(interval)-2].State // the state at this instant before the closing reading
	p.fromMwh = a.RegisterMwh
	var pieces []piece
	for _, x := range append(limits, b.RegisterMwh) {
		if x > p.fromMwh {
			p.toMwh = x
			pieces = append(pieces, p)
			p.fromMwh = x
		}
	}
	return pieces
}

// stateAt is the state of the last reading at or before t.
func stateAt(interval []Reading, t int64) rating.ChargeState {
	state := interval[0].State
	for _, r := range interval[:len(interval)-1] {
		if r.AtMs <= t {
			state = r.State
		}
	}
	return state
}

// power of an interval: the power_w of the reading it starts with, else its mean power, unknown without time.
func power(a, b Reading) *big.Rat {
	if a.PowerMicroW != rating.Unknown {
		return known(a.PowerMicroW)
	}
	if a.AtMs == b.AtMs {
		return nil
	}
	const microWattOfMwhPerMs = 3_600_000_000 // 1 mWh/ms = 3,600 W
	mean := new(big.Rat).SetFrac(big.NewInt(b.RegisterMwh-a.RegisterMwh), big.NewInt(b.AtMs-a.AtMs))
	return mean.Mul(mean, whole(microWattOfMwhPerMs))
}

func known(v int64) *big.Rat {
	if v == rating.Unknown {
		return nil
	}
	return whole(v)
}

// energyCuts are the registers x with r0 < x <= r1 where a min_kwh or max_kwh of any element is reached, ascending.
func (s *session) energyCuts(a, b Reading) []int64 {
	if !s.started {
		return nil
	}
	var cuts []int64
	for _, e := range s.tariff.Elements {
		for _, limit := range []int64{e.Restrictions.MinEnergyMwh, e.Restrictions.MaxEnergyMwh} {
			if limit == rating.NoLimit || limit > b.RegisterMwh-s.startMwh {
				continue // also what would not fit an int64
			}
			if x := s.startMwh + limit; a.RegisterMwh < x {
				cuts = append(cuts, x)
			}
		}
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// timeCuts are the instants strictly between two where a clock or a duration can change an answer, unordered.
func (s *session) timeCuts(fromMs, toMs int64) []int64 {
	var cuts []int64
	add := func(t int64) {
		if fromMs < t && t < toMs {
			cuts = append(cuts, t)
		}
	}
	minutes := []int64{0} // local midnight
	for _, e := range s.tariff.Elements {
		r := e.Restrictions
		for _, duration := range []int64{r.MinDurationMs, r.MaxDurationMs} {
			if s.started && duration != rating.NoLimit && duration < toMs-s.startMs {
				add(s.startMs + duration)
			}
		}
		if r.StartTimeMin != rating.NoTimeOfDay {
			minutes = append(minutes, int64(r.StartTimeMin))
		}
		if r.EndTimeMin != rating.NoTimeOfDay {
			minutes = append(minutes, int64(r.EndTimeMin))
		}
	}
	changes, offsets := s.offsets(fromMs, toMs)
	for _, t := range changes {
		add(t)
	}
	// Every wall-clock time of interest of every day, by every offset that holds anywhere in the interval.
	const day = 86_400_000
	for d := fromMs/day - 2; d <= toMs/day+2; d++ {
		for _, m := range minutes {
			for _, offset := range offsets {
				add(d*day + m*60_000 - offset)
			}
		}
	}
	return cuts
}

// offsets lists the changes of the zone between two instants, and every offset from UTC (ms) in between. It looks at
// every hour and then for the millisecond: no zone has two changes within an hour. (Not by time.ZoneBounds, which is
// wrong on the last day of leap years in Go 1.26.)
func (s *session) offsets(fromMs, toMs int64) (changes, offsets []int64) {
	const hour = 3_600_000
	before := s.offsetAt(fromMs)
	offsets = []int64{before}
	for t := fromMs; t < toMs; {
		next := min(t+hour, toMs)
		if after := s.offsetAt(next); after != before {
			low, high := t, next // the offset is the old one at low, the new one at high
			for high-low > 1 {
				if middle := low + (high-low)/2; s.offsetAt(middle) == before {
					low = middle
				} else {
					high = middle
				}
			}
			changes = append(changes, high)
			if !slices.Contains(offsets, after) {
				offsets = append(offsets, after)
			}
			before = after
		}
		t = next
	}
	return changes, offsets
}

// offsetAt is local time minus UTC, ms.
func (s *session) offsetAt(ms int64) int64 {
	_, seconds := time.UnixMilli(ms).In(s.zone).Zone()
	return int64(seconds) * 1000
}
