package oracle

import (
	"math/big"
	"time"

	"github.com/wattline/wattline/rating"
)

// choice is a price component by its place in the tariff.
type choice struct{ element, component int }

// nobody is the choice of what no component prices.
func nobody() choice { return choice{-1, -1} }

// choose finds the component that prices a dimension of a piece: that of the first element in list order that has
// one and matches. An expired reservation asks the RESERVATION_EXPIRES elements first, wherever they stand.
func (s *session) choose(d rating.Dimension, p piece) choice {
	switch p.state {
	case rating.StateReserved:
		return s.chooseFrom(rating.ReservationUsed, d, p)
	case rating.StateReservationExpired:
		if found := s.chooseFrom(rating.ReservationExpires, d, p); found != nobody() {
			return found
		}
		return s.chooseFrom(rating.ReservationUsed, d, p)
	default:
		return s.chooseFrom(rating.NoReservation, d, p)
	}
}

func (s *session) chooseFrom(kind rating.Reservation, d rating.Dimension, p piece) choice {
	for i, e := range s.tariff.Elements {
		if e.Restrictions.Reservation != kind {
			continue
		}
		for j, c := range e.Components {
			if c.Dimension == d && s.matches(e.Restrictions, p) {
				return choice{i, j}
			}
		}
	}
	return nobody()
}

// matches says whether all restrictions hold; what is unknown restricts nothing.
func (s *session) matches(r rating.Restrictions, p piece) bool {
	var duration, energy int64 // both 0 during the reservation
	if !reserves(p.state) {
		duration, energy = p.askedAtMs-s.startMs, p.fromMwh-s.startMwh
	}
	return matchesClock(r, time.UnixMilli(p.askedAtMs).In(s.zone)) &&
		within(r.MinDurationMs, whole(duration), r.MaxDurationMs) &&
		within(r.MinEnergyMwh, whole(energy), r.MaxEnergyMwh) &&
		within(r.MinPowerMicroW, p.power, r.MaxPowerMicroW) &&
		within(r.MinCurrentNanoA, p.current, r.MaxCurrentNanoA)
}

// within is low <= v < high; an absent bound and an unknown value restrict nothing.
func within(low int64, v *big.Rat, high int64) bool {
	if v == nil {
		return true
	}
	if low != rating.NoLimit && v.Cmp(whole(low)) < 0 {
		return false
	}
	return high == rating.NoLimit || v.Cmp(whole(high)) < 0
}

// matchesClock asks the calendar day and the wall clock of the place.
func matchesClock(r rating.Restrictions, local time.Time) bool {
	year, month, day := local.Date()
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86_400 // a multiple, also before 1970
	if r.StartDate != rating.NoDate && date < int64(r.StartDate) {
		return false
	}
	if r.EndDate != rating.NoDate && date >= int64(r.EndDate) {
		return false
	}
	sinceMonday := (int(local.Weekday()) + 6) % 7
	if r.Weekdays&(1<<sinceMonday) == 0 {
		return false
	}
	return inWindow(r.StartTimeMin, r.EndTimeMin, int32(local.Hour()*60+local.Minute()))
}

// inWindow is start_time and end_time of TARIFF-RULES: absent is the edge of the day, 00:00 as an end is the end of
// the day, equal ones are the whole day, an end before the start goes over midnight.
func inWindow(start, end, minute int32) bool {
	if start == rating.NoTimeOfDay && end == rating.NoTimeOfDay {
		return true
	}
	if start == rating.NoTimeOfDay {
		start = 0
	}
	if end == rating.NoTimeOfDay || end == 0 {
		end = 24 * 60
	}
	switch {
	case start == end:
		return true
	case start < end:
		return start <= minute && minute < end
	default:
		return minute >= start || minute < end
	}
}
