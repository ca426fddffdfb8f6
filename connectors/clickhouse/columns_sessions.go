package clickhouse

import (
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// noTariff is tariff_offset of a session that no tariff prices yet.
const noTariff = int64(-1)

// sessionColumns are the columns of an insert into sessions that the engine's rows do not have as slices.
type sessionColumns struct {
	rows  *engine.SessionRows
	topic string
	lows
	partition []int32
	first     []int64

	tariffOffset, last                  []int64
	status                              []int8
	energy, charging, parking, reserved []int64
	excl                                []*int64 // into the rows
	incl                                []int64
	overflow                            []bool
	flags                               []uint32
}

// set takes the rows apart. They belong to the caller, who may not change them until release.
func (c *sessionColumns) set(p engine.Partition, first int64, r *engine.SessionRows) {
	n := len(r.Version)
	c.rows, c.topic = r, p.Topic
	c.partition, c.first = fill(c.partition, n, p.Number), fill(c.first, n, first)
	c.tariffOffset, c.last, c.status = resize(c.tariffOffset, n), resize(c.last, n), resize(c.status, n)
	c.energy, c.charging, c.parking = resize(c.energy, n), resize(c.charging, n), resize(c.parking, n)
	c.reserved, c.excl, c.incl = resize(c.reserved, n), resize(c.excl, n), resize(c.incl, n)
	c.overflow, c.flags = resize(c.overflow, n), resize(c.flags, n)
	for i := range r.Total {
		t := &r.Total[i]
		c.energy[i], c.charging[i], c.parking[i], c.reserved[i] = t.EnergyMwh, t.ChargingMs, t.ParkingMs, t.ReservationMs
		c.excl[i], c.incl[i], c.overflow[i] = &t.ExclMicros, t.InclMicros, t.Overflow
		if t.ExclUnknown {
			c.excl[i] = nil
		}
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

// release drops the caller's rows and keeps the capacity.
func (c *sessionColumns) release() {
	clear(c.excl)
	c.rows = nil
}

// sessionList is the columns of an insert into sessions, in the order of the schema.
func sessionList() []column[sessionColumns] {
	type cc = sessionColumns
	type bc = driver.BatchColumn
	return []column[cc]{
		{"session_id", "UUID", func(c *cc, b bc) error { return b.Append(uuids(c.rows.SessionID)) }},
		{"version", typeInt, func(c *cc, b bc) error { return b.Append(c.rows.Version) }},
		{"topic", typeLow, func(c *cc, b bc) error { return c.lowConst(b, c.topic, len(c.first)) }},
		{"partition", "Int32", func(c *cc, b bc) error { return b.Append(c.partition) }},
		{"block_first", typeInt, func(c *cc, b bc) error { return b.Append(c.first) }},
		{"first_offset", typeInt, func(c *cc, b bc) error { return b.Append(c.rows.FirstOffset) }},
		{"charge_point", "String", func(c *cc, b bc) error { return b.Append(c.rows.ChargePoint) }},
		{"connector", "Int32", func(c *cc, b bc) error { return b.Append(c.rows.Connector) }},
		{"transaction", "String", func(c *cc, b bc) error { return b.Append(c.rows.Transaction) }},
		{"location", typeLow, func(c *cc, b bc) error { return c.low(b, c.rows.Location) }},
		{"zone", typeLow, func(c *cc, b bc) error { return c.low(b, c.rows.Zone) }},
		{"tariff", typeLow, func(c *cc, b bc) error { return c.low(b, c.rows.Tariff) }},
		{"tariff_offset", typeInt, func(c *cc, b bc) error { return b.Append(c.tariffOffset) }},
		{"currency", typeLow, func(c *cc, b bc) error { return c.low(b, c.rows.Currency) }},
		{"status", typeStatus, func(c *cc, b bc) error { return b.Append(c.status) }},
		{"held_reason", "String", func(c *cc, b bc) error { return b.Append(c.rows.HeldReason) }},
		{"start_time", typeTime, func(c *cc, b bc) error { return b.Append(c.rows.StartMs) }},
		{"last_time", typeTime, func(c *cc, b bc) error { return b.Append(c.last) }},
		{"start_mwh", typeInt, func(c *cc, b bc) error { return b.Append(c.rows.StartMwh) }},
		{"last_mwh", typeInt, func(c *cc, b bc) error { return b.Append(c.rows.LastMwh) }},
		{"energy_mwh", typeInt, func(c *cc, b bc) error { return b.Append(c.energy) }},
		{"charging_ms", typeInt, func(c *cc, b bc) error { return b.Append(c.charging) }},
		{"parking_ms", typeInt, func(c *cc, b bc) error { return b.Append(c.parking) }},
		{"reservation_ms", typeInt, func(c *cc, b bc) error { return b.Append(c.reserved) }},
		{"excl_micros", typeNull, func(c *cc, b bc) error { return b.Append(c.excl) }},
		{"incl_micros", typeInt, func(c *cc, b bc) error { return b.Append(c.incl) }},
		{"overflow", "Bool", func(c *cc, b bc) error { return b.Append(c.overflow) }},
		{"accrued_excl_micros", typeInt, func(c *cc, b bc) error { return b.Append(c.rows.AccruedExcl) }},
		{"accrued_incl_micros", typeInt, func(c *cc, b bc) error { return b.Append(c.rows.AccruedIncl) }},
		{"flags", "UInt32", func(c *cc, b bc) error { return b.Append(c.flags) }},
		{"readings", "UInt32", func(c *cc, b bc) error { return b.Append(c.rows.Readings) }},
	}
}
