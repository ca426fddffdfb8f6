package embedded

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/wattline/wattline/internal/parts"
	"go.uber.org/goleak"
)

// The engine takes one data directory a process, so the tests share a server. What
// needs a start of its own re-executes this binary as a child (childEnv).
const (
	libEnv   = "WATTLINE_LIBCHDB"
	childEnv = "WATTLINE_EMBEDDED_CHILD_DIR"
	tlsEnv   = "WATTLINE_EMBEDDED_CHILD_TLS" // the child speaks TLS
)

var shared struct {
	sync.Once
	srv *Server
	dir string
	err error
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(childMain(dir))
	}
	code := m.Run()
	if shared.srv != nil {
		began := time.Now()
		if err := shared.srv.Close(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if took := time.Since(began); took > 3*time.Second {
			fmt.Fprintln(os.Stderr, "Close took", took)
			code = 1
		}
		_ = os.RemoveAll(shared.dir)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// childMain serves DIR until its standard input ends, and prints its address.
func childMain(dir string) int {
	srv, err := Start(context.Background(), Config{LibraryPath: os.Getenv(libEnv), DataDir: dir, Addr: "127.0.0.1:0", TLS: os.Getenv(tlsEnv) != ""})
	if err != nil {
		fmt.Println("error:", err)
		return 3
	}
	fmt.Println(srv.Addr(), srv.Password())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := srv.Close(context.Background()); err != nil {
		fmt.Println("error:", err)
		return 4
	}
	return 0
}

// libraryPath finds libchdb, fetched when it is not there yet.
func libraryPath(t testing.TB) string {
	t.Helper()
	if p := os.Getenv(libEnv); p != "" {
		return p
	}
	p, err := parts.Libchdb(context.Background(), parts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func server(t testing.TB) *Server {
	t.Helper()
	lib := libraryPath(t)
	shared.Do(func() {
		shared.dir, shared.err = os.MkdirTemp("", "embedded-test-")
		if shared.err == nil {
			shared.srv, shared.err = Start(context.Background(), Config{
				LibraryPath: lib, DataDir: shared.dir, Addr: "127.0.0.1:0", MaxConcurrentQueries: 8,
				MaxMemoryBytes: 6 << 30, MaxThreads: 2,
				InsertMemoryBytes: 4 << 20, // so that larger tests use the file
			})
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.srv
}

// open connects the driver; change may alter its options.
func open(t testing.TB, s *Server, change ...func(*clickhouse.Options)) clickhouse.Conn {
	t.Helper()
	o := &clickhouse.Options{
		Addr: []string{s.Addr()}, Protocol: clickhouse.HTTP,
		Auth: clickhouse.Auth{Username: UserDefault, Password: s.Password()},
	}
	for _, f := range change {
		f(o)
	}
	c, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// answer is a plain HTTP response.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends one plain request as the default user; query may be "" when the body has it.
func call(t testing.TB, s *Server, method string, q url.Values, body io.Reader, change ...func(*http.Request)) answer {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.Addr()+"/?"+q.Encode(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(UserDefault, s.Password())
	for _, f := range change {
		f(req)
	}
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// sql runs a statement as the default user and wants success.
func sql(t testing.TB, s *Server, statement string) string {
	t.Helper()
	a := call(t, s, http.MethodPost, nil, strings.NewReader(statement))
	if a.status != http.StatusOK {
		t.Fatalf("%s\n-> %d %s", statement, a.status, a.body)
	}
	return strings.TrimSuffix(a.body, "\n")
}

// child is a server in a process of its own.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
	pass  string
	text  string // first line when it did not start
}

func startChild(t testing.TB, dir string, env ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+dir, libEnv+"="+libraryPath(t)), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	buf := make([]byte, 4096)
	n, _ := out.Read(buf)
	c := &child{cmd: cmd, stdin: in, text: strings.TrimSpace(string(buf[:n]))}
	if f := strings.Fields(c.text); len(f) == 2 {
		c.addr, c.pass = f[0], f[1]
	}
	return c
}

// stop ends a child in order.
func (c *child) stop(t testing.TB) {
	t.Helper()
	_ = c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("child: %v", err)
	}
}

// sql runs a statement in the child and wants success.
func (c *child) sql(t testing.TB, statement string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/", strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(UserDefault, c.pass)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s -> %s", statement, b)
	}
	return strings.TrimSuffix(string(b), "\n")
}
