// Package snapshot is the state of a shard as it lies in memory between two readings, and as bytes.
//
// It owns the structs that outlive a process (Session, Connector, ...), their encoding with a version byte and a
// checksum, and the splitting into chunks of Kafka message size. It does not own what the fields mean while the
// shard runs (package engine), the pricing state (rating.State encodes itself), nor where the bytes are kept.
//
// Invariants:
//
//	N1  Bytes are a function of the state alone: sessions by key, names by index, everything else sorted. Two
//	    shards in the same state encode to the same bytes, whatever the order of their slabs.
//	N2  Decode never panics, never allocates more than a small multiple of its input, and accepts only what
//	    Append made, bit for bit.
//	N3  A version byte leads; a reader accepts its own version and the one before (docs/formats/snapshot.md).
package snapshot
