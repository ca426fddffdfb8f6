package rating

import (
	"errors"
	"fmt"
	"slices"
)

// ErrTariff is what Compile says of a tariff that it can not represent; wrapped with the path of the fault.
var ErrTariff = errors.New("tariff can not be represented")

// maxComponents keeps component indexes in an int16.
const maxComponents = 32_000

// Unrestricted is the Restrictions that restrict nothing (the zero value restricts much).
func Unrestricted() Restrictions {
	return Restrictions{
		StartTimeMin: NoTimeOfDay, EndTimeMin: NoTimeOfDay,
		StartDate: NoDate, EndDate: NoDate,
		MinEnergyMwh: NoLimit, MaxEnergyMwh: NoLimit,
		MinCurrentNanoA: NoLimit, MaxCurrentNanoA: NoLimit,
		MinPowerMicroW: NoLimit, MaxPowerMicroW: NoLimit,
		MinDurationMs: NoLimit, MaxDurationMs: NoLimit,
		Weekdays: EveryWeekday,
	}
}

// Compile makes the Plan of a tariff in a zone. It keeps t, which must not be changed any more. Errors:
// ErrTariff, wrapped with the path of what can not be represented.
func Compile(t *Tariff, z *Zone) (*Plan, error) {
	rates, err := check(t)
	if err != nil {
		return nil, fmt.Errorf("compile tariff %q: %w", t.ID, err)
	}
	p := &Plan{tariff: t, zone: z, tax: newTaxes(t.TaxIncluded, rates)}
	c := compiler{plan: p, tariff: t, seen: map[[2]int]int16{}}
	c.phase(phaseReserved, ReservationUsed)
	// An expired reservation looks through RESERVATION only if RESERVATION_EXPIRES found nothing.
	c.phase(phaseExpired, ReservationExpires, ReservationUsed)
	c.phase(phaseCharging, NoReservation)
	c.phase(phaseParking, NoReservation)
	c.classes()
	return p, nil
}

func fault(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTariff, fmt.Sprintf(format, args...))
}

// check says the first thing that can not be represented, or the different VAT rates of the tariff.
func check(t *Tariff) (rates []int32, err error) {
	if t.TaxIncluded > TaxIncludedNA {
		return nil, fault("tax_included: %d", t.TaxIncluded)
	}
	limits := []struct {
		path string
		nano int64
	}{
		{"min_price excl", t.Min.ExclNano},
		{"min_price incl", t.Min.InclNano},
		{"max_price excl", t.Max.ExclNano},
		{"max_price incl", t.Max.InclNano},
	}
	for _, l := range limits {
		if l.nano != Unknown && !within(l.nano, MaxPriceNano) {
			return nil, fault("%s: %d is beyond %d", l.path, l.nano, int64(MaxPriceNano))
		}
	}
	n := 0
	for i := range t.Elements {
		e := &t.Elements[i]
		if err := checkRestrictions(&e.Restrictions); err != nil {
			return nil, fmt.Errorf("elements[%d].restrictions.%w", i, err)
		}
		for j := range e.Components {
			if err := checkComponent(&e.Components[j]); err != nil {
				return nil, fmt.Errorf("elements[%d].price_components[%d].%w", i, j, err)
			}
			if vat := e.Components[j].VAT; !slices.Contains(rates, vat) {
				rates = append(rates, vat)
			}
		}
		n += len(e.Components)
	}
	if len(rates) > MaxVATRates {
		return nil, fault("elements: %d different VAT rates, at most %d", len(rates), MaxVATRates)
	}
	if n > maxComponents || len(t.Elements) > maxComponents {
		return nil, fault("elements: more than %d", maxComponents)
	}
	return rates, nil
}

func within(v, bound int64) bool { return -bound <= v && v <= bound }

func checkComponent(c *Component) error {
	switch {
	case c.Dimension >= NumDimensions:
		return fault("type: %d", c.Dimension)
	case !within(c.PriceNano, MaxPriceNano):
		return fault("price: %d is beyond %d", c.PriceNano, int64(MaxPriceNano))
	case c.VAT != NoVAT && (c.VAT < 0 || c.VAT > MaxVAT):
		return fault("vat: %d is not in 0..%d", c.VAT, MaxVAT)
	case c.StepSize < 0 || c.StepSize > maxStep:
		return fault("step_size: %d is not in 0..%d", c.StepSize, int64(maxStep))
	}
	return nil
}

func checkRestrictions(r *Restrictions) error {
	limits := []struct {
		path       string
		value, max int64
	}{
		{"start_time", int64(r.StartTimeMin), 24*60 - 1},
		{"end_time", int64(r.EndTimeMin), 24*60 - 1},
		{"min_kwh", r.MinEnergyMwh, MaxRegisterMwh},
		{"max_kwh", r.MaxEnergyMwh, MaxRegisterMwh},
		{"min_current", r.MinCurrentNanoA, maxInt64},
		{"max_current", r.MaxCurrentNanoA, maxInt64},
		{"min_power", r.MinPowerMicroW, maxInt64},
		{"max_power", r.MaxPowerMicroW, maxInt64},
		{"min_duration", r.MinDurationMs, maxDurationMs},
		{"max_duration", r.MaxDurationMs, maxDurationMs},
	}
	for _, l := range limits {
		if l.value < NoLimit || l.value > l.max {
			return fault("%s: %d is not in 0..%d", l.path, l.value, l.max)
		}
	}
	if r.Weekdays == 0 || r.Weekdays > EveryWeekday {
		return fault("day_of_week: bits %#x", r.Weekdays)
	}
	if r.Reservation > ReservationExpires {
		return fault("reservation: %d", r.Reservation)
	}
	return nil
}

// compiler is Compile at work.
type compiler struct {
	plan   *Plan
	tariff *Tariff
	seen   map[[2]int]int16 // element and component -> index in the plan; looked up, never walked
}

// phase fills in the rules of a phase from the elements of these kinds, the first kind first.
func (c *compiler) phase(f phase, kinds ...Reservation) {
	p := c.plan
	p.flat[f] = c.rules(f, Flat, kinds)
	p.time[f] = c.rules(f, f.dimension(), kinds)
	if f.ofSession() { // a reservation has no energy
		p.energy[f] = c.rules(f, Energy, kinds)
	}
	slices.Sort(p.edges[f])
	p.edges[f] = slices.Compact(p.edges[f])
}

// rules lists the rules of one dimension in a phase, up to the first that always matches.
func (c *compiler) rules(f phase, d Dimension, kinds []Reservation) []rule {
	var rules []rule
	for _, kind := range kinds {
		for i := range c.tariff.Elements {
			e := &c.tariff.Elements[i]
			if e.Restrictions.Reservation != kind {
				continue
			}
			// Of two components of one dimension the first counts.
			j := slices.IndexFunc(e.Components, func(pc Component) bool { return pc.Dimension == d })
			if j < 0 {
				continue
			}
			r := c.rule(f, &e.Restrictions)
			r.comp = c.component(i, j)
			rules = append(rules, r)
			if r.sees == 0 {
				return rules
			}
		}
	}
	return rules
}

// component is the index of a component in the plan, which it enters when it is asked for first.
func (c *compiler) component(element, component int) int16 {
	p := c.plan
	if i, ok := c.seen[[2]int{element, component}]; ok {
		return i
	}
	pc := &c.tariff.Elements[element].Components[component]
	k := comp{
		perUnit: pc.PriceNano, priceNano: pc.PriceNano, vat: pc.VAT, step: pc.StepSize * 1000,
		element: int16(element), component: int16(component), dimension: pc.Dimension,
		rate:      p.tax.index(pc.VAT),
		hidesExcl: p.tax.included && pc.VAT == NoVAT && pc.PriceNano != 0,
	}
	switch pc.Dimension {
	case Energy: // step_size in Wh
		k.perUnit *= unitsPerMwh
	case Time, ParkingTime: // step_size in s
		k.perUnit *= unitsPerMs
	default:
		k.step = 0
	}
	i := int16(len(p.comps))
	p.comps = append(p.comps, k)
	c.seen[[2]int{element, component}] = i
	return i
}

// rule is the restrictions in comparable form. Everything at which the rule can change is noted in the plan.
// Powers and currents get their classes later, when all thresholds are known.
func (c *compiler) rule(f phase, in *Restrictions) rule {
	r := rule{weekdays: in.Weekdays, maxMwh: maxInt64, maxMs: maxInt64, fromDay: -1 << 31, toDay: 1<<31 - 1}
	c.window(f, &r, in)
	if in.Weekdays != EveryWeekday {
		r.sees |= seesWeekday
		c.plan.weekdays = true
		c.edge(f, 0)
	}
	if in.StartDate != NoDate || in.EndDate != NoDate {
		r.sees |= seesDate
		c.plan.dayEdge = true
		c.edge(f, 0)
		r.fromDay = in.StartDate // NoDate is the smallest day
		if in.EndDate != NoDate {
			r.toDay = in.EndDate
		}
	}
	bound := func(limit int64, bit uint8, value *int64, thresholds *[]int64) {
		if limit == NoLimit {
			return
		}
		r.sees |= bit
		*value = limit
		if f.ofSession() && limit > 0 { // in a reservation both stay 0, and 0 is reached at once
			*thresholds = insert(*thresholds, limit)
		}
	}
	bound(in.MinEnergyMwh, seesEnergy, &r.minMwh, &c.plan.energies)
	bound(in.MaxEnergyMwh, seesEnergy, &r.maxMwh, &c.plan.energies)
	bound(in.MinDurationMs, seesDuration, &r.minMs, &c.plan.durations)
	bound(in.MaxDurationMs, seesDuration, &r.maxMs, &c.plan.durations)
	for _, limit := range []int64{in.MinPowerMicroW, in.MaxPowerMicroW} {
		if limit != NoLimit {
			r.sees |= seesPower
			c.plan.powers = insert(c.plan.powers, limit)
		}
	}
	for _, limit := range []int64{in.MinCurrentNanoA, in.MaxCurrentNanoA} {
		if limit != NoLimit {
			r.sees |= seesCurrent
			c.plan.currents = insert(c.plan.currents, limit)
		}
	}
	return r
}

// window translates start_time and end_time (TARIFF-RULES: the decisions).
func (c *compiler) window(f phase, r *rule, in *Restrictions) {
	from, to := in.StartTimeMin, in.EndTimeMin
	if from == NoTimeOfDay {
		from = 0
	}
	if to == NoTimeOfDay {
		to = 0 // 00:00 is the end of the day
	}
	if from == to { // also: both absent
		return
	}
	r.sees |= seesClock
	r.fromMs, r.toMs = from*60_000, to*60_000
	c.edge(f, r.fromMs)
	c.edge(f, r.toMs)
	if from == 0 || to == 0 {
		c.plan.dayEdge = true
	}
}

func (c *compiler) edge(f phase, dayMs int32) {
	c.plan.edges[f] = append(c.plan.edges[f], dayMs)
}

// classes translates power and current limits into classes, now that all thresholds are known.
func (c *compiler) classes() {
	p := c.plan
	p.plain = len(p.powers) == 0 && len(p.currents) == 0
	for f := range numPhases {
		for _, rules := range [][]rule{p.flat[f], p.energy[f], p.time[f]} {
			for i := range rules {
				r := &rules[i]
				in := &c.tariff.Elements[p.comps[r.comp].element].Restrictions
				r.minPower, r.maxPower = classRange(p.powers, in.MinPowerMicroW, in.MaxPowerMicroW)
				r.minCurrent, r.maxCurr = classRange(p.currents, in.MinCurrentNanoA, in.MaxCurrentNanoA)
			}
		}
	}
}

// classRange is the classes [lo, hi) that lie in [low, high) of the measured quantity.
func classRange(thresholds []int64, low, high int64) (lo, hi uint16) {
	hi = noClass
	if low != NoLimit {
		i, _ := slices.BinarySearch(thresholds, low)
		lo = uint16(i + 1) // reached
	}
	if high != NoLimit {
		i, _ := slices.BinarySearch(thresholds, high)
		hi = uint16(i + 1) // not reached
	}
	return lo, hi
}

// insert adds v to an ascending list that holds each value once.
func insert(list []int64, v int64) []int64 {
	i, found := slices.BinarySearch(list, v)
	if found {
		return list
	}
	return slices.Insert(list, i, v)
}
