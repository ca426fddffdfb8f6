package reference

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// memory is a reference log in memory.
type memory []engine.Record

// ReadLog implements engine.LogReader.
func (m memory) ReadLog(_ context.Context, _ string, _ int32, from int64, fn func(engine.Record) error) (int64, error) {
	for i := from; i < int64(len(m)); i++ {
		if err := fn(m[i]); err != nil {
			return i, err
		}
	}
	return int64(len(m)), nil
}

// manyContracts is a log of n of them.
func manyContracts(tb testing.TB, n int) memory {
	tb.Helper()
	log := make(memory, n)
	for i := range log {
		p := rating.Pseudonym{KeyID: 1}
		for b := range p.Value {
			p.Value[b] = byte(uint64(i+b) * 0x9e3779b97f4a7c15 >> 40)
		}
		copy(p.Value[8:], fmt.Sprintf("%08d", i))
		key, value, err := ocpi.AppendReference(nil, nil, &ocpi.Reference{
			Kind: ocpi.ReferenceContract, By: "ann@desk", AtMs: 1_767_225_600_000, Pseudonym: p, Contract: &rating.Contract{
				CountryCode: "NL", PartyID: "WTL", ID: fmt.Sprintf("NL-WTL-C%08d", i), Tier: "member", ValidFromMs: 1_767_225_600_000, ValidToMs: rating.Unknown,
			},
		})
		if err != nil {
			tb.Fatal(err)
		}
		log[i] = engine.Record{Offset: int64(i), Key: key, Value: value}
	}
	return log
}

// BenchmarkContracts is what a million contracts cost the start of an engine, and its memory.
func BenchmarkContracts(b *testing.B) {
	n := 1_000_000
	if testing.Short() {
		n = 10_000
	}
	log := manyContracts(b, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var kept *engine.Reference
	cpu := cpuNs()
	for b.Loop() {
		kept = engine.NewReference(Decode, nil)
		if err := kept.Follow(b.Context(), log, "reference"); err != nil {
			b.Fatal(err)
		}
	}
	cpu = cpuNs() - cpu
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(cpu)/float64(b.N)/float64(n), "cpu-ns/contract")
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(n), "B/contract")
	runtime.KeepAlive(kept)
	runtime.KeepAlive(log)
}

// cpuNs is what this process has used of all cores.
func cpuNs() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
