package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/internal/secret"
)

// faultIs asks whether err has reached the engine's vocabulary.
func faultIs(t *testing.T, what string, err error, want ends.Fault) {
	t.Helper()
	var f *ends.FaultError
	if !errors.As(err, &f) {
		t.Errorf("%s: %v is no FaultError", what, err)
		return
	}
	if f.Fault != want || f.Do == "" {
		t.Errorf("%s: fault %s (do %q), want %s: %v", what, f.Fault, f.Do, want, err)
	}
}

// through puts a proxy between a Store and the real engine that can answer inserts itself, as ClickHouse answers.
type through struct {
	mu     sync.Mutex
	code   int // of ClickHouse; 0: pass on
	status int
	text   string
}

func (p *through) set(code, status int, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code, p.status, p.text = code, status, text
}

func (p *through) start(t *testing.T, cfg Config) Config {
	t.Helper()
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: cfg.Addrs[0]})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		code, status, text := p.code, p.status, p.text
		p.mu.Unlock()
		if status == 0 || !strings.HasPrefix(r.URL.Query().Get("query"), "INSERT INTO") {
			pass.ServeHTTP(w, r)
			return
		}
		if code != 0 {
			w.Header().Set("X-ClickHouse-Exception-Code", fmt.Sprint(code))
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(proxy.Close)
	cfg.Addrs = []string{strings.TrimPrefix(proxy.URL, "http://")}
	return cfg
}

// TestFaultsOfCodes: ClickHouse's own words for what a test can not bring about, and after each the insert works.
func TestFaultsOfCodes(t *testing.T) {
	cfg := testConfig(t)
	if err := open(t, cfg).Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var p through
	s := open(t, p.start(t, cfg))
	first := int64(0)
	f := func(code, status int, text string, want ends.Fault) {
		t.Helper()
		first++
		in := insertOf(first, makeCharges(3, 1, 1))
		p.set(code, status, text)
		faultIs(t, text, s.Insert(t.Context(), in), want)
		p.set(0, 0, "")
		mustInsert(t, s, in)
	}
	exception := func(code int, name, text string) string {
		return fmt.Sprintf("Code: %d. DB::Exception: %s. (%s) (version 26.7.1.1 (official build))\n", code, text, name)
	}
	f(243, 500, exception(243, "NOT_ENOUGH_SPACE", "Cannot reserve 1.00 MiB, not enough space"), ends.FaultFull)
	f(75, 500, exception(75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", "Cannot write to file 19, errno: 28, strerror: No space left on device"), ends.FaultFull)
	f(1001, 500, "Code: 1001. DB::Exception: std::__1::__fs::filesystem::filesystem_error: in create_directories: No space left on device (STD_EXCEPTION)", ends.FaultFull)
	f(252, 500, exception(252, "TOO_MANY_PARTS", "Too many parts (3000)"), ends.FaultTooManyParts)
	f(241, 500, exception(241, "MEMORY_LIMIT_EXCEEDED", "Memory limit (total) exceeded"), ends.FaultOverloaded)
	f(202, 500, exception(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries. Maximum: 100"), ends.FaultOverloaded)
	f(242, 500, exception(242, "TABLE_IS_READ_ONLY", "Table is in readonly mode"), ends.FaultReadOnly)
	f(999, 500, exception(999, "KEEPER_EXCEPTION", "Session expired"), ends.FaultReadOnly)
	f(159, 408, exception(159, "TIMEOUT_EXCEEDED", "Timeout exceeded: elapsed 60 seconds"), ends.FaultSlow)
	f(516, 403, exception(516, "AUTHENTICATION_FAILED", "default: Authentication failed"), ends.FaultDenied)
	f(497, 403, exception(497, "ACCESS_DENIED", "Not enough privileges"), ends.FaultDenied)
	f(0, 503, "upstream connect error", ends.FaultUnreachable)
	f(0, 502, "Bad Gateway", ends.FaultUnreachable)
	f(319, 500, exception(319, "UNKNOWN_STATUS_OF_INSERT", "Unknown status"), ends.FaultFailing)
}

// TestFaultsOfTheRealEngine: what the real engine does to an insert when it is not as it should be, and that the same
// insert works once that is mended.
func TestFaultsOfTheRealEngine(t *testing.T) {
	cfg := testConfig(t)
	s := open(t, cfg)
	first := int64(0)
	insert := func(s *Store) error {
		first++
		return s.Insert(t.Context(), insertOf(first, makeCharges(3, 1, 1)))
	}
	exec := func(sql string) {
		t.Helper()
		if err := s.exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	works := func(what string, s *Store) {
		t.Helper()
		if err := insert(s); err != nil {
			t.Errorf("after %s was mended: %v", what, err)
		}
	}
	faultIs(t, "no database", insert(s), ends.FaultSchema)
	if err := s.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	works("the database", s)

	exec("RENAME TABLE " + s.table("charges") + " TO " + s.table("elsewhere"))
	faultIs(t, "no table", insert(s), ends.FaultSchema)
	exec("RENAME TABLE " + s.table("elsewhere") + " TO " + s.table("charges"))
	works("the table", s)

	exec("ALTER TABLE " + s.table("sessions") + " RENAME COLUMN held_reason TO held_because")
	faultIs(t, "no column", s.Insert(t.Context(), insertOf(1, makeSessions(2, 1))), ends.FaultSchema)
	exec("ALTER TABLE " + s.table("sessions") + " RENAME COLUMN held_because TO held_reason")
	mustInsert(t, s, insertOf(2, makeSessions(2, 1)))

	// A newer release that only adds: inserts of this one go on.
	exec("ALTER TABLE " + s.table("charges") + " ADD COLUMN later Int64 DEFAULT 7")
	exec("INSERT INTO " + s.table("schema_version") + " (version, name) VALUES (900, 'of a newer release')")
	works("a column too many", s)

	exec("ALTER TABLE " + s.table("charges") + " MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1, max_delay_to_insert = 1")
	exec("SYSTEM STOP MERGES " + s.table("charges"))
	faultIs(t, "too many parts", insert(s), ends.FaultTooManyParts)
	exec("ALTER TABLE " + s.table("charges") + " RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert")
	exec("SYSTEM START MERGES " + s.table("charges"))
	works("too many parts", s)

	reader := cfg
	reader.User, reader.Password = "reader", secret.New(server(t).ReaderPassword())
	err := insert(open(t, reader))
	var f *ends.FaultError
	if !errors.As(err, &f) || f.Fault != ends.FaultReadOnly && f.Fault != ends.FaultDenied {
		t.Errorf("a user that may only read: %v", err)
	}
	wrong := cfg
	wrong.Password = secret.New("wrong")
	_, err = Open(t.Context(), wrong)
	faultIs(t, "password", err, ends.FaultDenied)

	nobody := cfg
	nobody.Addrs = []string{"127.0.0.1:1"}
	_, err = Open(t.Context(), nobody)
	faultIs(t, "nobody listens", err, ends.FaultUnreachable)
}

// TestOldSchemaWithoutRights: what a user that may not migrate hears, and that a newer schema is refused.
func TestOldSchemaWithoutRights(t *testing.T) {
	cfg := testConfig(t)
	reader := cfg
	reader.User, reader.Password = "reader", secret.New(server(t).ReaderPassword())
	err := open(t, reader).Migrate(t.Context(), nil)
	if !errors.Is(err, ErrRefused) {
		t.Errorf("want a refusal, got %v", err)
	}
	s := open(t, cfg)
	if err := s.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.exec(t.Context(), "TRUNCATE TABLE "+s.table("schema_version")); err != nil {
		t.Fatal(err)
	}
	if err := s.exec(t.Context(), "INSERT INTO "+s.table("schema_version")+" (version, name) VALUES (0, 'x')"); err != nil {
		t.Fatal(err)
	}
	err = open(t, reader).Migrate(t.Context(), nil)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "wattline migrate") {
		t.Errorf("want a word on what to do, got %v", err)
	}
}

// TestHungStore: a store that takes a request and says nothing holds nobody for longer than the time-outs, and is slow,
// not gone.
func TestHungStore(t *testing.T) {
	cfg := testConfig(t)
	if err := open(t, cfg).Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	hung := false
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: cfg.Addrs[0]})
	release := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := hung
		mu.Unlock()
		if h {
			<-release
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { close(release); proxy.Close() })
	cfg.Addrs, cfg.InsertTimeout, cfg.QueryTimeout = []string{strings.TrimPrefix(proxy.URL, "http://")}, 300*time.Millisecond, 300*time.Millisecond
	s := open(t, cfg)
	in := insertOf(1, makeCharges(3, 1, 1))
	set := func(h bool) { mu.Lock(); hung = h; mu.Unlock() }
	set(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // none of them may need it
	defer cancel()
	faultIs(t, "insert", s.Insert(ctx, in), ends.FaultSlow)
	faultIs(t, "quiesce", s.Quiesce(ctx, "wl-1-"), ends.FaultSlow)
	_, err := s.ReadBack(ctx, in.Partition, in.First, in.Table, in.Month)
	faultIs(t, "read-back", err, ends.FaultSlow)
	_, _, err = s.LastBlock(ctx, in.Partition)
	faultIs(t, "last block", err, ends.FaultSlow)
	faultIs(t, "ping", s.Ping(ctx), ends.FaultSlow)
	if ctx.Err() != nil {
		t.Error("the time-outs of the configuration were not kept")
	}
	set(false)
	for err = s.Insert(ctx, in); err != nil && ctx.Err() == nil; { // a machine with much to do needs more than one try
		err = s.Insert(ctx, in)
	}
	if err != nil {
		t.Errorf("after it came back: %v", err)
	}
}
