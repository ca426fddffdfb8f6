package oracle

import (
	"errors"
	"fmt"
	"time"

	"github.com/wattline/wattline/rating"
)

// Reading is what the oracle knows of one moment of a session.
//
// Without a register it is a mere change of state: it cuts the interval between the two register readings around
// it, the register there lies on their line, and its power and current are not looked at.
type Reading struct {
	AtMs         int64 // ms since 1970 UTC
	RegisterMwh  int64 // mWh; not looked at without HasRegister
	HasRegister  bool
	PowerMicroW  int64 // or rating.Unknown
	CurrentNanoA int64 // or rating.Unknown
	State        rating.ChargeState
}

// FromPoints makes readings of clean points. The result shares nothing with points.
func FromPoints(points []rating.Point) []Reading {
	readings := make([]Reading, len(points))
	for i, p := range points {
		readings[i] = Reading{
			AtMs: p.AtMs, RegisterMwh: p.RegisterMwh, HasRegister: true,
			PowerMicroW: p.PowerMicroW, CurrentNanoA: p.CurrentNanoA, State: p.State,
		}
	}
	return readings
}

// ErrReadings is wrapped by every error of Price: the readings are not those of a session.
var ErrReadings = errors.New("readings cannot be priced")

// Price says what the session of these readings costs by tariff t at a place whose clocks are zone's.
//
// Readings are in order of time; the first and the last have a register, which never goes down. They are only read.
// The error, if any, wraps ErrReadings.
func Price(t *rating.Tariff, zone *time.Location, readings []Reading) (*Bill, error) {
	if err := check(readings); err != nil {
		return nil, err
	}
	s := &session{tariff: t, zone: zone, bill: &Bill{tariff: t}}
	s.findStart(readings)
	for first := 0; first < len(readings)-1; {
		last := first + 1
		for !readings[last].HasRegister {
			last++
		}
		for _, p := range s.pieces(readings[first : last+1]) {
			s.pricePiece(p)
		}
		first = last
	}
	s.bill.EnergyMwh = readings[len(readings)-1].RegisterMwh - readings[0].RegisterMwh
	s.stepSizes()
	s.bill.settle()
	return s.bill, nil
}

func check(readings []Reading) error {
	if len(readings) == 0 {
		return fmt.Errorf("%w: there is none", ErrReadings)
	}
	if !readings[0].HasRegister || !readings[len(readings)-1].HasRegister {
		return fmt.Errorf("%w: the first and the last need a register", ErrReadings)
	}
	register := readings[0].RegisterMwh
	for i, r := range readings {
		if i > 0 && r.AtMs < readings[i-1].AtMs {
			return fmt.Errorf("%w: reading %d goes back in time, to %d ms", ErrReadings, i, r.AtMs)
		}
		if r.HasRegister && r.RegisterMwh < register {
			return fmt.Errorf("%w: the register of reading %d goes down, to %d mWh", ErrReadings, i, r.RegisterMwh)
		}
		if r.HasRegister {
			register = r.RegisterMwh
		}
		if r.State < rating.StateCharging || r.State > rating.StateReservationExpired {
			return fmt.Errorf("%w: reading %d has no state", ErrReadings, i)
		}
	}
	return nil
}

// session is one session being priced.
type session struct {
	tariff *rating.Tariff
	zone   *time.Location
	bill   *Bill

	started  bool // there is a reading that is not of the reservation
	startMs  int64
	startMwh int64

	flatInReservation, flatInSession bool // FLAT is billed at most once in each
}

// findStart finds the first reading that is not of the reservation: duration and energy count from there.
func (s *session) findStart(readings []Reading) {
	lastRegister := 0
	for i, r := range readings {
		if r.HasRegister {
			lastRegister = i
		}
		if reserves(r.State) {
			continue
		}
		s.started, s.startMs, s.startMwh = true, r.AtMs, r.RegisterMwh
		if !r.HasRegister {
			next := i
			for !readings[next].HasRegister {
				next++
			}
			s.startMwh = registerAt(readings[lastRegister], readings[next], r.AtMs)
		}
		return
	}
}

func reserves(state rating.ChargeState) bool {
	return state == rating.StateReserved || state == rating.StateReservationExpired
}

// pricePiece bills everything that one piece holds.
func (s *session) pricePiece(p piece) {
	length := p.toMs - p.fromMs
	energy := p.toMwh - p.fromMwh
	if reserves(p.state) {
		s.bill.ReservationMs += length
		if !s.flatInReservation {
			s.flatInReservation = s.bill.use(s.choose(rating.Flat, p), rating.Flat, p, 1)
		}
		s.bill.useOrNote(s.choose(rating.Time, p), rating.Time, p, length)
		s.bill.useOrNote(nobody(), rating.Energy, p, energy) // a clean file has none; no element prices it
		return
	}
	if !s.flatInSession {
		s.flatInSession = s.bill.use(s.choose(rating.Flat, p), rating.Flat, p, 1)
	}
	s.bill.useOrNote(s.choose(rating.Energy, p), rating.Energy, p, energy)
	switch p.state {
	case rating.StateCharging, rating.StateSuspendedEVSE:
		s.bill.ChargingMs += length
		s.bill.useOrNote(s.choose(rating.Time, p), rating.Time, p, length)
	case rating.StateSuspendedEV, rating.StateIdle:
		s.bill.ParkingMs += length
		s.bill.useOrNote(s.choose(rating.ParkingTime, p), rating.ParkingTime, p, length)
	}
}
