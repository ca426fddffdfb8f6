package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/wattline/wattline/engine"
)

// BlockSums is what the tables hold of a block, whether or not the block's own row is there.
type BlockSums struct {
	First    int64
	Charges  engine.Sums
	Sessions engine.Sums // of every version that was inserted, those dropped by merges included
}

// SessionSum is what the rows of charges say of a session.
type SessionSum struct {
	SessionID   [16]byte
	Rows        int64
	EnergyMwh   int64 // delivered: of usage rows
	BilledMwh   int64 // with what step_size added
	ExclMicros  int64 // of the rows that know it
	ExclUnknown bool  // a row does not
	InclMicros  int64
}

// errStop ends a query whose caller has seen enough.
var errStop = errors.New("enough")

// stream runs a query as an iterator. An error is the last thing it yields.
func stream[T any](ctx context.Context, s *Store, what, sql string, params ch.Parameters, scan func(driver.Rows, *T) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := query(ctx, s.conn, sql, params, ch.Settings{"optimize_use_projections": 0}, func(r driver.Rows) error {
			var v T
			if err := scan(r, &v); err != nil {
				return err
			}
			if !yield(v, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			var zero T
			yield(zero, fmt.Errorf("read %s: %w", what, err))
		}
	}
}

func partitionParams(p engine.Partition) ch.Parameters {
	return ch.Parameters{"topic": p.Topic, "partition": strconv.Itoa(int(p.Number))}
}

const wherePartition = " WHERE topic = {topic:String} AND partition = {partition:Int32}"

// Partitions lists the partitions that have blocks.
func (s *Store) Partitions(ctx context.Context) ([]engine.Partition, error) {
	var list []engine.Partition
	err := s.ask(ctx, "SELECT DISTINCT topic, partition FROM "+s.table("blocks")+" ORDER BY topic, partition", nil, nil,
		func(r driver.Rows) error {
			var p engine.Partition
			err := r.Scan(&p.Topic, &p.Number)
			list = append(list, p)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return list, nil
}

// Blocks yields the rows of blocks of p in order of First, two with the same First included.
func (s *Store) Blocks(ctx context.Context, p engine.Partition) iter.Seq2[engine.BlockRow, error] {
	sql := "SELECT " + names(blockList()) + " FROM " + s.table("blocks") + wherePartition + " ORDER BY block_first, block_last"
	return stream(ctx, s, "blocks of "+p.String(), sql, partitionParams(p), scanBlock)
}

// BlockSums yields in order of First what charges and sessions hold of p, block by block. It reads projections;
// that those of charges tell the truth about the rows is what ProjectionsEqual proves.
func (s *Store) BlockSums(ctx context.Context, p engine.Partition) iter.Seq2[BlockSums, error] {
	side := func(t engine.Table, sums string) string {
		return "SELECT block_first, " + strconv.Itoa(int(t)) + " AS wl_table, tuple(" + sums + ") AS wl_sums FROM " + s.projection(t) +
			wherePartition + " GROUP BY block_first"
	}
	cols := []string{"block_first"}
	for _, t := range []engine.Table{engine.TableCharges, engine.TableSessions} {
		for i := 1; i <= 6; i++ {
			cols = append(cols, fmt.Sprintf("sumIf(wl_sums.%d, wl_table = %d)", i, t))
		}
	}
	sql := "SELECT " + strings.Join(cols, ", ") + " FROM (" + side(engine.TableCharges, chargeSums) + " UNION ALL " +
		side(engine.TableSessions, sessionSums) + ") GROUP BY block_first ORDER BY block_first"
	return stream(ctx, s, "sums of "+p.String(), sql, partitionParams(p), func(r driver.Rows, b *BlockSums) error {
		c, v := &b.Charges, &b.Sessions
		return r.Scan(&b.First, &c.Rows, &c.EnergyMwh, &c.DurationMs, &c.ExclMicros, &c.InclMicros, &c.Versions,
			&v.Rows, &v.EnergyMwh, &v.DurationMs, &v.ExclMicros, &v.InclMicros, &v.Versions)
	})
}

// SessionSums yields the sums of the rows of the sessions with the given ids, of all sessions if ids is nil, in
// ClickHouse's order of UUIDs. A session without rows is not among them. ids are one statement: ask for some
// thousands at a time.
func (s *Store) SessionSums(ctx context.Context, ids [][16]byte) iter.Seq2[SessionSum, error] {
	where := ""
	if ids != nil {
		list := make([]string, len(ids))
		for i, id := range ids {
			list[i] = quote(uuid.UUID(id).String())
		}
		where = " WHERE session_id IN (" + strings.Join(list, ", ") + ")"
	}
	if ids != nil && len(ids) == 0 {
		return func(func(SessionSum, error) bool) {}
	}
	sql := "SELECT session_id, toInt64(count()), sumIf(energy_mwh, kind = 'usage'), sum(energy_mwh), " +
		"ifNull(sum(excl_micros), 0), count() != count(excl_micros), sum(incl_micros) FROM " + s.table("charges") + where +
		" GROUP BY session_id ORDER BY session_id"
	return stream(ctx, s, "sums of sessions", sql, nil, func(r driver.Rows, v *SessionSum) error {
		var id uuid.UUID
		err := r.Scan(&id, &v.Rows, &v.EnergyMwh, &v.BilledMwh, &v.ExclMicros, &v.ExclUnknown, &v.InclMicros)
		v.SessionID = id
		return err
	})
}

// compareTries is how often a comparison is repeated when rows arrive meanwhile.
const compareTries = 5

// unchanged runs compare between two counts of the rows of charges and sessions that are equal, so that both sides
// of the comparison saw the same rows. ErrChanging if that never happens.
func (s *Store) unchanged(ctx context.Context, compare func() error) error {
	count := func() (n string, err error) {
		err = s.ask(ctx, "SELECT concat_ws(' ', (SELECT count() FROM "+s.table("charges")+"), (SELECT max(block_first) FROM "+
			s.table("blocks")+"), (SELECT count() FROM "+s.table("blocks")+"))", nil, nil, func(r driver.Rows) error { return r.Scan(&n) })
		return n, err
	}
	before, err := count()
	for range compareTries {
		if err != nil {
			return err
		}
		if err := compare(); err != nil {
			return err
		}
		after := ""
		if after, err = count(); err == nil && after == before {
			return nil
		}
		before = after
	}
	if err != nil {
		return err
	}
	return ErrChanging
}

// ProjectionsEqual compares every projection of charges with the same sums made from the rows. detail names the
// first difference of each. ErrChanging while rows arrive.
func (s *Store) ProjectionsEqual(ctx context.Context) (equal bool, detail string, err error) {
	var projections []string
	err = s.ask(ctx, "SELECT name FROM system.projections WHERE database = {db:String} AND table = 'charges' ORDER BY name",
		ch.Parameters{"db": s.cfg.Database}, nil, func(r driver.Rows) error {
			name := ""
			err := r.Scan(&name)
			projections = append(projections, name)
			return err
		})
	if err != nil {
		return false, "", fmt.Errorf("list projections: %w", err)
	}
	var faults []string
	for _, p := range projections {
		fault := ""
		if err := s.unchanged(ctx, func() error { fault, err = s.compareProjection(ctx, p); return err }); err != nil {
			return false, "", fmt.Errorf("compare projection %s with its rows: %w", p, err)
		}
		if fault != "" {
			faults = append(faults, "projection "+p+": "+fault)
		}
	}
	return len(faults) == 0, strings.Join(faults, "; "), nil
}

// compareProjection groups the rows as the projection does and looks for groups that are on one side only.
func (s *Store) compareProjection(ctx context.Context, name string) (fault string, err error) {
	from := "mergeTreeProjection(" + s.cfg.database() + ", charges, " + name + ")"
	var keys, merged, fromRows []string
	err = s.ask(ctx, "DESCRIBE TABLE "+from, nil, nil, func(r driver.Rows) error {
		var column, typ, none string
		if err := r.Scan(&column, &typ, &none, &none, &none, &none, &none); err != nil {
			return err
		}
		// A column is named by its expression, which the rows understand.
		if fn, ok := strings.CutPrefix(typ, "AggregateFunction("); ok {
			fn, _, _ = strings.Cut(strings.TrimSuffix(fn, ")"), ",")
			merged = append(merged, fn+"Merge(`"+column+"`)")
			fromRows = append(fromRows, column)
			return nil
		}
		keys = append(keys, column)
		return nil
	})
	if err != nil {
		return "", err
	}
	quoted := "`" + strings.Join(keys, "`, `") + "`"
	plain := strings.Join(keys, ", ")
	// The rows come first: ClickHouse 26.7 resolves columns of a table wrongly after its projection was named.
	sql := "SELECT count(), any(toString((wl_k, wl_v, wl_n))) FROM (SELECT wl_k, wl_v, sum(wl_side) AS wl_n FROM (" +
		"SELECT tuple(" + plain + ") AS wl_k, tuple(" + strings.Join(fromRows, ", ") + ") AS wl_v, -1 AS wl_side FROM " + s.table("charges") + " GROUP BY " + plain +
		" UNION ALL SELECT tuple(" + quoted + "), tuple(" + strings.Join(merged, ", ") + "), 1 FROM " + from + " GROUP BY " + quoted +
		") GROUP BY wl_k, wl_v HAVING wl_n != 0)"
	var differ uint64
	var first string
	err = query(ctx, s.conn, sql, nil, ch.Settings{"optimize_use_projections": 0},
		func(r driver.Rows) error { return r.Scan(&differ, &first) })
	if err == nil && differ > 0 {
		fault = fmt.Sprintf("%d groups are not on both sides, one of them (keys, sums, 1 = projection only, -1 = rows only): %s", differ, first)
	}
	return fault, err
}

// AccruedEqual compares what the newest version of every session says that its rows add up to with what they do.
// detail counts the sessions that differ and names one. ErrChanging while rows arrive, or when they differ while
// charges has other rows than blocks says: then a block is unfinished, and the tiling of blocks is the question.
func (s *Store) AccruedEqual(ctx context.Context) (equal bool, detail string, err error) {
	sql := "SELECT count(), any(toString((wl_id, wl_e, wl_i))) FROM (SELECT wl_id, sum(wl_excl) AS wl_e, sum(wl_incl) AS wl_i FROM (" +
		"SELECT session_id AS wl_id, accrued_excl_micros AS wl_excl, accrued_incl_micros AS wl_incl FROM " + s.table("sessions") + " FINAL" +
		" UNION ALL SELECT session_id, -ifNull(sum(excl_micros), 0), -sum(incl_micros) FROM " + s.table("charges") + " GROUP BY session_id" +
		") GROUP BY wl_id HAVING wl_e != 0 OR wl_i != 0)"
	var differ uint64
	var first string
	err = s.unchanged(ctx, func() error {
		return query(ctx, s.conn, sql, nil, ch.Settings{"optimize_use_projections": 0},
			func(r driver.Rows) error { return r.Scan(&differ, &first) })
	})
	unfinished := false
	if err == nil && differ > 0 {
		err = s.ask(ctx, "SELECT (SELECT toInt64(count()) FROM "+s.table("charges")+") != (SELECT sum(charges_rows) FROM "+s.table("blocks")+")",
			nil, nil, func(r driver.Rows) error { return r.Scan(&unfinished) })
	}
	if unfinished {
		err = ErrChanging
	}
	if err != nil {
		return false, "", fmt.Errorf("compare sessions with their rows: %w", err)
	}
	if differ > 0 {
		return false, fmt.Sprintf("%d sessions differ, one of them (id, excl, incl beyond the rows, micros): %s", differ, first), nil
	}
	return true, "", nil
}
