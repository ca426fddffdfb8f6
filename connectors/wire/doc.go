// Package wire is Wattline's own format for meter readings: Protobuf, one Reading or one ReadingBatch for each
// Kafka message. The schema is reading.proto in this folder, the rules beside it are docs/formats/reading.md.
//
// It owns the bytes of the format: Append and AppendBatch write them, Decode reads them. They are written by
// hand because every reading passes here: Google's decoder costs about four times as much and allocates.
//
// It does not own what a reading means: a register that falls, a time in the future or a transaction that
// nobody knows is the engine's business. Decode refuses only what the format can not say.
//
// Invariants:
//
//   - W1: every field of a decoded Reading is set, whatever dst held before.
//   - W2: Decode(Append(r)) is r, but for Flags (a decoder's finding, not on the wire), if r is within the
//     ranges of the format.
//   - W3: bytes that Decode accepts are accepted by every conforming Protobuf decoder with the same values.
//     (The opposite does not hold: Decode has ranges and refuses wrong wire types and groups.)
//   - W4: the number of any field tells a Reading (below 32) from a ReadingBatch (from 32), so that a topic
//     may carry both without a header.
package wire
