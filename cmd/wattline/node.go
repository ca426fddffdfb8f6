package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/analytics"
	"github.com/wattline/wattline/api"
	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/clickhouse/embedded"
	"github.com/wattline/wattline/connectors/kafka"
	kafkaembedded "github.com/wattline/wattline/connectors/kafka/embedded"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/machine"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/internal/reflog"
	"github.com/wattline/wattline/internal/secret"
)

// node is a running engine with its ends: its own Kafka and store where the configuration names none.
type node struct {
	cfg      *config.Config
	id       string
	log      *slog.Logger
	progress parts.Progress    // of downloads
	topics   map[string]string // settings of readings topics that are made

	noAPI bool // it is a command that only asks: no port is opened

	stages
	listener net.Listener // of the API
	storeAt  storeAt
	storeDir string // of the embedded store, "" if it is somebody else's
	store    *clickhouse.Store
	brokers  []string
	client   *kafka.Client
	counts   map[string]int32 // partitions of the topics
	group    *kafka.Group
	engine   *engine.Engine
	failed   chan error // gets the engine's end, if it ends by itself
}

func newNode(cfg *config.Config, log *slog.Logger, progress parts.Progress, tell func(string)) (*node, error) {
	id, err := engineID(cfg)
	if err != nil {
		return nil, err
	}
	return &node{
		cfg: cfg, id: id, log: log, progress: progress, topics: map[string]string{},
		stages: stages{log: log, tell: tell}, failed: make(chan error, 1),
	}, nil
}

// start starts everything, the sink first. On an error what runs is still to be stopped.
func (n *node) start(ctx context.Context) error {
	for _, s := range []struct {
		name  string
		start func(context.Context) (string, func(context.Context) error, error)
	}{
		{"store", n.startStore}, {"tables", n.openStore}, {"kafka", n.startKafka}, {"topics", n.openKafka},
	} {
		if err := n.stages.start(ctx, s.name, s.start); err != nil {
			return err
		}
	}
	return nil
}

// startEngine starts what rates. Between start and it the caller may load the reference.
func (n *node) startEngine(ctx context.Context) error {
	if err := n.stages.start(ctx, "group", n.joinGroup); err != nil {
		return err
	}
	if err := n.stages.start(ctx, "api", n.serveAPI); err != nil {
		return err
	}
	return n.stages.start(ctx, "engine", n.runEngine)
}

// startStore starts the embedded ClickHouse engine unless another one is configured.
func (n *node) startStore(ctx context.Context) (string, func(context.Context) error, error) {
	c := &n.cfg.ClickHouse
	if len(c.Addr) > 0 {
		n.storeAt = storeAt{c.Addr, c.Password}
		return "ClickHouse at " + strings.Join(c.Addr, ", "), nil, nil
	}
	server, err := startEmbeddedStore(ctx, n.cfg, n.log, n.progress)
	if err != nil {
		return "", nil, err
	}
	n.storeDir = storeDir(n.cfg)
	n.storeAt = storeAt{[]string{dialable(server.Addr())}, secret.New(server.Password())}
	detail := fmt.Sprintf("ClickHouse %s://%s%s", scheme(c.EmbeddedTLS), server.Addr(), n.moved("store", server.Addr(), c.EmbeddedAddr))
	return detail, server.Close, nil
}

func startEmbeddedStore(ctx context.Context, cfg *config.Config, log *slog.Logger, progress parts.Progress) (*embedded.Server, error) {
	library := cfg.ClickHouse.Library
	if library == "" {
		library = os.Getenv("WATTLINE_LIBCHDB")
	}
	if library == "" {
		var err error
		if library, err = parts.Libchdb(ctx, parts.Options{Progress: progress}); err != nil {
			return nil, err
		}
	}
	server, err := embedded.Start(ctx, embedded.Config{
		LibraryPath: library, DataDir: storeDir(cfg), Addr: cfg.ClickHouse.EmbeddedAddr,
		TLS: cfg.ClickHouse.EmbeddedTLS, CertFile: cfg.ClickHouse.EmbeddedCert, KeyFile: cfg.ClickHouse.EmbeddedKey,
		NextFreePort: !cfg.Given("clickhouse.embedded_addr"), MaxMemoryBytes: cfg.ClickHouse.EmbeddedMemory, Logger: log,
	})
	if errors.Is(err, embedded.ErrLocked) {
		holder, _ := os.ReadFile(filepath.Join(storeDir(cfg), "lock")) // only to name it
		return nil, fmt.Errorf("another process (pid %s) uses %s: stop it, or choose another folder (--data of the demo, else data.dir)", strings.TrimSpace(string(holder)), storeDir(cfg))
	}
	if err != nil {
		return nil, err
	}
	if err := noteAddr(cfg, "store", server.Addr()); err != nil {
		return nil, errors.Join(err, server.Close(ctx))
	}
	return server, nil
}

func storeDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "store") }
func kafkaDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "kafka") }

// noteAddr leaves the address of what is embedded in the data folder, for commands that want to ask it.
func noteAddr(cfg *config.Config, name, addr string) error {
	if err := os.WriteFile(filepath.Join(cfg.DataDir, name+".addr"), []byte(addr+"\n"), 0o644); err != nil {
		return fmt.Errorf("note the address of the embedded %s: %w", name, err)
	}
	return nil
}

// runningAddr is the address that another process noted, if somebody listens there.
func runningAddr(cfg *config.Config, name string) (addr string, ok bool) {
	b, err := os.ReadFile(filepath.Join(cfg.DataDir, name+".addr"))
	if err != nil {
		return "", false
	}
	addr = strings.TrimSpace(string(b))
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", false
	}
	_ = conn.Close()
	return addr, true
}

func scheme(encrypted bool) string {
	if encrypted {
		return "https"
	}
	return "http"
}

// moved says that a port was taken, also to who reads only warnings.
func (n *node) moved(what, got, wanted string) string {
	text := moved(got, wanted)
	if text != "" {
		n.log.Warn("port was taken, the next free one is used", "by", what, "wanted", portOf(wanted), "got", portOf(got))
	}
	return text
}

// moved says that a port was taken; "" when it was not.
func moved(got, wanted string) string {
	if portOf(wanted) == 0 || portOf(got) == portOf(wanted) {
		return ""
	}
	return fmt.Sprintf(" (port %d was taken)", portOf(wanted))
}

// openStore connects to the store and brings its schema up to date. One that is starting, full or out of reach is waited
// for: nobody shall have to start the engine again because of it.
func (n *node) openStore(ctx context.Context) (string, func(context.Context) error, error) {
	c, err := clickhouseConfig(n.cfg, n.storeAt)
	if err != nil {
		return "", nil, err
	}
	store, err := openStore(ctx, c, n.log)
	if err != nil {
		return "", nil, err
	}
	err = untilDone(ctx, n.log, "bring the schema up to date", func() error { return migrate(ctx, store) })
	if err != nil {
		return "", nil, errors.Join(err, store.Close())
	}
	n.store = store
	return "database " + n.cfg.ClickHouse.Database, func(context.Context) error { return store.Close() }, nil
}

// openStore tries until the store answers, refuses, or ctx ends.
func openStore(ctx context.Context, cfg clickhouse.Config, log *slog.Logger) (store *clickhouse.Store, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	err = untilDone(ctx, log, "connect", func() (err error) {
		store, err = clickhouse.Open(ctx, cfg)
		return err
	})
	return store, err
}

// untilDone tries until fn works, an error comes that stays until somebody acts, or ctx ends. It says so when the
// store is not there at once, and when it is.
func untilDone(ctx context.Context, log *slog.Logger, what string, fn func() error) error {
	began, tries := time.Now(), 0
	for {
		err := fn()
		tries++
		if err == nil && tries > 1 {
			log.Info("store answers", "what", what, "lasted", time.Since(began).Round(time.Millisecond), "tries", tries)
		}
		if err == nil || ctx.Err() != nil || slices.ContainsFunc(
			[]error{clickhouse.ErrRefused, clickhouse.ErrProtocol, clickhouse.ErrNewerSchema}, func(e error) bool { return errors.Is(err, e) }) {
			return err
		}
		level := slog.LevelDebug
		if tries == 1 {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "store does not answer, is tried again each second until it does", "what", what, "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
}

func migrate(ctx context.Context, store *clickhouse.Store) error {
	views, err := analytics.Views()
	if err != nil {
		return err
	}
	list := make([]clickhouse.View, len(views))
	for i, v := range views {
		list[i] = clickhouse.View(v)
	}
	return store.Migrate(ctx, list)
}

// startKafka starts the embedded Kafka unless another one is configured.
func (n *node) startKafka(context.Context) (string, func(context.Context) error, error) {
	if len(n.cfg.Kafka.Brokers) > 0 {
		n.brokers = n.cfg.Kafka.Brokers
		return "Kafka at " + strings.Join(n.brokers, ", "), nil, nil
	}
	broker, err := startEmbeddedKafka(n.cfg, n.log)
	if err != nil {
		return "", nil, err
	}
	n.brokers = []string{broker.Addr()}
	detail := "Kafka " + broker.Addr() + n.moved("Kafka", broker.Addr(), n.cfg.Kafka.EmbeddedAddr)
	return detail, func(context.Context) error { return broker.Close() }, nil
}

func startEmbeddedKafka(cfg *config.Config, log *slog.Logger) (*kafkaembedded.Broker, error) {
	port := portOf(cfg.Kafka.EmbeddedAddr)
	if port == 0 {
		ln, err := net.Listen("tcp", cfg.Kafka.EmbeddedAddr)
		if err != nil {
			return nil, err
		}
		port = portOf(ln.Addr().String())
		if err := ln.Close(); err != nil {
			return nil, err
		}
	}
	broker, err := kafkaembedded.Start(kafkaembedded.Config{Dir: kafkaDir(cfg), Port: port, SyncWrites: cfg.Kafka.EmbeddedFsync, Logger: log})
	if err != nil {
		return nil, err
	}
	if broker.Moved() && portOf(cfg.Kafka.EmbeddedAddr) != 0 && cfg.Given("kafka.embedded_addr") {
		return nil, errors.Join(fmt.Errorf("kafka.embedded_addr: port %d is taken", port), broker.Close())
	}
	if err := noteAddr(cfg, "kafka", broker.Addr()); err != nil {
		return nil, errors.Join(err, broker.Close())
	}
	return broker, nil
}

// openKafka connects to Kafka and makes the topics. The API's port is opened first: the group tells its address.
func (n *node) openKafka(ctx context.Context) (string, func(context.Context) error, error) {
	var err error
	closeListener := func() error { return nil }
	if !n.noAPI {
		if n.listener, _, err = listen(n.cfg.HTTP.Addr, n.cfg.Given("http.addr")); err != nil {
			return "", nil, fmt.Errorf("http.addr: %w", err)
		}
		closeListener = n.listener.Close
	}
	c, err := kafkaConfig(n.cfg, n.id, n.brokers, n.log)
	if err == nil {
		if !n.noAPI {
			c.Group.APIAddress = n.apiAddr()
		}
		n.client, err = kafka.New(c)
	}
	if err != nil {
		return "", nil, errors.Join(err, closeListener())
	}
	stop := func(within context.Context) error {
		_ = closeListener() // the API has closed it, if it came to that
		return bounded(within, n.client.Close)
	}
	specs := topicSpecs(n.cfg, n.topics)
	if n.counts, err = ensureTopics(ctx, n.client, n.cfg, specs); err != nil {
		return "", nil, errors.Join(err, stop(ctx))
	}
	return fmt.Sprintf("%s and %d more", specs[0].Name, len(specs)-1), stop, nil
}

// apiAddr is the address under which others reach the API; "" where that is not known: it listens at all addresses.
func (n *node) apiAddr() string {
	if n.cfg.HTTP.Advertise != "" {
		return n.cfg.HTTP.Advertise
	}
	addr := n.listener.Addr().String()
	if host, _, err := net.SplitHostPort(addr); err != nil || net.ParseIP(host).IsUnspecified() {
		n.log.Warn("other engines can not send questions here: http.addr is all addresses of this machine, and http.advertise does not say which one they reach")
		return ""
	}
	return addr
}

// joinGroup becomes a member of the consumer group and makes the engine that will run on it.
func (n *node) joinGroup(ctx context.Context) (string, func(context.Context) error, error) {
	group, err := n.client.Join(ctx)
	if err != nil {
		return "", nil, err
	}
	ec := engineConfig(n.cfg, n.id)
	ec.Partitioners = partitioners(n.cfg, n.counts)
	producer, err := sealing(n.cfg, n.client.Producer())
	if err != nil {
		return "", nil, errors.Join(err, group.Close())
	}
	tokens, err := tokensOf(n.cfg)
	if err != nil {
		return "", nil, errors.Join(err, group.Close())
	}
	n.engine, err = engine.New(ec, engine.Ends{
		Tokens: tokens,

		Source: group, Committer: group, Producer: producer, Logs: n.client, Sink: n.store, Ledger: n.store,
		Clock: engine.SystemClock{}, Decoders: decoders(n.cfg), Reference: reference.Decode, Installation: func() (engine.Message, error) { return reflog.Installation(n.id) },
		Logger: n.log, Membership: group, StoreProbe: n.store, GroupProbe: group,
	})
	if err != nil {
		return "", nil, errors.Join(err, group.Close())
	}
	n.group = group
	return fmt.Sprintf("%s as %s", n.cfg.Kafka.Group, n.id), func(within context.Context) error { return bounded(within, group.Close) }, nil
}

func (n *node) serveAPI(ctx context.Context) (string, func(context.Context) error, error) {
	var clock machine.Clock
	c := api.Config{
		Sessions: n.engine, Health: n.engine, Version: version(), Pprof: n.cfg.HTTP.Pprof, Logger: n.log, Group: n.members, PartitionsOf: n.partitionsOf(),
		Ended: n.store.Ended, MaxStreams: int(n.cfg.HTTP.Streams), Around: n.around(&clock),
	}
	if err := securedAPI(n.cfg, n.log, &c); err != nil {
		return "", nil, err
	}
	addr := n.listener.Addr().String()
	if n.storeDir != "" { // the folder is ours
		if err := noteAddr(n.cfg, "api", dialable(addr)); err != nil {
			return "", nil, err
		}
	}
	server := api.Serve(n.listener, c)
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go clock.Watch(watching, n.store.ClockAhead)
	stop := func(within context.Context) error {
		cancel()
		return server.Close(within)
	}
	return n.apiScheme() + "://" + addr + n.moved("API", addr, n.cfg.HTTP.Addr), stop, nil
}

// runEngine lets the engine rate until it is stopped. It then closes its blocks and leaves its state on Kafka.
func (n *node) runEngine(ctx context.Context) (string, func(context.Context) error, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		err := n.engine.Run(ctx)
		done <- err
		if ctx.Err() == nil {
			n.failed <- err
		}
	}()
	stop := func(within context.Context) error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-within.Done():
			return errors.New("it was still writing; what was open is made again at the next start")
		}
	}
	return "rating", stop, nil
}
