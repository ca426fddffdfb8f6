package rating

// Dimension is an OCPI TariffDimensionType.
type Dimension uint8

// The dimensions in the fixed order of rows: FLAT, ENERGY, TIME, PARKING_TIME.
const (
	Flat Dimension = iota
	Energy
	Time
	ParkingTime
	NumDimensions
)

// TaxIncluded is OCPI 2.3.0 TaxIncluded; versions before have none, which means NO.
type TaxIncluded uint8

// The values of TaxIncluded.
const (
	TaxIncludedNo TaxIncluded = iota
	TaxIncludedYes
	TaxIncludedNA
)

// Reservation is OCPI ReservationRestrictionType.
type Reservation uint8

// The values of Reservation.
const (
	NoReservation      Reservation = iota // the element prices the session
	ReservationUsed                       // RESERVATION
	ReservationExpires                    // RESERVATION_EXPIRES
)

// Limits of what a Tariff can represent (EXACTNESS section 1).
const (
	PriceScale   = 1_000_000_000 // prices are whole 1e-9 currency units
	VATScale     = 10_000        // VAT is in hundredths of a percent: 21 % = 2,100
	MaxVATRates  = 4             // different rates in a tariff, none counting as one
	NoVAT        = int32(-1)     // no VAT applies: not the same as 0 %
	NoLimit      = int64(-1)     // an absent restriction (min_kwh, max_power, ...)
	NoTimeOfDay  = int32(-1)     // an absent start_time or end_time
	NoDate       = int32(-1 << 31)
	EveryWeekday = uint8(0x7f)
)

// Tariff is an OCPI tariff (2.1.1, 2.2.1 or 2.3.0) with exact numbers, as rating/ocpi parses it. It is the
// only thing that the fast pricer and the oracle share. A Tariff is not changed after it was made.
type Tariff struct {
	CountryCode, PartyID, ID string // identity is the three together; the first two may be empty in a price file
	Currency                 string // ISO 4217; empty only in a price file
	TaxIncluded              TaxIncluded
	Min, Max                 PriceLimit
	Elements                 []Element
	Type                     string // OCPI TariffType; empty = all
	ValidFromMs, ValidToMs   int64  // start_date_time, end_date_time (exclusive), ms since 1970 UTC; Unknown = open
	LastUpdatedMs            int64  // Unknown if absent
}

// PriceLimit is a minimum or maximum price in 1e-9 currency units; Unknown is an absent side.
type PriceLimit struct {
	ExclNano, InclNano int64
}

// Element is an OCPI TariffElement.
type Element struct {
	Components   []Component
	Restrictions Restrictions
}

// Component is an OCPI PriceComponent.
type Component struct {
	Dimension Dimension
	PriceNano int64 // 1e-9 currency units per kWh, hour or session
	VAT       int32 // hundredths of a percent, or NoVAT
	StepSize  int64 // Wh or s; 0 = no step
}

// Restrictions is OCPI TariffRestrictions; every absent one restricts nothing. Clock times are local to the
// location's zone.
type Restrictions struct {
	StartTimeMin, EndTimeMin         int32 // minutes after local midnight, or NoTimeOfDay
	StartDate, EndDate               int32 // days since 1970-01-01 of the local calendar; end exclusive; or NoDate
	MinEnergyMwh, MaxEnergyMwh       int64 // inclusive, exclusive; or NoLimit
	MinCurrentNanoA, MaxCurrentNanoA int64
	MinPowerMicroW, MaxPowerMicroW   int64
	MinDurationMs, MaxDurationMs     int64
	Weekdays                         uint8 // bit 0 = Monday ... bit 6 = Sunday; EveryWeekday restricts nothing
	Reservation                      Reservation
}
