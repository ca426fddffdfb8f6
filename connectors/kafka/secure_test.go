package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/certs"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/secret"
)

// secured is one Apache Kafka with a listener for each kind of connection, and three whose certificates are faulty.
type secured struct {
	dir     string
	k       *parts.Kafka
	ca      string // file: who signed the broker's and the engine's certificates
	foreign string // file of another authority
	cert    string // of the engine
	key     string
}

const testPassword = "pass-4711-word"

func startSecured(t *testing.T) *secured {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Apache Kafka")
	}
	s := &secured{dir: t.TempDir()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, err := certs.NewAuthority("ours")
	must(err)
	other, err := certs.NewAuthority("theirs")
	must(err)
	s.ca, err = ca.WriteCA(s.dir, "ca")
	must(err)
	s.foreign, err = other.WriteCA(s.dir, "foreign")
	must(err)
	s.cert, s.key, err = ca.Write(s.dir, "engine", certs.Template{Names: []string{"engine-1"}})
	must(err)
	broker := func(name string, tpl certs.Template) parts.ServerFiles {
		cert, key, err := ca.Write(s.dir, name, tpl)
		must(err)
		return parts.ServerFiles{Cert: cert, Key: key, ClientCA: s.ca}
	}
	user := parts.User{Name: "wattline", Password: testPassword}
	list, err := parts.SecureListeners(s.dir, broker("broker", certs.Template{Names: []string{"127.0.0.1", "localhost"}}), user)
	must(err)
	now := time.Now()
	for name, tpl := range map[string]certs.Template{
		"OTHER":   {Names: []string{"kafka.example"}},
		"EXPIRED": {Names: []string{"127.0.0.1"}, From: now.Add(-48 * time.Hour), Until: now.Add(-24 * time.Hour)},
	} {
		p, err := parts.SSLProperties(s.dir, broker(strings.ToLower(name), tpl))
		must(err)
		list = append(list, parts.Listener{Name: name, Protocol: "SSL", Properties: p})
	}
	// A port by which nobody with PLAIN gets in.
	list = append(list, parts.Listener{Name: "SCRAM_ONLY", Protocol: "SASL_PLAINTEXT", Properties: map[string]string{
		"sasl.enabled.mechanisms":        "SCRAM-SHA-512",
		"scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s.k, err = parts.StartKafka(ctx, parts.KafkaConfig{Dir: s.dir + "/kafka", HeapMiB: 512, Listeners: list, ScramUsers: []parts.User{user}})
	must(err)
	t.Cleanup(func() {
		if err := s.k.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// config is that of a client of one listener.
func (s *secured) config(t testing.TB, listener string, files *certs.Files, login Login) Config {
	t.Helper()
	cfg := Config{Brokers: []string{s.k.ListenerAddr(listener)}, Login: login}
	if listener == "PLAINTEXT" {
		cfg.Brokers = []string{s.k.Addr()}
	}
	if files != nil {
		var err error
		if cfg.TLS, err = certs.Client("kafka", *files); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func login(mechanism string) Login { return Login{mechanism, "wattline", secret.New(testPassword)} }

// TestSecured: everything that an engine does with Kafka works by every kind of connection, and each fault of one has
// one clear error that comes at once.
func TestSecured(t *testing.T) {
	s := startSecured(t)
	trusting := &certs.Files{CA: s.ca}
	for _, c := range []struct {
		listener string
		files    *certs.Files
		login    Login
	}{
		{"PLAINTEXT", nil, Login{}},
		{"SSL", trusting, Login{}},
		{"OTHER", &certs.Files{CA: s.ca, ServerName: "kafka.example"}, Login{}},
		{"MTLS", &certs.Files{CA: s.ca, Cert: s.cert, Key: s.key}, Login{}},
		{"SASL_PLAINTEXT", nil, login(Plain)},
		{"SASL_PLAINTEXT", nil, login(ScramSHA512)},
		{"SASL_SSL", trusting, login(Plain)},
		{"SASL_SSL", trusting, login(ScramSHA256)},
		{"SASL_SSL", trusting, login(ScramSHA512)},
	} {
		t.Run(strings.TrimSuffix(c.listener+"/"+c.login.Mechanism, "/"), func(t *testing.T) {
			s.pipe(t, s.config(t, c.listener, c.files, c.login))
		})
	}
	t.Run("faults", s.faults)
	t.Run("running", s.running)
}

// pipe makes topics, writes, joins a group, fetches by it and commits.
func (s *secured) pipe(t *testing.T, cfg Config) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	topic := "pipe-" + strings.NewReplacer("/", "-").Replace(t.Name())
	cfg.Group = GroupConfig{ID: topic, InstanceID: "engine-1", Topics: []string{topic}, SessionTimeout: 6 * time.Second, HeartbeatInterval: 100 * time.Millisecond}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.EnsureTopics(ctx, []TopicSpec{ReadingsTopic(topic, 1)}); err != nil {
		t.Fatal(err)
	}
	msgs := numbered(2000)
	if first, err := c.Producer().Produce(ctx, topic, 0, msgs); err != nil || first != 0 {
		t.Fatal(first, err)
	}
	g, err := c.Join(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	a, err := g.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := engine.Partition{Topic: topic}
	if len(a.Partitions) != 1 {
		t.Fatalf("assigned %v", a)
	}
	feed, err := g.Open(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wantRecs(msgs, 0), collect(t, feed, len(msgs))); d != "" {
		t.Error(d)
	}
	if err := g.Commit(ctx, p, engine.Commit{Offset: 2000, Metadata: "plan"}); err != nil {
		t.Fatal(err)
	}
	got, err := g.Committed(ctx, p)
	if err != nil || got.Offset != 2000 || got.Metadata != "plan" {
		t.Errorf("committed %+v, %v", got, err)
	}
}

// faults: one error for each, before the first answer final, with the key that it is about, and without the password.
func (s *secured) faults(t *testing.T) {
	trusting := &certs.Files{CA: s.ca}
	wrong := Login{ScramSHA512, "wattline", secret.New("wrong-" + testPassword)}
	wrongPlain := Login{Plain, "wattline", secret.New("wrong-" + testPassword)}
	late := func() *certs.Files {
		ca, err := certs.NewAuthority("unknown to the broker")
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := ca.Write(s.dir, "stranger", certs.Template{Names: []string{"engine-1"}})
		if err != nil {
			t.Fatal(err)
		}
		return &certs.Files{CA: s.ca, Cert: cert, Key: key}
	}
	for _, c := range []struct {
		name     string
		listener string
		files    *certs.Files
		login    Login
		want     []string
	}{
		{"wrong CA", "SSL", &certs.Files{CA: s.foreign}, Login{}, []string{"trusted", "kafka.tls_ca_file"}},
		{"wrong name", "OTHER", trusting, Login{}, []string{"for kafka.example, not for 127.0.0.1", "kafka.tls_server_name"}},
		{"expired", "EXPIRED", trusting, Login{}, []string{"valid from", "not now"}},
		{"no client certificate", "MTLS", trusting, Login{}, []string{"kafka.tls_cert_file"}},
		{"client certificate of a stranger", "MTLS", late(), Login{}, []string{"kafka.tls_cert_file"}},
		{"wrong password", "SASL_SSL", trusting, wrong, []string{`user "wattline"`, "scram-sha-512", "kafka.sasl_password"}},
		{"wrong password by plain", "SASL_SSL", trusting, wrongPlain, []string{`user "wattline"`, "by plain", "kafka.sasl_password"}},
		{"no such user", "SASL_SSL", trusting, Login{ScramSHA256, "nobody", secret.New(testPassword)}, []string{`user "nobody"`, "kafka.sasl_user"}},
		{"wrong mechanism", "SCRAM_ONLY", nil, login(Plain), []string{"log in by plain", "kafka.sasl"}},
		{"log-in where there is none", "PLAINTEXT", nil, login(Plain), []string{"nobody logs in", "kafka.sasl"}},
		{"no log-in where there is one", "SASL_PLAINTEXT", nil, Login{}, []string{"scram-sha-512", "kafka.sasl_user"}},
		{"no log-in where there is one, TLS", "SASL_SSL", trusting, Login{}, []string{"wants a log-in", "kafka.sasl"}},
		{"TLS on a plain port", "PLAINTEXT", trusting, Login{}, []string{"no TLS", "kafka.tls"}},
		{"plain on a TLS port", "SSL", nil, Login{}, []string{"TLS is spoken", "kafka.tls"}},
		{"plain and log-in on a TLS port", "SASL_SSL", nil, login(ScramSHA512), []string{"TLS is spoken", "kafka.tls"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var log strings.Builder
			cfg := s.config(t, c.listener, c.files, c.login)
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			client, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			_, err = client.CheckTopics(ctx, []TopicSpec{ReadingsTopic("any", 1)})
			if !errors.Is(err, ErrMisconfigured) || ctx.Err() != nil {
				t.Fatalf("not ErrMisconfigured, or not at once: %v", err)
			}
			t.Log(err)
			for _, part := range append(c.want, cfg.Brokers[0]) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in %q", part, err)
				}
			}
			if all := err.Error() + log.String(); strings.Contains(all, testPassword) || strings.Contains(log.String(), "WARN") || strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line, a retry, or a password:\n%s", all)
			}
		})
	}
}

// running: a client that has been answered goes on trying when the broker does not take it any more.
func (s *secured) running(t *testing.T) {
	cfg := s.config(t, "SASL_SSL", &certs.Files{CA: s.ca}, login(Plain))
	cfg.BackoffMax = 100 * time.Millisecond
	// The way to the broker leads to a port that it does not take us at, for a while.
	to := &detour{}
	to.set(s.k.ListenerAddr("SASL_SSL"))
	cfg.Dial = to.dial
	var log lockedBuilder
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})) // each try is told there
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := c.EnsureTopics(ctx, []TopicSpec{ReadingsTopic("detour", 1)}); err != nil {
		t.Fatal(err)
	}
	to.set(s.k.ListenerAddr("EXPIRED"))
	c.transport.CloseIdleConnections()
	to.closeAll()
	done := make(chan error, 1)
	go func() {
		_, _, err := c.offsetsOf(ctx, engine.Partition{Topic: "detour"}, false)
		done <- err
	}()
	for strings.Count(log.String(), "not now") < 3 {
		select {
		case err := <-done:
			t.Fatalf("gave up: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	to.set(s.k.ListenerAddr("SASL_SSL"))
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// detour dials an address of its own whatever it is asked for.
type detour struct {
	mu    sync.Mutex
	addr  string
	conns []net.Conn
}

func (d *detour) set(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addr = addr
}

func (d *detour) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		_ = c.Close()
	}
}

func (d *detour) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	d.mu.Lock()
	addr := d.addr
	d.mu.Unlock()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		d.mu.Lock()
		d.conns = append(d.conns, conn)
		d.mu.Unlock()
	}
	return conn, err
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestPlainTextStaysHere: a broker that names an address of another machine is not spoken to in plain text.
func TestPlainTextStaysHere(t *testing.T) {
	far := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9092}
	f := func(cfg Config, refused bool) {
		t.Helper()
		cfg.Brokers = []string{"192.0.2.1:9092"}
		dialled := 0
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
			dialled++
			mine, peer := net.Pipe()
			_ = peer.Close()
			return addressed{mine, far}, nil
		}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.metadata(t.Context(), nil)
		if errors.Is(err, ErrMisconfigured) != refused || refused && !strings.Contains(err.Error(), "kafka.insecure") || dialled == 0 {
			t.Errorf("%v", err)
		}
	}
	f(Config{}, true)
	f(Config{Insecure: true}, false)
	f(Config{TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, false)
}

type addressed struct {
	net.Conn
	remote net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }

// TestConfigHidesSecrets: a configuration and a client can be printed.
func TestConfigHidesSecrets(t *testing.T) {
	for _, m := range []string{Plain, ScramSHA256} {
		cfg := Config{Brokers: []string{"127.0.0.1:1"}, Login: login(m)}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, v := range []any{cfg, c, c.transport, c.transport.SASL} {
			if text := fmt.Sprintf("%v %+v %#v", v, v, v); strings.Contains(text, testPassword) {
				t.Errorf("%T shows the password", v)
			}
		}
	}
	if _, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Login: Login{Mechanism: "gssapi"}}); err == nil || !strings.Contains(err.Error(), "gssapi") {
		t.Error(err)
	}
	if _, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Login: Login{ScramSHA256, "u", secret.New("bad\x00" + testPassword)}}); err == nil || strings.Contains(err.Error(), testPassword) {
		t.Error(err)
	}
}
