package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/connectors/ocpp"
	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/internal/reflog"
	"github.com/wattline/wattline/loadgen"
)

// loadOptions are the flags of load.
type loadOptions struct {
	shape      string
	chargers   int
	seed       uint64
	readings   int64
	rate       int64
	speed      int64
	partitions int
	topic      string
	format     string
	truth      string
	reference  string
	publish    bool
	replay     []string
	end        string
}

func loadCommand() command {
	c := command{name: "load", args: "[--config FILE] --readings N | --replay FILE [flags]", summary: "Send the readings of a simulated network, or of sessions that really happened, to Kafka, with the truth about them"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "The same flags send the same readings. Records carry the simulated time, so the topic is made to keep them for ever.\n"+
			"--truth has a line for each session: what it holds and costs by the readings that were sent.\n"+
			"With --replay (docs/REPLAY.md) each session of FILE charges at three garages with a tariff each; --shape, --chargers, --seed and\n"+
			"--readings are not looked at.\n"+
			"Exit: 0 sent, 1 failed, 2 a wrong command line.")
		file := configFlag(fs)
		var o loadOptions
		fs.StringVar(&o.shape, "shape", "city", "`kind` of network: city or bench")
		fs.IntVar(&o.chargers, "chargers", 0, "`number` of charge points (default: that of the shape)")
		fs.Uint64Var(&o.seed, "seed", 1, "`number` that makes one network differ from another")
		fs.Int64Var(&o.readings, "readings", 0, "send at least so `many` readings, then to the end of the tick")
		fs.Int64Var(&o.rate, "rate", 0, "readings a `second` at most (default: as fast as Kafka takes them)")
		fs.Int64Var(&o.speed, "speed", 0, "simulated `seconds` a second (default: as fast as Kafka takes them)")
		fs.IntVar(&o.partitions, "partitions", 0, "partitions of the topic, if it has to be made (default: configured)")
		fs.StringVar(&o.topic, "topic", "", "`name` of the topic (default: the first of kafka.readings)")
		fs.StringVar(&o.format, "format", wire.Name, "`format` of the messages: protobuf, json or ocpp201, a reading each; packed (protobuf) or arrow, up to 100 each; one that is not the topic's says so in its header")
		fs.StringVar(&o.truth, "truth", "", "`file` for the truth, JSON lines")
		fs.StringVar(&o.reference, "reference", "", "`folder` for the network's tariffs and locations")
		fs.BoolVar(&o.publish, "publish", false, "publish the tariffs and locations too, as reference load does")
		fs.Func("replay", "`file` of sessions (CSV, gzip or not), instead of a simulated network; can be given again", func(name string) error {
			o.replay = append(o.replay, name)
			return nil
		})
		fs.StringVar(&o.end, "end", "departure", "`when` a replayed session stops: departure, the one that happened, or announced, the one that its driver announced")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if problem := o.problem(rest); problem != "" {
			return wrong(std, c, "%s", problem)
		}
		cfg, ok := loadConfigFor(std, c.name, *file, "kafka")
		if !ok {
			return exitFault
		}
		run := runLoad
		if len(o.replay) > 0 {
			run = runReplay
		}
		err := withKafka(ctx, cfg, toolLogger(cfg, std.err), func(client *kafka.Client) error { return run(ctx, std, cfg, client, o) })
		if err != nil {
			fmt.Fprintf(std.err, "wattline load: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

// problem says what is wrong with the command line; "" for nothing.
func (o *loadOptions) problem(rest []string) string {
	switch {
	case len(rest) > 0:
		return fmt.Sprintf("there is no argument %q", rest[0])
	case len(o.replay) == 0 && o.readings < 1:
		return fmt.Sprintf("--readings is %d: say how many to send, 1 or more", o.readings)
	case o.shape != "city" && o.shape != "bench":
		return fmt.Sprintf("--shape %q is neither city nor bench", o.shape)
	case len(o.replay) > 0 && o.speed > 1_000_000:
		return "--speed is 1000000 at most"
	case !o.packs() && o.encoding().encode == nil:
		return fmt.Sprintf("--format %q is none of protobuf, json, ocpp201, packed and arrow", o.format)
	case o.format == ocpp.Name2 && o.shape == "city" && o.truth != "":
		return "--truth has the city's reservations, which OCPP does not know as transactions: take --shape bench"
	case o.chargers < 0 || o.rate < 0 || o.speed < 0 || o.partitions < 0:
		return "--chargers, --rate, --speed and --partitions are not below 0"
	}
	if _, ok := replayEnd(o.end); !ok {
		return fmt.Sprintf("--end %q is neither departure nor announced", o.end)
	}
	return ""
}

// encoding is the format of the messages; one without encode cannot be written a reading each.
func (o *loadOptions) encoding() format {
	name := o.format
	if p, ok := packingNamed(name); ok {
		name = p.format
	}
	f, _ := formatNamed(name)
	return f
}

// packs says whether a message has many readings.
func (o *loadOptions) packs() bool {
	_, ok := packingNamed(o.format)
	return ok
}

func runLoad(ctx context.Context, std stdio, cfg *config.Config, client *kafka.Client, o loadOptions) error {
	partitions, err := o.ensureTopic(ctx, client, cfg)
	if err != nil {
		return err
	}
	network, err := loadNetwork(o, partitions)
	if err != nil {
		return err
	}
	if err := loadReferenceFiles(ctx, std, cfg, client, network, o); err != nil {
		return err
	}
	untilMs := endOf(network, o.readings)
	producer, encode, err := o.producer(cfg, client, partitions)
	if err != nil {
		return err
	}
	progress, err := loadgen.Run(ctx, loadgen.RunConfig{
		Network: network, Encode: encode, UntilMs: untilMs, Speed: o.speed, Clock: engine.SystemClock{}, ProgressEvery: 2 * time.Second,
		Progress: func(p loadgen.Progress) { fmt.Fprintln(std.err, progressText(p)) },
	}, producer)
	if err != nil {
		return err
	}
	if o.truth != "" {
		if err := writeTruth(network, o.truth, untilMs); err != nil {
			return err
		}
	}
	return json.NewEncoder(std.out).Encode(map[string]any{
		"topic": o.topic, "partitions": partitions, "records": progress.Records, "duplicates": progress.Duplicates, "bytes": progress.Bytes,
		"simulated_from_ms": network.Config().EpochMs, "simulated_until_ms": untilMs, "seconds": progress.Elapsed.Seconds(),
	})
}

func progressText(p loadgen.Progress) string {
	perSecond := int64(0)
	if ms := p.Elapsed.Milliseconds(); ms > 0 {
		perSecond = p.Records * 1000 / ms
	}
	return fmt.Sprintf("sent %d readings, %d/s, simulated %s", p.Records, perSecond, time.UnixMilli(p.SimulatedMs).UTC().Format(time.DateTime))
}

// ensureSimulated makes the topic of simulated readings, or checks that it will not lose them, and returns its number
// of partitions. Records of simulated time would be deleted by age, and refused by Apache Kafka 4 when they are more
// than an hour ahead; the embedded Kafka does not know that second setting.
func ensureSimulated(ctx context.Context, client *kafka.Client, cfg *config.Config, topic string, partitions int32) (int32, error) {
	spec := kafka.ReadingsTopic(topic, partitions)
	spec.ReplicationFactor = int16(cfg.Kafka.ReplicationFactor)
	spec.Require["retention.ms"] = "-1"
	spec.Configs = map[string]string{"message.timestamp.after.max.ms": "9223372036854775807"}
	counts, err := client.EnsureTopics(ctx, []kafka.TopicSpec{spec})
	if errors.Is(err, kafkago.InvalidConfiguration) {
		spec.Configs = nil
		counts, err = client.EnsureTopics(ctx, []kafka.TopicSpec{spec})
	}
	if err != nil && strings.Contains(err.Error(), "retention.ms") {
		err = fmt.Errorf("%w; or send to another topic: give --topic a name that does not exist yet, and the engine the same in kafka.readings", err)
	}
	return counts[topic], err
}

func loadNetwork(o loadOptions, partitions int32) (*loadgen.Network, error) {
	c := loadgen.City()
	if o.shape == "bench" {
		c = loadgen.Bench()
	}
	c.Seed, c.Partitions = o.seed, partitions
	if o.chargers > 0 {
		c.ChargePoints = o.chargers
	}
	return loadgen.New(c)
}

// referenceWriter is what has tariffs and locations.
type referenceWriter interface{ WriteReference(dir string) error }

// loadReferenceFiles writes and publishes the network's reference, as far as asked for.
func loadReferenceFiles(ctx context.Context, std stdio, cfg *config.Config, client *kafka.Client, network referenceWriter, o loadOptions) error {
	if o.reference == "" && !o.publish {
		return nil
	}
	dir := o.reference
	if dir == "" {
		temporary, err := os.MkdirTemp("", "wattline-reference-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(temporary) }() // it has done its work
		dir = temporary
	}
	if err := network.WriteReference(dir); err != nil {
		return err
	}
	if !o.publish {
		return nil
	}
	return referenceLoad(ctx, client, cfg, dir, reflog.Options{By: "wattline load"}, func(line string) { fmt.Fprintln(std.err, line) })
}

// endOf is the first tick before which there are that many readings.
func endOf(network *loadgen.Network, readings int64) int64 {
	s := network.Stream(network.Config().EpochMs)
	for n := int64(0); n < readings && !s.Done(); {
		err := s.Tick(func(*loadgen.Event) error {
			n++
			return nil
		})
		if err != nil {
			invariant.Bug("a counter failed: %v", err)
		}
	}
	return s.NowMs()
}

func writeTruth(network *loadgen.Network, file string, untilMs int64) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = network.WriteTruth(w, untilMs)
	return errors.Join(err, w.Flush(), f.Close())
}
