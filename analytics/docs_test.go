package analytics_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/analytics"
	"github.com/wattline/wattline/connectors/clickhouse/embedded"
	"github.com/wattline/wattline/loadgen/sample"
)

// go test ./analytics -run Analysts -update writes columns and answers into the page again.
var update = flag.Bool("update", false, "write generated parts of pages")

const analystsPage = "../docs/ANALYSTS.md"

// The page lists what the views really have.
func TestAnalystsPage(t *testing.T) {
	s := newStore(t)
	text, err := os.ReadFile(analystsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	const begin, end = "<!-- views: generated -->\n", "<!-- /views -->\n"
	head, rest, ok1 := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", analystsPage)
	}
	want := head + begin + viewsMarkdown(t, s) + end + tail
	rewrite(t, page, want)
}

// rewrite holds the page to what it should be, or makes it so.
func rewrite(t *testing.T, page, want string) {
	t.Helper()
	if want == page {
		return
	}
	if !*update {
		t.Fatalf("%s is not what is made; if that is right, run with -update (-page +made):\n%s", analystsPage, cmp.Diff(page, want))
	}
	if err := os.WriteFile(analystsPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// questions are a query of the page and, behind it, the answer.
var questions = regexp.MustCompile("(?s)```sql\n(.*?)```\n\n```\n(.*?)```\n")

// Every query of the page is asked of the sample, by the user who may only read, and its answer is the one that the page
// has.
func TestAnalystsQuestions(t *testing.T) {
	s := newStore(t)
	made, err := sample.Write(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sample.Write(t.Context(), s); !errors.Is(err, sample.ErrThere) {
		t.Errorf("written twice: %v", err)
	}
	t.Logf("%+v", made)
	text, err := os.ReadFile(analystsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	found := questions.FindAllStringSubmatchIndex(page, -1)
	if all := strings.Count(page, "```sql\n"); len(found) < 30 || len(found) != all {
		t.Fatalf("%d queries with an answer, of %d; want 30 at least, and all", len(found), all)
	}
	var want strings.Builder
	at := 0
	for _, q := range found {
		want.WriteString(page[at:q[4]])
		want.WriteString(s.read(t, page[q[2]:q[3]]))
		at = q[5]
	}
	rewrite(t, page, want.String()+page[at:])
}

// read asks as the reader does over HTTP, and gives the answer as a person sees it. One without rows is a fault.
func (s store) read(t *testing.T, sql string) string {
	t.Helper()
	values := url.Values{"database": {s.db}, "default_format": {"PrettyCompactNoEscapesMonoBlock"}, "output_format_pretty_row_numbers": {"0"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+shared.srv.Addr()+"/?"+values.Encode(), strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(embedded.UserReader, shared.srv.ReaderPassword())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || len(answer) == 0 {
		t.Fatalf("%s: %d, %v: %s", sql, res.StatusCode, err, answer)
	}
	return string(answer)
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
