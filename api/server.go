package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/ends"
)

// Sessions answers questions about running sessions. *engine.Engine does. Both may be called by many requests at
// once, and return engine.ErrCatchingUp where a partition could not be asked.
type Sessions interface {
	// Session finds what an id names: a session, or a transaction with or without its charge point.
	Session(ctx context.Context, id string) ([]engine.SessionView, error)
	// Dearest returns the n running sessions with the highest price, in order, also with an error.
	Dearest(ctx context.Context, n int) ([]engine.SessionView, error)
	// Prices returns the sessions of a partition that have the ids, in their order, without ID where none runs; or
	// engine.ErrElsewhere where the partition is with another engine.
	Prices(ctx context.Context, p engine.Partition, ids []engine.SessionID) ([]engine.SessionView, error)
}

// Health says how the engine is. *engine.Engine does.
type Health interface {
	// Ready returns nil when every partition is rating, else what is not.
	Ready() error
	// Stats returns where every partition stands.
	Stats() []engine.PartitionStats
	// Ends returns how what the engine is connected to is.
	Ends() []ends.State
}

// notReady says why the engine is of no use now; nil: it is. An end that is away counts, for nothing becomes durable
// then; running sessions can be asked for all the same.
func notReady(h Health) error {
	errs := []error{h.Ready()}
	for _, e := range h.Ends() {
		if e.State != ends.FaultNone {
			errs = append(errs, fmt.Errorf("%s is %s since %s: %s; what to do: %s", e.End, e.State, e.Since.UTC().Format(time.RFC3339), e.Detail, e.Do))
		}
	}
	return errors.Join(errs...)
}

var (
	_ Sessions = (*engine.Engine)(nil)
	_ Health   = (*engine.Engine)(nil)
)

// Config says what is served.
type Config struct {
	// Sessions and Health are required.
	Sessions Sessions
	Health   Health
	// Group tells who else answers questions, so that one that came to the wrong engine is sent on. Default: nobody does.
	// All are served by TLS, or none. It is called by many requests at once.
	Group func() Group
	// PartitionsOf names the partitions that may have a charge point's readings. Default: nil, nobody knows. It is called
	// by many requests at once.
	PartitionsOf func(chargePoint string) []engine.Partition
	// Ended returns those of the sessions that have ended, by the store, with Position their version. Default: nil, nobody
	// knows, and streams have no end. It is called by many requests at once.
	Ended func(ctx context.Context, ids []engine.SessionID) ([]engine.SessionView, error)
	// MaxStreams is how many prices may be followed at a time. Default: 0, none.
	MaxStreams int
	// Version is shown in wattline_build_info. Default: none.
	Version string
	// Around is shown in /metrics. Default: nothing.
	Around Around
	// Pprof serves /debug/pprof. Default false. It shows the program's memory: keep it inside.
	Pprof bool
	// TLS is what Serve encrypts with. Default: nil, plain text: keep it on this machine.
	TLS *tls.Config
	// Tokens are those that may ask. Default: nil, everybody may: keep it on this machine.
	Tokens *Tokens
	// Logger hears of answers that could not be written, at level Debug. Default: nobody does.
	Logger *slog.Logger
}

// Server is the HTTP interface at work.
type Server struct {
	http *http.Server
	done chan error
}

// Handler returns the routes of cfg.
func Handler(cfg Config) http.Handler {
	routes, _ := newHandler(cfg)
	return routes
}

func newHandler(cfg Config) (http.Handler, *handler) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Group == nil {
		cfg.Group = func() Group { return Group{} }
	}
	h := &handler{cfg: cfg, scanning: make(chan struct{}, scans)}
	h.hub = newHub(&h.cfg)
	if cfg.MaxStreams > 0 {
		cfg.Around.streams = h.hub.count
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(cfg.Health, cfg.Version, cfg.Around), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/sessions/{id}", h.noCards(h.session))
	mux.HandleFunc("GET /v1/sessions/{id}/price", h.noCards(h.price))
	mux.HandleFunc("GET /v1/sessions", h.dearest)
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	if cfg.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("/", h.index)
	if cfg.Tokens != nil {
		return cfg.Tokens.guard(mux), h
	}
	return mux, h
}

// Serve answers requests on ln until Close. It owns ln.
func Serve(ln net.Listener, cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	routes, h := newHandler(cfg)
	s := &Server{done: make(chan error, 1), http: &http.Server{
		Handler: routes, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug), // handshakes of clients that do not trust us
	}}
	s.http.RegisterOnShutdown(h.hub.close) // a stop does not wait for streams
	if cfg.TLS != nil {
		ln = tls.NewListener(ln, cfg.TLS)
	}
	go func() { s.done <- s.http.Serve(ln) }()
	return s
}

// Close lets running requests end until ctx does, then breaks them off. An error is that of serving.
func (s *Server) Close(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // what Shutdown waited for too long
	}
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
