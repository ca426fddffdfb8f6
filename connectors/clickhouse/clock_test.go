package clickhouse

import (
	"context"
	"testing"
	"time"
)

// TestClockAhead: a store on this machine has this machine's clock, within what the question took.
func TestClockAhead(t *testing.T) {
	s := newStore(t)
	ahead, within, err := s.ClockAhead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if within <= 0 || max(ahead, -ahead) > within+time.Millisecond {
		t.Errorf("ahead by %v, within %v", ahead, within)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.ClockAhead(ctx); err == nil {
		t.Error("a question that was given up has an answer")
	}
}
