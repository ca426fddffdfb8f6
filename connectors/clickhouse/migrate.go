package clickhouse

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"text/template"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/engine"
)

// schemaFiles are NNNN_name.sql: one idempotent statement each, applied in order, never changed once released.
// 0000 makes the table that remembers the others.
//
//go:embed schema/*.sql
var schemaFiles embed.FS

// View is a named view: what analysts may rely on.
type View struct {
	Name string
	// Definition is "(column Type COMMENT '...', ...) AS SELECT ..." with tables named as {{.Database}}.charges.
	Definition string
	Comment    string // what a row is
}

// migration is one schema file.
type migration struct {
	version int
	name    string
	sql     string // a template
}

// migrations lists the schema files in order. Their names are ours: a malformed one is a bug found by the tests.
func migrations() ([]migration, error) {
	entries, err := schemaFiles.ReadDir("schema")
	if err != nil {
		return nil, fmt.Errorf("list schema files: %w", err)
	}
	var list []migration
	for _, e := range entries {
		number, _, ok := strings.Cut(e.Name(), "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || version != len(list) {
			return nil, fmt.Errorf("schema file %s: want number %04d", e.Name(), len(list))
		}
		text, err := schemaFiles.ReadFile(path.Join("schema", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read schema file %s: %w", e.Name(), err)
		}
		list = append(list, migration{version: version, name: strings.TrimSuffix(e.Name(), ".sql"), sql: string(text)})
	}
	return list, nil
}

// schemaData is what schema files and views may refer to.
type schemaData struct {
	Database           string
	OnCluster          string // " ON CLUSTER name" or nothing
	MergeTree          string // engine clauses
	ReplacingMergeTree string
	Settings           string // table settings that make tokens live long and inserts durable
	FlagNames          string // array literal: names of the flag bits from 0
}

func (c Config) schemaData() schemaData {
	d := schemaData{Database: c.database(), MergeTree: "MergeTree", ReplacingMergeTree: "ReplacingMergeTree(version)"}
	if c.Cluster != "" {
		// {uuid}, {shard} and {replica} are the server's macros.
		const keeper = `'/clickhouse/tables/{uuid}/{shard}', '{replica}'`
		d.OnCluster = " ON CLUSTER `" + c.Cluster + "`"
		d.MergeTree = "ReplicatedMergeTree(" + keeper + ")"
		d.ReplacingMergeTree = "ReplicatedReplacingMergeTree(" + keeper + ", version)"
	}
	d.Settings = strings.Join(c.tableSettings(), ", ")
	var names []string
	for _, n := range (^engine.SessionFlags(0)).Names() {
		names = append(names, quote(n))
	}
	d.FlagNames = "[" + strings.Join(names, ", ") + "]"
	return d
}

// tableSettings: tokens are remembered for a million inserts of a table, which is weeks, and on replicas for seven
// days; the defaults are none and an hour.
func (c Config) tableSettings() []string {
	list := []string{"non_replicated_deduplication_window = 1000000"}
	if c.Cluster != "" {
		list = []string{"replicated_deduplication_window = 1000000", "replicated_deduplication_window_seconds = 604800"}
	}
	return append(list, c.fsyncSettings()...)
}

func (c Config) fsyncSettings() []string {
	on := "1"
	if c.NoFsync {
		on = "0"
	}
	return []string{"fsync_after_insert = " + on, "fsync_part_directory = " + on}
}

func expand(name, text string, d schemaData) (string, error) {
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("schema file %s: %w", name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, d); err != nil {
		return "", fmt.Errorf("schema file %s: %w", name, err)
	}
	return b.String(), nil
}

// Migrate makes the database, applies the schema files that it does not have, brings table settings in line with
// the configuration, and replaces the views. Several programs may do it at the same time. ErrNewerSchema when the
// database is ahead: nothing was touched then.
func (s *Store) Migrate(ctx context.Context, views []View) error {
	list, err := migrations()
	if err != nil {
		return err
	}
	applied, err := s.schemaVersion(ctx)
	if err != nil {
		return err
	}
	if newest := list[len(list)-1].version; applied > newest {
		return fmt.Errorf("%w: database %s has schema %d, this program knows %d; run a newer program or name another database",
			ErrNewerSchema, s.cfg.Database, applied, newest)
	}
	if applied < 0 {
		if err := s.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+s.cfg.database()+s.cfg.schemaData().OnCluster); err != nil {
			return fmt.Errorf("create database %s: %w", s.cfg.Database, err)
		}
	}
	for _, m := range list {
		if m.version > applied {
			if err := s.apply(ctx, m); err != nil {
				if errors.Is(err, ErrRefused) {
					err = fmt.Errorf("%w; the schema is older than this program: run `wattline migrate` as a user that may CREATE and ALTER, or give %s the right", err, s.cfg.User)
				}
				return err
			}
		}
	}
	if err := s.alignSettings(ctx); err != nil {
		return err
	}
	for _, v := range views {
		if err := s.replaceView(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// schemaVersion returns the greatest schema number that the database has, -1 if it has none of ours.
func (s *Store) schemaVersion(ctx context.Context) (int, error) {
	found := uint64(0)
	err := s.ask(ctx, "SELECT count() FROM system.tables WHERE database = "+quote(s.cfg.Database)+" AND name = 'schema_version'",
		nil, nil, func(r driver.Rows) error { return r.Scan(&found) })
	if err != nil {
		return 0, fmt.Errorf("look for the schema of database %s: %w", s.cfg.Database, err)
	}
	if found == 0 {
		return -1, nil
	}
	rows, version := uint64(0), uint32(0)
	err = s.ask(ctx, "SELECT count(), max(version) FROM "+s.table("schema_version"), nil, nil,
		func(r driver.Rows) error { return r.Scan(&rows, &version) })
	if err != nil {
		return 0, fmt.Errorf("read the schema version of database %s: %w", s.cfg.Database, err)
	}
	if rows == 0 { // a first migration was cut off between the table and its first row
		return -1, nil
	}
	return int(version), nil
}

// apply runs one schema file and notes it. A crash in between repeats the file, which changes nothing.
func (s *Store) apply(ctx context.Context, m migration) error {
	sql, err := expand(m.name, m.sql, s.cfg.schemaData())
	if err != nil {
		return err
	}
	if err := s.exec(ctx, sql); err != nil {
		return fmt.Errorf("apply schema %s to database %s: %w", m.name, s.cfg.Database, err)
	}
	note := fmt.Sprintf("INSERT INTO %s (version, name) VALUES (%d, %s)", s.table("schema_version"), m.version, quote(m.name))
	if err := s.exec(ctx, note); err != nil {
		return fmt.Errorf("note schema %s in database %s: %w", m.name, s.cfg.Database, err)
	}
	return nil
}

// alignSettings changes fsync of tables that were made with another Config.NoFsync.
func (s *Store) alignSettings(ctx context.Context) error {
	want := s.cfg.fsyncSettings()
	for t := engine.TableCharges; t <= engine.TableBlocks; t++ {
		full := ""
		err := s.ask(ctx, "SELECT engine_full FROM system.tables WHERE database = "+quote(s.cfg.Database)+" AND name = "+quote(t.String()),
			nil, nil, func(r driver.Rows) error { return r.Scan(&full) })
		if err != nil {
			return fmt.Errorf("read settings of table %s: %w", t, err)
		}
		if strings.Contains(full, want[0]) && strings.Contains(full, want[1]) {
			continue
		}
		alter := "ALTER TABLE " + s.table(t.String()) + s.cfg.schemaData().OnCluster + " MODIFY SETTING " + strings.Join(want, ", ")
		if err := s.exec(ctx, alter); err != nil {
			return fmt.Errorf("change settings of table %s: %w", t, err)
		}
	}
	return nil
}

func (s *Store) replaceView(ctx context.Context, v View) error {
	d := s.cfg.schemaData()
	definition, err := expand(v.Name, v.Definition, d)
	if err != nil {
		return err
	}
	sql := "CREATE OR REPLACE VIEW " + s.table(v.Name) + d.OnCluster + "\n" + definition + "\nCOMMENT " + quote(v.Comment)
	if err := s.exec(ctx, sql); err != nil {
		return fmt.Errorf("create view %s: %w", v.Name, err)
	}
	return nil
}
