package ocpi

import "github.com/wattline/wattline/rating"

// noRestrictions matches always.
func noRestrictions() rating.Restrictions {
	return rating.Restrictions{
		StartTimeMin: rating.NoTimeOfDay, EndTimeMin: rating.NoTimeOfDay,
		StartDate: rating.NoDate, EndDate: rating.NoDate,
		MinEnergyMwh: rating.NoLimit, MaxEnergyMwh: rating.NoLimit,
		MinCurrentNanoA: rating.NoLimit, MaxCurrentNanoA: rating.NoLimit,
		MinPowerMicroW: rating.NoLimit, MaxPowerMicroW: rating.NoLimit,
		MinDurationMs: rating.NoLimit, MaxDurationMs: rating.NoLimit,
		Weekdays: rating.EveryWeekday,
	}
}

// restrictions reads TariffRestrictions. Each field is read by name, and a field that no line names is a fault (O3).
func (r *reader) restrictions(n *node) rating.Restrictions {
	res := noRestrictions()
	if !r.object(n) {
		return res
	}
	for _, f := range n.items {
		known := r.clockRestriction(f, &res) || r.amountRestriction(f, &res)
		if !known {
			r.fault(f, "unknown restriction; the element would price more than it says")
		}
	}
	return res
}

// clockRestriction reads restrictions that depend on the clock, and reservation. False: not one of them.
func (r *reader) clockRestriction(f *node, res *rating.Restrictions) bool {
	null := f.kind == kindNull
	switch f.key {
	case "start_time":
		setTo(null, &res.StartTimeMin, f, r.timeOfDay)
	case "end_time":
		setTo(null, &res.EndTimeMin, f, r.timeOfDay)
	case "start_date":
		setTo(null, &res.StartDate, f, r.date)
	case "end_date":
		setTo(null, &res.EndDate, f, r.date)
	case "day_of_week":
		setTo(null, &res.Weekdays, f, r.weekdays)
	case "reservation":
		setTo(null, &res.Reservation, f, r.reservation)
	default:
		return false
	}
	return true
}

// amountRestriction reads restrictions that are numbers. False: not one of them.
func (r *reader) amountRestriction(f *node, res *rating.Restrictions) bool {
	energy := func(n *node) (int64, bool) {
		return r.bounded(n, rating.MaxRegisterMwh, kwhDigits, "a milliwatt-hour")
	}
	power := func(n *node) (int64, bool) { return r.positive(n, kwDigits, "9 fraction digits") }
	current := func(n *node) (int64, bool) { return r.positive(n, ampDigits, "9 fraction digits") }
	null := f.kind == kindNull
	switch f.key {
	case "min_kwh":
		setTo(null, &res.MinEnergyMwh, f, energy)
	case "max_kwh":
		setTo(null, &res.MaxEnergyMwh, f, energy)
	case "min_current":
		setTo(null, &res.MinCurrentNanoA, f, current)
	case "max_current":
		setTo(null, &res.MaxCurrentNanoA, f, current)
	case "min_power":
		setTo(null, &res.MinPowerMicroW, f, power)
	case "max_power":
		setTo(null, &res.MaxPowerMicroW, f, power)
	case "min_duration":
		setTo(null, &res.MinDurationMs, f, r.duration)
	case "max_duration":
		setTo(null, &res.MaxDurationMs, f, r.duration)
	default:
		return false
	}
	return true
}

// setTo stores what read gives, unless the field is null or faulty.
func setTo[T any](null bool, to *T, f *node, read func(*node) (T, bool)) {
	if null {
		return
	}
	if v, ok := read(f); ok {
		*to = v
	}
}

// duration reads whole seconds as ms.
func (r *reader) duration(n *node) (int64, bool) {
	s, ok := r.bounded(n, rating.MaxAtMs/1000, 0, "a whole second")
	return s * 1000, ok
}

// bounded is positive for numbers that rating takes only up to a bound.
func (r *reader) bounded(n *node, most int64, digits int, what string) (int64, bool) {
	v, ok := r.positive(n, digits, what)
	if ok && v > most {
		r.fault(n, "%s is too large", n.what())
		return 0, false
	}
	return v, ok
}

func (r *reader) reservation(n *node) (rating.Reservation, bool) {
	switch {
	case n.kind == kindText && n.text == "RESERVATION":
		return rating.ReservationUsed, true
	case n.kind == kindText && n.text == "RESERVATION_EXPIRES":
		return rating.ReservationExpires, true
	}
	r.fault(n, "%s is not RESERVATION or RESERVATION_EXPIRES", n.what())
	return 0, false
}

// weekdays reads day_of_week; an empty list restricts nothing (EXACTNESS 1).
func (r *reader) weekdays(n *node) (uint8, bool) {
	if !r.list(n) {
		return 0, false
	}
	if len(n.items) == 0 {
		return rating.EveryWeekday, true
	}
	var days uint8
	for _, item := range n.items {
		day, ok := weekdayOf(item.text)
		if item.kind != kindText || !ok {
			r.fault(item, "%s is not a day of the week (MONDAY to SUNDAY)", item.what())
			continue
		}
		days |= 1 << day
	}
	return days, days != 0
}

func weekdayOf(s string) (int, bool) {
	for day := range 7 {
		if weekdayText(day) == s {
			return day, true
		}
	}
	return 0, false
}

// weekdayText is the OCPI DayOfWeek; 0 is Monday.
func weekdayText(day int) string {
	return [7]string{"MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"}[day]
}
