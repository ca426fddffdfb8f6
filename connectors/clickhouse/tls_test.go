package clickhouse

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/internal/certs"
	"github.com/wattline/wattline/internal/secret"
)

// TestTLS: the schema and rows by TLS, and one clear error for each fault of certificates, ports and passwords. Only the
// HTTP interface has a real server here; of the native protocol the handshake of TLS is real, and no more.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, err := certs.NewAuthority("ours")
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.NewAuthority("theirs")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ca.WriteCA(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := other.WriteCA(dir, "theirs")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Write(dir, "server", certs.Template{Names: []string{"127.0.0.1", "ch.example"}})
	if err != nil {
		t.Fatal(err)
	}
	encrypted, _ := startChild(t, filepath.Join(dir, "store"), tlsEnv+"="+cert+","+key)
	plain := testConfig(t)
	with := func(cfg Config, f *certs.Files, change ...func(*Config)) Config {
		t.Helper()
		cfg.TLS = nil
		if f != nil {
			if cfg.TLS, err = certs.Client("clickhouse", *f); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range change {
			c(&cfg)
		}
		return cfg
	}
	s, err := Open(t.Context(), with(encrypted, &certs.Files{CA: ours}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	expired := expiredServer(t, dir, ca)
	native := func(c *Config) { c.Protocol = Native }
	f := func(name string, cfg Config, want ...string) {
		t.Helper()
		s, err := Open(t.Context(), cfg)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: no error", name)
			return
		}
		t.Logf("%s: %v", name, err)
		if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), cfg.Password.Reveal()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: not ErrRefused, a password in it, or more than a line: %v", name, err)
		}
		for _, part := range append(want, cfg.Addrs[0]) {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is not in %v", name, part, err)
			}
		}
	}
	trusting := &certs.Files{CA: ours}
	f("wrong CA", with(encrypted, &certs.Files{CA: theirs}), "trusted", "clickhouse.tls_ca_file")
	f("wrong name", with(encrypted, &certs.Files{CA: ours, ServerName: "other.example"}), "for ch.example, 127.0.0.1, not for other.example", "clickhouse.tls_server_name")
	f("TLS on a plain port", with(plain, trusting), "no TLS", "clickhouse.tls")
	f("plain on a TLS port", with(encrypted, nil), "TLS is spoken", "clickhouse.tls")
	f("wrong password", with(encrypted, trusting, func(c *Config) { c.Password = secret.New("wrong-4711") }), `user "default"`, "clickhouse.password")
	at := func(c *Config) { c.Addrs = []string{expired} }
	f("expired", with(encrypted, trusting, at), "valid from", "not now")
	f("plain on a TLS port that hangs up", with(encrypted, nil, at), "TLS is spoken", "clickhouse.tls")
	f("plain on a TLS port, native", with(encrypted, nil, native), "TLS is spoken", "clickhouse.tls")
	f("wrong CA, native", with(encrypted, &certs.Files{CA: theirs}, native), "trusted", "clickhouse.tls_ca_file")
	f("wrong name, native", with(encrypted, &certs.Files{CA: ours, ServerName: "other.example"}, native), "not for other.example", "clickhouse.tls_server_name")
	f("expired, native", with(encrypted, trusting, at, native), "valid from", "not now")
	f("TLS on a plain port, native", with(plain, trusting, native), "no TLS", "clickhouse.tls")
}

// expiredServer is a port that greets with a certificate whose time is over, and says nothing more.
func expiredServer(t *testing.T, dir string, ca *certs.Authority) string {
	t.Helper()
	cert, key, err := ca.Write(dir, "expired", certs.Template{Names: []string{"127.0.0.1"}, From: time.Now().Add(-48 * time.Hour), Until: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := certs.Server(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake() // fails where plain text is spoken
			_ = conn.(*tls.Conn).NetConn().Close()
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// TestConfigHidesPassword: a configuration and a store can be printed.
func TestConfigHidesPassword(t *testing.T) {
	cfg := testConfig(t)
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if text := fmt.Sprintf("%v %+v %#v %+v", cfg, cfg, cfg, s.cfg); strings.Contains(text, cfg.Password.Reveal()) {
		t.Error("the password is shown")
	}
}
