package rating

// ChargeKind says why a row of money exists.
type ChargeKind uint8

// The kinds of a Charge: usage while the session runs, settlement lines at its end (EXACTNESS section 4).
const (
	ChargeUsage    ChargeKind = iota
	ChargeStep                // step_size
	ChargeMin                 // min_price
	ChargeMax                 // max_price
	ChargeExpiry              // a reservation that expired: reversal of its rows and their re-priced twins
	ChargeRounding            // what rounding the settled price differs by
)

// Split says what began the charging period that a Charge belongs to.
type Split uint8

// The reasons for a new charging period.
const (
	SplitStart    Split = iota // the session or its reservation began
	SplitClock                 // start_time, end_time, a date or a change of the zone's offset
	SplitWeekday               // local midnight
	SplitEnergy                // min_kwh or max_kwh was reached
	SplitDuration              // min_duration or max_duration was reached
	SplitPower                 // power or current of the interval
	SplitState                 // the state changed
)

// NoElement is the Element of a Charge that nothing priced: energy and time are in the ledger all the same.
const NoElement = int16(-1)

// Charge is one row of the ledger: what one price component makes of one slice of one charging period.
// Rows of a session add up to its total without remainder.
type Charge struct {
	PeriodStartMs int64
	FromMs, ToMs  int64 // the part of the period in this slice, ms since 1970 UTC
	EnergyMwh     int64 // of an ENERGY row (for ChargeStep: the extra billed), else 0
	DurationMs    int64 // of a TIME or PARKING_TIME row (for ChargeStep: the extra billed), else 0
	ExclMicros    int64 // 1e-6 currency units; meaningless if ExclUnknown
	InclMicros    int64
	PriceNano     int64  // of the component, per kWh, hour or session
	Period        uint32 // 0, 1, ... in the session
	VAT           int32  // hundredths of a percent, or NoVAT
	Element       int16  // index in the tariff, or NoElement
	Component     int16  // index in the element, or -1
	Dimension     Dimension
	Kind          ChargeKind
	Split         Split
	Interpolated  bool // an end of the row is not a register value that the meter sent
	ExclUnknown   bool // EXACTNESS 4.2: excl is NULL from this row on
	HasDimension  bool // false for limits and rounding, which belong to the whole session
}

// Total is what a session costs and holds.
type Total struct {
	ExclMicros, InclMicros int64
	ExclUnknown            bool
	Overflow               bool // an amount is beyond 2^62 micros and held there: no session of any sane size
	EnergyMwh              int64
	ChargingMs, ParkingMs  int64
	ReservationMs          int64
}
