// Package jsontext walks JSON texts for the decoders of readings: without allocation, without a tree, and as
// strict as encoding/json.
//
// It owns the grammar of RFC 8259 and the limit of depth. It does not own what members mean, nor numbers as values:
// a number is the text that was sent, so that no digit of it is lost.
//
// Invariants:
//
//   - T1: what is accepted is JSON by encoding/json too, and what it refuses is refused (FuzzSkip), but for depth.
//   - T2: a text without escapes points into the message; nothing is copied.
//   - T3: no index is ever beyond the message, whatever its bytes are.
package jsontext
