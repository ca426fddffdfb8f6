// Package arrowipc reads meter readings in Apache Arrow: one whole IPC stream (schema, dictionaries, record batches) for
// each Kafka message, a row a reading. The schema is in schema.go and docs/formats/reading-arrow.md.
//
// It owns the bytes of the format and what is safe of them: Decode walks every length, offset and index of a message
// itself (check*.go) before github.com/apache/arrow/go sees any, because the library believes them: a wrong one makes it
// ask for terabytes, which ends the process, recover or not. It does not own the file format of Arrow, which is not
// taken from outside, nor what a reading means.
//
// Invariants:
//
//   - A1: what the library is given has only tables, vectors and buffers that lie inside of the message, only columns
//     of schema.go with their types, and no offset or index beyond what it points into.
//   - A2: the memory of one message is bounded by its size: buffers do not overlap and are not compressed.
//   - A3: every field of a decoded Reading is set, whatever dst held before.
//   - A4: Decode(Encode(readings)) is readings, but for Flags.
//   - A5: texts are UTF-8 and within the limits of the other formats; nothing is converted, rounded or scaled.
package arrowipc
