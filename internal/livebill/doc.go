// Package livebill makes the explained bill of a session that runs: what its rows say, from the store, and what is not in a
// row yet, from the engine.
//
// It owns the questions, their order and the words. It does NOT own prices (the engine's), nor how a bill looks
// (internal/liveview).
//
// Invariants:
//
//   - LB1 rows are asked for before the price: the price has all that the rows have, and what is left is never negative by
//     the order of the questions.
package livebill
