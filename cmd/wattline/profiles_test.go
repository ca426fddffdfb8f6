package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wattline/wattline/internal/config"
)

// pyroscopeServer is a small Pyroscope: it takes pushes with the right log-in and unpacks their CPU profiles.
type pyroscopeServer struct {
	mu        sync.Mutex
	pushed    int
	strangers int
	faults    []error
	stages    map[string]int // samples of CPU profiles by the label stage; "": without one
}

// ServeHTTP implements http.Handler.
func (p *pyroscopeServer) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pushed++
	if user, password, _ := r.BasicAuth(); user != "ann" || password != "pw" {
		p.strangers++
	}
	parts, err := r.MultipartReader()
	for err == nil {
		part, perr := parts.NextPart()
		if err = perr; err != nil {
			break
		}
		var b []byte
		if b, err = io.ReadAll(part); err == nil && part.FormName() == "profile" {
			err = p.profile(b)
		}
	}
	if !errors.Is(err, io.EOF) {
		p.faults = append(p.faults, err)
	}
}

// profile reads a gzipped profile.proto (github.com/google/pprof/proto): samples are field 2, a sample's labels field 3,
// a label's key and text fields 1 and 2, which are places in the strings, field 6.
func (p *pyroscopeServer) profile(b []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	if b, err = io.ReadAll(z); err != nil {
		return err
	}
	var texts []string
	var samples [][]byte
	err = fields(b, func(number protowire.Number, v []byte, _ uint64) error {
		switch number {
		case 2:
			samples = append(samples, v)
		case 6:
			texts = append(texts, string(v))
		}
		return nil
	})
	if err != nil || !slices.Contains(texts, "cpu") {
		return err
	}
	for _, s := range samples {
		stage := ""
		err := fields(s, func(number protowire.Number, label []byte, _ uint64) error {
			if number != 3 {
				return nil
			}
			var pair [3]uint64
			err := fields(label, func(number protowire.Number, _ []byte, v uint64) error {
				if number < 3 {
					pair[number] = v
				}
				return nil
			})
			if max(pair[1], pair[2]) >= uint64(len(texts)) {
				return errors.New("a label without a text")
			}
			if texts[pair[1]] == "stage" {
				stage = texts[pair[2]]
			}
			return err
		})
		if err != nil {
			return err
		}
		p.stages[stage]++
	}
	return nil
}

// fields calls do for each field of a message: v of a number, b of what has a length.
func fields(msg []byte, do func(number protowire.Number, b []byte, v uint64) error) error {
	for len(msg) > 0 {
		number, kind, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		var b []byte
		var v uint64
		switch kind {
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(msg)
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(msg)
		default:
			n = protowire.ConsumeFieldValue(number, kind, msg)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		if err := do(number, b, v); err != nil {
			return err
		}
	}
	return nil
}

// TestProfiles: profiles are pushed where the configuration says, with its log-in, and only then; in a CPU profile the
// label `stage` says which part of the program it was.
func TestProfiles(t *testing.T) {
	p := &pyroscopeServer{stages: map[string]int{}}
	server := httptest.NewServer(p)
	defer server.Close()
	f := func(environment ...string) (pushed int) {
		t.Helper()
		cfg, err := config.Load("", environment)
		if err != nil {
			t.Fatal(err)
		}
		p.pushed = 0
		stop, err := startProfiles(cfg, "one", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		work(t, "store", "engine")
		stop()
		return p.pushed
	}
	if n := f(); n != 0 {
		t.Errorf("%d profiles without an address", n)
	}
	if n := f("WATTLINE_PYROSCOPE_ADDR="+server.URL, "WATTLINE_PYROSCOPE_USER=ann", "WATTLINE_PYROSCOPE_PASSWORD=pw"); n == 0 || p.strangers > 0 || len(p.faults) > 0 {
		t.Errorf("%d profiles, %d without log-in, faults %v", n, p.strangers, p.faults)
	}
	if p.stages["store"] == 0 || p.stages["engine"] == 0 {
		t.Errorf("CPU samples by stage: %v; want some of store and of engine", p.stages)
	}
}

// work starts stages as the program does, and lets a goroutine of each use 0.3 s of CPU.
func work(t *testing.T, names ...string) {
	t.Helper()
	s := stages{log: slog.New(slog.DiscardHandler)}
	for _, name := range names {
		done := make(chan struct{})
		err := s.start(t.Context(), name, func(context.Context) (string, func(context.Context) error, error) {
			go func() {
				defer close(done)
				for began := cpuUsed(t); cpuUsed(t)-began < 300_000; {
					for x := range 1_000_000 {
						sink ^= x * x
					}
				}
			}()
			return "", nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		<-done
	}
}

// sink keeps the work from being left out.
var sink int

// cpuUsed is what this process has used, µs.
func cpuUsed(t *testing.T) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Error(err)
	}
	return u.Utime.Nano() / 1000
}
