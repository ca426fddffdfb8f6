package main

import (
	"context"
	"fmt"

	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/parts"
)

func migrateCommand() command {
	c := command{name: "migrate", args: "[--config FILE]", summary: "Make the tables and views of ClickHouse, or bring them up to date"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		return withConfig(std, c, args, "`wattline run` does the same when it starts. A schema that is newer than the program is refused.", []string{"clickhouse"}, func(cfg *config.Config) int {
			n, err := newNode(cfg, toolLogger(cfg, std.err), parts.Printer(std.err), nil)
			if err == nil {
				err = n.migrateOnly(ctx)
			}
			if err != nil {
				fmt.Fprintf(std.err, "wattline migrate: %v\n", err)
				return exitFault
			}
			fmt.Fprintln(std.out, "tables and views of database", cfg.ClickHouse.Database, "are up to date")
			return exitOK
		})
	}
	return c
}

func (n *node) migrateOnly(ctx context.Context) error {
	err := n.stages.start(ctx, "store", n.startStore)
	if err == nil {
		err = n.stages.start(ctx, "tables", n.openStore)
	}
	if stopErr := n.stopInTime(); err == nil {
		err = stopErr
	}
	return err
}
