package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/wattline/wattline/internal/certs"
	"github.com/wattline/wattline/internal/secret"
)

// ErrMisconfigured is in every error of a connection that time does not mend: certificates, names, passwords, plain
// text where TLS is spoken. Its text says which key to look at. A client that has never been answered gives up at once
// with it; one that has goes on trying, since a broker may have been changed under it and be changed back.
var ErrMisconfigured = errors.New("connection to Kafka is configured wrongly")

// Mechanisms are the values of Login.Mechanism, beside "" for no log-in.
const (
	Plain       = "plain"
	ScramSHA256 = "scram-sha-256"
	ScramSHA512 = "scram-sha-512"
)

// Login is how to log in.
type Login struct {
	Mechanism string // "": not at all
	User      string
	Password  secret.Text
}

// mechanism returns kafka-go's part; nil for no log-in.
func (l Login) mechanism() (sasl.Mechanism, error) {
	switch l.Mechanism {
	case "":
		return nil, nil //nolint:nilnil // no log-in is a configuration of its own
	case Plain:
		return plainLogin{l}, nil
	case ScramSHA256, ScramSHA512:
		algorithm := scram.SHA256
		if l.Mechanism == ScramSHA512 {
			algorithm = scram.SHA512
		}
		m, err := scram.Mechanism(algorithm, l.User, l.Password.Reveal())
		if err != nil { // characters that SCRAM forbids; the text names one of them at most
			return nil, errors.New("kafka.Login: user or password has a character that SCRAM forbids (RFC 4013)")
		}
		return m, nil
	}
	return nil, fmt.Errorf("kafka.Login: mechanism %q is none of %s, %s, %s", l.Mechanism, Plain, ScramSHA256, ScramSHA512)
}

// plainLogin is kafka-go's PLAIN, which has the password as a text that is printed with it.
type plainLogin struct{ login Login }

// Name implements sasl.Mechanism.
func (plainLogin) Name() string { return "PLAIN" }

// Start implements sasl.Mechanism.
func (p plainLogin) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	return plain.Mechanism{Username: p.login.User, Password: p.login.Password.Reveal()}.Start(ctx)
}

// setupError is an ErrMisconfigured with one text for people.
type setupError struct {
	text  string
	err   error
	final bool // the client has never been answered
}

func (e *setupError) Error() string { return e.text }
func (e *setupError) Unwrap() error { return e.err }

// Is makes every setupError an ErrMisconfigured for errors.Is.
func (e *setupError) Is(target error) bool { return target == ErrMisconfigured }

// errTLSSpoken is what a connection in plain text says when the first bytes it gets are an alert of TLS.
var errTLSSpoken = errors.New("TLS is spoken at that port")

// secure makes of a connection what the configuration wants it to be. It closes conn on an error.
func (c *Client) secure(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if c.cfg.TLS == nil {
		if !c.cfg.Insecure && !staysHere(conn) {
			_ = conn.Close()
			return nil, &setupError{text: fmt.Sprintf("broker %s is not on this machine, and plain text can be read and changed on the way: set kafka.tls, or say kafka.insecure: true", address)}
		}
		return &plainConn{Conn: conn}, nil
	}
	cfg := c.cfg.TLS
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(address)
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return t, nil
}

// staysHere says whether the peer is this machine, or no machine at all as in tests.
func staysHere(conn net.Conn) bool {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

// plainConn tells an alert of TLS, that a broker answers plain text with, from an answer: as one its first bytes would
// announce 352 MB.
type plainConn struct {
	net.Conn
	seen bool
}

// Read implements net.Conn.
func (p *plainConn) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 && !p.seen {
		p.seen = true
		if b[0] == 0x15 && (n == 1 || b[1] == 3) {
			return 0, errTLSSpoken
		}
	}
	return n, err
}

// misconfigured turns an error of a connection that time does not mend into an ErrMisconfigured; nil for others.
func (c *Client) misconfigured(ctx context.Context, address string, err error) error {
	if s := (*setupError)(nil); errors.As(err, &s) {
		return &setupError{s.text, err, !c.reached.Load()}
	}
	text := c.explain(err)
	if text == "" && !c.reached.Load() && certs.CutOff(err) {
		text = c.probe(ctx, address)
	}
	if text == "" {
		return nil
	}
	return &setupError{"broker " + address + ": " + text, err, !c.reached.Load()}
}

// explain says what is wrong where the error itself tells.
func (c *Client) explain(err error) string {
	l := c.cfg.Login
	var code kafkago.Error
	switch {
	case errors.Is(err, errTLSSpoken):
		return "TLS is spoken at that port: set kafka.tls, or take the port for plain text"
	case !errors.As(err, &code):
		return certs.Explain("kafka", err)
	case code == kafkago.SASLAuthenticationFailed:
		return fmt.Sprintf("the log-in of user %q by %s was refused: look at kafka.sasl_user and kafka.sasl_password; or the user has no password for this mechanism (kafka.sasl)", l.User, l.Mechanism)
	case code == kafkago.UnsupportedSASLMechanism:
		return fmt.Sprintf("it does not let users log in by %s: correct kafka.sasl", l.Mechanism)
	case code == kafkago.IllegalSASLState:
		return "nobody logs in at that port: set kafka.sasl to none, or take the port for log-ins"
	}
	return ""
}

// probeWithin bounds each of the probes.
const probeWithin = 3 * time.Second

// probe finds out why a broker hangs up on us by asking it in other ways; "" if it does in all of them.
func (c *Client) probe(ctx context.Context, address string) string {
	for one := range strings.SplitSeq(address, ",") {
		switch {
		case c.cfg.TLS == nil && c.speaksTLS(ctx, one):
			return c.explain(errTLSSpoken)
		case c.cfg.TLS != nil && c.speaksPlain(ctx, one):
			return certs.Explain("kafka", tls.RecordHeaderError{})
		case c.cfg.Login.Mechanism == "":
			if list := c.mechanisms(ctx, one); len(list) > 0 {
				return fmt.Sprintf("it wants a log-in by one of %s: set kafka.sasl, kafka.sasl_user and kafka.sasl_password", strings.ToLower(strings.Join(list, ", ")))
			}
		}
	}
	return ""
}

func (c *Client) speaksTLS(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	conn, err := c.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	host, _, _ := net.SplitHostPort(address)
	return certs.Speaks(ctx, conn, host)
}

// speaksPlain sends ApiVersions in plain text, which tells nothing of ours.
func (c *Client) speaksPlain(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	conn, err := c.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if conn.SetDeadline(deadline) != nil || protocol.WriteRequest(conn, 0, 1, c.cfg.ClientID, &apiversions.Request{}) != nil {
		return false
	}
	var head [8]byte // length and correlation id
	_, err = io.ReadFull(conn, head[:])
	return err == nil && binary.BigEndian.Uint32(head[4:]) == 1
}

// mechanisms asks by which mechanisms one may log in, by naming one that does not exist.
func (c *Client) mechanisms(ctx context.Context, address string) []string {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if conn.SetDeadline(deadline) != nil {
		return nil
	}
	res, err := protocol.RoundTrip(conn, 1, 1, c.cfg.ClientID, &saslhandshake.Request{Mechanism: "NONE"})
	if err != nil {
		return nil
	}
	return res.(*saslhandshake.Response).Mechanisms
}
