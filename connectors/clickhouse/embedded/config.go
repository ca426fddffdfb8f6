package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/wattline/wattline/internal/certs"
)

// Config says where the engine is, where its data lies and what it may use.
// LibraryPath and DataDir are needed, all else has a default.
type Config struct {
	// LibraryPath is the file libchdb.so (Linux) or libchdb.dylib (macOS).
	LibraryPath string
	// DataDir holds the tables and the passwords; made when missing. One process
	// at a time, and one directory in a process (I6).
	DataDir string
	// Addr is the TCP address to listen on, "host:port". Without TLS the host must be
	// a loopback address. Default "127.0.0.1:8123"; port 0 takes any free port.
	Addr string
	// TLS serves by TLS only. Default off.
	TLS bool
	// CertFile and KeyFile are the PEM files of the certificate for TLS, read again when
	// they change. Default: one of our own, made at first start (see OwnCertificate).
	CertFile, KeyFile string
	// NextFreePort takes the next free port, 100 at most, when Addr's is taken.
	// Default off: a taken port is an error.
	NextFreePort bool
	// MaxThreads is what one query may use. Default: the number of cores.
	MaxThreads int
	// MaxMemoryBytes is what all queries and inserts together may use; a query
	// beyond it fails with MEMORY_LIMIT_EXCEEDED. Default: the engine's own,
	// nine tenths of the machine.
	MaxMemoryBytes int64
	// MaxConcurrentQueries bounds the statements inside the engine; more wait
	// for a slot until their client goes away. Each costs an OS thread while it runs.
	// Default 32.
	MaxConcurrentQueries int
	// InsertMemoryBytes is how much of one insert's body is kept in memory
	// before the engine sees it (I1); the rest goes to a file in DataDir/spool.
	// Default 64 MiB.
	InsertMemoryBytes int64
	// MaxBodyBytes bounds a request body after decompression. Default 16 GiB.
	MaxBodyBytes int64
	// SessionTimeout is how long an unused session_id lives when the request
	// does not say. Default 60 s, the server's own.
	SessionTimeout time.Duration
	// Logger gets start, stop, and what a client cannot be told. Default: none.
	Logger *slog.Logger
}

const (
	defaultAddr          = "127.0.0.1:8123"
	defaultConcurrency   = 32
	defaultInsertMemory  = 64 << 20
	defaultMaxBody       = 16 << 30
	defaultSession       = 60 * time.Second
	maxSessionTimeout    = time.Hour
	portsTried           = 100
	minMaxMemoryBytes    = 256 << 20
	maxStatementBytes    = 16 << 20
	statementHeadBytes   = 256 << 10
	killEvery            = 100 * time.Millisecond
	closeWithin          = 2500 * time.Millisecond
	responseHoldBytes    = 1 << 20
	spoolChunkBytes      = 1 << 20
	maxDecodeWindowBytes = 128 << 20
)

// withDefaults returns a copy of c with every zero replaced.
func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = defaultAddr
	}
	if c.MaxThreads == 0 {
		c.MaxThreads = runtime.NumCPU()
	}
	if c.MaxConcurrentQueries == 0 {
		c.MaxConcurrentQueries = defaultConcurrency
	}
	if c.InsertMemoryBytes == 0 {
		c.InsertMemoryBytes = defaultInsertMemory
	}
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = defaultMaxBody
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = defaultSession
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate names every fault of the configuration with its field, joined.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("embedded: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if c.LibraryPath == "" {
		bad("LibraryPath", "is empty; it names the libchdb library")
	} else if st, err := os.Stat(c.LibraryPath); err != nil {
		bad("LibraryPath", "%v", err)
	} else if st.IsDir() {
		bad("LibraryPath", "%s is a directory, not the library", c.LibraryPath)
	}
	if c.DataDir == "" {
		bad("DataDir", "is empty; it names the directory of the store")
	}
	if host, _, err := net.SplitHostPort(c.Addr); err != nil {
		bad("Addr", "%v", err)
	} else if !c.TLS && !certs.Loopback(host) {
		bad("Addr", "%q is not a loopback address; it needs TLS", c.Addr)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("CertFile", "and KeyFile: one is given without the other")
	}
	for _, v := range []struct {
		field string
		value int64
		min   int64
	}{
		{"MaxThreads", int64(c.MaxThreads), 1},
		{"MaxConcurrentQueries", int64(c.MaxConcurrentQueries), 1},
		{"InsertMemoryBytes", c.InsertMemoryBytes, spoolChunkBytes},
		{"MaxBodyBytes", c.MaxBodyBytes, spoolChunkBytes},
		{"SessionTimeout", int64(c.SessionTimeout), int64(time.Millisecond)},
	} {
		if v.value < v.min {
			bad(v.field, "%d is below %d", v.value, v.min)
		}
	}
	if c.MaxMemoryBytes != 0 && c.MaxMemoryBytes < minMaxMemoryBytes {
		bad("MaxMemoryBytes", "%d is below %d, with which the engine cannot start", c.MaxMemoryBytes, minMaxMemoryBytes)
	}
	return errors.Join(errs...)
}
