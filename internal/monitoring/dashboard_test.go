package monitoring

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// dashboard is what is looked at of deploy/grafana/wattline.json.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ Type, UID string }
	FieldConfig              struct {
		Defaults struct{ Unit string }
	}
	Targets []struct{ Expr, LegendFormat, RefID string }
}

// TestDashboard: M1, M2 and M4.
func TestDashboard(t *testing.T) {
	db, end := scraped(t)
	text, err := os.ReadFile("../../deploy/grafana/wattline.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	used, ids := map[string]bool{}, map[int]bool{}
	queries := 0
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 || ids[p.ID] ||
			p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: title, description, unit, data source, queries, place: %+v", p.ID, p.Title, p)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			queries++
			// What Grafana puts in: the job's name, and at least four scrapes.
			expr := strings.NewReplacer("$job", "wattline", "$__rate_interval", "1m").Replace(q.Expr)
			for _, name := range db.known(t, p.Title, expr) {
				used[name] = true
			}
			got := db.ask(t, expr, end)
			if len(got) == 0 {
				t.Errorf("%s: shows nothing on a healthy engine: %s", p.Title, expr)
			}
			for _, s := range got {
				if math.IsNaN(s.F) || math.IsInf(s.F, 0) {
					t.Errorf("%s: shows %v: %s", p.Title, s, expr)
				}
			}
			for part := range strings.SplitSeq(q.LegendFormat, "{{") {
				if name, _, ok := strings.Cut(part, "}}"); ok && len(got) > 0 && !got[0].Metric.Has(strings.TrimSpace(name)) {
					t.Errorf("%s: the legend wants a label %s: %v", p.Title, name, got[0])
				}
			}
		}
	}
	if d.UID != "wattline" || queries < 20 || len(d.Templating.List) != 2 || d.Templating.List[0].Name != "datasource" || d.Templating.List[1].Name != "job" {
		t.Errorf("dashboard %q: %d queries, variables %+v", d.UID, queries, d.Templating.List)
	}
	for _, r := range rules(t) {
		selected, _ := metricsOf(t, r.Expr)
		for name := range selected {
			used[name] = true
		}
	}
	var unseen []string
	for _, s := range db.series {
		if name := s.labels.Get("__name__"); strings.HasPrefix(name, "wattline_") && !used[name] {
			unseen = append(unseen, name)
		}
	}
	if slices.Sort(unseen); len(unseen) > 0 {
		t.Errorf("neither on the dashboard nor in a rule: %q", slices.Compact(unseen))
	}
}
