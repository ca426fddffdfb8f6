package main

import (
	"bytes"
	"context"
	"os"
	"sync"
	"testing"
	"time"
)

// childEnv makes the test binary the program: what is to be killed runs in a process of its own.
const childEnv = "WATTLINE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// output collects what a command writes while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until ok, and says what there was when it never comes.
func await(t *testing.T, what string, ok func() bool, have func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s:\n%s", what, have())
		}
	}
}

// running is a command that runs until it is stopped.
type running struct {
	out, err output
	cancel   context.CancelFunc
	done     chan int
}

// begin runs a command in this process. The test stops it at its end, if it has not before.
func begin(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan int, 1)}
	go func() { r.done <- dispatch(ctx, stdio{bytes.NewReader(nil), &r.out, &r.err}, args) }()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop is Ctrl-C.
func (r *running) stop(t *testing.T) {
	t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	if code := <-r.done; code != exitOK {
		t.Errorf("exit code %d:\n%s%s", code, r.out.String(), r.err.String())
	}
}

// stageOf is a stage that starts and stops with these errors.
func stageOf(startErr, stopErr error) func(context.Context) (string, func(context.Context) error, error) {
	return func(context.Context) (string, func(context.Context) error, error) {
		if startErr != nil {
			return "", nil, startErr
		}
		return "up", func(context.Context) error { return stopErr }, nil
	}
}
