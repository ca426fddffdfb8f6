package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/wattline/wattline/bench"
	"github.com/wattline/wattline/internal/parts"
)

func benchCommand() command {
	return command{
		name: "bench", args: "[pipe|rows|recover] [flags]",
		summary: "Measure Wattline on this machine: pipe is Kafka -> rated -> ClickHouse, rows is questions over 10 M rows, recover is kill -9",
		run:     runBench,
	}
}

const benchHelp = `Without a word it is pipe with its defaults, and all measurements are listed:

  wattline bench pipe      engine CPU for each reading, from Apache Kafka into ClickHouse, 10 M readings
  wattline bench rows      sums by site and hour over 10 M rows while more are inserted, by clickhouse-go and HTTP
  wattline bench recover   kill -9 with 1 M live sessions and 200,000 readings a second: time until no partition is
                           more than 1 s behind; with --takeover another engine goes on

Each starts its own Apache Kafka and ClickHouse engine unless --kafka and --clickhouse name others, checks what it wrote,
and removes what it made. Exit 1 when the sums are wrong. docs/BENCHMARKS.md says what the figures mean.

"bench engine", "bench life" and "bench store" are the processes that a measurement starts; they take their orders from
standard input.`

// runBench picks the measurement.
func runBench(ctx context.Context, std stdio, args []string) int {
	what := "pipe"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		what, args = args[0], args[1:]
		if len(args) == 0 {
			handled, err := bench.RunChild(ctx, what, std.in, std.out)
			if err != nil {
				fmt.Fprintf(std.err, "wattline: bench %s: %v\n", what, err)
				return exitFault
			}
			if handled {
				return exitOK
			}
		}
	} else if len(args) == 0 {
		fmt.Fprintf(std.err, "%s\n\n", benchHelp)
	}
	switch what {
	case "pipe":
		return benchPipe(ctx, std, args)
	case "rows":
		return benchRows(ctx, std, args)
	case "recover":
		return benchRecover(ctx, std, args)
	}
	fmt.Fprintf(std.err, "wattline: there is no measurement %q\n\n%s\n", what, benchHelp)
	return exitUsage
}

// benchEnds adds the flags that every measurement has.
func benchEnds(fs *flag.FlagSet, std stdio, e *bench.Ends) (asJSON *bool) {
	fs.StringVar(&e.ClickHouse, "clickhouse", "", "use the ClickHouse at this `host:port` (HTTP) instead of starting one")
	fs.StringVar(&e.ClickHouseUser, "clickhouse-user", "default", "its `user`; the password is read from WATTLINE_CLICKHOUSE_PASSWORD")
	fs.StringVar(&e.Dir, "dir", "", "make the `folder` for data in there (default: the system's for temporary files)")
	fs.BoolVar(&e.Keep, "keep", false, "leave data, topics and databases, and say where")
	e.Parts.Progress = parts.Printer(std.err)
	e.ClickHousePassword = os.Getenv("WATTLINE_CLICKHOUSE_PASSWORD")
	return fs.Bool("json", false, "print the result as JSON, with all runs, settings, versions and the host")
}

func benchPipe(ctx context.Context, std stdio, args []string) int {
	c := benchCommand()
	c.name, c.args, c.summary = "bench pipe", "[flags]", "Measure Kafka -> rated -> ClickHouse"
	fs := newFlags(std, c, benchHelp)
	cfg := bench.DefaultPipe()
	asJSON := benchEnds(fs, std, &cfg.Ends)
	fs.StringVar(&cfg.Kafka, "kafka", "", "use the Kafka at this `host:port` instead of starting one")
	fs.Int64Var(&cfg.Readings, "readings", cfg.Readings, "`number` of readings to load, about; 1 % of duplicates come on top")
	fs.IntVar(&cfg.ChargePoints, "sessions", cfg.ChargePoints, "`number` of live sessions, each with a reading every 5 s")
	partitions := fs.Int("partitions", int(cfg.Partitions), "`number` of partitions")
	fs.StringVar(&cfg.Format, "format", "protobuf", "`format` of the messages: protobuf, json or ocpp201, a reading each; packed (protobuf) or arrow, up to 100 each")
	fs.IntVar(&cfg.Warmups, "warmups", cfg.Warmups, "`number` of runs before those that count")
	fs.IntVar(&cfg.Runs, "runs", cfg.Runs, "`number` of runs that count")
	fs.IntVar(&cfg.GOGC, "gogc", cfg.GOGC, "garbage collection target of the engine, `percent` (default: the engine's own)")
	fs.StringVar(&cfg.ProfileDir, "profile", "", "write a CPU profile of each run's engine into this `folder`")
	if code, ok := benchArgs(std, fs, args, &cfg.Ends); !ok {
		return code
	}
	cfg.Partitions = int32(min(max(*partitions, -1), 1<<20))
	r, err := bench.RunPipe(ctx, cfg)
	return benchResult(std, *asJSON, r != nil, r, err)
}

func benchRows(ctx context.Context, std stdio, args []string) int {
	c := benchCommand()
	c.name, c.args, c.summary = "bench rows", "[flags]", "Measure questions over many rows"
	fs := newFlags(std, c, benchHelp)
	cfg := bench.DefaultRows()
	asJSON := benchEnds(fs, std, &cfg.Ends)
	fs.IntVar(&cfg.Rows, "rows", cfg.Rows, "`number` of rows of charges before the questions")
	fs.IntVar(&cfg.Sites, "sites", cfg.Sites, "`number` of sites")
	fs.IntVar(&cfg.Rounds, "rounds", cfg.Rounds, "how `often` each question is asked")
	fs.IntVar(&cfg.IngestRowsPerS, "ingest", cfg.IngestRowsPerS, "`rows` a second inserted meanwhile")
	if code, ok := benchArgs(std, fs, args, &cfg.Ends); !ok {
		return code
	}
	r, err := bench.RunRows(ctx, cfg)
	return benchResult(std, *asJSON, r != nil, r, err)
}

func benchRecover(ctx context.Context, std stdio, args []string) int {
	c := benchCommand()
	c.name, c.args, c.summary = "bench recover", "[flags]", "Measure how long it takes until a killed engine's sessions are back"
	fs := newFlags(std, c, benchHelp)
	cfg := bench.DefaultRecover()
	asJSON := benchEnds(fs, std, &cfg.Ends)
	fs.StringVar(&cfg.Kafka, "kafka", "", "use the Kafka at this `host:port` instead of starting one")
	fs.IntVar(&cfg.Sessions, "sessions", cfg.Sessions, "`number` of live sessions, each with a reading every 5 s")
	partitions := fs.Int("partitions", int(cfg.Partitions), "`number` of partitions")
	fs.IntVar(&cfg.Runs, "runs", cfg.Runs, "`number` of kills")
	fs.IntVar(&cfg.StoreNice, "store-nice", cfg.StoreNice, "nice `value` of the store that is started: 0 has it compete with the engine for each core")
	fs.BoolVar(&cfg.Takeover, "takeover", false, "another engine takes over, after the session time-out, instead of the same one starting again")
	fs.DurationVar(&cfg.SessionTimeout, "session-timeout", cfg.SessionTimeout, "after how `long` the group gives away a silent engine's partitions")
	fs.DurationVar(&cfg.Settle, "settle", cfg.Settle, "how `long` an engine runs between catching up and the next kill, at least")
	fs.DurationVar(&cfg.SnapshotReplay, "snapshot-replay", 0, "how `long` a replay may take before the engine takes a snapshot (default: the engine's own); few sessions need less")
	fs.StringVar(&cfg.ProfileDir, "profile", "", "write a CPU profile of each recovery into this `folder`")
	if code, ok := benchArgs(std, fs, args, &cfg.Ends); !ok {
		return code
	}
	cfg.Partitions = int32(min(max(*partitions, -1), 1<<20))
	r, err := bench.RunRecover(ctx, cfg)
	return benchResult(std, *asJSON, r != nil, r, err)
}

// benchArgs parses the flags and finds this program, which the measurement starts again.
func benchArgs(std stdio, fs *flag.FlagSet, args []string, e *bench.Ends) (code int, ok bool) {
	rest, code, ok := parseFlags(fs, args)
	if !ok {
		return code, false
	}
	if len(rest) > 0 {
		fmt.Fprintf(std.err, "wattline: bench takes no argument %q\n", rest[0])
		return exitUsage, false
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintf(std.err, "wattline: find this program: %v\n", err)
		return exitFault, false
	}
	e.Self = []string{self, "bench"}
	return exitOK, true
}

// benchTable is a result that people can read.
type benchTable interface{ WriteTable(w io.Writer) }

// benchResult prints what was measured, also what is wrong.
func benchResult(std stdio, asJSON, there bool, r benchTable, err error) int {
	if there {
		if asJSON {
			enc := json.NewEncoder(std.out)
			enc.SetIndent("", "  ")
			err = errors.Join(err, enc.Encode(r))
		} else {
			r.WriteTable(std.out)
		}
	}
	if err != nil {
		fmt.Fprintf(std.err, "wattline: bench: %v\n", err)
		return exitFault
	}
	return exitOK
}
