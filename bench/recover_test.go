package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smallRecover is 2,000 sessions on real ends.
func smallRecover(t *testing.T) RecoverConfig {
	cfg := DefaultRecover()
	cfg.Ends = testEnds(t)
	cfg.Sessions, cfg.Partitions, cfg.Runs, cfg.Settle = 2_000, 4, 2, time.Second
	cfg.SnapshotReplay = time.Millisecond // or there would be none of all sessions for ten minutes
	return cfg
}

func checkRecover(t *testing.T, r *RecoverResult, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	r.WriteTable(&table)
	t.Logf("\n%s", &table)
	if !r.SumsEqual || len(r.Runs) != 2 || r.Readings < 2_000 || len(r.Checks) < 15 || r.StallMaxMs <= 0 || r.MedianMs <= 0 {
		t.Errorf("%+v", r)
	}
	for i, run := range r.Runs {
		sum := run.StartMs + run.ReferenceMs + run.JoinMs + run.LoadMs + run.ReplayMs + run.CatchUpMs
		if math.Abs(sum-run.TotalMs) > 1e-3 || run.StartMs <= 0 || run.ReferenceMs <= 0 || run.LoadMs <= 0 || run.PeakRSS <= 0 || run.Fallbacks != 0 {
			t.Errorf("run %d, whose pieces are %f together: %+v", i, sum, run)
		}
	}
	if !strings.Contains(table.String(), "equal to the truth") {
		t.Error("the table does not say that the sums are equal")
	}
}

// TestRecover: the engine is killed twice in the middle of its load and comes back; nothing is lost or doubled.
func TestRecover(t *testing.T) {
	cfg := smallRecover(t)
	cfg.ProfileDir = filepath.Join(t.TempDir(), "made by the run")
	r, err := RunRecover(t.Context(), cfg)
	checkRecover(t, r, err)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"recovery_ms", "snapshot_stall_max_ms", "load_ms", "sums_equal"} {
		if !bytes.Contains(text, []byte(`"`+key+`"`)) {
			t.Errorf("the JSON has no %s: %s", key, text)
		}
	}
	if left, err := os.ReadDir(cfg.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind in %s: %v, %v", cfg.Dir, left, err)
	}
}

// TestTakeover: another engine goes on, after the group has given up the one that was killed.
func TestTakeover(t *testing.T) {
	cfg := smallRecover(t)
	cfg.Takeover, cfg.SessionTimeout = true, 6*time.Second
	r, err := RunRecover(t.Context(), cfg)
	checkRecover(t, r, err)
	for i, run := range r.Runs {
		// The time-out runs from the last heartbeat, up to 1.2 s before the kill.
		if wait := run.StartMs + run.ReferenceMs + run.JoinMs; wait < 4_000 {
			t.Errorf("run %d: the partitions came after %.0f ms, before the session time-out", i, wait)
		}
	}
}

// TestPhases: the pieces of a recovery follow each other, also where one was done beside another.
func TestPhases(t *testing.T) {
	killed := time.Unix(1000, 0)
	at := func(ms int64) int64 { return killed.UnixNano() + ms*1e6 }
	r := phases(killed, &lifeLine{AtNs: at(100), Milestones: stones{Began: at(10), Reference: at(50), Assigned: at(40), Loaded: at(70), Recovered: at(90)}})
	want := RecoverRun{TotalMs: 100, StartMs: 10, ReferenceMs: 40, JoinMs: 0, LoadMs: 20, ReplayMs: 20, CatchUpMs: 10}
	if r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
}
