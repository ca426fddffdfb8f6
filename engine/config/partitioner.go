package config

import (
	"fmt"
	"hash/crc32"

	"github.com/wattline/wattline/internal/murmur2"
)

// Partitioner says how the producers of a readings topic choose the partition of a charge point. All readings of a
// charge point must come through one partition, because a session's state is in one shard; where the configuration
// names the hash, the engine checks it, packed messages included, and rejects strays.
type Partitioner struct {
	Hash       string // one of Partitioners; "" for a topic whose producers are not known: nothing is checked
	Partitions int32  // of the topic
}

// The hashes that are known.
const (
	// Murmur2 is that of Kafka's own producer (org.apache.kafka.common.utils.Utils.murmur2, sign bit cleared).
	Murmur2 = "murmur2"
	// CRC32 is librdkafka's "consistent": CRC-32 of the ISO polynomial.
	CRC32 = "crc32"
)

// validate returns what is wrong with p.
func (p Partitioner) validate() error {
	switch {
	case p.Hash == "":
		return nil
	case p.Hash != Murmur2 && p.Hash != CRC32:
		return fmt.Errorf("hash %q is neither %s nor %s", p.Hash, Murmur2, CRC32)
	case p.Partitions <= 0:
		return fmt.Errorf("%d partitions", p.Partitions)
	}
	return nil
}

// String is the form of the commit's metadata: "murmur2,16", or "" for none.
func (p Partitioner) String() string {
	if p.Hash == "" {
		return ""
	}
	return fmt.Sprintf("%s,%d", p.Hash, p.Partitions)
}

// Of returns the partition of a charge point. p has a hash.
func (p Partitioner) Of(chargePoint []byte) int32 {
	if p.Hash == CRC32 {
		return int32(crc32.ChecksumIEEE(chargePoint) % uint32(p.Partitions))
	}
	return murmur2.Partition(chargePoint, p.Partitions)
}
