package clickhouse

import (
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/engine"
)

// blockList is the columns of a row of blocks, in the order of the schema but inserted_at, which the store fills in.
func blockList() []column[engine.BlockRow] {
	type br = engine.BlockRow
	type bc = driver.BatchColumn
	return []column[br]{
		{"topic", typeLow, func(r *br, b bc) error { return b.AppendRow(r.Partition.Topic) }},
		{"partition", "Int32", func(r *br, b bc) error { return b.AppendRow(r.Partition.Number) }},
		{"block_first", typeInt, func(r *br, b bc) error { return b.AppendRow(r.First) }},
		{"block_last", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Last) }},
		{"readings", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Readings) }},
		{"rejects", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Rejects) }},
		{"charges_rows", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Charges.Rows) }},
		{"charges_energy_mwh", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Charges.EnergyMwh) }},
		{"charges_duration_ms", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Charges.DurationMs) }},
		{"charges_excl_micros", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Charges.ExclMicros) }},
		{"charges_incl_micros", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Charges.InclMicros) }},
		{"charges_positions", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Charges.Versions) }},
		{"sessions_rows", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Sessions.Rows) }},
		{"sessions_energy_mwh", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Sessions.EnergyMwh) }},
		{"sessions_duration_ms", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Sessions.DurationMs) }},
		{"sessions_excl_micros", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Sessions.ExclMicros) }},
		{"sessions_incl_micros", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Sessions.InclMicros) }},
		{"sessions_versions", typeInt, func(r *br, b bc) error { return b.AppendRow(r.Sessions.Versions) }},
		{"book_offset", typeInt, func(r *br, b bc) error { return b.AppendRow(r.BookOffset) }},
		{"rating_version", "Int32", func(r *br, b bc) error { return b.AppendRow(r.RatingVersion) }},
		{"checksum", "UInt64", func(r *br, b bc) error { return b.AppendRow(r.Checksum) }},
		{"watermark_ms", typeInt, func(r *br, b bc) error { return b.AppendRow(r.WatermarkMs) }},
		{"engine_id", "String", func(r *br, b bc) error { return b.AppendRow(r.EngineID) }},
	}
}

// scanBlock reads a row that was selected with the columns of blockList.
func scanBlock(rows driver.Rows, r *engine.BlockRow) error {
	return rows.Scan(&r.Partition.Topic, &r.Partition.Number, &r.First, &r.Last, &r.Readings, &r.Rejects,
		&r.Charges.Rows, &r.Charges.EnergyMwh, &r.Charges.DurationMs, &r.Charges.ExclMicros, &r.Charges.InclMicros, &r.Charges.Versions,
		&r.Sessions.Rows, &r.Sessions.EnergyMwh, &r.Sessions.DurationMs, &r.Sessions.ExclMicros, &r.Sessions.InclMicros, &r.Sessions.Versions,
		&r.BookOffset, &r.RatingVersion, &r.Checksum, &r.WatermarkMs, &r.EngineID)
}
