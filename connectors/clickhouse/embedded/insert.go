package embedded

import (
	"context"
	"strings"
)

// maxBoundValuesBytes is how much VALUES with placeholders may bring: beyond about
// 256 KB the library cuts data that stands in the statement.
const maxBoundValuesBytes = 128 << 10

// runInsert hands the spooled data to the engine as one INSERT. Between two pieces it
// looks at ctx: an append that waits inside the engine is ended by the kill.
func runInsert(ctx context.Context, c *conn, j *job, insertFormat string) (stats, error) {
	format := j.st.format
	if format == "" {
		format = insertFormat
	}
	if format == "" {
		format = "Values"
	}
	if strings.EqualFold(format, "Values") && len(j.req.params.names) > 0 && j.body.size <= maxBoundValuesBytes {
		// Placeholders among the values: only the whole statement's parser knows
		// them. It also runs a second statement, so the values are looked through.
		st, err := parseWhole(j.st.sql + " VALUES " + spoolText(&j.body))
		if err != nil {
			return stats{}, err
		}
		return c.exec(st.sql, "Null", j.req.params, nil)
	}
	return c.insert(j.st.sql, format, j.req.params, func(push func([]byte) error) error {
		return j.body.each(func(b []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return push(b)
		})
	})
}

// spoolText copies a small spool into a string.
func spoolText(sp *spool) string {
	var out strings.Builder
	_ = sp.each(func(b []byte) error { // in memory: no error
		out.Write(b)
		return nil
	})
	return out.String()
}

// parseWhole checks a statement whose data is part of its SQL.
func parseWhole(text string) (statement, error) {
	st := statement{sql: text}
	err := scanStatement(&st)
	return st, err
}
