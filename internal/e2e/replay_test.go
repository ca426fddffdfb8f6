package e2e

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/wattline/wattline/loadgen/replay"
)

// TestReplay: the first sessions of a real garage go through Kafka and an engine, by the departures that their drivers
// announced. Each costs what the oracle says at each of three tariffs, and the impossible ones are flagged, no others.
// (All 6,704 of them, both ways: loadgen/replay.)
func TestReplay(t *testing.T) {
	s := newScene(t, "replay")
	const lines = 400
	file := s.write("garage.csv", garageLines(t, lines))
	e := s.engine("replay", "protobuf", 4, "  block_age_max: 1s")
	s.must("migrate", "--config", e.config)
	truth := filepath.Join(s.dir, "truth.jsonl")
	said := s.must("load", "--config", e.config, "--publish", "--replay", file, "--end", "announced", "--truth", truth)
	var sent struct {
		Records    int64
		Sessions   int
		Impossible []int
	}
	if err := json.Unmarshal([]byte(said.out), &sent); err != nil || sent.Sessions != 3*lines || len(sent.Impossible) != 4 {
		t.Fatalf("%v, want %d sessions, 4 lines of them impossible: %s", err, 3*lines, said.out)
	}
	e.start()
	s.awaitDurable(100, sent.Records, e)

	text, err := os.ReadFile(truth)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(text)) {
		var x replay.Truth
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatal(err)
		}
		flags := "[]"
		if x.Impossible {
			flags = "['impossible']"
		}
		want = append(want, fmt.Sprint(x.ChargePoint, " ", x.Transaction, " US*WTL*", x.Tariff, " COMPLETED ", x.EnergyMwh, " ", *x.ExclMicros, " ", x.InclMicros, " ", x.InclMicros, " ", flags))
	}
	got := strings.Split(s.reader().ask(t, `SELECT concat(s.charge_point, ' ', s.transaction, ' ', s.tariff, ' ', toString(s.status), ' ', toString(toInt64(s.energy_kwh * 1000000)), ' ',
			toString(toInt64(s.excl * 1000000)), ' ', toString(toInt64(s.incl * 1000000)), ' ', toString(c.incl), ' ', toString(s.flags)) AS line
		FROM sessions_latest AS s JOIN (SELECT session_id, sum(incl_micros) AS incl FROM charges GROUP BY session_id) AS c ON c.session_id = s.session_id
		ORDER BY substring(s.charge_point, 8, 1), toUInt32(s.transaction) FORMAT TSVRaw`), "\n")
	wrong := 0
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			if wrong++; wrong < 10 {
				t.Errorf("session %d: %q, want %q", i, got[min(i, len(got)-1)], want[i])
			}
		}
	}
	if len(got) != len(want) || wrong > 0 {
		t.Errorf("%d sessions, want %d; %d are wrong", len(got), len(want), wrong)
	}
	t.Logf("%d readings of %d sessions; clean stop in %v", sent.Records, len(got), e.stop())
}

// garageLines are the head and the first lines of the garage's file, as plain text.
func garageLines(t *testing.T, count int) string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "loadgen", "replay", "testdata", "garage-2019.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfterN(string(text), "\n", count+2)
	return strings.Join(lines[:count+1], "")
}

// TestSample: the sample is written once, asked as an analyst asks, and written as Parquet.
func TestSample(t *testing.T) {
	s := newScene(t, "sample")
	dir := filepath.Join(s.dir, "sample")
	first := s.must("sample", "--data", dir)
	if !strings.Contains(first.out, "cost what the oracle says") {
		t.Errorf("first: %s", first.out)
	}
	if again := s.must("sample", "--data", dir); !strings.Contains(again.out, "has the sample already") {
		t.Errorf("again: %s", again.out)
	}
	sql := func(question string) string {
		return strings.TrimSpace(s.must("sql", "--data", dir, "--format", "TSV", question).out)
	}
	sessions, err := strconv.Atoi(sql("SELECT count() FROM sessions_latest"))
	if err != nil || !strings.Contains(first.out, fmt.Sprintf("versions of %d sessions", sessions)) {
		t.Errorf("%d sessions, %v; it said %s", sessions, err, first.out)
	}
	if r := s.run("sql", "--data", dir, "DROP TABLE sessions"); r.code != 1 || !strings.Contains(r.err, "this user may only read") {
		t.Errorf("a table was dropped: %d %s%s", r.code, r.out, r.err)
	}
	if r := s.run("sql", "--data", filepath.Join(s.dir, "nowhere"), "SELECT 1"); r.code != 1 || !strings.Contains(r.err, "there is no store in") {
		t.Errorf("nowhere: %d %s%s", r.code, r.out, r.err)
	}
	files := filepath.Join(s.dir, "parquet")
	s.must("sample", "--parquet", files)
	q := s.sql()
	q.database = "default"
	if got := q.ask(t, "SELECT count(), sum(incl_micros) FROM file('"+filepath.Join(files, "charges.parquet")+"')"); got != sql("SELECT count(), sum(incl_micros) FROM charges") {
		t.Errorf("Parquet has %s", got)
	}
}
