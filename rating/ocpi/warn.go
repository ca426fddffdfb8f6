package ocpi

import "github.com/wattline/wattline/rating"

// oddities warns of what is valid but in real tariffs is usually a mistake. Nothing is converted.
func (r *reader) oddities(n *node, t *rating.Tariff) {
	taxed := false
	elements := n.get("elements")
	for i, e := range t.Elements {
		components := elements.items[i].get("price_components")
		for j, c := range e.Components {
			taxed = taxed || c.VAT > 0
			r.oddComponent(components.items[j], c)
		}
		if neverMatches(e.Restrictions) {
			r.warn(elements.items[i].get("restrictions"), "can never match: a lower bound is not below its upper bound")
		}
		for j := range e.Components {
			r.neverPrices(components.items[j], t, i, j)
		}
	}
	if t.Min.ExclNano != rating.Unknown && t.Max.ExclNano != rating.Unknown && t.Min.ExclNano > t.Max.ExclNano ||
		t.Min.InclNano != rating.Unknown && t.Max.InclNano != rating.Unknown && t.Min.InclNano > t.Max.InclNano {
		r.warn(n.get("min_price"), "is above max_price")
	}
	if taxed && t.TaxIncluded != rating.TaxIncludedNA {
		r.oneSided(n.get("min_price"), t.Min)
		r.oneSided(n.get("max_price"), t.Max)
	}
}

func (r *reader) oddComponent(n *node, c rating.Component) {
	const cents4, cents5 = 40_000_000, 50_000_000
	if c.PriceNano < 0 {
		r.warn(n.get("price"), "is negative: the driver is paid")
	}
	if c.Dimension == rating.Energy && c.StepSize == 1000 {
		r.warn(n, "step_size 1000 on ENERGY bills whole kWh; OCPI counts Wh")
	}
	timed := c.Dimension == rating.Time || c.Dimension == rating.ParkingTime
	if timed && c.PriceNano >= cents4 && c.PriceNano <= cents5 {
		r.warn(n, "a price of %s looks like one per minute; OCPI prices time per hour", appendDecimal(nil, c.PriceNano, priceDigits))
	}
}

func (r *reader) oneSided(n *node, limit rating.PriceLimit) {
	if n != nil && limit.InclNano == rating.Unknown {
		r.warn(n, "has no after_taxes though the tariff has VAT: the price with tax has no such limit")
	}
}

// neverMatches says whether no instant, energy, power, current or duration can satisfy r.
func neverMatches(r rating.Restrictions) bool {
	empty := func(low, high int64) bool {
		return high != rating.NoLimit && (high == 0 || low != rating.NoLimit && low >= high)
	}
	return empty(r.MinEnergyMwh, r.MaxEnergyMwh) || empty(r.MinDurationMs, r.MaxDurationMs) ||
		empty(r.MinPowerMicroW, r.MaxPowerMicroW) || empty(r.MinCurrentNanoA, r.MaxCurrentNanoA) ||
		r.StartDate != rating.NoDate && r.EndDate != rating.NoDate && r.StartDate >= r.EndDate
}

// neverPrices warns of a component that something before it always beats.
func (r *reader) neverPrices(n *node, t *rating.Tariff, element, component int) {
	e := t.Elements[element]
	dimension := e.Components[component].Dimension
	reservation := e.Restrictions.Reservation
	if reservation != rating.NoReservation && (dimension == rating.Energy || dimension == rating.ParkingTime) {
		r.warn(n, "never prices: a reservation has only TIME and FLAT")
		return
	}
	for _, c := range e.Components[:component] {
		if c.Dimension == dimension {
			r.warn(n, "never prices: the element has a %s component before it", dimensionText(dimension))
			return
		}
	}
	for i, before := range t.Elements[:element] {
		unrestricted := noRestrictions()
		unrestricted.Reservation = reservation
		if before.Restrictions != unrestricted {
			continue
		}
		for _, c := range before.Components {
			if c.Dimension == dimension {
				r.warn(n, "never prices: elements[%d] has no restriction and comes first for %s", i, dimensionText(dimension))
				return
			}
		}
	}
}
