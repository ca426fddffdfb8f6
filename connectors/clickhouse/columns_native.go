package clickhouse

import (
	"fmt"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/wattline/wattline/internal/invariant"
)

// types is what the driver is told of the columns.
func types[T any](list []column[T]) []ch.ColumnNameAndType {
	n := make([]ch.ColumnNameAndType, len(list))
	for i := range list {
		n[i] = ch.ColumnNameAndType{Name: list[i].name, Type: list[i].typ}
	}
	return n
}

// sendBatch appends every column of data to a batch of the native protocol and sends it, once. All columns have rows
// values, which is checked (C3): ClickHouse says OK to an empty block.
func sendBatch[T any](batch driver.Batch, list []column[T], data *T, rows int) error {
	var l lows
	for i := range list {
		if err := l.add(batch.Column(i), list[i].typ, list[i].of(data)); err != nil {
			_ = batch.Abort()
			return fmt.Errorf("column %s: %w", list[i].name, err)
		}
	}
	for i, c := range batch.Columns() {
		if c.Rows() != rows {
			_ = batch.Abort()
			return fmt.Errorf("column %s has %d values, want %d", list[i].name, c.Rows(), rows)
		}
	}
	return batch.Send()
}

// lows appends values to the driver's columns. For LowCardinality it keeps the strings as the driver takes them, so
// that one costs no allocation for each row.
type lows struct{ box map[string]any }

func (l *lows) add(c driver.BatchColumn, typ string, values any) error {
	switch v := values.(type) {
	case repeated:
		for range v.n {
			if err := l.low(c, v.value); err != nil {
				return err
			}
		}
		return nil
	case nullable:
		p := make([]*int64, len(v.values))
		for i := range p {
			if !v.null[i] {
				p[i] = &v.values[i]
			}
		}
		return c.Append(p)
	case []string:
		if typ != typeLow {
			return c.Append(v)
		}
		for _, s := range v {
			if err := l.low(c, s); err != nil {
				return err
			}
		}
		return nil
	case []int64, []int32, []int16, []int8, []uint64, []uint32, []uint16, []bool, []uuid.UUID:
		return c.Append(v)
	}
	invariant.Bug("column of %T", values)
	return nil
}

func (l *lows) low(c driver.BatchColumn, s string) error {
	v, ok := l.box[s]
	if !ok {
		if l.box == nil {
			l.box = map[string]any{}
		}
		own := strings.Clone(s) // the caller's string may lie in a buffer that is filled again
		v = own
		l.box[own] = v
	}
	return c.AppendRow(v)
}
