package clickhouse

import (
	"encoding/hex"
	"unsafe"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// noTariff is tariff_offset of a session that no tariff prices yet.
const noTariff = int64(-1)

// sessionColumns are the columns of an insert into sessions that the engine's rows do not have as slices.
type sessionColumns struct {
	rows  *engine.SessionRows
	topic string

	partition []int32
	first     []int64

	tariffOffset, last                  []int64
	status                              []int8
	energy, charging, parking, reserved []int64
	excl                                nullable
	incl                                []int64
	overflow                            []bool
	flags                               []uint32

	pseudonym []string // hex
	hex       []byte   // what they lie in
}

// set takes the rows apart. They belong to the caller, who may not change them until release.
func (c *sessionColumns) set(p engine.Partition, first int64, r *engine.SessionRows) {
	n := len(r.Version)
	c.rows, c.topic = r, p.Topic
	c.partition, c.first = fill(c.partition, n, p.Number), fill(c.first, n, first)
	c.tariffOffset, c.last, c.status = resize(c.tariffOffset, n), resize(c.last, n), resize(c.status, n)
	c.energy, c.charging, c.parking = resize(c.energy, n), resize(c.charging, n), resize(c.parking, n)
	c.excl.values, c.excl.null = resize(c.excl.values, n), resize(c.excl.null, n)
	c.reserved, c.incl = resize(c.reserved, n), resize(c.incl, n)
	c.overflow, c.flags = resize(c.overflow, n), resize(c.flags, n)
	c.pseudonyms(r)
	for i := range r.Total {
		t := &r.Total[i]
		c.energy[i], c.charging[i], c.parking[i], c.reserved[i] = t.EnergyMwh, t.ChargingMs, t.ParkingMs, t.ReservationMs
		c.excl.values[i], c.excl.null[i] = t.ExclMicros, t.ExclUnknown
		c.incl[i], c.overflow[i] = t.InclMicros, t.Overflow
		c.tariffOffset[i], c.last[i] = r.TariffFrom[i], r.LastMs[i]
		if c.tariffOffset[i] == rating.Unknown {
			c.tariffOffset[i] = noTariff
		}
		if c.last[i] == rating.Unknown { // nothing but a reservation or a held start yet
			c.last[i] = r.StartMs[i]
		}
		c.status[i], c.flags[i] = int8(r.Status[i]), uint32(r.Flags[i])
	}
}

// pseudonyms writes the pseudonyms of tokens as 32 hex digits; nothing where there is no token.
func (c *sessionColumns) pseudonyms(r *engine.SessionRows) {
	const digits = 32
	c.pseudonym, c.hex = resize(c.pseudonym, len(r.TokenKey)), resize(c.hex, digits*len(r.TokenKey))
	for i, key := range r.TokenKey {
		if c.pseudonym[i] = ""; key != 0 {
			text := c.hex[digits*i:][:digits]
			hex.Encode(text, r.Pseudonym[i][:])
			c.pseudonym[i] = unsafe.String(&text[0], digits)
		}
	}
}

// release drops the caller's rows and keeps the capacity.
func (c *sessionColumns) release() { c.rows = nil }

// sessionList is the columns of an insert into sessions, in the order of the schema.
func sessionList() []column[sessionColumns] {
	type cc = sessionColumns
	return []column[cc]{
		{"session_id", "UUID", func(c *cc) any { return uuids(c.rows.SessionID) }},
		{"version", typeInt, func(c *cc) any { return c.rows.Version }},
		{"topic", typeLow, func(c *cc) any { return repeated{c.topic, len(c.first)} }},
		{"partition", "Int32", func(c *cc) any { return c.partition }},
		{"block_first", typeInt, func(c *cc) any { return c.first }},
		{"first_offset", typeInt, func(c *cc) any { return c.rows.FirstOffset }},
		{"charge_point", "String", func(c *cc) any { return c.rows.ChargePoint }},
		{"connector", "Int32", func(c *cc) any { return c.rows.Connector }},
		{"transaction", "String", func(c *cc) any { return c.rows.Transaction }},
		{"location", typeLow, func(c *cc) any { return c.rows.Location }},
		{"zone", typeLow, func(c *cc) any { return c.rows.Zone }},
		{"tariff", typeLow, func(c *cc) any { return c.rows.Tariff }},
		{"tariff_offset", typeInt, func(c *cc) any { return c.tariffOffset }},
		{"currency", typeLow, func(c *cc) any { return c.rows.Currency }},
		{"token_pseudonym", "String", func(c *cc) any { return c.pseudonym }},
		{"token_key_id", "UInt32", func(c *cc) any { return c.rows.TokenKey }},
		{"contract", "String", func(c *cc) any { return c.rows.Contract }},
		{"tier", typeLow, func(c *cc) any { return c.rows.Tier }},
		{"status", typeStatus, func(c *cc) any { return c.status }},
		{"held_reason", "String", func(c *cc) any { return c.rows.HeldReason }},
		{"start_time", typeTime, func(c *cc) any { return c.rows.StartMs }},
		{"last_time", typeTime, func(c *cc) any { return c.last }},
		{"start_mwh", typeInt, func(c *cc) any { return c.rows.StartMwh }},
		{"last_mwh", typeInt, func(c *cc) any { return c.rows.LastMwh }},
		{"energy_mwh", typeInt, func(c *cc) any { return c.energy }},
		{"charging_ms", typeInt, func(c *cc) any { return c.charging }},
		{"parking_ms", typeInt, func(c *cc) any { return c.parking }},
		{"reservation_ms", typeInt, func(c *cc) any { return c.reserved }},
		{"excl_micros", typeNull, func(c *cc) any { return c.excl }},
		{"incl_micros", typeInt, func(c *cc) any { return c.incl }},
		{"overflow", "Bool", func(c *cc) any { return c.overflow }},
		{"accrued_excl_micros", typeInt, func(c *cc) any { return c.rows.AccruedExcl }},
		{"accrued_incl_micros", typeInt, func(c *cc) any { return c.rows.AccruedIncl }},
		{"flags", "UInt32", func(c *cc) any { return c.flags }},
		{"readings", "UInt32", func(c *cc) any { return c.rows.Readings }},
	}
}
