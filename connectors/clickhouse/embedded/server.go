package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wattline/wattline/internal/secret"
)

// ErrLocked says that the data directory is in use; the error's text names the
// directory and, when known, the process.
var ErrLocked = errors.New("another process uses the data directory")

// Server is a running engine with its HTTP interface. All methods may be called from
// any goroutine.
type Server struct {
	cfg            Config
	lib            *library
	lock           *os.File
	args           []string // of every engine connection
	spoolDir       string
	password       secret.Text // of UserDefault
	readerPassword secret.Text
	tls            *tls.Config // nil without TLS

	version, timezone, displayName string
	settingNames                   map[string]bool
	tableFunctions                 map[string]bool

	listener net.Listener
	http     *http.Server
	served   chan struct{} // closed when the accept loop has ended
	ctx      context.Context
	cancel   context.CancelFunc

	rootMu sync.Mutex
	root   *conn // keeps the engine up; kills queries

	slots  chan struct{}
	lastID atomic.Uint64
	chunks chunks

	inFlight sync.WaitGroup // handlers, which may use the engine

	mu       sync.Mutex
	closing  bool
	running  map[string]bool // query ids
	sessions map[string]*session

	closeOnce sync.Once
	closeErr  error
}

// Start locks the data directory, starts the engine on it, makes the passwords at
// first start, and serves until Close. ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	began := time.Now()
	s := &Server{
		cfg: cfg, served: make(chan struct{}), slots: make(chan struct{}, cfg.MaxConcurrentQueries),
		running: map[string]bool{}, sessions: map[string]*session{},
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.start(ctx); err != nil {
		s.cancel()
		s.release()
		return nil, err
	}
	cfg.Logger.Info("store started", slog.String("addr", s.Addr()), slog.String("dir", cfg.DataDir),
		slog.String("version", s.version), slog.Duration("took", time.Since(began)))
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := s.prepareDir(); err != nil {
		return err
	}
	// The port comes before the engine: a taken port must not cost an engine start.
	ln, err := listen(ctx, s.cfg.Addr, s.cfg.NextFreePort)
	if err != nil {
		return err
	}
	s.listener = ln
	if s.lib, err = loadLibrary(s.cfg.LibraryPath); err != nil {
		return err
	}
	if err := s.startEngine(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("embedded: start: %w", err)
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       10 * time.Minute,
		MaxHeaderBytes:    1 << 20, // a query may stand in the URL
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	if s.tls != nil {
		ln = tls.NewListener(ln, s.tls)
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.cfg.Logger.Error("store stopped serving", slog.Any("error", err))
		}
	}()
	return nil
}

// prepareDir makes the directory, takes its lock (I6) and reads the passwords.
func (s *Server) prepareDir() (err error) {
	dir, err := filepath.Abs(s.cfg.DataDir)
	if err != nil {
		return fmt.Errorf("embedded: data directory %s: %w", s.cfg.DataDir, err)
	}
	s.spoolDir = filepath.Join(dir, "spool")
	for _, d := range []string{dir, filepath.Join(dir, "engine"), s.spoolDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("embedded: data directory: %w", err)
		}
	}
	if s.lock, err = lockDir(dir); err != nil {
		return err
	}
	if s.password, err = loadPassword(dir, defaultPasswordFile); err != nil {
		return err
	}
	if s.readerPassword, err = loadPassword(dir, readerPasswordFile); err != nil {
		return err
	}
	if err := s.prepareTLS(dir); err != nil {
		return err
	}
	// A configuration of ours keeps the engine from reading ./config.xml or the
	// user's; some limits can be set only there.
	conf := filepath.Join(dir, "engine.xml")
	if err := os.WriteFile(conf, []byte(engineConfig(s.cfg)), 0o600); err != nil {
		return fmt.Errorf("embedded: engine configuration: %w", err)
	}
	s.args = []string{
		"--path=" + filepath.Join(dir, "engine"),
		"--config-file=" + conf,
		"--max_threads=" + strconv.Itoa(s.cfg.MaxThreads),
		// What the library sets otherwise than a server does:
		"--implicit_select=0",
		// Results go to pipes and files as a rule; auto colours them all, as the engine sees no terminal behind HTTP.
		"--output_format_pretty_color=0",
		"--allow_introspection_functions=0",
	}
	return nil
}

func engineConfig(cfg Config) string {
	memory := ""
	if cfg.MaxMemoryBytes > 0 {
		memory = fmt.Sprintf("    <max_server_memory_usage>%d</max_server_memory_usage>\n", cfg.MaxMemoryBytes)
	}
	// With a terminal as stdin or stderr the engine logs to it ("current_thread contains invalid address", at nearly
	// every call), which ruins a screen that is drawn. What fails comes as an exception all the same.
	return "<clickhouse>\n    <!-- written by wattline at every start -->\n    <logger><console>false</console><level>none</level></logger>\n" + memory + "</clickhouse>\n"
}

// lockDir takes DIR/lock for this process; the kernel gives it back however the
// process ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded: lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path) // only to name it
		_ = f.Close()                  // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("embedded: lock data directory %s: %w", dir, err)
		}
		return nil, fmt.Errorf("embedded: %w: another process (pid %s) uses %s", ErrLocked, strings.TrimSpace(string(holder)), dir)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid()))); err != nil {
		_ = f.Close() // the error that counts is err
		return nil, fmt.Errorf("embedded: lock data directory: %w", err)
	}
	return f, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// startEngine opens the connection that keeps the engine up and reads what the
// interface must know of it.
func (s *Server) startEngine() error {
	c, ok := newConn(s.lib, s.args)
	if !ok {
		return fmt.Errorf("embedded: the engine does not start on %s; its reason is on standard error. "+
			"Likely: the disk is full, another engine in this process has another data directory, or files of %s belong to another user",
			s.cfg.DataDir, s.cfg.DataDir)
	}
	s.root = c
	var err error
	for _, v := range []struct {
		to  *string
		sql string
	}{
		{&s.version, "SELECT version()"},
		{&s.timezone, "SELECT timezone()"},
		{&s.displayName, "SELECT hostName()"},
	} {
		if *v.to, err = c.value(v.sql); err != nil {
			return fmt.Errorf("embedded: ask the engine %q: %w", v.sql, err)
		}
	}
	if s.settingNames, err = nameSet(c, "SELECT name FROM system.settings"); err != nil {
		return err
	}
	s.tableFunctions, err = nameSet(c, "SELECT lower(name) FROM system.table_functions")
	return err
}

func nameSet(c *conn, sql string) (map[string]bool, error) {
	text, err := c.value(sql)
	if err != nil {
		return nil, fmt.Errorf("embedded: ask the engine %q: %w", sql, err)
	}
	set := map[string]bool{}
	for name := range strings.SplitSeq(text, "\n") {
		set[name] = true
	}
	return set, nil
}

// listen opens addr, or the next free port after it.
func listen(ctx context.Context, addr string, next bool) (net.Listener, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("embedded: address %s: %w", addr, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("embedded: address %s: %w", addr, err)
	}
	var lc net.ListenConfig
	for i := 0; ; i++ {
		ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port+i)))
		if err == nil {
			return ln, nil
		}
		if !next || !errors.Is(err, syscall.EADDRINUSE) || i+1 == portsTried || port+i >= 65535 {
			return nil, fmt.Errorf("embedded: listen: %w", err)
		}
	}
}

// Addr is the address that clients use, "host:port".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Password is that of the user "default".
func (s *Server) Password() string { return s.password.Reveal() }

// ReaderPassword is that of the user "reader".
func (s *Server) ReaderPassword() string { return s.readerPassword.Reveal() }

// Version is the engine's, as version() gives it.
func (s *Server) Version() string { return s.version }

// Close stops accepting, kills what runs, closes all connections and with them
// the engine, and gives the data directory free. It takes until ctx ends or 2.5 s; statements
// that have not ended by then are left to the end of the process, which is an error.
// A second call returns the first one's result.
func (s *Server) Close(ctx context.Context) error {
	s.closeOnce.Do(func() { s.closeErr = s.shutdown(ctx) })
	return s.closeErr
}

func (s *Server) shutdown(ctx context.Context) error {
	began := time.Now()
	ctx, done := context.WithTimeout(ctx, closeWithin)
	defer done()
	_ = s.listener.Close() // Shutdown closes it too; this is earlier
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.cancel() // every request's context: I3 kills its query
	grace, graceDone := context.WithTimeout(ctx, closeWithin/2)
	defer graceDone()
	if err := s.http.Shutdown(grace); err != nil {
		// A client that does not send its body or read its answer: cut it off.
		_ = s.http.Close() // the listener is closed already, and says so
	}
	<-s.served
	ended := make(chan struct{})
	go func() {
		s.inFlight.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		// The engine still works for a handler: closing it there would crash.
		return fmt.Errorf("embedded: statements did not end in time: %w", ctx.Err())
	}
	s.release()
	s.cfg.Logger.Info("store stopped", slog.Duration("took", time.Since(began)))
	return nil
}

// release frees what start took, in reverse order. No request runs any more.
func (s *Server) release() {
	s.mu.Lock()
	sessions := s.sessions
	s.sessions = map[string]*session{}
	s.mu.Unlock()
	for _, ses := range sessions {
		ses.timer.Stop()
		ses.conn.close()
	}
	s.rootMu.Lock()
	if s.root != nil {
		s.root.close()
		s.root = nil
	}
	s.rootMu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close() // may be closed already
	}
	if s.lock != nil {
		_ = s.lock.Close() // gives the lock back
	}
}
