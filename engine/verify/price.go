package verify

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/oracle"
)

// amount is money in micros of the currency.
type amount struct {
	excl, incl  int64
	exclUnknown bool
}

func (a amount) String() string {
	if a.exclUnknown {
		return fmt.Sprintf("excl unknown, incl %d micros", a.incl)
	}
	return fmt.Sprintf("excl %d, incl %d micros", a.excl, a.incl)
}

func (a amount) plus(o amount) amount {
	return amount{a.excl + o.excl, a.incl + o.incl, a.exclUnknown || o.exclUnknown}
}

// same compares; of excl only whether it is known where one side does not know it.
func (a amount) same(o amount) bool {
	return a.incl == o.incl && a.exclUnknown == o.exclUnknown && (a.exclUnknown || a.excl == o.excl)
}

// quantities are what the rows of a session hold of each dimension.
type quantities struct {
	flats, energyMwh, timeMs, parkingMs int64
}

func (q quantities) String() string {
	return fmt.Sprintf("%d FLAT, %d mWh, %d ms TIME, %d ms PARKING_TIME", q.flats, q.energyMwh, q.timeMs, q.parkingMs)
}

func (q quantities) plus(o quantities, sign int64) quantities {
	return quantities{q.flats + sign*o.flats, q.energyMwh + sign*o.energyMwh, q.timeMs + sign*o.timeMs, q.parkingMs + sign*o.parkingMs}
}

// of returns the quantity of a dimension.
func (q *quantities) of(d rating.Dimension) *int64 {
	return map[rating.Dimension]*int64{
		rating.Flat: &q.flats, rating.Energy: &q.energyMwh, rating.Time: &q.timeMs, rating.ParkingTime: &q.parkingMs,
	}[d]
}

// pricer asks the oracle. Safe for concurrent use.
type pricer struct {
	tariff func(snapshot.Plan) (*rating.Tariff, bool)
	mu     sync.Mutex
	zones  map[string]*time.Location
}

// errNoTariff: the reference log does not have the version that a session began with.
var errNoTariff = errors.New("the reference log does not have the tariff")

func (p *pricer) terms(plan snapshot.Plan) (*rating.Tariff, *time.Location, error) {
	t, ok := p.tariff(plan)
	if !ok {
		return nil, nil, fmt.Errorf("%w %s*%s*%s of offset %d", errNoTariff, plan.CountryCode, plan.PartyID, plan.ID, plan.Offset)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if zone := p.zones[plan.Zone]; zone != nil {
		return t, zone, nil
	}
	data, err := rating.ZoneData(plan.Zone)
	if err != nil {
		return nil, nil, err
	}
	zone, err := time.LoadLocationFromTZData(plan.Zone, data)
	if err != nil {
		return nil, nil, fmt.Errorf("time zone %q: %w", plan.Zone, err)
	}
	p.zones[plan.Zone] = zone
	return t, zone, nil
}

// settled prices readings as a session that ended at the last one.
func (p *pricer) settled(plan snapshot.Plan, rs []oracle.Reading) (amount, quantities, error) {
	t, zone, err := p.terms(plan)
	if err != nil {
		return amount{}, quantities{}, err
	}
	bill, err := oracle.Price(t, zone, rs)
	if err != nil {
		return amount{}, quantities{}, err
	}
	var q quantities
	for _, l := range bill.Lines {
		if l.Reservation && l.Dimension == rating.Energy {
			continue // a register that moves in a reservation belongs to nobody, and has no row
		}
		*q.of(l.Dimension) += l.Quantity
	}
	excl, known := bill.ExclText(decimals)
	a, err := rounded(excl, bill.InclText(decimals), known)
	return a, q, err
}

// errNoPrefix: the rows of a running session are not a first part of what the readings hold.
var errNoPrefix = errors.New("the rows are no first part of the readings")

// closed prices the first part q of the readings' quantities, without step_size and limits: what the closed rows
// of a running session cost (package comment, "How a running session is judged").
func (p *pricer) closed(plan snapshot.Plan, rs []oracle.Reading, q quantities) (amount, error) {
	t, zone, err := p.terms(plan)
	if err != nil {
		return amount{}, err
	}
	bill, err := oracle.Price(unsettled(t), zone, rs)
	if err != nil {
		return amount{}, err
	}
	if err := prefix(bill, rs, q); err != nil {
		return amount{}, err
	}
	nothing := oracle.Line{Element: int(rating.NoElement)}
	excl, incl, unknown := bill.Cost(nothing), bill.Cost(nothing), false
	left := q
	for _, l := range bill.Lines {
		if l.Reservation && l.Dimension == rating.Energy {
			continue
		}
		n := left.of(l.Dimension)
		l.Quantity = min(l.Quantity, *n)
		*n -= l.Quantity
		if l.Quantity == 0 {
			continue
		}
		e, i := bill.Amounts(l)
		incl.Add(incl, i)
		if e == nil {
			unknown = true
			continue
		}
		excl.Add(excl, e)
	}
	return rounded(oracle.Round(excl, decimals), oracle.Round(incl, decimals), !unknown)
}

// prefix says whether quantities belong together: rows have no gap in time, so their times say until when they go,
// which leaves no choice for the times of either kind, next to none for energy (that of one millisecond, in which a
// limit may have been reached), and for a FLAT only where it is billed at that very instant.
func prefix(bill *oracle.Bill, rs []oracle.Reading, q quantities) error {
	end := rs[0].AtMs + q.timeMs + q.parkingMs
	var low, high quantities
	energy := int64(0)
	for _, l := range bill.Lines {
		switch l.Dimension {
		case rating.Energy:
			if !l.Reservation {
				energy += l.Quantity
			}
		case rating.Flat:
			if l.FromMs < end {
				low.flats++
			}
			if l.FromMs <= end {
				high.flats++
			}
		default:
			*low.of(l.Dimension) += max(0, min(l.ToMs, end)-l.FromMs)
		}
	}
	high.timeMs, high.parkingMs = low.timeMs, low.parkingMs
	last := rs[len(rs)-1].RegisterMwh
	low.energyMwh = max(0, energy-(last-register(rs, end-1)))
	high.energyMwh = max(0, energy-(last-register(rs, end)))
	if q.flats < low.flats || q.flats > high.flats || q.energyMwh < low.energyMwh || q.energyMwh > high.energyMwh ||
		q.timeMs != low.timeMs || q.parkingMs != low.parkingMs {
		return fmt.Errorf("%w: they hold %s up to %d ms, the readings %s to %s", errNoPrefix, q, end, low, high)
	}
	return nil
}

// register is R(t) of EXACTNESS section 1; where readings are of one instant that of the last of them.
func register(rs []oracle.Reading, t int64) int64 {
	was := rs[0]
	for _, r := range rs {
		switch {
		case !r.HasRegister:
		case r.AtMs <= t:
			was = r
		case t <= was.AtMs:
			return was.RegisterMwh
		default:
			return was.RegisterMwh + share(r.RegisterMwh-was.RegisterMwh, t-was.AtMs, r.AtMs-was.AtMs)
		}
	}
	return was.RegisterMwh
}

// unsettled is a tariff without step_size and limits.
func unsettled(t *rating.Tariff) *rating.Tariff {
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	u := *t
	u.Min, u.Max = none, none
	u.Elements = slices.Clone(t.Elements)
	for i := range u.Elements {
		u.Elements[i].Components = slices.Clone(u.Elements[i].Components)
		for j := range u.Elements[i].Components {
			u.Elements[i].Components[j].StepSize = 0
		}
	}
	return &u
}

// share is floor(n * part / whole + 1/2), for 0 <= part <= whole and n >= 0.
func share(n, part, whole int64) int64 {
	hi, lo := bits.Mul64(2*uint64(n), uint64(part))
	lo, carry := bits.Add64(lo, uint64(whole), 0)
	q, _ := bits.Div64(hi+carry, lo, 2*uint64(whole))
	return int64(q)
}

// decimals of the ledger's amounts.
const decimals = 6

// rounded makes an amount of the oracle's texts.
func rounded(excl, incl string, exclKnown bool) (a amount, err error) {
	a.exclUnknown = !exclKnown
	if a.incl, err = micros(incl); err == nil && exclKnown {
		a.excl, err = micros(excl)
	}
	return a, err
}

// micros reads a text of exactly six decimals.
func micros(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.Replace(text, ".", "", 1), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("an amount beyond all bounds: %w", err)
	}
	return n, nil
}
