package config

import (
	"time"

	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/internal/secret"
)

// Config is everything that Wattline can be told. Fields are described where they are set: keys.go.
type Config struct {
	Engine     Engine
	Kafka      Kafka
	ClickHouse ClickHouse
	Tokens     Tokens
	DataDir    string // of what runs in this process: embedded Kafka and store
	Rejects    Rejects
	HTTP       HTTP
	Log        Log
	Pyroscope  Pyroscope

	origin map[string]origin // by path: where a value that is not the default came from
}

// Engine is the section engine.
type Engine struct {
	ID               string // unique among the engines of a group; "" is the machine's name
	Slice            time.Duration
	SessionTimeout   time.Duration
	BlockRows        int64
	BlockOffsets     int64
	BlockAge         time.Duration
	BlockAgeMax      time.Duration
	BlocksPerSecond  int64
	SnapshotReplay   time.Duration
	SnapshotAge      time.Duration
	SnapshotChunk    int64 // bytes
	BookEvery        time.Duration
	ReferencePoll    time.Duration
	Prices           bool
	StopTimeout      time.Duration
	InsertBackoffMax time.Duration
}

// Readings is a topic of meter readings.
type Readings struct {
	Topic       string
	Format      string // of records without a content-type header
	Partitions  int32  // of the topic if it has to be made
	Partitioner string // how producers choose a charge point's partition: one of Partitioners
}

// TLS is what a section says about TLS to a server.
type TLS struct {
	On         bool
	CAFile     string
	CertFile   string // of our own certificate
	KeyFile    string
	ServerName string
}

// Kafka is the section kafka. Without Brokers the embedded one is used.
type Kafka struct {
	Brokers           []string
	Group             string
	Readings          []Readings
	ReferenceTopic    string
	StateTopic        string
	RejectsTopic      string
	CDRsTopic         string
	PricesTopic       string
	CreateTopics      bool
	ReplicationFactor int64 // 0: the brokers' default
	SessionTimeout    time.Duration
	HeartbeatInterval time.Duration
	RebalanceTimeout  time.Duration
	LeaveOnStop       bool
	RequestTimeout    time.Duration
	MetadataInterval  time.Duration
	FetchMinBytes     int64
	FetchMaxWait      time.Duration
	FetchPartition    int64 // bytes
	FetchBytes        int64
	FetchQueue        int64
	FetchPool         int64 // bytes
	Compression       string
	TLS               TLS
	Insecure          bool
	SASL              string // mechanism; "none" for none
	SASLUser          string
	SASLPassword      secret.Text
	SASLPasswordFile  string
	EmbeddedAddr      string
	EmbeddedFsync     bool
}

// ClickHouse is the section clickhouse. Without Addr the embedded one is used.
type ClickHouse struct {
	Addr           []string
	Protocol       string
	Database       string
	User           string
	Password       secret.Text
	PasswordFile   string
	TLS            TLS
	Insecure       bool
	DialTimeout    time.Duration
	InsertTimeout  time.Duration
	QueryTimeout   time.Duration
	MaxConns       int64
	Compression    string
	Fsync          bool
	Cluster        string
	EmbeddedAddr   string
	EmbeddedMemory int64 // bytes; 0: the engine's own
	EmbeddedTLS    bool
	EmbeddedCert   string // file; "": its own certificate
	EmbeddedKey    string
	Library        string
}

// Rejects is the section rejects: files of keys.
type Rejects struct {
	PublicKey  string // seals; "": messages that are rejected are not kept
	PrivateKey string // opens, for wattline rejects
}

// HTTP is the section http.
type HTTP struct {
	Addr      string
	Advertise string
	Pprof     bool
	CertFile  string // "" is plain text
	KeyFile   string
	Tokens    string // file; "": nobody is asked who he is
	Insecure  bool
	Streams   int64 // prices that are followed at a time
}

// Tokens is the section tokens. Without a keyset drivers' tokens are not looked at.
type Tokens struct {
	Keyset     secret.Text
	KeysetFile string
}

// Log is the section log.
type Log struct {
	Level  string
	Format string
}

// Pyroscope is the section pyroscope.
type Pyroscope struct {
	Addr         string
	App          string
	User         string
	Password     secret.Text
	PasswordFile string
	Insecure     bool
}

// Default returns the configuration of an empty file and an empty environment.
func Default() *Config {
	c := &Config{origin: map[string]origin{}}
	for _, k := range keys() {
		if err := k.set(c, k.defaults()); err != nil {
			invariant.Bug("default of %s: %v", k.Path, err)
		}
	}
	return c
}

// Given says whether the key of path was set by the file or the environment. A port that was not asked for may be
// another one when it is taken; one that was may not.
func (c *Config) Given(path string) bool {
	_, ok := c.origin[path]
	return ok
}
