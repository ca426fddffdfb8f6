package rating

// Close ends the session at its newest Point: it appends the open rows and the lines of the settlement to out
// (EXACTNESS section 4: step_size, then limits), which it returns grown, and says what the session costs. The
// rows of the session add up to the Total (R1). Nothing may be advanced afterwards; PriceNow and ExactBill may
// still be asked.
func (p *Plan) Close(s *State, out []Charge) ([]Charge, Total) {
	out = p.closeRows(s, out)
	settled := *s
	w := rowWriter{plan: p, state: &settled, out: out}
	w.begin(ChargeStep)
	w.row.FromMs = s.LastMs
	w.row.Interpolated = false
	for _, x := range p.steps(&settled) {
		if x.extra > 0 {
			w.usage(x.dimension, x.comp, x.extra)
		}
	}
	t := p.total(&settled)
	w.limits(&t)
	return w.out, t
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

// limits writes the lines of min_price and max_price, each side by its own limit, and moves t to the limited
// price.
func (w *rowWriter) limits(t *Total) {
	tariff := w.plan.tariff
	exclRaised, excl := limitMicros(t.ExclMicros, tariff.Min.ExclNano, tariff.Max.ExclNano)
	inclRaised, incl := limitMicros(t.InclMicros, tariff.Min.InclNano, tariff.Max.InclNano)
	if t.ExclUnknown {
		exclRaised, excl = 0, 0
	}
	w.excl, w.incl = t.ExclMicros, t.InclMicros
	w.limit(ChargeMin, exclRaised, inclRaised)
	w.limit(ChargeMax, excl, incl)
	t.ExclMicros, t.InclMicros = excl, incl
}

func (w *rowWriter) limit(kind ChargeKind, excl, incl int64) {
	if excl == w.excl && incl == w.incl {
		return
	}
	w.out = append(w.out, w.row)
	r := &w.out[len(w.out)-1]
	r.Kind, r.HasDimension = kind, false
	r.VAT, r.Element, r.Component = NoVAT, NoElement, NoElement
	w.amounts(r, excl, incl)
}
