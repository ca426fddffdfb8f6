package rating

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ms is an instant; "T" times are on Monday 2024-01-15, UTC.
func ms(t testing.TB, text string) int64 {
	t.Helper()
	if text[0] == 'T' {
		text = "2024-01-15" + text
	}
	at, err := time.Parse("2006-01-02T15:04:05.999", text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}

// r is a reading of a case: time, mWh, state.
type r struct {
	at    string
	mwh   int64
	state ChargeState
	watt  int64 // 0: not sent; -1: measured as 0
}

func (x r) point(t testing.TB) Point {
	p := Point{AtMs: ms(t, x.at), RegisterMwh: x.mwh, PowerMicroW: Unknown, CurrentNanoA: Unknown, State: x.state}
	switch {
	case x.watt > 0:
		p.PowerMicroW = x.watt * 1_000_000
		p.CurrentNanoA = x.watt * 1_000_000 // for tests of current, 1 W is 1 mA
	case x.watt < 0:
		p.PowerMicroW, p.CurrentNanoA = 0, 0
	}
	return p
}

// el is an element: components, then what restricts it.
func el(components []Component, restrict ...func(*Restrictions)) Element {
	e := Element{Components: components, Restrictions: Unrestricted()}
	for _, f := range restrict {
		f(&e.Restrictions)
	}
	return e
}

// pc is one component with its price in 1e-3 currency units.
func pc(d Dimension, milli int64, vat int32, step int64) []Component {
	return []Component{{Dimension: d, PriceNano: milli * 1_000_000, VAT: vat, StepSize: step}}
}

func hours(from, to int32) func(*Restrictions) {
	return func(x *Restrictions) { x.StartTimeMin, x.EndTimeMin = from, to }
}

func days(bits uint8) func(*Restrictions) { return func(x *Restrictions) { x.Weekdays = bits } }

func mwh(low, high int64) func(*Restrictions) {
	return func(x *Restrictions) { x.MinEnergyMwh, x.MaxEnergyMwh = low, high }
}

func lasting(low, high int64) func(*Restrictions) {
	return func(x *Restrictions) { x.MinDurationMs, x.MaxDurationMs = low, high }
}

func watts(low, high int64) func(*Restrictions) {
	return func(x *Restrictions) { x.MinPowerMicroW, x.MaxPowerMicroW = limit(low), limit(high) }
}

func amps(low, high int64) func(*Restrictions) {
	return func(x *Restrictions) { x.MinCurrentNanoA, x.MaxCurrentNanoA = limit(low), limit(high) }
}

func limit(v int64) int64 {
	if v == NoLimit {
		return NoLimit
	}
	return v * 1_000_000
}

func reserved(kind Reservation) func(*Restrictions) {
	return func(x *Restrictions) { x.Reservation = kind }
}

func tariffOf(elements ...Element) *Tariff {
	return &Tariff{ID: "t", Currency: "EUR", Min: noLimits(), Max: noLimits(), Elements: elements}
}

// priced is a session run through a plan.
type priced struct {
	plan  *Plan
	state State
	rows  []Charge
	total Total
}

func run(t testing.TB, tariff *Tariff, zone string, sliceMs int64, readings []r) priced {
	t.Helper()
	p := priced{plan: mustPlan(t, tariff, zone)}
	for i, x := range readings {
		if i == 0 {
			p.plan.Start(&p.state, x.point(t), sliceMs)
			continue
		}
		p.rows = p.plan.Advance(&p.state, x.point(t), nil, sliceMs, p.rows)
	}
	p.rows, p.total = p.plan.Close(&p.state, p.rows)
	checkSums(t, p)
	return p
}

// checkSums holds R1: rows add up to the total.
func checkSums(t testing.TB, p priced) {
	t.Helper()
	var sum Total
	for _, c := range p.rows {
		sum.ExclMicros += c.ExclMicros
		sum.InclMicros += c.InclMicros
		if c.Kind == ChargeStep {
			continue
		}
		sum.EnergyMwh += c.EnergyMwh
		sum.ChargingMs += c.DurationMs
	}
	if sum.InclMicros != p.total.InclMicros || (!p.total.ExclUnknown && sum.ExclMicros != p.total.ExclMicros) {
		t.Errorf("rows sum to %d %d, total is %d %d", sum.ExclMicros, sum.InclMicros, p.total.ExclMicros, p.total.InclMicros)
	}
	if sum.EnergyMwh != p.total.EnergyMwh {
		t.Errorf("rows hold %d mWh, the session %d", sum.EnergyMwh, p.total.EnergyMwh)
	}
	if whole := p.total.ChargingMs + p.total.ParkingMs + p.total.ReservationMs; sum.ChargingMs != whole {
		t.Errorf("rows hold %d ms, the session %d", sum.ChargingMs, whole)
	}
}

func (p *priced) bill(decimals int) string {
	excl, known, incl := p.plan.ExactBill(&p.state, decimals)
	if !known {
		excl = "null"
	}
	return excl + " " + incl
}

const (
	kwh  = int64(1_000_000)
	hour = int64(3_600_000)
)

// TestRules has a case for each rule of EXACTNESS; the arithmetic stands beside it.
func TestRules(t *testing.T) {
	f := func(name string, tariff *Tariff, zone, want string, readings ...r) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p := run(t, tariff, zone, 0, readings)
			if got := p.bill(9); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	dayNight := tariffOf(el(pc(Energy, 100, NoVAT, 0), hours(22*60, 6*60)), el(pc(Energy, 1000, NoVAT, 0)))
	// 21:00-07:00 UTC, 20 kWh in 10 h: 22-06 is 16 kWh * 0.1 + 4 kWh * 1 = 5.6.
	f("window over midnight", dayNight, "UTC", "5.600000000 5.600000000",
		r{at: "T21:00:00", state: StateCharging}, r{at: "2024-01-16T07:00:00", mwh: 20 * kwh})

	// 3 mWh over 3 ms from 21:59:59.999: R(22:00) = 1, so 1 mWh * 1 + 2 mWh * 0.1 = 1.2e-6.
	f("register on the line at a clock cut", dayNight, "UTC", "0.000001200 0.000001200",
		r{at: "T21:59:59.999", state: StateCharging}, r{at: "T22:00:00.002", mwh: 3})
	// 1 mWh over 2 ms from 21:59:59.999: R(22:00) = floor(0.5 + 0.5) = 1: all of it before the cut.
	f("half a mWh goes up", dayNight, "UTC", "0.000001000 0.000001000",
		r{at: "T21:59:59.999", state: StateCharging}, r{at: "T22:00:00.001", mwh: 1})

	tiers := tariffOf(el(pc(Energy, 1000, NoVAT, 0), mwh(NoLimit, kwh)), el(pc(Energy, 100, NoVAT, 0)))
	// Exactly at the limit: the part beyond is empty. 1 kWh * 1.
	f("energy limit at the end", tiers, "UTC", "1.000000000 1.000000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T11:00:00", mwh: kwh})
	// 1 kWh * 1 + 1 mWh * 0.1.
	f("one mWh beyond", tiers, "UTC", "1.000000100 1.000000100",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T11:00:00", mwh: kwh + 1})
	// Counted from the register at the start, not from zero.
	f("register does not begin at zero", tiers, "UTC", "1.100000000 1.100000000",
		r{at: "T10:00:00", mwh: 77 * kwh, state: StateCharging}, r{at: "T11:00:00", mwh: 79 * kwh})
	// All three limits lie in one millisecond: 1*4 + 1*3 + 1*2 + 1*1 = 10.
	f("several limits in a millisecond", tariffOf(
		el(pc(Energy, 4000, NoVAT, 0), mwh(NoLimit, kwh)), el(pc(Energy, 3000, NoVAT, 0), mwh(kwh, 2*kwh)),
		el(pc(Energy, 2000, NoVAT, 0), mwh(2*kwh, 3*kwh)), el(pc(Energy, 1000, NoVAT, 0))),
		"UTC", "10.000000000 10.000000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T10:00:00.001", mwh: 4 * kwh})
	// 2 kWh in the millisecond before 22:00. The limit at 1 kWh is reached in it; what is beyond is asked with
	// the clock of 21:59:59.999, where the second element rules: 1*1 + 1*2, nothing at 8.
	f("energy cut before the time cut", tariffOf(
		el(pc(Energy, 1000, NoVAT, 0), mwh(NoLimit, kwh)), el(pc(Energy, 2000, NoVAT, 0), hours(0, 22*60)),
		el(pc(Energy, 8000, NoVAT, 0))),
		"UTC", "3.000000000 3.000000000",
		r{at: "T21:59:59.999", state: StateCharging}, r{at: "T22:00:00", mwh: 2 * kwh}, r{at: "T23:00:00", mwh: 2 * kwh})
	// No time at all: of its own instant, 22:00: 1*1 + 1*8.
	f("interval without time", tariffOf(
		el(pc(Energy, 1000, NoVAT, 0), mwh(NoLimit, kwh)), el(pc(Energy, 2000, NoVAT, 0), hours(0, 22*60)),
		el(pc(Energy, 8000, NoVAT, 0))),
		"UTC", "9.000000000 9.000000000",
		r{at: "T22:00:00", state: StateCharging}, r{at: "T22:00:00", mwh: 2 * kwh})
	// A cut depends on the two readings only. 10:00-10:00:00.004 3 mWh, limits at 1 and 2 mWh and min_duration
	// 0.002 s: R = 0, 1 (0.75+0.5), 2 (1.5+0.5), 2 (2.25+0.5), 3. Energy: 1 mWh * 1, 1 * 2, and 1 * 4.
	f("cuts are not interpolated from cuts", tariffOf(
		el(pc(Energy, 1000, NoVAT, 0), mwh(NoLimit, 1)), el(pc(Energy, 2000, NoVAT, 0), mwh(NoLimit, 2)),
		el(pc(Energy, 4000, NoVAT, 0), lasting(2, NoLimit)), el(pc(Energy, 8000, NoVAT, 0))),
		"UTC", "0.000007000 0.000007000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T10:00:00.004", mwh: 3})

	progressive := tariffOf(el(pc(Time, 1000, NoVAT, 0), lasting(NoLimit, hour)), el(pc(Time, 3000, NoVAT, 0), lasting(hour, NoLimit)))
	// 1 h * 1 + 1 h * 3; duration counts parking time too, and not the reservation.
	f("duration", progressive, "UTC", "4.000000000 4.000000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T12:00:00"})
	f("duration counts parking", progressive, "UTC", "3.000000000 3.000000000",
		r{at: "T10:00:00", state: StateIdle}, r{at: "T11:00:00", state: StateSuspendedEVSE}, r{at: "T12:00:00"})
	f("duration begins after the reservation", progressive, "UTC", "1.000000000 1.000000000",
		r{at: "T10:00:00", state: StateReserved}, r{at: "T11:00:00", state: StateCharging}, r{at: "T12:00:00"})
}

// TestRulesOfCalendar has the cases of local time.
func TestRulesOfCalendar(t *testing.T) {
	f := func(name string, tariff *Tariff, want string, readings ...r) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p := run(t, tariff, "Europe/Amsterdam", 0, readings)
			if got := p.bill(6); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	window := func(from, to int32) *Tariff {
		return tariffOf(el(pc(Time, 1000, NoVAT, 0), hours(from, to)), el(pc(Time, 10_000, NoVAT, 0)))
	}
	night := []r{{at: "2024-10-27T00:00:00", state: StateCharging}, {at: "2024-10-27T04:00:00"}}
	// Local 02:00 CEST - 05:00 CET, the hour 02-03 twice. 02:30-03:00 rules 00:30-01:00 and 01:30-02:00 UTC:
	// 1 h * 1 + 3 h * 10.
	f("autumn: both passes", window(150, 180), "31.000000 31.000000", night...)
	// 02:00-03:00 rules 00:00-02:00 UTC: 2 * 1 + 2 * 10.
	f("autumn: the whole repeated hour", window(120, 180), "22.000000 22.000000", night...)
	spring := []r{{at: "2024-03-31T00:00:00", state: StateCharging}, {at: "2024-03-31T03:00:00"}}
	// Local 01:00 CET - 05:00 CEST, 02-03 does not exist.
	f("spring: a window in the gap never matches", window(120, 180), "30.000000 30.000000", spring...)
	// 02:30-04:00 begins at the jump (01:00 UTC) and ends 02:00 UTC: 1 * 1 + 2 * 10.
	f("spring: begins at the jump", window(150, 240), "21.000000 21.000000", spring...)
	// Monday 22:00-06:00 local: Monday 00-06 and 22-24; the session is Monday 00:00 - Tuesday 06:00 local:
	// 8 h * 1 + 22 h * 10.
	f("weekday of the instant", tariffOf(
		el(pc(Time, 1000, NoVAT, 0), days(1), hours(22*60, 6*60)), el(pc(Time, 10_000, NoVAT, 0))),
		"228.000000 228.000000", r{at: "2024-01-14T23:00:00", state: StateCharging}, r{at: "2024-01-16T05:00:00"})
	// Sunday 23:00 - Monday 01:00 local: 1 h of Sunday.
	f("local midnight", tariffOf(el(pc(Time, 1000, NoVAT, 0), days(1<<6)), el(pc(Time, 10_000, NoVAT, 0))),
		"11.000000 11.000000", r{at: "2024-01-14T22:00:00", state: StateCharging}, r{at: "2024-01-15T00:00:00"})
	day := int32(19_737) // 2024-01-15
	dates := func(x *Restrictions) { x.StartDate, x.EndDate = day, day+1 }
	// Only the local 15th: Sunday 23:00 - Tuesday 02:00 local: 1 * 10 + 24 * 1 + 2 * 10.
	f("dates", tariffOf(el(pc(Time, 1000, NoVAT, 0), dates), el(pc(Time, 10_000, NoVAT, 0))),
		"54.000000 54.000000", r{at: "2024-01-14T22:00:00", state: StateCharging}, r{at: "2024-01-16T01:00:00"})
	twoHours := []r{{at: "2024-01-15T22:00:00", state: StateCharging}, {at: "2024-01-16T00:00:00"}}
	// Local 23:00-01:00.
	f("start equals end", window(480, 480), "2.000000 2.000000", twoHours...)
	f("end 00:00 alone", window(NoTimeOfDay, 0), "2.000000 2.000000", twoHours...)
	f("start alone ends at midnight", window(22*60, NoTimeOfDay), "11.000000 11.000000", twoHours...)
	f("start with end 00:00", window(22*60, 0), "11.000000 11.000000", twoHours...)
	f("end alone begins at midnight", window(NoTimeOfDay, 60), "11.000000 11.000000", twoHours...)
}

// TestRulesOfSelection has the cases of section 3.
func TestRulesOfSelection(t *testing.T) {
	f := func(name string, tariff *Tariff, want string, readings ...r) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p := run(t, tariff, "UTC", 0, readings)
			if got := p.bill(6); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	byPower := tariffOf(el(pc(Energy, 1000, NoVAT, 0), watts(NoLimit, 7000)), el(pc(Energy, 2000, NoVAT, 0)))
	// Mean power of 7 kWh in 1 h is 7 kW exactly: max_power is exclusive, so 7 * 2.
	f("mean power at the limit", byPower, "14.000000 14.000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T11:00:00", mwh: 7 * kwh})
	// 1 mWh less: (7 kWh - 1 mWh) * 1 = 6.999999.
	f("mean power below the limit", byPower, "6.999999 6.999999",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T11:00:00", mwh: 7*kwh - 1})
	// The reading that the interval starts with says 11 kW, whatever the mean is: 1 * 2, then mean 1 kW: 1 * 1.
	f("measured power wins", byPower, "3.000000 3.000000",
		r{at: "T10:00:00", state: StateCharging, watt: 11_000}, r{at: "T11:00:00", mwh: kwh}, r{at: "T12:00:00", mwh: 2 * kwh})
	f("measured zero is known", byPower, "100.000000 100.000000",
		r{at: "T10:00:00", state: StateCharging, watt: -1}, r{at: "T11:00:00", mwh: 100 * kwh})
	// Power of no time is unknown and restricts nothing: 3 * 1.
	f("unknown power restricts nothing", byPower, "3.000000 3.000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T10:00:00", mwh: 3 * kwh})
	// The class of the empty interval must not be taken for that of the next: 20 kW mean, 20 * 2.
	f("an empty interval asks nothing", byPower, "80.000000 80.000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T11:00:00", mwh: 20 * kwh},
		r{at: "T11:00:00", mwh: 20 * kwh}, r{at: "T11:00:00", mwh: 20 * kwh}, r{at: "T12:00:00", mwh: 40 * kwh})
	// 20 A, min_current inclusive: 1 * 5; unknown afterwards: the first element that does not forbid it: 1 * 2.
	f("current", tariffOf(el(pc(Energy, 2000, NoVAT, 0), amps(NoLimit, 20_000)), el(pc(Energy, 5000, NoVAT, 0), amps(20_000, NoLimit))),
		"7.000000 7.000000",
		r{at: "T10:00:00", state: StateCharging, watt: 20_000}, r{at: "T11:00:00", mwh: kwh}, r{at: "T12:00:00", mwh: 2 * kwh})

	flats := tariffOf(
		el(append(pc(Flat, 2000, NoVAT, 0), pc(Time, 60_000, NoVAT, 0)...), reserved(ReservationUsed)),
		el(append(pc(Flat, 500, NoVAT, 0), pc(Time, 1000, NoVAT, 0)...)))
	// Reservation 2 + 1 min of 60/h = 3; session 0.5 + 1 h * 1 = 1.5; the FLATs once each.
	f("a FLAT of the reservation and one of the session", flats, "4.500000 4.500000",
		r{at: "T10:00:00", state: StateReserved}, r{at: "T10:00:30", state: StateReserved},
		r{at: "T10:01:00", state: StateCharging}, r{at: "T10:30:00", state: StateSuspendedEVSE}, r{at: "T11:01:00"})
	f("a session that never began", flats, "3.000000 3.000000",
		r{at: "T10:00:00", state: StateReserved}, r{at: "T10:01:00", state: StateCharging})
	f("FLAT when it first matches", tariffOf(el(pc(Flat, 700, NoVAT, 0), lasting(hour, NoLimit))), "0.700000 0.700000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T10:59:00"}, r{at: "T11:01:00"}, r{at: "T12:00:00"})
	f("FLAT at the very end never", tariffOf(el(pc(Flat, 700, NoVAT, 0), lasting(hour, NoLimit))), "0.000000 0.000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T11:00:00"}, r{at: "T11:00:00"})
	f("FLAT needs a piece", tariffOf(el(pc(Flat, 700, NoVAT, 0))), "0.000000 0.000000",
		r{at: "T10:00:00", mwh: 5, state: StateCharging}, r{at: "T10:00:00", mwh: 5})
	f("FLAT of energy without time", tariffOf(el(pc(Flat, 700, NoVAT, 0))), "0.700000 0.700000",
		r{at: "T10:00:00", mwh: 5, state: StateCharging}, r{at: "T10:00:00", mwh: 6})
	f("of two components the first counts", tariffOf(el(append(pc(Energy, 1000, NoVAT, 0), pc(Energy, 9000, NoVAT, 0)...))),
		"1.000000 1.000000", r{at: "T10:00:00", state: StateCharging}, r{at: "T11:00:00", mwh: kwh})
	expiry := tariffOf(
		el(append(pc(Flat, 4000, NoVAT, 0), pc(Time, 3000, NoVAT, 0)...), reserved(ReservationUsed)),
		el(pc(Time, 6000, NoVAT, 0), reserved(ReservationExpires)))
	// Expired: TIME of RESERVATION_EXPIRES though it stands second, FLAT falls back: 2 h * 6 + 4.
	f("expiry looks by dimension", expiry, "16.000000 16.000000",
		r{at: "T10:00:00", state: StateReservationExpired}, r{at: "T12:00:00", state: StateIdle})
	f("a used reservation", expiry, "10.000000 10.000000",
		r{at: "T10:00:00", state: StateReserved}, r{at: "T12:00:00", state: StateCharging})
	f("SUSPENDED_EV is parking, SUSPENDED_EVSE is not", tariffOf(el(append(pc(Time, 1000, NoVAT, 0), pc(ParkingTime, 10_000, NoVAT, 0)...))),
		"22.000000 22.000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T11:00:00", state: StateSuspendedEVSE},
		r{at: "T12:00:00", state: StateSuspendedEV}, r{at: "T13:00:00", state: StateIdle}, r{at: "T14:00:00"})
}

// TestRulesOfSettlement has the cases of section 4.
func TestRulesOfSettlement(t *testing.T) {
	f := func(name string, tariff *Tariff, decimals int, want string, readings ...r) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p := run(t, tariff, "UTC", 0, readings)
			if got := p.bill(decimals); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	with := func(t *Tariff, change func(*Tariff)) *Tariff { change(t); return t }
	oneHour := func(energy int64) []r {
		return []r{{at: "T10:00:00", state: StateCharging}, {at: "T11:00:00", mwh: energy}}
	}
	// 115.2 Wh up to 125 Wh: 0.125 * 0.25 = 0.03125; at 4 decimals half up 0.0313.
	f("step of energy", tariffOf(el(pc(Energy, 250, NoVAT, 25))), 4, "0.0313 0.0313", oneHour(115_200)...)
	f("an exact multiple stays", tariffOf(el(pc(Energy, 250, NoVAT, 25))), 6, "0.031250 0.031250", oneHour(125_000)...)
	f("step 0", tariffOf(el(pc(Energy, 250, NoVAT, 0))), 6, "0.028800 0.028800", oneHour(115_200)...)
	// 5.4 kWh, step 500 Wh: the last component bills 0.1 kWh more: 4.4*0.2 + 1.0*0.27 + 0.1*0.27 = 1.177.
	f("the last component steps", tariffOf(
		el(pc(Energy, 200, NoVAT, 1), mwh(NoLimit, 4_400_000)), el(pc(Energy, 270, NoVAT, 500))), 6, "1.177000 1.177000", oneHour(5_400_000)...)
	// Only 8 of 20 parking minutes are priced: 12 min * 2.4/60 + up to 15 min * 1/60 = 0.48 + 0.25.
	f("only what is priced steps, parking before time", tariffOf(
		el(append(pc(Time, 2400, NoVAT, 900), pc(ParkingTime, 1000, NoVAT, 900)...), hours(0, 20*60)), el(pc(Time, 2400, NoVAT, 900))),
		6, "0.730000 0.730000",
		r{at: "T19:40:00", state: StateCharging}, r{at: "T19:52:00", state: StateIdle}, r{at: "T20:12:00"})
	// Price 0 prices: the parking of 1 min is stepped (to 15 min, free), so the 16 min of TIME are not.
	f("a price of 0 is priced", tariffOf(el(append(pc(Time, 60_000, NoVAT, 600), pc(ParkingTime, 0, NoVAT, 900)...))), 6, "16.000000 16.000000",
		r{at: "T10:00:00", state: StateIdle}, r{at: "T10:01:00", state: StateCharging}, r{at: "T10:17:00"})
	// Reservation 61 s up to 120 s at 60/h = 2; TIME 61 s up to 600 s at 60/h = 10.
	f("the reservation steps alone", tariffOf(el(pc(Time, 60_000, NoVAT, 60), reserved(ReservationUsed)), el(pc(Time, 60_000, NoVAT, 600))),
		6, "12.000000 12.000000",
		r{at: "T10:00:00", state: StateReserved}, r{at: "T10:01:01", state: StateCharging}, r{at: "T10:02:02"})

	// Four rates, each 1 unit: incl = 1 + 1.21 + 1.09 + 1.055 = 4.355.
	four := func() *Tariff {
		return tariffOf(el([]Component{
			{Dimension: Flat, PriceNano: PriceScale, VAT: NoVAT},
			{Dimension: Energy, PriceNano: PriceScale, VAT: 2100},
			{Dimension: Time, PriceNano: PriceScale, VAT: 900},
			{Dimension: ParkingTime, PriceNano: PriceScale, VAT: 550},
		}))
	}
	mixed := []r{{at: "T10:00:00", state: StateCharging}, {at: "T11:00:00", mwh: kwh, state: StateIdle}, {at: "T12:00:00", mwh: kwh}}
	f("tax on top", four(), 6, "4.000000 4.355000", mixed...)
	f("no tax applies", with(four(), func(t *Tariff) { t.TaxIncluded = TaxIncludedNA }), 6, "4.000000 4.000000", mixed...)
	f("tax included, one without: excl unknown", with(four(), func(t *Tariff) { t.TaxIncluded = TaxIncludedYes }), 6, "null 4.000000", mixed...)
	// 1/1.21 + 1/1.09 + 1/1.055 = 0.8264462810... + 0.9174311927... + 0.9478672986... = 2.6917447723...
	f("tax included", with(four(), func(t *Tariff) {
		t.TaxIncluded = TaxIncludedYes
		t.Elements[0].Components[0].PriceNano = 0 // costs nothing: hides nothing
	}), 9, "2.691744772 3.000000000", mixed...)
	// +1 and -1 without vat cancel, and hide all the same.
	f("costs that cancel hide", with(tariffOf(el([]Component{
		{Dimension: Flat, PriceNano: PriceScale, VAT: NoVAT}, {Dimension: Energy, PriceNano: -PriceScale, VAT: NoVAT},
	})), func(t *Tariff) { t.TaxIncluded = TaxIncludedYes }), 6, "null 0.000000", oneHour(kwh)...)

	limited := func(low, high PriceLimit) *Tariff {
		return with(tariffOf(el(pc(Energy, 1000, 2100, 0))), func(t *Tariff) { t.Min, t.Max = low, high })
	}
	// 10 kWh: 10 and 12.1.
	f("max, excl alone", limited(noLimits(), PriceLimit{9 * PriceScale, Unknown}), 6, "9.000000 12.100000", oneHour(10*kwh)...)
	f("min, each by its own", limited(PriceLimit{11 * PriceScale, 12 * PriceScale}, noLimits()), 6, "11.000000 12.100000", oneHour(10*kwh)...)
	f("max after min", limited(PriceLimit{20 * PriceScale, 20 * PriceScale}, PriceLimit{15 * PriceScale, 15 * PriceScale}), 6,
		"15.000000 15.000000", oneHour(10*kwh)...)
	f("a minimum of nothing", limited(PriceLimit{PriceScale / 5, Unknown}, noLimits()), 6, "0.200000 0.000000",
		r{at: "T10:00:00", state: StateCharging}, r{at: "T10:00:00"})
	// Half up toward +infinity, also below zero: 0.0000005 -> 0.000001, -0.0000005 -> 0.
	f("a tie goes up", tariffOf(el(pc(Energy, 500, NoVAT, 0))), 6, "0.000001 0.000001", oneHour(1)...)
	f("a tie below zero goes up", tariffOf(el(pc(Energy, -500, NoVAT, 0))), 6, "0.000000 0.000000", oneHour(1)...)
	f("beyond a tie below zero", tariffOf(el(pc(Energy, -500, NoVAT, 0))), 6, "-0.000001 -0.000001", oneHour(3)...)
	f("no decimals", tariffOf(el(pc(Energy, 500, NoVAT, 0))), 0, "1 1", oneHour(kwh)...)
}

// TestRows says what rows look like: order, periods, slices, reasons, interpolation.
func TestRows(t *testing.T) {
	tariff := tariffOf(
		el(append(append(pc(Flat, 500, NoVAT, 0), pc(Energy, 1000, NoVAT, 0)...), pc(Time, 600, NoVAT, 3600)...), hours(0, 10*60+30)),
		el(pc(Energy, 2000, NoVAT, 0)))
	tariff.Max = PriceLimit{ExclNano: 2 * PriceScale, InclNano: 2 * PriceScale}
	p := run(t, tariff, "UTC", 20*60_000, []r{
		{at: "T10:00:00", state: StateCharging}, {at: "T10:10:00", mwh: kwh / 2}, {at: "T10:45:00", mwh: kwh * 3 / 2},
	})
	var got []string
	for _, c := range p.rows {
		clock := func(at int64) string { return time.UnixMilli(at).UTC().Format("15:04") }
		got = append(got, fmt.Sprintf("period %d %s [%s %s) kind %d split %d dim %d element %d/%d: %d mWh %d ms %d micros, interpolated %v",
			c.Period, clock(c.PeriodStartMs), clock(c.FromMs), clock(c.ToMs), c.Kind, c.Split, c.Dimension, c.Element, c.Component,
			c.EnergyMwh, c.DurationMs, c.ExclMicros, c.Interpolated))
	}
	// 10:10-10:45 is 1 kWh in 35 min: R(10:20) = 500,000 + 285,714, R(10:30) = +571,429, R(10:40) = +857,143.
	// 785,714 mWh at 1; 285,715 at 1; 285,714 at 2; 142,857 at 2. TIME: 20 min and 10 min of 0.6/h, priced 30 min,
	// stepped to 60. Usage 0.5 + 1.071429 + 0.3 + 0.857142 = 2.728571, step 0.3, max 2.
	want := []string{
		"period 0 10:00 [10:00 10:20) kind 0 split 0 dim 0 element 0/0: 0 mWh 0 ms 500000 micros, interpolated true",
		"period 0 10:00 [10:00 10:20) kind 0 split 0 dim 1 element 0/1: 785714 mWh 0 ms 785714 micros, interpolated true",
		"period 0 10:00 [10:00 10:20) kind 0 split 0 dim 2 element 0/2: 0 mWh 1200000 ms 200000 micros, interpolated true",
		"period 0 10:00 [10:20 10:30) kind 0 split 0 dim 1 element 0/1: 285715 mWh 0 ms 285715 micros, interpolated true",
		"period 0 10:00 [10:20 10:30) kind 0 split 0 dim 2 element 0/2: 0 mWh 600000 ms 100000 micros, interpolated true",
		"period 1 10:30 [10:30 10:40) kind 0 split 1 dim 1 element 1/0: 285714 mWh 0 ms 571428 micros, interpolated true",
		"period 1 10:30 [10:30 10:40) kind 0 split 1 dim 2 element -1/-1: 0 mWh 600000 ms 0 micros, interpolated true",
		"period 1 10:30 [10:40 10:45) kind 0 split 1 dim 1 element 1/0: 142857 mWh 0 ms 285714 micros, interpolated true",
		"period 1 10:30 [10:40 10:45) kind 0 split 1 dim 2 element -1/-1: 0 mWh 300000 ms 0 micros, interpolated true",
		"period 1 10:30 [10:45 10:45) kind 1 split 1 dim 2 element 0/2: 0 mWh 1800000 ms 300000 micros, interpolated false",
		"period 1 10:30 [10:45 10:45) kind 3 split 1 dim 0 element -1/-1: 0 mWh 0 ms -1028571 micros, interpolated false",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
