package main

import (
	"context"
	"fmt"

	"github.com/wattline/wattline/connectors/kafka"
)

const leaveHelp = `The group keeps the partitions of an engine that stopped or died for kafka.session_timeout, so that a restart finds them
and the other engines do not stop for it. If the engine does not come back, leave gives them to the others at once: what
they need is on Kafka and in ClickHouse. kafka.leave_on_stop does the same at every stop.

Stop the engine first. One that still runs joins again, and recovers every partition that it gets.

Exit: 0 it has left, 1 failed, 2 a wrong command line.`

func leaveCommand() command {
	c := command{name: "leave", args: "[--config FILE] --engine ID", summary: "Give the partitions of a stopped engine to the others, without waiting for it"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, leaveHelp)
		file := configFlag(fs)
		id := fs.String("engine", "", "`ID` of the engine (engine.id) that stopped for good")
		rest, code, ok := parseFlags(fs, args)
		switch {
		case !ok:
			return code
		case len(rest) > 0:
			return wrong(std, c, "there is no argument %q", rest[0])
		case *id == "":
			return wrong(std, c, "--engine is missing")
		}
		cfg, ok := loadConfig(std, c.name, *file)
		if !ok {
			return exitFault
		}
		err := withKafka(ctx, cfg, toolLogger(cfg, std.err), func(client *kafka.Client) error {
			return client.RemoveMember(ctx, cfg.Kafka.Group, *id)
		})
		if err != nil {
			fmt.Fprintf(std.err, "wattline leave: %v\n", err)
			return exitFault
		}
		fmt.Fprintf(std.out, "engine %s has left group %s\n", *id, cfg.Kafka.Group)
		return exitOK
	}
	return c
}
