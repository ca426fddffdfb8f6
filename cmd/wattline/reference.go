package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/reflog"
)

func referenceLoadCommand() command {
	c := command{name: "reference load", args: "[--config FILE] [--withdraw] [--dry-run] DIR", summary: "Publish the tariffs and locations of a folder: what changed, and nothing else"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "DIR/tariffs and DIR/locations hold JSON or YAML files with OCPI objects (2.1.1, 2.2.1 or 2.3.0), lists of them, or\n"+
			"responses with `data`; DIR/contracts OCPI Tokens as JSON, NDJSON or CSV, DIR/tiers and DIR/defaults JSON (docs/CONTRACTS.md).\n"+
			"A driver's token is published as its pseudonym only: that needs a keyset (`wattline tokens new-key`).\n"+
			"Every fault is told with file and path, and then nothing is published. Running sessions keep\n"+
			"the tariff that they began with. OCPI 2.1.1 objects say no owner: give it with --country-code and --party-id.\n"+
			"Exit: 0 published or nothing to do, 1 a fault, 2 a wrong command line.")
		file := configFlag(fs)
		options := reflog.Options{}
		fs.BoolVar(&options.Withdraw, "withdraw", false, "withdraw what is published and not in DIR; of contracts, tiers and defaults only where DIR has their folder")
		fs.BoolVar(&options.Rekey, "rekey", false, "move contracts that stand under an older key to the newest, after `wattline tokens rotate`")
		fs.BoolVar(&options.DryRun, "dry-run", false, "say what would be published, and publish nothing")
		fs.StringVar(&options.Country, "country-code", "", "`code` of objects that have none")
		fs.StringVar(&options.Party, "party-id", "", "`id` of objects that have none")
		fs.StringVar(&options.By, "by", whoami(), "`name` that is noted as the publisher")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) != 1 {
			return wrong(std, c, "it needs one folder, not %d", len(rest))
		}
		cfg, ok := loadConfigFor(std, c.name, *file, "kafka")
		if !ok {
			return exitFault
		}
		progress := newProgress(std.err)
		options.Progress = told(progress, "contracts")
		defer progress.End()
		err := withKafka(ctx, cfg, toolLogger(cfg, std.err), func(client *kafka.Client) error {
			return referenceLoad(ctx, client, cfg, rest[0], options, func(line string) { fmt.Fprintln(std.out, line) })
		})
		if err != nil {
			fmt.Fprintf(std.err, "wattline reference load: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

// whoami is user@machine, for people.
func whoami() string {
	name, machine := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		machine = h
	}
	return name + "@" + machine
}

// withKafka connects to the configured Kafka, else to the embedded one of these data, which it starts if it does not
// run.
func withKafka(ctx context.Context, cfg *config.Config, log *slog.Logger, do func(*kafka.Client) error) error {
	brokers := cfg.Kafka.Brokers
	if len(brokers) == 0 {
		addr, running := runningAddr(cfg, "kafka")
		if !running {
			broker, err := startEmbeddedKafka(cfg, log)
			if err != nil {
				return err
			}
			defer func() { _ = broker.Close() }() // everything was acknowledged
			addr = broker.Addr()
		}
		brokers = []string{addr}
	}
	id, err := engineID(cfg)
	if err != nil {
		return err
	}
	c, err := kafkaConfig(cfg, id, brokers, log)
	if err != nil {
		return err
	}
	client, err := kafka.New(c)
	if err != nil {
		return err
	}
	err = do(client)
	return errors.Join(err, client.Close())
}

// referenceLoad publishes the differences between dir and the log.
func referenceLoad(ctx context.Context, client *kafka.Client, cfg *config.Config, dir string, options reflog.Options, tell func(string)) error {
	topic := cfg.Kafka.ReferenceTopic
	ensure := client.CheckTopics
	if cfg.Kafka.CreateTopics {
		ensure = client.EnsureTopics
	}
	if _, err := ensure(ctx, []kafka.TopicSpec{kafka.ReferenceTopic(topic)}); err != nil {
		return err
	}
	keys, err := keyring(cfg)
	if err != nil {
		return err
	}
	return reflog.Load(ctx, reflog.Log{Topic: topic, Reader: client, Producer: client.Producer()}, keys, dir, options, tell)
}

func referenceLogCommand() command {
	c := command{name: "reference log", args: "[--config FILE] [--key TEXT] [--since TIME]", summary: "Show who changed which tariff, location or contract when, and how"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "Each record of the reference log, in order: offset, time, who, key, and what it changed. A contract's key is\n"+
			"contract/KEY_ID/PSEUDONYM: `wattline tokens pseudonym` gives both for a token. The time is that of whoever published;\n"+
			"what counts is the offset. Exit: 0 shown, 1 a fault, 2 a wrong command line.")
		file := configFlag(fs)
		var filter reflog.Filter
		fs.StringVar(&filter.Key, "key", "", "only records whose key has this `text` in it, as tariff/NL/STR/")
		since := fs.String("since", "", "only those from a `time` on: 24h (ago), 2026-01-31, or RFC 3339")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		if filter.SinceMs, ok = sinceMs(*since, time.Now()); !ok {
			return wrong(std, c, "--since %q is neither a duration as 24h, nor a date as 2026-01-31, nor an RFC 3339 time", *since)
		}
		cfg, ok := loadConfigFor(std, c.name, *file, "kafka")
		if !ok {
			return exitFault
		}
		out := bufio.NewWriter(std.out)
		err := withKafka(ctx, cfg, toolLogger(cfg, std.err), func(client *kafka.Client) error {
			return reflog.History(ctx, reflog.Log{Topic: cfg.Kafka.ReferenceTopic, Reader: client}, filter, func(e *reflog.Entry) error {
				_, err := out.WriteString(e.Text())
				return err
			})
		})
		if err = errors.Join(err, out.Flush()); err != nil {
			fmt.Fprintf(std.err, "wattline reference log: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

// sinceMs reads a time, or how long ago it was, as ms since 1970; 0 for "".
func sinceMs(text string, now time.Time) (ms int64, ok bool) {
	if text == "" {
		return 0, true
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago).UnixMilli(), true
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}
