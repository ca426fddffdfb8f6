package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/internal/parts"
)

// childArg makes this test binary a child of a measurement: the role follows.
const childArg = "bench-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		if _, err := RunChild(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// testEnds starts Kafka and the store in t's folder.
func testEnds(t *testing.T) Ends {
	return Ends{
		Self: []string{os.Args[0], childArg}, Dir: t.TempDir(),
		Parts: parts.Options{Progress: func(e parts.Event) { t.Log(e) }},
	}
}

// TestPipe: 20,000 readings of 100 sessions of every age, through Apache Kafka, an engine's process and the ClickHouse
// engine.
func TestPipe(t *testing.T) {
	cfg := DefaultPipe()
	cfg.Ends = testEnds(t)
	cfg.Readings, cfg.ChargePoints, cfg.Partitions, cfg.Warmups, cfg.Runs = 20_000, 100, 4, 0, 2
	cfg.ProfileDir = filepath.Join(t.TempDir(), "made", "by", "the run")
	r, err := RunPipe(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	r.WriteTable(&table)
	t.Logf("\n%s", &table)
	if !r.SumsEqual || r.Readings < 20_000 || r.Rows < 100 || len(r.Runs) != 2 {
		t.Errorf("sums equal %v, %d readings, %d rows, %d runs", r.SumsEqual, r.Readings, r.Rows, len(r.Runs))
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.NsPerReading <= 0 || run.ReadingsPerS <= 0 || run.Engine.PeakRSS <= 0 || len(run.Checks) < 14 {
			t.Errorf("run %d: %+v", i, run)
		}
		for p, n := range run.Engine.Snapshots {
			if n < 1 {
				t.Errorf("run %d has no snapshot of partition %d", i, p)
			}
		}
	}
	for _, file := range []string{"engine-1.pprof", "engine-2.pprof"} {
		if st, err := os.Stat(cfg.ProfileDir + "/" + file); err != nil || st.Size() == 0 {
			t.Errorf("profile %s: %v", file, err)
		}
	}
	var out map[string]any
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"engine_cpu_ns_per_reading", "readings_per_s", "peak_rss_bytes", "sums_equal"} {
		if out[key] == nil {
			t.Errorf("the JSON has no %s: %s", key, text)
		}
	}
	if left, err := os.ReadDir(cfg.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind in %s: %v, %v", cfg.Dir, left, err)
	}
	if !strings.Contains(table.String(), "Sums are equal") {
		t.Error("the table does not say that the sums are equal")
	}
}

// TestOnesOwn: ends that were there before stay, and nothing of the measurement stays on them (N3).
func TestOnesOwn(t *testing.T) {
	there := testEnds(t)
	s, err := newStage(t.Context(), &there, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	cfg := DefaultPipe()
	cfg.Ends = testEnds(t)
	cfg.Kafka, cfg.ClickHouse, cfg.ClickHouseUser, cfg.ClickHousePassword = s.kafka, s.ch.Addr, s.ch.User, s.ch.Password
	cfg.Readings, cfg.ChargePoints, cfg.Partitions, cfg.Warmups, cfg.Runs = 1_000, 10, 2, 0, 1
	r, err := RunPipe(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !r.SumsEqual || r.Runs[0].BrokerCPU != -1 || r.Versions["clickhouse"] == "" {
		t.Errorf("sums equal %v, broker's CPU %d, versions %v", r.SumsEqual, r.Runs[0].BrokerCPU, r.Versions)
	}
	conn, err := s.ch.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	left := int64(-1)
	if err := conn.QueryRow(t.Context(), "SELECT toInt64(count()) FROM system.databases WHERE startsWith(name, 'wattline_bench')").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d databases left, %v", left, err)
	}
	fresh := &kafkago.Transport{} // the default one remembers topics
	defer fresh.CloseIdleConnections()
	meta, err := (&kafkago.Client{Addr: kafkago.TCP(s.kafka), Transport: fresh}).Metadata(t.Context(), &kafkago.MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range meta.Topics {
		if strings.HasPrefix(topic.Name, "wattline.bench") {
			t.Errorf("topic %s is left", topic.Name)
		}
	}
}

// TestRows: a short month with questions while rows are inserted.
func TestRows(t *testing.T) {
	cfg := DefaultRows()
	cfg.Ends = testEnds(t)
	cfg.Rows, cfg.Sites, cfg.BlockRows, cfg.Rounds, cfg.IngestRowsPerS = 40_000, 5, 10_000, 3, 1_000
	r, err := RunRows(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	r.WriteTable(&table)
	t.Logf("\n%s", &table)
	if !r.SumsEqual || len(r.Questions) != 4 || r.Ingested == 0 {
		t.Errorf("sums equal %v, %d questions, %d rows inserted meanwhile", r.SumsEqual, len(r.Questions), r.Ingested)
	}
	for _, q := range r.Questions {
		if q.Groups == 0 || q.MinMs <= 0 || q.MinMs > q.Median || q.Median > q.MaxMs {
			t.Errorf("%+v", q)
		}
	}
}

// TestWrongIsAnError: a row too many, or a sum that is off, ends a measurement.
func TestWrongIsAnError(t *testing.T) {
	err := wrong([]Check{{"rows", 5, 5}, {"incl_micros", 7, 8}})
	if err == nil || !errors.Is(err, ErrWrong) || !strings.Contains(err.Error(), "incl_micros: 7 in ClickHouse, 8 true") || strings.Contains(err.Error(), "rows:") {
		t.Errorf("got %v", err)
	}
	if err := wrong([]Check{{"rows", 5, 5}}); err != nil {
		t.Error(err)
	}
	a := answer{{"s", 1}: {2, 3}}
	if err := a.equal(answer{{"s", 1}: {2, 3}}); err != nil {
		t.Error(err)
	}
	for _, want := range []answer{{}, {{"s", 1}: {2, 4}}, {{"s", 2}: {2, 3}}} {
		if err := a.equal(want); !errors.Is(err, ErrWrong) {
			t.Errorf("%v against %v: %v", a, want, err)
		}
	}
}

func TestText(t *testing.T) {
	f := func(v int64, want string) {
		t.Helper()
		if got := thousands(v); got != want {
			t.Errorf("thousands(%d) = %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(999, "999")
	f(1_000, "1,000")
	f(-1_000, "-1,000")
	f(-999_999, "-999,999")
	f(12_345_678, "12,345,678")
	g := func(v []float64, low, median, high float64) {
		t.Helper()
		if l, m, h := spread(v); l != low || m != median || h != high {
			t.Errorf("spread(%v) = %v, %v, %v", v, l, m, h)
		}
	}
	g([]float64{3}, 3, 3, 3)
	g([]float64{3, 1, 2}, 1, 2, 3)
}

// TestChildDies: a child that ends by itself is an error with what it said, and one that nobody knows is told apart.
func TestChildDies(t *testing.T) {
	c, err := startChild(t.Context(), []string{os.Args[0], childArg}, roleStore, storeSpec{Library: "/nowhere/libchdb.so", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var ready storeReady
	if err := c.next(&ready); err == nil || !strings.Contains(err.Error(), "/nowhere/libchdb.so") {
		t.Errorf("got %v", err)
	}
	if handled, err := RunChild(t.Context(), "pipe", nil, nil); handled || err != nil {
		t.Errorf("role pipe: handled %v, %v", handled, err)
	}
}
