package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/wattline/wattline/internal/config"
)

// TestProfiles: profiles are pushed where the configuration says, with its log-in, and only then.
func TestProfiles(t *testing.T) {
	var pushed, strangers atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ann" || password != "pw" {
			strangers.Add(1)
		}
		pushed.Add(1)
	}))
	defer server.Close()
	f := func(environment ...string) int64 {
		t.Helper()
		cfg, err := config.Load("", environment)
		if err != nil {
			t.Fatal(err)
		}
		pushed.Store(0)
		stop, err := startProfiles(cfg, "one", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		stop()
		return pushed.Load()
	}
	if n := f(); n != 0 {
		t.Errorf("%d profiles without an address", n)
	}
	if n := f("WATTLINE_PYROSCOPE_ADDR="+server.URL, "WATTLINE_PYROSCOPE_USER=ann", "WATTLINE_PYROSCOPE_PASSWORD=pw"); n == 0 || strangers.Load() > 0 {
		t.Errorf("%d profiles, %d without log-in", n, strangers.Load())
	}
}
