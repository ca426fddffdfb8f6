package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/invariant"
)

// quiesceEvery is how often Quiesce looks whether killed queries are gone.
const quiesceEvery = 50 * time.Millisecond

// Insert runs one attempt (C1). It keeps nothing of in. After an error the rows may be there, may come later, or
// may never come: errors.Is(err, ErrRefused) tells that they will not come by trying the same again.
func (s *Store) Insert(ctx context.Context, in *engine.Insert) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	var err error
	switch in.Table {
	case engine.TableCharges:
		c := s.charges.Get().(*chargeColumns)
		c.set(in.Partition, in.First, in.Charges)
		err = insert(ctx, s, in, chargeList(), c, len(in.Charges.Position))
		c.release()
		s.charges.Put(c)
	case engine.TableSessions:
		c := s.sessions.Get().(*sessionColumns)
		c.set(in.Partition, in.First, in.Sessions)
		err = insert(ctx, s, in, sessionList(), c, len(in.Sessions.Version))
		c.release()
		s.sessions.Put(c)
	case engine.TableBlocks:
		err = insert(ctx, s, in, blockList(), in.Block, 1)
	default:
		invariant.Bug("insert into table %d", in.Table)
	}
	if err != nil {
		return fmt.Errorf("insert into %s month %d of block %s@%d (token %s, query %s): %w",
			in.Table, in.Month, in.Partition, in.First, in.Token, in.QueryID, classify(err))
	}
	return nil
}

func insert[T any](ctx context.Context, s *Store, in *engine.Insert, list []column[T], data *T, rows int) error {
	sql := "INSERT INTO " + s.table(in.Table.String()) + " (" + names(list) + ")"
	settings := insertSettings(in)
	if s.cfg.Protocol == Native {
		ctx = ch.Context(ctx, ch.WithQueryID(in.QueryID), ch.WithSettings(settings), ch.WithColumnNamesAndTypes(types(list)))
		batch, err := s.conn.PrepareBatch(ctx, sql)
		if err != nil {
			return err
		}
		return sendBatch(batch, list, data, rows)
	}
	w := s.wires.get()
	defer s.wires.put(w)
	body := &nativeBody{columns: len(list), next: -1, rows: rows, add: adder(list, data, rows), buf: &w.buf, pack: w.pack}
	if w.pack != nil {
		settings["decompress"] = 1 // the body is in ClickHouse's own frames
	}
	ctx = ch.Context(ctx, ch.WithQueryID(in.QueryID), ch.WithSettings(settings))
	err := s.conn.InsertFormat(ctx, "Native", sql, body)
	body.detach()
	return err
}

// insertSettings are the same for every attempt, whatever the user's profile says: other ones would split the rows
// into other parts, and a token is for a part.
func insertSettings(in *engine.Insert) ch.Settings {
	return ch.Settings{
		"insert_deduplication_token":               in.Token,
		"insert_deduplicate":                       1,
		"async_insert":                             0,
		"wait_for_async_insert":                    1, // should a profile force async_insert on
		"max_partitions_per_insert_block":          1, // C2
		"throw_on_max_partitions_per_insert_block": 1,
		// All versions are written, none is dropped for a newer one of the same insert: the projection counts them.
		"optimize_on_insert": 0,
		// The embedded engine makes query ids of its own; this is where Quiesce finds ours there.
		"log_comment": in.QueryID,
	}
}

// Quiesce returns once no query whose id begins with prefix runs any more; it kills those that do. What has not
// reached ClickHouse yet it cannot see: the caller's own attempts must have returned before.
func (s *Store) Quiesce(ctx context.Context, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	where := "startsWith(query_id, " + quote(prefix) + ") OR startsWith(Settings['log_comment'], " + quote(prefix) + ")"
	processes, onCluster := "system.processes", ""
	if s.cfg.Cluster != "" {
		processes, onCluster = "clusterAllReplicas(`"+s.cfg.Cluster+"`, system.processes)", s.cfg.schemaData().OnCluster
	}
	for {
		running := uint64(0)
		err := query(ctx, s.conn, "SELECT count() FROM "+processes+" WHERE "+where, nil, nil,
			func(r driver.Rows) error { return r.Scan(&running) })
		if err != nil {
			return fmt.Errorf("look for queries %s*: %w", prefix, err)
		}
		if running == 0 {
			return nil
		}
		if err := classify(s.conn.Exec(ctx, "KILL QUERY"+onCluster+" WHERE "+where+" SYNC")); err != nil {
			return fmt.Errorf("kill queries %s*: %w", prefix, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d queries %s* still run: %w", running, prefix, ctx.Err())
		case <-time.After(quiesceEvery):
		}
	}
}

// ReadBack returns the sums of what was inserted of a block into the month of a table, whatever a merge has made of
// it since (C4). For blocks it returns Rows only.
func (s *Store) ReadBack(ctx context.Context, p engine.Partition, first int64, t engine.Table, month int32) (engine.Sums, error) {
	var sums engine.Sums
	err := s.askSynced(ctx, t, s.readBackSQL(t), ch.Parameters{
		"topic": p.Topic, "partition": strconv.Itoa(int(p.Number)),
		"first": strconv.FormatInt(first, 10), "month": strconv.Itoa(int(month)),
	}, func(r driver.Rows) error { return scanSums(r, &sums) })
	if err != nil {
		return engine.Sums{}, fmt.Errorf("read back %s month %d of block %s@%d: %w", t, month, p, first, err)
	}
	return sums, nil
}

func scanSums(r driver.Rows, s *engine.Sums) error {
	return r.Scan(&s.Rows, &s.EnergyMwh, &s.DurationMs, &s.ExclMicros, &s.InclMicros, &s.Versions)
}

// readBackSQL asks the projection itself. A query of the table would not do: ClickHouse is free to read the rows
// instead, which of sessions are no longer all there, and it skips parts by the statistics of their rows.
func (s *Store) readBackSQL(t engine.Table) string {
	const where = " WHERE topic = {topic:String} AND partition = {partition:Int32} AND block_first = {first:Int64}"
	switch t {
	case engine.TableCharges:
		return "SELECT " + chargeSums + " FROM " + s.projection(t) + where + " AND `toYYYYMM(from_time)` = {month:UInt32}"
	case engine.TableSessions:
		return "SELECT " + sessionSums + " FROM " + s.projection(t) + where + " AND `toYYYYMM(start_time)` = {month:UInt32}"
	default:
		return "SELECT toInt64(count()), toInt64(0), toInt64(0), toInt64(0), toInt64(0), toInt64(0) FROM " + s.table("blocks") + where
	}
}

// The sums of a block out of the aggregate states of projection by_block.
const (
	chargeSums = "toInt64(countMerge(`count()`)), sumMerge(`sum(energy_mwh)`), sumMerge(`sum(duration_ms)`), " +
		"ifNull(sumMerge(`sum(excl_micros)`), 0), sumMerge(`sum(incl_micros)`), sumMerge(`sum(position)`)"
	sessionSums = "toInt64(countMerge(`count()`)), sumMerge(`sum(energy_mwh)`), " +
		"sumMerge(`sum(charging_ms)`) + sumMerge(`sum(parking_ms)`) + sumMerge(`sum(reservation_ms)`), " +
		"ifNull(sumMerge(`sum(excl_micros)`), 0), sumMerge(`sum(incl_micros)`), sumMerge(`sum(version)`)"
)

func (s *Store) projection(t engine.Table) string {
	return "mergeTreeProjection(" + s.cfg.database() + ", " + t.String() + ", by_block)"
}

// LastBlock returns the newest block of p.
func (s *Store) LastBlock(ctx context.Context, p engine.Partition) (row engine.BlockRow, ok bool, err error) {
	sql := "SELECT " + names(blockList()) + " FROM " + s.table("blocks") +
		" WHERE topic = {topic:String} AND partition = {partition:Int32} ORDER BY block_first DESC LIMIT 1"
	err = s.askSynced(ctx, engine.TableBlocks, sql, ch.Parameters{"topic": p.Topic, "partition": strconv.Itoa(int(p.Number))},
		func(r driver.Rows) error { ok = true; return scanBlock(r, &row) })
	if err != nil {
		return engine.BlockRow{}, false, fmt.Errorf("read the last block of %s: %w", p, err)
	}
	return row, ok, nil
}
