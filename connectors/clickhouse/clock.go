package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// ClockAhead returns by how much the server's clock is ahead of this machine's, negative when it is behind, and the
// bound of the error: half the time that the question took. Errors are those of a question.
func (s *Store) ClockAhead(ctx context.Context) (ahead, within time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var theirs int64
	found := false
	asked := time.Now()
	err = query(ctx, s.conn, "SELECT toUnixTimestamp64Micro(now64(6))", nil, nil, func(r driver.Rows) error {
		found = true
		return r.Scan(&theirs)
	})
	within = time.Since(asked) / 2
	if err == nil && !found {
		err = errors.New("no row")
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask ClickHouse for its clock: %w", err)
	}
	return time.UnixMicro(theirs).Sub(asked.Add(within).Round(0)), within, nil
}
