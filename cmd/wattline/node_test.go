package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse"
)

// An engine that starts while the store is full or cut off waits for it; one that is refused says so at once.
func TestUntilDone(t *testing.T) {
	full := errors.New("code: 243: no space left")
	f := func(name string, want error, tries int, took time.Duration, answers ...error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 60500*time.Millisecond)
				defer cancel()
				began, n := time.Now(), 0
				err := untilDone(ctx, slog.New(slog.DiscardHandler), "connect", func() error {
					n++
					return answers[min(n, len(answers))-1]
				})
				if !errors.Is(err, want) || n != tries || time.Since(began) != took {
					t.Errorf("%v after %d tries and %v, want %v after %d and %v", err, n, time.Since(began), want, tries, took)
				}
			})
		})
	}
	f("at once", nil, 1, 0, nil)
	f("full for a while", nil, 3, 2*time.Second, full, full, nil)
	f("refused", clickhouse.ErrRefused, 2, time.Second, full, clickhouse.ErrRefused)
	f("newer schema", clickhouse.ErrNewerSchema, 1, 0, clickhouse.ErrNewerSchema)
	f("told to stop", full, 61, 60500*time.Millisecond, full)
}

// A stop does not take longer than promised because a broker does not answer.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began, failed := time.Now(), errors.New("failed")
		if err := bounded(ctx, func() error { return failed }); !errors.Is(err, failed) || time.Since(began) != 0 {
			t.Errorf("%v after %v, want the close's own error at once", err, time.Since(began))
		}
		err := bounded(ctx, func() error {
			time.Sleep(10 * time.Second)
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v, want the deadline after 1 s", err, time.Since(began))
		}
		time.Sleep(10 * time.Second) // the close ends at last
	})
}
