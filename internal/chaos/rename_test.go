package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/loadgen"
)

// buildProgram makes the binary as it ships.
func buildProgram(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(dir, "wattline")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/wattline/wattline/cmd/wattline")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// renameCase is what happens at a rename.
type renameCase struct {
	name   string
	action int
	engine bool // is killed too: its next life finds what the insert left
}

func renameCases() []renameCase {
	return []renameCase{
		{"kill the store instead of rename", atRenameKill, false},
		{"kill the store right after rename", atRenameKillAfter, false},
		{"ENOSPC instead of rename", atRenameNoSpace, false},
		{"kill store and engine instead of rename", atRenameKill, true},
		{"kill store and engine right after rename", atRenameKillAfter, true},
	}
}

// TestRenames has the store fail at each rename that the inserts of a block make, in every way, and holds the ledger to
// the truth after it. ClickHouse notes an insert's token before its part is in place: at some of them the retry is
// answered OK and writes nothing, which the engine has to find out.
func TestRenames(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Apache Kafka and the ClickHouse engine")
	}
	if err := parts.Ensure(t.Context(), parts.Options{}, parts.CC); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	shim, err := buildShim(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg := (&Config{
		Out: t.Output(), Dir: dir, Program: buildProgram(t, dir), Engines: 1, ChargePoints: 60, Seed: 5,
		Duration: time.Minute, Speed: 1440, blockAge: 100 * time.Millisecond,
	})
	whole := cfg.withDefaults()
	w, err := newWorld(&whole, newJournal(t.Output()), filepath.Join(dir, "world"), shim, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.end(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the engine's end:\n%s\nthe store's end:\n%s", tail(w.engines[0].log, 30), tail(w.store.log, 10))
		}
	})
	if err := w.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRenames(t, w)
	r.warm() // the tables are warm: what follows is inserts
	for _, c := range renameCases() {
		for n := int64(1); r.fault(c, n); n++ {
			if n > 20 {
				t.Fatalf("%s %d: a block has so many renames?", c.name, n)
			}
		}
	}
	r.finish()
}

// renames is the test at work: it sends a piece of the network and sees it become a block of one partition.
type renames struct {
	t        *testing.T
	w        *world
	producer *poisoner
	atMs     int64 // all before it was sent to partition 0
}

func newRenames(t *testing.T, w *world) *renames {
	client, err := kafka.New(kafka.Config{Brokers: []string{w.direct()}, ClientID: "renames", Produce: kafka.ProduceConfig{Compression: kafka.CompressionLZ4}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	r := &renames{t: t, w: w, producer: &poisoner{to: client.Producer()}, atMs: w.network.Config().EpochMs}
	for range partitions {
		e, err := kafka.NewBatchEncoder(kafka.CompressionLZ4)
		if err != nil {
			t.Fatal(err)
		}
		r.producer.batches = append(r.producer.batches, e)
	}
	return r
}

// pieceMs is what a block is made of: 20 simulated minutes of partition 0, which end a slice of every session.
const pieceMs = 20 * 60_000

// send sends the readings of some partitions from fromMs on.
func (r *renames) send(fromMs, untilMs int64, partitions ...int32) {
	r.t.Helper()
	cfg := loadgen.RunConfig{Network: r.w.network, FromMs: fromMs, UntilMs: untilMs, Partitions: partitions, Clock: wallClock{}}
	if _, err := loadgen.Run(r.t.Context(), cfg, r.producer); err != nil {
		r.t.Fatal(err)
	}
}

// ends asks where the logs end.
func (r *renames) ends() []int64 {
	r.t.Helper()
	ends, err := r.w.logEnds(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return ends
}

// await waits until the logs up to ends are in blocks. revive is called again and again meanwhile.
func (r *renames) await(what string, ends []int64, revive func()) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		state, missing, err := r.w.behind(ctx, ends)
		if err == nil && missing == 0 {
			return
		}
		if ctx.Err() != nil {
			r.t.Fatalf("%s: not all readings came into blocks: %s", what, state)
		}
		revive()
		pause(ctx, 20*time.Millisecond)
	}
}

// warm makes a first block without a fault.
func (r *renames) warm() {
	r.t.Helper()
	r.send(r.atMs, r.atMs+pieceMs, 0)
	r.atMs += pieceMs
	r.await("the first block", r.ends(), func() {})
}

// fault makes a block whose n-th rename suffers. false: it has fewer renames.
func (r *renames) fault(c renameCase, n int64) bool {
	r.t.Helper()
	what := fmt.Sprintf("%s %d", c.name, n)
	began := time.Now()
	p := r.w.store.unwanted()
	before := r.w.storeDisk.done()
	r.w.storeDisk.arm(c.action, n)
	r.send(r.atMs, r.atMs+pieceMs, 0)
	r.atMs += pieceMs
	r.await(what, r.ends(), func() {
		if !p.ended() || r.w.store.running() != p {
			return
		}
		if c.engine {
			if err := r.w.engines[0].kill(); err != nil {
				r.t.Fatal(err)
			}
		}
		if err := r.w.store.start(); err != nil {
			r.t.Fatal(err)
		}
		if c.engine {
			if err := r.w.engines[0].start(); err != nil {
				r.t.Fatal(err)
			}
		}
	})
	r.w.storeDisk.arm(0, 0)
	suffered := r.w.storeDisk.done() > before
	r.t.Logf("%s: suffered %v, %.1f s", what, suffered, time.Since(began).Seconds())
	return suffered
}

// finish sends the rest and judges.
func (r *renames) finish() {
	r.t.Helper()
	r.send(r.atMs, 0, 0)
	var others []int32
	for i := int32(1); i < partitions; i++ {
		others = append(others, i)
	}
	r.send(0, 0, others...)
	ends := r.ends()
	r.await("the rest", ends, func() {})
	if ok, err := r.w.engines[0].stop(stopLimit); !ok || err != nil {
		r.t.Errorf("the engine did not stop in order: %v", err)
	}
	if err := r.w.checkPlans(r.t.Context(), ends); err != nil {
		r.t.Error(err)
	}
	if err := r.w.prove(r.t.Context()); err != nil {
		r.t.Error(err)
	}
	for _, f := range r.w.log.failures() {
		r.t.Error(f)
	}
	said, err := os.ReadFile(r.w.engines[0].log)
	if err != nil {
		r.t.Fatal(err)
	}
	// Else the test proves nothing: this is the instant that it is about.
	if n := strings.Count(string(said), "token was noted without rows"); n == 0 {
		r.t.Error("no token was noted in vain")
	} else {
		r.t.Logf("%d tokens were noted in vain", n)
	}
}
