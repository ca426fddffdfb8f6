package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/liveview"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/produce"
	"github.com/wattline/wattline/internal/pseudonym"
	"github.com/wattline/wattline/internal/reflog"
	"github.com/wattline/wattline/internal/rejects"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	speed    int64
	chargers int
	dir      string
	plain    bool
	bill     bool
}

func demoCommand() command {
	c := command{name: "demo", args: "[--speed N] [--chargers N] [--data DIR] [--plain] [--bill]", summary: "Rate a simulated city, live, with everything that it needs in this process"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "Starts an embedded Kafka and ClickHouse, publishes the city's tariffs and locations, sends its readings and rates\n"+
			"them. Ctrl-C stops in order; the next start goes on where this one stopped, however it ended. WATTLINE_ variables\n"+
			"(docs/CONFIG.md) change ports and the rest. Exit: 0 stopped, 1 failed, 2 a wrong command line.")
		var o demoOptions
		fs.Int64Var(&o.speed, "speed", 60, "simulated `seconds` that pass in a second, 1 to 3600")
		fs.IntVar(&o.chargers, "chargers", 2000, "`number` of charge points; the same at each start")
		fs.StringVar(&o.dir, "data", filepath.Join("data", "demo"), "`folder` for everything; remove it to begin anew")
		fs.BoolVar(&o.plain, "plain", false, "plain lines every few seconds, also on a terminal")
		fs.BoolVar(&o.bill, "bill", false, "begin with the bill of a session; on a terminal the key b goes there and back, n to the next one")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		switch {
		case len(rest) > 0:
			return wrong(std, c, "there is no argument %q", rest[0])
		case o.speed < 1 || o.speed > maxSpeed:
			return wrong(std, c, "--speed %d is not between 1 and %d", o.speed, maxSpeed)
		case o.chargers < 1:
			return wrong(std, c, "--chargers %d is not 1 or more", o.chargers)
		}
		cfg, ok := loadConfigFor(std, c.name, "", "pyroscope")
		if !ok {
			return exitFault
		}
		if err := runDemo(ctx, std, cfg, o); err != nil {
			fmt.Fprintf(std.err, "wattline demo: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

// maxSpeed is an hour a second: with more the log, which is kept short, could be deleted before it is read.
const maxSpeed = 3600

// demoConfig sets what the demo has otherwise than a production run, unless the environment says it.
func demoConfig(cfg *config.Config, o demoOptions) {
	set := func(path string, apply func()) {
		if !cfg.Given(path) {
			apply()
		}
	}
	cfg.DataDir = o.dir
	set("engine.id", func() { cfg.Engine.ID = "demo" })
	set("engine.block_age_max", func() { cfg.Engine.BlockAgeMax = max(2*time.Second, cfg.Engine.BlockAge) })
	set("engine.blocks_per_second", func() { cfg.Engine.BlocksPerSecond = 4 })
	set("kafka.readings", func() {
		cfg.Kafka.Readings = []config.Readings{{Topic: "wattline.readings", Format: "protobuf", Partitions: 4}}
	})
}

// demo is a running demo.
type demo struct {
	o        demoOptions
	std      stdio
	n        *node
	network  *loadgen.Network
	notices  *liveview.Notices
	progress chan loadgen.Progress // the newest; capacity 1
	loadDone chan error
}

func runDemo(ctx context.Context, std stdio, cfg *config.Config, o demoOptions) error {
	demoConfig(cfg, o)
	if len(cfg.Kafka.Brokers) > 0 || len(cfg.ClickHouse.Addr) > 0 {
		return errors.New("kafka.brokers or clickhouse.addr is given, but the demo has its own: for others there are `wattline run` and `wattline load`")
	}
	if cfg.ClickHouse.EmbeddedTLS || cfg.HTTP.CertFile != "" || cfg.HTTP.Tokens != "" {
		return errors.New("clickhouse.embedded_tls, http.tls_cert_file or http.tokens_file is given, but the demo speaks plain text on this machine to everybody: for more there is `wattline run`")
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(o.dir, "wattline.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	d := &demo{o: o, std: std, progress: make(chan loadgen.Progress, 1), loadDone: make(chan error, 1)}
	log, heard := liveview.NewNotices(newLogger(cfg, logFile).Handler())
	d.notices = heard
	city := loadgen.Demo(o.chargers)
	city.Partitions = cfg.Kafka.Readings[0].Partitions
	if d.network, err = loadgen.New(city); err != nil {
		return err
	}
	if err := sameCity(filepath.Join(o.dir, "city.json"), d.network.Config()); err != nil {
		return err
	}
	d.n, err = newNode(cfg, log, parts.Printer(std.out), func(line string) { fmt.Fprintln(std.out, line) })
	if err != nil {
		return err
	}
	d.n.topics = simulatedTopic()
	if err := errors.Join(ownRejectsKey(cfg), ownKeyset(cfg)); err != nil {
		return err
	}
	profiles, err := startProfiles(cfg, d.n.id, log)
	if err != nil {
		return err
	}
	defer profiles()
	err = d.start(ctx)
	if err == nil {
		err = d.watch(ctx)
	}
	if ctx.Err() != nil {
		err = nil // asked to stop, perhaps while starting
	}
	err = errors.Join(err, d.n.stopInTime())
	if err == nil {
		fmt.Fprintf(std.out, "to prove that the ledger is right: WATTLINE_DATA_DIR=%s wattline verify\n", o.dir)
	}
	return err
}

// ownRejectsKey has the demo's rejects sealed with a key in its folder.
func ownRejectsKey(cfg *config.Config) error {
	if cfg.Rejects.PublicKey != "" {
		return nil
	}
	private, public := demoRejectsKey(cfg)
	if _, err := os.Stat(public); errors.Is(err, os.ErrNotExist) {
		if _, err := rejects.NewKey(private, public, time.Now()); err != nil {
			return err
		}
	}
	cfg.Rejects.PublicKey = public
	return nil
}

// ownKeyset has pseudonyms made with a keyset in the demo's folder.
func ownKeyset(cfg *config.Config) error {
	file := keysetFile(cfg)
	if file == "" { // the environment has one
		return nil
	}
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if _, err := pseudonym.NewKey(file); err != nil {
			return err
		}
	}
	return nil
}

// simulatedTopic are the settings of a topic whose records carry simulated time: a broker would delete them by it.
func simulatedTopic() map[string]string {
	return map[string]string{"retention.ms": "-1", "retention.bytes": "268435456"}
}

// sameCity refuses to mix two networks in one log: readings of a charge point would stop making sense.
func sameCity(file string, cfg loadgen.Config) error {
	now, err := json.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("note the city: %w", err)
	}
	before, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.WriteFile(file, now, 0o644); err != nil {
			return fmt.Errorf("note the city: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("read the city: %w", err)
	case string(before) != string(now):
		var begun loadgen.Config
		if err := json.Unmarshal(before, &begun); err != nil || begun.ChargePoints == cfg.ChargePoints {
			return fmt.Errorf("%s was begun with another city or another release; give another --data, or remove it", filepath.Dir(file))
		}
		return fmt.Errorf("%s was begun with %d chargers; start it with --chargers %d, or give another --data", filepath.Dir(file), begun.ChargePoints, begun.ChargePoints)
	}
	return nil
}

func (d *demo) start(ctx context.Context) error {
	if err := d.n.start(ctx); err != nil {
		return err
	}
	if err := d.n.stages.start(ctx, "reference", d.loadReference); err != nil {
		return err
	}
	if err := d.n.startEngine(ctx); err != nil {
		return err
	}
	return d.n.stages.start(ctx, "load", d.startLoad)
}

// loadReference goes the way of `wattline reference load`: files, then what changed.
func (d *demo) loadReference(ctx context.Context) (string, func(context.Context) error, error) {
	dir := filepath.Join(d.o.dir, "reference")
	if err := d.network.WriteReference(dir); err != nil {
		return "", nil, err
	}
	detail := ""
	err := referenceLoad(ctx, d.n.client, d.n.cfg, dir, reflog.Options{By: "wattline demo"}, func(line string) { detail = line })
	return detail, nil, errors.Join(err, os.RemoveAll(filepath.Join(dir, "contracts"))) // its tokens are in clear
}

// startLoad sends the city's readings from where the log ends.
func (d *demo) startLoad(ctx context.Context) (string, func(context.Context) error, error) {
	topic := d.n.cfg.Kafka.Readings[0].Topic
	sent, err := newestTimestamps(ctx, d.n.client, d.n.group, topic, d.network.Config().Partitions)
	if err != nil {
		return "", nil, err
	}
	producer, err := produce.New(d.n.client.Producer(), topic, d.network.Config().Partitions, kafka.CompressionLZ4)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		_, err := loadgen.Run(ctx, loadgen.RunConfig{
			Network: d.network, Sent: sent, Speed: d.o.speed, PaceFromMs: loadgen.DefaultEpochMs, Clock: engine.SystemClock{}, Progress: d.note, ProgressEvery: 200 * time.Millisecond,
		}, producer)
		d.loadDone <- err
	}()
	stop := func(within context.Context) error {
		cancel()
		select {
		case err := <-d.loadDone:
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case <-within.Done():
			return errors.New("it was still sending")
		}
	}
	detail := fmt.Sprintf("%d charge points, %d seconds a second", d.o.chargers, d.o.speed)
	return detail, stop, nil
}

// note keeps the newest progress for the view.
func (d *demo) note(p loadgen.Progress) {
	for {
		select {
		case d.progress <- p:
			return
		default:
		}
		select {
		case <-d.progress:
		default:
		}
	}
}

// newestTimestamps asks for the timestamp of the newest record of each partition; Unknown where there is none.
func newestTimestamps(ctx context.Context, client *kafka.Client, source engine.Source, topic string, partitions int32) ([]int64, error) {
	newest := make([]int64, partitions)
	for i := range newest {
		newest[i] = rating.Unknown
		start, end, err := source.Bounds(ctx, engine.Partition{Topic: topic, Number: int32(i)})
		if err != nil {
			return nil, fmt.Errorf("ask where %s/%d ends: %w", topic, i, err)
		}
		if end == start {
			continue
		}
		_, err = client.ReadLog(ctx, topic, int32(i), end-1, func(r engine.Record) error {
			newest[i] = max(newest[i], r.TimestampMs)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the newest record of %s/%d: %w", topic, i, err)
		}
	}
	return newest, nil
}

// isTerminal says whether the view may draw on w, and how large it is.
func isTerminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && terminal(f)
}
