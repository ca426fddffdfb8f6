package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// nextRelease builds the program as a release with the next rating version: of the same sources, with one number of
// package rating replaced for the compiler.
func (s *scene) nextRelease() string {
	s.t.Helper()
	source, err := filepath.Abs("../../rating/plan.go")
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		s.t.Fatal(err)
	}
	was, now := fmt.Sprintf("const RatingVersion = %d\n", rating.RatingVersion), fmt.Sprintf("const RatingVersion = %d\n", rating.RatingVersion+1)
	if strings.Count(string(text), was) != 1 {
		s.t.Fatalf("%s does not have %q", source, was)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: s.write("plan.go.txt", strings.Replace(string(text), was, now, 1))}})
	if err != nil {
		s.t.Fatal(err)
	}
	binary := filepath.Join(s.dir, "wattline-next")
	cmd := exec.CommandContext(s.ctx, "go", "build", "-overlay", s.write("overlay.json", string(overlay)), "-o", binary, "github.com/wattline/wattline/cmd/wattline")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// leftover says by partition what a clean stop should not have left: a plan, or readings since the last snapshot.
func (s *scene) leftover(partitions int32) map[int32]string {
	s.t.Helper()
	left := map[int32]string{}
	for p, c := range s.commits(partitions) {
		m, err := engine.ParseMetadata(c.Metadata)
		switch {
		case err != nil:
			left[p] = fmt.Sprintf("offset %d, %q: %v", c.Offset, c.Metadata, err)
		case len(m.Plans) > 0 || m.Snapshot.Count == 0 || m.Snapshot.Offset != c.Offset:
			left[p] = fmt.Sprintf("offset %d, %q", c.Offset, c.Metadata)
		}
	}
	return left
}

// gate is a producer that holds its last records back, so that the next release has something to rate on a slow machine, too.
type gate struct {
	loadgen.Producer
	left int64 // records until it holds
	open chan struct{}
}

// Append implements loadgen.Producer.
func (g *gate) Append(ctx context.Context, r *loadgen.Record) error {
	if g.left--; g.left == 0 {
		select {
		case <-g.open:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return g.Producer.Append(ctx, r)
}

// TestUpgrade: an engine that is killed leaves plans, which a release with other rules refuses with what to do. What it
// says, and docs/runbook/rating-version.md, is then done, and the new release goes on. A stop while the store stands
// still says what it left.
func TestUpgrade(t *testing.T) {
	s := newScene(t, "upgrade")
	next := s.nextRelease()
	n, untilMs := killedNetwork(t)
	partitions := n.Config().Partitions
	truth := truthOf(t, n, untilMs)
	sums := n.Sums(untilMs, 15*60_000)
	total := sums.Readings + sums.Duplicates
	a := s.engine("a", "protobuf", partitions, "  block_age_max: 1s", "  blocks_per_second: 100", "  stop_timeout: 3s")
	s.must("migrate", "--config", a.config)
	s.loadReference(n, a.config)
	a.start()
	a.ready()
	rest := &gate{Producer: newProducer(t, s.kafkaClient(), s.readingsTopic(), partitions), left: total * 7 / 10, open: make(chan struct{})}
	sent := s.send(n, rest, 1800)
	s.awaitDurable(15, total, a)

	// A stop that can not be finished in time.
	s.freeze(shared.store.pid)
	s.await("plans of most partitions while the store stands still", 30*time.Second, runningEngines(a), func() (bool, string) {
		plans := s.plans(partitions)
		return len(plans) > int(partitions)/2, fmt.Sprintf("%v", plans)
	})
	if took, err := a.proc.stop(syscall.SIGTERM, 30*time.Second); err == nil {
		t.Errorf("a stop while the store stands still ended in %v without an error", took)
	}
	if log := a.proc.output(); !strings.Contains(log, "not durable within the stop time-out: the next start finishes it") {
		t.Errorf("the log does not say what the stop has left:\n%s", tail(a.proc.log, 20))
	}
	if len(s.leftover(partitions)) == 0 {
		t.Fatal("nothing was left: the test proves nothing")
	}
	s.thaw(shared.store.pid)

	// The next release refuses to go on, partition by partition, and writes nothing.
	before := s.ask("SELECT count(), sum(readings) FROM blocks")
	b := s.launchBinary(next, "a", "run", "--config", a.config)
	var body string
	s.await("the next release halts", time.Minute, []*process{b}, func() (bool, string) {
		var code int
		code, body = a.get("/readyz", nil)
		return code == http.StatusServiceUnavailable && strings.Contains(body, "rating-version"), fmt.Sprintf("%d %s", code, body)
	})
	want := fmt.Sprintf("its state was made by rating version %d, this release has %d", rating.RatingVersion, rating.RatingVersion+1)
	if !strings.Contains(body, want) || !strings.Contains(body, "what to do: ") {
		t.Errorf("the halt does not say %q and what to do: %s", want, body)
	}
	if _, err := b.stop(syscall.SIGTERM, 2*time.Minute); err != nil && !b.ended() {
		t.Error(err) // with what status it ends is of no interest: it has halted
	}
	if now := s.ask("SELECT count(), sum(readings) FROM blocks"); now != before {
		t.Errorf("blocks after the halt: %s, before: %s", now, before)
	}

	// What the page says: the release before, ready, an orderly stop, the new one. A busy machine needs more than the
	// 3 s that the stop above was given to fail in.
	a.config = s.write("a-patient.yaml", s.configText("a", a.api, "protobuf", partitions, "  block_age_max: 1s", "  blocks_per_second: 100", "  stop_timeout: 2m"))
	a.start()
	a.ready()
	if _, err := a.proc.stop(syscall.SIGTERM, 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	if left := s.leftover(partitions); len(left) > 0 {
		t.Fatalf("after an orderly stop: %v", left)
	}
	at := s.durable()
	a.proc = s.launchBinary(next, "a", "run", "--config", a.config)
	a.ready()
	close(rest.open)
	sent.wait(t)
	s.awaitDurable(100, total, a)
	if _, err := a.proc.stop(syscall.SIGTERM, 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	if left := s.leftover(partitions); len(left) > 0 {
		t.Errorf("after an orderly stop of the next release: %v", left)
	}
	t.Logf("%d of %d readings were rated by rating version %d", total-at, total, rating.RatingVersion+1)
	if got, want := s.ask("SELECT groupUniqArray(rating_version) AS v FROM (SELECT rating_version FROM blocks ORDER BY rating_version)"), fmt.Sprintf("[%d,%d]", rating.RatingVersion, rating.RatingVersion+1); got != want && got != fmt.Sprintf("[%d,%d]", rating.RatingVersion+1, rating.RatingVersion) {
		t.Errorf("rating versions of blocks: %s, want %s", got, want)
	}
	latest, summed := stored(t, s.sql())
	compare(t, "sessions_latest", truth, latest)
	compare(t, "sums of charges", truth, summed)
}
