package config

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/wattline/wattline/internal/certs"
)

// insecure is a connection that may go over a network in plain text, or be served to anybody there.
type insecure struct {
	path    string // of the key that allows it
	allowed bool
	means   string // what that is
}

func (c *Config) insecure() []insecure {
	return []insecure{
		{"kafka.insecure", c.Kafka.Insecure, "Kafka may be spoken to in plain text over a network"},
		{"clickhouse.insecure", c.ClickHouse.Insecure, "ClickHouse may be spoken to in plain text over a network"},
		{"http.insecure", c.HTTP.Insecure, "the API may be served over a network in plain text or to anybody"},
		{"pyroscope.insecure", c.Pyroscope.Insecure, "profiles may be sent in plain text over a network"},
	}
}

// Insecure names what the configuration allows though it is not safe, a line each, for the log of every start.
func (c *Config) Insecure() []string {
	var list []string
	for _, i := range c.insecure() {
		if i.allowed {
			list = append(list, i.path+" is set: "+i.means)
		}
	}
	return list
}

// secured checks that nothing goes over a network in plain text, and that what is needed for that is complete.
func (l *loader) secured() {
	c := l.c
	l.clientTLS("kafka", &c.Kafka.TLS, c.Kafka.Brokers, "kafka.brokers", c.Kafka.Insecure)
	l.clientTLS("clickhouse", &c.ClickHouse.TLS, c.ClickHouse.Addr, "clickhouse.addr", c.ClickHouse.Insecure)
	bad := func(path, format string, args ...any) { l.fault(path, c.origin[path], format, args...) }
	ch, h := &c.ClickHouse, &c.HTTP
	if len(ch.Addr) == 0 && ch.TLS != (TLS{}) {
		bad("clickhouse.addr", "is empty: for the embedded engine there is clickhouse.embedded_tls, not clickhouse.tls")
	}
	if (ch.EmbeddedCert == "") != (ch.EmbeddedKey == "") {
		bad("clickhouse.embedded_cert_file", "and clickhouse.embedded_key_file: one is given without the other")
	}
	if ch.EmbeddedCert != "" && !ch.EmbeddedTLS {
		bad("clickhouse.embedded_cert_file", "is given, but clickhouse.embedded_tls is false")
	}
	if !certs.LoopbackAddr(ch.EmbeddedAddr) && !ch.EmbeddedTLS {
		bad("clickhouse.embedded_addr", "%q is not an address of this machine alone: set clickhouse.embedded_tls", ch.EmbeddedAddr)
	}
	if (h.CertFile == "") != (h.KeyFile == "") {
		bad("http.tls_cert_file", "and http.tls_key_file: one is given without the other")
	}
	if !certs.LoopbackAddr(h.Addr) && !h.Insecure && (h.CertFile == "" || h.Tokens == "") {
		bad("http.addr", "%q is not an address of this machine alone: give http.tls_cert_file, http.tls_key_file and http.tokens_file, or say http.insecure: true", h.Addr)
	}
	if u, err := url.Parse(c.Pyroscope.Addr); err == nil && u.Scheme == "http" && !certs.Loopback(u.Hostname()) && !c.Pyroscope.Insecure {
		bad("pyroscope.addr", "%q is not on this machine, and plain text can be read on the way: take https://, or say pyroscope.insecure: true", c.Pyroscope.Addr)
	}
}

// clientTLS checks a connection to the servers at addrs, the values of the key path.
func (l *loader) clientTLS(section string, t *TLS, addrs []string, path string, allowed bool) {
	for _, k := range []struct{ name, value string }{{"tls_ca_file", t.CAFile}, {"tls_cert_file", t.CertFile}, {"tls_server_name", t.ServerName}} {
		if path := section + "." + k.name; k.value != "" && !t.On {
			l.fault(path, l.c.origin[path], "is given, but %s.tls is false", section)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		l.fault(section+".tls_cert_file", l.c.origin[section+".tls_cert_file"], "and %s.tls_key_file: one is given without the other", section)
	}
	var far []string
	for _, a := range addrs {
		if hostPort(a) == nil && !certs.LoopbackAddr(a) {
			far = append(far, a)
		}
	}
	if len(far) > 0 && !t.On && !allowed {
		l.fault(path, l.c.origin[path], "%s", fmt.Sprintf("%s is not on this machine, and plain text can be read and changed on the way: set %s.tls, or say %s.insecure: true",
			strings.Join(far, ", "), section, section))
	}
}
