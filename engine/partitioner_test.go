package engine

import (
	"fmt"
	"strings"
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
				if got, want := p.of(cp), int32(peer.Balance(kafkago.Message{Key: cp}, all...)); got != want {
					t.Errorf("%s of %d: %q is of %d, want %d", hash, n, cp, got, want)
				}
			}
		}
	}
	f(Murmur2, kafkago.Murmur2Balancer{Consistent: true})
	f(CRC32, kafkago.CRC32Balancer{Consistent: true})
}

// TestWrongPartition: strays are rejected, each reading of a packed message for itself, and the rest is rated.
func TestWrongPartition(t *testing.T) {
	ours, stray := "", ""
	p := Partitioner{Hash: Murmur2, Partitions: 4}
	for i := 0; ours == "" || stray == ""; i++ {
		if cp := fmt.Sprintf("CP%d", i); p.of([]byte(cp)) == readings.Number {
			ours = cp
		} else {
			stray = cp
		}
	}
	b := newBare(t, Config{EngineID: "x", Partitioners: map[string]Partitioner{readings.Topic: p}}, ours, stray)
	for i := range int64(4) {
		packed := append(of(ours, "a", meter(minutes(i), 1000*i, i)), of(stray, "b", meter(minutes(i), 1000*i, i))...)
		b.send(t, minutes(i)+500, packed...)
	}
	if got := b.last(); len(got) != 1 || !strings.HasPrefix(got["a"], "status 2, ") {
		t.Errorf("sessions: %v", got)
	}
	if len(b.block.Rejects) != 4 {
		t.Fatalf("%d rejects, want one of each message", len(b.block.Rejects))
	}
	for i, m := range b.block.Rejects {
		want := fmt.Sprintf(`"index":1,"reason":"wrong_partition: charge point \"%s\" is of partition %d by murmur2 of 4, and came through %d"`, stray, p.of([]byte(stray)), readings.Number)
		if !strings.Contains(string(m.Value), want) {
			t.Errorf("reject %d: %s, want %s", i, m.Value, want)
		}
	}
	bare := newBare(t, Config{EngineID: "x"}, ours, stray)
	bare.each(t, of(stray, "b", meter(minutes(0), 0, 0), meter(minutes(1), 1000, 1))...)
	if len(bare.block.Rejects) != 0 || len(bare.last()) != 1 {
		t.Error("without a partitioner nothing is checked")
	}
}
