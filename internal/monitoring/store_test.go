package monitoring

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// began is the time of the first sample in every test.
var began = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

// sample is one value of a series. It implements chunks.Sample.
type sample struct {
	ms int64
	v  float64
}

func (s sample) T() int64                      { return s.ms }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// database is series in memory that Prometheus's engine can ask.
type database struct {
	series map[string]*storedSeries
	engine *promql.Engine
}

type storedSeries struct {
	labels  labels.Labels
	samples []chunks.Sample
}

func newDatabase() *database {
	return &database{series: map[string]*storedSeries{}, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 10_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	})}
}

// add appends a sample; times of a series grow.
func (d *database) add(l labels.Labels, at time.Time, v float64) {
	key := l.String()
	s := d.series[key]
	if s == nil {
		s = &storedSeries{labels: l}
		d.series[key] = s
	}
	s.samples = append(s.samples, sample{at.UnixMilli(), v})
}

// Querier implements storage.Queryable.
func (d *database) Querier(int64, int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		set := &seriesSet{}
		for _, s := range d.series {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
				set.list = append(set.list, storage.NewListSeries(s.labels, s.samples))
			}
		}
		slices.SortFunc(set.list, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
		return set
	}}, nil
}

// seriesSet implements storage.SeriesSet.
type seriesSet struct {
	list []storage.Series
	next int
}

func (s *seriesSet) Next() bool                        { s.next++; return s.next <= len(s.list) }
func (s *seriesSet) At() storage.Series                { return s.list[s.next-1] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// ask evaluates an expression at a time.
func (d *database) ask(t *testing.T, expr string, at time.Time) promql.Vector {
	t.Helper()
	q, err := d.engine.NewInstantQuery(t.Context(), d, nil, expr, at)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	res := q.Exec(context.WithoutCancel(t.Context()))
	if res.Err != nil {
		t.Fatalf("%s: %v", expr, res.Err)
	}
	if len(res.Warnings) > 0 {
		t.Errorf("%s: %v", expr, res.Warnings)
	}
	if s, ok := res.Value.(promql.Scalar); ok {
		return promql.Vector{{T: s.T, F: s.V}}
	}
	v, err := res.Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return v
}

// metricsOf returns the metrics of an expression, each with the labels by which it is selected; grouped are those by which
// results are grouped or matched.
func metricsOf(t *testing.T, expr string) (selected map[string][]string, grouped []string) {
	t.Helper()
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	selected = map[string][]string{}
	err = parser.Walk(visitor(func(n parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			if n.Name == "" {
				return fmt.Errorf("%s selects by no name", n)
			}
			for _, m := range n.LabelMatchers {
				if m.Name != "__name__" {
					selected[n.Name] = append(selected[n.Name], m.Name)
				}
			}
			selected[n.Name] = append(selected[n.Name], "job")
		case *parser.AggregateExpr:
			grouped = append(grouped, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				grouped = append(append(grouped, n.VectorMatching.MatchingLabels...), n.VectorMatching.Include...)
			}
		}
		return nil
	}), tree, nil)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return selected, grouped
}

type visitor func(parser.Node) error

// Visit implements parser.Visitor.
func (v visitor) Visit(n parser.Node, _ []parser.Node) (parser.Visitor, error) {
	if n == nil {
		return nil, nil //nolint:nilnil // the interface says so
	}
	return v, v(n)
}

// known checks that an expression names only what an engine gives (M1), and returns the metrics that it names.
func (d *database) known(t *testing.T, where, expr string) []string {
	t.Helper()
	selected, grouped := metricsOf(t, expr)
	all := map[string]bool{}
	var names []string
	for name, by := range selected {
		names = append(names, name)
		has := d.labelsOf(name)
		if has == nil {
			t.Errorf("%s: no engine gives %s: %s", where, name, expr)
			continue
		}
		for _, l := range by {
			if !has[l] {
				t.Errorf("%s: %s has no label %s: %s", where, name, l, expr)
			}
		}
		for l := range has {
			all[l] = true
		}
	}
	for _, l := range grouped {
		if !all[l] {
			t.Errorf("%s: nothing has a label %s to group by: %s", where, l, expr)
		}
	}
	return names
}

// labelsOf are the labels of a metric; nil: there is none.
func (d *database) labelsOf(name string) map[string]bool {
	var has map[string]bool
	for _, s := range d.series {
		if s.labels.Get("__name__") != name {
			continue
		}
		if has == nil {
			has = map[string]bool{"__name__": true}
		}
		s.labels.Range(func(l labels.Label) { has[l.Name] = true })
	}
	return has
}
