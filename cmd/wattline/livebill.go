package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/livebill"
	"github.com/wattline/wattline/internal/liveview"
)

func billCommand() command {
	c := command{name: "bill", args: "[--config FILE] [--data DIR] [--api URL] [--follow] [ID]", summary: "Show the explained bill of a session that runs, or follow it live"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "ID is a session's id, a transaction, or charge_point:transaction; without one it is the dearest session that runs. The rows come\n"+
			"from ClickHouse, what is not in a row yet from the engine. Of a demo: --data data/demo. A token for the API is taken from\n"+
			"the variable WATTLINE_TOKEN. Exit: 0 shown, 1 failed, 2 a wrong command line.")
		file := configFlag(fs)
		data := fs.String("data", "", "`folder` of a demo, or of an engine with an embedded store")
		address := fs.String("api", "", "`URL` of an engine's API; default: the one that the folder or the configuration names")
		followIt := fs.Bool("follow", false, "until the session has ended, or Ctrl-C; as lines where it is no terminal")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 1 {
			return wrong(std, c, "give one ID, not %d", len(rest))
		}
		cfg, ok := loadConfigFor(std, c.name, *file, "clickhouse")
		if !ok {
			return exitFault
		}
		if *data != "" {
			cfg.DataDir = *data
		}
		a := &livebill.Asker{API: *address, Token: os.Getenv("WATTLINE_TOKEN")}
		if len(rest) > 0 {
			a.ID = rest[0]
		}
		err := openBill(ctx, a, cfg)
		if err == nil {
			err = showBill(ctx, a, std.out, *followIt)
			_ = a.Store.Close() // nothing was written
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(std.err, "wattline bill: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

// openBill connects a to the store, and to the API unless it was said.
func openBill(ctx context.Context, a *livebill.Asker, cfg *config.Config) error {
	if a.API == "" {
		addr, running := runningAddr(cfg, "api")
		if !running {
			addr = dialable(cfg.HTTP.Addr)
		}
		a.API = scheme(cfg.HTTP.CertFile != "") + "://" + addr
	}
	at, running, err := runningStore(cfg)
	if err != nil {
		return err
	}
	if !running {
		return fmt.Errorf("no store runs with its files in %s: give --data, or clickhouse.addr", cfg.DataDir)
	}
	c, err := clickhouseConfig(cfg, at)
	if err != nil {
		return err
	}
	a.Store, err = clickhouse.Open(ctx, c)
	return err
}

// showBill writes the bill once, or again and again.
func showBill(ctx context.Context, a *livebill.Asker, out io.Writer, followIt bool) error {
	draw, done := billWriter(out, followIt)
	defer done()
	for {
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		b, err := a.Bill(within)
		cancel()
		if err != nil {
			return err
		}
		if err := draw(b); err != nil || !followIt || b.Final {
			return err
		}
		select {
		case <-time.After(drawEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// billWriter draws on a terminal; elsewhere it writes the whole bill when its price or its lines have changed.
func billWriter(out io.Writer, followIt bool) (draw func(*liveview.Bill) error, done func()) {
	if file, ok := isTerminal(out); ok && followIt {
		s := newScreen(out, file)
		return func(b *liveview.Bill) error {
			b.Title = "the bill of a session, live; Ctrl-C ends"
			return s.DrawLines(b.Lines)
		}, func() { _ = s.Close() }
	}
	before := ""
	return func(b *liveview.Bill) error {
		key := fmt.Sprint(b.Session, b.Incl, len(b.Rows), b.Final)
		if key == before {
			return nil
		}
		first := before == ""
		before = key
		text := strings.Join(b.Plain(80), "\n") + "\n"
		if !first {
			text = "\n" + text
		}
		_, err := io.WriteString(out, text)
		return err
	}, func() {}
}

func newScreen(out io.Writer, file *os.File) *liveview.Screen {
	return liveview.NewScreen(out, func() (int, int) {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 80, 24
		}
		return width, height
	})
}
