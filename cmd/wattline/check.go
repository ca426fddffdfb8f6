package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/checkup"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/secret"
)

// checkWithin bounds the questions to one end.
const checkWithin = 20 * time.Second

func configCheckCommand() command {
	c := command{name: "config check", args: "[--config FILE] [--offline] [--json]", summary: "Say every fault of the configuration, of Kafka and of ClickHouse, and what to do"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "First the file and the environment are looked at, with every fault by its path; then the broker and the store that they\n"+
			"name are asked, and nothing is changed there. A line each: ok; warn, may cost something one day; fail, does not work, or would\n"+
			"lose or double money; skip, could not be looked at. Exit: 0 nothing failed, 1 something did, 2 a wrong command line.")
		file := configFlag(fs)
		offline := fs.Bool("offline", false, "ask nobody")
		asJSON := fs.Bool("json", false, "one JSON object instead of lines")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		var secrets []string
		if !*offline {
			secrets = []string{"kafka", "clickhouse"}
		}
		cfg, ok := loadConfigFor(std, c.name, *file, secrets...)
		if !ok {
			return exitFault
		}
		if err := checkPackages(cfg); err != nil {
			fmt.Fprintf(std.err, "wattline config check: configuration:\n%v\n", err)
			return exitFault
		}
		var r checkup.Report
		r.Add(checkup.OK, "configuration", "no fault", "")
		if cfg.Rejects.PublicKey == "" {
			r.Add(checkup.Warn, "rejects.public_key_file", "empty: messages that are rejected are not kept", "make a key with `wattline rejects new-key`")
		}
		if *offline {
			r.Add(checkup.Skip, "kafka and clickhouse", "not asked: --offline", "")
		} else {
			checkKafka(ctx, cfg, &r)
			checkStore(ctx, cfg, &r)
		}
		write := r.Write
		if *asJSON {
			write = r.WriteJSON
		}
		if err := write(std.out); err != nil || r.Failed() {
			return exitFault
		}
		return exitOK
	}
	return c
}

// checkKafka asks the configured Kafka, or the embedded one if it runs.
func checkKafka(ctx context.Context, cfg *config.Config, r *checkup.Report) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	brokers := cfg.Kafka.Brokers
	if len(brokers) == 0 {
		addr, running := runningAddr(cfg, "kafka")
		if !running {
			r.Add(checkup.Skip, "kafka", "kafka.brokers is empty, and the embedded one does not run", "")
			return
		}
		brokers = []string{addr}
	}
	quiet := slog.New(slog.DiscardHandler)
	id, err := engineID(cfg)
	var client *kafka.Client
	if err == nil {
		var c kafka.Config
		if c, err = kafkaConfig(cfg, id, brokers, quiet); err == nil {
			client, err = kafka.New(c)
		}
	}
	if err != nil {
		r.Add(checkup.Fail, "kafka", err.Error(), "correct the configuration")
		return
	}
	defer func() { _ = client.Close() }() // nothing was written
	want := kafkaWanted(cfg)
	var names []string
	for _, t := range want.Topics {
		names = append(names, t.Name)
	}
	in, err := client.Inspect(ctx, names)
	if err != nil {
		r.Add(checkup.Fail, "kafka", err.Error(), "see that the brokers of kafka.brokers run and can be reached, and docs/SECURITY.md for who may log in")
		return
	}
	r.Kafka(want, in)
	for _, t := range want.Topics {
		if t.Kind != checkup.Readings || !checkup.Stamps(in, t.Name) {
			continue
		}
		at, found, err := client.Newest(ctx, engine.Partition{Topic: t.Name})
		switch {
		case err != nil:
			r.Add(checkup.Skip, "kafka clock by "+t.Name, fmt.Sprintf("its newest record can not be read: %v", err), "give the user READ on the topic")
		case found:
			r.NewestRecord(t.Name, at, time.Now().UnixMilli())
		}
	}
}

func kafkaWanted(cfg *config.Config) *checkup.Kafka {
	k := &checkup.Kafka{
		MayCreate: cfg.Kafka.CreateTopics, SnapshotAge: cfg.Engine.SnapshotAge, SnapshotChunk: cfg.Engine.SnapshotChunk,
		SessionTimeout: cfg.Kafka.SessionTimeout, Embedded: len(cfg.Kafka.Brokers) == 0,
	}
	var most int32 = 1
	for _, t := range cfg.Kafka.Readings {
		k.Topics = append(k.Topics, checkup.Topic{Name: t.Topic, Kind: checkup.Readings, Partitions: t.Partitions})
		most = max(most, t.Partitions)
	}
	k.Topics = append(k.Topics,
		checkup.Topic{Name: cfg.Kafka.ReferenceTopic, Kind: checkup.Reference, Partitions: 1},
		checkup.Topic{Name: cfg.Kafka.StateTopic, Kind: checkup.State, Partitions: most},
		checkup.Topic{Name: cfg.Kafka.RejectsTopic, Kind: checkup.Rejects, Partitions: 1})
	return k
}

// runningStore is the configured store, else the embedded one of these data if it runs.
func runningStore(cfg *config.Config) (at storeAt, running bool, err error) {
	if len(cfg.ClickHouse.Addr) > 0 {
		return storeAt{cfg.ClickHouse.Addr, cfg.ClickHouse.Password}, true, nil
	}
	addr, running := runningAddr(cfg, "store")
	if !running {
		return at, false, nil
	}
	text, err := os.ReadFile(filepath.Join(storeDir(cfg), "password"))
	if err != nil {
		return at, true, fmt.Errorf("read the embedded store's password: %w", err)
	}
	return storeAt{[]string{dialable(addr)}, secret.New(strings.TrimSpace(string(text)))}, true, nil
}

// checkStore asks the configured store, or the embedded one if it runs.
func checkStore(ctx context.Context, cfg *config.Config, r *checkup.Report) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	at, running, err := runningStore(cfg)
	switch {
	case err != nil:
		r.Add(checkup.Fail, "clickhouse", err.Error(), "run this as the user that runs the store")
		return
	case !running:
		r.Add(checkup.Skip, "clickhouse", "clickhouse.addr is empty, and the embedded one does not run", "")
		return
	}
	c, err := clickhouseConfig(cfg, at)
	var store *clickhouse.Store
	if err == nil {
		store, err = clickhouse.Open(ctx, c)
	}
	if err != nil {
		do := "see that the servers of clickhouse.addr run and can be reached"
		if errors.Is(err, clickhouse.ErrRefused) {
			do = "see docs/SECURITY.md: user, password and certificates"
		}
		r.Add(checkup.Fail, "clickhouse", err.Error(), do)
		return
	}
	defer func() { _ = store.Close() }() // nothing was written
	in, err := store.Inspect(ctx)
	if err != nil {
		r.Add(checkup.Fail, "clickhouse", err.Error(), "the user has to be allowed to SELECT from the database and from system.tables and system.disks")
		return
	}
	r.Store(&checkup.Store{Fsync: cfg.ClickHouse.Fsync}, in)
}
