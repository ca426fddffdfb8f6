package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/stats"
)

// everything is an engine of which all is known.
func everything() *collector {
	f := &fake{
		stats: []engine.PartitionStats{{Partition: engine.Partition{Topic: "t"}, Figures: stats.Figures{End: 1, WatermarkMs: 1, DurableMs: 1, Committed: 1}}},
		ends:  []ends.State{{End: ends.Store, State: ends.FaultNone}},
	}
	return newCollector(f, "v1", Around{
		Members: func() int { return 2 }, StoreSkew: func() (time.Duration, bool) { return -1500 * time.Millisecond, true }, MemoryLimitBytes: 5, streams: func() int { return 3 },
		Rules: Rules{RatingVersion: "1", Slice: "15m0s", SessionTimeout: "1h0m0s", Readings: "t:protobuf:1:none"},
	})
}

// TestMetricsPage: docs/METRICS.md has every metric with its type and labels, and no other; each says what it is and
// when to worry, and the pages that it names are there.
func TestMetricsPage(t *testing.T) {
	registry := prometheus.NewPedanticRegistry() // also sees that Describe says what Collect gives
	registry.MustRegister(everything())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		given[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, ", ")
		if counter := strings.HasSuffix(f.GetName(), "_total"); counter != (f.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s: a counter ends in _total, nothing else does", f.GetName())
		}
	}
	page, err := os.ReadFile("../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(wattline_[a-z_]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(page), -1) {
		cells := strings.Split(m[2], " | ")
		if len(cells) != 5 || strings.TrimSpace(cells[1]) == "" || len(cells[3]) < 5 || strings.TrimSpace(cells[4]) == "" {
			t.Errorf("%s: the page wants type, unit, labels, what it is, when to worry: %q", m[1], cells)
			continue
		}
		labels := strings.Fields(strings.ReplaceAll(cells[2], ",", " "))
		slices.Sort(labels)
		if _, twice := told[m[1]]; twice {
			t.Errorf("%s is there twice", m[1])
		}
		told[m[1]] = strings.TrimSpace(cells[0]) + " " + strings.Join(labels, ", ")
		if unit := strings.TrimSpace(cells[1]); strings.HasPrefix(unit, "s") && len(unit) == 1 && !strings.Contains(m[1], "_seconds") {
			t.Errorf("%s: its unit is %s, its name does not say so", m[1], unit)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(m[2], -1) {
			if _, err := os.Stat("../docs/" + link[1]); err != nil {
				t.Errorf("%s leads nowhere: %v", m[1], err)
			}
		}
	}
	if d := cmp.Diff(given, told); d != "" {
		t.Errorf("docs/METRICS.md (-given by an engine +told on the page)\n%s", d)
	}
	if len(told) < 30 {
		t.Errorf("only %d metrics found on the page: %v", len(told), slices.Collect(maps.Keys(told)))
	}
}

// TestAround: what is known beside the engine is shown, what is not known is not.
func TestAround(t *testing.T) {
	f := func(a Around, want ...string) {
		t.Helper()
		w := httptest.NewRecorder()
		Handler(Config{Sessions: &fake{}, Health: &fake{}, Around: a}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		var got []string
		for line := range strings.Lines(w.Body.String()) {
			if strings.HasPrefix(line, "wattline_") && !strings.HasPrefix(line, "wattline_ready") && !strings.HasPrefix(line, "wattline_build") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	f(Around{})
	f(Around{Members: func() int { return 0 }, StoreSkew: func() (time.Duration, bool) { return time.Second, false }})
	f(Around{
		Members: func() int { return 3 }, StoreSkew: func() (time.Duration, bool) { return -2500 * time.Millisecond, true }, MemoryLimitBytes: 4096,
		Rules: Rules{RatingVersion: "1", Slice: "15m0s", SessionTimeout: "1h0m0s", Readings: "r:protobuf:16:none"},
	},
		`wattline_config_info{rating_version="1",readings="r:protobuf:16:none",session_timeout="1h0m0s",slice="15m0s"} 1`,
		"wattline_group_members 3", "wattline_memory_limit_bytes 4096", "wattline_store_clock_skew_seconds -2.5")
}

// TestHaltReason: the label is the halt's short name, as its page is called.
func TestHaltReason(t *testing.T) {
	p := engine.Partition{Topic: "wattline.readings", Number: 3}
	f := func(text, want string) {
		t.Helper()
		if got := haltReason(&engine.PartitionStats{Partition: p, Halted: text}); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	halt := &engine.Halt{Reason: "plan-gap", Partition: p, Detail: "a: b", Do: "see the page"}
	f("", "")
	f(halt.Error(), "plan-gap")
	f(fmt.Errorf("recover %s: %w", p, halt).Error(), "plan-gap")
	f("something else", "unknown")
}
