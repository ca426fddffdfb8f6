package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/reflog"
)

// flow is Kafka and the store as commands of their own, and files that lead there.
type flow struct {
	t      *testing.T
	dir    string
	config string // of an engine
}

func newFlow(t *testing.T) *flow {
	t.Helper()
	f := &flow{t: t, dir: t.TempDir()}
	own := f.file("own.yaml", "data: {dir: "+f.dir+"}\nkafka: {embedded_addr: '127.0.0.1:0'}\nclickhouse: {embedded_addr: '127.0.0.1:0'}\n")
	said := func(command string) string {
		r := begin(t, command, "--config", own)
		address := regexp.MustCompile(`(?m)^addr (\S+)$`)
		await(t, "address of "+command, func() bool { return address.MatchString(r.out.String()) }, func() string { return r.out.String() + r.err.String() })
		return address.FindStringSubmatch(r.out.String())[1]
	}
	kafka, store := said("kafka"), said("store")
	f.config = f.file("wattline.yaml", fmt.Sprintf("engine: {id: one, block_age_max: 1s}\ndata: {dir: %s}\nkafka:\n  brokers: %s\n  readings: wattline.readings:protobuf:2\n  leave_on_stop: true\n"+
		"clickhouse:\n  addr: %s\n  password_file: %s\nhttp: {addr: '127.0.0.1:0'}\n", f.dir, kafka, store, filepath.Join(f.dir, "store", "password")))
	return f
}

func (f *flow) file(name, text string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// do runs a command to its end.
func (f *flow) do(code int, args ...string) string {
	f.t.Helper()
	args = append(args, "--config", f.config)
	got, out, errs := runCLI(f.t, args)
	if got != code {
		f.t.Fatalf("wattline %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
	}
	return out + errs
}

// engine runs an engine until all is rated and durable, asks its API, and stops it.
func (f *flow) engine(ask func(addr string)) (log string) {
	f.t.Helper()
	r := begin(f.t, "run", "--config", f.config)
	address := regexp.MustCompile(`stage=api .*detail=http://(\S+)`)
	lag := regexp.MustCompile(`(?m)^wattline_(messages_total|lag_messages|next_offset|committed_offset)\{partition="(\d)".* (\S+)$`)
	addr := ""
	await(f.t, "an engine that has rated all", func() bool {
		m := address.FindStringSubmatch(r.err.String())
		if m == nil {
			return false
		}
		addr = m[1]
		figures := map[string]string{}
		for _, m := range lag.FindAllStringSubmatch(f.get(addr, "/metrics"), -1) {
			figures[m[1]+m[2]] = m[3]
		}
		done := 0
		for _, p := range []string{"0", "1"} {
			durable := figures["next_offset"+p] == figures["committed_offset"+p] || figures["messages_total"+p] == "0"
			if figures["lag_messages"+p] == "0" && figures["next_offset"+p] != "0" && durable {
				done++
			}
		}
		return done == 2
	}, r.err.String)
	await(f.t, "the word that it is ready", func() bool { return r.out.String() == "ready at http://"+addr+"\n" }, r.out.String)
	if ask != nil {
		ask(addr)
	}
	began := time.Now()
	r.stop(f.t)
	if took := time.Since(began); took > 5*time.Second {
		f.t.Errorf("Ctrl-C took %v", took)
	}
	return r.err.String()
}

func (f *flow) get(addr, path string) string {
	res, err := http.Get("http://" + addr + path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestFlow goes the way of somebody with a Kafka and a store: migrate, load, run, ask, adopt, run.
func TestFlow(t *testing.T) {
	f := newFlow(t)
	f.do(exitOK, "migrate")
	f.do(exitOK, "migrate")
	truth := filepath.Join(f.dir, "truth.jsonl")
	said := f.do(exitOK, "load", "--readings", "5000", "--chargers", "40", "--publish", "--format", "json", "--truth", truth)
	if !strings.Contains(said, `"records":500`) {
		t.Errorf("load said %s", said)
	}
	live := f.liveTruth(truth)
	log := f.engine(func(addr string) { f.compareLive(addr, live) })
	order := regexp.MustCompile(`(?s)msg=stopped stage=engine.*stage=api.*stage=group.*stage=topics.*stage=tables`)
	if !order.MatchString(log) {
		t.Errorf("it did not stop from the source forwards:\n%s", log)
	}

	// Nothing has to be adopted: it says so, and does nothing without --yes.
	adopt := []string{"adopt", "--topic", "wattline.readings", "--partition", "1"}
	said = f.do(exitOK, adopt...)
	if !strings.Contains(said, "an engine's own") || !strings.Contains(said, "Nothing was done") || strings.Contains(said, "Done:") {
		t.Errorf("adopt said %s", said)
	}
	// The group is lost: the engine halts, and goes on where it is told.
	f.spoil(1)
	r := begin(t, "run", "--config", f.config)
	await(t, "a halt", func() bool { return strings.Contains(r.err.String(), "foreign-commit") }, r.err.String)
	if !strings.Contains(r.err.String(), "wattline adopt --topic wattline.readings --partition 1") {
		t.Errorf("the halt does not say what to do:\n%s", r.err.String())
	}
	if said = f.do(exitFault, append(adopt, "--yes")...); !strings.Contains(said, "an engine of group wattline still runs") {
		t.Errorf("adopt with an engine running said %s", said)
	}
	if strings.Contains(r.out.String(), "ready at") {
		t.Error("a halted engine said that it is ready")
	}
	r.stop(t)
	if said = f.do(exitFault, append(adopt, "--from", "3")...); !strings.Contains(said, "would count twice") {
		t.Errorf("adopt below the newest block said %s", said)
	}
	if said = f.do(exitFault, append(adopt, "--from", "99999999")...); !strings.Contains(said, "beyond the log's end") {
		t.Errorf("adopt beyond the end said %s", said)
	}
	if said = f.do(exitOK, append(adopt, "--yes")...); !strings.Contains(said, "not an engine's") || !strings.Contains(said, "Done:") {
		t.Errorf("adopt said %s", said)
	}
	f.engine(nil)
	f.do(exitUsage, "adopt", "--topic", "x")
	f.do(exitFault, "adopt", "--topic", "x", "--partition", "0")
}

// truthLine is what load writes of a session.
type truthLine struct {
	ChargePoint string `json:"charge_point"`
	Transaction string `json:"transaction"`
	Finished    bool   `json:"finished"`
	Readings    int64  `json:"readings"`
	EnergyMwh   int64  `json:"energy_mwh"`
	InclMicros  int64  `json:"incl_micros"`
}

// liveTruth is what is said of the sessions that have not ended.
func (f *flow) liveTruth(file string) []truthLine {
	f.t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		f.t.Fatal(err)
	}
	var live []truthLine
	for line := range strings.Lines(string(src)) {
		var l truthLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			f.t.Fatalf("%v: %s", err, line)
		}
		if !l.Finished && l.Readings > 1 {
			live = append(live, l)
		}
	}
	if len(live) < 5 {
		f.t.Fatalf("only %d sessions run", len(live))
	}
	return live
}

// compareLive asks for every running session by its transaction.
func (f *flow) compareLive(addr string, live []truthLine) {
	f.t.Helper()
	for _, l := range live {
		text := f.get(addr, "/v1/sessions/"+l.ChargePoint+":"+l.Transaction)
		var got struct {
			EnergyMwh  int64 `json:"energy_mwh"`
			InclMicros int64 `json:"incl_micros"`
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.EnergyMwh != l.EnergyMwh || got.InclMicros != l.InclMicros {
			f.t.Errorf("%s %s: want %d mWh, %d micros, the API says %s", l.ChargePoint, l.Transaction, l.EnergyMwh, l.InclMicros, text)
		}
	}
	if text := f.get(addr, "/readyz"); !strings.Contains(text, "ready") {
		f.t.Errorf("/readyz says %s", text)
	}
}

// spoil replaces the group's commit of a partition with one that no engine wrote, as a tool that resets offsets does.
func (f *flow) spoil(partition int32) {
	f.t.Helper()
	cfg, err := config.Load(f.config, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	raw := &kafkago.Client{Addr: kafkago.TCP(cfg.Kafka.Brokers...), Timeout: cfg.Kafka.RequestTimeout}
	p := engine.Partition{Topic: "wattline.readings", Number: partition}
	await(f.t, "an empty group", func() bool {
		err = commitOutside(f.t.Context(), raw, cfg, p, 7, "somebody else's")
		return !errors.Is(err, kafkago.UnknownMemberId)
	}, func() string { return fmt.Sprint(err) })
	if err != nil {
		f.t.Fatal(err)
	}
}

// TestPaced: a rate is kept to, and nothing is left out.
func TestPaced(t *testing.T) {
	f := newFlow(t)
	began := time.Now()
	said := f.do(exitOK, "load", "--readings", "300", "--chargers", "40", "--rate", "1000", "--reference", filepath.Join(f.dir, "reference"))
	if took := time.Since(began); took < 200*time.Millisecond || !strings.Contains(said, `"records":30`) {
		t.Errorf("300 readings at 1000 a second took %v: %s", took, said)
	}
	if _, err := reflog.Records(t.Context(), filepath.Join(f.dir, "reference"), nil, reflog.Options{}, func(string) {}); err != nil {
		t.Error(err)
	}
}

// TestStages: what runs is stopped the other way round, also when one fails to start or stop.
func TestStages(t *testing.T) {
	var told []string
	s := stages{log: slog.New(slog.DiscardHandler), tell: func(line string) { told = append(told, strings.Fields(line)[0]+" "+strings.Fields(line)[1]) }}
	broken := errors.New("broken")
	f := func(name string, startErr, stopErr error) error {
		return s.start(t.Context(), name, stageOf(startErr, stopErr))
	}
	if err := errors.Join(f("sink", nil, nil), f("log", nil, broken), f("engine", nil, nil)); err != nil {
		t.Fatal(err)
	}
	if err := f("load", broken, nil); !errors.Is(err, broken) || !strings.Contains(err.Error(), "start load") {
		t.Errorf("start: %v", err)
	}
	if err := s.stopAll(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "stop log") {
		t.Errorf("stop: %v", err)
	}
	want := "sink up|log up|engine up|engine stopped|log stopped|sink stopped"
	if got := strings.Join(told, "|"); got != want {
		t.Errorf("order %s, want %s", got, want)
	}
}
