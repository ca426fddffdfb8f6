package loadgen

import (
	"context"
	"errors"
	"testing"
	"time"
)

var errEnough = errors.New("enough")

// How fast are readings made? An operation is a reading of the full bench network.
func BenchmarkStream(b *testing.B) {
	s := mustNew(b, Bench()).Stream(0)
	left := b.N
	send := func(*Event) error {
		if left--; left == 0 {
			return errEnough
		}
		return nil
	}
	b.ReportAllocs()
	b.ResetTimer()
	for s.Tick(send) == nil {
	}
}

// discard is a producer that counts.
type discard struct {
	left  int
	bytes int64
}

func (d *discard) Append(_ context.Context, r *Record) error {
	d.bytes += int64(len(r.Value))
	if d.left--; d.left == 0 {
		return errEnough
	}
	return nil
}

func (d *discard) Flush(context.Context) error { return nil }

// How fast are records made? An operation is a record of the full bench network, in Protobuf, with its key.
func BenchmarkRun(b *testing.B) {
	n := mustNew(b, Bench())
	d := &discard{left: b.N}
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := Run(b.Context(), RunConfig{Network: n, Clock: &fakeClock{time.Unix(0, 0)}}, d); !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
	b.ReportMetric(float64(d.bytes)/float64(b.N), "bytes/record")
}

// What does it cost to resume a city of 2,000 charge points that has run for 30 days? An operation is a resume.
func BenchmarkResume(b *testing.B) {
	n := mustNew(b, City())
	for b.Loop() {
		n.Stream(n.cfg.EpochMs + 30*dayMs)
	}
}

// What does it cost to build the bench network? An operation is a network.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		mustNew(b, Bench())
	}
}

// What do the sums of the bench network cost? An operation is a reading.
func BenchmarkSums(b *testing.B) {
	cfg := Bench()
	cfg.ChargePoints = 10_000
	n := mustNew(b, cfg)
	var readings int64
	for b.Loop() {
		readings = n.Sums(cfg.EpochMs+500_000, 900_000).Readings
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(readings)/float64(b.N), "ns/reading")
}

// What does the oracle's truth cost? An operation is a session of a city.
func BenchmarkTruth(b *testing.B) {
	cfg := smallCity(100)
	n := mustNew(b, cfg)
	until := cfg.EpochMs + 12*hourMs
	var sessions []Session
	for s := range n.Sessions(until) {
		sessions = append(sessions, *s)
	}
	var readings int64
	i := 0
	for b.Loop() {
		truth, err := sessions[i%len(sessions)].Truth(until)
		if err != nil {
			b.Fatal(err)
		}
		readings += truth.Readings
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(readings), "ns/reading")
}
