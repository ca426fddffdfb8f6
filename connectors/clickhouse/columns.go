package clickhouse

import (
	"strings"
	"unsafe"

	"github.com/google/uuid"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// Types as the driver wants them: it parses the time zone only with the blank.
const (
	typeTime = "DateTime64(3, 'UTC')"
	typeLow  = "LowCardinality(String)"
	typeInt  = "Int64"
	typeNull = "Nullable(Int64)"
)

// Enums of the schema; the numbers are those of rating and engine. Native inserts get them from the server, HTTP
// ones are told, which saves a DESCRIBE before every insert.
const (
	typeKind      = "Enum8('usage' = 0, 'step' = 1, 'min' = 2, 'max' = 3, 'expiry' = 4, 'rounding' = 5)"
	typeDimension = "Enum8('FLAT' = 0, 'ENERGY' = 1, 'TIME' = 2, 'PARKING_TIME' = 3, 'NONE' = 4)"
	typeSplit     = "Enum8('start' = 0, 'clock' = 1, 'weekday' = 2, 'energy' = 3, 'duration' = 4, 'power' = 5, 'state' = 6)"
	typeStatus    = "Enum8('RESERVED' = 1, 'ACTIVE' = 2, 'COMPLETED' = 3, 'PROVISIONAL' = 4, 'HELD' = 5, 'UNPRICEABLE' = 6)"
)

// noDimension is what dimension says of limits and rounding.
const noDimension = int8(rating.NumDimensions)

// column is a column of an insert: what it is called, its type, and where its values are. Those are a slice of the
// type's own Go type, a repeated, or a nullable.
type column[T any] struct {
	name, typ string
	of        func(*T) any
}

// repeated is n times one value of a LowCardinality(String).
type repeated struct {
	value string
	n     int
}

// nullable is the values of a Nullable(Int64); where null is set there is none.
type nullable struct {
	values []int64
	null   []bool
}

// names lists columns as an INSERT does.
func names[T any](list []column[T]) string {
	n := make([]string, len(list))
	for i := range list {
		n[i] = list[i].name
	}
	return strings.Join(n, ", ")
}

// uuids is ids as the driver's type, which has the same layout; it shares the memory.
func uuids(ids [][16]byte) []uuid.UUID {
	return unsafe.Slice((*uuid.UUID)(unsafe.Pointer(unsafe.SliceData(ids))), len(ids))
}

// resize returns s with length n, values undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

func fill[T any](s []T, n int, v T) []T {
	s = resize(s, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// chargeColumns are the columns of an insert into charges that the engine's rows do not have as slices.
type chargeColumns struct {
	rows  *engine.ChargeRows
	topic string

	partition []int32
	first     []int64

	kind, dimension, split        []int8
	element, component            []int16
	interpolated                  []bool
	period                        []uint32
	periodStart, from, to         []int64
	energy, duration, incl, price []int64
	excl                          nullable
	vat                           []int32
}

// set takes the rows apart. They belong to the caller, who may not change them until release.
func (c *chargeColumns) set(p engine.Partition, first int64, r *engine.ChargeRows) {
	n := len(r.Charge)
	c.rows, c.topic = r, p.Topic
	c.partition, c.first = fill(c.partition, n, p.Number), fill(c.first, n, first)
	c.kind, c.dimension, c.split = resize(c.kind, n), resize(c.dimension, n), resize(c.split, n)
	c.element, c.component, c.interpolated = resize(c.element, n), resize(c.component, n), resize(c.interpolated, n)
	c.period, c.periodStart = resize(c.period, n), resize(c.periodStart, n)
	c.from, c.to, c.vat = resize(c.from, n), resize(c.to, n), resize(c.vat, n)
	c.energy, c.duration = resize(c.energy, n), resize(c.duration, n)
	c.excl.values, c.excl.null = resize(c.excl.values, n), resize(c.excl.null, n)
	c.incl, c.price = resize(c.incl, n), resize(c.price, n)
	for i := range r.Charge {
		x := &r.Charge[i]
		c.kind[i], c.dimension[i], c.split[i] = int8(x.Kind), noDimension, int8(x.Split)
		if x.HasDimension {
			c.dimension[i] = int8(x.Dimension)
		}
		c.element[i], c.component[i], c.interpolated[i] = x.Element, x.Component, x.Interpolated
		c.period[i], c.periodStart[i], c.from[i], c.to[i] = x.Period, x.PeriodStartMs, x.FromMs, x.ToMs
		c.energy[i], c.duration[i] = x.EnergyMwh, x.DurationMs
		c.excl.values[i], c.excl.null[i] = x.ExclMicros, x.ExclUnknown
		c.incl[i], c.price[i], c.vat[i] = x.InclMicros, x.PriceNano, x.VAT
	}
}

// release drops the caller's rows and keeps the capacity.
func (c *chargeColumns) release() { c.rows = nil }

// chargeList is the columns of an insert into charges, in the order of the schema.
func chargeList() []column[chargeColumns] {
	type cc = chargeColumns
	return []column[cc]{
		{"topic", typeLow, func(c *cc) any { return repeated{c.topic, len(c.first)} }},
		{"partition", "Int32", func(c *cc) any { return c.partition }},
		{"block_first", typeInt, func(c *cc) any { return c.first }},
		{"position", typeInt, func(c *cc) any { return c.rows.Position }},
		{"line", "UInt16", func(c *cc) any { return c.rows.Line }},
		{"session_id", "UUID", func(c *cc) any { return uuids(c.rows.SessionID) }},
		{"charge_point", "String", func(c *cc) any { return c.rows.ChargePoint }},
		{"connector", "Int32", func(c *cc) any { return c.rows.Connector }},
		{"location", typeLow, func(c *cc) any { return c.rows.Location }},
		{"tariff", typeLow, func(c *cc) any { return c.rows.Tariff }},
		{"currency", typeLow, func(c *cc) any { return c.rows.Currency }},
		{"tier", typeLow, func(c *cc) any { return c.rows.Tier }},
		{"kind", typeKind, func(c *cc) any { return c.kind }},
		{"dimension", typeDimension, func(c *cc) any { return c.dimension }},
		{"split", typeSplit, func(c *cc) any { return c.split }},
		{"element", "Int16", func(c *cc) any { return c.element }},
		{"component", "Int16", func(c *cc) any { return c.component }},
		{"interpolated", "Bool", func(c *cc) any { return c.interpolated }},
		{"period", "UInt32", func(c *cc) any { return c.period }},
		{"period_start", typeTime, func(c *cc) any { return c.periodStart }},
		{"from_time", typeTime, func(c *cc) any { return c.from }},
		{"to_time", typeTime, func(c *cc) any { return c.to }},
		{"energy_mwh", typeInt, func(c *cc) any { return c.energy }},
		{"duration_ms", typeInt, func(c *cc) any { return c.duration }},
		{"excl_micros", typeNull, func(c *cc) any { return c.excl }},
		{"incl_micros", typeInt, func(c *cc) any { return c.incl }},
		{"price_nano", typeInt, func(c *cc) any { return c.price }},
		{"vat_bp", "Int32", func(c *cc) any { return c.vat }},
	}
}
