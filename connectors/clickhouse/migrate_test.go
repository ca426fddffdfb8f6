package clickhouse

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
)

func TestMigrate(t *testing.T) {
	s := newStore(t)
	list, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	mustInsert(t, s, insertOf(1, makeCharges(30, 1, 1)))
	for range 2 {
		if err := s.Migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	applied := text(t, s, "SELECT arrayStringConcat(groupArray(name), ' ') FROM (SELECT name FROM "+s.table("schema_version")+" ORDER BY version)")
	var want []string
	for _, m := range list {
		want = append(want, m.name)
	}
	if diff := cmp.Diff(strings.Join(want, " "), applied); diff != "" {
		t.Errorf("applied, each once (-want +got):\n%s", diff)
	}
	if n := text(t, s, "SELECT toString(count()) FROM "+s.table("charges")); n != "30" {
		t.Errorf("%s rows after migrating again, want 30", n)
	}
}

// Engines that start at the same moment migrate at the same moment.
func TestMigrateTogether(t *testing.T) {
	cfg := testConfig(t)
	views := []View{
		{Name: "v1", Definition: "(n UInt64 COMMENT 'rows') AS SELECT count() AS n FROM {{.Database}}.charges", Comment: "c"},
		{Name: "v2", Definition: "(n UInt64 COMMENT 'rows') AS SELECT n FROM {{.Database}}.v1", Comment: "c"},
	}
	var wg sync.WaitGroup
	for range 6 {
		s := open(t, cfg)
		wg.Go(func() {
			for range 3 {
				if err := s.Migrate(t.Context(), views); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := open(t, cfg)
	mustInsert(t, s, insertOf(1, makeCharges(3, 1, 1)))
	if got := text(t, s, "SELECT toString(n) FROM "+s.table("v2")); got != "3" {
		t.Errorf("the view says %s, want 3", got)
	}
}

// A migration that was cut off anywhere goes on where it stopped.
func TestMigrateInterrupted(t *testing.T) {
	list, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= len(list); cut++ {
		s := open(t, testConfig(t))
		if err := s.exec(t.Context(), "CREATE DATABASE "+s.cfg.database()); err != nil {
			t.Fatal(err)
		}
		for i, m := range list[:cut] {
			sql, err := expand(m.name, m.sql, s.cfg.schemaData())
			if err != nil {
				t.Fatal(err)
			}
			run := func(sql string) {
				if err := s.exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			if run(sql); i < cut-1 { // the last one was made but not noted
				run("INSERT INTO " + s.table("schema_version") + " (version, name) VALUES (" + string(rune('0'+m.version)) + ", 'x')")
			}
		}
		if err := s.Migrate(t.Context(), nil); err != nil {
			t.Errorf("cut after %d files: %v", cut, err)
		}
		mustInsert(t, s, insertOf(1, makeCharges(3, 1, 1)))
	}
}

func TestNewerSchemaRefused(t *testing.T) {
	s := newStore(t)
	if err := s.exec(t.Context(), "INSERT INTO "+s.table("schema_version")+" (version, name) VALUES (999, 'future')"); err != nil {
		t.Fatal(err)
	}
	view := View{Name: "v", Definition: "(a UInt8 COMMENT 'x') AS SELECT 1 AS a", Comment: "c"}
	err := s.Migrate(t.Context(), []View{view})
	if !errors.Is(err, ErrNewerSchema) || !strings.Contains(err.Error(), "has schema 999") {
		t.Errorf("got %v", err)
	}
	if n := text(t, s, "SELECT toString(count()) FROM system.tables WHERE name = 'v' AND database = '"+s.cfg.Database+"'"); n != "0" {
		t.Error("a refused database was changed")
	}
}

// Every table and column says what it is.
func TestComments(t *testing.T) {
	s := newStore(t)
	const missing = "SELECT arrayStringConcat(groupArray(name), ' ') FROM "
	if got := text(t, s, missing+"(SELECT name FROM system.tables WHERE comment = '' AND database = '"+s.cfg.Database+"')"); got != "" {
		t.Errorf("tables without comment: %s", got)
	}
	if got := text(t, s, missing+"(SELECT table || '.' || name AS name FROM system.columns WHERE comment = '' AND database = '"+s.cfg.Database+"')"); got != "" {
		t.Errorf("columns without comment: %s", got)
	}
}

// What Insert sends is what the tables have: names, order and types of all columns that are not made by the store.
func TestColumnsMatchSchema(t *testing.T) {
	s := newStore(t)
	type nt struct{ Name, Type string }
	f := func(table string, want []nt) {
		t.Helper()
		var got []nt
		err := query(t.Context(), s.conn, "SELECT name, type FROM system.columns WHERE database = '"+s.cfg.Database+"' AND table = '"+table+
			"' AND default_kind = '' ORDER BY position", nil, nil, func(r driver.Rows) error {
			var c nt
			err := r.Scan(&c.Name, &c.Type)
			got = append(got, c)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-sent +table):\n%s", table, diff)
		}
	}
	var charges, sessions, blocks []nt
	for _, c := range types(chargeList()) {
		charges = append(charges, nt{c.Name, c.Type})
	}
	for _, c := range types(sessionList()) {
		sessions = append(sessions, nt{c.Name, c.Type})
	}
	for _, c := range types(blockList()) {
		blocks = append(blocks, nt{c.Name, c.Type})
	}
	f("charges", charges)
	f("sessions", sessions)
	f("blocks", blocks)
}

func TestTableSettings(t *testing.T) {
	cfg := testConfig(t)
	full := func(s *Store, table engine.Table) string {
		return text(t, s, "SELECT engine_full FROM system.tables WHERE database = '"+cfg.Database+"' AND name = '"+table.String()+"'")
	}
	for _, noFsync := range []bool{false, true, false} {
		cfg.NoFsync = noFsync
		s := open(t, cfg)
		if err := s.Migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for table := engine.TableCharges; table <= engine.TableBlocks; table++ {
			for _, want := range append(cfg.fsyncSettings(), "non_replicated_deduplication_window = 1000000") {
				if got := full(s, table); !strings.Contains(got, want) {
					t.Errorf("NoFsync %v: %s has no %q: %s", noFsync, table, want, got)
				}
			}
		}
	}
}

// The aliases are exact at the edges of their integers, and flags have their names.
func TestAliases(t *testing.T) {
	s := newStore(t)
	charges := makeCharges(3, 1, 1)
	c := &charges.Charge[0]
	c.ExclMicros, c.InclMicros, c.EnergyMwh, c.DurationMs, c.PriceNano, c.VAT = -1, 1<<63-1, 1_234_567, 3_600_001, 250_000_001, 2155
	mustInsert(t, s, insertOf(1, charges))
	charges.Charge[0].VAT = -1
	charges.Charge[0].ExclUnknown = true
	mustInsert(t, s, insertOf(2, charges))
	f := func(sql, want string) {
		t.Helper()
		if got := text(t, s, sql); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", sql, got, want)
		}
	}
	row := "SELECT toString((excl, incl, energy_kwh, duration_s, price, vat_percent)) FROM " + s.table("charges") + " WHERE line = 0 AND block_first = "
	f(row+"1", "(-0.000001,9223372036854.775807,1.234567,3600.001,0.250000001,21.55)")
	f(row+"2", "(NULL,9223372036854.775807,1.234567,3600.001,0.250000001,NULL)")
	sessions := makeSessions(1, 7)
	sessions.Flags[0] = engine.FlagDuplicate | engine.FlagGlitch | engine.FlagTrimmed
	mustInsert(t, s, insertOf(1, sessions))
	f("SELECT toString(flag_names) FROM "+s.table("sessions"), "['duplicate','glitch','trimmed']")
}

// A cluster's schema cannot be run on the embedded engine; that it is replicated everywhere can be read.
func TestClusterSchema(t *testing.T) {
	cfg := Config{Cluster: "prod"}.withDefaults()
	list, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		sql, err := expand(m.name, m.sql, cfg.schemaData())
		if err != nil {
			t.Fatal(err)
		}
		wants := []string{" ON CLUSTER `prod`\n"}
		makesTable := strings.Contains(sql, "CREATE TABLE")
		if makesTable {
			wants = append(wants, "ENGINE = Replicated", "'/clickhouse/tables/{uuid}/{shard}', '{replica}'")
		}
		for _, want := range wants {
			if !strings.Contains(sql, want) {
				t.Errorf("%s has no %q", m.name, want)
			}
		}
		if m.version > 0 && makesTable && !strings.Contains(sql, "replicated_deduplication_window = 1000000, replicated_deduplication_window_seconds = 604800") {
			t.Errorf("%s: tokens do not live long enough", m.name)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	f := func(c Config, want ...string) {
		t.Helper()
		err := c.Validate()
		if len(want) == 0 {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			return
		}
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), "clickhouse: "+w+": ") {
				t.Errorf("%+v: want a fault of %s, got %v", c, w, err)
			}
		}
	}
	f(Config{Addrs: []string{"127.0.0.1:8123"}})
	f(Config{Addrs: []string{"a:9000", "b:9000"}, Protocol: Native, Cluster: "prod", Database: "x_1", Compression: "none"})
	f(Config{}, "Addrs")
	f(Config{Addrs: []string{"nohost"}}, "Addrs[0]")
	f(Config{Addrs: []string{"a:1", "b:1"}}, "Addrs")
	f(Config{
		Addrs: []string{"a:1"}, Protocol: "grpc", Database: "a; DROP", Cluster: "x y", DialTimeout: -1, InsertTimeout: 1, QueryTimeout: -5,
		MaxConns: -1, Compression: "gzip",
	}, "Protocol", "Database", "Cluster", "DialTimeout", "InsertTimeout", "QueryTimeout", "MaxConns", "Compression")
}
