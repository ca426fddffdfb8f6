package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/internal/certs"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/loadgen"
)

// plantedKafka is the password of Kafka's user; it may be in the files that were made for it, and nowhere else.
const plantedKafka = "planted-kafka-4711-0815"

// securedWorld is a broker that is only reached with TLS and a log-in, a store that is only reached with TLS, and what an
// engine needs for both.
type securedWorld struct {
	dir                  string
	broker               *parts.Kafka
	store                *process
	storeAddr            string
	passwordFile, caFile string
	password             string
	kafkaCA              string
	apiCert, apiKey      string
	tokens               string
}

func startSecuredWorld(t *testing.T, s *scene) *securedWorld {
	t.Helper()
	w := &securedWorld{dir: t.TempDir()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, err := certs.NewAuthority("e2e")
	must(err)
	w.kafkaCA, err = ca.WriteCA(w.dir, "ca")
	must(err)
	cert, key, err := ca.Write(w.dir, "broker", certs.Template{Names: []string{"127.0.0.1"}})
	must(err)
	w.apiCert, w.apiKey, err = ca.Write(w.dir, "api", certs.Template{Names: []string{"127.0.0.1"}})
	must(err)
	user := parts.User{Name: "wattline", Password: plantedKafka}
	list, err := parts.SecureListeners(w.dir, parts.ServerFiles{Cert: cert, Key: key, ClientCA: w.kafkaCA}, user)
	must(err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	w.broker, err = parts.StartKafka(ctx, parts.KafkaConfig{Dir: filepath.Join(w.dir, "kafka"), HeapMiB: 512, Listeners: list, ScramUsers: []parts.User{user}})
	must(err)
	t.Cleanup(func() { _ = w.broker.Kill() })

	config := s.write("store.yaml", fmt.Sprintf("data: {dir: %s}\nclickhouse: {embedded_addr: '127.0.0.1:0', embedded_tls: true}\n", filepath.Join(w.dir, "data")))
	w.store = s.launch("store", "store", "--config", config)
	s.await("the store", time.Minute, []*process{w.store}, func() (bool, string) {
		said := map[string]string{}
		for line := range strings.Lines(w.store.output()) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				said[k] = v
			}
		}
		w.storeAddr, w.passwordFile, w.caFile = said["addr"], said["password_file"], said["ca_file"]
		return w.storeAddr != "" && w.passwordFile != "" && w.caFile != "", w.store.output()
	})
	w.password, err = firstLine(w.passwordFile)
	must(err)
	w.tokens = filepath.Join(w.dir, "tokens")
	return w
}

// configText is a configuration for one engine; more are lines of section kafka.
func (w *securedWorld) configText(s *scene, api string, more ...string) string {
	lines := []string{
		"engine: {id: secured}",
		"kafka:", "  brokers: [" + w.broker.ListenerAddr("SASL_SSL") + "]", "  group: " + s.name,
		"  readings: ['" + s.readingsTopic() + ":protobuf:2']",
		"  reference_topic: " + s.name + ".reference", "  state_topic: " + s.name + ".state", "  rejects_topic: " + s.rejectsTopic(), "  cdrs_topic: " + s.cdrsTopic(), "  prices_topic: " + s.pricesTopic(),
		"  session_timeout: 10s", "  heartbeat_interval: 500ms",
		"  tls: true", "  tls_ca_file: " + w.kafkaCA, "  sasl: scram-sha-512", "  sasl_user: wattline",
	}
	lines = append(lines, more...)
	lines = append(
		lines,
		"clickhouse:", "  addr: ["+w.storeAddr+"]", "  password_file: "+w.passwordFile, "  database: "+s.name, "  tls: true", "  tls_ca_file: "+w.caFile,
		"http:", "  addr: "+api, "  tls_cert_file: "+w.apiCert, "  tls_key_file: "+w.apiKey, "  tokens_file: "+w.tokens,
		"data:", "  dir: "+s.dir+"/data",
		"log:", "  level: debug",
	)
	return strings.Join(lines, "\n") + "\n"
}

// client is a client of the broker as the engine's.
func (w *securedWorld) client(t *testing.T) *kafka.Client {
	t.Helper()
	encrypted, err := certs.Client("kafka", certs.Files{CA: w.kafkaCA})
	if err != nil {
		t.Fatal(err)
	}
	c, err := kafka.New(kafka.Config{
		Brokers: []string{w.broker.ListenerAddr("SASL_SSL")}, ClientID: "e2e", TLS: encrypted,
		Login: kafka.Login{Mechanism: kafka.ScramSHA256, User: "wattline", Password: secret.New(plantedKafka)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestSecuredPipe: the whole program with TLS and SCRAM to Kafka, TLS to the store, TLS and tokens at the API; its rows
// are right, and none of the secrets is found in what it says or leaves behind.
func TestSecuredPipe(t *testing.T) {
	s := newScene(t, "secured")
	w := startSecuredWorld(t, s)
	api := freeAddr(t)
	passwordFile := s.write("kafka.password", plantedKafka+"\n")
	config := s.write("secured.yaml", w.configText(s, api, "  sasl_password_file: "+passwordFile))

	made := s.run("api", "token", "--config", config, "e2e")
	operator := s.run("api", "token", "--config", config, "--role", "operator", "e2e")
	if made.code != 0 || operator.code != 0 {
		t.Fatal(made, operator)
	}
	token, operatorToken := strings.TrimSpace(made.out), strings.TrimSpace(operator.out)
	secrets := []string{plantedKafka, w.password, token, operatorToken}

	cfg := loadgen.City()
	cfg.Seed, cfg.ChargePoints, cfg.Partitions = 20261125, 60, 2
	cfg.EndMs = cfg.EpochMs + 6*3_600_000
	n, err := loadgen.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	untilMs := cfg.EndMs + cfg.TickMs
	truth := truthOf(t, n, untilMs)
	s.loadReference(n, config)
	engine := s.launch("secured", "run", "--config", config)
	ask := w.api(t, api)
	s.await("the engine ready", time.Minute, []*process{engine}, func() (bool, string) {
		status, body := ask("/readyz", "")
		return status == http.StatusOK, fmt.Sprint(status, body)
	})
	s.send(n, newProducer(t, w.client(t), s.readingsTopic(), cfg.Partitions), 3600).wait(t)
	q := w.sql(t, s.name)
	sums := n.Sums(untilMs, 15*60_000)
	s.await("all readings durable", 2*time.Minute, []*process{engine}, func() (bool, string) {
		text := q.ask(t, "SELECT sum(readings) FROM blocks")
		return text == fmt.Sprint(sums.Readings+sums.Duplicates), text
	})
	latest, summed := stored(t, q)
	compare(t, "sessions", truth, latest)
	compare(t, "rows", truth, summed)

	pages := s.pages(ask, token, operatorToken)
	pages += s.must("config", "show", "--config", config).String() + s.must("config", "check", "--config", config).String()
	if took, err := engine.stop(syscall.SIGTERM, 10*time.Second); err != nil {
		t.Error(took, err)
	}
	pages += s.must("verify", "--config", config).String()
	s.noSecrets("what the API and commands say", pages, secrets)
	for _, log := range append(slices.Clone(s.logs), w.broker.LogPath()) {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		s.noSecrets(log, string(b), secrets)
	}
	// Nor in the files of the engine and of the store, but those that are there for them.
	for _, dir := range []string{filepath.Join(s.dir, "data"), filepath.Join(w.dir, "data"), filepath.Join(s.dir, "reference")} {
		s.noSecretFiles(dir, secrets, w.passwordFile)
	}
	s.faultsAtStart(w, secrets)
}

// noSecretFiles: no file below dir but the excepted one holds a secret.
func (s *scene) noSecretFiles(dir string, secrets []string, except string) {
	s.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!d.Type().IsRegular() || filepath.Base(path) == filepath.Base(except)) {
			return nil // merged away meanwhile, or of no interest
		}
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		s.noSecrets(path, string(b), secrets)
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
}

// pages is everything that the API says, and checks who gets what.
func (s *scene) pages(ask func(path, token string) (int, string), token, operator string) string {
	s.t.Helper()
	all := ""
	for _, c := range []struct {
		path, token string
		status      int
	}{
		{"/healthz", "", http.StatusOK},
		{"/metrics", "", http.StatusUnauthorized},
		{"/v1/sessions", "wl_wrong", http.StatusUnauthorized},
		{"/", token, http.StatusOK},
		{"/metrics", token, http.StatusOK},
		{"/v1/sessions", token, http.StatusOK},
		{"/debug/pprof/goroutine?debug=2", token, http.StatusForbidden},
		{"/debug/pprof/goroutine?debug=2", operator, http.StatusOK},
		{"/debug/pprof/cmdline", operator, http.StatusOK},
		{"/debug/pprof/heap?debug=1", operator, http.StatusOK},
	} {
		status, body := ask(c.path, c.token)
		if status != c.status {
			s.t.Errorf("%s: status %d, want %d: %.200s", c.path, status, c.status, body)
		}
		all += body + "\n"
	}
	return all
}

// noSecrets: text holds none of the secrets.
func (s *scene) noSecrets(where, text string, secrets []string) {
	s.t.Helper()
	for _, secret := range secrets {
		if i := strings.Index(text, secret); i >= 0 {
			s.t.Errorf("%s holds a secret: ...%s...", where, text[max(0, i-80):min(len(text), i+len(secret)+20)])
		}
	}
}

// faultsAtStart: a wrong password, CA or port ends the program at once with one line that names the key.
func (s *scene) faultsAtStart(w *securedWorld, secrets []string) {
	s.t.Helper()
	good := w.configText(s, freeAddr(s.t), "  sasl_password_file: "+filepath.Join(s.dir, "kafka.password"))
	for _, c := range []struct{ name, from, to, want string }{
		{"kafka CA", "  tls_ca_file: " + w.kafkaCA, "  tls_ca_file: " + w.caFile, "kafka.tls_ca_file"},
		{"store CA", "  tls_ca_file: " + w.caFile, "  tls_ca_file: " + w.kafkaCA, "clickhouse.tls_ca_file"},
		{"kafka password", "  sasl_user: wattline", "  sasl_user: somebody", "kafka.sasl_password"},
		{"kafka port", w.broker.ListenerAddr("SASL_SSL"), w.broker.Addr(), "kafka.tls"},
		{"store password", "  password_file: " + w.passwordFile, "  password_file: " + filepath.Join(s.dir, "kafka.password"), "clickhouse.password"},
		{"no tokens", "  tokens_file: " + w.tokens, "  tokens_file: /nonexistent", "http.tokens_file"},
	} {
		config := s.write("faulty.yaml", strings.Replace(good, c.from, c.to, 1))
		r := s.run("run", "--config", config)
		lines := regexp.MustCompile(`(?m)^wattline run: .*$`).FindAllString(r.err, -1)
		if r.code != 1 || len(lines) != 1 || !strings.Contains(lines[0], c.want) || strings.Contains(r.err, "level=WARN") {
			s.t.Errorf("%s: %v", c.name, r)
		}
		s.noSecrets(c.name, r.String(), secrets)
	}
}

// api asks the engine's API by TLS; a token of "" is none.
func (w *securedWorld) api(t *testing.T, addr string) func(path, token string) (int, string) {
	t.Helper()
	trust, err := certs.Client("http", certs.Files{CA: w.kafkaCA})
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: trust}
	t.Cleanup(tr.CloseIdleConnections)
	return func(path, token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			return 0, err.Error()
		}
		return res.StatusCode, string(b)
	}
}

// sql is the scene's database in the store behind TLS.
func (w *securedWorld) sql(t *testing.T, database string) sqlEnd {
	t.Helper()
	trust, err := certs.Client("clickhouse", certs.Files{CA: w.caFile})
	if err != nil {
		t.Fatal(err)
	}
	return sqlEnd{w.storeAddr, database, "default", w.password, trust}
}
