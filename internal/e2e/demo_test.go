package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/wattline/wattline/loadgen"
)

// demoRun is a running demo, and where its own output says that it can be asked.
type demoRun struct {
	s      *scene
	proc   *process
	reader sqlEnd
}

const demoChargers = 300

// startDemo starts the demo in dir and waits until it says where its store is. Standard ports may be taken here, so
// it takes the next free ones.
func (s *scene) startDemo(dir string) *demoRun {
	s.t.Helper()
	d := &demoRun{s: s, proc: s.launch("demo", "demo", "--speed", "600", "--chargers", strconv.Itoa(demoChargers), "--data", dir)}
	d.reader = sqlEnd{database: "wattline", user: "reader"}
	address := regexp.MustCompile(`(?m)^store .*http://([0-9.:]+)`)
	s.await("the demo says where its store is", time.Minute, []*process{d.proc}, func() (bool, string) {
		out := d.proc.output()
		if m := address.FindStringSubmatch(out); m != nil {
			d.reader.addr = m[1]
		}
		return d.reader.addr != "" && strings.Contains(out, "readings/s"), out
	})
	var err error
	if d.reader.password, err = firstLine(filepath.Join(dir, "store", "reader.password")); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// awaitReadings waits until more than n readings are in finished blocks.
func (d *demoRun) awaitReadings(n int64) (got int64) {
	d.s.t.Helper()
	d.s.await(fmt.Sprintf("more than %d readings of the demo durable", n), time.Minute, []*process{d.proc}, func() (bool, string) {
		out, err := d.reader.curl(d.s.ctx, "SELECT toInt64(sum(readings)) FROM blocks")
		if err == nil {
			got, err = strconv.ParseInt(out, 10, 64)
		}
		return err == nil && got > n, fmt.Sprintf("%d readings, %v", got, err)
	})
	return got
}

// stop is Ctrl-C.
func (d *demoRun) stop() time.Duration {
	d.s.t.Helper()
	took, err := d.proc.stop(syscall.SIGINT, 5*time.Second)
	if err != nil {
		d.s.t.Fatal(err)
	}
	return took
}

// TestDemoSurvivesKill: the demo is killed and goes on where it was, stops in order at Ctrl-C, goes on again, and what
// it has priced is the truth.
func TestDemoSurvivesKill(t *testing.T) {
	s := newScene(t, "demo")
	dir := filepath.Join(s.dir, "demo")
	began := time.Now()
	d := s.startDemo(dir)
	t.Logf("first start: priced after %.1f s", time.Since(began).Seconds())
	before := d.awaitReadings(3000)
	if err := d.proc.kill(); err != nil {
		t.Fatal(err)
	}
	d = s.startDemo(dir)
	after := d.awaitReadings(before + 3000)
	t.Logf("killed at %d readings, went on to %d; Ctrl-C took %v", before, after, d.stop().Round(time.Millisecond))
	checkPlain(t, d.proc.output())
	d = s.startDemo(dir)
	last := d.awaitReadings(after + 1000)
	t.Logf("went on to %d; Ctrl-C took %v", last, d.stop().Round(time.Millisecond))

	q, config := s.storeOf(dir)
	s.checkDemo(q)
	// Running sessions are proven too: their rows so far, and what they would cost.
	t.Logf("verify --all: %s", s.must("verify", "--all", "--config", config).out)
}

// checkPlain: into a pipe the demo writes lines that fit a terminal, without control sequences.
func checkPlain(t *testing.T, out string) {
	t.Helper()
	if strings.ContainsRune(out, '\x1b') {
		t.Errorf("control sequences in a pipe:\n%q", out)
	}
	frames := 0
	for line := range strings.Lines(out) {
		if strings.Contains(line, "readings/s") {
			frames++
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("a line of %d columns: %s", n, line)
			}
		}
	}
	if frames == 0 {
		t.Errorf("no line with readings/s:\n%s", out)
	}
}

// storeOf opens the data of a demo that has ended with `wattline store`. It returns the configuration, too.
func (s *scene) storeOf(dir string) (q sqlEnd, config string) {
	s.t.Helper()
	addr := freeAddr(s.t)
	config = s.write("demo-store.yaml", "data:\n  dir: "+dir+"\nclickhouse:\n  embedded_addr: "+addr+"\n")
	p := s.launch("demo-store", "store", "--config", config)
	s.await("the store of the demo", time.Minute, []*process{p}, func() (bool, string) {
		out := p.output()
		return strings.Contains(out, "addr "+addr), out
	})
	password, err := firstLine(filepath.Join(dir, "store", "password"))
	if err != nil {
		s.t.Fatal(err)
	}
	return sqlEnd{addr, "wattline", "default", password, nil}, config
}

// checkDemo compares every session that ended with what loadgen's oracle says of the same city, and looks for ended
// sessions that are missing.
func (s *scene) checkDemo(q sqlEnd) {
	s.t.Helper()
	latest, summed := stored(s.t, q)
	ended := func(all map[string]priced) map[string]priced {
		list := map[string]priced{}
		for name, p := range all {
			if p.Status != "ACTIVE" && p.Status != "RESERVED" {
				list[name] = p
			}
		}
		return list
	}
	latest, summed = ended(latest), ended(summed)
	// Everything before the least watermark is durable; what ended after it may be.
	watermark, err := strconv.ParseInt(q.ask(s.t, "SELECT min(toUnixTimestamp64Milli(watermark)) FROM freshness"), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := loadgen.Demo(demoChargers)
	n, err := loadgen.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	truth := map[string]priced{}
	sure := 0
	for session := range n.Sessions(watermark + 24*3_600_000) {
		name := sessionName(session.ChargePoint, session.Connector, session.Transaction)
		_, stored := latest[name]
		if session.EndMs < watermark {
			sure++
		} else if !stored {
			continue
		}
		p, err := truthOfSession(session, session.EndMs+cfg.TickMs)
		if err != nil {
			s.t.Fatal(err)
		}
		truth[name] = p
	}
	s.t.Logf("%d sessions ended, %d of them before %v", len(latest), sure, time.UnixMilli(watermark).UTC())
	if sure < 20 {
		s.t.Errorf("%d sessions ended before the watermark, want 20 at least: the demo ran too shortly to show anything", sure)
	}
	compare(s.t, "sessions_latest", truth, latest)
	compare(s.t, "sums of charges", truth, summed)
	if _, err := os.Stat(filepath.Join(s.dir, "demo", "kafka")); err != nil {
		s.t.Errorf("the demo's Kafka is not on the disk: %v", err)
	}
}
