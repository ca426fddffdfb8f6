// Package oracle prices a session slowly and obviously, over math/big, from the text of EXACTNESS
// (docs/ARCHITECTURE.md) alone. It is what the fast pricer of package rating is held against, the ground truth of
// the load generator and the second opinion of `wattline verify` and of `wattline price --oracle`.
//
// It owns a second, independent answer to "what does this session cost". It does not own speed, running prices,
// state or rows, and is never used by the engine.
//
// Invariants:
//
//   - P1, nothing shared: of package rating only the vocabulary (Tariff and its constants) is used, of package
//     money nothing. Clocks come from package time and the *time.Location handed in.
//   - P2, from scratch: every interval is cut at every instant and energy where any element could change its
//     answer, and each piece is asked anew, without memory of the piece before. A cut too many is harmless
//     (EXACTNESS 2), a cut too few is a bug.
//   - P3, exact: quantities are whole mWh and ms, money is a big.Rat until Round.
//
// Reading it: price.go is the order of events, cut.go is EXACTNESS 2, choose.go is EXACTNESS 3, settle.go is
// EXACTNESS 4.
package oracle
