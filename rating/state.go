package rating

import "github.com/wattline/wattline/rating/money"

// State is what a session carries from one Point to the next. It holds no pointer and has a fixed size. It
// belongs to one session of one Plan; fields are read by the engine and written by this package only.
//
// The first 64 bytes are all that a quiet reading touches.
type State struct {
	LastMs, LastMwh int64 // the newest Point
	// NextMs and NextMwh are where the answers that the open row was priced with may stop to hold (or its
	// slice ends): R8.
	NextMs, NextMwh int64
	PrevMs, PrevMwh int64       // the Point before the newest
	Charge          ChargeState // what holds since the newest Point
	LastSplit       Split       // what began the current charging period: why the price changed last
	flags           stateFlags
	openPhase       phase  // of the open row
	Period          uint32 // number of the current charging period
	// Classes of power and current: of the newest Point, and those that the open row was priced with.
	power, current         uint16
	openPower, openCurrent uint16

	FirstMs           int64 // the first Point, be it of the reservation
	StartMs, StartMwh int64 // the session proper: where duration and energy count from; the first Point until it begins
	PeriodStartMs     int64 // of the current charging period
	rowMs, rowMwh     int64 // where the open row begins
	parkingMs         int64 // in closed rows

	// What was priced, for step_size: mWh, ms of the reservation, and ms of the session (parking alone as
	// soon as any was priced: then TIME is never stepped).
	pricedMwh, pricedReservationMs, pricedMs int64

	costs costs // of closed rows

	energyComp, timeComp, flatComp            int16 // of the open row; flatComp also noComp once it is written
	lastEnergy, lastReservation, lastPricedMs int16 // the last component that priced a quantity
}

// stateFlags are facts about a session so far.
type stateFlags uint8

const (
	flagOpened          stateFlags = 1 << iota // a charging period has begun
	flagInSession                              // the session proper has begun
	flagFlatReservation                        // the reservation has had its FLAT
	flagFlatSession                            // the session has had its FLAT
	flagParked                                 // pricedMs counts parking
	flagExclHidden                             // EXACTNESS 4.2: the price without tax is unknown
	flagRowFromCut                             // the open row begins at an interpolated register
	flagAtCut                                  // the cursor of rate stands at an interpolated register
)

func (s *State) has(f stateFlags) bool { return s.flags&f != 0 }

func (s *State) set(f stateFlags, on bool) {
	s.flags &^= f
	if on {
		s.flags |= f
	}
}

// InSession says that the session proper has begun, which StartMs is then the beginning of. Until then all is of the
// reservation.
func (s *State) InSession() bool { return s.has(flagInSession) }

// open is the quantities of the open row. A reservation has no energy: a register that moves in it belongs to
// nobody.
func (s *State) open() (mwh, ms int64) {
	if s.openPhase.ofSession() {
		mwh = s.LastMwh - s.rowMwh
	}
	return mwh, s.LastMs - s.rowMs
}

// quantities fills in what the session holds at its newest Point.
func (s *State) quantities(t *Total) {
	if !s.has(flagInSession) {
		t.ReservationMs = s.LastMs - s.FirstMs
		return
	}
	t.EnergyMwh = s.LastMwh - s.StartMwh
	t.ReservationMs = s.StartMs - s.FirstMs
	t.ParkingMs = s.parkingMs
	if s.has(flagOpened) && s.openPhase == phaseParking {
		t.ParkingMs += s.LastMs - s.rowMs
	}
	t.ChargingMs = s.LastMs - s.StartMs - t.ParkingMs
}

// charge adds a quantity that a component priced to the books: its cost, what counts for step_size, and
// whether the price without tax can still be known.
func (p *Plan) charge(s *State, i int16, quantity int64) money.Int128 {
	c := &p.comps[i]
	cost := c.cost(quantity)
	s.costs[c.rate] = s.costs[c.rate].Add(cost)
	s.set(flagExclHidden, s.has(flagExclHidden) || c.hidesExcl)
	switch {
	case c.dimension == Flat:
	case c.dimension == Energy:
		s.pricedMwh += quantity
		s.lastEnergy = i
	case !s.openPhase.ofSession():
		s.pricedReservationMs += quantity
		s.lastReservation = i
	case c.dimension == ParkingTime && !s.has(flagParked):
		s.set(flagParked, true)
		s.pricedMs, s.lastPricedMs = quantity, i
	case c.dimension == ParkingTime || !s.has(flagParked):
		s.pricedMs += quantity
		s.lastPricedMs = i
	}
	return cost
}

// closeRows writes the rows of the open row group, which ends at the newest Point or cut, and opens the next
// one there. A group without quantities leaves no row.
func (p *Plan) closeRows(s *State, out []Charge) []Charge {
	mwh, ms := s.open()
	if s.has(flagOpened) && (mwh > 0 || ms > 0 || s.flatComp != noComp) {
		var g group
		p.begin(s, &g, ChargeUsage)
		if s.flatComp != noComp {
			out = p.usage(s, &g, Flat, s.flatComp, 1, out)
		}
		if mwh > 0 {
			out = p.usage(s, &g, Energy, s.energyComp, mwh, out)
		}
		if ms > 0 {
			out = p.usage(s, &g, s.openPhase.dimension(), s.timeComp, ms, out)
		}
		if s.openPhase == phaseParking {
			s.parkingMs += ms
		}
	}
	s.flatComp = noComp
	s.rowMs, s.rowMwh = s.LastMs, s.LastMwh
	s.set(flagRowFromCut, s.has(flagAtCut))
	return out
}

// fold is closeRows without the rows: for prices on a copy of the state.
func (p *Plan) fold(s *State) {
	mwh, ms := s.open()
	if !s.has(flagOpened) {
		return
	}
	if s.flatComp != noComp {
		p.charge(s, s.flatComp, 1)
	}
	if mwh > 0 && s.energyComp != noComp {
		p.charge(s, s.energyComp, mwh)
	}
	if ms > 0 && s.timeComp != noComp {
		p.charge(s, s.timeComp, ms)
	}
	if s.openPhase == phaseParking {
		s.parkingMs += ms
	}
	s.flatComp = noComp
	s.rowMs, s.rowMwh = s.LastMs, s.LastMwh
}

// group is rows in the making. Their amounts are differences of the rounded running total (R6).
type group struct {
	row        Charge // what the rows of a group have in common
	excl, incl int64  // the rounded total before the next row
}

// begin starts a group of rows of the current period, from the open row's beginning to the newest Point.
func (p *Plan) begin(s *State, g *group, kind ChargeKind) {
	g.excl, g.incl, _ = p.tax.micros(&s.costs)
	g.row = Charge{
		PeriodStartMs: s.PeriodStartMs, FromMs: s.rowMs, ToMs: s.LastMs,
		Period: s.Period, Kind: kind, Split: s.LastSplit,
		Interpolated: s.has(flagRowFromCut | flagAtCut),
		HasDimension: true,
	}
}

// usage appends the row of a quantity and books it; comp may be noComp.
func (p *Plan) usage(s *State, g *group, d Dimension, comp int16, quantity int64, out []Charge) []Charge {
	out = append(out, g.row)
	r := &out[len(out)-1]
	r.Dimension = d
	switch d {
	case Energy:
		r.EnergyMwh = quantity
	case Time, ParkingTime:
		r.DurationMs = quantity
	}
	excl, incl := g.excl, g.incl
	if comp == noComp {
		r.VAT, r.Element, r.Component = NoVAT, NoElement, NoElement
	} else {
		c := &p.comps[comp]
		r.PriceNano, r.VAT, r.Element, r.Component = c.priceNano, c.vat, c.element, c.component
		if !p.charge(s, comp, quantity).IsZero() {
			excl, incl, _ = p.tax.micros(&s.costs)
		}
	}
	g.amounts(r, excl, incl, s.has(flagExclHidden))
	return out
}

// amounts gives a row the step from the total before it to the total after it.
func (g *group) amounts(r *Charge, excl, incl int64, exclUnknown bool) {
	r.InclMicros = incl - g.incl
	r.ExclUnknown = exclUnknown
	if !exclUnknown {
		r.ExclMicros = excl - g.excl
	}
	g.excl, g.incl = excl, incl
}
