package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse/embedded"
	"github.com/wattline/wattline/internal/parts"
)

func storeCommand() command {
	c := command{name: "store", args: "[--config FILE]", summary: "Run the embedded ClickHouse as a process of its own"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "Keys: data.dir, clickhouse.embedded_addr, clickhouse.embedded_tls, clickhouse.embedded_memory, clickhouse.library. When\n"+
			"it is ready it prints its address, the files with the passwords and, with TLS, that of the certificate to trust.\n"+
			"Engines reach it with clickhouse.addr, clickhouse.password_file, clickhouse.tls and clickhouse.tls_ca_file.")
		file := configFlag(fs)
		if rest, code, ok := parseFlags(fs, args); !ok {
			return code
		} else if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		cfg, ok := loadConfigFor(std, c.name, *file)
		if !ok {
			return exitFault
		}
		server, err := startEmbeddedStore(ctx, cfg, newLogger(cfg, std.err), parts.Printer(std.err))
		if err != nil {
			fmt.Fprintf(std.err, "wattline store: %v\n", err)
			return exitFault
		}
		dir := storeDir(cfg)
		fmt.Fprintf(std.out, "addr %s\nversion %s\npassword_file %s\nreader_password_file %s\n",
			server.Addr(), server.Version(), filepath.Join(dir, "password"), filepath.Join(dir, "reader.password"))
		if cfg.ClickHouse.EmbeddedTLS && cfg.ClickHouse.EmbeddedCert == "" {
			ca, _, _ := embedded.OwnCertificate(dir)
			fmt.Fprintf(std.out, "ca_file %s\n", ca)
		}
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.Background(), cfg.Engine.StopTimeout+stopRest)
		defer cancel()
		began := time.Now()
		if err := server.Close(within); err != nil {
			fmt.Fprintf(std.err, "wattline store: %v\n", err)
			return exitFault
		}
		fmt.Fprintf(std.out, "stopped in %v\n", time.Since(began).Round(time.Millisecond))
		return exitOK
	}
	return c
}
