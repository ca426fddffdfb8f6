package loadgen

import (
	"errors"
	"fmt"
)

// Shape is the kind of network.
type Shape uint8

// The shapes. A city has everything that happens in a real one; a bench network is as even as can be, so that
// a measured difference is one of what was measured.
const (
	ShapeCity  Shape = iota // charge points of all kinds, arrivals by the hour of the day, every sort of tariff
	ShapeBench              // one connector a charge point, one session after the other, all of one length
)

// DefaultEpochMs is 2026-01-05T06:55:00Z, a Monday: in most of Europe the day tariffs are about to begin.
const DefaultEpochMs = 1_767_596_100_000

// Config is a network. City and Bench give usable ones.
type Config struct {
	// Seed makes one network differ from another of the same shape. Default 1; 0 is a seed like any other.
	Seed uint64
	// Shape is the kind of network. Default ShapeCity.
	Shape Shape
	// ChargePoints is how many there are, 1 to 10,000,000. Default: city 2,000, bench 100,000.
	ChargePoints int
	// ChargePointsPerSite is how many an OCPI location has at most. Default: city 12, bench 50.
	ChargePointsPerSite int
	// Tariffs is how many tariffs a bench network has, 1 to 100,000. Default 1,000. A city has those that it has.
	Tariffs int
	// ChargePointBytes is the length of a charge point's identity in a bench network, 24 to 48 bytes. Default 40.
	// (OCPI allows an EVSE uid 36 characters; OCPP an identity 48.) A city has short readable ones.
	ChargePointBytes int
	// MembersPercent is how many of a hundred sessions of a city are of drivers with a contract, 0 to 60. Another 40 have a
	// token that is not known. Default 0: nobody shows a token, and there are no contracts.
	MembersPercent int32
	// Partitions is how many partitions the readings topic has. Default 4.
	Partitions int32
	// EpochMs is when the network begins, ms since 1970 UTC, a multiple of TickMs. Sessions that run then start
	// then. Broker retention goes by record timestamps, so it should lie inside it. Default DefaultEpochMs.
	EpochMs int64
	// EndMs is when it ends: whoever charges then stops then. A multiple of TickMs; 0 (the default) is never.
	EndMs int64
	// TickMs is the grain of the order of sending (L2) and of resuming, ms: at most 16 readings of a session, for
	// a tick is sent again as a whole and an engine remembers the last 64. Default: city 1,000, bench 100.
	TickMs int64
	// ChargingEveryMs is the time between two readings of a session that charges, ms. Default: city 30,000,
	// bench 5,000.
	ChargingEveryMs int64
	// ParkedEveryMs is the same while it is reserved, suspended or idle, ms. Default: city 300,000, bench 5,000.
	ParkedEveryMs int64
	// SessionMs is the length of the sessions of a bench network, ms. Default 1,800,000.
	SessionMs int64
	// DuplicatesPerMillion is how many readings of a million are sent twice, the second time right after the
	// first and byte for byte the same. Default 10,000 (1 %).
	DuplicatesPerMillion int32
	// DisorderPerMillion is how many charging readings of a million are sent after the one that follows them.
	// Default 0. Truth is that of the readings in order of measurement, which an engine reaches only for
	// readings that change no price.
	DisorderPerMillion int32
}

// City is the network of the demo: 2,000 charge points.
func City() Config {
	return Config{
		Seed: 1, Shape: ShapeCity, ChargePoints: 2_000, ChargePointsPerSite: 12, Partitions: 4,
		EpochMs: DefaultEpochMs, TickMs: 1_000, ChargingEveryMs: 30_000, ParkedEveryMs: 300_000,
		DuplicatesPerMillion: 10_000,
	}
}

// Demo is the city of `wattline demo`: of so many charge points, and begun a day before DefaultEpochMs, from when on time
// passes there. So whoever starts it has a yesterday to ask about. A third of the sessions is of members.
func Demo(chargePoints int) Config {
	c := City()
	c.ChargePoints, c.EpochMs, c.MembersPercent = chargePoints, DefaultEpochMs-dayMs, 35
	return c
}

// Bench is the network of measurements: 100,000 sessions are live at any time, each read every 5 s, and a
// price changes for all of them in the minutes after the epoch.
func Bench() Config {
	return Config{
		Seed: 1, Shape: ShapeBench, ChargePoints: 100_000, ChargePointsPerSite: 50, Partitions: 4,
		Tariffs: 1_000, ChargePointBytes: 40,
		EpochMs: DefaultEpochMs, TickMs: 100, ChargingEveryMs: 5_000, ParkedEveryMs: 5_000, SessionMs: 1_800_000,
		DuplicatesPerMillion: 10_000,
	}
}

// Validate joins all faults of the Config, each with the name of its field.
func (c *Config) Validate() error {
	var faults []error
	hold := func(field string, value, low, high int64) {
		if value < low || value > high {
			faults = append(faults, fmt.Errorf("loadgen.%s: %d is not in %d..%d", field, value, low, high))
		}
	}
	const yearsMs = 1 << 43 // until about 2248
	hold("Shape", int64(c.Shape), int64(ShapeCity), int64(ShapeBench))
	hold("ChargePoints", int64(c.ChargePoints), 1, 10_000_000)
	hold("ChargePointsPerSite", int64(c.ChargePointsPerSite), 1, 10_000)
	hold("Partitions", int64(c.Partitions), 1, 1<<20)
	hold("MembersPercent", int64(c.MembersPercent), 0, 100-strangersPercent)
	hold("TickMs", c.TickMs, 1, minuteMs)
	hold("EpochMs", c.EpochMs, 1_262_304_000_000, yearsMs) // an engine refuses times before 2010
	hold("ChargingEveryMs", c.ChargingEveryMs, 100, hourMs)
	hold("ParkedEveryMs", c.ParkedEveryMs, 100, hourMs)
	hold("DuplicatesPerMillion", int64(c.DuplicatesPerMillion), 0, 1_000_000)
	hold("DisorderPerMillion", int64(c.DisorderPerMillion), 0, 1_000_000)
	if c.TickMs > 16*min(c.ChargingEveryMs, c.ParkedEveryMs) {
		faults = append(faults, fmt.Errorf("loadgen.TickMs: %d is more than 16 readings of a session", c.TickMs))
	}
	if c.EndMs != 0 {
		hold("EndMs", c.EndMs, c.EpochMs, yearsMs)
	}
	if c.TickMs > 0 && (c.EpochMs%c.TickMs != 0 || c.EndMs%c.TickMs != 0) {
		faults = append(faults, fmt.Errorf("loadgen.TickMs: EpochMs %d and EndMs %d are not multiples of %d", c.EpochMs, c.EndMs, c.TickMs))
	}
	if c.Shape == ShapeBench {
		hold("Tariffs", int64(c.Tariffs), 1, 100_000)
		hold("MembersPercent", int64(c.MembersPercent), 0, 0)
		hold("ChargePointBytes", int64(c.ChargePointBytes), 24, 48)
		hold("SessionMs", c.SessionMs, 60_000, 24*hourMs)
	}
	return errors.Join(faults...)
}
