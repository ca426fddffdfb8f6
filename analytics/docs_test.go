package analytics_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/analytics"
	"github.com/wattline/wattline/engine"
)

// go test ./analytics -run AnalystsPage -update writes the columns into the page again.
var update = flag.Bool("update", false, "write generated parts of pages")

const analystsPage = "../docs/ANALYSTS.md"

// The page lists what the views really have, and every query on it runs and finds something.
func TestAnalystsPage(t *testing.T) {
	s := newStore(t)
	rows := day()
	for i := range rows.Charge {
		// The page's queries are for the month of the demo.
		const back = 181 * 24 * 3_600_000
		c := &rows.Charge[i]
		c.PeriodStartMs, c.FromMs, c.ToMs = c.PeriodStartMs-back, c.FromMs-back, c.ToMs-back
	}
	s.insert(t, 1, rows)
	sessions := &engine.SessionRows{}
	version(sessions, 8, 1000, engine.StatusCompleted, "Europe/Amsterdam", 333_333)
	version(sessions, 7, 1000, engine.StatusActive, "Europe/Amsterdam", 1_210_000)
	s.insert(t, 1, sessions)
	s.insert(t, 1, &engine.BlockRow{Partition: engine.Partition{Topic: "readings"}, First: 1, Last: 2, WatermarkMs: ms(10, 30)})
	text, err := os.ReadFile(analystsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(queries) < 8 {
		t.Fatalf("%d queries found, want all 8 or more", len(queries))
	}
	for _, q := range queries {
		if s.ask(t, q[1]) == "" {
			t.Errorf("nothing found by\n%s", q[1])
		}
	}

	const begin, end = "<!-- views: generated -->\n", "<!-- /views -->\n"
	head, rest, ok1 := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", analystsPage)
	}
	want := head + begin + viewsMarkdown(t, s) + end + tail
	if want == page {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the views say; run with -update (-page +views):\n%s", analystsPage, cmp.Diff(page, want))
	}
	if err := os.WriteFile(analystsPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func viewsMarkdown(t *testing.T, s store) string {
	t.Helper()
	views, err := analytics.Views()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, v := range views {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| column | type | meaning |\n| --- | --- | --- |\n", v.Name, v.Comment)
		for row := range strings.SplitSeq(s.ask(t, "SELECT name, type, comment FROM system.columns WHERE database = '"+s.db+"' AND table = '"+v.Name+"' ORDER BY position"), "\n") {
			cells := strings.SplitN(row, "|", 3)
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", cells[0], cells[1], cells[2])
		}
	}
	b.WriteString("\n")
	return b.String()
}
