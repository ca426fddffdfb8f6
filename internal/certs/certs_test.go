package certs

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// handshake has a client with c and a server with s greet each other and returns what the client sees, up to the
// first byte that it reads: what a server of TLS 1.3 says about our certificate comes only there.
func handshake(t *testing.T, host string, c, s *tls.Config) (*tls.ConnectionState, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		server := tls.Server(conn, s)
		_, _ = server.Write([]byte("x")) // the client sees whether it worked
		_, _ = io.Copy(io.Discard, conn)
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { <-served }()
	defer conn.Close()
	c = c.Clone()
	if c.ServerName == "" {
		c.ServerName = host
	}
	client := tls.Client(conn, c)
	if _, err := client.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	state := client.ConnectionState()
	return &state, nil
}

type world struct {
	dir, ca, foreign string
	a                *Authority
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	var err error
	if w.a, err = NewAuthority("ours"); err != nil {
		t.Fatal(err)
	}
	other, err := NewAuthority("theirs")
	if err != nil {
		t.Fatal(err)
	}
	if w.ca, err = w.a.WriteCA(w.dir, "ca"); err != nil {
		t.Fatal(err)
	}
	if w.foreign, err = other.WriteCA(w.dir, "foreign"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) server(t *testing.T, name string, tpl Template) *tls.Config {
	t.Helper()
	cert, key, err := w.a.Write(w.dir, name, tpl)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Server(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) client(t *testing.T, f Files) *tls.Config {
	t.Helper()
	c, err := Client("kafka", f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestExplain: each fault of certificates has one text, which names the key; T1.
func TestExplain(t *testing.T) {
	w := newWorld(t)
	good := w.server(t, "good", Template{Names: []string{"127.0.0.1", "kafka.example"}})
	f := func(name, host string, c Files, s *tls.Config, want ...string) {
		t.Helper()
		_, err := handshake(t, host, w.client(t, c), s)
		if len(want) == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		got := Explain("kafka", err)
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q is not in %q (%v)", name, part, got, err)
			}
		}
	}
	trusting := Files{CA: w.ca}
	f("good", "127.0.0.1", trusting, good)
	f("other name", "10.0.0.1", Files{CA: w.ca, ServerName: "kafka.example"}, good)
	f("wrong CA", "127.0.0.1", Files{CA: w.foreign}, good, "trusted", "kafka.tls_ca_file")
	f("the machine's CAs", "127.0.0.1", Files{}, good, "trusted", "kafka.tls_ca_file")
	f("wrong name", "10.0.0.1", trusting, good, "for kafka.example, 127.0.0.1, not for 10.0.0.1", "kafka.tls_server_name")
	now := time.Now()
	f("expired", "127.0.0.1", trusting, w.server(t, "old", Template{Names: []string{"127.0.0.1"}, From: now.Add(-48 * time.Hour), Until: now.Add(-time.Hour)}), "valid from", "not now")
	f("not yet", "127.0.0.1", trusting, w.server(t, "new", Template{Names: []string{"127.0.0.1"}, From: now.Add(time.Hour)}), "valid from", "not now")

	mutual := w.server(t, "mutual", Template{Names: []string{"127.0.0.1"}})
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, w.client(t, trusting).RootCAs
	cert, key, err := w.a.Write(w.dir, "engine", Template{Names: []string{"engine"}})
	if err != nil {
		t.Fatal(err)
	}
	f("client certificate", "127.0.0.1", Files{CA: w.ca, Cert: cert, Key: key}, mutual)
	f("no client certificate", "127.0.0.1", trusting, mutual, "wants a certificate of ours", "kafka.tls_cert_file")
	mutual.MaxVersion = tls.VersionTLS12
	f("no client certificate, TLS 1.2", "127.0.0.1", trusting, mutual, "kafka.tls_cert_file")
	cert, key, err = w.a.Write(w.dir, "late", Template{Names: []string{"engine"}, From: now.Add(-48 * time.Hour), Until: now.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	f("expired client certificate", "127.0.0.1", Files{CA: w.ca, Cert: cert, Key: key}, mutual, "kafka.tls_cert_file")
	old := w.server(t, "v10", Template{Names: []string{"127.0.0.1"}})
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	if _, err := handshake(t, "127.0.0.1", w.client(t, trusting), old); err == nil {
		t.Error("TLS 1.0 is spoken (T1)")
	}
	if got := Explain("kafka", io.EOF) + Explain("kafka", nil); got != "" {
		t.Errorf("what is no fault of certificates is explained as %q", got)
	}
}

// TestNoTLS: the port speaks plain text.
func TestNoTLS(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	_, err = tls.Dial("tcp", ln.Addr().String(), &tls.Config{MinVersion: tls.VersionTLS12})
	if got := Explain("clickhouse", err); !strings.Contains(got, "no TLS") || !strings.Contains(got, "clickhouse.tls") {
		t.Errorf("%q (%v)", got, err)
	}
}

// TestOwn: the certificate in the file is taken, whatever its name, and no other.
func TestOwn(t *testing.T) {
	w := newWorld(t)
	s := w.server(t, "mine", Template{Names: []string{"elsewhere.example"}})
	c, err := Own(filepath.Join(w.dir, "mine.pem"), filepath.Join(w.dir, "mine.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, "127.0.0.1", c, s); err != nil {
		t.Error(err)
	}
	if _, err := handshake(t, "127.0.0.1", c, w.server(t, "other", Template{Names: []string{"elsewhere.example"}})); !errors.Is(err, errNotOurs) {
		t.Errorf("another certificate is taken: %v", err)
	}
}

// TestT2: a changed pair is used, one that does not fit is not.
func TestT2(t *testing.T) {
	w := newWorld(t)
	s := w.server(t, "srv", Template{Names: []string{"127.0.0.1", "first.example"}})
	c := w.client(t, Files{CA: w.ca})
	serves := func() string {
		t.Helper()
		state, err := handshake(t, "127.0.0.1", c, s)
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].DNSNames[0]
	}
	await := func(want string) {
		t.Helper()
		for began := time.Now(); serves() != want; time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatalf("still %s, not %s", serves(), want)
			}
		}
	}
	await("first.example")
	if err := os.WriteFile(filepath.Join(w.dir, "srv.pem"), []byte("rubbish, and longer than nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(lookAgainAfter + 50*time.Millisecond) // so that it is looked at
	await("first.example")
	if _, _, err := w.a.Write(w.dir, "srv", Template{Names: []string{"127.0.0.1", "second.example"}}); err != nil {
		t.Fatal(err)
	}
	await("second.example")
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	cert, key, err := w.a.Write(w.dir, "x", Template{Names: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key can be read by others: %v %v", st.Mode(), err)
	}
	f := func(files Files, want string) {
		t.Helper()
		if _, err := Client("kafka", files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", files, err, want)
		}
	}
	f(Files{CA: "/nonexistent"}, "kafka.tls_ca_file: open /nonexistent")
	f(Files{CA: key}, "holds no PEM certificate")
	f(Files{Cert: cert, Key: cert}, "kafka.tls_cert_file and kafka.tls_key_file")
	f(Files{Cert: cert, Key: "/nonexistent"}, "/nonexistent")
	if _, err := Server(w.ca, key); err == nil {
		t.Error("a key of another certificate is taken")
	}
	if _, _, err := w.a.Issue(Template{}); err == nil {
		t.Error("a certificate for nobody")
	}
	if _, err := Server("/nonexistent", key); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestLoopback(t *testing.T) {
	f := func(addr string, want bool) {
		t.Helper()
		if got := LoopbackAddr(addr); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	f("127.0.0.1:1", true)
	f("127.9.9.9:1", true)
	f("[::1]:1", true)
	f("localhost:1", true)
	f("localhost.example:1", false)
	f("10.0.0.1:1", false)
	f(":1", false)
	f("0.0.0.0:1", false)
	f("[::]:1", false)
	f("127.0.0.1", false) // no port
	f("kafka:9092", false)
}
