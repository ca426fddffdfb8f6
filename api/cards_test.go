package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNoCards: nobody is asked about a card number, neither the engine nor the store.
func TestNoCards(t *testing.T) {
	for _, path := range []string{"/v1/sessions/4111111111111111", "/v1/sessions/4111%201111%201111%201111/price", "/v1/sessions/CP-1:4111111111111111"} {
		e := &fake{}
		if r := get(t, e, path); r.Code != http.StatusBadRequest || !strings.Contains(r.Body.String(), `"code":"pan_like"`) || strings.Contains(r.Body.String(), "4111") || e.askedID != "" {
			t.Errorf("%s: %d %s, asked for %q", path, r.Code, r.Body, e.askedID)
		}
	}
}

// TestLogged: the log of who may not ask does not repeat what for.
func TestLogged(t *testing.T) {
	var log bytes.Buffer
	file := filepath.Join(t.TempDir(), "tokens")
	token, err := AddToken(file, "ann", RoleRead, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokens(file, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	handler := Handler(Config{Sessions: &fake{}, Health: &fake{}, Tokens: tokens, Pprof: true})
	for _, path := range []string{"/v1/sessions/planted", "/planted?x=planted", "/v1/sessions?dearest=planted", "/debug/pprof/planted", "/metrics"} {
		for _, bearer := range []string{"planted", token} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Authorization", "Bearer "+bearer)
			handler.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	if text := log.String(); strings.Contains(text, "planted") || strings.Contains(text, token) || strings.Count(text, "no valid token") != 5 || !strings.Contains(text, "path=/v1/sessions/... ") {
		t.Errorf("the log:\n%s", text)
	}
}
