package clickhouse

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/wattline/wattline/internal/secret"
)

// Protocol is how to speak to ClickHouse.
type Protocol string

// The protocols. The embedded engine speaks HTTP only.
const (
	HTTP   Protocol = "http"   // port 8123 of a server
	Native Protocol = "native" // port 9000 of a server
)

// Config says where ClickHouse is and how to treat it. Addrs is needed, all else has a default.
type Config struct {
	// Addrs are host:port of the servers. The first that answers is used, the others are for when it does not.
	// With more than one they must be replicas of each other (Cluster).
	Addrs []string
	// Protocol is how to speak to them. Default HTTP.
	Protocol Protocol
	// Database holds the tables; made by Migrate when missing. A plain identifier. Default "wattline".
	Database string
	// User logs in with Password. Default user "default", no password.
	User     string
	Password secret.Text
	// TLS switches encryption on. Without ServerName the certificate must name the host of the address. Default: nil,
	// plain text.
	TLS *tls.Config
	// DialTimeout bounds connecting, and waiting for one of MaxConns. Default 5 s.
	DialTimeout time.Duration
	// InsertTimeout bounds one attempt of an insert, server side included. Longer ones fail and are read back, so
	// too short costs work, never rows. Default 60 s.
	InsertTimeout time.Duration
	// QueryTimeout bounds read-back and other short questions, and each statement of Migrate. Default 60 s.
	QueryTimeout time.Duration
	// MaxConns bounds the connections, so also the inserts at the same time. Default 16.
	MaxConns int
	// Compression of what is sent and received: "lz4", "zstd" or "none". lz4 costs the client some 100 ns a row
	// and saves two thirds of the bytes. Default "lz4"; "none" if all Addrs are of this machine (127.0.0.0/8, ::1), where
	// bytes cost less than packing them.
	Compression string
	// NoFsync leaves flushing inserted parts to the operating system. A power failure may then lose rows that were
	// acknowledged; a crash of the process does not. Default false: fsync, which makes a small insert take 6 ms
	// instead of 2. Migrate brings existing tables in line.
	NoFsync bool
	// Cluster is the name of a ClickHouse cluster of one shard; tables become Replicated, statements ON CLUSTER, and
	// read-back waits for the replica it asks. Default "": a single server.
	Cluster string
}

const (
	defaultDatabase      = "wattline"
	defaultUser          = "default"
	defaultDialTimeout   = 5 * time.Second
	defaultInsertTimeout = time.Minute
	defaultQueryTimeout  = time.Minute
	defaultMaxConns      = 16
	compressLZ4          = "lz4"
	compressZSTD         = "zstd"
	compressNone         = "none"
)

// withDefaults returns a copy of c with every zero replaced.
func (c Config) withDefaults() Config {
	if c.Protocol == "" {
		c.Protocol = HTTP
	}
	if c.Database == "" {
		c.Database = defaultDatabase
	}
	if c.User == "" {
		c.User = defaultUser
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.InsertTimeout == 0 {
		c.InsertTimeout = defaultInsertTimeout
	}
	if c.QueryTimeout == 0 {
		c.QueryTimeout = defaultQueryTimeout
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultMaxConns
	}
	if c.Compression == "" {
		c.Compression = compressLZ4
		if c.loopback() {
			c.Compression = compressNone
		}
	}
	return c
}

// loopback says that nothing goes over a network. A name is not looked up: it may be anything tomorrow.
func (c *Config) loopback() bool {
	for _, a := range c.Addrs {
		host, _, err := net.SplitHostPort(a)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return false
		}
	}
	return len(c.Addrs) > 0
}

// Validate names every fault of the configuration with its field, joined.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("clickhouse: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if len(c.Addrs) == 0 {
		bad("Addrs", "is empty; it names the servers")
	}
	for i, a := range c.Addrs {
		if _, _, err := net.SplitHostPort(a); err != nil {
			bad(fmt.Sprintf("Addrs[%d]", i), "%v", err)
		}
	}
	if len(c.Addrs) > 1 && c.Cluster == "" {
		bad("Addrs", "has %d servers without Cluster; rows written to one would be missing on the others", len(c.Addrs))
	}
	if c.Protocol != HTTP && c.Protocol != Native {
		bad("Protocol", "%q is neither %q nor %q", c.Protocol, HTTP, Native)
	}
	identifier := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
	if !identifier.MatchString(c.Database) {
		bad("Database", "%q is not a plain identifier", c.Database)
	}
	if c.Cluster != "" && !identifier.MatchString(c.Cluster) {
		bad("Cluster", "%q is not a plain identifier", c.Cluster)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"DialTimeout", c.DialTimeout}, {"InsertTimeout", c.InsertTimeout}, {"QueryTimeout", c.QueryTimeout}} {
		if d.value < 10*time.Millisecond {
			bad(d.field, "%v is below 10 ms", d.value)
		}
	}
	if c.MaxConns < 1 {
		bad("MaxConns", "%d is below 1", c.MaxConns)
	}
	if !slices.Contains([]string{compressLZ4, compressZSTD, compressNone}, c.Compression) {
		bad("Compression", "%q is none of lz4, zstd, none", c.Compression)
	}
	return errors.Join(errs...)
}

// database is the name of the database as SQL has it.
func (c Config) database() string { return "`" + c.Database + "`" }

// options are the driver's for database db ("" for the server's default: Migrate makes ours).
func (c Config) options(db string) *ch.Options {
	o := &ch.Options{
		Addr:             c.Addrs,
		Auth:             ch.Auth{Database: db, Username: c.User, Password: c.Password.Reveal()},
		TLS:              c.TLS,
		DialTimeout:      c.DialTimeout,
		ReadTimeout:      max(c.InsertTimeout, c.QueryTimeout),
		MaxOpenConns:     c.MaxConns,
		MaxIdleConns:     c.MaxConns,
		ConnMaxLifetime:  time.Hour,
		ConnOpenStrategy: ch.ConnOpenInOrder,
	}
	if c.Protocol == HTTP {
		o.Protocol = ch.HTTP
	}
	switch c.Compression {
	case compressLZ4:
		o.Compression = &ch.Compression{Method: ch.CompressionLZ4}
	case compressZSTD:
		o.Compression = &ch.Compression{Method: ch.CompressionZSTD, Level: 1}
	}
	return o
}
