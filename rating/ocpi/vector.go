package ocpi

import (
	"math/big"

	"github.com/wattline/wattline/rating"
)

// periods reads the periods of a vector: each is one interval between two readings (EXACTNESS section 5).
func (r *reader) periods(n *node) []rating.Point {
	r.unknownFields(n, r.warn, "id", "tariff", "tz", "start", "periods", "expect", "billed", "spec_prints")
	at := int64(0)
	if f := n.get("start"); f == nil {
		r.fault(n, "start is missing")
	} else {
		at = r.exactInstant(f)
	}
	list := n.get("periods")
	if list == nil {
		r.fault(n, "periods is missing")
		return nil
	}
	if !r.list(list) {
		return nil
	}
	if len(list.items) == 0 {
		r.fault(list, "there is no period")
	}
	points := make([]rating.Point, 0, len(list.items)+1)
	total := decimal{mantissa: new(big.Int)} // kWh so far: only its sum is put on the grid, as a register is
	register := int64(0)
	for _, item := range list.items {
		p, ms, kwh, ok := r.period(item)
		if !ok {
			continue
		}
		p.AtMs, p.RegisterMwh = at, register
		points = append(points, p)
		total = total.plus(kwh)
		v, f := total.rounded(kwhDigits)
		if f != fits || v > rating.MaxRegisterMwh || ms > rating.MaxAtMs-at {
			r.fault(item, "is too large")
			continue
		}
		if v > register && reserves(p.State) {
			r.fault(item.get("kwh"), "%s is energy during a reservation", item.get("kwh").what())
		}
		at, register = at+ms, v
	}
	points = append(points, rating.Point{
		AtMs: at, RegisterMwh: register, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, State: rating.StateIdle,
	})
	if len(r.rep.Faults) == 0 {
		r.vectorOrder(list, points)
	}
	return points
}

// period reads one period: its point without time and register, its length and its energy.
func (r *reader) period(n *node) (p rating.Point, ms int64, kwh decimal, ok bool) {
	p = rating.Point{PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, State: rating.StateCharging}
	kwh = decimal{mantissa: new(big.Int)}
	if !r.object(n) {
		return p, 0, kwh, false
	}
	faults := len(r.rep.Faults)
	if f := n.get("s"); f == nil {
		r.fault(n, "s is missing")
	} else {
		ms, _ = r.positive(f, 3, "a millisecond")
	}
	if f := n.get("kwh"); f != nil {
		if d, good := r.decimalOf(f); good {
			if d.mantissa.Sign() < 0 {
				r.fault(f, "%s is negative", f.what())
			}
			kwh = d
		}
	}
	if f := n.get("current"); f != nil {
		if v, good := r.fixed(f, ampDigits, "9 fraction digits"); good {
			p.CurrentNanoA = v
		}
	}
	if f := n.get("power"); f != nil {
		if v, good := r.fixed(f, kwDigits, "9 fraction digits"); good {
			p.PowerMicroW = v
		}
	}
	p.State = r.periodState(n, ms)
	r.unknownFields(n, r.warn, "s", "kwh", "charge_s", "park_s", "reserve_s", "reservation_expired", "current", "power")
	return p, ms, kwh, len(r.rep.Faults) == faults
}

// periodState reads charge_s, park_s and reserve_s: one of them, and then for the whole period.
func (r *reader) periodState(n *node, lengthMs int64) rating.ChargeState {
	state, given := rating.StateCharging, ""
	for _, key := range []string{"charge_s", "park_s", "reserve_s"} {
		f := n.get(key)
		if f == nil {
			continue
		}
		v, ok := r.positive(f, 3, "a millisecond")
		if !ok || v == 0 && lengthMs > 0 {
			continue
		}
		if v != lengthMs || given != "" {
			r.fault(f, "%s is not the whole period: a period has one state", f.what())
			continue
		}
		given = key
	}
	switch given {
	case "park_s":
		state = rating.StateSuspendedEV
	case "reserve_s":
		state = rating.StateReserved
	}
	f := n.get("reservation_expired")
	switch {
	case f == nil || f.kind == kindBool && f.text == "false":
	case f.kind != kindBool || f.text != "true":
		r.fault(f, "%s is not true or false", f.what())
	case state != rating.StateReserved:
		r.fault(f, "the period is no reservation")
	default:
		state = rating.StateReservationExpired
	}
	return state
}

// vectorOrder checks that reservations come first and are of one kind, and that nothing follows an expired one.
func (r *reader) vectorOrder(list *node, points []rating.Point) {
	for i := 1; i < len(list.items); i++ {
		before, state := points[i-1].State, points[i].State
		switch {
		case state == before:
		case reserves(state) && reserves(before):
			r.fault(list.items[i], "a reservation is of one kind")
		case reserves(state):
			r.fault(list.items[i], "a reservation comes first")
		case before == rating.StateReservationExpired:
			r.fault(list.items[i], "nothing but the end follows an expired reservation")
		}
	}
}

// plus adds two decimals exactly.
func (d decimal) plus(o decimal) decimal {
	frac := max(d.frac, o.frac)
	a, _ := d.divided(frac)
	b, _ := o.divided(frac)
	return decimal{mantissa: a.Add(a, b), frac: frac}
}
