package identity

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/dchest/siphash"

	"github.com/wattline/wattline/engine/snapshot"
)

// MaxChargePoint is the longest charge point identity, bytes (OCPP 1.6 and 2.0.1 allow 48).
const MaxChargePoint = 48

// Hasher makes session keys. Not safe for concurrent use: every shard has its own.
type Hasher struct {
	k0, k1 uint64
	buf    [MaxChargePoint + 1 + 4 + snapshot.MaxTransaction]byte
}

// NewHasher returns the hasher of an installation.
func NewHasher(key [16]byte) Hasher {
	return Hasher{k0: binary.LittleEndian.Uint64(key[:8]), k1: binary.LittleEndian.Uint64(key[8:])}
}

// Key is SipHash-2-4-128 of the length of the charge point's identity, the identity, the connector (4 bytes,
// little endian) and the transaction (docs/formats/identity.md). The lengths were checked by the caller.
func (h *Hasher) Key(chargePoint []byte, connector int32, transaction []byte) snapshot.Key {
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

// SessionID is the UUID that column session_id has.
type SessionID [16]byte

// Of is the id of a session whose partition is source (SourceOf): 16 bytes, big endian. The first half is the key's first
// half; the second is the key's second half mixed with the partition and the offset of the message that began the
// session. A central system that starts its transaction ids anew makes the same key again, and so does a charge point
// that comes through another topic, but never the same session.
func Of(source uint64, s *snapshot.Session) (id SessionID) {
	binary.BigEndian.PutUint64(id[:8], s.Key[0])
	binary.BigEndian.PutUint64(id[8:], s.Key[1]^mix(uint64(s.FirstOffset)^source))
	return id
}

// ParseSessionID reads the text of a UUID, with or without dashes.
func ParseSessionID(text string) (id SessionID, ok bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != len(id) {
		return id, false
	}
	return SessionID(b), true
}

func (id SessionID) String() string {
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:], id[10:])
	return string(b[:])
}

// SourceOf is the part of a partition in session ids; its text is TOPIC/NUMBER.
func SourceOf(partition string) uint64 { return xxhash.Sum64String(partition) }

// mix spreads an offset over 64 bits, one to one (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
