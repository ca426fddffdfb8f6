package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wattline/wattline/internal/parts"
)

// stopRest is how long an orderly stop may take beside the engine's own: the embedded store waits for its queries.
const stopRest = 1500 * time.Millisecond

func runCommand() command {
	c := command{name: "run", args: "[--config FILE]", summary: "Rate the readings of Kafka into ClickHouse"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "Without kafka.brokers or clickhouse.addr an embedded Kafka or ClickHouse runs in this process, with its files in\n"+
			"data.dir. Ctrl-C stops in order: blocks are closed, the state is left on Kafka.\nExit: 0 stopped, 1 failed, 2 a wrong command line.")
		file := configFlag(fs)
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		cfg, ok := loadConfig(std, c.name, *file)
		if !ok {
			return exitFault
		}
		log := newLogger(cfg, std.err)
		n, err := newNode(cfg, log, parts.Printer(std.err), nil)
		if err == nil && len(cfg.Kafka.Brokers) == 0 {
			n.topics["retention.ms"] = "-1" // so that wattline load can use the topic, whose records are of simulated time
		}
		if err != nil {
			fmt.Fprintf(std.err, "wattline run: %v\n", err)
			return exitFault
		}
		if err := serve(ctx, n, std.out); err != nil {
			fmt.Fprintf(std.err, "wattline run: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

// serve runs n until ctx ends or the engine fails. out hears when it is ready.
func serve(ctx context.Context, n *node, out io.Writer) error {
	profiles, err := startProfiles(n.cfg, n.id, n.log)
	if err != nil {
		return err
	}
	defer profiles()
	began := time.Now()
	if err = n.start(ctx); err == nil {
		err = n.startEngine(ctx)
	}
	if err == nil {
		n.log.Info("running", "took", time.Since(began).Round(time.Millisecond), "version", version())
		telling, cancel := context.WithCancel(ctx)
		defer cancel()
		go n.tellReady(telling, out)
		select {
		case <-ctx.Done():
		case err = <-n.failed:
		}
	}
	if ctx.Err() != nil {
		err = nil // asked to stop, perhaps while starting
	}
	return errors.Join(err, n.stopInTime())
}

// tellReady says once that questions are answered, when they are.
func (n *node) tellReady(ctx context.Context, out io.Writer) {
	for n.engine.Ready() != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	fmt.Fprintf(out, "ready at %s://%s\n", n.apiScheme(), n.listener.Addr())
}

// stopInTime stops everything in order, within what was promised.
func (n *node) stopInTime() error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.Engine.StopTimeout+stopRest)
	defer cancel()
	err := n.stopAll(ctx)
	n.log.Info("stopped", "took", time.Since(began).Round(time.Millisecond))
	return err
}
