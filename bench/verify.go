package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/loadgen"
)

// ErrWrong is wrapped by a run whose rows do not add up to the truth.
var ErrWrong = errors.New("the sums differ from the truth")

// connect opens a connection for questions.
func (a *chAddr) connect() (driver.Conn, error) {
	conn, err := ch.Open(&ch.Options{
		Protocol: ch.HTTP, Addr: []string{a.Addr}, Auth: ch.Auth{Username: a.User, Password: a.Password},
		Compression: &ch.Compression{Method: ch.CompressionLZ4},
	})
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse %s: %w", a.Addr, err)
	}
	return conn, nil
}

// Check is one comparison of a run.
type Check struct {
	Name string `json:"name"`
	Got  int64  `json:"got"`
	Want int64  `json:"want"`
}

// verify asks ClickHouse for the sums of everything that a run wrote and compares them with the truth.
//
// f says what is not known: the number of messages where they have many readings, that of readings where a message
// becomes several.
func verify(ctx context.Context, conn driver.Conn, db string, truth *loadgen.Sums, ends []int64, f *format) ([]Check, error) {
	var checks []Check
	ask := func(sql string, names []string, want ...int64) error {
		got := make([]int64, len(names))
		ptrs := make([]any, len(names))
		for i := range got {
			ptrs[i] = &got[i]
		}
		if err := conn.QueryRow(ctx, strings.ReplaceAll(sql, "{db}", db)).Scan(ptrs...); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		for i, name := range names {
			checks = append(checks, Check{name, got[i], want[i]})
		}
		return nil
	}
	records := progressSum(ends)
	err := errors.Join(
		ask("SELECT toInt64(count()), sum(energy_mwh), sum(duration_ms), ifNull(sum(excl_micros), 0), sum(incl_micros) FROM {db}.charges",
			[]string{"rows", "energy_mwh", "duration_ms", "excl_micros", "incl_micros"},
			truth.Rows, truth.RowsEnergyMwh, truth.RowsDurationMs, truth.RowsExclMicros, truth.RowsInclMicros),
		ask(`SELECT toInt64(count()), toInt64(countIf(status = 'COMPLETED')), sum(energy_mwh * (status = 'COMPLETED')),
				ifNull(sumIf(excl_micros, status = 'COMPLETED'), 0), sumIf(incl_micros, status = 'COMPLETED') FROM {db}.sessions FINAL`,
			[]string{"sessions", "finished", "finished_energy_mwh", "finished_excl_micros", "finished_incl_micros"},
			truth.Sessions, truth.Finished, truth.FinishedEnergyMwh, truth.FinishedExclMicros, truth.FinishedInclMicros),
		ask("SELECT sum(readings), sum(rejects), sum(charges_rows), sum(block_last - block_first + 1) FROM {db}.blocks",
			[]string{"blocks_readings", "blocks_rejects", "blocks_rows", "blocks_offsets"}, truth.Readings+truth.Duplicates, 0, truth.Rows, records),
	)
	if f.pack == nil && records != truth.Readings+truth.Duplicates {
		checks = append(checks, Check{"loaded", records, truth.Readings + truth.Duplicates})
	}
	if f.splits {
		checks = slices.DeleteFunc(checks, func(c Check) bool { return c.Name == "blocks_readings" })
	}
	return checks, err
}

// wrong returns the error of the checks that failed, nil when all are equal.
func wrong(checks []Check) error {
	var bad []string
	for _, c := range checks {
		if c.Got != c.Want {
			bad = append(bad, fmt.Sprintf("%s: %d in ClickHouse, %d true", c.Name, c.Got, c.Want))
		}
	}
	if bad == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrWrong, strings.Join(bad, "; "))
}
