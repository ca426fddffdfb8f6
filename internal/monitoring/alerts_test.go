package monitoring

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

// rule is an alert of deploy/prometheus/alerts.yaml.
type rule struct {
	Alert       string
	Expr        string
	For         time.Duration
	Labels      map[string]string
	Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	decode(t, "../../deploy/prometheus/alerts.yaml", &file)
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// decode reads a YAML file in which everything is known.
func decode(t *testing.T, path string, into any) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestRules: M1 and M2 of the rules, and that each says what it has to.
func TestRules(t *testing.T) {
	db, end := scraped(t)
	seen := map[string]bool{}
	for _, r := range rules(t) {
		db.known(t, r.Alert, r.Expr)
		if firing := db.ask(t, r.Expr, end); len(firing) > 0 {
			t.Errorf("%s fires on a healthy engine: %v", r.Alert, firing)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" || len(r.Labels) != 1 {
			t.Errorf("%s: labels %v", r.Alert, r.Labels)
		}
		keys := slices.Sorted(maps.Keys(r.Annotations))
		if !slices.Equal(keys, []string{"description", "runbook_url", "summary"}) || seen[r.Alert] || !strings.HasPrefix(r.Alert, "Wattline") {
			t.Errorf("%s: annotations %v, seen before: %v", r.Alert, keys, seen[r.Alert])
		}
		seen[r.Alert] = true
	}
	if len(seen) < 15 {
		t.Errorf("only %d rules", len(seen))
	}
}

// scenario is a piece of the life of some engines in which an alert fires.
type scenario struct {
	Alert  string
	Why    string
	Series map[string]string // in Prometheus's notation for tests, a value a minute
	Quiet  []time.Duration   // when it does not fire
	Fires  time.Duration     // when it does
	Labels map[string]string // of what fires, some of them
}

// TestScenarios: M3.
func TestScenarios(t *testing.T) {
	db, _ := scraped(t)
	byName := map[string]rule{}
	for _, r := range rules(t) {
		byName[r.Alert] = r
	}
	var list []scenario
	decode(t, "testdata/scenarios.yaml", &list)
	fired := map[string]bool{}
	for i, s := range list {
		t.Run(fmt.Sprintf("%d_%s", i, s.Alert), func(t *testing.T) {
			r, ok := byName[s.Alert]
			if !ok || s.Why == "" || len(s.Quiet) == 0 {
				t.Fatalf("no such rule, no why, or never quiet: %+v", s)
			}
			past := s.database(t, db)
			for _, at := range s.Quiet {
				if firing := r.firing(t, past, at); len(firing) > 0 {
					t.Errorf("after %v: %v", at, firing)
				}
			}
			firing := r.firing(t, past, s.Fires)
			if len(firing) != 1 {
				t.Fatalf("after %v: %v, want one", s.Fires, firing)
			}
			for name, value := range s.Labels {
				if got := firing[0].labels.Get(name); got != value {
					t.Errorf("label %s is %q, want %q", name, got, value)
				}
			}
			r.checkTexts(t, firing[0])
			fired[s.Alert] = true
		})
	}
	for name := range byName {
		if !fired[name] {
			t.Errorf("%s never fires", name)
		}
	}
}

// database holds the scenario's series; only such as engines give.
func (s *scenario) database(t *testing.T, given *database) *database {
	t.Helper()
	past := newDatabase()
	for desc, values := range s.Series {
		l, list, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(desc + " " + values)
		if err != nil {
			t.Fatalf("%s: %v", desc, err)
		}
		b := labels.NewBuilder(l)
		if l.Get("instance") == "" {
			b.Set("instance", "one:8080")
		}
		l = b.Set("job", "wattline").Labels()
		has := given.labelsOf(l.Get("__name__"))
		halted := l.Get("__name__") == "wattline_halted_partitions" // a healthy engine's reason is empty, which is no label to Prometheus
		l.Range(func(x labels.Label) {
			if !has[x.Name] && (!halted || x.Name != "reason") {
				t.Errorf("%s: no engine gives that with label %s", desc, x.Name)
			}
		})
		if n := len(has); n > 0 && l.Len() != n && !halted {
			t.Errorf("%s: engines give labels %v", desc, slices.Sorted(maps.Keys(has)))
		}
		for minute, v := range list {
			if !v.Omitted {
				past.add(l, began.Add(time.Duration(minute)*time.Minute), v.Value)
			}
		}
	}
	return past
}

// alert is one that fires.
type alert struct {
	labels labels.Labels
	value  float64
}

func (a alert) String() string { return fmt.Sprintf("%s = %v", a.labels, a.value) }

// firing evaluates the rule every minute until then, as Prometheus does: what has been true for long enough fires.
func (r *rule) firing(t *testing.T, db *database, after time.Duration) []alert {
	t.Helper()
	since := map[string]time.Duration{}
	var firing []alert
	for at := time.Duration(0); at <= after; at += time.Minute {
		firing = nil
		now := map[string]time.Duration{}
		for _, s := range db.ask(t, r.Expr, began.Add(at)) {
			l := labels.NewBuilder(s.Metric).Del("__name__").Labels()
			first, ok := since[l.String()]
			if !ok {
				first = at
			}
			now[l.String()] = first
			if at-first >= r.For {
				firing = append(firing, alert{l, s.F})
			}
		}
		since = now
	}
	return firing
}

// checkTexts expands the annotations as Prometheus does, and looks for the page.
func (r *rule) checkTexts(t *testing.T, a alert) {
	t.Helper()
	for name, text := range r.Annotations {
		tmpl, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
			"humanizePercentage": func(v float64) string { return strconv.FormatFloat(v*100, 'g', 4, 64) + "%" },
		}).Parse("{{$labels := .Labels}}{{$value := .Value}}" + text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var b strings.Builder
		if err := tmpl.Execute(&b, map[string]any{"Labels": a.labels.Map(), "Value": a.value}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "runbook_url" {
			page, found := strings.CutPrefix(b.String(), "https://github.com/wattline/wattline/blob/main/")
			if _, err := os.Stat(filepath.Join("..", "..", page)); err != nil || !found {
				t.Errorf("%s leads nowhere: %v", b.String(), err)
			}
		}
	}
}
