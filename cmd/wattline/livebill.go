package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/wattline/wattline/api"
	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/liveview"
)

// billed is a session as the API tells it, as far as a bill has it.
type billed struct {
	ID          string `json:"id"`
	ChargePoint string `json:"charge_point"`
	Connector   int32  `json:"connector"`
	Location    string `json:"location"`
	Status      string `json:"status"`
	Start       string `json:"start"`
	Last        string `json:"last"`
	EnergyMwh   int64  `json:"energy_mwh"`
	Currency    string `json:"currency"`
	ExclMicros  *int64 `json:"excl_micros"`
	InclMicros  int64  `json:"incl_micros"`
	Tariff      string `json:"tariff"`
	Zone        string `json:"zone"`
	HeldReason  string `json:"held_reason"`
	Final       bool   `json:"final"`
}

// liveBill makes the explained bill of a session: its rows from the store, then what it costs by now.
func liveBill(s *billed, rows []clickhouse.BillLine) *liveview.Bill {
	zone := time.UTC
	if z, err := loadZone(s.Zone); err == nil {
		zone = z.clock
	}
	b := &liveview.Bill{
		Session: s.ID, ChargePoint: fmt.Sprintf("%s/%d", s.ChargePoint, s.Connector), Tariff: s.Tariff, Status: s.Status,
		Since: localText(s.Start, zone), Last: localText(s.Last, zone), EnergyMwh: s.EnergyMwh, Currency: s.Currency,
		Incl: s.InclMicros, Open: s.InclMicros, Final: s.Final, Note: s.HeldReason,
	}
	if s.ExclMicros != nil {
		b.NoTax, b.Excl = true, *s.ExclMicros
	}
	period, settling := int64(-1), false
	for i := range rows {
		r := &rows[i]
		line := liveview.BillLine{What: rowText(r), Micros: r.InclMicros}
		switch {
		case r.Kind != "usage" && !settling:
			settling, line.Head = true, "at the end"
		case r.Kind == "usage" && int64(r.Period) != period:
			period = int64(r.Period)
			line.Head = time.UnixMilli(r.PeriodMs).In(zone).Format("15:04:05") + "  " + splitWords(r.Split)
		}
		b.Open -= r.InclMicros
		b.Rows = append(b.Rows, line)
	}
	return b
}

// localText is a time of the API by the clock of the site.
func localText(text string, zone *time.Location) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "-"
	}
	return t.In(zone).Format("Mon 2 Jan 15:04:05")
}

// rowText says what a line of the bill is for.
func rowText(r *clickhouse.BillLine) string {
	what := map[string]string{"FLAT": "fee", "ENERGY": "energy", "TIME": "charging time", "PARKING_TIME": "parking time"}[r.Dimension]
	switch r.Kind {
	case "min":
		return "raised to the minimum price"
	case "max":
		return "lowered to the maximum price"
	case "rounding":
		return "rounding"
	case "step":
		what = "rounded up: " + what
	case "expiry":
		what = "reservation expired, " + what
	}
	unit := ""
	switch r.Dimension {
	case "ENERGY":
		what, unit = what+" "+liveview.Kwh(r.EnergyMwh)+" kWh", " per kWh"
	case "TIME", "PARKING_TIME":
		what, unit = what+" "+length(r.DurationMs/1000*1000), " per hour"
	}
	if r.Element < 0 {
		return what + ", free of charge"
	}
	if unit != "" {
		what += " at " + decimal(r.PriceNano, 9) + unit
	}
	if r.VATBp >= 0 {
		what += ", " + decimal(int64(r.VATBp), 2) + " % tax"
	}
	return what
}

// splitWords says what began a charging period, by the names of column split.
func splitWords(split string) string {
	return map[string]string{
		"start": "start", "clock": "the price changes at this time of day", "weekday": "the price changes with the day",
		"energy": "the price changes at this energy", "duration": "the price changes after this time",
		"power": "the price changes with the power", "state": "the car begins or stops charging",
	}[split]
}

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
		a := &billAsker{api: *address, token: os.Getenv("WATTLINE_TOKEN")}
		if len(rest) > 0 {
			a.id = rest[0]
		}
		err := a.open(ctx, cfg)
		if err == nil {
			err = a.show(ctx, std.out, *followIt)
			_ = a.store.Close() // nothing was written
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(std.err, "wattline bill: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

// billAsker asks an engine and a store.
type billAsker struct {
	api   string // URL
	token string
	id    string // "": the dearest is looked for
	store *clickhouse.Store
}

func (a *billAsker) open(ctx context.Context, cfg *config.Config) error {
	if a.api == "" {
		addr, running := runningAddr(cfg, "api")
		if !running {
			addr = dialable(cfg.HTTP.Addr)
		}
		a.api = scheme(cfg.HTTP.CertFile != "") + "://" + addr
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
	a.store, err = clickhouse.Open(ctx, c)
	return err
}

// get asks the API. It says false for what is not there.
func (a *billAsker) get(ctx context.Context, path string, v any) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.api+path, nil)
	if err != nil {
		return false, err
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask the engine: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return false, fmt.Errorf("ask the engine: %w", err)
	case res.StatusCode == http.StatusNotFound:
		return false, nil
	case res.StatusCode != http.StatusOK:
		return false, fmt.Errorf("%s answers %s: %s", a.api, res.Status, strings.TrimSpace(string(body)))
	}
	return true, json.Unmarshal(body, v)
}

// bill asks once. Rows first: what they lack the engine has.
func (a *billAsker) bill(ctx context.Context) (*liveview.Bill, error) {
	s := &billed{}
	if a.id == "" {
		var list struct {
			Sessions []billed `json:"sessions"`
		}
		if _, err := a.get(ctx, "/v1/sessions?dearest=1", &list); err != nil {
			return nil, err
		}
		if len(list.Sessions) == 0 {
			return &liveview.Bill{}, nil
		}
		s, a.id = &list.Sessions[0], list.Sessions[0].ID
	}
	found, err := a.get(ctx, "/v1/sessions/"+url.PathEscape(a.id), s)
	if err == nil && !found {
		if found, err = a.get(ctx, "/v1/sessions/"+url.PathEscape(a.id)+"/price", s); err == nil && !found {
			return nil, fmt.Errorf("no session %q is running, and none that has ended has this id", a.id)
		}
	}
	if err != nil {
		return nil, err
	}
	id, ok := engine.ParseSessionID(s.ID)
	if !ok {
		return nil, fmt.Errorf("%s tells the id %q, which is none", a.api, s.ID)
	}
	if s.Final {
		if list, err := a.store.Ended(ctx, []engine.SessionID{id}); err == nil && len(list) == 1 {
			v := &list[0]
			s.ChargePoint, s.Connector, s.Location, s.Zone, s.Start = v.ChargePoint, v.Connector, v.Location, v.Zone, instant(v.StartMs)
		}
	}
	rows, err := a.store.Bill(ctx, id, s.Location)
	if err != nil {
		return nil, err
	}
	if !s.Final { // again, behind the rows: else a row could be there that the price does not have yet
		if found, err := a.get(ctx, "/v1/sessions/"+url.PathEscape(s.ID), s); err != nil {
			return nil, err
		} else if !found {
			return a.bill(ctx) // it has ended meanwhile
		}
	}
	return liveBill(s, rows), nil
}

// show writes the bill once, or again and again.
func (a *billAsker) show(ctx context.Context, out io.Writer, followIt bool) error {
	draw, done := billWriter(out, followIt)
	defer done()
	for {
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		b, err := a.bill(within)
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

// billedView is a session of this process's engine as a bill has it.
func billedView(v *engine.SessionView) *billed {
	b := &billed{
		ID: v.ID, ChargePoint: v.ChargePoint, Connector: v.Connector, Location: v.Location, Status: api.StatusText(v.Status), Start: instant(v.StartMs), Last: instant(v.LastMs),
		EnergyMwh: v.Total.EnergyMwh, Currency: v.Currency, InclMicros: v.Total.InclMicros, Tariff: v.Tariff, Zone: v.Zone, HeldReason: v.HeldReason,
	}
	if !v.Total.ExclUnknown {
		b.ExclMicros = &v.Total.ExclMicros
	}
	return b
}
