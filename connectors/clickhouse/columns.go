package clickhouse

import (
	"fmt"
	"strings"
	"unsafe"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
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

// column is a column of an insert, and how its values get into a batch: the position in the list is the column's
// number in the batch.
type column[T any] struct {
	name, typ string
	add       func(*T, driver.BatchColumn) error
}

// names lists columns as an INSERT does.
func names[T any](list []column[T]) string {
	n := make([]string, len(list))
	for i := range list {
		n[i] = list[i].name
	}
	return strings.Join(n, ", ")
}

// types is what the driver is told of the columns; asString: see lows.
func types[T any](list []column[T], asString bool) []ch.ColumnNameAndType {
	n := make([]ch.ColumnNameAndType, len(list))
	for i := range list {
		n[i] = ch.ColumnNameAndType{Name: list[i].name, Type: list[i].typ}
		if asString && list[i].typ == typeLow {
			n[i].Type = "String"
		}
	}
	return n
}

// send appends every column of data to the batch and sends it, once. All columns have rows values, which is
// checked (C3): the driver's HTTP side would send an empty body for a ragged batch, and ClickHouse says OK to it.
func send[T any](batch driver.Batch, list []column[T], data *T, rows int) error {
	for i := range list {
		if err := list[i].add(data, batch.Column(i)); err != nil {
			_ = batch.Abort()
			return fmt.Errorf("column %s: %w", list[i].name, err)
		}
	}
	for i, c := range batch.Columns() {
		if c.Rows() != rows {
			_ = batch.Abort()
			return fmt.Errorf("column %s has %d values, want %d", list[i].name, c.Rows(), rows)
		}
	}
	return batch.Send()
}

// lows appends the columns of type LowCardinality(String). Over HTTP they are sent as String and the server makes the
// dictionary: the driver's own asks a map for every value, five times a row (measured: half of what an insert costs us).
// The native protocol wants the table's own types.
type lows struct {
	asString bool
	box      map[string]any // strings seen before as the driver takes them, so that one costs no allocation
	same     []string       // scratch of constants
}

// maxBoxed empties the box when it has grown beyond what LowCardinality is meant for.
const maxBoxed = 1 << 16

func (l *lows) boxed(s string) any {
	if v, ok := l.box[s]; ok {
		return v
	}
	if l.box == nil || len(l.box) >= maxBoxed {
		l.box = map[string]any{}
	}
	own := strings.Clone(s) // the caller's string may lie in a buffer that is filled again
	v := any(own)
	l.box[own] = v
	return v
}

// low appends values. Runs of one value, which rows of one session are, are looked up once.
func (l *lows) low(c driver.BatchColumn, values []string) error {
	if l.asString {
		return c.Append(values)
	}
	var last string
	var v any
	for i, s := range values {
		if i == 0 || s != last {
			last, v = s, l.boxed(s)
		}
		if err := c.AppendRow(v); err != nil {
			return err
		}
	}
	return nil
}

// lowConst appends n times s.
func (l *lows) lowConst(c driver.BatchColumn, s string, n int) error {
	l.same = fill(l.same, n, s)
	return l.low(c, l.same)
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
	lows
	partition []int32
	first     []int64

	kind, dimension, split        []int8
	element, component            []int16
	interpolated                  []bool
	period                        []uint32
	periodStart, from, to         []int64
	energy, duration, incl, price []int64
	excl                          []*int64 // into the rows
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
	c.excl, c.incl, c.price = resize(c.excl, n), resize(c.incl, n), resize(c.price, n)
	for i := range r.Charge {
		x := &r.Charge[i]
		c.kind[i], c.dimension[i], c.split[i] = int8(x.Kind), noDimension, int8(x.Split)
		if x.HasDimension {
			c.dimension[i] = int8(x.Dimension)
		}
		c.element[i], c.component[i], c.interpolated[i] = x.Element, x.Component, x.Interpolated
		c.period[i], c.periodStart[i], c.from[i], c.to[i] = x.Period, x.PeriodStartMs, x.FromMs, x.ToMs
		c.energy[i], c.duration[i] = x.EnergyMwh, x.DurationMs
		c.excl[i], c.incl[i], c.price[i], c.vat[i] = &x.ExclMicros, x.InclMicros, x.PriceNano, x.VAT
		if x.ExclUnknown {
			c.excl[i] = nil
		}
	}
}

// release drops the caller's rows and keeps the capacity.
func (c *chargeColumns) release() {
	clear(c.excl)
	c.rows = nil
}

// chargeList is the columns of an insert into charges, in the order of the schema.
func chargeList() []column[chargeColumns] {
	type cc = chargeColumns
	type bc = driver.BatchColumn
	return []column[cc]{
		{"topic", typeLow, func(c *cc, b bc) error { return c.lowConst(b, c.topic, len(c.first)) }},
		{"partition", "Int32", func(c *cc, b bc) error { return b.Append(c.partition) }},
		{"block_first", typeInt, func(c *cc, b bc) error { return b.Append(c.first) }},
		{"position", typeInt, func(c *cc, b bc) error { return b.Append(c.rows.Position) }},
		{"line", "UInt16", func(c *cc, b bc) error { return b.Append(c.rows.Line) }},
		{"session_id", "UUID", func(c *cc, b bc) error { return b.Append(uuids(c.rows.SessionID)) }},
		{"charge_point", "String", func(c *cc, b bc) error { return b.Append(c.rows.ChargePoint) }},
		{"connector", "Int32", func(c *cc, b bc) error { return b.Append(c.rows.Connector) }},
		{"location", typeLow, func(c *cc, b bc) error { return c.low(b, c.rows.Location) }},
		{"tariff", typeLow, func(c *cc, b bc) error { return c.low(b, c.rows.Tariff) }},
		{"currency", typeLow, func(c *cc, b bc) error { return c.low(b, c.rows.Currency) }},
		{"kind", typeKind, func(c *cc, b bc) error { return b.Append(c.kind) }},
		{"dimension", typeDimension, func(c *cc, b bc) error { return b.Append(c.dimension) }},
		{"split", typeSplit, func(c *cc, b bc) error { return b.Append(c.split) }},
		{"element", "Int16", func(c *cc, b bc) error { return b.Append(c.element) }},
		{"component", "Int16", func(c *cc, b bc) error { return b.Append(c.component) }},
		{"interpolated", "Bool", func(c *cc, b bc) error { return b.Append(c.interpolated) }},
		{"period", "UInt32", func(c *cc, b bc) error { return b.Append(c.period) }},
		{"period_start", typeTime, func(c *cc, b bc) error { return b.Append(c.periodStart) }},
		{"from_time", typeTime, func(c *cc, b bc) error { return b.Append(c.from) }},
		{"to_time", typeTime, func(c *cc, b bc) error { return b.Append(c.to) }},
		{"energy_mwh", typeInt, func(c *cc, b bc) error { return b.Append(c.energy) }},
		{"duration_ms", typeInt, func(c *cc, b bc) error { return b.Append(c.duration) }},
		{"excl_micros", typeNull, func(c *cc, b bc) error { return b.Append(c.excl) }},
		{"incl_micros", typeInt, func(c *cc, b bc) error { return b.Append(c.incl) }},
		{"price_nano", typeInt, func(c *cc, b bc) error { return b.Append(c.price) }},
		{"vat_bp", "Int32", func(c *cc, b bc) error { return b.Append(c.vat) }},
	}
}
