package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write docs/CONFIG.md")

// TestPage holds docs/CONFIG.md to the table (G1).
func TestPage(t *testing.T) {
	const page = "../../docs/CONFIG.md"
	want := Markdown()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("docs/CONFIG.md is not what the table says; run go test ./internal/config -update\n%s", d)
	}
}

// TestKeys: every key has words, a variable of its own, and a default that it takes.
func TestKeys(t *testing.T) {
	paths, variables := map[string]bool{}, map[string]bool{}
	for _, k := range Keys() {
		if paths[k.Path] || variables[k.Variable()] {
			t.Errorf("%s is there twice", k.Path)
		}
		paths[k.Path], variables[k.Variable()] = true, true
		if !strings.HasSuffix(k.Doc, ".") || k.Kind == "" {
			t.Errorf("%s has no full sentence or no kind", k.Path)
		}
		if serviceLink.MatchString(k.Variable()) {
			t.Errorf("%s cannot be told from a variable of Kubernetes", k.Variable())
		}
		if k.Secret && k.Default != "" {
			t.Errorf("%s is a secret with a default", k.Path)
		}
	}
}

func TestParse(t *testing.T) {
	f := func(src string, environment []string, check func(*Config) bool) {
		t.Helper()
		c, err := Parse([]byte(src), "w.yaml", environment)
		if err != nil {
			t.Errorf("%s\n%v: %v", src, environment, err)
			return
		}
		if !check(c) {
			t.Errorf("%s\n%v: not read as wanted: %+v", src, environment, c)
		}
	}
	f("", nil, func(c *Config) bool {
		return c.Engine.Slice == 15*time.Minute && len(c.Kafka.Brokers) == 0 && c.ClickHouse.Fsync && !c.Given("http.addr") &&
			cmp.Equal(c.Kafka.Readings, []Readings{{"wattline.readings", "protobuf", 16, "none"}})
	})
	f("# only words\n", nil, func(c *Config) bool { return c.Kafka.Group == "wattline" })
	f("kafka:\n", nil, func(c *Config) bool { return c.Kafka.Group == "wattline" })
	f("kafka:\n  group:\n", nil, func(c *Config) bool { return c.Kafka.Group == "wattline" && !c.Given("kafka.group") })
	f("kafka:\n  session_timeout: 45s\n", nil, func(c *Config) bool {
		return c.Kafka.SessionTimeout == 45*time.Second && c.Given("kafka.session_timeout")
	})
	f("kafka:\n  session_timeout: 45s\n", []string{"WATTLINE_KAFKA_SESSION_TIMEOUT=1m", "PATH=/bin"}, func(c *Config) bool {
		return c.Kafka.SessionTimeout == time.Minute
	})
	f("kafka:\n  brokers: [127.0.0.1:1, localhost:2]\n", nil, func(c *Config) bool { return cmp.Equal(c.Kafka.Brokers, []string{"127.0.0.1:1", "localhost:2"}) })
	f("kafka:\n  brokers: localhost:1\n", nil, func(c *Config) bool { return cmp.Equal(c.Kafka.Brokers, []string{"localhost:1"}) })
	f("", []string{"WATTLINE_KAFKA_BROKERS=127.0.0.1:1, localhost:2"}, func(c *Config) bool { return cmp.Equal(c.Kafka.Brokers, []string{"127.0.0.1:1", "localhost:2"}) })
	f("kafka:\n  brokers: [a:1]\n", []string{"WATTLINE_KAFKA_BROKERS="}, func(c *Config) bool { return len(c.Kafka.Brokers) == 0 })
	both := []Readings{{"x", "protobuf", 16, "none"}, {"ocpp", "ocpp16", 3, "murmur2"}}
	f("kafka:\n  readings: [{topic: x}, {topic: ocpp, format: ocpp16, partitions: 3, partitioner: murmur2}]\n", nil, func(c *Config) bool { return cmp.Equal(c.Kafka.Readings, both) })
	f("", []string{"WATTLINE_KAFKA_READINGS=x,ocpp:ocpp16:3:murmur2"}, func(c *Config) bool { return cmp.Equal(c.Kafka.Readings, both) })
	f("engine: {slice: none, block_rows: 20_000, snapshot_chunk: 1MiB}\n", nil, func(c *Config) bool {
		return c.Engine.Slice == 0 && c.Engine.BlockRows == 20000 && c.Engine.SnapshotChunk == 1<<20
	})
	f("clickhouse: &a {password: 'p: w', fsync: off}\n", nil, func(c *Config) bool { return c.ClickHouse.Password.Reveal() == "p: w" && !c.ClickHouse.Fsync })
	// Kubernetes makes these for a service called wattline or wattline-kafka.
	f("", []string{
		"WATTLINE_SERVICE_HOST=10.0.0.1", "WATTLINE_PORT=tcp://10.0.0.1:80", "WATTLINE_PORT_8080_TCP_ADDR=10.0.0.1",
		"WATTLINE_KAFKA_SERVICE_PORT_PLAIN=9092", "WATTLINE_CONFIG=x.yaml",
	}, func(c *Config) bool { return len(c.origin) == 0 })
}

func TestFaults(t *testing.T) {
	f := func(src string, environment []string, want ...string) {
		t.Helper()
		c, err := Parse([]byte(src), "w.yaml", environment)
		if err == nil || c != nil {
			t.Errorf("%s\n%v: taken, want a fault", src, environment)
			return
		}
		if d := cmp.Diff(strings.Join(want, "\n"), err.Error()); d != "" {
			t.Errorf("%s\n%v: faults (-want +got)\n%s", src, environment, d)
		}
	}
	f("kafka:\n  session_timeout: 3x\n", nil, `kafka.session_timeout: "3x" is not a duration, such as 5s (w.yaml line 2)`)
	f("kafka:\n  session_timeot: 3s\n", nil, `kafka.session_timeot: is unknown; did you mean kafka.session_timeout? (w.yaml line 2)`)
	f("kafak:\n  group: x\n", nil, `kafak: is unknown; did you mean kafka? (w.yaml line 1)`)
	f("zzzzzzzzz: 1\n", nil, "zzzzzzzzz: is unknown; `wattline config show` lists all keys (w.yaml line 1)")
	f("", []string{"WATTLINE_KAFKA_BROKER=a:1"}, `kafka.broker: is unknown; did you mean kafka.brokers? (WATTLINE_KAFKA_BROKER)`)
	f("", []string{"WATTLINE_HTTP_ADDR=8080"}, `http.addr: "8080" is not host:port (WATTLINE_HTTP_ADDR)`)
	f("http: 3\n", nil, `http: is a section, not a value (w.yaml line 1)`)
	f("http: {addr: [a:1, b:2]}\n", nil, `http.addr: is a list, takes one value (w.yaml line 1)`)
	f("http: {addr: {x: 1}}\n", nil, `http.addr: is a mapping, takes a host:port (w.yaml line 1)`)
	f("http: {addr: localhost:1, addr: localhost:2}\n", nil, `http.addr: is given twice (w.yaml line 1)`)
	f("- 1\n", nil, `is not a mapping of sections (w.yaml line 1)`)
	f("a: [\n", nil, `not YAML: line 1: did not find expected node content (w.yaml)`)
	f("engine: {slice: 7m, block_age: 2m, block_rows: 1}\n", nil,
		`engine.slice: 7m does not divide a day (w.yaml line 1)`,
		`engine.block_rows: 1 is not between 100 and 10000000 (w.yaml line 1)`,
		`engine.block_age_max: 30s is below engine.block_age 2m`)
	f("engine: {snapshot_chunk: 1TB, book_every: 1us}\n", nil,
		`engine.snapshot_chunk: "1TB" is not a size: a whole number and B, KiB, MiB or GiB (w.yaml line 1)`,
		`engine.book_every: 1us is not between 1s and 24h (w.yaml line 1)`)
	f("kafka: {brokers: ['[::1]:1', b], readings: [x, 'x:ocpp16', 'y:avro', 'z:protobuf:0', {tpic: q}]}\n", nil,
		`kafka.brokers: value 2: "b" is not host:port (w.yaml line 1)`,
		`kafka.readings: value 5: tpic is unknown; there are topic, format, partitions and partitioner (w.yaml line 1)`)
	f("kafka: {readings: [x, 'x:ocpp16', 'y:avro', 'z:protobuf:0', 'a b']}\n", nil,
		`kafka.readings: value 2: topic x is given twice (w.yaml line 1)`,
		`kafka.readings: value 3: format "avro" is none of protobuf, json, ocpp16, ocpp201, arrow (w.yaml line 1)`,
		`kafka.readings: value 4: partitions "0" is not a number between 1 and 100000 (w.yaml line 1)`,
		`kafka.readings: value 5: "a b" is not a name for a topic: at most 249 letters, digits, points, lines and underscores (w.yaml line 1)`)
	f("kafka: {readings: []}\n", nil, `kafka.readings: is empty: there is nothing to rate (w.yaml line 1)`)
	f("kafka: {readings: [t], state_topic: t}\n", nil, `kafka.state_topic: topic t is kafka.readings already (w.yaml line 1)`)
	f("clickhouse: {addr: [127.0.0.1:1, localhost:2], protocol: grpc}\n", nil,
		`clickhouse.protocol: "grpc" is none of http, native (w.yaml line 1)`,
		`clickhouse.addr: has 2 servers without clickhouse.cluster: rows written to one would be missing on the others (w.yaml line 1)`)
	f("clickhouse: {embedded_addr: '0.0.0.0:1'}\n", nil,
		`clickhouse.embedded_addr: "0.0.0.0:1" is not an address of this machine alone: set clickhouse.embedded_tls (w.yaml line 1)`)
	f("kafka: {embedded_addr: '10.0.0.1:1'}\n", nil,
		`kafka.embedded_addr: "10.0.0.1:1" is not an address of this machine alone; the embedded Kafka has no TLS (w.yaml line 1)`)
	f("clickhouse: {password: x, password_file: /nonexistent/x}\n", nil,
		`clickhouse.password_file: is given, and clickhouse.password too (w.yaml line 1)`)
	f("kafka: {sasl: plain}\n", nil, `kafka.sasl_user: is empty, but kafka.sasl is plain`,
		`kafka.brokers: is empty: the embedded Kafka has neither kafka.tls nor kafka.sasl`)
	f("pyroscope: {addr: 'host:4040'}\n", nil, `pyroscope.addr: "host:4040" begins with neither http:// nor https:// (w.yaml line 1)`)
}

// TestPlainText: nothing goes over a network in plain text, nor to anybody who asks, unless that is said.
func TestPlainText(t *testing.T) {
	const far = " is not on this machine, and plain text can be read and changed on the way: "
	f := func(src string, want ...string) {
		t.Helper()
		_, err := Parse([]byte(src), "w.yaml", nil)
		have := ""
		if err != nil {
			have = err.Error()
		}
		for i := range want {
			want[i] += " (w.yaml line 1)"
		}
		if d := cmp.Diff(strings.Join(want, "\n"), have); d != "" {
			t.Errorf("%s: faults (-want +got)\n%s", src, d)
		}
	}
	f("kafka: {brokers: [127.0.0.1:1, '[::1]:1', localhost:1, a:1, 10.0.0.1:1]}", "kafka.brokers: a:1, 10.0.0.1:1"+far+"set kafka.tls, or say kafka.insecure: true")
	f("kafka: {brokers: a:1, insecure: true}")
	f("kafka: {brokers: a:1, tls: true}")
	f("kafka: {brokers: a:1, tls: true, tls_cert_file: c}", "kafka.tls_cert_file: and kafka.tls_key_file: one is given without the other")
	f("kafka: {brokers: localhost:1, tls_ca_file: c}", "kafka.tls_ca_file: is given, but kafka.tls is false")
	f("clickhouse: {addr: a:1}", "clickhouse.addr: a:1"+far+"set clickhouse.tls, or say clickhouse.insecure: true")
	f("clickhouse: {addr: a:1, tls: true, tls_server_name: x}")
	f("clickhouse: {addr: a:1, insecure: true}")
	f("clickhouse: {embedded_addr: ':1', embedded_tls: true}", `clickhouse.embedded_addr: ":1" is not host:port`)
	f("clickhouse: {embedded_addr: '0.0.0.0:1', embedded_tls: true}")
	f("clickhouse: {embedded_cert_file: x}", "clickhouse.embedded_cert_file: and clickhouse.embedded_key_file: one is given without the other",
		"clickhouse.embedded_cert_file: is given, but clickhouse.embedded_tls is false")
	const open = `http.addr: ":80" is not an address of this machine alone: give http.tls_cert_file, http.tls_key_file and http.tokens_file, or say http.insecure: true`
	f("http: {addr: ':80'}", open)
	f("http: {addr: ':80', tokens_file: t}", open)
	f("http: {addr: ':80', tls_cert_file: c, tls_key_file: k}", open)
	f("http: {addr: ':80', tls_cert_file: c, tls_key_file: k, tokens_file: t}")
	f("http: {addr: ':80', insecure: true}")
	f("http: {tls_cert_file: c}", "http.tls_cert_file: and http.tls_key_file: one is given without the other")
	f("pyroscope: {addr: 'http://p:4040'}", `pyroscope.addr: "http://p:4040" is not on this machine, and plain text can be read on the way: take https://, or say pyroscope.insecure: true`)
	f("pyroscope: {addr: 'http://127.0.0.1:4040'}")
	f("pyroscope: {addr: 'https://p'}")
	f("pyroscope: {addr: 'https://hunter2:hunter3@p'}", "pyroscope.addr: has a user or password in it, which would be shown: use pyroscope.user and pyroscope.password")

	c, err := Parse([]byte("kafka: {insecure: true}\nhttp: {insecure: true}\n"), "w.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Insecure(); len(got) != 2 || !strings.HasPrefix(got[0], "kafka.insecure is set") || !strings.HasPrefix(got[1], "http.insecure is set") || Default().Insecure() != nil {
		t.Errorf("%q", got)
	}
}

// TestShow: what is shown can be read again and gives the same, but for secrets, which are not in it (G3).
func TestShow(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secretFile, []byte("hunter2\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse([]byte("clickhouse:\n  addr: [localhost:8123]\n  password_file: "+secretFile+"\n"), "w.yaml", []string{"WATTLINE_PYROSCOPE_PASSWORD=hunter3"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ReadSecrets("kafka"); err != nil || !c.ClickHouse.Password.Empty() {
		t.Errorf("a password is read that nobody wanted: %q, %v", c.ClickHouse.Password, err)
	}
	if _, err := Parse([]byte(c.Show()), "shown.yaml", nil); err != nil {
		t.Errorf("what is shown is refused: %v", err)
	}
	if err := c.ReadSecrets("clickhouse"); err != nil || c.ClickHouse.Password.Reveal() != "hunter2" {
		t.Errorf("password is %q, %v", c.ClickHouse.Password, err)
	}
	text := c.Show()
	if strings.Contains(text, "hunter") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	for _, want := range []string{"from w.yaml line 2", "from WATTLINE_PYROSCOPE_PASSWORD", "default 1s", "engine:", "from default"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	again, err := Parse([]byte(text), "shown.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if !k.Secret && !cmp.Equal(k.get(c), k.get(again), cmpopts.EquateEmpty()) {
			t.Errorf("%s: %v came back as %v", k.Path, k.get(c), k.get(again))
		}
	}
}

// TestSecretMissing: the file of a password is missed by who logs in with it, and by nobody else.
func TestSecretMissing(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		c, err := Parse([]byte(src), "w.yaml", nil)
		if err != nil {
			t.Fatal(err)
		}
		have := ""
		if err := c.ReadSecrets("clickhouse", "kafka", "pyroscope"); err != nil {
			have = err.Error()
		}
		if have != want {
			t.Errorf("%s: %q, want %q", src, have, want)
		}
	}
	f("clickhouse: {password_file: /nonexistent/x}\n", "")
	f("clickhouse: {addr: ['localhost:1'], password_file: /nonexistent/x}\n",
		"clickhouse.password_file: open /nonexistent/x: no such file or directory (w.yaml line 1)")
}

// FuzzParse: no input makes it panic, and what is taken is shown and taken again.
func FuzzParse(f *testing.F) {
	f.Add("kafka:\n  brokers: [a:1]\n", "WATTLINE_HTTP_ADDR=:80")
	f.Add("a: &x [*x]\n", "")
	f.Add(Default().Show(), "WATTLINE_")
	f.Add("kafka: {readings: [{topic: x}]}", "WATTLINE_KAFKA_READINGS=a:b:c:d")
	f.Fuzz(func(t *testing.T, src, entry string) {
		if strings.Contains(src+strings.ToLower(entry), "_file") {
			return // reads files of the machine
		}
		c, err := Parse([]byte(src), "f.yaml", []string{entry})
		if err != nil {
			return
		}
		shown := c.Show()
		if _, err := Parse([]byte(shown), "shown.yaml", nil); err != nil {
			t.Errorf("what was taken is not taken again: %v\n%s", err, shown)
		}
	})
}
