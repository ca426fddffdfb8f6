// Package verify proves, from outside, that a ledger is whole and right: `wattline verify`.
//
// It owns the questions: do the blocks of every partition tile its offsets, do the rows of every block add up to
// what the block's own row says, is nothing there twice, do the projections and the newest versions of sessions
// agree with the rows, and does the topic, read and priced again by another pricer, give the same amounts. It does
// not own the answers' bytes (connectors/clickhouse and connectors/kafka, wired by cmd), and it changes nothing.
//
// Invariants:
//
//   - V1, independent money: amounts are compared with those of rating/oracle, never with the engine's pricer. The
//     engine's cleaning of readings is used, because what is trusted of a meter is the engine's own subject; what it
//     makes of a reading is compared block by block with the checksum that was written while it happened.
//   - V2, exact: every comparison is of integers. Amounts are the oracle's fractions rounded once, at 6 decimals.
//   - V3, still: only blocks whose row was there when the run began are judged, with the rows and versions that
//     those blocks brought. So a run beside working engines finds nothing that is merely unfinished.
//   - V4, told: whatever could not be judged (its first messages are gone from the topic, another rating version)
//     is counted in the Report, by reason.
//
// How a running session is judged. Its rows are what was closed so far, so they are neither the session's price
// nor the price of any prefix of its readings: a row may end at a boundary between two readings, and the register
// there lies on the line between them, which a reading made up at the boundary would bend. So the oracle prices
// all readings, without step_size and limits, and says which component prices how much of each dimension, in
// order of time. The rows claim a first part of these quantities: their times add up to where they end, which
// fixes how much of each dimension there must be (energy to the millisecond), and their amounts must be, to the
// micro, what the oracle's components make of that first part. The price in the session's newest version must be the
// oracle's price, settled, of the readings up to that version.
package verify
