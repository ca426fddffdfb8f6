package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/wattline/wattline/connectors/file"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/liveview"
	"github.com/wattline/wattline/internal/pseudonym"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/internal/reflog"
)

const fileRateHelp = `A FILE is Parquet, a row a reading (docs/formats/parquet.md), in the order in which the readings came. DIR of --reference is
what ` + "`wattline reference load`" + ` takes: tariffs, locations, contracts (these with --keyset). The engine that rates Kafka topics rates the rows; nothing else is
needed. --out gets charges.parquet and sessions.parquet, with the columns of the ClickHouse tables, and rejects.jsonl: the
rows that can not be used, and why. Sessions that are open after the last row are closed as if nothing came for
--session-timeout: status PROVISIONAL. Nothing is left in --out after a fault.

Exit: 0 rated (rejects or not), 1 a fault, with file and row, 2 a wrong command line.`

func fileRateCommand() command {
	c := command{name: "file rate", args: "--reference DIR --out DIR [flags] FILE...", summary: "Rate Parquet files of readings into Parquet files of rated rows, without Kafka and ClickHouse"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, fileRateHelp)
		var options reflog.Options
		var timeout, slice time.Duration
		var cfg file.Config
		from := fs.String("reference", "", "`folder` with tariffs and locations")
		keyset := fs.String("keyset", "", "keyset `file` that makes pseudonyms of drivers' tokens; needed where the folder has contracts")
		to := fs.String("out", "", "`folder` for what is written; it is made")
		fs.StringVar(&options.Country, "country-code", "", "`code` of tariffs and locations that have none")
		fs.StringVar(&options.Party, "party-id", "", "`id` of tariffs and locations that have none")
		fs.StringVar(&cfg.Topic, "topic", "file", "`name` for column topic; a session's id depends on it")
		fs.DurationVar(&slice, "slice", 15*time.Minute, "`time` that rows are cut at; it divides a day")
		fs.DurationVar(&timeout, "session-timeout", time.Hour, "close a session provisionally after so much `time` without a message")
		files, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		cfg.SliceMs, cfg.SessionTimeoutMs = slice.Milliseconds(), timeout.Milliseconds()
		switch {
		case *from == "" || *to == "":
			return wrong(std, c, "it needs --reference and --out")
		case len(files) == 0:
			return wrong(std, c, "it needs a file")
		case cfg.Topic == "" || cfg.SliceMs <= 0 || (24*time.Hour)%slice != 0:
			return wrong(std, c, "--topic is empty, or --slice %v does not divide a day", slice)
		case timeout < time.Minute:
			return wrong(std, c, "--session-timeout %v is below a minute", timeout)
		}
		if err := fileRate(ctx, std, cfg, options, *from, *keyset, *to, files); err != nil {
			fmt.Fprintf(std.err, "wattline file rate: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

func fileRate(ctx context.Context, std stdio, cfg file.Config, options reflog.Options, from, keyset, to string, files []string) error {
	var tokens engine.Tokens
	var keys *pseudonym.Keyring
	if keyset != "" {
		var err error
		if keys, err = pseudonym.Open(keyset); err != nil {
			return err
		}
		tokens = keys
	}
	records, err := reflog.Records(ctx, from, keys, options, func(line string) { fmt.Fprintln(std.err, line) })
	if err != nil {
		return err
	}
	ref := engine.NewReference(reference.Decode, tokens)
	if err := ref.Follow(ctx, memoryLog(records), from); err != nil {
		return err
	}
	progress := newProgress(std.err)
	cfg.Progress = told(progress, "readings")
	s, err := file.Rate(ctx, cfg, ref, files, to)
	progress.End()
	if err != nil {
		return err
	}
	if s.Behind > 0 {
		fmt.Fprintf(std.err, "warning: %d rows are more than 15 minutes behind a row before them; sort the input by the time at which the readings came\n", s.Behind)
	}
	if s.Leaps > 0 {
		fmt.Fprintf(std.err, "warning: %d rows are more than a day ahead of all before them: a gap in the data, or a wrong clock, which closes sessions (column received is the remedy)\n", s.Leaps)
	}
	fmt.Fprintf(std.out, "%d readings: %d charges, %d versions of sessions, %d rejects; %d sessions were still open and were closed provisionally\n",
		s.Rows, s.Charges, s.Sessions, s.Rejects, s.Closed)
	return nil
}

// memoryLog is a reference log that was never in Kafka.
type memoryLog []engine.Message

// ReadLog implements engine.LogReader.
func (l memoryLog) ReadLog(_ context.Context, _ string, _ int32, from int64, fn func(engine.Record) error) (int64, error) {
	for i := from; i < int64(len(l)); i++ {
		if err := fn(engine.Record{Offset: i, Key: l[i].Key, Value: l[i].Value}); err != nil {
			return i, err
		}
	}
	return int64(len(l)), nil
}

// newProgress tells people on w where a run is.
func newProgress(w io.Writer) *liveview.Progress {
	_, line := isTerminal(w)
	return liveview.NewProgress(w, line)
}

// told is a function that tells p how many of all things are done, from where it was first called.
func told(p *liveview.Progress, things string) func(done, all int64) {
	var began time.Time
	first := int64(0)
	return func(done, all int64) {
		if began.IsZero() {
			began, first = time.Now(), done
		}
		if done <= first || !p.Due() {
			return
		}
		part, took := float64(done-first)/float64(all-first), time.Since(began)
		left := time.Duration(float64(took) * (1 - part) / part).Round(time.Second)
		p.Tell(fmt.Sprintf("%d of %d %s (%d %%), %d a second, about %v left", done, all, things, 100*done/all, int64(float64(done-first)/took.Seconds()), left))
	}
}
