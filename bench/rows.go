package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/connectors/clickhouse"
)

// RowsConfig is a measurement of questions over many rows of charges while more are inserted. DefaultRows gives the one
// that figures are quoted of.
type RowsConfig struct {
	Ends // Kafka is not used
	// Rows is how many rows of charges there are before the first question: a month of the sites.
	Rows int
	// Sites is how many sites they are of.
	Sites int
	// ChargePointsPerSite is how many charge points a site has.
	ChargePointsPerSite int
	// BlockRows is how many rows an insert has, as an engine's block.
	BlockRows int
	// Rounds is how often each question is asked, after one time that does not count.
	Rounds int
	// IngestRowsPerS is how many rows are inserted in each second while questions are asked, in one insert.
	IngestRowsPerS int
}

// DefaultRows is a month of 200 sites of 12 charge points: 10 M rows, a row a slice of 15 minutes and price component,
// in 148,800 sums by site and hour.
func DefaultRows() RowsConfig {
	return RowsConfig{Rows: 10_000_000, Sites: 200, ChargePointsPerSite: 12, BlockRows: 100_000, Rounds: 21, IngestRowsPerS: 10_000}
}

// Validate joins all faults of the Config, each with the name of its field.
func (c *RowsConfig) Validate() error {
	faults := []error{c.validate()}
	hold := func(field string, value, low, high int) {
		if value < low || value > high {
			faults = append(faults, fmt.Errorf("bench.%s: %d is not in %d..%d", field, value, low, high))
		}
	}
	hold("Rows", c.Rows, 1, 1_000_000_000)
	hold("Sites", c.Sites, 1, 100_000)
	hold("ChargePointsPerSite", c.ChargePointsPerSite, 1, 1_000)
	hold("BlockRows", c.BlockRows, 1, 1_000_000)
	hold("Rounds", c.Rounds, 1, 10_000)
	hold("IngestRowsPerS", c.IngestRowsPerS, 0, 1_000_000)
	return errors.Join(faults...)
}

// Question is one question's times.
type Question struct {
	Name   string  `json:"name"`
	Client string  `json:"client"` // clickhouse-go or HTTP
	Groups int     `json:"groups"` // rows of the answer, all of which were read and compared
	MinMs  float64 `json:"min_ms"`
	Median float64 `json:"median_ms"`
	MaxMs  float64 `json:"max_ms"`
	GoalMs float64 `json:"goal_ms"`
}

// RowsResult is a measurement.
type RowsResult struct {
	Rows         int        `json:"rows"`
	Sites        int        `json:"sites"`
	Rounds       int        `json:"rounds"`
	IngestRows   int        `json:"ingest_rows_per_s"`
	Ingested     int64      `json:"ingested"` // while questions were asked
	Parts        int64      `json:"parts"`    // of table charges when the questions began
	InsertPerS   float64    `json:"insert_rows_per_s"`
	SumsEqual    bool       `json:"sums_equal"`
	Questions    []Question `json:"questions"`
	Host         Host       `json:"host"`
	StoreVersion string     `json:"clickhouse"`
}

const rowsGoalMs = 200

// RunRows measures. An error that wraps ErrWrong says which answer was wrong.
func RunRows(ctx context.Context, cfg RowsConfig) (res *RowsResult, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := newStage(ctx, &cfg.Ends, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	db := s.ch
	db.Database = s.database(0)
	if err := migrate(ctx, &db); err != nil {
		return nil, err
	}
	store, err := clickhouse.Open(ctx, db.config())
	if err != nil {
		return nil, err
	}
	defer store.Close()
	conn, err := db.connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	res = &RowsResult{Rows: cfg.Rows, Sites: cfg.Sites, Rounds: cfg.Rounds, IngestRows: cfg.IngestRowsPerS, Host: describeHost(), StoreVersion: s.storeVersion}
	// As curl does: Go's own client would ask for gzip, which takes longer than the answer.
	plain := &http.Transport{DisableCompression: true}
	defer plain.CloseIdleConnections()
	r := &rows{cfg: &cfg, db: &db, store: store, conn: conn, http: &http.Client{Transport: plain}, made: newRowMaker(&cfg), res: res}
	return res, r.run(ctx)
}

// rows is RunRows at work.
type rows struct {
	cfg   *RowsConfig
	db    *chAddr
	store *clickhouse.Store
	conn  driver.Conn
	http  *http.Client
	made  *rowMaker
	res   *RowsResult
}

func (r *rows) run(ctx context.Context) error {
	if err := r.fill(ctx); err != nil {
		return err
	}
	err := r.conn.QueryRow(ctx, "SELECT toInt64(count()) FROM system.parts WHERE database = '"+r.db.Database+"' AND table = 'charges' AND active").Scan(&r.res.Parts)
	if err != nil {
		return fmt.Errorf("count the parts: %w", err)
	}
	ingest, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.ingest(ingest) }()
	err = r.ask(ctx)
	stop()
	if err = errors.Join(err, <-ended); err == nil {
		r.res.SumsEqual = true
	}
	return err
}

// fill inserts the rows that are asked for.
func (r *rows) fill(ctx context.Context) error {
	var done atomic.Int64
	stop := make(chan struct{})
	defer close(stop)
	go r.cfg.tell("inserting rows", "rows", int64(r.cfg.Rows), &done, stop)
	began := time.Now()
	for left := r.cfg.Rows; left > 0; {
		in := r.made.insert(min(left, r.cfg.BlockRows), true)
		n := len(in.Charges.Position)
		if err := r.store.Insert(ctx, in); err != nil {
			return err
		}
		left -= n
		done.Add(int64(n))
	}
	r.res.InsertPerS = float64(r.cfg.Rows) / time.Since(began).Seconds()
	return nil
}

// ingest inserts rows of later days, an insert a second, until ctx ends.
func (r *rows) ingest(ctx context.Context) error {
	if r.cfg.IngestRowsPerS == 0 {
		return nil
	}
	r.made.nextMonth()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		in := r.made.insert(r.cfg.IngestRowsPerS, false)
		// One that has begun is not broken off.
		if err := r.store.Insert(context.WithoutCancel(ctx), in); err != nil {
			return err
		}
		r.res.Ingested += int64(len(in.Charges.Position))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// ask asks every question by both clients and compares each answer with the sums of what was inserted.
func (r *rows) ask(ctx context.Context) error {
	const sums = "SELECT location, toInt64(toUnixTimestamp(toStartOfHour(from_time))), sum(energy_mwh), sum(incl_micros) FROM {db}.charges "
	const group = " GROUP BY location, toStartOfHour(from_time)"
	at := func(ms int64) string { return fmt.Sprintf("toDateTime(%d, 'UTC')", ms/1000) }
	firstMs, endMs := r.made.firstMs, r.made.filledMs
	dayMs := firstMs + 10*24*hourMs
	if dayMs >= endMs {
		dayMs = firstMs // few rows: their first day
	}
	questions := []struct {
		name, sql    string
		fromMs, toMs int64
	}{
		{
			"sums by site and hour, all rows",
			sums + "WHERE toStartOfHour(from_time) < " + at(endMs) + group, firstMs, endMs,
		},
		{
			"sums by site and hour, one day",
			sums + "WHERE toStartOfHour(from_time) >= " + at(dayMs) + " AND toStartOfHour(from_time) < " + at(dayMs+24*hourMs) + group,
			dayMs, min(dayMs+24*hourMs, endMs),
		},
	}
	for _, q := range questions {
		sql := strings.ReplaceAll(q.sql, "{db}", r.db.Database)
		want := r.made.sums(q.fromMs, q.toMs)
		for _, client := range []struct {
			name string
			ask  func(context.Context, string) (answer, time.Duration, error)
		}{{"clickhouse-go", r.askDriver}, {"HTTP", r.askHTTP}} {
			r.cfg.note(q.name + ", by " + client.name)
			var times []float64
			groups := 0
			for round := range r.cfg.Rounds + 1 {
				got, took, err := client.ask(ctx, sql)
				if err != nil {
					return fmt.Errorf("%s, by %s: %w", q.name, client.name, err)
				}
				if err := got.equal(want); err != nil {
					return fmt.Errorf("%s, by %s: %w", q.name, client.name, err)
				}
				groups = len(got)
				if round > 0 {
					times = append(times, float64(took)/float64(time.Millisecond))
				}
			}
			low, mid, high := spread(times)
			r.res.Questions = append(r.res.Questions, Question{q.name, client.name, groups, low, mid, high, rowsGoalMs})
		}
	}
	return nil
}

// askDriver asks by clickhouse-go and reads the whole answer.
func (r *rows) askDriver(ctx context.Context, sql string) (answer, time.Duration, error) {
	began := time.Now()
	res, err := r.conn.Query(ctx, sql)
	if err != nil {
		return nil, 0, err
	}
	var lines []answerLine
	for res.Next() {
		var l answerLine
		if err := res.Scan(&l.site, &l.hour, &l.energyMwh, &l.inclMicros); err != nil {
			return nil, 0, errors.Join(err, res.Close())
		}
		lines = append(lines, l)
	}
	took := time.Since(began)
	got := make(answer, len(lines))
	for _, l := range lines {
		got[l.siteHour] = l.siteSum
	}
	return got, took, errors.Join(res.Err(), res.Close())
}

// askHTTP asks by the plain HTTP interface, as curl does, and reads the whole answer.
func (r *rows) askHTTP(ctx context.Context, sql string) (answer, time.Duration, error) {
	began := time.Now()
	u := url.URL{Scheme: "http", Host: r.db.Addr, Path: "/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(sql+" FORMAT TabSeparated"))
	if err != nil {
		return nil, 0, err
	}
	req.SetBasicAuth(r.db.User, r.db.Password)
	res, err := r.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, 0, err
	}
	took := time.Since(began)
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("HTTP status %s: %.500s", res.Status, body)
	}
	got := answer{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 4 {
			return nil, 0, fmt.Errorf("line %.200q has %d fields, want 4", lines.Text(), len(f))
		}
		hour, err1 := strconv.ParseInt(f[1], 10, 64)
		energy, err2 := strconv.ParseInt(f[2], 10, 64)
		incl, err3 := strconv.ParseInt(f[3], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, 0, err
		}
		got[siteHour{f[0], hour}] = siteSum{energy, incl}
	}
	return got, took, lines.Err()
}

// answer is sums by site and hour.
type answer map[siteHour]siteSum

type siteHour struct {
	site string
	hour int64 // s since 1970 UTC
}

type siteSum struct{ energyMwh, inclMicros int64 }

// answerLine is one of them as it comes.
type answerLine struct {
	siteHour
	siteSum
}

func (a answer) equal(want answer) error {
	if len(a) != len(want) {
		return fmt.Errorf("%w: %d sums came, %d are true", ErrWrong, len(a), len(want))
	}
	for g, s := range a {
		if want[g] != s {
			return fmt.Errorf("%w: site %s, hour %d: %+v came, %+v is true", ErrWrong, g.site, g.hour, s, want[g])
		}
	}
	return nil
}

// WriteTable prints the result for people.
func (r *RowsResult) WriteTable(w io.Writer) {
	p := printer{w: w}
	p.line("rows: questions over %s rows of charges of %d sites, %s rows a second inserted meanwhile (%s in all)",
		thousands(int64(r.Rows)), r.Sites, thousands(int64(r.IngestRows)), thousands(r.Ingested))
	p.line("  %s; %d cores, load %.1f when it began; ClickHouse %s; %d parts; filled at %s rows/s", r.Host.CPU, r.Host.Cores, r.Host.Load,
		r.StoreVersion, r.Parts, thousands(int64(r.InsertPerS)))
	p.line("")
	p.line("%-34s %-14s %8s %10s %10s %10s  %s", "ms, whole answer read", "", "sums", "min", "median", "max", "goal")
	for _, q := range r.Questions {
		p.line("%-34s %-14s %8s %10.1f %10.1f %10.1f  < %.0f", q.Name, q.Client, thousands(int64(q.Groups)), q.MinMs, q.Median, q.MaxMs, q.GoalMs)
	}
	p.line("")
	if r.SumsEqual {
		p.line("Every sum of every answer is equal to those of what was inserted.")
	} else {
		p.line("AN ANSWER IS WRONG.")
	}
}
