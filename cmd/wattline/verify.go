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

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/verify"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/parts"
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
	progress := &verifyProgress{w: std.err, began: time.Now()}
	if f, ok := isTerminal(std.err); ok {
		progress.line = f != nil
	}
	c := verify.Config{
		Engine: engineConfig(cfg, "verify"), Sample: int(*o.sample), All: *o.all, Seed: *o.seed, Topic: *o.topic,
		Database: cfg.ClickHouse.Database, Progress: progress.tell,
	}
	if o.partitionIsSet {
		n := int32(*o.partition)
		c.Partition = &n
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
			Blocks: store, Rows: store, Topic: topic, Decoders: decoders(cfg), Reference: reference.Decode,
		})
		return err
	})
	progress.end()
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
func verifyStore(ctx context.Context, cfg *config.Config, log *slog.Logger, progress io.Writer) (*verifyLedger, func() error, error) {
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
	l, err := newVerifyLedger(store, c)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close(), closing())
	}
	return l, func() error { return errors.Join(l.conn.Close(), store.Close(), closing()) }, nil
}

// verifyTopic is what verify asks of Kafka.
type verifyTopic struct {
	*kafka.Client
	admin *kafkago.Client
	group string
	names []string // topics of readings
}

func newVerifyTopic(cfg *config.Config, client *kafka.Client) (*verifyTopic, error) {
	brokers := cfg.Kafka.Brokers
	if len(brokers) == 0 {
		addr, ok := runningAddr(cfg, "kafka")
		if !ok {
			return nil, errors.New("the embedded Kafka has gone")
		}
		brokers = []string{addr}
	}
	admin := &kafkago.Client{Addr: kafkago.TCP(brokers...), Timeout: cfg.Kafka.RequestTimeout, Transport: client.NewTransport()}
	t := &verifyTopic{Client: client, admin: admin, group: cfg.Kafka.Group}
	for _, r := range cfg.Kafka.Readings {
		t.names = append(t.names, r.Topic)
	}
	return t, nil
}

// Partitions implements verify.Topic.
func (t *verifyTopic) Partitions(ctx context.Context) ([]engine.Partition, error) {
	res, err := t.admin.Metadata(ctx, &kafkago.MetadataRequest{Topics: t.names})
	if err != nil {
		return nil, err
	}
	var list []engine.Partition
	for _, topic := range res.Topics {
		if errors.Is(topic.Error, kafkago.UnknownTopicOrPartition) {
			continue
		}
		if topic.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", topic.Name, topic.Error)
		}
		for _, p := range topic.Partitions {
			list = append(list, engine.Partition{Topic: topic.Name, Number: int32(p.ID)})
		}
	}
	return list, nil
}

// Bounds implements verify.Topic. It does not join the group.
func (t *verifyTopic) Bounds(ctx context.Context, p engine.Partition) (start, end, committed int64, err error) {
	offset := func(want kafkago.OffsetRequest) (kafkago.PartitionOffsets, error) {
		res, err := t.admin.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{p.Topic: {want}}})
		if err != nil {
			return kafkago.PartitionOffsets{}, err
		}
		if len(res.Topics[p.Topic]) != 1 {
			return kafkago.PartitionOffsets{}, errors.New("the answer does not have the partition asked for")
		}
		return res.Topics[p.Topic][0], res.Topics[p.Topic][0].Error
	}
	first, err := offset(kafkago.FirstOffsetOf(int(p.Number)))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("first offset of %s: %w", p, err)
	}
	last, err := offset(kafkago.LastOffsetOf(int(p.Number)))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("last offset of %s: %w", p, err)
	}
	res, err := t.admin.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: t.group, Topics: map[string][]int{p.Topic: {int(p.Number)}}})
	if err == nil && res.Error != nil {
		err = res.Error
	}
	if err != nil {
		return 0, 0, 0, fmt.Errorf("committed offset of %s: %w", p, err)
	}
	committed = -1
	for _, o := range res.Topics[p.Topic] {
		if o.Error != nil {
			return 0, 0, 0, fmt.Errorf("committed offset of %s: %w", p, o.Error)
		}
		committed = max(committed, o.CommittedOffset)
	}
	return first.FirstOffset, last.LastOffset, committed, nil
}

// verifyProgress tells people where the run is: one line that is written over on a terminal, else a line now and then.
type verifyProgress struct {
	w     io.Writer
	line  bool
	began time.Time
	told  time.Time
}

func (v *verifyProgress) tell(p verify.Progress) {
	every := 10 * time.Second
	if v.line {
		every = 200 * time.Millisecond
	}
	if time.Since(v.told) < every {
		return
	}
	v.told = time.Now()
	text := p.Step
	if p.Partition.Topic != "" {
		text = fmt.Sprintf("%s (%d of %d): %s", p.Partition, p.Part, p.Of, p.Step)
	}
	if p.All > 0 {
		part := float64(p.Done) / float64(p.All)
		text += " " + strconv.Itoa(int(100*part)) + " %"
		if whole := (float64(p.Part-1) + part) / float64(p.Of); whole > 0.01 {
			left := time.Duration(float64(time.Since(v.began)) * (1 - whole) / whole)
			text += ", about " + left.Round(time.Second).String() + " left"
		}
	}
	if v.line {
		fmt.Fprintf(v.w, "\r\033[K%s", text)
		return
	}
	fmt.Fprintln(v.w, text)
}

func (v *verifyProgress) end() {
	if v.line && !v.told.IsZero() {
		fmt.Fprint(v.w, "\r\033[K")
	}
}
