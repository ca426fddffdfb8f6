package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/verify"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/produce"
	"github.com/wattline/wattline/internal/proof"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/internal/reflog"
	"github.com/wattline/wattline/loadgen"
)

// verifyScene is a store and a Kafka in this process, filled by an engine that has stopped in order.
type verifyScene struct {
	t    *testing.T
	n    *node
	file string
}

func newVerifyScene(t *testing.T) *verifyScene {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "wattline.yaml")
	text := fmt.Sprintf("data:\n  dir: %s\nengine:\n  id: one\n  block_age_max: 1s\n  block_offsets: 1000\nkafka:\n  embedded_addr: 127.0.0.1:0\n  readings: wattline.readings:protobuf:4\n"+
		"clickhouse:\n  embedded_addr: 127.0.0.1:0\nhttp:\n  addr: 127.0.0.1:0\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode(cfg, slog.New(slog.DiscardHandler), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stages.stopAll(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := n.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &verifyScene{t: t, n: n, file: file}
	s.rate(dir)
	return s
}

// rate fills the topic with four hours of a small city, and lets an engine rate it and stop.
func (s *verifyScene) rate(dir string) {
	t := s.t
	t.Helper()
	c := loadgen.City()
	c.ChargePoints, c.EndMs = 150, c.EpochMs+4*3_600_000
	network, err := loadgen.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := network.WriteReference(filepath.Join(dir, "reference")); err != nil {
		t.Fatal(err)
	}
	if err := referenceLoad(t.Context(), s.n.client, s.n.cfg, filepath.Join(dir, "reference"), reflog.Options{By: "test"}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	producer, err := produce.New(s.n.client.Producer(), "wattline.readings", 4, kafka.CompressionLZ4)
	if err != nil {
		t.Fatal(err)
	}
	// Some sessions still run where the sending ends.
	run := loadgen.RunConfig{Network: network, Speed: 1_000_000, Clock: engine.SystemClock{}, UntilMs: c.EpochMs + 3*3_600_000}
	progress, err := loadgen.Run(t.Context(), run, producer)
	if err != nil {
		t.Fatal(err)
	}
	stopped := len(s.n.stages.running)
	if err := s.n.startEngine(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(40 * time.Second); s.ask("SELECT toString(sum(readings)) FROM blocks") != fmt.Sprint(progress.Records); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the engine did not rate all: %+v", s.n.engine.Stats())
		}
	}
	mine := stages{log: s.n.log, running: s.n.stages.running[stopped:]}
	s.n.stages.running = s.n.stages.running[:stopped]
	if err := mine.stopAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// mustStore is clickhouseConfig of a configuration that is sound.
func mustStore(t *testing.T, cfg *config.Config, at storeAt) clickhouse.Config {
	t.Helper()
	c, err := clickhouseConfig(cfg, at)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *verifyScene) conn() driver.Conn {
	c := mustStore(s.t, s.n.cfg, s.n.storeAt)
	conn, err := ch.Open(&ch.Options{Protocol: ch.HTTP, Addr: c.Addrs, Auth: ch.Auth{Username: c.User, Password: c.Password.Reveal()}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask returns the text of the one column of the first row; names of tables are those of our database.
func (s *verifyScene) ask(sql string) string {
	s.t.Helper()
	l := s.conn()
	out := ""
	if err := l.QueryRow(s.t.Context(), strings.ReplaceAll(sql, "FROM ", "FROM `"+s.n.cfg.ClickHouse.Database+"`.")).Scan(&out); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func (s *verifyScene) exec(sql string) {
	s.t.Helper()
	if err := s.conn().Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// verify runs the command and returns its exit code and report.
func (s *verifyScene) verify(args ...string) (code int, r verify.Report) {
	s.t.Helper()
	var out, errs bytes.Buffer
	code = verifyCommand().run(s.t.Context(), stdio{strings.NewReader(""), &out, &errs}, append([]string{"--config", s.file, "--json"}, args...))
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		s.t.Fatalf("exit %d, output %q, %s: %v", code, out.String(), errs.String(), err)
	}
	return code, r
}

// TestVerify: the command against the real ClickHouse engine and Kafka's protocol, on a ledger that is right and on
// one that was spoiled by SQL.
func TestVerify(t *testing.T) {
	s := newVerifyScene(t)
	began := time.Now()
	code, r := s.verify("--all")
	for _, f := range r.Findings {
		t.Error(f)
	}
	if code != exitOK || r.Partitions != 4 || r.Remade != r.Blocks || r.Ended < 50 || r.Running < 5 || len(r.Skipped) > 0 {
		t.Fatalf("exit %d: %s, skipped %v", code, r.Summary(), r.Skipped)
	}
	t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), r.Summary())
	if code, r := s.verify("--sample", "5", "--topic", "wattline.readings", "--partition", "2", "--seed", "7"); code != exitOK || r.Partitions != 1 || r.Ended+r.Running+r.Held != 5 {
		t.Errorf("a sample: exit %d, %s", code, r.Summary())
	}
	if code, _ := s.text("--topic", "nowhere"); code != exitFault {
		t.Errorf("a topic that is not there: exit %d", code)
	}
	for _, args := range [][]string{{"--all", "--sample", "3"}, {"--sample", "0"}, {"more"}, {"--partition", "-1"}} {
		if code, _ := s.text(args...); code != exitUsage {
			t.Errorf("%v: exit %d", args, code)
		}
	}
	s.otherNames()
	s.empty()
	s.spoil()
}

// otherNames asks what verify asks of databases whose names are words of its queries.
func (s *verifyScene) otherNames() {
	t := s.t
	t.Helper()
	for _, name := range []string{"n", "t", "s", "side", "count", "first", "energy", "there", "select"} {
		cfg := *s.n.cfg
		cfg.ClickHouse.Database = name
		c := mustStore(t, &cfg, s.n.storeAt)
		store, err := openStore(t.Context(), c, s.n.log)
		if err != nil {
			t.Fatal(err)
		}
		if err := migrate(t.Context(), store); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, table := range []string{"charges", "sessions", "blocks"} {
			s.exec("INSERT INTO `" + name + "`." + table + " SELECT * FROM " + s.n.cfg.ClickHouse.Database + "." + table)
		}
		l, err := proof.NewLedger(store, c)
		if err != nil {
			t.Fatal(err)
		}
		client, err := newVerifyTopic(&cfg, s.n.client)
		if err != nil {
			t.Fatal(err)
		}
		vc := verify.Config{Engine: engineConfig(&cfg, "verify"), Sample: 5, Database: name}
		r, err := verify.Run(t.Context(), vc, verify.Ends{Blocks: l, Rows: l, Topic: client, Decoders: decoders(&cfg), Reference: reference.Decode})
		if err == nil { // rows were copied: what a merge had dropped of sessions before is not among them
			delete(r.Found, verify.CheckVersions)
		}
		if err != nil || len(r.Found) > 0 || r.Partitions != 4 {
			t.Errorf("database %s: %+v, %v", name, r, err)
		}
		if err := errors.Join(l.Close(), store.Close()); err != nil {
			t.Error(err)
		}
		s.exec("DROP DATABASE `" + name + "`")
	}
}

// empty proves nothing by a database that has nothing: the group has committed.
func (s *verifyScene) empty() {
	s.t.Helper()
	s.exec("CREATE DATABASE hollow")
	for _, table := range []string{"charges", "sessions", "blocks"} {
		s.exec("CREATE TABLE hollow." + table + " AS " + s.n.cfg.ClickHouse.Database + "." + table)
	}
	s.t.Setenv("WATTLINE_CLICKHOUSE_DATABASE", "hollow")
	code, out := s.text()
	if code != exitFault || strings.Count(out, "but the ledger has no block of it") != 4 || !strings.Contains(out, "4 FINDINGS") {
		s.t.Errorf("an empty database: exit %d, %s", code, out)
	}
	if err := os.Unsetenv("WATTLINE_CLICKHOUSE_DATABASE"); err != nil {
		s.t.Error(err)
	}
}

// text runs the command and returns what it prints.
func (s *verifyScene) text(args ...string) (code int, out string) {
	var b bytes.Buffer
	code = verifyCommand().run(s.t.Context(), stdio{strings.NewReader(""), &b, io.Discard}, append([]string{"--config", s.file}, args...))
	return code, b.String()
}

// spoil changes the tables behind our back, one thing after the other, and back again where that is possible.
func (s *verifyScene) spoil() {
	db := s.n.cfg.ClickHouse.Database
	row := "session_id = '" + s.ask("SELECT toString(argMin(session_id, (block_first, position, line))) FROM charges WHERE incl_micros > 0 AND energy_mwh > 0 AND kind = 'usage'") + "'"
	row += " AND incl_micros > 0 AND energy_mwh > 0 AND kind = 'usage' AND position = " +
		s.ask("SELECT toString(min(position)) FROM charges WHERE "+row+" AND incl_micros > 0 AND energy_mwh > 0 AND kind = 'usage'")
	block := s.ask("SELECT toString(any(block_first)) FROM charges WHERE " + row)
	where := "topic = 'wattline.readings' AND partition = " + s.ask("SELECT toString(any(partition)) FROM charges WHERE "+row) + " AND block_first = " + block
	session := strings.Split(row, "'")[1]
	finds := func(what string, checks ...verify.Check) {
		s.t.Helper()
		code, out := s.text("--all")
		if !strings.Contains(out, " block "+block+":") && !strings.Contains(out, " block "+block+" ") && !strings.Contains(out, "blocks "+block+"-") {
			s.t.Errorf("%s: block %s is not named:\n%s", what, block, out)
		}
		if named := strings.Contains(out, " session "+session); !named && strings.Contains(what, "row") && !strings.Contains(what, "block") {
			s.t.Errorf("%s: session %s is not named:\n%s", what, session, out)
		}
		if code != exitFault || !strings.Contains(out, "FINDINGS") {
			s.t.Errorf("%s: exit %d, %s", what, code, out)
		}
		for _, c := range checks {
			if !strings.Contains(out, string(c)+" wattline.readings/") {
				s.t.Errorf("%s is not found by check %s:\n%s", what, c, out)
			}
		}
		s.t.Logf("%s:\n%s", what, out)
	}
	alter := func(table, what string) {
		s.t.Helper()
		s.exec("ALTER TABLE " + db + "." + table + " " + what + " SETTINGS mutations_sync = 2")
	}
	s.exec("CREATE TABLE " + db + ".kept AS " + db + ".charges")
	s.exec("INSERT INTO " + db + ".kept SELECT * FROM " + db + ".charges WHERE " + row)
	s.exec("CREATE TABLE " + db + ".kept_blocks AS " + db + ".blocks")
	s.exec("INSERT INTO " + db + ".kept_blocks SELECT * FROM " + db + ".blocks WHERE " + where)

	alter("charges", "UPDATE incl_micros = incl_micros + 1 WHERE "+row)
	finds("an amount changed by one micro", verify.CheckSums, verify.CheckAmount, verify.CheckAccrued)
	alter("charges", "UPDATE incl_micros = incl_micros - 1 WHERE "+row)
	alter("charges", "DELETE WHERE "+row)
	finds("a row deleted", verify.CheckSums, verify.CheckQuantity, verify.CheckAccrued)
	s.exec("INSERT INTO " + db + ".charges SELECT * FROM " + db + ".kept")
	if code, r := s.verify("--all"); code != exitOK {
		s.t.Fatalf("put back: exit %d, %v", code, r.Findings)
	}
	s.exec("INSERT INTO " + db + ".charges SELECT * FROM " + db + ".kept")
	finds("a row doubled", verify.CheckDoubled, verify.CheckSums, verify.CheckAccrued)
	alter("charges", "DELETE WHERE "+row)
	s.exec("INSERT INTO " + db + ".charges SELECT * FROM " + db + ".kept")

	alter("blocks", "UPDATE block_last = block_last + 1 WHERE "+where)
	finds("two blocks that overlap", verify.CheckTiling)
	alter("blocks", "UPDATE block_last = block_last - 1 WHERE "+where)
	alter("blocks", "DELETE WHERE "+where)
	finds("a block row removed", verify.CheckTiling, verify.CheckOrphan)
	s.exec("INSERT INTO " + db + ".blocks SELECT * FROM " + db + ".kept_blocks")
	s.exec("INSERT INTO " + db + ".blocks SELECT * FROM " + db + ".kept_blocks")
	finds("a block row doubled", verify.CheckTiling)
	alter("blocks", "DELETE WHERE "+where)
	s.exec("INSERT INTO " + db + ".blocks SELECT * FROM " + db + ".kept_blocks")
	if code, out := s.text("--all"); code != exitOK || !strings.Contains(out, "\nall proven: 4 partitions") || !strings.Contains(out, "versions), against the blocks' own rows") {
		s.t.Errorf("all put back: exit %d, %s", code, out)
	}

	// Last, for they can not be put back: a mutation makes the projection of its part anew, of what rows are left.
	newest := strings.Fields(s.ask("SELECT concat(toString(session_id), ' ', toString(block_first), ' ', toString(version)) FROM sessions FINAL WHERE incl_micros > 0 ORDER BY session_id LIMIT 1"))
	session, block = newest[0], newest[1]
	version := "session_id = '" + session + "' AND version = " + newest[2]
	alter("sessions", "UPDATE incl_micros = incl_micros + 1 WHERE "+version)
	finds("a version changed by one micro", verify.CheckVersions)
	alter("sessions", "DELETE WHERE "+version)
	finds("a version deleted", verify.CheckVersions)
}
