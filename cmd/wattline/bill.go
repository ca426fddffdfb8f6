package main

import (
	"fmt"
	"time"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
	"github.com/wattline/wattline/rating/ocpi"
	"github.com/wattline/wattline/rating/oracle"
)

// zone is one time zone for pricing and for people, both from the database that is built in.
type zone struct {
	rating *rating.Zone
	clock  *time.Location
}

func loadZone(name string) (zone, error) {
	z, err := rating.LoadZone(name)
	if err != nil {
		return zone{}, err
	}
	data, err := rating.ZoneData(name)
	if err != nil {
		return zone{}, err
	}
	clock, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return zone{}, fmt.Errorf("zone %q: %w", name, err)
	}
	return zone{z, clock}, nil
}

// bill is a priced session, whichever pricer made it.
type bill struct {
	session *ocpi.Session
	tariff  *rating.Tariff
	zone    zone

	// amounts gives the settled price rounded to a number of decimals; exclKnown is EXACTNESS 4.2.
	amounts func(decimals int) (excl string, exclKnown bool, incl string)
	total   rating.Total // its amounts are not used: they have 6 decimals
	lines   []lineJSON
}

// priceByPlan prices with the pricer that the engine uses.
func (b *bill) priceByPlan() error {
	plan, err := rating.Compile(b.tariff, b.zone.rating)
	if err != nil {
		return err
	}
	var s rating.State
	plan.Start(&s, b.session.Points[0], 0)
	var charges []rating.Charge
	for _, p := range b.session.Points[1:] {
		charges = plan.Advance(&s, p, nil, 0, charges)
	}
	charges, b.total = plan.Close(&s, charges)
	if b.total.Overflow {
		return fmt.Errorf("%s: the price is too large", b.session.Path)
	}
	b.amounts = func(decimals int) (string, bool, string) { return plan.ExactBill(&s, decimals) }
	for i := range charges {
		b.lines = append(b.lines, chargeLine(&charges[i]))
	}
	return nil
}

// priceByOracle prices with the slow pricer.
func (b *bill) priceByOracle() error {
	o, err := oracle.Price(b.tariff, b.zone.clock, oracle.FromPoints(b.session.Points))
	if err != nil {
		return err
	}
	b.total = rating.Total{
		EnergyMwh: o.EnergyMwh, ChargingMs: o.ChargingMs, ParkingMs: o.ParkingMs, ReservationMs: o.ReservationMs,
	}
	b.amounts = func(decimals int) (string, bool, string) {
		excl, known := o.ExclText(decimals)
		return excl, known, o.InclText(decimals)
	}
	for _, l := range o.Lines {
		b.lines = append(b.lines, b.oracleLine(o, l))
	}
	return nil
}

// compare says how the bill differs from what a file expects.
func (b *bill) compare(e ocpi.Expect) []string {
	var differences []string
	differ := func(what, got, want string) {
		if got != want {
			differences = append(differences, fmt.Sprintf("%s is %s, expected %s", what, got, want))
		}
	}
	amount := func(what string, want ocpi.Amount, got func(decimals int) string) {
		if !want.Given {
			return
		}
		text := want.Text
		if want.Null {
			text = "null"
		}
		differ(what, got(want.Decimals), text)
	}
	amount("excl", e.Excl, func(decimals int) string {
		if excl, known, _ := b.amounts(decimals); known {
			return excl
		}
		return "null"
	})
	amount("incl", e.Incl, func(decimals int) string {
		_, _, incl := b.amounts(decimals)
		return incl
	})
	if e.EnergyMwh != rating.Unknown {
		differ("energy_mwh", fmt.Sprint(b.total.EnergyMwh), fmt.Sprint(e.EnergyMwh))
	}
	return differences
}

// sessionJSON is the line of a session.
type sessionJSON struct {
	ID            string     `json:"id"`
	Excl          *string    `json:"excl"`
	Incl          string     `json:"incl"`
	Currency      *string    `json:"currency"`
	EnergyMwh     int64      `json:"energy_mwh"`
	ChargingMs    int64      `json:"charging_ms"`
	ParkingMs     int64      `json:"parking_ms"`
	ReservationMs int64      `json:"reservation_ms"`
	Differs       []string   `json:"differs,omitempty"` // only with --check
	Lines         []lineJSON `json:"lines"`
}

func (b *bill) line(decimals int) sessionJSON {
	excl, known, incl := b.amounts(decimals)
	l := sessionJSON{
		ID: b.session.ID, Incl: incl, Currency: orNull(b.tariff.Currency),
		EnergyMwh: b.total.EnergyMwh, ChargingMs: b.total.ChargingMs, ParkingMs: b.total.ParkingMs,
		ReservationMs: b.total.ReservationMs, Lines: b.lines,
	}
	if known {
		l.Excl = &excl
	}
	if l.Lines == nil {
		l.Lines = []lineJSON{}
	}
	return l
}

// lineJSON is one line of a bill. What does not apply is null.
type lineJSON struct {
	Kind         string  `json:"kind"`
	Period       *uint32 `json:"period"`
	From         string  `json:"from"`
	To           string  `json:"to"`
	Split        *string `json:"split"` // what began the period
	Dimension    *string `json:"dimension"`
	EnergyMwh    int64   `json:"energy_mwh"`
	DurationMs   int64   `json:"duration_ms"`
	Element      *int    `json:"element"`   // null: no component prices it
	Component    *int    `json:"component"` // its place in the element
	Price        *string `json:"price"`     // per kWh, hour or session, as the tariff states it
	VAT          *string `json:"vat"`       // percent; null: none applies
	Excl         *string `json:"excl"`      // null: cannot be known
	Incl         string  `json:"incl"`
	Interpolated bool    `json:"interpolated"` // an end of it is not a register value that the meter sent

	fromMs, toMs, periodMs int64
	dimension              rating.Dimension
	kind                   rating.ChargeKind
	split                  rating.Split
}

func chargeLine(c *rating.Charge) lineJSON {
	period, split := c.Period, splitText(c.Split)
	l := lineJSON{
		Kind: kindText(c.Kind), Period: &period, Split: &split, From: instant(c.FromMs), To: instant(c.ToMs),
		EnergyMwh: c.EnergyMwh, DurationMs: c.DurationMs, Incl: money.FormatDecimal(c.InclMicros, 6),
		Interpolated: c.Interpolated,
		fromMs:       c.FromMs, toMs: c.ToMs, periodMs: c.PeriodStartMs,
		dimension: c.Dimension, kind: c.Kind, split: c.Split,
	}
	if !c.ExclUnknown {
		excl := money.FormatDecimal(c.ExclMicros, 6)
		l.Excl = &excl
	}
	if c.HasDimension {
		dimension := dimensionName(c.Dimension)
		l.Dimension = &dimension
	}
	if c.HasDimension && c.Element != rating.NoElement {
		element, component := int(c.Element), int(c.Component)
		l.Element, l.Component = &element, &component
		l.price(c.PriceNano, c.VAT)
	}
	return l
}

func (b *bill) oracleLine(o *oracle.Bill, line oracle.Line) lineJSON {
	excl, incl := o.Amounts(line)
	dimension := dimensionName(line.Dimension)
	l := lineJSON{
		Kind: kindText(rating.ChargeUsage), From: instant(line.FromMs), To: instant(line.ToMs),
		Dimension: &dimension, Incl: oracle.Round(incl, 6),
		fromMs: line.FromMs, toMs: line.ToMs, periodMs: line.FromMs, dimension: line.Dimension,
	}
	if excl != nil {
		text := oracle.Round(excl, 6)
		l.Excl = &text
	}
	switch line.Dimension {
	case rating.Energy:
		l.EnergyMwh = line.Quantity + line.StepExtra
	case rating.Time, rating.ParkingTime:
		l.DurationMs = line.Quantity + line.StepExtra
	}
	if line.Element >= 0 {
		c := b.tariff.Elements[line.Element].Components[line.Component]
		l.Element, l.Component = &line.Element, &line.Component
		l.price(c.PriceNano, c.VAT)
	}
	return l
}

func (l *lineJSON) price(nano int64, vat int32) {
	price := decimal(nano, 9)
	l.Price = &price
	if vat != rating.NoVAT {
		percent := decimal(int64(vat), 2)
		l.VAT = &percent
	}
}

func instant(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

func dimensionName(d rating.Dimension) string {
	return [rating.NumDimensions]string{"FLAT", "ENERGY", "TIME", "PARKING_TIME"}[d]
}

func kindText(k rating.ChargeKind) string {
	return [...]string{"usage", "step", "min", "max", "expiry", "rounding"}[k]
}

func splitText(s rating.Split) string {
	return [...]string{"start", "clock", "weekday", "energy", "duration", "power", "state"}[s]
}
