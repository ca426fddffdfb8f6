// Package reject is the record that the engine writes of a message, or one reading of it, that it can not use
// (docs/formats/rejects.md).
//
// It owns the bytes: key, value, and the original that leaves only sealed. It does NOT own what is rejected and why
// (package engine), nor keys and sealing (internal/rejects).
//
// Invariants:
//
//   - J1 same message, same reason: same bytes, but for what is sealed.
//   - J2 nothing of a message that a decoder could not read stands in the clear part, but its coordinates: what a
//     decoder quotes is left out, and no part shows a number that may be a payment card's.
//   - J3 Parse and ParseOriginal never panic, and keep no more than they are given.
package reject
