// Package clickhouse keeps rated rows in ClickHouse: the schema and its migrations, the sink of the engine's
// blocks, read-back of what a block put there, and the questions of wattline verify.
//
// It speaks to a server or cluster (protocol native or HTTP) and to the embedded engine (HTTP) alike. It owns the
// tables, columns, codecs, projections and table settings. It does NOT own the protocol of tokens and retries
// (engine does), the SQL of views (analytics does; cmd hands it to Migrate), nor the embedded engine (embedded).
//
// Invariants:
//
//   - C1 one attempt: Insert sends its rows once. Nothing in here repeats an insert, nor does the driver.
//   - C2 one part: an insert brings one month of one table, so its deduplication token stands for all its rows;
//     ClickHouse refuses it otherwise (max_partitions_per_insert_block = 1).
//   - C3 all columns or nothing: the columns of a batch have the same length before it is sent.
//   - C4 read-back sees every insert that ever was acknowledged, also versions of sessions that a merge has
//     dropped since: it reads the projection by_block, never the rows.
//   - C5 forward only: a database whose schema is newer than the program is refused, never touched.
package clickhouse
