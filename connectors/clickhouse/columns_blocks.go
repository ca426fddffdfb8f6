package clickhouse

import (
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/engine"
)

// blockList is the columns of a row of blocks, in the order of the schema but inserted_at, which the store fills in.
func blockList() []column[engine.BlockRow] {
	type br = engine.BlockRow
	return []column[br]{
		{"topic", typeLow, func(r *br) any { return []string{r.Partition.Topic} }},
		{"partition", "Int32", func(r *br) any { return []int32{r.Partition.Number} }},
		{"block_first", typeInt, func(r *br) any { return []int64{r.First} }},
		{"block_last", typeInt, func(r *br) any { return []int64{r.Last} }},
		{"readings", typeInt, func(r *br) any { return []int64{r.Readings} }},
		{"rejects", typeInt, func(r *br) any { return []int64{r.Rejects} }},
		{"charges_rows", typeInt, func(r *br) any { return []int64{r.Charges.Rows} }},
		{"charges_energy_mwh", typeInt, func(r *br) any { return []int64{r.Charges.EnergyMwh} }},
		{"charges_duration_ms", typeInt, func(r *br) any { return []int64{r.Charges.DurationMs} }},
		{"charges_excl_micros", typeInt, func(r *br) any { return []int64{r.Charges.ExclMicros} }},
		{"charges_incl_micros", typeInt, func(r *br) any { return []int64{r.Charges.InclMicros} }},
		{"charges_positions", typeInt, func(r *br) any { return []int64{r.Charges.Versions} }},
		{"sessions_rows", typeInt, func(r *br) any { return []int64{r.Sessions.Rows} }},
		{"sessions_energy_mwh", typeInt, func(r *br) any { return []int64{r.Sessions.EnergyMwh} }},
		{"sessions_duration_ms", typeInt, func(r *br) any { return []int64{r.Sessions.DurationMs} }},
		{"sessions_excl_micros", typeInt, func(r *br) any { return []int64{r.Sessions.ExclMicros} }},
		{"sessions_incl_micros", typeInt, func(r *br) any { return []int64{r.Sessions.InclMicros} }},
		{"sessions_versions", typeInt, func(r *br) any { return []int64{r.Sessions.Versions} }},
		{"book_offset", typeInt, func(r *br) any { return []int64{r.BookOffset} }},
		{"rating_version", "Int32", func(r *br) any { return []int32{r.RatingVersion} }},
		{"checksum", "UInt64", func(r *br) any { return []uint64{r.Checksum} }},
		{"watermark_ms", typeInt, func(r *br) any { return []int64{r.WatermarkMs} }},
		{"engine_id", "String", func(r *br) any { return []string{r.EngineID} }},
	}
}

// scanBlock reads a row that was selected with the columns of blockList.
func scanBlock(rows driver.Rows, r *engine.BlockRow) error {
	return rows.Scan(&r.Partition.Topic, &r.Partition.Number, &r.First, &r.Last, &r.Readings, &r.Rejects,
		&r.Charges.Rows, &r.Charges.EnergyMwh, &r.Charges.DurationMs, &r.Charges.ExclMicros, &r.Charges.InclMicros, &r.Charges.Versions,
		&r.Sessions.Rows, &r.Sessions.EnergyMwh, &r.Sessions.DurationMs, &r.Sessions.ExclMicros, &r.Sessions.InclMicros, &r.Sessions.Versions,
		&r.BookOffset, &r.RatingVersion, &r.Checksum, &r.WatermarkMs, &r.EngineID)
}
