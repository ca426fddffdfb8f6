package engine

import (
	"fmt"
	"testing"

	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/snapshot"
)

// BenchmarkPrices is one question for 64 sessions, as the API asks it for streams: the time that rating waits.
func BenchmarkPrices(b *testing.B) {
	var names []string
	for i := range 64 {
		names = append(names, fmt.Sprintf("CP%d", i))
	}
	s := newBare(b, testConfig(), names...)
	var ids []SessionID
	for i, name := range names {
		s.each(b, of(name, fmt.Sprint(i), startAt(minutes(0), 0, 0), meter(minutes(5), kwh, 1))...)
	}
	s.sessions.Each(func(ss *snapshot.Session) { ids = append(ids, identity.Of(s.source, ss)) })
	if len(ids) != len(names) {
		b.Fatalf("%d sessions", len(ids))
	}
	found := make([]SessionView, len(ids))
	b.ReportAllocs()
	for b.Loop() {
		for i, id := range ids {
			s.withID(id, func(ss *snapshot.Session) { found[i] = s.view(ss) })
		}
	}
	if found[63].ID == "" {
		b.Fatal("not found")
	}
}
