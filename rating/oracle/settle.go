package oracle

import (
	"math/big"

	"github.com/wattline/wattline/rating"
)

// Bill is what a session costs, exactly.
type Bill struct {
	Excl      *big.Rat // before tax, currency units, not rounded; without meaning unless ExclKnown
	ExclKnown bool     // false: EXACTNESS 4.2, the price before tax cannot be known
	Incl      *big.Rat // with tax, currency units, not rounded

	EnergyMwh, ChargingMs, ParkingMs, ReservationMs int64

	Lines []Line // in order of time; dimensions of one piece in the order FLAT, ENERGY, TIME, PARKING_TIME

	tariff *rating.Tariff
}

// Line is what one component (or none) prices of one dimension without interruption.
type Line struct {
	Dimension          rating.Dimension
	Element, Component int   // places in the tariff; -1: nothing prices this quantity
	Reservation        bool  // it is of the reservation
	FromMs, ToMs       int64 // ms since 1970 UTC; equal for FLAT and for energy without time
	Quantity           int64 // mWh of ENERGY, ms of times, 1 of FLAT
	StepExtra          int64 // what step_size adds, in the same unit
}

// use bills a quantity by the chosen component. It says whether there was one.
func (b *Bill) use(c choice, d rating.Dimension, p piece, quantity int64) bool {
	if c == nobody() {
		return false
	}
	b.useOrNote(c, d, p, quantity)
	return true
}

// useOrNote bills a quantity by the chosen component, or notes that nobody prices it.
func (b *Bill) useOrNote(c choice, d rating.Dimension, p piece, quantity int64) {
	if quantity == 0 {
		return
	}
	for i := len(b.Lines) - 1; i >= 0; i-- {
		last := &b.Lines[i]
		if last.Dimension != d || last.Reservation != reserves(p.state) {
			continue
		}
		// Time without energy does not interrupt a line of energy, as parking interrupts one of charging time.
		joins := last.ToMs == p.fromMs || d == rating.Energy
		if joins && last.Element == c.element && last.Component == c.component {
			last.Quantity += quantity
			last.ToMs = p.toMs
			return
		}
		break
	}
	b.Lines = append(b.Lines, Line{
		Dimension: d, Element: c.element, Component: c.component, Reservation: reserves(p.state),
		FromMs: p.fromMs, ToMs: p.toMs, Quantity: quantity,
	})
	if d == rating.Flat {
		b.Lines[len(b.Lines)-1].ToMs = p.fromMs
	}
}

// stepSizes is EXACTNESS 4.1.
func (s *session) stepSizes() {
	const mwhOfWh, msOfSecond = 1000, 1000
	b := s.bill
	b.step(mwhOfWh, func(l Line) bool { return l.Dimension == rating.Energy })
	b.step(msOfSecond, func(l Line) bool { return l.Dimension == rating.Time && l.Reservation })
	parking := func(l Line) bool { return l.Dimension == rating.ParkingTime }
	for _, l := range b.Lines {
		if parking(l) && l.Element >= 0 {
			b.step(msOfSecond, parking)
			return
		}
	}
	b.step(msOfSecond, func(l Line) bool { return l.Dimension == rating.Time && !l.Reservation })
}

// step raises the priced total of the lines that belong to a whole multiple of the step of the last of them.
func (b *Bill) step(unit int64, belongs func(Line) bool) {
	var total int64
	var last *Line
	for i := range b.Lines {
		if l := &b.Lines[i]; l.Element >= 0 && belongs(*l) {
			total += l.Quantity
			last = l
		}
	}
	if last == nil {
		return
	}
	size := new(big.Int).Mul(big.NewInt(b.component(*last).StepSize), big.NewInt(unit))
	if size.Sign() == 0 {
		return
	}
	rest := new(big.Int).Mod(big.NewInt(total), size)
	if rest.Sign() > 0 {
		last.StepExtra = size.Sub(size, rest).Int64()
	}
}

func (b *Bill) component(l Line) rating.Component {
	return b.tariff.Elements[l.Element].Components[l.Component]
}

// Cost is what a line costs as the tariff states its prices: with tax if tax_included is YES, else without.
// Nothing for a line that no component prices.
func (b *Bill) Cost(l Line) *big.Rat {
	if l.Element < 0 {
		return new(big.Rat)
	}
	perUnit := int64(1)
	switch l.Dimension {
	case rating.Energy:
		perUnit = 1_000_000 // mWh in a kWh
	case rating.Time, rating.ParkingTime:
		perUnit = 3_600_000 // ms in an hour
	}
	cost := new(big.Rat).SetFrac(big.NewInt(b.component(l).PriceNano), big.NewInt(1_000_000_000))
	quantity := new(big.Rat).Add(whole(l.Quantity), whole(l.StepExtra))
	cost.Mul(cost, quantity)
	return cost.Quo(cost, whole(perUnit))
}

// Amounts is what a line costs without and with tax. excl is nil when it cannot be known.
func (b *Bill) Amounts(l Line) (excl, incl *big.Rat) {
	cost := b.Cost(l)
	if l.Element < 0 || cost.Sign() == 0 {
		return cost, cost
	}
	vat := b.component(l).VAT
	factor := big.NewRat(1, 1)
	if vat != rating.NoVAT {
		factor.Add(factor, new(big.Rat).SetFrac64(int64(vat), 10_000))
	}
	switch b.tariff.TaxIncluded {
	case rating.TaxIncludedNA:
		return cost, cost
	case rating.TaxIncludedYes:
		if vat == rating.NoVAT {
			return nil, cost
		}
		return new(big.Rat).Quo(cost, factor), cost
	default:
		return cost, new(big.Rat).Mul(cost, factor)
	}
}

// settle sums the lines and applies the limits: EXACTNESS 4.2 and 4.3.
func (b *Bill) settle() {
	b.Excl, b.Incl, b.ExclKnown = new(big.Rat), new(big.Rat), true
	for _, l := range b.Lines {
		excl, incl := b.Amounts(l)
		b.Incl.Add(b.Incl, incl)
		if excl == nil {
			b.ExclKnown = false
			continue
		}
		b.Excl.Add(b.Excl, excl)
	}
	b.Excl = limited(b.Excl, b.tariff.Min.ExclNano, b.tariff.Max.ExclNano)
	b.Incl = limited(b.Incl, b.tariff.Min.InclNano, b.tariff.Max.InclNano)
}

// limited raises an amount to its minimum, then lowers it to its maximum.
func limited(amount *big.Rat, minNano, maxNano int64) *big.Rat {
	if minNano != rating.Unknown {
		if low := new(big.Rat).SetFrac64(minNano, 1_000_000_000); amount.Cmp(low) < 0 {
			amount = low
		}
	}
	if maxNano != rating.Unknown {
		if high := new(big.Rat).SetFrac64(maxNano, 1_000_000_000); amount.Cmp(high) > 0 {
			amount = high
		}
	}
	return amount
}

// ExclText is the price before tax rounded to a number of decimals; known is false when it cannot be known.
func (b *Bill) ExclText(decimals int) (text string, known bool) {
	if !b.ExclKnown {
		return "", false
	}
	return Round(b.Excl, decimals), true
}

// InclText is the price with tax rounded to a number of decimals.
func (b *Bill) InclText(decimals int) string { return Round(b.Incl, decimals) }

// Round is EXACTNESS 4.4: half up, a tie goes toward +infinity, also below zero. The text has exactly that many
// decimals (0 or more), and no sign when it is zero.
func Round(amount *big.Rat, decimals int) string {
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
	scaled := new(big.Rat).Mul(amount, scale)
	units := floor(scaled.Add(scaled, big.NewRat(1, 2)))
	return new(big.Rat).Quo(new(big.Rat).SetInt(units), scale).FloatString(decimals) // exact: units lie on this grid
}
