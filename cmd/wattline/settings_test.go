package main

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/api"
	"github.com/wattline/wattline/connectors/arrowipc"
	"github.com/wattline/wattline/connectors/jsonreading"
	"github.com/wattline/wattline/connectors/ocpp"
	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/liveview"
	"github.com/wattline/wattline/rating"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestDefaults: an empty configuration gives the engine its own defaults, but for the stop, which is part of a longer one.
func TestDefaults(t *testing.T) {
	got := engineConfig(config.Default(), "x")
	if got.StopTimeout+stopRest >= 5*time.Second {
		t.Errorf("a stop may take %v", got.StopTimeout+stopRest)
	}
	want := engine.Config{EngineID: "x", StopTimeout: got.StopTimeout}.WithDefaults()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-engine's +ours)\n%s", d)
	}
	if err := checkPackages(config.Default()); err != nil {
		t.Errorf("the default configuration is faulty: %v", err)
	}
}

func TestDecoders(t *testing.T) {
	cfg, err := config.Load("", []string{"WATTLINE_KAFKA_READINGS=a:protobuf,b:ocpp16,j:json"})
	if err != nil {
		t.Fatal(err)
	}
	pick := decoders(cfg)
	message := wire.Append(nil, &rating.Reading{AtMs: 1_767_597_428_849, RegisterMwh: 1, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, Seq: rating.Unknown})
	frame := []byte(`{"received":"2026-01-01T00:00:00Z","charger":"c","direction":"in","frame":[2,"1","StatusNotification",{"connectorId":1,"status":"Charging","errorCode":"NoError"}]}`)
	reading := []byte(`{"register_mwh":1}`)
	event := []byte(`[2,"1","StatusNotification",{"timestamp":"2026-01-01T00:00:00Z","connectorStatus":"Available","evseId":1,"connectorId":1}]`)
	batch, err := arrowipc.Encode(nil, []rating.Reading{{Seq: 1}})
	if err != nil {
		t.Fatal(err)
	}
	f := func(topic, contentType, want string) {
		t.Helper()
		var header []byte
		if contentType != "" {
			header = []byte(contentType)
		}
		got := ""
		if decode := pick(topic, header); decode != nil {
			for _, m := range []struct {
				name  string
				bytes []byte
			}{{"arrow", batch}, {"protobuf", message}, {"ocpp201", event}, {"ocpp16", frame}, {"json", reading}} {
				if list, err := decode([]byte("k"), m.bytes, nil); err == nil && len(list) == 1 {
					got += m.name
				}
			}
		}
		if got != want {
			t.Errorf("%s %q: reads %q, want %q", topic, contentType, got, want)
		}
	}
	f("a", "", "protobuf")
	f("b", "", "ocpp16")
	f("j", "", "json")
	f("a", ocpp.ContentType, "ocpp16")
	f("b", wire.ContentType, "protobuf")
	f("b", jsonreading.ContentType, "json")
	f("a", "application/json; charset=utf-8", "json")
	f("b", "Application/JSON", "ocpp16")
	f("j", "application/json", "json")
	f("a", "application/vnd.apache.arrow.stream", "arrow")
	f("a", ocpp.ContentType2, "ocpp201")
	f("a", "text/csv", "")
	f("c", "", "")
	for _, name := range config.Formats() {
		if f, ok := formatNamed(name); !ok || f.decode == nil || f.accepts == nil {
			t.Errorf("format %s of the configuration has no decoder", name)
		}
	}
	if n := len(formats()); n != len(config.Formats()) {
		t.Errorf("%d formats, the configuration has %d", n, len(config.Formats()))
	}
}

func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	addr := taken.Addr().String()
	if ln, _, err := listen(addr, true); err == nil {
		_ = ln.Close()
		t.Errorf("port of %s was asked for and taken, and it listens at %s", addr, ln.Addr())
	}
	ln, isMoved, err := listen(addr, false)
	if err != nil || !isMoved || portOf(ln.Addr().String()) <= portOf(addr) {
		t.Fatalf("next free port: %v, moved %v, %v", ln, isMoved, err)
	}
	defer func() { _ = ln.Close() }()
	if text := moved(ln.Addr().String(), addr); !strings.Contains(text, itoa(portOf(addr))+" was taken") {
		t.Errorf("said %q", text)
	}
	if text := moved(addr, addr); text != "" {
		t.Errorf("said %q of the port asked for", text)
	}
	if text := moved(addr, "127.0.0.1:0"); text != "" {
		t.Errorf("said %q of any port", text)
	}
}

func TestConfigCommands(t *testing.T) {
	f := func(args, file string, wantCode int, wants ...string) {
		t.Helper()
		code, out, errs := runCLI(t, split(args), file)
		if code != wantCode {
			t.Errorf("%s: exit %d\n%s%s", args, code, out, errs)
		}
		for _, w := range wants {
			if !strings.Contains(out+errs, w) {
				t.Errorf("%s: %q is not in\n%s%s", args, w, out, errs)
			}
		}
	}
	f("config check --offline --config FILE0", "kafka:\n  session_timeout: 3x\n  grup: a\n", exitFault,
		`kafka.session_timeout: "3x" is not a duration`, "line 2", "did you mean kafka.group?", "line 3")
	f("config check --offline --config FILE0", "kafka:\n  session_timeout: 40s\n", exitOK, "no fault")
	f("config check --offline --config FILE0", "clickhouse:\n  database: 'a b'\n", exitFault, "a b")
	f("config check --offline --config FILE0", "kafka: {tls: true, brokers: a:1, tls_ca_file: /nonexistent}\n", exitFault, "kafka.tls_ca_file")
	f("config show --config FILE0", "kafka:\n  session_timeout: 40s\n", exitOK, "session_timeout: 40s", "line 2", "WATTLINE_KAFKA_SESSION_TIMEOUT")
	f("config show --config /nonexistent", "", exitFault, "/nonexistent")
	f("config show x", "", exitUsage, "no argument \"x\"")
	f("config check --offline --config FILE0", "clickhouse: {addr: [localhost:1], password_file: /nonexistent}\n", exitOK, "no fault")
	f("config show --config FILE0", "clickhouse: {addr: [localhost:1], password: hush}\n", exitOK, "# password: (set, not shown)")
	f("run --config FILE0", "http: {addr: x}\n", exitFault, "http.addr")
	f("run --config FILE0", "kafka: {brokers: 'a:1'}\n", exitFault, "kafka.brokers", "kafka.insecure")
	// What is allowed though it is not safe is said at every start, whatever the log's level.
	f("config check --offline --config FILE0", "kafka: {brokers: 'a:1', insecure: true}\nlog: {level: error}\n", exitOK, "no fault", "level=WARN msg=insecure", "kafka.insecure is set")
	f("config check --offline --config FILE0", "http: {tls_cert_file: /nonexistent, tls_key_file: /nonexistent}\n", exitFault, "http.tls_cert_file")
	f("version", "", exitOK, "rating version")
}

// TestAPIToken: the token is printed, its hash kept where the configuration says.
func TestAPIToken(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	f := func(args, file string, wantCode int, want string) string {
		t.Helper()
		code, out, errs := runCLI(t, split(args), file)
		if code != wantCode || !strings.Contains(out+errs, want) {
			t.Errorf("%s: exit %d\n%s%s", args, code, out, errs)
		}
		return strings.TrimSpace(out)
	}
	configured := "http: {tokens_file: " + tokens + "}\n"
	reader := f("api token --config FILE0 grafana", configured, exitOK, "wl_")
	operator := f("api token --role operator --file "+tokens+" night", "", exitOK, "wl_")
	kept, err := os.ReadFile(tokens)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(kept), "\n"); lines != 2 || strings.Contains(string(kept), reader) || strings.Contains(string(kept), operator) || reader == operator {
		t.Errorf("kept is\n%s", kept)
	}
	opened, err := api.OpenTokens(tokens, nil)
	if err != nil || opened == nil {
		t.Error(err)
	}
	f("api token x", "", exitUsage, "http.tokens_file is not configured")
	f("api token", "", exitUsage, "give one NAME")
	f("api token --role admin --file "+tokens+" x", "", exitFault, "no role")
}

func TestEngineID(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	if id, err := engineID(cfg); err != nil || id != host {
		t.Errorf("%q, %v", id, err)
	}
	cfg.Engine.ID = "engine-1"
	if id, err := engineID(cfg); err != nil || id != "engine-1" {
		t.Errorf("%q, %v", id, err)
	}
}

func TestNotices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	log, heard := liveview.NewNotices(slog.NewTextHandler(file, nil))
	log.Info("quiet")
	with := log.With("partition", "t/1")
	for i := range liveview.NoticesKept + 1 {
		with.Warn("loud", "n", i)
	}
	lines, total := heard.Newest()
	if len(lines) != liveview.NoticesKept || total != liveview.NoticesKept+1 || !strings.HasSuffix(lines[0], "loud partition=t/1 n=1") {
		t.Errorf("%d in all, kept %q", total, lines)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Count(string(text), "\n") != liveview.NoticesKept+2 {
		t.Errorf("the log has\n%s%v", text, err)
	}
}

func TestParseTotals(t *testing.T) {
	got, err := parseTotals("\t1\t2\t3\nEUR\t10\t20\t-30\n")
	if err != nil || got.rows != 11 || got.energyMwh != 22 || len(got.revenue) != 1 || got.revenue[0].Micros != -30 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"EUR\t1\t2\n", "EUR\t1\tx\t3\n"} {
		if got, err := parseTotals(bad); err == nil {
			t.Errorf("%q gives %+v", bad, got)
		}
	}
}
