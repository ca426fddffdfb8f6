package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/clickhouse/embedded"
	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/certs"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/internal/secret"
)

// configFlag adds --config.
func configFlag(fs *flag.FlagSet) *string {
	return fs.String("config", os.Getenv("WATTLINE_CONFIG"), "configuration `file` (YAML); default: $WATTLINE_CONFIG, else none")
}

// loadConfig reads the file, the environment and all secrets. When ok is false the faults have been told.
func loadConfig(std stdio, command, file string) (cfg *config.Config, ok bool) {
	return loadConfigFor(std, command, file, "clickhouse", "kafka", "pyroscope")
}

// loadConfigFor is loadConfig for a command that logs in with the secrets of these sections only.
func loadConfigFor(std stdio, command, file string, secrets ...string) (cfg *config.Config, ok bool) {
	cfg, err := config.Load(file, os.Environ())
	if err == nil {
		err = cfg.ReadSecrets(secrets...)
	}
	if err != nil {
		fmt.Fprintf(std.err, "wattline %s: configuration:\n%v\n", command, err)
		return nil, false
	}
	tellInsecure(cfg, std.err)
	return cfg, true
}

// tellInsecure logs what the configuration allows though it is not safe, at every start and whatever the log's level.
func tellInsecure(cfg *config.Config, w io.Writer) {
	loud := *cfg
	if loud.Log.Level == "error" {
		loud.Log.Level = "warn"
	}
	for _, what := range cfg.Insecure() {
		newLogger(&loud, w).Warn("insecure", "configuration", what)
	}
}

// engineID is the configured id, or the machine's name.
func engineID(cfg *config.Config) (string, error) {
	if cfg.Engine.ID != "" {
		return cfg.Engine.ID, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("engine.id is empty and the machine's name is not known: %w", err)
	}
	return name, nil
}

// toolLogger is the log of commands that come to an end: what they start and stop is of no interest, unless asked for.
func toolLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	quiet := *cfg
	if !cfg.Given("log.level") {
		quiet.Log.Level = "warn"
	}
	return newLogger(&quiet, w)
}

func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		invariant.Bug("log level: %v", err) // config takes no other
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func engineConfig(cfg *config.Config, id string) engine.Config {
	e := &cfg.Engine
	c := engine.Config{
		EngineID: id, ReferenceTopic: cfg.Kafka.ReferenceTopic, StateTopic: cfg.Kafka.StateTopic, RejectsTopic: cfg.Kafka.RejectsTopic,
		CDRsTopic: cfg.Kafka.CDRsTopic, PricesTopic: cfg.Kafka.PricesTopic, NoPrices: !cfg.Engine.Prices,
		SliceMs: e.Slice.Milliseconds(), SessionTimeoutMs: e.SessionTimeout.Milliseconds(), BlockRows: int(e.BlockRows), BlockOffsets: e.BlockOffsets,
		BlockAge: e.BlockAge, BlockAgeMax: e.BlockAgeMax, BlocksPerSecond: int(e.BlocksPerSecond), SnapshotReplay: e.SnapshotReplay, SnapshotAge: e.SnapshotAge,
		SnapshotChunk: int(e.SnapshotChunk), BookEvery: e.BookEvery, ReferencePoll: e.ReferencePoll, StopTimeout: e.StopTimeout, InsertBackoffMax: e.InsertBackoffMax,
	}
	if c.SliceMs == 0 {
		c.SliceMs = -1
	}
	return c
}

// partitioners are those of the readings topics; counts are the partitions that the topics have.
func partitioners(cfg *config.Config, counts map[string]int32) map[string]engine.Partitioner {
	all := map[string]engine.Partitioner{}
	for _, r := range cfg.Kafka.Readings {
		if r.Partitioner != config.Partitioners()[0] {
			all[r.Topic] = engine.Partitioner{Hash: r.Partitioner, Partitions: counts[r.Topic]}
		}
	}
	return all
}

// kafkaConfig is the client's part; brokers are those of the configuration or of the embedded Kafka.
func kafkaConfig(cfg *config.Config, id string, brokers []string, log *slog.Logger) (kafka.Config, error) {
	k := &cfg.Kafka
	c := kafka.Config{
		Brokers: brokers, Insecure: k.Insecure, ClientID: "wattline-" + id, RequestTimeout: k.RequestTimeout, MetadataInterval: k.MetadataInterval, Logger: log,
		Fetch: kafka.FetchConfig{
			MinBytes: int(k.FetchMinBytes), MaxWait: k.FetchMaxWait, MaxBytesPerPartition: int(k.FetchPartition), MaxBytes: int(k.FetchBytes),
			QueueDepth: int(k.FetchQueue), PoolBytes: int(k.FetchPool),
		},
		Group: kafka.GroupConfig{
			ID: k.Group, InstanceID: id, SessionTimeout: k.SessionTimeout, HeartbeatInterval: k.HeartbeatInterval,
			RebalanceTimeout: k.RebalanceTimeout, LeaveOnClose: k.LeaveOnStop,
		},
		Produce: kafka.ProduceConfig{Compression: map[string]kafka.Compression{
			"none": kafka.CompressionNone, "lz4": kafka.CompressionLZ4, "zstd": kafka.CompressionZstd,
		}[k.Compression]},
	}
	for _, r := range k.Readings {
		c.Group.Topics = append(c.Group.Topics, r.Topic)
	}
	if k.SASL != "none" {
		c.Login = kafka.Login{Mechanism: k.SASL, User: k.SASLUser, Password: k.SASLPassword}
	}
	var err error
	if c.TLS, err = clientTLS("kafka", &k.TLS); err != nil {
		return kafka.Config{}, err
	}
	return c, nil
}

// clientTLS is nil where the section has no TLS.
func clientTLS(section string, t *config.TLS) (*tls.Config, error) {
	if !t.On {
		return nil, nil //nolint:nilnil // no encryption is a configuration of its own
	}
	return certs.Client(section, certs.Files{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile, ServerName: t.ServerName})
}

// storeAt is where a store is and who may log in: of the configuration, or of the embedded store.
type storeAt struct {
	addrs    []string
	password secret.Text
}

// storeTLS is for the configured store, or for the embedded one, whose certificate has to exist by then.
func storeTLS(cfg *config.Config) (*tls.Config, error) {
	c := &cfg.ClickHouse
	if len(c.Addr) > 0 {
		return clientTLS("clickhouse", &c.TLS)
	}
	if !c.EmbeddedTLS {
		return nil, nil //nolint:nilnil // no encryption is a configuration of its own
	}
	certFile, keyFile := c.EmbeddedCert, c.EmbeddedKey
	if certFile == "" {
		_, certFile, keyFile = embedded.OwnCertificate(storeDir(cfg))
	}
	return certs.Own(certFile, keyFile)
}

// dialable is the address under which this machine reaches a server that listens at addr, perhaps at all addresses.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return addr
}

// clickhouseConfig is the store's part.
func clickhouseConfig(cfg *config.Config, at storeAt) (clickhouse.Config, error) {
	s := storeConfig(cfg, at)
	var err error
	s.TLS, err = storeTLS(cfg)
	return s, err
}

// storeConfig is clickhouseConfig without TLS, for which certificates are needed.
func storeConfig(cfg *config.Config, at storeAt) clickhouse.Config {
	c := &cfg.ClickHouse
	compression := c.Compression
	if compression == "auto" {
		compression = "" // what the package finds best
	}
	return clickhouse.Config{
		Addrs: at.addrs, Protocol: clickhouse.Protocol(c.Protocol), Database: c.Database, User: c.User, Password: at.password,
		DialTimeout: c.DialTimeout, InsertTimeout: c.InsertTimeout, QueryTimeout: c.QueryTimeout, MaxConns: int(c.MaxConns),
		Compression: compression, NoFsync: !c.Fsync, Cluster: c.Cluster,
	}
}

// topicSpecs lists the topics that an engine needs. What is told of sessions, and their state, has a partition for each of
// the readings topic that has the most.
func topicSpecs(cfg *config.Config, readings map[string]string) []kafka.TopicSpec {
	var most int32 = 1
	var specs []kafka.TopicSpec
	for _, r := range cfg.Kafka.Readings {
		s := kafka.ReadingsTopic(r.Topic, r.Partitions)
		s.Configs = readings
		specs = append(specs, s)
		most = max(most, r.Partitions)
	}
	specs = append(specs, kafka.ReferenceTopic(cfg.Kafka.ReferenceTopic), kafka.StateTopic(cfg.Kafka.StateTopic, most), kafka.RejectsTopic(cfg.Kafka.RejectsTopic, 1),
		kafka.CDRsTopic(cfg.Kafka.CDRsTopic, most))
	if cfg.Engine.Prices {
		specs = append(specs, kafka.PricesTopic(cfg.Kafka.PricesTopic, most))
	}
	for i := range specs {
		specs[i].ReplicationFactor = int16(cfg.Kafka.ReplicationFactor)
	}
	return specs
}

// ensureTopics makes the topics, or only looks at them if so configured, and checks what the protocol stands on.
func ensureTopics(ctx context.Context, client *kafka.Client, cfg *config.Config, specs []kafka.TopicSpec) (map[string]int32, error) {
	ensure := client.CheckTopics
	if cfg.Kafka.CreateTopics {
		ensure = client.EnsureTopics
	}
	counts, err := ensure(ctx, specs)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, r := range cfg.Kafka.Readings {
		for _, topic := range []string{cfg.Kafka.StateTopic, cfg.Kafka.CDRsTopic, cfg.Kafka.PricesTopic} {
			if n, ok := counts[topic]; ok && n < counts[r.Topic] {
				errs = append(errs, fmt.Errorf("topic %s has %d partitions, %s only %d: add partitions to it, each needs its own", r.Topic, counts[r.Topic], topic, n))
			}
		}
	}
	return counts, errors.Join(errs...)
}

// listen opens addr. If it was not asked for and is taken, the next free port of the hundred behind it is.
func listen(addr string, asked bool) (ln net.Listener, moved bool, err error) {
	ln, err = net.Listen("tcp", addr)
	if err == nil || asked {
		return ln, false, err
	}
	host, text, _ := net.SplitHostPort(addr)
	port, convErr := strconv.Atoi(text)
	if convErr != nil || port == 0 {
		return nil, false, err
	}
	for p := port + 1; p <= min(port+100, 65535); p++ {
		if ln, next := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p))); next == nil {
			return ln, true, nil
		}
	}
	return nil, false, fmt.Errorf("ports %d to %d are taken: %w", port, port+100, err)
}

// portOf is the port of host:port; config has checked it.
func portOf(addr string) int {
	n, err := strconv.Atoi(addr[strings.LastIndexByte(addr, ':')+1:])
	if err != nil {
		invariant.Bug("address %q has no port", addr)
	}
	return n
}
