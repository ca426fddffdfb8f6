package file

import (
	"encoding/hex"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// outKind is how a column is written.
type outKind uint8

const (
	outInt64 outKind = iota
	outTime          // INT64, TIMESTAMP(MILLIS, UTC)
	outInt32
	outInt16
	outUint16
	outUint32
	outBool
	outText
	outUUID // STRING: the 36 characters
)

// out is a column of the rows T, which lie column by column: of their i-th, the value is number or text or id.
type out[T any] struct {
	name   string
	kind   outKind
	number func(r *T, i int) int64
	text   func(r *T, i int) string
	id     func(r *T, i int) [16]byte
	null   func(r *T, i int) bool // nil: never
}

// node is the column in the schema of a file.
func (o *out[T]) node() schema.Node {
	rep := parquet.Repetitions.Required
	if o.null != nil {
		rep = parquet.Repetitions.Optional
	}
	logical, physical := schema.LogicalType(schema.NoLogicalType{}), parquet.Types.Int64
	switch o.kind {
	case outTime:
		logical = schema.NewTimestampLogicalType(true, schema.TimeUnitMillis)
	case outInt32:
		physical = parquet.Types.Int32
	case outInt16:
		logical, physical = schema.NewIntLogicalType(16, true), parquet.Types.Int32
	case outUint16:
		logical, physical = schema.NewIntLogicalType(16, false), parquet.Types.Int32
	case outUint32:
		logical, physical = schema.NewIntLogicalType(32, false), parquet.Types.Int32
	case outBool:
		physical = parquet.Types.Boolean
	case outText, outUUID:
		logical, physical = schema.StringLogicalType{}, parquet.Types.ByteArray
	}
	return schema.MustPrimitive(schema.NewPrimitiveNodeLogical(o.name, rep, logical, physical, -1, -1))
}

// blockOf is what all rows of a block have.
type blockOf struct {
	p     engine.Partition
	first int64
}

// chargeRows are rows of table charges, sessionRows of table sessions.
type (
	chargeRows struct {
		blockOf
		*engine.ChargeRows
	}
	sessionRows struct {
		blockOf
		*engine.SessionRows
	}
)

func pick(words []string, i int) string {
	if i < 0 || i >= len(words) {
		return ""
	}
	return words[i]
}

func chargeKind(k rating.ChargeKind) string {
	return pick([]string{"usage", "step", "min", "max", "expiry", "rounding"}, int(k))
}

func dimensionOf(c *rating.Charge) string {
	if !c.HasDimension {
		return "NONE"
	}
	return pick([]string{"FLAT", "ENERGY", "TIME", "PARKING_TIME"}, int(c.Dimension))
}

func splitName(c *rating.Charge) string {
	return pick([]string{"start", "clock", "weekday", "energy", "duration", "power", "state"}, int(c.Split))
}

func statusName(s engine.SessionStatus) string {
	return pick([]string{"", "RESERVED", "ACTIVE", "COMPLETED", "PROVISIONAL", "HELD", "UNPRICEABLE"}, int(s))
}

func truth(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// chargeColumns are the columns of table charges, in its order.
func chargeColumns() []out[chargeRows] {
	type r = *chargeRows
	return []out[chargeRows]{
		{name: "topic", kind: outText, text: func(r r, _ int) string { return r.p.Topic }},
		{name: "partition", kind: outInt32, number: func(r r, _ int) int64 { return int64(r.p.Number) }},
		{name: "block_first", number: func(r r, _ int) int64 { return r.first }},
		{name: "position", number: func(r r, i int) int64 { return r.Position[i] }},
		{name: "line", kind: outUint16, number: func(r r, i int) int64 { return int64(r.Line[i]) }},
		{name: "session_id", kind: outUUID, id: func(r r, i int) [16]byte { return r.SessionID[i] }},
		{name: "charge_point", kind: outText, text: func(r r, i int) string { return r.ChargePoint[i] }},
		{name: "connector", kind: outInt32, number: func(r r, i int) int64 { return int64(r.Connector[i]) }},
		{name: "location", kind: outText, text: func(r r, i int) string { return r.Location[i] }},
		{name: "tariff", kind: outText, text: func(r r, i int) string { return r.Tariff[i] }},
		{name: "currency", kind: outText, text: func(r r, i int) string { return r.Currency[i] }},
		{name: "tier", kind: outText, text: func(r r, i int) string { return r.Tier[i] }},
		{name: "kind", kind: outText, text: func(r r, i int) string { return chargeKind(r.Charge[i].Kind) }},
		{name: "dimension", kind: outText, text: func(r r, i int) string { return dimensionOf(&r.Charge[i]) }},
		{name: "split", kind: outText, text: func(r r, i int) string { return splitName(&r.Charge[i]) }},
		{name: "element", kind: outInt16, number: func(r r, i int) int64 { return int64(r.Charge[i].Element) }},
		{name: "component", kind: outInt16, number: func(r r, i int) int64 { return int64(r.Charge[i].Component) }},
		{name: "interpolated", kind: outBool, number: func(r r, i int) int64 { return truth(r.Charge[i].Interpolated) }},
		{name: "period", kind: outUint32, number: func(r r, i int) int64 { return int64(r.Charge[i].Period) }},
		{name: "period_start", kind: outTime, number: func(r r, i int) int64 { return r.Charge[i].PeriodStartMs }},
		{name: "from_time", kind: outTime, number: func(r r, i int) int64 { return r.Charge[i].FromMs }},
		{name: "to_time", kind: outTime, number: func(r r, i int) int64 { return r.Charge[i].ToMs }},
		{name: "energy_mwh", number: func(r r, i int) int64 { return r.Charge[i].EnergyMwh }},
		{name: "duration_ms", number: func(r r, i int) int64 { return r.Charge[i].DurationMs }},
		{name: "excl_micros", number: func(r r, i int) int64 { return r.Charge[i].ExclMicros }, null: func(r r, i int) bool { return r.Charge[i].ExclUnknown }},
		{name: "incl_micros", number: func(r r, i int) int64 { return r.Charge[i].InclMicros }},
		{name: "price_nano", number: func(r r, i int) int64 { return r.Charge[i].PriceNano }},
		{name: "vat_bp", kind: outInt32, number: func(r r, i int) int64 { return int64(r.Charge[i].VAT) }},
	}
}

// sessionColumns are the columns of table sessions, in its order.
func sessionColumns() []out[sessionRows] {
	type r = *sessionRows
	return []out[sessionRows]{
		{name: "session_id", kind: outUUID, id: func(r r, i int) [16]byte { return r.SessionID[i] }},
		{name: "version", number: func(r r, i int) int64 { return r.Version[i] }},
		{name: "topic", kind: outText, text: func(r r, _ int) string { return r.p.Topic }},
		{name: "partition", kind: outInt32, number: func(r r, _ int) int64 { return int64(r.p.Number) }},
		{name: "block_first", number: func(r r, _ int) int64 { return r.first }},
		{name: "first_offset", number: func(r r, i int) int64 { return r.FirstOffset[i] }},
		{name: "charge_point", kind: outText, text: func(r r, i int) string { return r.ChargePoint[i] }},
		{name: "connector", kind: outInt32, number: func(r r, i int) int64 { return int64(r.Connector[i]) }},
		{name: "transaction", kind: outText, text: func(r r, i int) string { return r.Transaction[i] }},
		{name: "location", kind: outText, text: func(r r, i int) string { return r.Location[i] }},
		{name: "zone", kind: outText, text: func(r r, i int) string { return r.Zone[i] }},
		{name: "tariff", kind: outText, text: func(r r, i int) string { return r.Tariff[i] }},
		{name: "tariff_offset", number: func(r r, i int) int64 { return known(r.TariffFrom[i], -1) }},
		{name: "currency", kind: outText, text: func(r r, i int) string { return r.Currency[i] }},
		{name: "token_pseudonym", kind: outText, text: func(r r, i int) string { return r.Driver(i).String() }},
		{name: "token_key_id", kind: outUint32, number: func(r r, i int) int64 { return int64(r.TokenKey[i]) }},
		{name: "contract", kind: outText, text: func(r r, i int) string { return r.Contract[i] }},
		{name: "tier", kind: outText, text: func(r r, i int) string { return r.Tier[i] }},
		{name: "status", kind: outText, text: func(r r, i int) string { return statusName(r.Status[i]) }},
		{name: "held_reason", kind: outText, text: func(r r, i int) string { return r.HeldReason[i] }},
		{name: "start_time", kind: outTime, number: func(r r, i int) int64 { return r.StartMs[i] }},
		{name: "last_time", kind: outTime, number: func(r r, i int) int64 { return known(r.LastMs[i], r.StartMs[i]) }},
		{name: "start_mwh", number: func(r r, i int) int64 { return r.StartMwh[i] }},
		{name: "last_mwh", number: func(r r, i int) int64 { return r.LastMwh[i] }},
		{name: "energy_mwh", number: func(r r, i int) int64 { return r.Total[i].EnergyMwh }},
		{name: "charging_ms", number: func(r r, i int) int64 { return r.Total[i].ChargingMs }},
		{name: "parking_ms", number: func(r r, i int) int64 { return r.Total[i].ParkingMs }},
		{name: "reservation_ms", number: func(r r, i int) int64 { return r.Total[i].ReservationMs }},
		{name: "excl_micros", number: func(r r, i int) int64 { return r.Total[i].ExclMicros }, null: func(r r, i int) bool { return r.Total[i].ExclUnknown }},
		{name: "incl_micros", number: func(r r, i int) int64 { return r.Total[i].InclMicros }},
		{name: "overflow", kind: outBool, number: func(r r, i int) int64 { return truth(r.Total[i].Overflow) }},
		{name: "accrued_excl_micros", number: func(r r, i int) int64 { return r.AccruedExcl[i] }},
		{name: "accrued_incl_micros", number: func(r r, i int) int64 { return r.AccruedIncl[i] }},
		{name: "flags", kind: outUint32, number: func(r r, i int) int64 { return int64(r.Flags[i]) }},
		{name: "readings", kind: outUint32, number: func(r r, i int) int64 { return int64(r.Readings[i]) }},
	}
}

// known is n, or what stands for it where it is unknown.
func known(n, instead int64) int64 {
	if n == rating.Unknown {
		return instead
	}
	return n
}

// appendUUID appends the 36 characters of id.
func appendUUID(dst []byte, id [16]byte) []byte {
	for i, n := range [...]int{4, 6, 8, 10, 16} {
		from := [...]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[from:n])
	}
	return dst
}
