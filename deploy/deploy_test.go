package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/wattline/wattline/internal/config"
)

// stopBound is how long an orderly stop takes at most: the engine's part and that of the rest (cmd/wattline: stopRest).
func stopBound(t *testing.T) time.Duration {
	t.Helper()
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Engine.StopTimeout + 1500*time.Millisecond
}

// variables are the names WATTLINE_... in a text.
func variables(text string) []string {
	return regexp.MustCompile(`\bWATTLINE_[A-Z_]+`).FindAllString(text, -1)
}

// knownVariables checks that the program reads every variable that text names.
func knownVariables(t *testing.T, where, text string) {
	t.Helper()
	page := read(t, "../docs/CONFIG.md")
	found := variables(text)
	for _, v := range found {
		if !strings.Contains(page, "`"+v+"`") {
			t.Errorf("%s: there is no variable %s", where, v)
		}
	}
	if len(found) == 0 {
		t.Errorf("%s has no variables", where)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestUnits: systemd takes the units, their stop is longer than ours, their variables exist, secrets come as credentials.
func TestUnits(t *testing.T) {
	for _, name := range []string{"wattline", "wattline-store"} {
		path := filepath.Join("systemd", name+".service")
		text := read(t, path)
		knownVariables(t, path, text)
		m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(text)
		if m == nil {
			t.Errorf("%s: no TimeoutStopSec", path)
			continue
		}
		if n, err := strconv.Atoi(m[1]); err != nil || time.Duration(n)*time.Second < 2*stopBound(t) {
			t.Errorf("%s: TimeoutStopSec=%s, a stop takes up to %v", path, m[1], stopBound(t))
		}
		for line := range strings.Lines(text) {
			if _, value, ok := strings.Cut(line, "_FILE="); ok && !strings.HasPrefix(value, "%d/") {
				t.Errorf("%s: a secret is no credential: %s", path, line)
			}
		}
		verifyUnit(t, name, text)
	}
}

// verifyUnit asks systemd, where it is: whether it understands everything, and how exposed the service is.
func verifyUnit(t *testing.T, name, text string) {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Logf("%s: systemd-analyze is not here, so systemd was not asked", name)
		return
	}
	// The binary is not installed here.
	file := filepath.Join(t.TempDir(), name+".service")
	if err := os.WriteFile(file, []byte(strings.Replace(text, "/usr/local/bin/wattline", "/bin/true", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, "verify", "--man=no", file).CombinedOutput(); err != nil || bytes.Contains(out, []byte(name)) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// 0 is fully locked in, 10 is root without bounds; 2.5 is what systemd calls OK.
	if out, err := exec.CommandContext(t.Context(), tool, "security", "--offline=yes", "--threshold=25", "--no-pager", file).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// compose is the part of the Compose specification that compose.yaml uses; another key is a fault.
type compose struct {
	Name     string
	Services map[string]struct {
		Image       string
		NetworkMode string `yaml:"network_mode"`
		Command     []string
		Environment map[string]string
		Volumes     []string
		Secrets     []string
		Ulimits     map[string]map[string]int
		Healthcheck struct {
			Test              []string
			Interval, Timeout time.Duration
			Retries           int
		}
		DependsOn       map[string]struct{ Condition string } `yaml:"depends_on"`
		StopGracePeriod time.Duration                         `yaml:"stop_grace_period"`
		Restart         string
	}
	Volumes map[string]any
	Secrets map[string]struct{ File string }
}

// TestCompose: there is no container engine where this was written, so the file is held to its form: known keys, pinned images,
// files that exist, health checks, nothing that listens beyond the machine.
func TestCompose(t *testing.T) {
	var c compose
	strict(t, "../compose.yaml", &c)
	for _, name := range []string{"kafka", "clickhouse", "prometheus", "grafana"} {
		s, ok := c.Services[name]
		if !ok {
			t.Errorf("no service %s", name)
			continue
		}
		if _, tag, ok := strings.Cut(s.Image, ":"); !ok || !regexp.MustCompile(`^v?\d+\.\d+`).MatchString(tag) {
			t.Errorf("%s: image %q is not pinned", name, s.Image)
		}
		if s.NetworkMode != "host" || len(s.Healthcheck.Test) < 2 || s.Restart == "" {
			t.Errorf("%s: network %q, health check %q, restart %q", name, s.NetworkMode, s.Healthcheck.Test, s.Restart)
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, named := c.Volumes[from]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", from)); err != nil || !strings.HasSuffix(v, ":ro") {
				t.Errorf("%s: volume %s: %v", name, v, err)
			}
		}
		for _, secret := range s.Secrets {
			if c.Secrets[secret].File == "" {
				t.Errorf("%s: there is no secret %s", name, secret)
			}
		}
		for key, value := range s.Environment {
			if strings.Contains(value, "0.0.0.0") || strings.Contains(strings.ToLower(key), "password") && !strings.HasSuffix(key, "_FILE") {
				t.Errorf("%s: %s=%s", name, key, value)
			}
		}
	}
	if got := c.Services["kafka"].Image; got != "apache/kafka:"+regexp.MustCompile(`<version>(4[0-9.]+)</version>`).FindStringSubmatch(KafkaPOM)[1] {
		t.Errorf("compose.yaml has Kafka %s, deploy/kafka another", got)
	}
	cfg, err := config.Load("compose/wattline.yaml", nil)
	if err != nil || cfg.Kafka.Brokers[0] != "127.0.0.1:9092" || "./"+cfg.ClickHouse.PasswordFile != c.Secrets["clickhouse"].File {
		t.Errorf("compose/wattline.yaml: %v, %+v", err, cfg)
	}
	for _, path := range []string{"compose/grafana/datasources.yaml", "compose/grafana/dashboards.yaml", "prometheus/prometheus.yml"} {
		var any map[string]any
		strict(t, path, &any)
	}
}

// strict decodes a YAML file of one document, in which every key is known.
func strict(t *testing.T, path string, into any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(read(t, path)))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestKubernetes: what the manifests say of the program is so.
func TestKubernetes(t *testing.T) {
	const path = "kubernetes/wattline.yaml"
	text := read(t, path)
	knownVariables(t, path, text)
	kinds := map[string]map[string]any{}
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds[doc["kind"].(string)] = doc
	}
	at := func(doc any, keys ...string) any {
		for _, k := range keys {
			if list, ok := doc.([]any); ok {
				doc = list[0]
			}
			m, _ := doc.(map[string]any)
			doc = m[k]
		}
		return doc
	}
	if len(kinds) != 4 {
		t.Fatalf("%d kinds", len(kinds))
	}
	file := filepath.Join(t.TempDir(), "wattline.yaml")
	text, _ = at(kinds["ConfigMap"], "data", "wattline.yaml").(string)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Insecure()) > 0 || cfg.HTTP.Addr != "0.0.0.0:8080" {
		t.Errorf("insecure: %v; API at %s", cfg.Insecure(), cfg.HTTP.Addr)
	}
	pod := at(kinds["StatefulSet"], "spec", "template", "spec")
	if grace, _ := at(pod, "terminationGracePeriodSeconds").(int); time.Duration(grace)*time.Second < 2*stopBound(t) {
		t.Errorf("grace period of %d s, a stop takes up to %v", grace, stopBound(t))
	}
	for probe, want := range map[string]string{"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"} {
		if got := at(pod, "containers", probe, "httpGet", "path"); got != want {
			t.Errorf("%s asks %v, want %s", probe, got, want)
		}
	}
	labels, _ := json.Marshal(at(kinds["StatefulSet"], "spec", "selector", "matchLabels"))
	for kind, keys := range map[string][]string{"Service": {"spec", "selector"}, "PodDisruptionBudget": {"spec", "selector", "matchLabels"}} {
		if got, _ := json.Marshal(at(kinds[kind], keys...)); !bytes.Equal(got, labels) {
			t.Errorf("%s selects %s, the pods have %s", kind, got, labels)
		}
	}
}
