package engine

import (
	"encoding/binary"

	"github.com/dchest/siphash"

	"github.com/wattline/wattline/engine/snapshot"
)

// HashKey keys the hash that is a session's identity. It is made once for an installation and is the first
// record of the reference log, so every engine and every replay has the same.
type HashKey [16]byte

// MaxChargePoint is the longest charge point identity, bytes (OCPP 1.6 and 2.0.1 allow 48).
const MaxChargePoint = 48

// hasher makes session keys. Not safe for concurrent use: every shard has its own.
type hasher struct {
	k0, k1 uint64
	buf    [MaxChargePoint + 1 + 4 + snapshot.MaxTransaction]byte
}

func newHasher(key HashKey) hasher {
	return hasher{k0: binary.LittleEndian.Uint64(key[:8]), k1: binary.LittleEndian.Uint64(key[8:])}
}

// key is SipHash-2-4-128 of the length of the charge point's identity, the identity, the connector (4 bytes,
// little endian) and the transaction (docs/formats/identity.md). The lengths were checked by the caller.
func (h *hasher) key(chargePoint []byte, connector int32, transaction []byte) snapshot.Key {
	h.buf[0] = byte(len(chargePoint))
	n := 1 + copy(h.buf[1:], chargePoint)
	binary.LittleEndian.PutUint32(h.buf[n:], uint32(connector))
	n += 4
	n += copy(h.buf[n:], transaction)
	a, b := siphash.Hash128(h.k0, h.k1, h.buf[:n])
	if a == 0 && b == 0 {
		b = 1 // the zero key is "no session"
	}
	return snapshot.Key{a, b}
}

// SessionUUID writes a key as the 16 bytes of column session_id: big endian, the halves in order.
func SessionUUID(k snapshot.Key) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], k[0])
	binary.BigEndian.PutUint64(id[8:], k[1])
	return id
}
