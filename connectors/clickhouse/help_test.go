package clickhouse

import (
	"context"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// text asks for one string.
func text(t testing.TB, s *Store, sql string) (answer string) {
	t.Helper()
	if err := query(t.Context(), s.conn, sql, nil, nil, func(r driver.Rows) error { return r.Scan(&answer) }); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func queryCtx(ctx context.Context, id string) context.Context {
	return ch.Context(ctx, ch.WithQueryID(id), ch.WithSettings(ch.Settings{"log_comment": id}))
}
