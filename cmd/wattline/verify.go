package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine/verify"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/liveview"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/proof"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/internal/secret"
)

const verifyHelp = `Asks ClickHouse and Kafka whether the ledger is whole and right, and changes nothing:

  - blocks tile the offsets of every partition, charges and sessions got what each block's row says, no row is there
    twice, projections and newest versions agree with the rows;
  - the topic is read again from where it begins, every block is made again and compared with its checksum, and the
    sampled sessions are priced by a second, independent pricer, to the last digit.

It may run beside working engines. engine.slice and engine.session_timeout must be what they were when the blocks were
made. Each finding is a line and a query that shows it. Exit: 0 nothing found, 1 findings, or something could not be
asked, 2 a wrong command line.`

// verifyOptions are the flags of verify.
type verifyOptions struct {
	sample, seed    *uint64
	all, asJSON     *bool
	topic           *string
	partition       *int
	partitionIsSet  bool
	sampleWasWanted bool
}

func verifyCommand() command {
	c := command{
		name: "verify", args: "[--config FILE] [--sample N | --all] [--topic T] [--partition P] [--json]",
		summary: "Prove that the ledger is whole and right, from outside",
	}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, verifyHelp)
		file := configFlag(fs)
		o := verifyOptions{
			sample: fs.Uint64("sample", 1000, "price `N` sessions of each partition again"),
			all:    fs.Bool("all", false, "price all sessions again; keeps about 500 bytes of memory for each"),
			seed:   fs.Uint64("seed", 0, "`number` that chooses the sample; the report names it (default another one each time)"),
			topic:  fs.String("topic", "", "only this `topic`"), partition: fs.Int("partition", 0, "only this `partition`"),
			asJSON: fs.Bool("json", false, "write the report as JSON"),
		}
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		seedIsSet := false
		fs.Visit(func(f *flag.Flag) {
			o.partitionIsSet = o.partitionIsSet || f.Name == "partition"
			seedIsSet = seedIsSet || f.Name == "seed"
			o.sampleWasWanted = o.sampleWasWanted || f.Name == "sample"
		})
		if len(rest) > 0 || *o.all && o.sampleWasWanted || *o.sample == 0 || *o.sample > 1<<31 || *o.partition < 0 || *o.partition > 1<<31-1 {
			fs.Usage()
			return exitUsage
		}
		if !seedIsSet {
			*o.seed = uint64(time.Now().UnixNano())
		}
		cfg, ok := loadConfig(std, c.name, *file)
		if !ok {
			return exitFault
		}
		report, err := runVerify(ctx, std, cfg, &o)
		if err != nil {
			fmt.Fprintf(std.err, "wattline verify: %v\n", err)
			return exitFault
		}
		return tellReport(std, report, *o.asJSON)
	}
	return c
}

// runVerify opens the ends, asks, and closes them.
func runVerify(ctx context.Context, std stdio, cfg *config.Config, o *verifyOptions) (report *verify.Report, err error) {
	log := newLogger(cfg, std.err)
	store, closeStore, err := verifyStore(ctx, cfg, log, std.err)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	progress := newProgress(std.err)
	c := verify.Config{
		Engine: engineConfig(cfg, "verify"), Sample: int(*o.sample), All: *o.all, Seed: *o.seed, Topic: *o.topic,
		Database: cfg.ClickHouse.Database, Progress: func(p verify.Progress) { tellVerify(progress, p) },
	}
	if o.partitionIsSet {
		n := int32(*o.partition)
		c.Partition = &n
	}
	tokens, err := tokensOf(cfg)
	if err != nil {
		return nil, err
	}
	err = withKafka(ctx, cfg, log, func(client *kafka.Client) error {
		topic, err := newVerifyTopic(cfg, client)
		if err != nil {
			return err
		}
		parts, err := topic.Partitions(ctx)
		if err != nil {
			return err
		}
		counts := map[string]int32{}
		for _, p := range parts {
			counts[p.Topic]++
		}
		c.Engine.Partitioners = partitioners(cfg, counts)
		report, err = verify.Run(ctx, c, verify.Ends{
			Blocks: store, Rows: store, Topic: topic, Decoders: decoders(cfg), Reference: reference.Decode, Tokens: tokens,
		})
		return err
	})
	progress.End()
	return report, err
}

// tellReport writes the report and gives the exit code.
func tellReport(std stdio, r *verify.Report, asJSON bool) int {
	code := exitOK
	if !r.OK() {
		code = exitFault
	}
	if asJSON {
		text, err := json.MarshalIndent(struct {
			OK bool `json:"ok"`
			*verify.Report
		}{r.OK(), r}, "", "  ")
		if err != nil {
			fmt.Fprintf(std.err, "wattline verify: %v\n", err)
			return exitFault
		}
		fmt.Fprintf(std.out, "%s\n", text)
		return code
	}
	for _, f := range r.Findings {
		fmt.Fprintln(std.out, f)
	}
	told := int64(len(r.Findings))
	all := int64(0)
	for _, n := range r.Found {
		all += n
	}
	if all > told {
		fmt.Fprintf(std.out, "and %d more of the same checks\n", all-told)
	}
	reasons := make([]string, 0, len(r.Skipped))
	for reason := range r.Skipped {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(std.out, "not judged: %d %s\n", r.Skipped[reason], reason)
	}
	for _, line := range r.Scope() {
		fmt.Fprintln(std.out, line)
	}
	fmt.Fprintln(std.out, r.Summary())
	return code
}

// verifyStore connects to the configured ClickHouse, else to the embedded one of these data, which it starts if it does
// not run.
func verifyStore(ctx context.Context, cfg *config.Config, log *slog.Logger, progress io.Writer) (*proof.Ledger, func() error, error) {
	at := storeAt{addrs: cfg.ClickHouse.Addr, password: cfg.ClickHouse.Password}
	closing := func() error { return nil }
	if len(at.addrs) == 0 {
		if addr, running := runningAddr(cfg, "store"); running {
			text, err := os.ReadFile(filepath.Join(storeDir(cfg), "password"))
			if err != nil {
				return nil, nil, fmt.Errorf("read the embedded store's password: %w", err)
			}
			at = storeAt{[]string{dialable(addr)}, secret.New(strings.TrimSpace(string(text)))}
		} else {
			server, err := startEmbeddedStore(ctx, cfg, log, parts.Printer(progress))
			if err != nil {
				return nil, nil, err
			}
			at = storeAt{[]string{dialable(server.Addr())}, secret.New(server.Password())}
			closing = func() error { return server.Close(context.WithoutCancel(ctx)) }
		}
	}
	c, err := clickhouseConfig(cfg, at)
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	store, err := openStore(ctx, c, log)
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	l, err := proof.NewLedger(store, c)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close(), closing())
	}
	return l, func() error { return errors.Join(l.Close(), store.Close(), closing()) }, nil
}

// newVerifyTopic asks the configured brokers, or those that are embedded in a running process.
func newVerifyTopic(cfg *config.Config, client *kafka.Client) (*proof.Topic, error) {
	brokers := cfg.Kafka.Brokers
	if len(brokers) == 0 {
		addr, ok := runningAddr(cfg, "kafka")
		if !ok {
			return nil, errors.New("the embedded Kafka has gone")
		}
		brokers = []string{addr}
	}
	var names []string
	for _, r := range cfg.Kafka.Readings {
		names = append(names, r.Topic)
	}
	return proof.NewTopic(client, brokers, cfg.Kafka.RequestTimeout, cfg.Kafka.Group, names), nil
}

func tellVerify(v *liveview.Progress, p verify.Progress) {
	if !v.Due() {
		return
	}
	text := p.Step
	if p.Partition.Topic != "" {
		text = fmt.Sprintf("%s (%d of %d): %s", p.Partition, p.Part, p.Of, p.Step)
	}
	if p.All > 0 {
		part := float64(p.Done) / float64(p.All)
		text += " " + strconv.Itoa(int(100*part)) + " %"
		if whole := (float64(p.Part-1) + part) / float64(p.Of); whole > 0.01 {
			left := time.Duration(float64(time.Since(v.Began)) * (1 - whole) / whole)
			text += ", about " + left.Round(time.Second).String() + " left"
		}
	}
	v.Tell(text)
}
