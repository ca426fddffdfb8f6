package main

import (
	"context"
	"fmt"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/internal/parts"
)

func migrateCommand() command {
	c := command{name: "migrate", args: "[--config FILE] [--grants HASH]", summary: "Make the tables and views of ClickHouse, or bring them up to date"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "`wattline run` does the same when it starts. A schema that is newer than the program is refused.\n"+
			"With --grants it only prints SQL, which makes a login for analysts on a ClickHouse server: it may read the database and nothing\n"+
			"else. HASH is the SHA-256 of its password: printf %s PASSWORD | sha256sum. (The embedded engine has such a user, reader.)")
		file := configFlag(fs)
		grants := fs.String("grants", "", "`hash` of the password of a user who may only read; prints the SQL that makes them")
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
		if *grants != "" {
			list, err := clickhouse.ReaderSQL(storeConfig(cfg, storeAt{addrs: cfg.ClickHouse.Addr}), *grants)
			if err != nil {
				return wrong(std, c, "--grants: %v", err)
			}
			for _, sql := range list {
				fmt.Fprintln(std.out, sql+";")
			}
			return exitOK
		}
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
