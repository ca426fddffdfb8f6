package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wattline/wattline/engine/config"
)

// TestWrongPartition: strays are rejected, each reading of a packed message for itself, and the rest is rated.
func TestWrongPartition(t *testing.T) {
	ours, stray := "", ""
	p := Partitioner{Hash: config.Murmur2, Partitions: 4}
	for i := 0; ours == "" || stray == ""; i++ {
		if cp := fmt.Sprintf("CP%d", i); p.Of([]byte(cp)) == readings.Number {
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
		want := fmt.Sprintf(`"index":1,"at_ms":%d,"reason":"wrong_partition: charge point \"%s\" is of partition %d by murmur2 of 4, and came through %d"`, m.TimestampMs, stray, p.Of([]byte(stray)), readings.Number)
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
