package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// perPartition is a metric by partition; nil: the engine does not answer.
func (e *engineNode) perPartition(name string) map[int32]int64 {
	code, body := e.get("/metrics", nil)
	if code != http.StatusOK {
		return nil
	}
	out := map[int32]int64{}
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name+`{partition="`)
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, `"`)
		p, err := strconv.Atoi(number)
		if err != nil {
			e.s.t.Errorf("GET /metrics: %q: %v", line, err)
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		if err != nil {
			e.s.t.Errorf("GET /metrics: %q: %v", line, err)
			continue
		}
		out[int32(p)] = int64(v)
	}
	return out
}

// owners are the engines' partitions; ok: each partition has one engine, which is ready.
func owners(partitions int32, engines ...*engineNode) (by map[*engineNode][]int32, ok bool) {
	by = map[*engineNode][]int32{}
	total, ready := 0, true
	for _, e := range engines {
		code, _ := e.get("/readyz", nil)
		ready = ready && code == http.StatusOK
		for p := range e.perPartition("wattline_recoveries_total") {
			by[e] = append(by[e], p)
		}
		slices.Sort(by[e])
		total += len(by[e])
	}
	return by, ready && total == int(partitions)
}

// settled waits until every partition has one engine, and each of the engines some.
func (s *scene) settled(what string, partitions int32, engines ...*engineNode) map[*engineNode][]int32 {
	s.t.Helper()
	var by map[*engineNode][]int32
	s.await(what, time.Minute, runningEngines(engines...), func() (bool, string) {
		var ok bool
		by, ok = owners(partitions, engines...)
		return ok && len(by) == len(engines), fmt.Sprint(by)
	})
	return by
}

// gaps watches how the partitions of engines are rated on, and notes for how long each stood still.
type gaps struct {
	mu   sync.Mutex
	at   map[int32]int64
	when map[int32]time.Time
	most map[int32]time.Duration
}

// watchGaps asks again and again until the test ends.
func (s *scene) watchGaps(engines ...*engineNode) *gaps {
	g := &gaps{at: map[int32]int64{}, when: map[int32]time.Time{}, most: map[int32]time.Duration{}}
	s.background(func() {
		for _, e := range engines {
			if s.ctx.Err() != nil || e.proc == nil || e.proc.ended() {
				continue
			}
			positions := e.perPartition("wattline_next_offset")
			g.see(positions, time.Now())
		}
	})
	return g
}

func (g *gaps) see(positions map[int32]int64, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, at := range positions {
		if at <= g.at[p] {
			continue
		}
		if was, ok := g.when[p]; ok {
			g.most[p] = max(g.most[p], now.Sub(was))
		}
		g.at[p], g.when[p] = at, now
	}
}

// take returns the longest standstill of each partition since the last call.
func (g *gaps) take() map[int32]time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	most := g.most
	g.most = map[int32]time.Duration{}
	for p, d := range most {
		most[p] = d.Round(time.Millisecond)
	}
	return most
}

// background calls step until the test ends.
func (s *scene) background(step func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				step()
			}
		}
	}()
	s.t.Cleanup(func() { close(stop); <-done })
}

// follower asks all engines in turn for running sessions, one question after the other, and holds what they say
// against what was said before. A state is a function of the offset: an offset never goes back, and the same one never
// comes with another price.
type follower struct {
	s       *scene
	engines []*engineNode

	mu                       sync.Mutex
	shown                    map[string]runningSession
	follow                   []string
	turn                     int
	answers, refused, absent int
	newest                   map[int32]int64 // by partition: greatest offset shown
	faults                   []string
}

func (s *scene) followPrices(engines ...*engineNode) *follower {
	f := &follower{s: s, engines: engines, shown: map[string]runningSession{}, newest: map[int32]int64{}}
	s.background(f.step)
	return f
}

// step asks one engine for the dearest sessions, and all engines for those that are followed.
func (f *follower) step() {
	f.turn++
	var list struct {
		Sessions []runningSession `json:"sessions"`
	}
	if f.get(f.engines[f.turn%len(f.engines)], "/v1/sessions?dearest=8", &list) && len(list.Sessions) > 0 {
		f.follow = f.follow[:0]
		for i := range list.Sessions {
			f.see(&list.Sessions[i])
			f.follow = append(f.follow, list.Sessions[i].ID)
		}
	}
	for _, id := range f.follow {
		for _, e := range f.engines {
			var one runningSession
			if f.get(e, "/v1/sessions/"+id, &one) {
				f.see(&one)
			}
		}
	}
}

func (f *follower) get(e *engineNode, path string, v any) bool {
	if f.s.ctx.Err() != nil || e.proc == nil || e.proc.ended() {
		return false
	}
	code, _ := e.get(path, v)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch code {
	case http.StatusOK:
		f.answers++
	case http.StatusServiceUnavailable:
		f.refused++
	default:
		f.absent++
	}
	return code == http.StatusOK
}

func (f *follower) see(now *runningSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, ok := f.shown[now.ID]
	switch {
	case ok && now.Offset < was.Offset:
		f.faults = append(f.faults, fmt.Sprintf("session %s: offset %d (%s) after offset %d (%s)", now.ID, now.Offset, now.Incl, was.Offset, was.Incl))
	case ok && now.Offset == was.Offset && (now.InclMicros != was.InclMicros || now.EnergyMwh != was.EnergyMwh || now.Last != was.Last):
		f.faults = append(f.faults, fmt.Sprintf("session %s at offset %d: %+v, then %+v", now.ID, now.Offset, was, *now))
	}
	f.shown[now.ID] = *now
	f.newest[now.Partition] = max(f.newest[now.Partition], now.Offset)
}

// shownBeyond lists the partitions of which an offset was shown that is greater than the committed one.
func (f *follower) shownBeyond(committed map[int32]int64) []int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []int32
	for p, offset := range f.newest {
		if c, ok := committed[p]; ok && offset > c {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

func (f *follower) check(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Logf("prices: %d answers of %d sessions, %d times not known yet, %d times not there", f.answers, len(f.shown), f.refused, f.absent)
	if len(f.faults) > 0 {
		t.Errorf("%d answers were older than one before, or another; the first: %s", len(f.faults), f.faults[0])
	}
	if f.answers < 100 || len(f.shown) < 10 {
		t.Errorf("only %d answers of %d sessions: the test proves little", f.answers, len(f.shown))
	}
}

// committed is the group's offsets of some of the partitions.
func (s *scene) committed(count int32, partitions []int32) map[int32]int64 {
	s.t.Helper()
	out := map[int32]int64{}
	for p, c := range s.commits(count) {
		if slices.Contains(partitions, p) {
			out[p] = c.Offset
		}
	}
	return out
}

// stayed checks that e keeps partitions and has not recovered any of them again.
func (s *scene) stayed(e *engineNode, partitions []int32, recoveries map[int32]int64) {
	s.t.Helper()
	now := e.perPartition("wattline_recoveries_total")
	for _, p := range partitions {
		if now[p] != recoveries[p] || now[p] == 0 {
			s.t.Errorf("partition %d stayed with engine %s, which had recovered it %d times before, %d times after", p, e.id, recoveries[p], now[p])
		}
	}
}

// TestThirdEngineJoins: a third engine joins two while readings flow; then it is killed and comes back; then the first
// is killed for good and its folder deleted; then the second is stopped and leaves. Whatever stays stays; what moves is
// taken over from Kafka and ClickHouse alone; no price that is read over HTTP is ever older than one before.
func TestThirdEngineJoins(t *testing.T) {
	s := newScene(t, "moved")
	n, untilMs := killedNetwork(t)
	partitions := n.Config().Partitions
	truth := truthOf(t, n, untilMs)
	sums := n.Sums(untilMs, 15*60_000)
	total := sums.Readings + sums.Duplicates
	more := []string{"  snapshot_replay: 100ms", "  block_age_max: 1s", "  blocks_per_second: 100", "  stop_timeout: 60s"}
	a, b, c := s.engine("a", "protobuf", partitions, more...), s.engine("b", "protobuf", partitions, more...), s.engine("c", "protobuf", partitions, more...)
	s.must("migrate", "--config", a.config)
	s.loadReference(n, a.config)
	a.start()
	b.start()
	client := s.kafkaClient()
	sent := s.send(n, newProducer(t, client, s.readingsTopic(), partitions), 600)
	before := s.settled("two engines share the partitions", partitions, a, b)
	s.awaitDurable(10, total, a, b)
	follow, gap := s.followPrices(a, b, c), s.watchGaps(a, b, c)
	s.awaitDurable(20, total, a, b)
	t.Logf("longest standstill of each partition before: %v", gap.take())
	recoveries := map[*engineNode]map[int32]int64{a: a.perPartition("wattline_recoveries_total"), b: b.perPartition("wattline_recoveries_total")}

	c.start()
	after := s.settled("three engines share the partitions", partitions, a, b, c)
	s.awaitDurable(35, total, a, b, c)
	took := gap.take()
	if got, want := len(after[c]), int(partitions)/3; got != want {
		t.Errorf("engine c got %d partitions (%v), want no more than its share %d", got, after[c], want)
	}
	for _, e := range []*engineNode{a, b} {
		for _, p := range after[e] {
			if !slices.Contains(before[e], p) {
				t.Errorf("partition %d moved to engine %s, which was there before (%v)", p, e.id, before[e])
			}
			t.Logf("partition %d stayed with %s: longest standstill %v", p, e.id, took[p])
			if took[p] > 30*time.Second {
				t.Errorf("partition %d stayed with engine %s and stood still for %v", p, e.id, took[p])
			}
		}
		s.stayed(e, after[e], recoveries[e])
	}
	for _, p := range after[c] {
		t.Logf("partition %d moved to c: longest standstill %v", p, took[p])
	}

	c.kill()
	if beyond := follow.shownBeyond(s.committed(partitions, after[c])); len(beyond) == 0 {
		t.Log("nothing was shown that was not committed")
	} else {
		t.Logf("killed c, which had shown more than it had committed of partitions %v", beyond)
	}
	c.start()
	if again := s.settled("the killed engine is back", partitions, a, b, c); !slices.Equal(again[c], after[c]) {
		t.Errorf("engine c has partitions %v after a kill and a start, had %v", again[c], after[c])
	}
	s.awaitDurable(50, total, a, b, c)
	t.Logf("longest standstill of each partition while c was killed and started: %v", gap.take())
	s.stayed(a, after[a], recoveries[a])
	s.stayed(b, after[b], recoveries[b])

	a.kill()
	committed := s.committed(partitions, after[a])
	beyond := follow.shownBeyond(committed)
	t.Logf("killed a for good, which had shown more than it had committed of partitions %v", beyond)
	if err := os.RemoveAll(filepath.Join(s.dir, "data-a")); err != nil {
		t.Fatal(err)
	}
	s.must("leave", "--config", b.config, "--engine", "a")
	two := s.settled("two engines share the partitions again", partitions, b, c)
	s.stayed(b, after[b], recoveries[b])
	s.awaitDurable(65, total, b, c)
	t.Logf("longest standstill of each partition while a died and its were taken over: %v", gap.take())

	for _, p := range two[b] {
		if !slices.Contains(after[b], p) && !slices.Contains(after[a], p) {
			t.Errorf("partition %d moved from c to b: nothing but the partitions of a had to", p)
		}
	}
	stopTook, err := b.proc.stop(syscall.SIGTERM, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("b stopped in %v", stopTook.Round(time.Millisecond))
	s.must("leave", "--config", c.config, "--engine", "b")
	s.settled("one engine has all partitions", partitions, c)
	s.awaitDurable(75, total, c)
	t.Logf("longest standstill of each partition while b stopped and left: %v", gap.take())

	if progress := sent.wait(t); progress.Records != total {
		t.Errorf("%d records sent, the network has %d", progress.Records, total)
	}
	s.awaitDurable(100, total, c)
	follow.check(t)
	if list := s.rejects(client); len(list) > 0 {
		t.Errorf("%d rejects, the first: %s", len(list), list[0])
	}
	if _, err := c.proc.stop(syscall.SIGTERM, time.Minute); err != nil {
		t.Fatal(err)
	}
	latest, summed := stored(t, s.sql())
	compare(t, "sessions_latest", truth, latest)
	compare(t, "sums of charges", truth, summed)
	s.checkRows(&sums)
	t.Logf("%s", s.must("verify", "--all", "--config", c.config).out)
}
