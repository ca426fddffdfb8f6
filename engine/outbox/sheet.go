package outbox

import (
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// Add takes rows of a session into its sheet, in the order in which they were made; s is its state behind them, t the
// tariff that priced them. The rows are not kept.
func Add(sheets *slab.Sheets, sheet uint32, rows []rating.Charge, t *rating.Tariff, s *rating.State) {
	sh := sheets.At(sheet)
	expired := false
	for i := range rows {
		c := &rows[i]
		if c.Kind == rating.ChargeExpiry && !expired {
			expired = true
			sheets.Clear(sheet) // all so far is reversed, and priced anew in periods that follow
		}
		if !c.HasDimension {
			continue // a limit belongs to the whole session
		}
		cost := &sh.Costs[costOf(c, t)]
		cost.Incl += c.InclMicros
		if !c.ExclUnknown {
			cost.Excl += c.ExclMicros
		}
		if c.Kind == rating.ChargeUsage || c.Kind == rating.ChargeExpiry && c.DurationMs > 0 {
			addPeriod(sheets, sheet, c, s)
		}
	}
}

// costOf is what a row is for. An element with a reservation restriction prices reservations and nothing else.
func costOf(c *rating.Charge, t *rating.Tariff) int {
	if c.Element >= 0 && t.Elements[c.Element].Restrictions.Reservation != rating.NoReservation {
		return snapshot.CostReservation
	}
	switch c.Dimension {
	case rating.Flat:
		return snapshot.CostFixed
	case rating.Energy:
		return snapshot.CostEnergy
	case rating.ParkingTime:
		return snapshot.CostParking
	default:
		return snapshot.CostTime
	}
}

// addPeriod notes the quantity of a row in its charging period. A FLAT has none, and is never alone in a period.
func addPeriod(sheets *slab.Sheets, sheet uint32, c *rating.Charge, s *rating.State) {
	if c.Dimension == rating.Flat {
		return
	}
	sh := sheets.At(sheet)
	p := sheets.Newest(sheet)
	if p == nil || c.Period != sh.Last {
		sh.Last = c.Period
		if p = sheets.Push(sheet, snapshot.NewPeriod(c.PeriodStartMs, snapshot.PhaseCharging)); p == nil {
			return
		}
	}
	switch {
	case c.Dimension == rating.Energy:
		p.Add(c.EnergyMwh)
	case c.Dimension == rating.ParkingTime:
		p.Enter(snapshot.PhaseParking)
	case !s.InSession() || c.FromMs < s.StartMs:
		p.Enter(snapshot.PhaseReserved)
	}
}
