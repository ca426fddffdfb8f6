package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/wattline/wattline/loadgen"
)

// TestQueriesWhileIngesting: clickhouse-go and plain HTTP ask the store, and the API is asked, while an engine writes.
// Every question is answered, what adds up never shrinks, and at the end everybody reads the truth.
func TestQueriesWhileIngesting(t *testing.T) {
	s := newScene(t, "queries")
	cfg := loadgen.City()
	cfg.Seed, cfg.ChargePoints, cfg.Partitions = 7, 500, 4
	cfg.EndMs = cfg.EpochMs + 4*3_600_000
	n, err := loadgen.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := n.Sums(cfg.EndMs+cfg.TickMs, 15*60_000)
	total := want.Readings + want.Duplicates
	e := s.engine("queries", "protobuf", cfg.Partitions, "  block_age_max: 1s", "  blocks_per_second: 100")
	s.must("migrate", "--config", e.config)
	s.loadReference(n, e.config)
	e.start()
	e.ready()

	sent := s.send(n, newProducer(t, s.kafkaClient(), s.readingsTopic(), cfg.Partitions), 1800) // 8 s
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	asked := map[string]*atomic.Int64{}
	failed := make(chan error, 8)
	running := 0
	loop := func(name string, ask func(context.Context) error) {
		count := &atomic.Int64{}
		asked[name] = count
		running++
		go func() {
			for {
				err := ask(ctx)
				if ctx.Err() != nil {
					failed <- nil
					return
				}
				if err != nil {
					failed <- fmt.Errorf("%s, question %d: %w", name, count.Load()+1, err)
					return
				}
				count.Add(1)
			}
		}()
	}
	loop("clickhouse-go", s.askByDriver(t))
	loop("http", s.askByHTTP())
	loop("api", e.askAPI())

	at := s.awaitDurable(90, total, e)
	for name, count := range asked {
		if n := count.Load(); n < 20 {
			t.Errorf("%s was answered %d times while %d of %d readings were written, want 20 at least", name, n, at, total)
		}
		t.Logf("%s: %d answers", name, count.Load())
	}
	sent.wait(t)
	s.awaitDurable(100, total, e)
	cancel()
	for range running {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	s.checkRows(&want)
	s.checkViews(&want)
	t.Logf("%d readings; clean stop in %v", total, e.stop().Round(time.Millisecond))
}

// askByDriver reads views and tables with clickhouse-go and scans what comes into Go's types.
func (s *scene) askByDriver(t *testing.T) func(context.Context) error {
	conn := s.reader().driver(t)
	var before uint64
	return func(ctx context.Context) error {
		var rows uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM charges").Scan(&rows); err != nil {
			return err
		}
		if rows < before {
			return fmt.Errorf("charges had %d rows and has %d", before, rows)
		}
		before = rows
		list, err := conn.Query(ctx, "SELECT toString(session_id), start_time, incl_micros FROM sessions FINAL WHERE status = @status ORDER BY incl_micros DESC LIMIT 100",
			ch.Named("status", "ACTIVE"))
		if err != nil {
			return err
		}
		defer list.Close()
		for list.Next() {
			var id string
			var start time.Time
			var micros int64
			if err := list.Scan(&id, &start, &micros); err != nil {
				return err
			}
			if len(id) != 36 || start.Before(time.UnixMilli(loadgen.DefaultEpochMs)) || micros < 0 {
				return fmt.Errorf("a session that cannot be: %s from %v, %d micros", id, start, micros)
			}
		}
		return list.Err()
	}
}

// askByHTTP asks what a person would type into curl, as the reader.
func (s *scene) askByHTTP() func(context.Context) error {
	reader := s.reader()
	questions := []string{
		"SELECT hour, location, sum(incl) FROM revenue_by_hour GROUP BY hour, location ORDER BY hour, location FORMAT JSON",
		"SELECT sum(energy_kwh) FROM energy_by_site",
		"SELECT * FROM live_sessions ORDER BY incl DESC LIMIT 5 FORMAT Vertical",
		"SELECT * FROM freshness FORMAT JSONEachRow",
		"SELECT count(), uniqExact(session_id) FROM sessions_latest",
		"SELECT * FROM charging_periods LIMIT 10 FORMAT CSVWithNames",
	}
	i := 0
	return func(ctx context.Context) error {
		question := questions[i%len(questions)]
		i++
		out, err := reader.curl(ctx, question)
		if err != nil {
			return fmt.Errorf("%s: %w", question, err)
		}
		if n, distinct, ok := strings.Cut(out, "\t"); ok && strings.HasPrefix(question, "SELECT count(), uniqExact") && n != distinct {
			return fmt.Errorf("sessions_latest has %s rows of %s sessions", n, distinct)
		}
		return nil
	}
}

// askAPI asks the engine for its dearest sessions, and for the first of them by its id.
func (e *engineNode) askAPI() func(context.Context) error {
	return func(context.Context) error {
		var list struct{ Sessions []runningSession }
		code, body := e.get("/v1/sessions?dearest=5", &list)
		if code != http.StatusOK {
			return fmt.Errorf("dearest: %d %s", code, body)
		}
		for i := range list.Sessions[min(1, len(list.Sessions)):] {
			if list.Sessions[i].InclMicros < list.Sessions[i+1].InclMicros {
				return fmt.Errorf("the dearest are not in order: %s", body)
			}
		}
		if len(list.Sessions) == 0 {
			return nil
		}
		// It may have ended since.
		if code, body := e.get("/v1/sessions/"+list.Sessions[0].ID, nil); code != http.StatusOK && code != http.StatusNotFound {
			return fmt.Errorf("session %s: %d %s", list.Sessions[0].ID, code, body)
		}
		return nil
	}
}

// checkViews: the views that sum up have what the ledger has, by plain HTTP and by clickhouse-go.
func (s *scene) checkViews(want *loadgen.Sums) {
	s.t.Helper()
	f := func(query string, want int64) {
		s.t.Helper()
		got, err := s.reader().curl(s.ctx, query)
		if err == nil && got != strconv.FormatInt(want, 10) {
			err = errors.New(got)
		}
		if err != nil {
			s.t.Errorf("%s: %v, want %d", query, err, want)
		}
		var scanned int64
		if err := s.reader().driver(s.t).QueryRow(s.ctx, query).Scan(&scanned); err != nil || scanned != want {
			s.t.Errorf("clickhouse-go: %s: %d, %v, want %d", query, scanned, err, want)
		}
	}
	f("SELECT toInt64(sum(incl) * 1000000) FROM revenue_by_hour", want.RowsInclMicros)
	f("SELECT toInt64(sum(incl) * 1000000) FROM charging_periods", want.RowsInclMicros)
	f("SELECT toInt64(sum(energy_kwh) * 1000000) FROM energy_by_site", want.EnergyMwh)
	f("SELECT toInt64(sum(incl) * 1000000) FROM sessions_latest", want.FinishedInclMicros)
	f("SELECT toInt64(count()) FROM sessions_latest", want.Sessions)
	f("SELECT toInt64(count()) FROM live_sessions", 0)
	f("SELECT toInt64(sum(readings)) FROM freshness", want.Readings+want.Duplicates)
}
