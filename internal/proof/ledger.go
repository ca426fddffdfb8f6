package proof

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/verify"
)

// Ledger is what verify asks of ClickHouse. Blocks and ProjectionsEqual are the store's own.
type Ledger struct {
	*clickhouse.Store
	conn     driver.Conn
	database string // quoted, as SQL has it
}

var (
	_ verify.Blocks = (*Ledger)(nil)
	_ verify.Rows   = (*Ledger)(nil)
)

// NewLedger asks the store of cfg, over a connection of its own. Errors: that connection's configuration.
func NewLedger(store *clickhouse.Store, cfg clickhouse.Config) (*Ledger, error) {
	o := &ch.Options{
		Addr: cfg.Addrs, Auth: ch.Auth{Username: cfg.User, Password: cfg.Password.Reveal()}, TLS: cfg.TLS, DialTimeout: cfg.DialTimeout, ReadTimeout: cfg.QueryTimeout,
		Compression: &ch.Compression{Method: ch.CompressionLZ4},
	}
	if cfg.Protocol == clickhouse.HTTP {
		o.Protocol = ch.HTTP
	}
	conn, err := ch.Open(o)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	return &Ledger{Store: store, conn: conn, database: "`" + cfg.Database + "`"}, nil
}

// Close closes the Ledger's own connection; the store is the caller's.
func (l *Ledger) Close() error { return l.conn.Close() }

// Partitions implements verify.Blocks. (The store's own lists those that have blocks.)
func (l *Ledger) Partitions(ctx context.Context) ([]engine.Partition, error) {
	from := func(table string) string { return "SELECT DISTINCT topic, partition FROM " + l.database + "." + table }
	sql := "SELECT DISTINCT toString(topic), partition FROM (" + from("blocks") + " UNION ALL " + from("charges") + " UNION ALL " + from("sessions") +
		") ORDER BY 1, 2"
	var list []engine.Partition
	for p, err := range stream(ctx, l.conn, sql, nil, func(r driver.Rows) (p engine.Partition, err error) {
		err = r.Scan(&p.Topic, &p.Number)
		return p, err
	}) {
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// Sums implements verify.Blocks.
func (l *Ledger) Sums(ctx context.Context, p engine.Partition) iter.Seq2[verify.BlockSums, error] {
	return func(yield func(verify.BlockSums, error) bool) {
		for b, err := range l.BlockSums(ctx, p) {
			if !yield(verify.BlockSums(b), err) {
				return
			}
		}
	}
}

// Doubled implements verify.Rows.
func (l *Ledger) Doubled(ctx context.Context, p engine.Partition) iter.Seq2[verify.RowKey, error] {
	sql := "SELECT session_id, position, line, toInt64(count()) AS wl_times, min(block_first) FROM " + l.database + ".charges" +
		" WHERE topic = {topic:String} AND partition = {partition:Int32} GROUP BY session_id, position, line HAVING wl_times > 1"
	return stream(ctx, l.conn, sql, partitionParameters(p), func(r driver.Rows) (k verify.RowKey, err error) {
		var id uuid.UUID
		err = r.Scan(&id, &k.Position, &k.Line, &k.Times, &k.Block)
		k.Session = id
		return k, err
	})
}

// sessionsSQL has one row a session: its newest version and the sums of its rows, each from a side of its own.
const sessionsSQL = `SELECT session_id, sum(wl_there), sum(version), sum(wl_first), sum(first_offset), sum(wl_status), max(wl_tariff), sum(tariff_offset),
	max(wl_zone), sum(wl_last_ms), sum(last_mwh), sum(wl_excl), sum(wl_incl), sum(wl_unknown), sum(wl_accrued_excl), sum(wl_accrued_incl),
	sum(wl_n), sum(wl_rows_excl), sum(wl_rows_incl), sum(wl_rows_unknown), sum(wl_flats), sum(wl_energy), sum(wl_time), sum(wl_parking), sum(wl_expiry), sum(wl_settled)
FROM (
	SELECT session_id, toInt64(1) AS wl_there, version, block_first AS wl_first, first_offset, toInt64(status) AS wl_status, toString(tariff) AS wl_tariff,
		tariff_offset, toString(zone) AS wl_zone, toUnixTimestamp64Milli(last_time) AS wl_last_ms, last_mwh, ifNull(excl_micros, 0) AS wl_excl,
		incl_micros AS wl_incl, toInt64(isNull(excl_micros)) AS wl_unknown, accrued_excl_micros AS wl_accrued_excl, accrued_incl_micros AS wl_accrued_incl,
		toInt64(0) AS wl_n, toInt64(0) AS wl_rows_excl, toInt64(0) AS wl_rows_incl, toInt64(0) AS wl_rows_unknown, toInt64(0) AS wl_flats, toInt64(0) AS wl_energy,
		toInt64(0) AS wl_time, toInt64(0) AS wl_parking, toInt64(0) AS wl_expiry, toInt64(0) AS wl_settled
	FROM %[1]s.sessions FINAL WHERE topic = {topic:String} AND partition = {partition:Int32}
	UNION ALL
	SELECT session_id, toInt64(0), toInt64(0), toInt64(0), toInt64(0), toInt64(0), '', toInt64(0), '', toInt64(0), toInt64(0), toInt64(0),
		toInt64(0), toInt64(0), toInt64(0), toInt64(0),
		toInt64(count()), ifNull(sum(excl_micros), 0), sum(incl_micros), toInt64(count() != count(excl_micros)),
		toInt64(countIf(dimension = 'FLAT' AND kind = 'usage')),
		sumIf(energy_mwh, dimension = 'ENERGY' AND kind IN ('usage', 'expiry')), sumIf(duration_ms, dimension = 'TIME' AND kind IN ('usage', 'expiry')),
		sumIf(duration_ms, dimension = 'PARKING_TIME' AND kind IN ('usage', 'expiry')),
		toInt64(countIf(kind = 'expiry')), toInt64(countIf(kind NOT IN ('usage', 'expiry')))
	FROM %[1]s.charges WHERE topic = {topic:String} AND partition = {partition:Int32} AND block_first <= {upto:Int64} GROUP BY session_id
) GROUP BY session_id`

// Sessions implements verify.Rows.
func (l *Ledger) Sessions(ctx context.Context, p engine.Partition, upTo int64) iter.Seq2[verify.Session, error] {
	params := partitionParameters(p)
	params["upto"] = strconv.FormatInt(upTo, 10)
	return stream(ctx, l.conn, fmt.Sprintf(sessionsSQL, l.database), params, func(r driver.Rows) (s verify.Session, err error) {
		var id uuid.UUID
		var there, status, unknown, rowsUnknown int64
		v, q := &s.Version, &s.Rows
		err = r.Scan(&id, &there, &v.Position, &v.BlockFirst, &v.FirstOffset, &status, &v.Tariff, &v.TariffFrom, &v.Zone, &v.LastMs, &v.LastMwh,
			&v.ExclMicros, &v.InclMicros, &unknown, &v.AccruedExcl, &v.AccruedIncl, &q.Rows, &q.ExclMicros, &q.InclMicros, &rowsUnknown, &q.Flats,
			&q.EnergyMwh, &q.TimeMs, &q.ParkingMs, &q.Expiry, &q.Settled)
		s.ID, v.There, v.Status = id, there > 0, engine.SessionStatus(status)
		v.ExclUnknown, q.ExclUnknown = unknown > 0, rowsUnknown > 0
		return s, err
	})
}

func partitionParameters(p engine.Partition) ch.Parameters {
	return ch.Parameters{"topic": p.Topic, "partition": strconv.Itoa(int(p.Number))}
}

// errEnough ends a query whose caller has seen enough.
var errEnough = errors.New("enough")

// stream runs a query as an iterator; an error is the last thing it yields. Large groupings go to the disk.
func stream[T any](ctx context.Context, conn driver.Conn, sql string, params ch.Parameters, scan func(driver.Rows) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := func() error {
			ctx := ch.Context(ctx, ch.WithParameters(params), ch.WithSettings(ch.Settings{
				"optimize_use_projections": 0, "max_bytes_before_external_group_by": 1 << 30,
			}))
			rows, err := conn.Query(ctx, sql)
			if err != nil {
				return err
			}
			for rows.Next() {
				v, err := scan(rows)
				if err == nil && !yield(v, nil) {
					err = errEnough
				}
				if err != nil {
					return errors.Join(err, rows.Close())
				}
			}
			return errors.Join(rows.Err(), rows.Close())
		}()
		if err != nil && !errors.Is(err, errEnough) {
			var zero T
			yield(zero, fmt.Errorf("ask ClickHouse: %w", err))
		}
	}
}
