package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"
)

// Config is all that this package can be told. Only Brokers is needed; Group only to join a group.
type Config struct {
	// Brokers are the addresses (host:port) tried for the first contact; the rest of the cluster is learnt from them.
	Brokers []string
	// ClientID names this program in the broker's logs and quotas. Default: "wattline".
	ClientID string
	// TLS switches encryption on. Without ServerName the certificate must name the host that is dialled. Default: nil,
	// plain text, which is refused to brokers of other machines unless Insecure.
	TLS *tls.Config
	// Insecure allows plain text beyond this machine: data and passwords can then be read and changed on the way.
	// Default: false.
	Insecure bool
	// Login is how to log in. Default: not at all.
	Login Login
	// Dial opens a connection. Default: a net.Dialer with 3 s time-out.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// RequestTimeout bounds one request to one broker, waiting included. Default: 10 s. Longer makes a hung broker
	// noticed later; shorter fails big requests on slow links.
	RequestTimeout time.Duration
	// MetadataInterval is how often leaders and partition counts are looked up when nothing went wrong (an error asks
	// at once). Default: 30 s. Costs one small request each time.
	MetadataInterval time.Duration
	// BackoffMax is the longest pause between two tries of something that fails. Pauses start at 50 ms and double.
	// Default: 2 s.
	BackoffMax time.Duration
	// MaxInflatedBytes is the most that one compressed record batch may unpack to. Default: 64 MiB. A batch beyond it
	// is an error, as it may be a bomb. Memory: up to this for each partition that reads such a batch.
	MaxInflatedBytes int
	// Logger hears of what was retried, at level Warn. Default: nobody does.
	Logger *slog.Logger

	// Fetch, Group and Produce are the settings of the three sides.
	Fetch   FetchConfig
	Group   GroupConfig
	Produce ProduceConfig
}

// FetchConfig says how partitions are fetched.
type FetchConfig struct {
	// MinBytes is how much must be there before a broker answers a partition that has been read to its end. Default: 1,
	// the lowest delay. More makes fewer, larger batches out of thin traffic, at up to MaxWait of delay.
	MinBytes int
	// MaxWait is how long a broker holds a request for partitions read to their end. Default: 100 ms. Longer saves idle
	// requests (one each MaxWait and broker); a partition that comes to its end meanwhile waits this long at most.
	MaxWait time.Duration
	// MaxBytesPerPartition is asked of one partition at a time. Default: 1 MiB. Memory: this times QueueDepth for each
	// partition assigned, unpacked records in addition. A larger record batch is fetched all the same.
	MaxBytesPerPartition int
	// MaxBytes is asked of one broker at a time. Default: 16 MiB.
	MaxBytes int
	// QueueDepth is how many batches of a partition may be fetched and not released, the one in work included.
	// Default: 3. With 1 a shard waits for the network after each batch.
	QueueDepth int
	// PoolBytes is how much memory of released batches is kept for new ones. Default: 64 MiB.
	PoolBytes int
	// UnknownTopicAfter is how long a topic may be unknown to the brokers until it counts as deleted. Default: 30 s.
	UnknownTopicAfter time.Duration
}

// GroupConfig says which group to join, and as whom.
type GroupConfig struct {
	// ID is the group's id. All engines that share the work have the same.
	ID string
	// InstanceID is this engine's lasting name: unique in the group, the same after a restart. A second engine under it
	// fences the first.
	InstanceID string
	// Topics are the topics of readings. All members of a group should have the same.
	Topics []string
	// APIAddress is where this engine answers questions; the other members learn it. Default: none.
	APIAddress string
	// SessionTimeout is how long the group keeps the partitions of a silent engine. Default: 30 s. A killed engine that
	// is back within it goes on at once; one that is gone for good leaves its partitions idle this long.
	SessionTimeout time.Duration
	// HeartbeatInterval is the time between two heartbeats, and how fast a rebalance is noticed. Default: 2 s.
	HeartbeatInterval time.Duration
	// RebalanceTimeout is how long a rebalance waits for an engine that does not answer. Default: 10 s.
	RebalanceTimeout time.Duration
	// LeaveOnClose gives the partitions to the others at Close, instead of keeping them for a restart. Default: false.
	LeaveOnClose bool
}

// ProduceConfig says how messages are written.
type ProduceConfig struct {
	// Compression of batches. Default: CompressionNone.
	Compression Compression
	// MaxBatchBytes is the most bytes of records in one batch before compression; also the most that one message may
	// have. Default: 1,000,000, a little below Kafka's own default limit (message.max.bytes).
	MaxBatchBytes int
}

// metadataLimit is Kafka's default for the bytes of commit metadata (offset.metadata.max.bytes).
const metadataLimit = 4096

// withDefaults returns a copy in which every zero field has its default.
func (c Config) withDefaults() Config {
	setDefault(&c.ClientID, "wattline")
	setDefault(&c.RequestTimeout, 10*time.Second)
	setDefault(&c.MetadataInterval, 30*time.Second)
	setDefault(&c.BackoffMax, 2*time.Second)
	setDefault(&c.MaxInflatedBytes, 64<<20)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&c.Fetch.MinBytes, 1)
	setDefault(&c.Fetch.MaxWait, 100*time.Millisecond)
	setDefault(&c.Fetch.MaxBytesPerPartition, 1<<20)
	setDefault(&c.Fetch.MaxBytes, 16<<20)
	setDefault(&c.Fetch.QueueDepth, 3)
	setDefault(&c.Fetch.PoolBytes, 64<<20)
	setDefault(&c.Fetch.UnknownTopicAfter, 30*time.Second)
	setDefault(&c.Group.SessionTimeout, 30*time.Second)
	setDefault(&c.Group.HeartbeatInterval, 2*time.Second)
	setDefault(&c.Group.RebalanceTimeout, 10*time.Second)
	setDefault(&c.Produce.MaxBatchBytes, 1_000_000)
	c.Brokers = slices.Clone(c.Brokers)
	c.Group.Topics = slices.Clone(c.Group.Topics)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says every fault of c, each with the name of its field. Zero fields are no faults: they get defaults.
func (c Config) Validate() error {
	var errs []error
	fault := func(bad bool, field, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("kafka.%s: %s", field, fmt.Sprintf(format, args...)))
		}
	}
	d := c.withDefaults()
	fault(len(c.Brokers) == 0, "Brokers", "no address given")
	for i, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			fault(true, fmt.Sprintf("Brokers[%d]", i), "%q is not host:port", b)
		}
	}
	fault(d.RequestTimeout < time.Millisecond, "RequestTimeout", "%s is too short", d.RequestTimeout)
	fault(d.MetadataInterval < 100*time.Millisecond, "MetadataInterval", "%s is below 100ms", d.MetadataInterval)
	fault(d.BackoffMax < 50*time.Millisecond, "BackoffMax", "%s is below 50ms", d.BackoffMax)
	fault(d.MaxInflatedBytes < 1<<10, "MaxInflatedBytes", "%d is below 1024", d.MaxInflatedBytes)
	fault(d.Fetch.MinBytes < 0, "Fetch.MinBytes", "%d is negative", d.Fetch.MinBytes)
	fault(d.Fetch.MaxWait < time.Millisecond, "Fetch.MaxWait", "%s is below 1ms", d.Fetch.MaxWait)
	fault(d.Fetch.MaxWait >= d.RequestTimeout, "Fetch.MaxWait", "%s is not below RequestTimeout %s", d.Fetch.MaxWait, d.RequestTimeout)
	fault(d.Fetch.MaxBytesPerPartition < 1 || d.Fetch.MaxBytesPerPartition > maxPartitionBytes, "Fetch.MaxBytesPerPartition",
		"%d is not within 1..%d", d.Fetch.MaxBytesPerPartition, maxPartitionBytes)
	fault(d.Fetch.MaxBytes < d.Fetch.MaxBytesPerPartition || d.Fetch.MaxBytes > 1<<30, "Fetch.MaxBytes",
		"%d is not within MaxBytesPerPartition..1 GiB", d.Fetch.MaxBytes)
	fault(d.Fetch.QueueDepth < 1, "Fetch.QueueDepth", "%d is below 1", d.Fetch.QueueDepth)
	fault(d.Fetch.PoolBytes < 0, "Fetch.PoolBytes", "%d is negative", d.Fetch.PoolBytes)
	fault(d.Produce.MaxBatchBytes < 1<<10 || d.Produce.MaxBatchBytes > 1<<30, "Produce.MaxBatchBytes", "%d is not within 1024..1 GiB", d.Produce.MaxBatchBytes)
	fault(!d.Produce.Compression.producible(), "Produce.Compression", "%s cannot be produced; none, lz4 and zstd can", d.Produce.Compression)
	return errors.Join(errs...)
}

// validateGroup says every fault of the group's settings.
func (c Config) validateGroup() error {
	var errs []error
	fault := func(bad bool, field, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("kafka.Group.%s: %s", field, fmt.Sprintf(format, args...)))
		}
	}
	g := c.withDefaults().Group
	fault(g.ID == "", "ID", "no group id given")
	fault(g.InstanceID == "", "InstanceID", "no instance id given: each engine needs a lasting name of its own")
	fault(len(g.InstanceID) > 249, "InstanceID", "longer than Kafka's 249 characters")
	fault(len(g.Topics) == 0, "Topics", "no topic given")
	for i, t := range g.Topics {
		fault(t == "", fmt.Sprintf("Topics[%d]", i), "empty name")
		fault(slices.Contains(g.Topics[:i], t), fmt.Sprintf("Topics[%d]", i), "%q is given twice", t)
	}
	fault(len(g.APIAddress) > 1024, "APIAddress", "longer than 1024 bytes")
	fault(g.HeartbeatInterval < time.Millisecond, "HeartbeatInterval", "%s is below 1ms", g.HeartbeatInterval)
	fault(g.HeartbeatInterval*3 > g.SessionTimeout, "HeartbeatInterval", "%s is more than a third of SessionTimeout %s", g.HeartbeatInterval, g.SessionTimeout)
	fault(g.RebalanceTimeout < g.HeartbeatInterval, "RebalanceTimeout", "%s is below HeartbeatInterval %s", g.RebalanceTimeout, g.HeartbeatInterval)
	return errors.Join(errs...)
}
