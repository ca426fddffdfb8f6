package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// engineNode is an engine under one lasting name: started, killed and started again with the same configuration.
type engineNode struct {
	s      *scene
	id     string
	api    string // its HTTP address
	config string // path
	proc   *process
}

// readingsTopic is the scene's topic of readings.
func (s *scene) readingsTopic() string { return s.name + ".readings" }

func (s *scene) rejectsTopic() string { return s.name + ".rejects" }

func (s *scene) cdrsTopic() string { return s.name + ".cdrs" }

func (s *scene) pricesTopic() string { return s.name + ".prices" }

// configText is a configuration that shares nothing with other scenes but the broker and the store. more are lines of
// section engine, indented by two.
func (s *scene) configText(id, api, format string, partitions int32, more ...string) string {
	partitioner := "murmur2" // as loadgen sends; the charger logs are dealt out by the test
	if format == "ocpp16" {
		partitioner = "none"
	}
	lines := []string{
		"engine:", "  id: " + id,
	}
	lines = append(lines, more...)
	lines = append(
		lines,
		"kafka:", "  brokers: ["+shared.kafka.Addr()+"]", "  group: "+s.name,
		fmt.Sprintf("  readings: ['%s:%s:%d:%s']", s.readingsTopic(), format, partitions, partitioner),
		"  reference_topic: "+s.name+".reference", "  state_topic: "+s.name+".state", "  rejects_topic: "+s.rejectsTopic(),
		"  cdrs_topic: "+s.cdrsTopic(), "  prices_topic: "+s.pricesTopic(),
		"  session_timeout: 10s", "  heartbeat_interval: 500ms",
		"clickhouse:", "  addr: ["+shared.storeAddr+"]", "  password_file: "+shared.passwordFile, "  database: "+s.name,
		"http:", "  addr: "+api,
		"data:", "  dir: "+s.dir+"/data-"+id,
		"log:", "  level: info",
	)
	return strings.Join(lines, "\n") + "\n"
}

// engine describes an engine of the scene; it does not run yet.
func (s *scene) engine(id, format string, partitions int32, more ...string) *engineNode {
	s.t.Helper()
	e := &engineNode{s: s, id: id, api: freeAddr(s.t)}
	e.config = s.write(id+".yaml", s.configText(id, e.api, format, partitions, more...))
	return e
}

// start starts the engine and does not wait.
func (e *engineNode) start() {
	e.s.t.Helper()
	e.proc = e.s.launch(e.id, "run", "--config", e.config)
}

// kill is kill -9.
func (e *engineNode) kill() {
	e.s.t.Helper()
	if err := e.proc.kill(); err != nil {
		e.s.t.Fatal(err)
	}
}

// stop is a clean stop, which the program promises to finish within 5 s.
func (e *engineNode) stop() time.Duration {
	e.s.t.Helper()
	took, err := e.proc.stop(syscall.SIGTERM, 5*time.Second)
	if err != nil {
		e.s.t.Fatal(err)
	}
	return took
}

// ready waits until the engine says that it is.
func (e *engineNode) ready() {
	e.s.t.Helper()
	e.s.await("engine "+e.id+" ready", time.Minute, []*process{e.proc}, func() (bool, string) {
		code, body := e.get("/readyz", nil)
		return code == http.StatusOK, fmt.Sprintf("%d %s", code, body)
	})
}

// get asks the engine's API and decodes the answer into v unless that is nil. Code 0: no answer.
func (e *engineNode) get(path string, v any) (code int, body string) {
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get("http://" + e.api + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	if v != nil && res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, v); err != nil {
			e.s.t.Errorf("GET %s: %v in %s", path, err, b)
		}
	}
	return res.StatusCode, string(b)
}

// metric is the sum of a metric over all its labels, from the lines of /metrics; false: the engine does not answer, or
// has no such metric.
func (e *engineNode) metric(name string) (sum float64, ok bool) {
	_, body := e.get("/metrics", nil)
	for line := range strings.Lines(body) {
		labelled, found := strings.CutPrefix(line, name)
		if !found || labelled == "" || labelled[0] != '{' && labelled[0] != ' ' {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(labelled[strings.LastIndexByte(labelled, ' '):]), 64)
		if err != nil {
			e.s.t.Errorf("GET /metrics: %q: %v", line, err)
			continue
		}
		sum, ok = sum+v, true
	}
	return sum, ok
}

// runningSession is what GET /v1/sessions/{id} says, as far as it is looked at.
type runningSession struct {
	ID          string  `json:"id"`
	ChargePoint string  `json:"charge_point"`
	Connector   int32   `json:"connector"`
	Transaction string  `json:"transaction"`
	Status      string  `json:"status"`
	State       string  `json:"state"`
	Start       string  `json:"start"`
	Last        string  `json:"last"`
	EnergyMwh   int64   `json:"energy_mwh"`
	Currency    string  `json:"currency"`
	ExclMicros  *int64  `json:"excl_micros"`
	InclMicros  int64   `json:"incl_micros"`
	Excl        *string `json:"excl"`
	Incl        string  `json:"incl"`
	Tariff      string  `json:"tariff"`
	Partition   int32   `json:"partition"`
	Offset      int64   `json:"offset"`
}

func runningEngines(list ...*engineNode) []*process {
	var procs []*process
	for _, e := range list {
		procs = append(procs, e.proc)
	}
	return procs
}
