package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/wattline/wattline/connectors/file"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/loadgen/sample"
)

const sampleHelp = `Five days of a small network (29 January to 3 February 2026), rated by the engine's own code, with whatever an analyst may
meet: every kind of tariff, a tariff that changes, meters that do odd things, sessions that wait for their tariff, a partition that
is behind. docs/ANALYSTS.md asks it its questions. The same release writes the same rows. Every session that has ended is held to
the second pricer before this says that it is done.

Without clickhouse.addr it goes into an embedded store of its own in --data, which is closed again, or, with --serve, answers until
Ctrl-C; database "sample" unless clickhouse.database is given. With --parquet it goes into charges.parquet and sessions.parquet
and nowhere else. Exit: 0 written, or there already, 1 failed, 2 a wrong command line.`

// sampleOptions are the flags of sample.
type sampleOptions struct {
	dir, parquet string
	serve        bool
}

func sampleCommand() command {
	c := command{name: "sample", args: "[--config FILE] [--data DIR] [--serve] [--parquet DIR]", summary: "Write a sample data set for analysts, into ClickHouse or Parquet files"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, sampleHelp)
		file := configFlag(fs)
		var o sampleOptions
		fs.StringVar(&o.dir, "data", filepath.Join("data", "sample"), "`folder` for the embedded store")
		fs.BoolVar(&o.serve, "serve", false, "let the embedded store answer until Ctrl-C")
		fs.StringVar(&o.parquet, "parquet", "", "`folder` for Parquet files, instead of a store")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		cfg, ok := loadConfigFor(std, c.name, *file, "clickhouse")
		if !ok {
			return exitFault
		}
		if err := runSample(ctx, std, cfg, o); err != nil {
			fmt.Fprintf(std.err, "wattline sample: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

func runSample(ctx context.Context, std stdio, cfg *config.Config, o sampleOptions) error {
	if o.parquet != "" {
		began := time.Now()
		w, err := file.NewWriter(o.parquet)
		if err != nil {
			return err
		}
		s, err := sample.Make(ctx, func(b *engine.Block) error { return w.Append(b) })
		if err = w.End(err); err != nil {
			return err
		}
		tellSample(std.out, s, began)
		return nil
	}
	if !cfg.Given("clickhouse.database") {
		cfg.ClickHouse.Database = "sample"
	}
	cfg.DataDir = o.dir
	n, err := newNode(cfg, toolLogger(cfg, std.err), parts.Printer(std.err), func(line string) { fmt.Fprintln(std.out, line) })
	if err != nil {
		return err
	}
	err = n.writeSample(ctx, std.out)
	if err == nil && o.serve && n.storeDir != "" {
		fmt.Fprintln(std.out, "Ctrl-C ends it")
		<-ctx.Done()
	}
	return errors.Join(err, n.stopInTime())
}

// writeSample opens the store, writes the sample, unless it is there already, and says how to ask.
func (n *node) writeSample(ctx context.Context, out io.Writer) error {
	err := n.stages.start(ctx, "store", n.startStore)
	if err == nil {
		err = n.stages.start(ctx, "tables", n.openStore)
	}
	if err != nil {
		return err
	}
	began := time.Now()
	s, err := sample.Write(ctx, n.store)
	if err != nil && !errors.Is(err, sample.ErrThere) {
		return fmt.Errorf("%w; drop database %s before the next try", err, n.cfg.ClickHouse.Database)
	}
	if err != nil {
		fmt.Fprintf(out, "database %s has the sample already; nothing was written\n", n.cfg.ClickHouse.Database)
	} else {
		tellSample(out, s, began)
	}
	if n.storeDir != "" {
		fmt.Fprintf(out, "ask it:  wattline sql --data %s 'SELECT * FROM freshness'\n", n.cfg.DataDir)
	}
	return nil
}

func tellSample(out io.Writer, s sample.Summary, began time.Time) {
	fmt.Fprintf(out, "%d readings: %d charges, %d versions of %d sessions, %d blocks, %d rejects; %d sessions have ended and cost what the oracle says (%.1f s)\n",
		s.Readings, s.Charges, s.Versions, s.Sessions, s.Blocks, s.Rejects, s.Proven, time.Since(began).Seconds())
}
