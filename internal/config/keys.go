package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/internal/secret"
)

// Keys lists everything that can be configured, in the order in which it is shown (G1).
func Keys() []Key { return keys() }

func keys() []Key {
	var all []Key
	for _, section := range [][]Key{
		engineKeys(),
		kafkaKeys(),
		tlsKeys("kafka", "Allow plain text to brokers of other machines: readings and passwords can be read and changed on the way.",
			func(c *Config) *TLS { return &c.Kafka.TLS }, func(c *Config) *bool { return &c.Kafka.Insecure }),
		kafkaWireKeys(),
		clickhouseKeys(),
		tlsKeys("clickhouse", "Allow plain text to servers of other machines: bills and passwords can be read and changed on the way.",
			func(c *Config) *TLS { return &c.ClickHouse.TLS }, func(c *Config) *bool { return &c.ClickHouse.Insecure }),
		otherKeys(),
	} {
		all = append(all, section...)
	}
	return all
}

// The bounds of durations where none is better.
const (
	shortest = 10 * time.Millisecond
	day      = 24 * time.Hour
)

func engineKeys() []Key {
	return []Key{
		text("engine.id", "text", "", "Lasting name of this engine in the consumer group, unique among the running ones, the same after a restart. Empty: the machine's name.", func(c *Config) *string { return &c.Engine.ID }),
		sliceKey(),
		duration("engine.session_timeout", "1h", "A session without a message for that long (by the time of the log) is closed provisionally.", time.Minute, 30*day, func(c *Config) *time.Duration { return &c.Engine.SessionTimeout }),
		number("engine.block_rows", "rows", "100000", "A block of rows is closed at that many. More is memory, fewer are more inserts.", 100, 10_000_000, func(c *Config) *int64 { return &c.Engine.BlockRows }),
		number("engine.block_offsets", "messages", "4000000", "A block is closed when it spans that many messages.", 100, 1<<40, func(c *Config) *int64 { return &c.Engine.BlockOffsets }),
		duration("engine.block_age", "1s", "A block of a busy partition is closed at that age: how fresh ClickHouse is, against one insert a table and block. Later while two blocks before it are not durable yet.", shortest, time.Hour, func(c *Config) *time.Duration { return &c.Engine.BlockAge }),
		duration("engine.block_age_max", "30s", "The age to which the blocks of thin partitions stretch.", shortest, time.Hour, func(c *Config) *time.Duration { return &c.Engine.BlockAgeMax }),
		number("engine.blocks_per_second", "blocks a second", "2", "How many blocks all thin partitions of this engine make together; busy ones make four times as many at most, unless that more than doubles engine.block_age.", 1, 1000, func(c *Config) *int64 { return &c.Engine.BlocksPerSecond }),
		duration("engine.snapshot_replay", "2s", "A snapshot is taken when replaying the readings since the last one would take longer than this.", 100*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.Engine.SnapshotReplay }),
		duration("engine.snapshot_age", "10m", "A partition that has readings takes a snapshot at that age at the latest, however little there is to replay. Far below the topic's retention: a restart reads the log from its snapshot on.", time.Second, 7*day, func(c *Config) *time.Duration { return &c.Engine.SnapshotAge }),
		size("engine.snapshot_chunk", "512KiB", "Size of a message of a snapshot. It must be below the state topic's max.message.bytes.", 4<<10, 8<<20, func(c *Config) *int64 { return &c.Engine.SnapshotChunk }),
		duration("engine.book_every", "1m", "New tariffs and chargers are taken at most that often; at once for sessions that wait for them.", time.Second, day, func(c *Config) *time.Duration { return &c.Engine.BookEvery }),
		duration("engine.reference_poll", "1s", "How often the reference log is asked for news.", 100*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.Engine.ReferencePoll }),
		yes("engine.prices", "true", "Tell the prices of running sessions on kafka.prices_topic, at most one a second and session. false: nothing is told, and it costs nothing.", func(c *Config) *bool { return &c.Engine.Prices }),
		duration("engine.stop_timeout", "3s", "Bounds an orderly stop of the engine. What is not durable by then is made again at the next start. The whole program stops within 1.5 s more.", 100*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.Engine.StopTimeout }),
		duration("engine.insert_backoff_max", "10s", "The longest pause between two attempts of an insert.", shortest, 5*time.Minute, func(c *Config) *time.Duration { return &c.Engine.InsertBackoffMax }),
	}
}

// sliceKey takes "none" beside a duration.
func sliceKey() Key {
	const doc = "Rows are cut at multiples of this of UTC; it divides a day. `none`: a row a charging period. Shorter slices make more rows, about a microsecond each."
	return single("engine.slice", "duration | none", "ms, s, m or h", "15m", doc, func(c *Config, v string) error {
		if v == "none" {
			c.Engine.Slice = 0
			return nil
		}
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%q is neither a duration nor none", v)
		}
		if d < time.Millisecond || day%d != 0 {
			return fmt.Errorf("%s does not divide a day", v)
		}
		c.Engine.Slice = d
		return nil
	}, func(c *Config) string {
		if c.Engine.Slice == 0 {
			return "none"
		}
		return shortDuration(c.Engine.Slice)
	})
}

func kafkaKeys() []Key {
	return []Key{
		list("kafka.brokers", "list of host:port", "", "Kafka's addresses for the first contact. Empty: an embedded Kafka runs in this process.", func(c *Config) *[]string { return &c.Kafka.Brokers }, hostPort),
		text("kafka.group", "text", "wattline", "The consumer group. All engines that share the work have the same.", func(c *Config) *string { return &c.Kafka.Group }, notEmpty),
		readingsKey(),
		text("kafka.reference_topic", "topic", "wattline.reference", "The log of tariffs and locations.", func(c *Config) *string { return &c.Kafka.ReferenceTopic }, topicName),
		text("kafka.state_topic", "topic", "wattline.state", "Holds the engines' snapshots (compacted).", func(c *Config) *string { return &c.Kafka.StateTopic }, topicName),
		text("kafka.rejects_topic", "topic", "wattline.rejects", "Gets what cannot be decoded or used, with the reason.", func(c *Config) *string { return &c.Kafka.RejectsTopic }, topicName),
		text("kafka.cdrs_topic", "topic", "wattline.cdrs", "Gets the CDRs of final sessions (OCPI 2.2.1).", func(c *Config) *string { return &c.Kafka.CDRsTopic }, topicName),
		text("kafka.prices_topic", "topic", "wattline.prices", "Gets the prices of running sessions (compacted), unless engine.prices is false.", func(c *Config) *string { return &c.Kafka.PricesTopic }, topicName),
		yes("kafka.create_topics", "true", "Make topics that are missing. false: a missing topic is an error that says how to make it.", func(c *Config) *bool { return &c.Kafka.CreateTopics }),
		number("kafka.replication_factor", "replicas", "0", "Of topics that are made. 0: the brokers' default.", 0, 100, func(c *Config) *int64 { return &c.Kafka.ReplicationFactor }),
		duration("kafka.session_timeout", "30s", "How long the group keeps the partitions of an engine that is silent. One that is back before goes on at once.", time.Second, 30*time.Minute, func(c *Config) *time.Duration { return &c.Kafka.SessionTimeout }),
		duration("kafka.heartbeat_interval", "2s", "Time between two heartbeats; at most a third of session_timeout.", shortest, 10*time.Minute, func(c *Config) *time.Duration { return &c.Kafka.HeartbeatInterval }),
		duration("kafka.rebalance_timeout", "10s", "How long a rebalance waits for an engine that does not answer.", shortest, 30*time.Minute, func(c *Config) *time.Duration { return &c.Kafka.RebalanceTimeout }),
		yes("kafka.leave_on_stop", "false", "Give the partitions to other engines at a stop, instead of keeping them for a restart.", func(c *Config) *bool { return &c.Kafka.LeaveOnStop }),
		choice("kafka.sasl", "none", "How to log in.", func(c *Config) *string { return &c.Kafka.SASL }, "none", "plain", "scram-sha-256", "scram-sha-512"),
		text("kafka.sasl_user", "text", "", "User for kafka.sasl.", func(c *Config) *string { return &c.Kafka.SASLUser }),
		password("kafka.sasl_password", "Password for kafka.sasl.", func(c *Config) *secret.Text { return &c.Kafka.SASLPassword }),
		text("kafka.sasl_password_file", "file", "", "File whose first line is the password for kafka.sasl.", func(c *Config) *string { return &c.Kafka.SASLPasswordFile }),
		text("kafka.embedded_addr", "host:port", "127.0.0.1:9092", "Where the embedded Kafka listens. If not set and taken, the next free port is used.", func(c *Config) *string { return &c.Kafka.EmbeddedAddr }, loopback),
		yes("kafka.embedded_fsync", "false", "Write every batch of the embedded Kafka through to the disk. Without it a crash of the process loses nothing, a power failure may.", func(c *Config) *bool { return &c.Kafka.EmbeddedFsync }),
	}
}

func kafkaWireKeys() []Key {
	return []Key{
		duration("kafka.request_timeout", "10s", "Bounds one request to one broker.", 100*time.Millisecond, 10*time.Minute, func(c *Config) *time.Duration { return &c.Kafka.RequestTimeout }),
		duration("kafka.metadata_interval", "30s", "How often leaders and partition counts are looked up when nothing went wrong.", 100*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.Kafka.MetadataInterval }),
		size("kafka.fetch_min", "1B", "What must be there before a broker answers a fetch at the end of a log. More makes fewer batches, with up to fetch_max_wait of delay.", 1, 64<<20, func(c *Config) *int64 { return &c.Kafka.FetchMinBytes }),
		duration("kafka.fetch_max_wait", "100ms", "How long a broker holds a fetch at the end of a log.", time.Millisecond, time.Minute, func(c *Config) *time.Duration { return &c.Kafka.FetchMaxWait }),
		size("kafka.fetch_partition", "1MiB", "Asked of one partition at a time. Memory: this times fetch_queue for each partition.", 1<<10, 256<<20, func(c *Config) *int64 { return &c.Kafka.FetchPartition }),
		size("kafka.fetch_bytes", "16MiB", "Asked of one broker at a time.", 1<<10, 1<<30, func(c *Config) *int64 { return &c.Kafka.FetchBytes }),
		number("kafka.fetch_queue", "batches", "3", "Batches of a partition that may be fetched and not worked off.", 1, 1000, func(c *Config) *int64 { return &c.Kafka.FetchQueue }),
		size("kafka.fetch_pool", "64MiB", "Memory of worked-off batches that is kept for new ones.", 0, 64<<30, func(c *Config) *int64 { return &c.Kafka.FetchPool }),
		choice("kafka.compression", "lz4", "Of what is written: snapshots, rejects, reference, simulated readings.", func(c *Config) *string { return &c.Kafka.Compression }, "none", "lz4", "zstd"),
	}
}

// Formats are the names of what a readings topic may hold: those of cmd/wattline/formats.go.
func Formats() []string { return []string{"protobuf", "json", "ocpp16", "ocpp201", "arrow"} }

// Partitioners are the names of how producers may choose a partition: none says that it is not known.
func Partitioners() []string { return []string{"none", "murmur2", "crc32"} }

// readingsKey is the list of topics: in the file a mapping or the short form that a variable takes.
func readingsKey() Key {
	const doc = "Topics of readings. format is that of records without a content-type header, partitions are for a topic that has to be made; in the embedded Kafka it keeps its records for ever (retention.ms -1). partitioner is how the producers choose a charge point's partition: murmur2 is that of Kafka's own producer, crc32 librdkafka's consistent; a reading that comes through another partition is rejected as wrong_partition (none: not checked, and nothing tells when two partitions share a charge point). In the file also as `{topic: NAME, format: protobuf, partitions: 16, partitioner: none}`."
	return Key{
		Path: "kafka.readings", Kind: "list of topic[:format[:partitions[:partitioner]]]; format: " + strings.Join(Formats(), " | ") + "; partitioner: " + strings.Join(Partitioners(), " | "),
		Default: "wattline.readings:protobuf:16:none", Doc: doc, List: true,
		set: func(c *Config, values []string) error {
			var errs []error
			c.Kafka.Readings = nil
			seen := map[string]bool{}
			for i, v := range values {
				r, err := parseReadings(v)
				if err == nil && seen[r.Topic] {
					err = fmt.Errorf("topic %s is given twice", r.Topic)
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("value %d: %w", i+1, err))
				}
				seen[r.Topic] = true
				c.Kafka.Readings = append(c.Kafka.Readings, r)
			}
			if len(values) == 0 {
				errs = append(errs, errors.New("is empty: there is nothing to rate"))
			}
			return errors.Join(errs...)
		},
		get: func(c *Config) []string {
			var out []string
			for _, r := range c.Kafka.Readings {
				out = append(out, fmt.Sprintf("%s:%s:%d:%s", r.Topic, r.Format, r.Partitions, r.Partitioner))
			}
			return out
		},
	}
}

func parseReadings(v string) (Readings, error) {
	parts := strings.Split(v, ":")
	r := Readings{Topic: parts[0], Format: Formats()[0], Partitions: 16, Partitioner: Partitioners()[0]}
	if len(parts) > 4 {
		return r, fmt.Errorf("%q is not topic:format:partitions:partitioner", v)
	}
	if err := topicName(r.Topic); err != nil {
		return r, err
	}
	if len(parts) > 1 && parts[1] != "" {
		r.Format = parts[1]
	}
	if !slices.Contains(Formats(), r.Format) {
		return r, fmt.Errorf("format %q is none of %s", r.Format, strings.Join(Formats(), ", "))
	}
	if len(parts) > 3 && parts[3] != "" {
		r.Partitioner = parts[3]
	}
	if !slices.Contains(Partitioners(), r.Partitioner) {
		return r, fmt.Errorf("partitioner %q is none of %s", r.Partitioner, strings.Join(Partitioners(), ", "))
	}
	if len(parts) > 2 && parts[2] != "" {
		n, err := strconv.ParseInt(parts[2], 10, 32)
		if err != nil || n < 1 || n > 100_000 {
			return r, fmt.Errorf("partitions %q is not a number between 1 and 100000", parts[2])
		}
		r.Partitions = int32(n)
	}
	return r, nil
}

func clickhouseKeys() []Key {
	return []Key{
		list("clickhouse.addr", "list of host:port", "", "ClickHouse's addresses. Empty: the embedded engine runs in this process. More than one: replicas, see cluster.", func(c *Config) *[]string { return &c.ClickHouse.Addr }, hostPort),
		choice("clickhouse.protocol", "http", "How to speak to it: http (port 8123 of a server) or native (9000). The embedded engine speaks http.", func(c *Config) *string { return &c.ClickHouse.Protocol }, "http", "native"),
		text("clickhouse.database", "text", "wattline", "Holds the tables; made when missing.", func(c *Config) *string { return &c.ClickHouse.Database }, notEmpty),
		text("clickhouse.user", "text", "default", "Who logs in.", func(c *Config) *string { return &c.ClickHouse.User }, notEmpty),
		password("clickhouse.password", "Password of the user. The embedded engine makes its own.", func(c *Config) *secret.Text { return &c.ClickHouse.Password }),
		text("clickhouse.password_file", "file", "", "File whose first line is the password.", func(c *Config) *string { return &c.ClickHouse.PasswordFile }),
		duration("clickhouse.dial_timeout", "5s", "Bounds connecting.", shortest, 10*time.Minute, func(c *Config) *time.Duration { return &c.ClickHouse.DialTimeout }),
		duration("clickhouse.insert_timeout", "1m", "Bounds one attempt of an insert. A longer one fails and is read back: too short costs work, never rows.", shortest, 9*time.Minute, func(c *Config) *time.Duration { return &c.ClickHouse.InsertTimeout }),
		duration("clickhouse.query_timeout", "1m", "Bounds read-back, other short questions, and each statement of a migration.", shortest, time.Hour, func(c *Config) *time.Duration { return &c.ClickHouse.QueryTimeout }),
		number("clickhouse.max_conns", "connections", "16", "Bounds the connections, so also the inserts at the same time.", 1, 10_000, func(c *Config) *int64 { return &c.ClickHouse.MaxConns }),
		choice("clickhouse.compression", "auto", "Of what is sent and received. auto: lz4, but none if every address is one of this machine.", func(c *Config) *string { return &c.ClickHouse.Compression }, "auto", "none", "lz4", "zstd"),
		yes("clickhouse.fsync", "true", "Flush every insert to the disk before it counts. Without it a power failure may lose rows that were acknowledged.", func(c *Config) *bool { return &c.ClickHouse.Fsync }),
		text("clickhouse.cluster", "text", "", "Name of a ClickHouse cluster of one shard; tables are then replicated.", func(c *Config) *string { return &c.ClickHouse.Cluster }),
		text("clickhouse.embedded_addr", "host:port", "127.0.0.1:8123", "Where the embedded engine listens. If not set and taken, the next free port is used. Beyond this machine it needs embedded_tls.", func(c *Config) *string { return &c.ClickHouse.EmbeddedAddr }, hostPort),
		yes("clickhouse.embedded_tls", "false", "Serve the embedded engine's interface by TLS only.", func(c *Config) *bool { return &c.ClickHouse.EmbeddedTLS }),
		text("clickhouse.embedded_cert_file", "file", "", "PEM certificate for embedded_tls, read again when it changes. Empty: the engine makes its own, which who trusts store/ca.pem in data.dir trusts.", func(c *Config) *string { return &c.ClickHouse.EmbeddedCert }),
		text("clickhouse.embedded_key_file", "file", "", "PEM key of embedded_cert_file.", func(c *Config) *string { return &c.ClickHouse.EmbeddedKey }),
		size("clickhouse.embedded_memory", "0B", "What all queries of the embedded engine may use together. 0B: nine tenths of the machine; else at least 256MiB.", 0, 1<<50, func(c *Config) *int64 { return &c.ClickHouse.EmbeddedMemory }),
		text("clickhouse.library", "file", "", "libchdb, the embedded engine's library. Empty: the pinned one, from the user's cache or downloaded into it.", func(c *Config) *string { return &c.ClickHouse.Library }),
	}
}

func otherKeys() []Key {
	return []Key{
		text("data.dir", "folder", "data", "Where the embedded Kafka and ClickHouse keep their files. Not used with addresses of others.", func(c *Config) *string { return &c.DataDir }, notEmpty),
		text("tokens.keyset_file", "file", "", "Keys that make pseudonyms of drivers' tokens, as `wattline tokens new-key` makes it; the same on every engine, mode 0600; read again when the reference log names a key that it lacks. Empty: tokens.json in data.dir with an embedded Kafka, if it is there; else a reference log with contracts can not be followed.", func(c *Config) *string { return &c.Tokens.KeysetFile }),
		password("tokens.keyset", "The text of such a file, for where a secret is a variable. It is read once.", func(c *Config) *secret.Text { return &c.Tokens.Keyset }),
		text("rejects.public_key_file", "file", "", "Public key that seals rejected messages, as `wattline rejects new-key` makes it. Empty: a reject says where its message is, not what was in it.", func(c *Config) *string { return &c.Rejects.PublicKey }),
		text("rejects.private_key_file", "file", "", "Private keys that open them, for `wattline rejects show` and `retry`. Engines do not read it: keep it away from them.", func(c *Config) *string { return &c.Rejects.PrivateKey }),
		text("http.addr", "host:port", "127.0.0.1:8080", "Where the API, metrics and profiles are served. If not set and taken, the next free port is used. Beyond this machine it needs a certificate and tokens.", func(c *Config) *string { return &c.HTTP.Addr }, hostPortAny),
		text("http.advertise", "host:port", "", "Address under which other engines and clients reach this API: questions about sessions of this engine are sent there. Empty: the one it listens on, or none where that is all of the machine's.", func(c *Config) *string { return &c.HTTP.Advertise }, listenAddress),
		text("http.tls_cert_file", "file", "", "PEM certificate of the API, with those between it and who is trusted; read again when it changes. Empty: plain text.", func(c *Config) *string { return &c.HTTP.CertFile }),
		text("http.tls_key_file", "file", "", "PEM key of http.tls_cert_file.", func(c *Config) *string { return &c.HTTP.KeyFile }),
		text("http.tokens_file", "file", "", "Hashes of the bearer tokens that may ask, as `wattline api token` prints them; read again when it changes. Empty: everybody may.", func(c *Config) *string { return &c.HTTP.Tokens }),
		yes("http.insecure", "false", "Allow an http.addr beyond this machine without a certificate or without tokens. Said in the log at every start.", func(c *Config) *bool { return &c.HTTP.Insecure }),
		number("http.streams", "streams", "1000", "Prices that may be followed at a time (GET /v1/sessions/{id}/price as a stream). Each keeps a connection open; the shards are asked for all of them together.", 0, 1_000_000, func(c *Config) *int64 { return &c.HTTP.Streams }),
		yes("http.pprof", "true", "Serve /debug/pprof. With tokens: to those of role operator.", func(c *Config) *bool { return &c.HTTP.Pprof }),
		choice("log.level", "info", "The least level that is logged.", func(c *Config) *string { return &c.Log.Level }, "debug", "info", "warn", "error"),
		choice("log.format", "text", "Form of a line.", func(c *Config) *string { return &c.Log.Format }, "text", "json"),
		text("pyroscope.addr", "URL", "", "Pyroscope server that profiles are pushed to, as http://host:4040. Empty: none are taken. Costs a few percent of CPU.", func(c *Config) *string { return &c.Pyroscope.Addr }, webAddress),
		text("pyroscope.app", "text", "wattline", "Name of the application there.", func(c *Config) *string { return &c.Pyroscope.App }, notEmpty),
		text("pyroscope.user", "text", "", "User for its basic authentication.", func(c *Config) *string { return &c.Pyroscope.User }),
		password("pyroscope.password", "Password for its basic authentication.", func(c *Config) *secret.Text { return &c.Pyroscope.Password }),
		text("pyroscope.password_file", "file", "", "File whose first line is that password.", func(c *Config) *string { return &c.Pyroscope.PasswordFile }),
		yes("pyroscope.insecure", "false", "Allow http:// to another machine: profiles and password can be read on the way. Said in the log at every start.", func(c *Config) *bool { return &c.Pyroscope.Insecure }),
	}
}

// tlsKeys are those of a connection to a server.
func tlsKeys(section, insecure string, tls func(*Config) *TLS, allow func(*Config) *bool) []Key {
	return []Key{
		yes(section+".tls", "false", "Encrypt the connections and check whom they lead to.", func(c *Config) *bool { return &tls(c).On }),
		text(section+".tls_ca_file", "file", "", "PEM certificates that are trusted. Empty: the machine's.", func(c *Config) *string { return &tls(c).CAFile }),
		text(section+".tls_cert_file", "file", "", "PEM certificate by which we prove who we are, where the server asks for one (mutual TLS); read again when it changes.", func(c *Config) *string { return &tls(c).CertFile }),
		text(section+".tls_key_file", "file", "", "PEM key of "+section+".tls_cert_file.", func(c *Config) *string { return &tls(c).KeyFile }),
		text(section+".tls_server_name", "text", "", "Name that the server's certificate must have. Empty: the host of its address.", func(c *Config) *string { return &tls(c).ServerName }),
		yes(section+".insecure", "false", insecure+" Said in the log at every start.", allow),
	}
}

func hostPortAny(v string) error {
	if err := notEmpty(v); err != nil {
		return err
	}
	return listenAddress(v)
}

func webAddress(v string) error {
	if u, err := url.Parse(v); err == nil && u.User != nil {
		return errors.New("has a user or password in it, which would be shown: use pyroscope.user and pyroscope.password")
	}
	if v == "" || strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://") {
		return nil
	}
	return fmt.Errorf("%q begins with neither http:// nor https://", v)
}
