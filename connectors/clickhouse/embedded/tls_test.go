package embedded

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wattline/wattline/internal/certs"
)

// TestOwnCertificate: made at the first start, kept by the second, and made anew when it does not serve any more.
func TestOwnCertificate(t *testing.T) {
	dir := t.TempDir()
	s := &Server{cfg: Config{DataDir: dir, TLS: true, Addr: "127.0.0.1:0"}.withDefaults()}
	ca, cert, key := OwnCertificate(dir)
	read := func() string {
		t.Helper()
		if err := s.prepareTLS(dir); err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range []string{ca, cert, key} {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
		return all.String()
	}
	first := read()
	if again := read(); again != first {
		t.Error("a certificate that serves was replaced")
	}
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key can be read by others: %v, %v", st.Mode(), err)
	}
	s.cfg.Addr = "192.0.2.7:8123"
	if !slices.Contains(s.ownNames(), "192.0.2.7") {
		t.Errorf("names %v", s.ownNames())
	}
	if moved := read(); moved == first {
		t.Error("the certificate does not name the address")
	}
	if err := os.WriteFile(cert, []byte("rubbish"), 0o644); err != nil {
		t.Fatal(err)
	}
	read()
	s.cfg.CertFile, s.cfg.KeyFile = cert, "/nonexistent"
	if err := s.prepareTLS(dir); err == nil {
		t.Error("a key that is not there is taken")
	}
}

// TestServeTLS: the interface by TLS, in a process of its own as the engine takes one directory a process.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	child := startChild(t, dir, tlsEnv+"=1")
	addr, password := child.addr, child.pass
	if addr == "" {
		t.Fatal(child.text)
	}
	ca, cert, key := OwnCertificate(dir)
	ask := func(c *tls.Config, url, password string) (int, string, error) {
		tr := &http.Transport{TLSClientConfig: c}
		defer tr.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("SELECT 6*7"))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(UserDefault, password)
		res, err := (&http.Client{Transport: tr}).Do(r)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return res.StatusCode, string(b), err
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	trust.RootCAs.AppendCertsFromPEM(pem)
	own, err := certs.Own(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*tls.Config{"who trusts ca.pem": trust, "who has the file": own} {
		if status, text, err := ask(c, "https://"+addr, password); err != nil || status != http.StatusOK || text != "42\n" {
			t.Errorf("%s: %d %q %v", name, status, text, err)
		}
	}
	if status, _, err := ask(trust, "https://"+addr, "wrong"); err != nil || status != http.StatusForbidden {
		t.Errorf("wrong password: %d %v", status, err)
	}
	if _, _, err := ask(nil, "https://"+addr, password); certs.Explain("clickhouse", err) == "" {
		t.Errorf("a certificate that nobody trusts: %v", err)
	}
	if status, _, err := ask(nil, "http://"+addr, password); err != nil || status != http.StatusBadRequest {
		t.Errorf("plain text: %d %v", status, err)
	}
}

// TestPrintsNoPassword: a server can be printed.
func TestPrintsNoPassword(t *testing.T) {
	s := server(t)
	text := fmt.Sprintf("%v %+v %#v", s, s, s.cfg)
	if s.Password() == "" || strings.Contains(text, s.Password()) || strings.Contains(text, s.ReaderPassword()) {
		t.Error("a password is shown")
	}
}
