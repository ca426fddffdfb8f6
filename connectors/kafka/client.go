package kafka

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Client is the connection to one Kafka cluster. Safe for concurrent use.
type Client struct {
	cfg       Config
	transport *kafkago.Transport
	pool      *bufferPool
	inflater  *inflater
	leaders   leaderCache
	troubles  troubles

	// reached: a broker has answered more than what it answers to anybody.
	reached atomic.Bool

	mu          sync.Mutex
	conns       map[net.Conn]struct{}
	closed      bool
	metadataMax int16 // highest version of Metadata that the brokers speak; 0: not asked yet
}

// New returns a client for cfg. It connects when it is first used. Close it.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg.withDefaults(), conns: map[net.Conn]struct{}{}}
	c.troubles = troubles{log: c.cfg.Logger, open: map[string]*trouble{}}
	c.pool = &bufferPool{limit: c.cfg.Fetch.PoolBytes}
	var err error
	if c.inflater, err = newInflater(c.cfg.MaxInflatedBytes, c.pool); err != nil {
		return nil, err
	}
	c.leaders.topics = map[string]topicMeta{}
	login, err := c.cfg.Login.mechanism()
	if err != nil {
		return nil, err
	}
	c.transport = &kafkago.Transport{
		Dial:     c.dial, // which speaks TLS itself: what goes wrong there can then be explained
		ClientID: c.cfg.ClientID,
		SASL:     login,
		// The transport's own view of the cluster is not used: it is up to its TTL old, and an error in it is only
		// noticed at the next turn. Requests carry the address that our own metadata gave. No topics: the smallest answer.
		MetadataTopics: []string{},
		MetadataTTL:    10 * time.Minute,
	}
	return c, nil
}

// NewTransport returns a transport of kafka-go that connects as the client does, for requests that this package does not
// have. The caller closes its idle connections.
func (c *Client) NewTransport() *kafkago.Transport {
	return &kafkago.Transport{Dial: c.dial, ClientID: c.cfg.ClientID, SASL: c.transport.SASL}
}

// Close ends all connections, also those on which a request waits. Close groups and feeds first.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	open := make([]net.Conn, 0, len(c.conns))
	for conn := range c.conns {
		open = append(open, conn)
	}
	c.mu.Unlock()
	c.transport.CloseIdleConnections()
	for _, conn := range open {
		_ = conn.Close() // what a broken connection says at its end is of no use
	}
	c.inflater.close()
	return nil
}

// dial opens a connection that Close can end. Cancelling a request's context does not end kafka-go's read on it.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.cfg.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if conn, err = c.track(conn); err != nil {
		return nil, err
	}
	return c.secure(ctx, conn, address)
}

func (c *Client) track(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, ErrClosed
	}
	t := &trackedConn{Conn: conn, client: c}
	c.conns[t] = struct{}{}
	return t, nil
}

type trackedConn struct {
	net.Conn
	client *Client
}

// Close implements net.Conn.
func (t *trackedConn) Close() error {
	t.client.mu.Lock()
	delete(t.client.conns, t)
	t.client.mu.Unlock()
	return t.Conn.Close()
}

// anyBroker as address means one of Config.Brokers.
const anyBroker = ""

// call carries one request through kafka-go's transport to the broker of our choice. It hides the message's own type,
// by which the transport would route it, split it or answer it from a cache: Heartbeat goes to no coordinator there,
// FindCoordinator is repeated for every request and its error code is dropped.
type call struct {
	msg      protocol.Message
	clientID string
	version  int16
	// answer, if set, reads the answer's body instead of kafka-go, and the request is written in version fixed.
	// A request that kafka-go cannot write at all comes as bytes, its length included.
	answer  func(*wireReader)
	fixed   int16
	request []byte
}

// ApiKey implements protocol.Message.
func (r *call) ApiKey() protocol.ApiKey { return r.msg.ApiKey() }

// Required implements protocol.RawExchanger.
func (r *call) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[r.msg.ApiKey()]
	return true
}

// RawExchange implements protocol.RawExchanger. A connection has one request in flight, so one correlation id serves.
func (r *call) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if m, ok := r.msg.(protocol.PreparedMessage); ok {
		m.Prepare(r.version)
	}
	if r.answer != nil {
		return &reply{}, r.exchange(rw)
	}
	res, err := protocol.RoundTrip(rw, r.version, 1, r.clientID, r.msg)
	if err != nil {
		return nil, err
	}
	return &reply{res}, nil
}

// exchange is RawExchange with an answer of our own reading.
func (r *call) exchange(rw io.ReadWriter) error {
	if r.request != nil {
		if _, err := rw.Write(r.request); err != nil {
			return err
		}
	} else if err := r.write(rw); err != nil {
		return err
	}
	w := wireReader{r: rw, left: 4}
	size := w.int32()
	if w.err == nil && (size < 4 || size > maxSmallAnswer) {
		return fmt.Errorf("answer of %d bytes, at most %d are plausible", size, maxSmallAnswer)
	}
	w.left = int(size)
	w.int32() // correlation id
	r.answer(&w)
	if w.err == nil && w.left != 0 {
		return fmt.Errorf("answer has %d bytes too many", w.left)
	}
	return w.err
}

// write writes the request in the fixed version.
func (r *call) write(rw io.Writer) error {
	if r.version < r.fixed {
		return fmt.Errorf("%s version %d: %w", r.msg.ApiKey(), r.fixed, errVersion)
	}
	return protocol.WriteRequest(rw, r.fixed, 1, r.clientID, r.msg)
}

// maxSmallAnswer bounds an answer that has no records: metadata of a hundred thousand partitions has some 5 MB.
const maxSmallAnswer = 64 << 20

var _ protocol.RawExchanger = (*call)(nil)

// reply hides the type of an answer, on which the transport acts too.
type reply struct{ protocol.Message }

// do sends msg to the broker at address and returns its answer. The time is bounded by Config.RequestTimeout plus
// extra, what the broker may hold the request for. msg is lost to the caller when ctx ends: it may still be written.
func (c *Client) do(ctx context.Context, address string, msg protocol.Message, extra time.Duration) (protocol.Message, error) {
	return c.send(ctx, address, &call{msg: msg}, extra)
}

// send sends what r carries; see do.
func (c *Client) send(ctx context.Context, address string, r *call, extra time.Duration) (protocol.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout+extra)
	defer cancel()
	r.clientID = c.cfg.ClientID
	res, err := c.transport.RoundTrip(ctx, c.netAddr(address), r)
	if err != nil {
		return nil, c.requestError(ctx, r.msg.ApiKey(), address, err)
	}
	if r.msg.ApiKey() != protocol.ApiVersions { // that is answered before the log-in
		c.reached.Store(true)
	}
	return res.(*reply).Message, nil
}

func (c *Client) netAddr(address string) net.Addr {
	if address == anyBroker {
		return kafkago.TCP(c.cfg.Brokers...)
	}
	return kafkago.TCP(address)
}

func (c *Client) requestError(ctx context.Context, api protocol.ApiKey, address string, err error) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if address == anyBroker {
		address = strings.Join(c.cfg.Brokers, ",")
	}
	if wrong := c.misconfigured(ctx, address, err); wrong != nil {
		return wrong
	}
	return fmt.Errorf("%s request to broker %s: %w", api, address, err)
}
