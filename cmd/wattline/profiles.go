package main

import (
	"fmt"
	"log/slog"

	"github.com/grafana/pyroscope-go"

	"github.com/wattline/wattline/internal/config"
)

// startProfiles pushes profiles to Pyroscope if it is configured; the label `stage` is that of the parts (stages).
// The returned function sends the last one and ends it.
func startProfiles(cfg *config.Config, id string, log *slog.Logger) (stop func(), err error) {
	p := &cfg.Pyroscope
	if p.Addr == "" {
		return func() {}, nil
	}
	profiler, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: p.App, ServerAddress: p.Addr, BasicAuthUser: p.User, BasicAuthPassword: p.Password.Reveal(),
		Tags: map[string]string{"engine": id, "version": version()}, DisableGCRuns: true, Logger: profileLog{log},
		ProfileTypes: pyroscope.DefaultProfileTypes,
	})
	if err != nil {
		return nil, fmt.Errorf("start profiles to %s: %w", p.Addr, err)
	}
	return func() {
		if err := profiler.Stop(); err != nil {
			log.Warn("profiles", "error", err)
		}
	}, nil
}

// profileLog is pyroscope's logger on ours. A server that is down is no error of ours.
type profileLog struct{ log *slog.Logger }

// Infof implements pyroscope.Logger.
func (l profileLog) Infof(format string, args ...any) {
	l.log.Debug("pyroscope", "says", fmt.Sprintf(format, args...))
}

// Debugf implements pyroscope.Logger.
func (l profileLog) Debugf(format string, args ...any) {
	l.log.Debug("pyroscope", "says", fmt.Sprintf(format, args...))
}

// Errorf implements pyroscope.Logger.
func (l profileLog) Errorf(format string, args ...any) {
	l.log.Warn("pyroscope", "says", fmt.Sprintf(format, args...))
}
