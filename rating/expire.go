package rating

import "github.com/wattline/wattline/internal/invariant"

// Expire re-labels a session that so far is only reserved: the reservation was never used and ended at atMs (or
// at the newest Point, if that is later). It appends, as ChargeExpiry, the reversal of every row so far and
// the rows of the reservation priced as expired, to out, which it returns grown. A session that has expired
// before is left as it is.
//
// The reservation is priced again as one interval without energy. Its power, if a restriction asks for it, is
// that of the newest Point: a reservation is not metered.
func (p *Plan) Expire(s *State, atMs int64, out []Charge) []Charge {
	invariant.Check(!s.has(flagInSession), "a session that has begun can not expire")
	invariant.Check(within(atMs, MaxAtMs), "a time out of range")
	if s.Charge == StateReservationExpired {
		return out
	}
	atMs = max(atMs, s.LastMs)
	out = p.closeRows(s, out)
	out = p.reverse(s, out)

	was := *s
	p.relabel(s, &was, StateReservationExpired)
	// The re-priced periods come after those they replace, and an unknown price stays unknown: rows that
	// are NULL were written.
	if was.has(flagOpened) {
		s.Period = was.Period + 1
	}
	s.set(flagExclHidden, was.has(flagExclHidden))
	n := len(out)
	out = p.walk(s, atMs, out)
	for i := n; i < len(out); i++ {
		out[i].Kind = ChargeExpiry
	}
	s.PrevMs, s.PrevMwh = was.LastMs, was.LastMwh
	return out
}

// reverse appends rows that take back all that the reservation was charged.
func (p *Plan) reverse(s *State, out []Charge) []Charge {
	excl, incl, _ := p.tax.micros(&s.costs)
	var again State
	p.relabel(&again, s, StateReserved)
	n := len(out)
	out = p.walk(&again, s.LastMs, out)
	for i := n; i < len(out); i++ {
		r := &out[i]
		r.Kind = ChargeExpiry
		r.DurationMs = -r.DurationMs
		r.ExclUnknown = r.ExclUnknown || s.has(flagExclHidden)
		// The last row takes back what is left. It differs from its twin only if the power changed during
		// the reservation.
		if i == len(out)-1 {
			r.ExclMicros, r.InclMicros = excl, incl
		}
		excl -= r.ExclMicros
		incl -= r.InclMicros
		r.ExclMicros, r.InclMicros = -r.ExclMicros, -r.InclMicros
		if r.ExclUnknown {
			r.ExclMicros = 0
		}
	}
	return out
}

// relabel makes s the beginning of the reservation of was, in the given state.
func (p *Plan) relabel(s, was *State, state ChargeState) {
	power, current := was.power, was.current
	p.Start(s, Point{AtMs: was.FirstMs, RegisterMwh: was.LastMwh, PowerMicroW: Unknown, CurrentNanoA: Unknown, State: state}, 0)
	s.power, s.current = power, current
}

// walk rates a reservation to toMs as one interval without slices, and closes its rows.
func (p *Plan) walk(s *State, toMs int64, out []Charge) []Charge {
	pt := Point{AtMs: toMs, RegisterMwh: s.LastMwh}
	power, current := p.classes(s, &pt)
	out = p.rate(s, &pt, nil, 0, power, current, out)
	return p.closeRows(s, out)
}
