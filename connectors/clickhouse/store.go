package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/ends"
)

// Store is a ClickHouse database of ours. All methods may be called from several goroutines.
type Store struct {
	cfg  Config
	conn driver.Conn
	// free holds scratch columns between inserts; as many as there are inserts at the same time.
	charges  sync.Pool
	sessions sync.Pool
	wires    wires
}

var (
	_ engine.Sink   = (*Store)(nil)
	_ engine.Ledger = (*Store)(nil)
	_ ends.Prober   = (*Store)(nil)
)

// Open connects and asks for an answer. Migrate must have run, by whomever, before anything is inserted.
// Errors: the faults of cfg; ErrRefused for a wrong password and for what is wrong with certificates; ErrProtocol for a
// wrong port; what the network says.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	// The connection's database is the server's default, since ours may not exist yet; every statement names ours.
	conn, err := ch.Open(cfg.options(""))
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse %s: %w", strings.Join(cfg.Addrs, ","), classify(err))
	}
	s := &Store{cfg: cfg, conn: conn}
	s.charges.New = func() any { return &chargeColumns{} }
	s.sessions.New = func() any { return &sessionColumns{} }
	s.wires = newWires(cfg.Compression, cfg.MaxConns)
	ctx, cancel := context.WithTimeout(ctx, cfg.QueryTimeout)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		_ = conn.Close()
		if why := cfg.misconfigured(ctx, err); why != "" {
			return nil, briefError{fmt.Errorf("%w: %w", ErrRefused, classify(err)), fmt.Sprintf("reach ClickHouse %s: %s", strings.Join(cfg.Addrs, ","), why)}
		}
		if hint := otherProtocol(cfg.Protocol, cfg.Addrs[0], err); hint != "" {
			return nil, fmt.Errorf("reach ClickHouse %s: %w: %s: %w", strings.Join(cfg.Addrs, ","), ErrProtocol, hint, brief(err))
		}
		return nil, fmt.Errorf("reach ClickHouse %s: %w", strings.Join(cfg.Addrs, ","), classify(brief(err)))
	}
	return s, nil
}

// Close closes the connections. Running statements fail.
func (s *Store) Close() error {
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("close ClickHouse: %w", err)
	}
	return nil
}

// Ping implements ends.Prober.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping ClickHouse: %w", classify(err))
	}
	return nil
}

// table is the full name of one of our tables. The quotes let a database have the name of a keyword. They don't help
// against an alias of the same name, which ClickHouse takes for the database: so aliases in queries begin with wl_.
func (s *Store) table(name string) string { return s.cfg.database() + "." + name }

// exec runs a statement without result.
func (s *Store) exec(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	return classify(s.conn.Exec(ctx, sql))
}

// query runs sql with server-side parameters and hands every row to scan. params and settings may be nil.
func query(ctx context.Context, conn driver.Conn, sql string, params ch.Parameters, settings ch.Settings, scan func(driver.Rows) error) error {
	ctx = ch.Context(ctx, ch.WithParameters(params), ch.WithSettings(settings))
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return classify(err)
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			_ = rows.Close()
			return err
		}
	}
	if err := rows.Close(); err != nil {
		return classify(err)
	}
	return classify(rows.Err())
}

// ask is query for a short question, bounded by QueryTimeout.
func (s *Store) ask(ctx context.Context, sql string, params ch.Parameters, settings ch.Settings, scan func(driver.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	return query(ctx, s.conn, sql, params, settings, scan)
}

// askSynced is ask of a replica that holds every part of the table that any replica acknowledged. Both statements
// have to reach the same server, so in a cluster they get a connection to one address; Config.Addrs must then name
// the replicas themselves, not a balancer.
func (s *Store) askSynced(ctx context.Context, t engine.Table, sql string, params ch.Parameters, scan func(driver.Rows) error) error {
	if s.cfg.Cluster == "" {
		return s.ask(ctx, sql, params, nil, scan)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var errs []error
	for _, addr := range s.cfg.Addrs {
		one := s.cfg
		one.Addrs, one.MaxConns = []string{addr}, 1
		conn, err := ch.Open(one.options(""))
		if err != nil {
			return fmt.Errorf("open ClickHouse %s: %w", addr, classify(err))
		}
		err = classify(conn.Exec(ctx, "SYSTEM SYNC REPLICA "+s.table(t.String())+" LIGHTWEIGHT"))
		if err == nil {
			err = query(ctx, conn, sql, params, nil, scan)
		}
		_ = conn.Close()
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	return errors.Join(errs...)
}

// quote makes a ClickHouse string literal.
func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
