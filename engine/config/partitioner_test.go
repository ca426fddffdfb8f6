package config

import (
	"fmt"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
)

// TestPartitioner holds the hashes against those of a client that many producers use.
func TestPartitioner(t *testing.T) {
	f := func(hash string, peer kafkago.Balancer) {
		t.Helper()
		for _, n := range []int32{1, 3, 16, 1000} {
			all := make([]int, n)
			for i := range all {
				all[i] = i
			}
			p := Partitioner{Hash: hash, Partitions: n}
			for i := range 200 {
				cp := fmt.Appendf(nil, "NL-WTL-%0*d", i%40, i)
				if got, want := p.Of(cp), int32(peer.Balance(kafkago.Message{Key: cp}, all...)); got != want {
					t.Errorf("%s of %d: %q is of %d, want %d", hash, n, cp, got, want)
				}
			}
		}
	}
	f(Murmur2, kafkago.Murmur2Balancer{Consistent: true})
	f(CRC32, kafkago.CRC32Balancer{Consistent: true})
}
