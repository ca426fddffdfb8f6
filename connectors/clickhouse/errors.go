package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/wattline/wattline/internal/certs"
)

// Errors of a Store that a caller may want to tell apart. All come wrapped with what was being done.
var (
	// ErrRefused: ClickHouse will refuse the same statement again until somebody changes the schema, the rights or
	// the configuration, or the connection is set up wrongly. Without it an error is transient: network, memory, disk,
	// load, time-out.
	ErrRefused = errors.New("refused by ClickHouse")
	// ErrNewerSchema: the database was migrated by a newer program.
	ErrNewerSchema = errors.New("the database's schema is newer than this program")
	// ErrChanging: rows arrived while a comparison ran, several times; stop the engines or ask again.
	ErrChanging = errors.New("the table keeps changing")
)

// refusals are the codes of ClickHouse that a retry cannot mend (src/Common/ErrorCodes.cpp). Not among them, as
// they pass: 159 timeout, 202 too many queries, 241 memory, 242 replica read-only, 243 disk full, 252 too many parts.
func refusals() []int32 {
	return []int32{
		10, 16, 20, 44, 47, // a column that is not there, or too many or few
		36, 42, 43, 46, 48, 62, 70, 115, // arguments, functions, settings or syntax that this server does not have
		50, 53, // types
		60, 81, // table, database
		164, 291, 392, 497, // readonly, rights
		192, 193, 194, 195, 516, // user, password
	}
}

// misconfigured says what is wrong with a connection that time does not mend, and which key to look at; "" for others.
func (c *Config) misconfigured(ctx context.Context, err error) string {
	var ex *ch.Exception
	if errors.As(err, &ex) && slices.Contains([]int32{192, 193, 194, 516}, ex.Code) {
		return fmt.Sprintf("the log-in of user %q was refused: look at clickhouse.user, and clickhouse.password or clickhouse.password_file", c.User)
	}
	if why := certs.Explain("clickhouse", err); why != "" {
		return why
	}
	// A server of TLS answers plain text in HTTP's words, or with an alert, whose first bytes are 0x15 and 3.
	spoken := certs.CutOff(err) && c.TLS == nil && c.speakTLS(ctx)
	for _, sign := range []string{"HTTP request to an HTTPS server", `malformed HTTP response "\x15\x03`, `unexpected packet [21]`} {
		spoken = spoken || strings.Contains(err.Error(), sign)
	}
	if spoken {
		return "TLS is spoken at that port: set clickhouse.tls, or take the port for plain text"
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return certs.Explain("clickhouse", tls.RecordHeaderError{})
	}
	return ""
}

// speakTLS finds out why servers hang up on plain text: ClickHouse's own closes the connection and says nothing.
func (c *Config) speakTLS(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.DialTimeout)
	defer cancel()
	for _, addr := range c.Addrs {
		host, _, _ := net.SplitHostPort(addr)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		speaks := certs.Speaks(ctx, conn, host)
		_ = conn.Close()
		if speaks {
			return true
		}
	}
	return false
}

// briefError has a shorter text than the error in it.
type briefError struct {
	error
	text string
}

func (b briefError) Error() string { return b.text }
func (b briefError) Unwrap() error { return b.error }

// brief takes out of an error of connecting what the driver says several times over.
func brief(err error) error {
	text := err.Error()
	for _, s := range []string{"failed to query server hello: ", "failed to query server hello info: ", "sendQuery: "} {
		text = strings.TrimPrefix(text, s)
	}
	return briefError{err, text}
}

// classify wraps err with ErrRefused where a retry is in vain, and with what it says of the store.
func classify(err error) error {
	if err == nil {
		return nil
	}
	f := faultOf(err)
	if f == nil {
		return err
	}
	var ex *ch.Exception
	if errors.As(err, &ex) && slices.Contains(refusals(), ex.Code) {
		f.Err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return f
}
