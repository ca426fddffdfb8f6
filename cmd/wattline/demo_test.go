package main

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child is the program in a process of its own, with a store.
type child struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	out  *output
	addr string // of its store
}

// startChild starts the program and waits until it has said where its store is, and ready.
func startChild(t *testing.T, dir, ready string, args ...string) *child {
	t.Helper()
	c := &child{t: t, dir: dir, out: &output{}, cmd: exec.Command(os.Args[0], args...)}
	c.cmd.Env = append(os.Environ(), childEnv+"=1", "WATTLINE_DATA_DIR="+dir, "WATTLINE_KAFKA_EMBEDDED_ADDR=127.0.0.1:0",
		"WATTLINE_CLICKHOUSE_EMBEDDED_ADDR=127.0.0.1:0", "WATTLINE_HTTP_ADDR=127.0.0.1:0")
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
	})
	address := regexp.MustCompile(`(?m)^(store .*http://|addr )([0-9.:]+)`)
	await(t, ready, func() bool {
		if m := address.FindStringSubmatch(c.out.String()); m != nil {
			c.addr = m[2]
		}
		return c.addr != "" && strings.Contains(c.out.String(), ready)
	}, c.out.String)
	return c
}

// stop is Ctrl-C, which has five seconds.
func (c *child) stop() {
	c.t.Helper()
	began := time.Now()
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil || time.Since(began) > 5*time.Second {
		c.t.Errorf("Ctrl-C took %v: %v\n%s", time.Since(began), err, c.out.String())
	}
}

// number asks the store for one.
func (c *child) number(query string) int64 {
	c.t.Helper()
	password, err := os.ReadFile(filepath.Join(c.dir, "store", "reader.password"))
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.addr+"/?database=wattline&query="+url.QueryEscape(query), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.SetBasicAuth("reader", strings.TrimSpace(string(password)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		c.t.Fatalf("%s: %s", query, text)
	}
	return n
}

// awaitBlocks waits until blocks hold more than n readings.
func (c *child) awaitBlocks(n int64) (got int64) {
	c.t.Helper()
	await(c.t, "readings in blocks", func() bool {
		got = c.number("SELECT toInt64(sum(readings)) FROM blocks")
		return got > n
	}, c.out.String)
	return got
}

// TestDemo: a demo that was killed goes on where it was, nothing twice and nothing lost, and stops in order.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	args := []string{"demo", "--speed", "900", "--chargers", "60", "--data", dir, "--bill"}
	d := startChild(t, dir, "readings/s", args...)
	before := d.awaitBlocks(200)
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = d.cmd.Wait() // killed
	d = startChild(t, dir, "readings/s", args...)
	if !strings.Contains(d.out.String(), "0 new or changed") {
		t.Errorf("the reference was published again:\n%s", d.out.String())
	}
	d.awaitBlocks(before + 200)
	await(t, "the bill of a session", func() bool { return strings.Contains(d.out.String(), "to pay if it ended now, ") }, d.out.String)
	await(t, "the bill by its own command", func() bool {
		code, out, _ := runCLI(t, []string{"bill", "--data", dir})
		return code == exitOK && strings.Contains(out, "  start\n") && strings.Contains(out, "running, not in a row yet")
	}, d.out.String)
	d.stop()
	if !strings.Contains(d.out.String(), "engine     stopped") {
		t.Errorf("it did not stop in order:\n%s", d.out.String())
	}

	s := startChild(t, dir, "reader_password_file", "store")
	for what, query := range map[string]string{
		"rows are there twice": "SELECT toInt64(count() - uniqExact(session_id, position, line)) FROM charges",
		"sessions are not the sum of their rows": "SELECT toInt64(countIf(s.amount != c.amount)) FROM (SELECT session_id, argMax(accrued_incl_micros, version) AS amount FROM sessions GROUP BY session_id) AS s " +
			"LEFT JOIN (SELECT session_id, sum(incl_micros) AS amount FROM charges GROUP BY session_id) AS c ON s.session_id = c.session_id",
		"blocks do not follow the one before": "SELECT toInt64(countIf(block_first != before + 1)) FROM (SELECT block_first, lagInFrame(block_last, 1, -1) OVER " +
			"(PARTITION BY topic, partition ORDER BY block_first ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before FROM blocks)",
		"sessions of rows are unknown": "SELECT toInt64(uniqExactIf(session_id, session_id NOT IN (SELECT session_id FROM sessions))) FROM charges",
	} {
		if n := s.number(query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	if n := s.number("SELECT toInt64(count()) FROM charges WHERE incl_micros > 0"); n == 0 {
		t.Error("no row has an amount")
	}
	s.stop()

	// Another city is not mixed in.
	other := exec.Command(os.Args[0], "demo", "--chargers", "61", "--data", dir)
	other.Env = append(os.Environ(), childEnv+"=1")
	if text, err := other.CombinedOutput(); err == nil || !strings.Contains(string(text), "begun with 60 chargers") {
		t.Errorf("a demo of 61 charge points took the data of 60: %v\n%s", err, text)
	}
}
