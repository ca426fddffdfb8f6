// Package engine is the stream machine: who owns what, in which order things become durable, and who waits for
// whom. It owns the shard (sessions in memory, cleaning of readings, rows), the block protocol with Kafka and
// ClickHouse, recovery, and the questions that others may ask of running sessions. It does not own what a
// session costs (package rating), anybody's bytes (connectors), or a clock: it is handed its ends.
//
// A partition is a shard is one goroutine (partition.run), with a second one that keeps its promises
// (keeper.keep). Whole batches go in, whole blocks go out, nothing is locked between them.
//
// Invariants, cited by name in code and tests:
//
//	I1  Same offsets, same books: same bytes. No row, version or state depends on a clock, a map's order, the
//	    number of engines, or where a batch, chunk or block ends.
//	I2  The watermark of a partition is the greatest record timestamp up to the offset. It never goes back.
//	I3  A version is a source position: offset x 65,536 + index in the message; index 65,535 is "between two
//	    messages". Never a counter.
//	I4  Order of durability: plan, rows and messages, block row, snapshot, then offset with the next plan.
//	I5  Nothing is inserted that a fenced commit has not planned, nor 10 minutes after it without another.
//	I6  No work of one call is proportional to all sessions, but what an operator asks. An image of the state is
//	    made in steps.
//	I7  A block has at least one offset, and blocks follow each other without gap or overlap.
//	I8  A session keeps the tariff version, zone and place that it began with.
//	I9  No state of a running session is shown after a newer one, by whatever engine (shown.go).
package engine
