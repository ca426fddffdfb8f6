package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/clickhouse/embedded"
	"github.com/wattline/wattline/internal/ask"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/secret"
)

const sqlHelp = `QUERY is one statement that reads; without one it is read from the input. It goes to clickhouse.addr as clickhouse.user, or, as
user reader, to the embedded store in --data. Without --data that is the first of data.dir, data/demo and data/sample in which
one runs or has been. A store that does not run is opened for the time of the question. docs/ANALYSTS.md says what to ask.
Exit: 0 answered, 1 failed, 2 a wrong command line.`

// sqlOptions are the flags of sql.
type sqlOptions struct{ dir, format string }

func sqlCommand() command {
	c := command{name: "sql", args: "[--config FILE] [--data DIR] [--format F] [QUERY]", summary: "Ask ClickHouse a question, as one who may only read"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, sqlHelp)
		file := configFlag(fs)
		var o sqlOptions
		fs.StringVar(&o.dir, "data", "", "`folder` of the data")
		fs.StringVar(&o.format, "format", "", "ClickHouse's `name` of a format (default: PrettyCompact on a terminal, else TSVWithNames)")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		cfg, ok := loadConfigFor(std, c.name, *file, "clickhouse")
		if !ok {
			return exitFault
		}
		question := strings.Join(rest, " ")
		if question == "" {
			text, err := io.ReadAll(std.in)
			if err != nil {
				fmt.Fprintf(std.err, "wattline sql: read the question: %v\n", err)
				return exitFault
			}
			question = string(text)
		}
		if strings.TrimSpace(question) == "" {
			return wrong(std, c, "there is no question")
		}
		if err := runSQL(ctx, std, cfg, o, question); err != nil {
			fmt.Fprintf(std.err, "wattline sql: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

func runSQL(ctx context.Context, std stdio, cfg *config.Config, o sqlOptions, question string) error {
	to, closeStore, err := openSQL(ctx, std, cfg, o.dir)
	if err != nil {
		return err
	}
	if o.format == "" {
		o.format = "TSVWithNames"
		if _, screen := isTerminal(std.out); screen {
			o.format = "PrettyCompact"
		}
	}
	database := cfg.ClickHouse.Database
	if !cfg.Given("clickhouse.database") {
		var found strings.Builder
		err = to.Ask(ctx, &found, url.Values{}, "SELECT database FROM system.tables WHERE name = 'freshness' ORDER BY database != 'wattline', database LIMIT 1")
		if name := strings.TrimSpace(found.String()); name != "" {
			database = name
		}
	}
	if err == nil {
		err = to.Ask(ctx, std.out, url.Values{"database": {database}, "default_format": {o.format}}, question)
	}
	return errors.Join(err, closeStore())
}

// openSQL finds the store, and opens an embedded one that does not run.
func openSQL(ctx context.Context, std stdio, cfg *config.Config, dir string) (to *ask.Store, closeStore func() error, err error) {
	c := &cfg.ClickHouse
	closeStore = func() error { return nil }
	if len(c.Addr) > 0 && dir == "" {
		if clickhouse.Protocol(c.Protocol) != clickhouse.HTTP {
			return nil, nil, errors.New("clickhouse.protocol is native, and this asks by HTTP only: use clickhouse-client, or name an HTTP port in another configuration")
		}
		tls, err := storeTLS(cfg)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: tls}}
		return &ask.Store{Client: client, Base: scheme(tls != nil) + "://" + c.Addr[0], User: c.User, Password: c.Password}, closeStore, err
	}
	if dir == "" {
		if dir, err = findStore(cfg.DataDir); err != nil {
			return nil, nil, err
		}
	}
	cfg.DataDir = dir
	addr, running := runningAddr(cfg, "store")
	if !running {
		if _, err := os.Stat(storeDir(cfg)); err != nil {
			return nil, nil, fmt.Errorf("there is no store in %s", cfg.DataDir)
		}
		server, err := startEmbeddedStore(ctx, cfg, toolLogger(cfg, std.err), parts.Printer(std.err))
		if err != nil {
			return nil, nil, err
		}
		addr, closeStore = server.Addr(), func() error { return server.Close(context.WithoutCancel(ctx)) }
	}
	text, err := os.ReadFile(filepath.Join(storeDir(cfg), "reader.password"))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read the reader's password: %w", err), closeStore())
	}
	to = &ask.Store{Base: scheme(c.EmbeddedTLS) + "://" + dialable(addr), User: embedded.UserReader, Password: secret.New(strings.TrimSpace(string(text)))}
	return to, closeStore, nil
}

// findStore is the first folder with an embedded store.
func findStore(configured string) (string, error) {
	list := []string{configured, filepath.Join("data", "demo"), filepath.Join("data", "sample")}
	for _, dir := range list {
		if _, err := os.Stat(filepath.Join(dir, "store", "reader.password")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no embedded store in %s: give --data, or the configuration that names a ClickHouse server", strings.Join(list, ", "))
}
