package clickhouse

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Inspection is what a store says of itself, for `wattline config check`.
type Inspection struct {
	Version     string
	Schema      int               // newest schema file that was applied; -1: there are no tables of ours
	NewestKnown int               // the newest that this program has
	Tables      map[string]string // the engine clause of each of our tables
	Wanted      []string          // settings that each has to have, as "name = value"
	Denied      []string          // rights that the user has not, as SQL names them
	GrantsErr   error             // why nobody says that
	Ahead       time.Duration     // of the store's clock to ours; half of RoundTrip may be wrong with it
	RoundTrip   time.Duration
	FreeBytes   uint64 // of the disk that has least, in bytes
	TotalBytes  uint64
}

// Inspect asks how the store is now. It changes nothing.
func (s *Store) Inspect(ctx context.Context) (*Inspection, error) {
	list, err := migrations()
	if err != nil {
		return nil, err
	}
	in := &Inspection{NewestKnown: list[len(list)-1].version, Tables: map[string]string{}, Wanted: s.cfg.tableSettings()}
	if in.Schema, err = s.schemaVersion(ctx); err != nil {
		return nil, err
	}
	var now time.Time
	began := time.Now()
	err = s.ask(ctx, "SELECT version(), now64(3, 'UTC')", nil, nil, func(r driver.Rows) error { return r.Scan(&in.Version, &now) })
	if err != nil {
		return nil, fmt.Errorf("ask for the version: %w", err)
	}
	in.RoundTrip = time.Since(began)
	in.Ahead = now.Sub(began.Add(in.RoundTrip / 2))
	err = s.ask(ctx, "SELECT name, engine_full FROM system.tables WHERE database = "+quote(s.cfg.Database)+" AND name IN ('charges', 'sessions', 'blocks')",
		nil, nil, func(r driver.Rows) error {
			var name, full string
			err := r.Scan(&name, &full)
			in.Tables[name] = full
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("ask for the tables: %w", err)
	}
	err = s.ask(ctx, "SELECT free_space, total_space FROM system.disks WHERE total_space > 0 ORDER BY free_space / total_space LIMIT 1", nil, nil,
		func(r driver.Rows) error { return r.Scan(&in.FreeBytes, &in.TotalBytes) })
	if err != nil {
		return nil, fmt.Errorf("ask for the disks: %w", err)
	}
	in.Denied, in.GrantsErr = s.denied(ctx)
	return in, nil
}

// rights are what an engine does with its database.
func rights() []string {
	return []string{"SELECT", "INSERT", "CREATE TABLE", "CREATE VIEW", "DROP VIEW", "ALTER"}
}

// denied lists the rights that the user has not. Servers before 24.5 have no CHECK GRANT.
func (s *Store) denied(ctx context.Context) ([]string, error) {
	var list []string
	for _, right := range rights() {
		has := uint8(0)
		err := s.ask(ctx, "CHECK GRANT "+right+" ON "+s.cfg.database()+".*", nil, nil, func(r driver.Rows) error { return r.Scan(&has) })
		if err != nil {
			return nil, fmt.Errorf("ask for the rights of %s: %w", s.cfg.User, err)
		}
		if has == 0 {
			list = append(list, right)
		}
	}
	return list, nil
}

// HasSetting says whether the engine clause of a table has a setting, as "name = value".
func HasSetting(engineFull, setting string) bool {
	name, value, _ := strings.Cut(setting, " = ")
	found := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + ` = ([^,\s]+)`).FindStringSubmatch(engineFull)
	return found != nil && found[1] == value
}
