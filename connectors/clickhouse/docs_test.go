package clickhouse

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
)

// go test ./connectors/clickhouse -run TablesPage -update writes the columns into the page again.
var update = flag.Bool("update", false, "write generated parts of pages")

const tablesPage = "../../docs/formats/tables.md"

// The page of tables lists what the store really has.
func TestTablesPage(t *testing.T) {
	s := newStore(t)
	page, err := os.ReadFile(tablesPage)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- columns: generated -->\n", "<!-- /columns -->\n"
	head, rest, ok1 := strings.Cut(string(page), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", tablesPage)
	}
	want := head + begin + columnsMarkdown(t, s) + end + tail
	if want == string(page) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the schema says; run with -update (-page +schema):\n%s", tablesPage, cmp.Diff(string(page), want))
	}
	if err := os.WriteFile(tablesPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func columnsMarkdown(t *testing.T, s *Store) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"charges", "sessions", "blocks", "schema_version"} {
		var comment, sorting, partition string
		err := query(t.Context(), s.conn, "SELECT comment, sorting_key, partition_key FROM system.tables WHERE database = '"+s.cfg.Database+"' AND name = '"+table+"'",
			nil, nil, func(r driver.Rows) error { return r.Scan(&comment, &sorting, &partition) })
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\nSorted by `%s`", table, comment, sorting)
		if partition != "" {
			fmt.Fprintf(&b, ", partitioned by `%s`", partition)
		}
		b.WriteString(".\n\n| column | type | meaning |\n| --- | --- | --- |\n")
		err = query(t.Context(), s.conn, "SELECT name, type, default_kind, comment FROM system.columns WHERE database = '"+s.cfg.Database+"' AND table = '"+table+"' ORDER BY position",
			nil, nil, func(r driver.Rows) error {
				var name, typ, kind, comment string
				if err := r.Scan(&name, &typ, &kind, &comment); err != nil {
					return err
				}
				if kind == "ALIAS" {
					typ += ", alias"
				}
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, strings.ReplaceAll(typ, "|", `\|`), comment)
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString("\n")
	return b.String()
}
