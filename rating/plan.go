package rating

import "github.com/wattline/wattline/rating/money"

// RatingVersion is the version of the pricer, time zone database included: the same readings give the same
// charges within a version. A change that can change any charge makes it one more.
const RatingVersion = 1

// Within these bounds nothing overflows (a session's cost stays below 2^123 units of 1e-9/18e6 currency
// units). Compile refuses what is beyond; Points beyond are a bug of the caller.
const (
	MaxPriceNano   = 100_000_000 * PriceScale // 1e8 currency units per kWh, hour or session; also of limits
	MaxVAT         = 100 * VATScale           // 10,000 %
	MaxAtMs        = 1 << 53                  // about 285,000 years either side of 1970
	MaxRegisterMwh = 1 << 60                  // 1e12 kWh
	maxStep        = 1_000_000_000_000        // Wh or s
	maxDurationMs  = MaxAtMs
	maxAmount      = 1 << 62 // micros: two of them can be subtracted
)

// Costs are held in units of 1e-9/18e6 currency units, the coarsest in which both an energy (price * mWh, over
// 1e6) and a time (price * ms, over 3.6e6) are whole.
const (
	unitsPerNano  = 18_000_000
	unitsPerMwh   = unitsPerNano / 1_000_000
	unitsPerMs    = unitsPerNano / 3_600_000
	unitsPerMicro = 1000 * unitsPerNano
)

// noClass is the class of a power or current that is not known.
const noClass = ^uint16(0)

// noComp is the index of no component.
const noComp = int16(-1)

// phase is what prices a moment: which elements are asked, and under which dimension time is filed.
type phase uint8

// The phases of a session, in the order in which they can follow each other. The two of the session proper
// (phaseCharging, phaseParking) come last.
const (
	phaseReserved phase = iota
	phaseExpired
	phaseCharging
	phaseParking
	numPhases
)

// ofSession says that the phase is not one of the reservation.
func (f phase) ofSession() bool { return f >= phaseCharging }

// dimension is where the time of the phase is filed.
func (f phase) dimension() Dimension {
	if f == phaseParking {
		return ParkingTime
	}
	return Time
}

// phaseOf is the phase of a state (EXACTNESS section 3).
func phaseOf(s ChargeState) phase {
	switch s {
	case StateReserved:
		return phaseReserved
	case StateReservationExpired:
		return phaseExpired
	case StateSuspendedEV, StateIdle:
		return phaseParking
	default:
		return phaseCharging
	}
}

// Plan is a tariff compiled for one time zone: flat arrays, asked only where an answer can change. It is
// immutable and shared by all shards.
type Plan struct {
	tariff *Tariff
	zone   *Zone

	comps []comp
	// flat, energy and time are the rules to try, in order, until one matches. A list ends with its first rule
	// without restrictions: what stands behind can never be reached.
	flat, energy, time [numPhases][]rule

	edges     [numPhases][]int32 // ms after local midnight at which a rule can change, ascending; empty: no clock
	durations []int64            // ms after session start, ascending
	energies  []int64            // mWh after session start, ascending
	powers    []int64            // thresholds in microwatt, ascending: a class is how many of them are reached
	currents  []int64            // the same in nanoampere
	dayEdge   bool               // a window begins or ends at local midnight, or a date restricts
	weekdays  bool               // a rule looks at the weekday
	plain     bool               // no rule looks at power or current: intervals need no class

	tax taxes
}

// comp is a price component.
type comp struct {
	perUnit   int64 // cost units per mWh or ms; of FLAT the price itself
	step      int64 // mWh or ms; 0 = none
	priceNano int64
	vat       int32
	element   int16
	component int16
	rate      uint8 // index in taxes
	dimension Dimension
	hidesExcl bool // if it costs anything, the price without tax is unknown (EXACTNESS 4.2)
}

// Tariff is what the Plan was compiled from; not to be changed.
func (p *Plan) Tariff() *Tariff { return p.tariff }

// Zone is the zone that the Plan was compiled for.
func (p *Plan) Zone() *Zone { return p.zone }

// cost is what quantity (mWh, ms, or 1 for FLAT) of a component costs, in cost units.
func (c *comp) cost(quantity int64) money.Int128 {
	if c.dimension == Flat {
		return money.Mul64(c.perUnit, unitsPerNano)
	}
	return money.Mul64(c.perUnit, quantity)
}
