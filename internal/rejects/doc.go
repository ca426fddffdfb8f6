// Package rejects keeps what was rejected out of sight, and gives it back to who may see it: the keys of an
// installation, sealing on the way to Kafka, and what `wattline rejects` does.
//
// It owns the files of keys, the sealed bytes (docs/formats/rejects.md) and the retry. It does NOT own what is rejected
// (package engine) nor the record around (engine/reject).
//
// An engine has the public key alone: whoever takes the engine, or the topic, can not open what was sealed. It is HPKE
// (RFC 9180) from Go's standard library: X25519, HKDF-SHA256, AES-256-GCM. HPKE seals a content key, which then seals
// many messages, so that a flood of rejects costs microseconds each.
//
// Invariants:
//
//   - Z1 without a public key nothing of a message goes to the topic but the clear part.
//   - Z2 what is sealed opens only as what it was sealed for: the record's key is part of the proof.
//   - Z3 a private key is in no error, no log and no output.
package rejects
