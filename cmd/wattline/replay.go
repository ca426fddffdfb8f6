package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/produce"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/loadgen/replay"
	"github.com/wattline/wattline/rating"
)

// replayEnd is the value of --end; false: it is none.
func replayEnd(name string) (end replay.End, ok bool) {
	switch name {
	case "departure":
		return replay.EndDeparture, true
	case "announced":
		return replay.EndAnnounced, true
	}
	return 0, false
}

// readReplay reads the files of sessions.
func readReplay(o *loadOptions) (*replay.Replay, error) {
	var r replay.Reader
	for _, name := range o.replay {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		err = r.Add(f)
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	end, _ := replayEnd(o.end)
	return replay.New(r.Sessions, end), nil
}

// runReplay sends the sessions of files.
func runReplay(ctx context.Context, std stdio, cfg *config.Config, client *kafka.Client, o loadOptions) error {
	r, err := readReplay(&o)
	if err != nil {
		return err
	}
	partitions, err := o.ensureTopic(ctx, client, cfg)
	if err != nil {
		return err
	}
	if err := loadReferenceFiles(ctx, std, cfg, client, r, o); err != nil {
		return err
	}
	producer, encode, err := o.producer(cfg, client, partitions)
	if err != nil {
		return err
	}
	progress, err := r.Run(ctx, replay.RunConfig{
		Partitions: partitions, Encode: encode, Speed: o.speed, Clock: engine.SystemClock{},
		Progress: func(p loadgen.Progress) { fmt.Fprintln(std.err, progressText(p)) },
	}, producer)
	if err != nil {
		return err
	}
	if o.truth != "" {
		if err := writeReplayTruth(r, o.truth); err != nil {
			return err
		}
	}
	impossible := r.ImpossibleNumbers()
	return json.NewEncoder(std.out).Encode(map[string]any{
		"topic": o.topic, "partitions": partitions, "records": progress.Records, "bytes": progress.Bytes, "sessions": r.Sessions(),
		"impossible": impossible, "seconds": progress.Elapsed.Seconds(),
	})
}

func writeReplayTruth(r *replay.Replay, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = r.WriteTruth(w)
	return errors.Join(err, w.Flush(), f.Close())
}

// ensureTopic makes or checks the topic of the readings, and says how many partitions it has.
func (o *loadOptions) ensureTopic(ctx context.Context, client *kafka.Client, cfg *config.Config) (int32, error) {
	if o.topic == "" {
		o.topic = cfg.Kafka.Readings[0].Topic
	}
	wanted := cfg.Kafka.Readings[0].Partitions
	if o.partitions > 0 {
		wanted = int32(o.partitions)
	}
	return ensureSimulated(ctx, client, cfg, o.topic, wanted)
}

// producer sends to the topic, at a rate if one is given; encode writes a reading for it, nil in the default format.
func (o *loadOptions) producer(cfg *config.Config, client *kafka.Client, partitions int32) (
	producer loadgen.Producer, encode func(dst []byte, r *rating.Reading) []byte, err error,
) {
	to, err := produce.New(client.Producer(), o.topic, partitions, kafka.CompressionLZ4)
	if err != nil {
		return nil, nil, err
	}
	encoding, configured := o.encoding(), wire.Name
	for _, r := range cfg.Kafka.Readings {
		if r.Topic == o.topic {
			configured = r.Format
		}
	}
	if encoding.name != configured {
		to.ContentType = encoding.contentType
	}
	producer, encode = to, encoding.encode
	if p, ok := packingNamed(o.format); ok {
		producer, encode = loadgen.NewPacker(to, p.encode), nil
	}
	if o.rate > 0 {
		producer = &produce.Paced{Producer: producer, PerSecond: o.rate, Start: time.Now()}
	}
	return producer, encode, nil
}
