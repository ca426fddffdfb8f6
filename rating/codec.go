package rating

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/wattline/wattline/rating/money"
)

// stateVersion is the first byte of an encoded State (docs/formats/state.md).
const stateVersion = 1

// StateBytes is the length of an encoded State.
const StateBytes = 1 + stateInts*8 + 4 + 4*2 + 6*2 + 4

// stateInts counts the 64-bit fields of an encoded State.
const stateInts = 16 + 2*MaxVATRates

// ErrState is what DecodeState says of bytes that AppendState did not write, and Plan.Fits of a State of
// another Plan.
var ErrState = errors.New("not a session state")

// AppendState appends the version byte and the fields of s to dst, which it returns grown. The bytes are the
// same on every machine.
func AppendState(dst []byte, s *State) []byte {
	le := binary.LittleEndian
	dst = append(dst, stateVersion)
	for _, v := range [...]int64{
		s.LastMs, s.LastMwh, s.NextMs, s.NextMwh, s.PrevMs, s.PrevMwh,
		s.FirstMs, s.StartMs, s.StartMwh, s.PeriodStartMs, s.rowMs, s.rowMwh, s.parkingMs,
		s.pricedMwh, s.pricedReservationMs, s.pricedMs,
	} {
		dst = le.AppendUint64(dst, uint64(v))
	}
	for i := range s.costs {
		dst = le.AppendUint64(dst, s.costs[i].Lo)
		dst = le.AppendUint64(dst, uint64(s.costs[i].Hi))
	}
	dst = le.AppendUint32(dst, s.Period)
	for _, v := range [...]uint16{s.power, s.current, s.openPower, s.openCurrent} {
		dst = le.AppendUint16(dst, v)
	}
	for _, v := range [...]int16{
		s.energyComp, s.timeComp, s.flatComp, s.lastEnergy, s.lastReservation, s.lastPricedMs,
	} {
		dst = le.AppendUint16(dst, uint16(v))
	}
	return append(dst, byte(s.Charge), byte(s.LastSplit), byte(s.flags), byte(s.openPhase))
}

// DecodeState reads what AppendState wrote and returns the bytes behind it; s keeps nothing of src. Errors:
// ErrState, wrapped; s is then not usable. Whether the State is one of a given Plan is asked of Plan.Fits.
func DecodeState(src []byte, s *State) (rest []byte, err error) {
	if len(src) < StateBytes {
		return src, fmt.Errorf("%w: %d bytes, want %d", ErrState, len(src), StateBytes)
	}
	if src[0] != stateVersion {
		return src, fmt.Errorf("%w: version %d, want %d", ErrState, src[0], stateVersion)
	}
	le, in := binary.LittleEndian, src[1:]
	for _, v := range [...]*int64{
		&s.LastMs, &s.LastMwh, &s.NextMs, &s.NextMwh, &s.PrevMs, &s.PrevMwh,
		&s.FirstMs, &s.StartMs, &s.StartMwh, &s.PeriodStartMs, &s.rowMs, &s.rowMwh, &s.parkingMs,
		&s.pricedMwh, &s.pricedReservationMs, &s.pricedMs,
	} {
		*v = int64(le.Uint64(in))
		in = in[8:]
	}
	for i := range s.costs {
		s.costs[i] = money.Int128{Lo: le.Uint64(in), Hi: int64(le.Uint64(in[8:]))}
		in = in[16:]
	}
	s.Period = le.Uint32(in)
	in = in[4:]
	for _, v := range [...]*uint16{&s.power, &s.current, &s.openPower, &s.openCurrent} {
		*v = le.Uint16(in)
		in = in[2:]
	}
	for _, v := range [...]*int16{
		&s.energyComp, &s.timeComp, &s.flatComp, &s.lastEnergy, &s.lastReservation, &s.lastPricedMs,
	} {
		*v = int16(le.Uint16(in))
		in = in[2:]
	}
	s.Charge, s.LastSplit = ChargeState(in[0]), Split(in[1])
	s.flags, s.openPhase = stateFlags(in[2]), phase(in[3])
	if err := s.plausible(); err != nil {
		return src, err
	}
	return in[4:], nil
}

// plausible refuses what no State can hold, so that nothing decoded can make the pricer leave its bounds.
func (s *State) plausible() error {
	switch {
	case s.Charge == StateUnchanged || s.Charge > StateReservationExpired,
		s.LastSplit > SplitState, s.openPhase >= numPhases:
		return fmt.Errorf("%w: unknown state, split or phase", ErrState)
	case s.NextMs < s.LastMs || s.NextMwh < s.LastMwh:
		return fmt.Errorf("%w: asked again before the newest point", ErrState)
	case s.LastMs < s.PrevMs || s.PrevMs < s.FirstMs || s.StartMs < s.FirstMs || s.LastMs < s.StartMs ||
		s.LastMs < s.rowMs || s.rowMs < s.FirstMs || s.PeriodStartMs < s.FirstMs || s.PeriodStartMs > s.rowMs:
		return fmt.Errorf("%w: times out of order", ErrState)
	case s.LastMwh < s.PrevMwh || s.LastMwh < s.StartMwh || s.LastMwh < s.rowMwh:
		return fmt.Errorf("%w: registers out of order", ErrState)
	case s.pricedMwh < 0 || s.pricedReservationMs < 0 || s.pricedMs < 0 || s.parkingMs < 0:
		return fmt.Errorf("%w: a negative quantity", ErrState)
	}
	for _, v := range [...]int64{s.LastMs, s.FirstMs} {
		if !within(v, MaxAtMs) {
			return fmt.Errorf("%w: a time out of range", ErrState)
		}
	}
	for _, v := range [...]int64{s.LastMwh, s.PrevMwh, s.StartMwh, s.rowMwh} {
		if !within(v, MaxRegisterMwh) {
			return fmt.Errorf("%w: a register out of range", ErrState)
		}
	}
	return nil
}

// Fits says whether a decoded State can be one of the Plan: its components are those of the Plan. Errors:
// ErrState, wrapped.
func (p *Plan) Fits(s *State) error {
	of := func(comp int16, dimensions ...Dimension) bool {
		if comp == noComp {
			return true
		}
		if comp < 0 || int(comp) >= len(p.comps) {
			return false
		}
		return slices.Contains(dimensions, p.comps[comp].dimension)
	}
	if !of(s.flatComp, Flat) || !of(s.energyComp, Energy) || !of(s.lastEnergy, Energy) ||
		!of(s.timeComp, Time, ParkingTime) || !of(s.lastPricedMs, Time, ParkingTime) || !of(s.lastReservation, Time) {
		return fmt.Errorf("%w of tariff %q: a component is not the tariff's", ErrState, p.tariff.ID)
	}
	return nil
}
