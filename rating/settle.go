package rating

// Close ends the session at its newest Point: it appends the open rows and the lines of the settlement to out
// (EXACTNESS section 4: step_size, then limits), which it returns grown, and says what the session costs. The
// rows of the session add up to the Total (R1). Nothing may be advanced afterwards; PriceNow and ExactBill may
// still be asked.
func (p *Plan) Close(s *State, out []Charge) ([]Charge, Total) {
	out = p.closeRows(s, out)
	settled := *s
	var g group
	p.begin(&settled, &g, ChargeStep)
	g.row.FromMs = s.LastMs
	g.row.Interpolated = false
	for _, x := range p.steps(&settled) {
		if x.extra > 0 {
			out = p.usage(&settled, &g, x.dimension, x.comp, x.extra, out)
		}
	}
	t := p.total(&settled)
	return p.limits(&g, &t, out), t
}

// PriceNow is what the session would cost if it ended at its newest Point (R2). s is not changed.
func (p *Plan) PriceNow(s *State) Total {
	settled := *s
	p.stepped(&settled)
	t := p.total(&settled)
	_, t.ExclMicros = limitMicros(t.ExclMicros, p.tariff.Min.ExclNano, p.tariff.Max.ExclNano)
	_, t.InclMicros = limitMicros(t.InclMicros, p.tariff.Min.InclNano, p.tariff.Max.InclNano)
	if t.ExclUnknown {
		t.ExclMicros = 0
	}
	return t
}

// Accrued is what the quantities so far cost, without step_size and limits. s is not changed.
func (p *Plan) Accrued(s *State) Total {
	accrued := *s
	p.fold(&accrued)
	return p.total(&accrued)
}

// ExactBill is PriceNow rounded to any number of decimals, as texts; exclKnown false is EXACTNESS 4.2. It
// allocates. s is not changed.
func (p *Plan) ExactBill(s *State, decimals int) (excl string, exclKnown bool, incl string) {
	settled := *s
	p.stepped(&settled)
	e, i := p.tax.exact(&settled.costs)
	incl = i.limited(p.tariff.Min.InclNano, p.tariff.Max.InclNano).text(decimals)
	if settled.has(flagExclHidden) {
		return "", false, incl
	}
	return e.limited(p.tariff.Min.ExclNano, p.tariff.Max.ExclNano).text(decimals), true, incl
}

// stepped books the open row and what step_size adds.
func (p *Plan) stepped(s *State) {
	p.fold(s)
	for _, x := range p.steps(s) {
		if x.extra > 0 {
			p.charge(s, x.comp, x.extra)
		}
	}
}

// step is what one step_size adds: a quantity that its component bills on top.
type step struct {
	comp      int16
	dimension Dimension
	extra     int64 // mWh or ms
}

// steps is the three applications of step_size (EXACTNESS 4.1). All rows must be booked.
func (p *Plan) steps(s *State) [3]step {
	return [3]step{
		p.step(s.lastEnergy, s.pricedMwh),
		p.step(s.lastReservation, s.pricedReservationMs),
		p.step(s.lastPricedMs, s.pricedMs),
	}
}

func (p *Plan) step(comp int16, priced int64) step {
	if comp == noComp || p.comps[comp].step == 0 {
		return step{}
	}
	c := &p.comps[comp]
	x := step{comp: comp, dimension: c.dimension}
	if over := priced % c.step; over > 0 {
		x.extra = c.step - over
	}
	return x
}

// total is the rounded price of what is booked in s, and what the session holds.
func (p *Plan) total(s *State) Total {
	var t Total
	var fits bool
	t.ExclMicros, t.InclMicros, fits = p.tax.micros(&s.costs)
	t.Overflow = !fits
	if t.ExclUnknown = s.has(flagExclHidden); t.ExclUnknown {
		t.ExclMicros = 0
	}
	s.quantities(&t)
	return t
}

// limits appends the lines of min_price and max_price, each side by its own limit, and moves t to the limited
// price.
func (p *Plan) limits(g *group, t *Total, out []Charge) []Charge {
	low, high := &p.tariff.Min, &p.tariff.Max
	exclRaised, excl := limitMicros(t.ExclMicros, low.ExclNano, high.ExclNano)
	inclRaised, incl := limitMicros(t.InclMicros, low.InclNano, high.InclNano)
	if t.ExclUnknown {
		exclRaised, excl = 0, 0
	}
	g.excl, g.incl = t.ExclMicros, t.InclMicros
	g.row.HasDimension = false
	g.row.VAT, g.row.Element, g.row.Component = NoVAT, NoElement, NoElement
	out = g.limit(ChargeMin, exclRaised, inclRaised, t.ExclUnknown, out)
	out = g.limit(ChargeMax, excl, incl, t.ExclUnknown, out)
	t.ExclMicros, t.InclMicros = excl, incl
	return out
}

// limit appends the line of one limit if it moves either side.
func (g *group) limit(kind ChargeKind, excl, incl int64, exclUnknown bool, out []Charge) []Charge {
	if excl == g.excl && incl == g.incl {
		return out
	}
	out = append(out, g.row)
	r := &out[len(out)-1]
	r.Kind = kind
	g.amounts(r, excl, incl, exclUnknown)
	return out
}
