package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/certs"
)

func makeToken(t *testing.T, file, name string, role Role) string {
	t.Helper()
	token, err := AddToken(file, name, role, time.UnixMilli(1_800_000_000_000))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestTokens: who may ask what, with which status; nothing repeats what was sent (H5).
func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	reader, operator := makeToken(t, file, "grafana", RoleRead), makeToken(t, file, "night-shift", RoleOperator)
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file can be read by others: %v, %v", st.Mode(), err)
	}
	if strings.Contains(string(kept), reader) || !strings.HasPrefix(string(kept), "grafana read sha256:") || !strings.Contains(string(kept), " 2027-01-15\n") {
		t.Errorf("the file holds the token, or not its hash:\n%s", kept)
	}
	var log bytes.Buffer
	tokens, err := OpenTokens(file, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	e := &fake{found: []engine.SessionView{example()}, ready: engine.ErrCatchingUp}
	h := Handler(Config{Sessions: e, Health: e, Pprof: true, Tokens: tokens})
	f := func(path, header string, status int, part string) {
		t.Helper()
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		h.ServeHTTP(w, r)
		if text := w.Body.String(); w.Code != status || !strings.Contains(text, part) {
			t.Errorf("%s with %q: status %d, want %d: %s", path, header, w.Code, status, text)
		}
		if got := w.Header().Get("WWW-Authenticate"); (got != "") != (status == http.StatusUnauthorized) {
			t.Errorf("%s with %q: WWW-Authenticate is %q", path, header, got)
		}
		if secret := strings.TrimPrefix(header, "Bearer "); len(secret) > 10 && (strings.Contains(w.Body.String(), secret) || strings.Contains(log.String(), secret)) {
			t.Errorf("%s with %q: the token is repeated: %s\n%s", path, header, w.Body, &log)
		}
	}
	open, asReader, asOperator := "", "Bearer "+reader, "Bearer "+operator
	for _, path := range []string{"/", "/v1/sessions", "/v1/sessions/x", "/metrics", "/nothing", "/debug/pprof/"} {
		f(path, open, http.StatusUnauthorized, "token is needed")
		for _, wrong := range []string{"Bearer ", "Bearer wl_wrong-and-long-enough", "Basic " + reader, reader, asReader[:len(asReader)-1], "Bearer " + strings.ToUpper(reader)} {
			f(path, wrong, http.StatusUnauthorized, "token is needed")
		}
	}
	f("/healthz", open, http.StatusOK, "alive")
	f("/readyz", open, http.StatusServiceUnavailable, `{"ready":false}`)
	f("/readyz", asReader, http.StatusServiceUnavailable, "catching up")
	f("/readyz", "Bearer wrong", http.StatusUnauthorized, "token is needed")
	f("/v1/sessions/x", asReader, http.StatusOK, "WTL-BER-00190")
	f("/metrics", asReader, http.StatusOK, "wattline_ready 0")
	f("/debug/pprof/", asReader, http.StatusForbidden, "grafana has the role read")
	f("/debug/pprof/", asOperator, http.StatusOK, "goroutine")
	f("/v1/sessions/x", asOperator, http.StatusOK, "WTL-BER-00190")
	e.ready = nil
	f("/readyz", open, http.StatusOK, `{"ready":true}`)
}

// TestTokensReload: a token that is added holds, one that is taken out does not, and a faulty file changes nothing.
func TestTokensReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	first := makeToken(t, file, "first", RoleRead)
	var log bytes.Buffer
	tokens, err := OpenTokens(file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	holds := func(token string) bool {
		_, _, ok := tokens.find(token)
		return ok
	}
	await := func(token string, want bool) {
		t.Helper()
		for began := time.Now(); holds(token) != want; time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatalf("token holds: %v, want %v\n%s", !want, want, &log)
			}
		}
	}
	second := makeToken(t, file, "second", RoleRead)
	await(second, true)
	await(first, true)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(good, "third read "+first+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); !strings.Contains(log.String(), "line 3"); time.Sleep(50 * time.Millisecond) {
		if await(first, true); time.Since(began) > time.Minute {
			t.Fatalf("a faulty file is not told\n%s", &log)
		}
	}
	if strings.Contains(log.String(), first) {
		t.Errorf("a token in the wrong place is told\n%s", &log)
	}
	lines := strings.SplitAfter(string(good), "\n")
	if err := os.WriteFile(file, []byte("# taken back\n"+lines[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	await(first, false)
	await(second, true)
}

func TestTokensFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	f := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenTokens(file, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("# one\n\nhush\n", "line 3 is not")
	f("a hush sha256:00\n", "line 1: the second word")
	f("a read hush\n", "line 1: the third word")
	f("a read sha256:"+strings.Repeat("0", 63)+"\n", "line 1: the third word")
	if _, err := OpenTokens(file+"x", nil); err == nil {
		t.Error("a file that is not there is taken")
	}
	for _, bad := range []struct {
		name string
		role Role
	}{{"", RoleRead}, {"two words", RoleRead}, {"a#b", RoleRead}, {"a", "admin"}} {
		if _, err := AddToken(file, bad.name, bad.role, time.Now()); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestServeTLS: HTTP/2 and tokens over TLS; plain text gets no further than the handshake.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	ca, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	caFile, err := ca.WriteCA(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Write(dir, "api", certs.Template{Names: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := certs.Server(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	token := makeToken(t, dir+"/tokens", "me", RoleRead)
	tokens, err := OpenTokens(dir+"/tokens", nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &fake{found: []engine.SessionView{example()}}
	s := Serve(ln, Config{Sessions: e, Health: e, TLS: server, Tokens: tokens})
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	trust, err := certs.Client("x", certs.Files{CA: caFile})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c *tls.Config, url string) (proto string, status int, err error) {
		tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := (&http.Client{Transport: tr}).Do(r)
		if err != nil {
			return "", 0, err
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.Proto, res.StatusCode, nil
	}
	if proto, status, err := ask(trust, "https://"+ln.Addr().String()+"/v1/sessions"); err != nil || status != http.StatusOK || proto != "HTTP/2.0" {
		t.Error(proto, status, err)
	}
	if _, status, err := ask(nil, "http://"+ln.Addr().String()+"/v1/sessions"); err != nil || status != http.StatusBadRequest {
		t.Errorf("plain text: status %d, %v", status, err)
	}
	if _, _, err := ask(nil, "https://"+ln.Addr().String()+"/v1/sessions"); err == nil {
		t.Error("a certificate that nobody trusts is taken")
	}
}

// FuzzTokens: no file makes it panic, what is taken holds as many tokens as lines, and no fault repeats the file.
func FuzzTokens(f *testing.F) {
	f.Add([]byte("a read sha256:" + strings.Repeat("0a", 32) + " 2027-01-15\n# x\n"))
	f.Add([]byte("a read sha256:"))
	f.Add([]byte("\n\nhush-4711-word operator x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseTokens(b)
		if len(list) > bytes.Count(b, []byte("\n"))+1 {
			t.Errorf("%d tokens", len(list))
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Error(err)
		}
		for _, h := range list {
			if h.role != RoleRead && h.role != RoleOperator {
				t.Errorf("role %q", h.role)
			}
		}
	})
}
