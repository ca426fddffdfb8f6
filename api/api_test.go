package api

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/stats"
	"github.com/wattline/wattline/rating"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an engine with what it is told.
type fake struct {
	found   []engine.SessionView
	err     error // of Session and Dearest
	ready   error
	stats   []engine.PartitionStats
	ends    []ends.State
	askedID string
	askedN  int
}

func (f *fake) Session(_ context.Context, id string) ([]engine.SessionView, error) {
	f.askedID = id
	return f.found, f.err
}

func (f *fake) Dearest(_ context.Context, n int) ([]engine.SessionView, error) {
	f.askedN = n
	return f.found[:min(n, len(f.found))], f.err
}

func (f *fake) Prices(_ context.Context, _ engine.Partition, ids []engine.SessionID) ([]engine.SessionView, error) {
	out := make([]engine.SessionView, len(ids))
	for i, id := range ids {
		for _, v := range f.found {
			if v.ID == id.String() {
				out[i] = v
			}
		}
	}
	return out, f.err
}

func (f *fake) Ready() error                   { return f.ready }
func (f *fake) Stats() []engine.PartitionStats { return f.stats }
func (f *fake) Ends() []ends.State             { return f.ends }

// example is the session of docs/API.md.
func example() engine.SessionView {
	return engine.SessionView{
		ID: "765ddfae-5291-bca8-291b-c83bdca1b294", ChargePoint: "WTL-BER-00190", Connector: 1, Transaction: "318000003",
		Location: "DE*WTL*BER00016", Tariff: "NL*WTL*DC-POWER", Currency: "EUR", Zone: "Europe/Berlin", Status: engine.StatusActive,
		State: rating.StateCharging, StartMs: 1_767_597_428_849, LastMs: 1_767_599_087_471,
		Total: rating.Total{ExclMicros: 37_234_176, InclMicros: 45_053_353, EnergyMwh: 48_264_023},
		Flags: engine.FlagDuplicate, Split: rating.SplitPower, PeriodMs: 1_767_598_572_183, Readings: 59,
		Partition: engine.Partition{Topic: "wattline.readings", Number: 3}, Position: 1_143_996_416, Offset: 21_017,
	}
}

func get(t *testing.T, f *fake, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(Config{Sessions: f, Health: f, Version: "v1", Pprof: true}).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// indented is JSON as the page shows it.
func indented(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	var v json.RawMessage
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPage: the answer that docs/API.md shows is the one that is given.
func TestPage(t *testing.T) {
	r := get(t, &fake{found: []engine.SessionView{example()}}, "/v1/sessions/318000003")
	got := indented(t, r.Body.String())
	page, err := os.ReadFile("../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != http.StatusOK || !strings.Contains(string(page), "```json\n"+got+"```") {
		t.Errorf("status %d; docs/API.md does not show\n%s", r.Code, got)
	}
}

func TestSession(t *testing.T) {
	f := func(e *fake, id string, status int, parts ...string) {
		t.Helper()
		r := get(t, e, "/v1/sessions/"+id)
		text := r.Body.String()
		if r.Code != status {
			t.Errorf("%s: status %d, want %d: %s", id, r.Code, status, text)
		}
		if r.Header().Get("Content-Type") != "application/json" || !json.Valid([]byte(text)) {
			t.Errorf("%s: not JSON: %s", id, text)
		}
		if (r.Header().Get("Retry-After") != "") != (status == http.StatusServiceUnavailable) {
			t.Errorf("%s: Retry-After is %q", id, r.Header().Get("Retry-After"))
		}
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("%s: %q is not in %s", id, p, text)
			}
		}
	}
	one := example()
	f(&fake{found: []engine.SessionView{one}}, "x", http.StatusOK, `"incl":"45.053353"`, `"incl_micros":45053353`, `"price_reason":"power"`, `"price_since":"2026-01-05T07:36:12.183Z"`)
	unknown := one
	unknown.Total.ExclUnknown = true
	f(&fake{found: []engine.SessionView{unknown}}, "x", http.StatusOK, `"excl":null`, `"excl_micros":null`)
	negative := one
	negative.Total.InclMicros, negative.LastMs = -1, rating.Unknown
	f(&fake{found: []engine.SessionView{negative}}, "x", http.StatusOK, `"incl":"-0.000001"`, `"last":""`)
	held := one
	held.Status, held.HeldReason, held.Flags = engine.StatusHeld, "charge point or connector unknown", 0
	f(&fake{found: []engine.SessionView{held}}, "x", http.StatusOK, `"status":"HELD"`, `"held_reason":"charge point or connector unknown"`, `"flags":[]`,
		`"currency":null`, `"excl":null`, `"incl":null`, `"excl_micros":null`, `"incl_micros":null`, `"price_reason":null`, `"price_since":null`)
	f(&fake{found: []engine.SessionView{one, held}}, "318000003", http.StatusMultipleChoices, "2 sessions", `"sessions":[{`)
	f(&fake{}, "nope", http.StatusNotFound, `no session \"nope\"`, "sessions_latest")
	// A question that could not be asked everywhere is no 404 (H2), but what was found is found.
	f(&fake{err: engine.ErrCatchingUp}, "x", http.StatusServiceUnavailable, "catching up", `"code":"catching_up"`)
	f(&fake{err: engine.ErrRegrouping}, "x", http.StatusServiceUnavailable, "partitions anew", `"code":"catching_up"`)
	f(&fake{ready: errors.New("not yet in the consumer group")}, "x", http.StatusServiceUnavailable, "not yet in")
	f(&fake{found: []engine.SessionView{one}, err: engine.ErrCatchingUp}, "x", http.StatusOK, one.ID)

	e := &fake{}
	get(t, e, "/v1/sessions/CP%2F1:42")
	if e.askedID != "CP/1:42" {
		t.Errorf("asked for %q", e.askedID)
	}
}

// TestMethod: what would change something is refused, and is not taken for an unknown path.
func TestMethod(t *testing.T) {
	for _, path := range []string{"/", "/v1/sessions", "/v1/sessions/x", "/readyz"} {
		w := httptest.NewRecorder()
		Handler(Config{Sessions: &fake{}, Health: &fake{}}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: status %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestDearest(t *testing.T) {
	f := func(e *fake, query string, status, asked int, parts ...string) {
		t.Helper()
		r := get(t, e, "/v1/sessions"+query)
		text := r.Body.String()
		if r.Code != status || e.askedN != asked {
			t.Errorf("%q: status %d, asked for %d: %s", query, r.Code, e.askedN, text)
		}
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("%q: %q is not in %s", query, p, text)
			}
		}
	}
	two := []engine.SessionView{example(), example()}
	f(&fake{found: two}, "?dearest=1", http.StatusOK, 1, `{"sessions":[{"id"`, `"complete":true`)
	f(&fake{found: two}, "", http.StatusOK, 10)
	f(&fake{}, "?dearest=3", http.StatusOK, 3, `{"sessions":[],"complete":true}`)
	f(&fake{found: two, err: engine.ErrCatchingUp}, "?dearest=2", http.StatusOK, 2, `"complete":false`)
	f(&fake{err: engine.ErrCatchingUp}, "?dearest=2", http.StatusServiceUnavailable, 2)
	f(&fake{}, "?dearest=0", http.StatusBadRequest, 0, "between 1 and 1000")
	f(&fake{}, "?dearest=1001", http.StatusBadRequest, 0)
	f(&fake{}, "?dearest=x", http.StatusBadRequest, 0)
}

func TestHealth(t *testing.T) {
	f := func(e *fake, path string, status int, part string) {
		t.Helper()
		r := get(t, e, path)
		if text := r.Body.String(); r.Code != status || !strings.Contains(text, part) {
			t.Errorf("%s: status %d: %s", path, r.Code, text)
		}
	}
	down := &fake{ready: errors.New("halted wattline.readings/1: plan-gap")}
	f(down, "/healthz", http.StatusOK, "alive") // a halt is no reason to be killed: a restart changes nothing
	f(down, "/readyz", http.StatusServiceUnavailable, "plan-gap")
	f(&fake{}, "/readyz", http.StatusOK, "ready")
	full := ends.State{End: ends.Store, State: ends.FaultFull, Since: time.UnixMilli(1_767_597_428_849), Detail: "no room", Do: "make room"}
	f(&fake{ends: []ends.State{full}}, "/readyz", http.StatusServiceUnavailable, "store is full since 2026-01-05T07:17:08Z: no room; what to do: make room")
	f(&fake{ends: []ends.State{{End: ends.Store, State: ends.FaultNone}}}, "/readyz", http.StatusOK, "ready")
	f(&fake{}, "/", http.StatusOK, "/v1/sessions/{id}")
	f(&fake{}, "/nothing", http.StatusNotFound, "no such path")
	f(&fake{}, "/debug/pprof/", http.StatusOK, "goroutine")

	w := httptest.NewRecorder()
	Handler(Config{Sessions: down, Health: down}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("/debug/pprof without Pprof: status %d", w.Code)
	}
}

// metricNames reads /metrics and returns our metrics with the value of their last line.
func metricNames(t *testing.T, e *fake) map[string]string {
	t.Helper()
	r := get(t, e, "/metrics")
	names := map[string]string{}
	for line := range strings.Lines(r.Body.String()) {
		if strings.HasPrefix(line, "wattline_") {
			name, _, _ := strings.Cut(line, "{")
			name, _, _ = strings.Cut(name, " ")
			names[name] = strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
		}
	}
	return names
}

func TestMetrics(t *testing.T) {
	p := engine.Partition{Topic: "wattline.readings", Number: 2}
	got := metricNames(t, &fake{stats: []engine.PartitionStats{{
		Partition: p, Recoveries: 18, Figures: stats.Figures{
			Records: 1, Readings: 2, Rejects: 3, Opened: 4, Ended: 5, Outside: 6, EnergyMwh: 7, Live: 8, Held: 9, Position: 10, Committed: 11,
			End: 25, WatermarkMs: 12_500, DurableMs: 13_500, Blocks: 14, Rows: 15, Snapshots: 16, RateNs: 17_000_000_000,
			FallbackBefore: 19, FallbackLedger: 20, StallNs: 21_000_000_000, StallMaxNs: 2_000_000, CDRs: 22, NoCDRs: 23, Prices: 24,
		},
	}}})
	want := map[string]string{
		"wattline_messages_total": "1", "wattline_readings_total": "2", "wattline_rejects_total": "3", "wattline_sessions_opened_total": "4",
		"wattline_sessions_ended_total": "5", "wattline_outside_readings_total": "6", "wattline_energy_milliwatthours_total": "7",
		"wattline_live_sessions": "8", "wattline_held_sessions": "9", "wattline_next_offset": "10", "wattline_committed_offset": "11",
		"wattline_lag_messages": "15", "wattline_watermark_seconds": "12.5", "wattline_durable_watermark_seconds": "13.5", "wattline_blocks_total": "14",
		"wattline_rows_total": "15", "wattline_snapshots_total": "16", "wattline_snapshot_fallbacks_before_total": "19",
		"wattline_snapshot_fallbacks_ledger_total": "20", "wattline_rating_seconds_total": "17", "wattline_halted_partitions": "0",
		"wattline_ready": "1", "wattline_build_info": "1", "wattline_recoveries_total": "18", "wattline_failing_partitions": "0",
		"wattline_cdrs_total": "22", "wattline_sessions_without_cdr_total": "23", "wattline_prices_total": "24",
		"wattline_snapshot_stall_seconds_total": "21", "wattline_snapshot_stall_seconds_max": "0.002",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("metrics (-want +got)\n%s", d)
	}
	// What is not known is not there, rather than 0; a halted partition has nothing but that.
	got = metricNames(t, &fake{ready: errors.New("x"), stats: []engine.PartitionStats{{Partition: p, Figures: stats.Figures{End: -1, WatermarkMs: rating.Unknown}}}})
	for _, name := range []string{"wattline_lag_messages", "wattline_watermark_seconds", "wattline_durable_watermark_seconds", "wattline_committed_offset"} {
		if v, ok := got[name]; ok {
			t.Errorf("%s is %s, though it is not known", name, v)
		}
	}
	got = metricNames(t, &fake{ready: errors.New("x"), stats: []engine.PartitionStats{{Partition: p, Figures: stats.Unknown(), Halted: "plan-gap"}}})
	if d := cmp.Diff(map[string]string{"wattline_halted_partitions": "1", "wattline_ready": "0", "wattline_build_info": "1"}, got); d != "" {
		t.Errorf("metrics of a halted partition (-want +got)\n%s", d)
	}
}

// TestEndMetrics: an end has a line for each state that it could be in, so that a query for one never finds nothing.
func TestEndMetrics(t *testing.T) {
	r := get(t, &fake{ends: []ends.State{{End: ends.Store, State: ends.FaultFull, Changes: 3, Errors: 9, Waiting: 2}}}, "/metrics")
	var got []string
	for line := range strings.Lines(r.Body.String()) {
		if strings.HasPrefix(line, "wattline_end_") || strings.HasPrefix(line, "wattline_ready") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{`wattline_end_changes_total{end="store"} 3`, `wattline_end_errors_total{end="store"} 9`}
	for _, f := range []string{"denied", "failing", "full", "ok", "overloaded", "read-only", "schema", "slow", "too-many-parts", "unreachable"} {
		n := "0"
		if f == "full" {
			n = "1"
		}
		want = append(want, `wattline_end_state{end="store",state="`+f+`"} `+n)
	}
	want = append(want, `wattline_end_waiting{end="store"} 2`, "wattline_ready 0")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &fake{}
	s := Serve(ln, Config{Sessions: e, Health: e})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://" + ln.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusOK {
		t.Errorf("status %d", r.StatusCode)
	}
	if err := r.Body.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if r, err := client.Get("http://" + ln.Addr().String() + "/healthz"); err == nil {
		_ = r.Body.Close()
		t.Error("it answers after Close")
	}
}
