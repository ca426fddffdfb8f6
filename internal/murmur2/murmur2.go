package murmur2

import "encoding/binary"

// Partition is the partition that Kafka's default partitioner (BuiltInPartitioner.partitionForKey of the Java
// client) gives a record with this key. partitions must be positive. key is only read.
func Partition(key []byte, partitions int32) int32 {
	return int32(sum(key)&0x7fffffff) % partitions
}

// sum is the 32-bit MurmurHash2 with the seed of org.apache.kafka.common.utils.Utils.murmur2.
func sum(key []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(key))
	for len(key) >= 4 {
		k := binary.LittleEndian.Uint32(key) * m
		k ^= k >> 24
		h = h*m ^ k*m
		key = key[4:]
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
