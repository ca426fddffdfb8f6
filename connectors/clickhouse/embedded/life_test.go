package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRestartKeepsDataAndPassword(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	c := startChild(t, dir)
	if c.addr == "" {
		t.Fatal(c.text)
	}
	c.sql(t, "CREATE TABLE kept (a Int64) ENGINE = MergeTree ORDER BY a")
	c.sql(t, "INSERT INTO kept SELECT number FROM numbers(1000)")
	second := startChild(t, dir)
	if !strings.Contains(second.text, "another process (pid "+fmt.Sprint(c.cmd.Process.Pid)+") uses "+dir) {
		t.Errorf("a second process on the same directory: %q", second.text)
	}
	c.stop(t)
	again := startChild(t, dir)
	if again.pass != c.pass || again.pass == "" {
		t.Errorf("password %q, then %q", c.pass, again.pass)
	}
	if got := again.sql(t, "SELECT count(), sum(a) FROM kept"); got != "1000\t499500" {
		t.Errorf("after restart: %s", got)
	}
	again.stop(t)
}

// TestKillKeepsAcknowledged: rounds of kill -9 in the middle of inserts.
func TestKillKeepsAcknowledged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	acked := 0
	for round := range 3 {
		c := startChild(t, dir)
		if c.addr == "" {
			t.Fatal(c.text)
		}
		c.sql(t, "CREATE TABLE IF NOT EXISTS acked (round Int64, n Int64) ENGINE = MergeTree ORDER BY (round, n) SETTINGS fsync_after_insert = 1, fsync_part_directory = 1")
		// The one that was under way may be there or not, but whole.
		if got := c.sql(t, "SELECT count() % 100 = 0, count() >= "+fmt.Sprint(acked*100)+", count() <= "+fmt.Sprint((acked+round)*100)+" FROM acked"); got != "1\t1\t1" {
			t.Fatalf("round %d, %d acknowledged: %s", round, acked, got)
		}
		timer := time.AfterFunc(300*time.Millisecond, func() { _ = c.cmd.Process.Kill() })
		for n := 0; ; n++ {
			req, _ := http.NewRequest("POST", "http://"+c.addr+"/", strings.NewReader(
				fmt.Sprintf("INSERT INTO acked SELECT %d, %d FROM numbers(100)", round, n)))
			req.SetBasicAuth(UserDefault, c.pass)
			res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err != nil {
				break
			}
			_ = res.Body.Close()
			if res.StatusCode == 200 {
				acked++
			}
		}
		timer.Stop()
		_ = c.cmd.Wait()
	}
	if acked == 0 {
		t.Fatal("nothing was acknowledged, nothing was tested")
	}
	c := startChild(t, dir)
	if got := c.sql(t, "SELECT count() >= "+fmt.Sprint(acked*100)+" FROM acked"); got != "1" {
		t.Errorf("%d inserts acknowledged: %s", acked, got)
	}
	c.stop(t)
}

// TestCloseStopsRunningQueries: Close does not wait for a long query, it kills it.
func TestCloseStopsRunningQueries(t *testing.T) {
	c := startChild(t, filepath.Join(t.TempDir(), "store"))
	if c.addr == "" {
		t.Fatal(c.text)
	}
	done := make(chan string, 1)
	go func() {
		req, _ := http.NewRequest("POST", "http://"+c.addr+"/", strings.NewReader("SELECT sum(sleepEachRow(0.01)) FROM numbers(100000) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"))
		req.SetBasicAuth(UserDefault, c.pass)
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			done <- err.Error()
			return
		}
		b := make([]byte, 4096)
		n, _ := res.Body.Read(b)
		_ = res.Body.Close()
		done <- string(b[:n])
	}()
	waitFor(t, func() bool {
		return c.sql(t, "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%' AND query NOT LIKE '%system.processes%'") == "1"
	})
	began := time.Now()
	c.stop(t)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Close took %s", took)
	}
	if got := <-done; !strings.Contains(got, "QUERY_WAS_CANCELLED") {
		t.Errorf("the query's client got %q", got)
	}
}

// TestCloseCutsOffSlowClients: one has sent half a body, one does not read its answer.
func TestCloseCutsOffSlowClients(t *testing.T) {
	c := startChild(t, filepath.Join(t.TempDir(), "store"))
	if c.addr == "" {
		t.Fatal(c.text)
	}
	for _, request := range []string{
		"Content-Length: 100\r\n\r\nINSERT INTO x",
		"Content-Length: 49\r\n\r\nSELECT sipHash64(number) FROM numbers(1000000000)",
	} {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: %s\r\n%s", c.pass, request); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool {
		return c.sql(t, "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%system.processes%'") == "1"
	})
	time.Sleep(200 * time.Millisecond) // lets the answer fill the socket
	began := time.Now()
	c.stop(t)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Close took %s", took)
	}
}

func TestStartFaults(t *testing.T) {
	s := server(t)
	lib := libraryPath(t)
	f := func(cfg Config, want string) {
		t.Helper()
		srv, err := Start(context.Background(), cfg)
		if err == nil {
			_ = srv.Close(context.Background())
			t.Fatalf("%+v started", cfg)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(Config{}, "LibraryPath: is empty")
	f(Config{LibraryPath: "/nowhere/lib.so", DataDir: t.TempDir()}, "no such file")
	f(Config{LibraryPath: lib, DataDir: t.TempDir(), Addr: "0.0.0.0:8123"}, "not a loopback address")
	f(Config{LibraryPath: lib, DataDir: t.TempDir(), MaxMemoryBytes: 1}, "MaxMemoryBytes")
	f(Config{LibraryPath: lib, DataDir: t.TempDir(), MaxThreads: -1}, "MaxThreads")
	f(Config{LibraryPath: lib, DataDir: t.TempDir(), Addr: s.Addr()}, "address already in use")
	f(Config{LibraryPath: lib, DataDir: t.TempDir(), Addr: "127.0.0.1:0"}, "another engine in this process")
	f(Config{LibraryPath: os.Args[0], DataDir: t.TempDir(), Addr: "127.0.0.1:0"}, "load library")
	f(Config{LibraryPath: lib, DataDir: shared.dir, Addr: "127.0.0.1:0"}, "uses "+shared.dir)
	if _, err := Start(context.Background(), Config{LibraryPath: lib, DataDir: shared.dir, Addr: "127.0.0.1:0"}); !errors.Is(err, ErrLocked) {
		t.Errorf("%v is not ErrLocked", err)
	}
}

func TestNextFreePort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if _, err := listen(context.Background(), ln.Addr().String(), false); err == nil {
		t.Error("a taken port was taken again")
	}
	next, err := listen(context.Background(), ln.Addr().String(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.Close() }()
	got, had := next.Addr().(*net.TCPAddr).Port, ln.Addr().(*net.TCPAddr).Port
	if got <= had || got > had+portsTried {
		t.Errorf("port %d after %d", got, had)
	}
}
