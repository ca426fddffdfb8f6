package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wattline/wattline/internal/parts"
)

// world is what the tests share (E3).
type world struct {
	once   sync.Once
	err    error
	dir    string
	binary string
	kafka  *parts.Kafka
	store  *process

	storeAddr                   string
	passwordFile, readerFile    string
	password, readerPassword    string
	buildTook, kafkaTook, total time.Duration
}

var shared world

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// start builds the binary and starts broker and store, once.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.once.Do(func() {
		began := time.Now()
		w.err = w.startAll()
		w.total = time.Since(began)
	})
	if w.err != nil {
		t.Fatal(w.err)
	}
	t.Logf("shared: build %.1f s, broker %.1f s, all %.1f s", w.buildTook.Seconds(), w.kafkaTook.Seconds(), w.total.Seconds())
}

func (w *world) startAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	if w.dir, err = os.MkdirTemp("", "wattline-e2e-"); err != nil {
		return err
	}
	began := time.Now()
	if err := w.build(ctx); err != nil {
		return err
	}
	w.buildTook = time.Since(began)
	began = time.Now()
	if w.kafka, err = parts.StartKafka(ctx, parts.KafkaConfig{Dir: filepath.Join(w.dir, "kafka"), HeapMiB: 768}); err != nil {
		return err
	}
	w.kafkaTook = time.Since(began)
	return w.startStore()
}

// build makes the binary as it ships: without cgo.
func (w *world) build(ctx context.Context) error {
	w.binary = filepath.Join(w.dir, "wattline")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "github.com/wattline/wattline/cmd/wattline")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// startStore runs `wattline store` and reads where it listens from its output.
func (w *world) startStore() error {
	cfg := filepath.Join(w.dir, "store.yaml")
	text := fmt.Sprintf("data:\n  dir: %s\nclickhouse:\n  embedded_addr: 127.0.0.1:0\n", filepath.Join(w.dir, "data"))
	if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
		return err
	}
	var err error
	if w.store, err = startProcess(w.binary, "store", w.dir, filepath.Join(w.dir, "store.log"), "store", "--config", cfg); err != nil {
		return err
	}
	deadline := time.Now().Add(time.Minute)
	for {
		said := map[string]string{}
		for line := range strings.Lines(w.store.output()) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				said[key] = value
			}
		}
		w.storeAddr, w.passwordFile, w.readerFile = said["addr"], said["password_file"], said["reader_password_file"]
		if w.storeAddr != "" && w.passwordFile != "" && w.readerFile != "" {
			break
		}
		if w.store.ended() || time.Now().After(deadline) {
			return fmt.Errorf("wattline store does not say where it listens (ended: %v):\n%s", w.store.ended(), w.store.output())
		}
		time.Sleep(20 * time.Millisecond)
	}
	if w.password, err = firstLine(w.passwordFile); err != nil {
		return err
	}
	w.readerPassword, err = firstLine(w.readerFile)
	return err
}

func firstLine(path string) (string, error) {
	b, err := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return line, err
}

// logs are those of the shared processes.
func (w *world) logs() []string {
	var list []string
	if w.store != nil {
		list = append(list, w.store.log)
	}
	if w.kafka != nil {
		list = append(list, w.kafka.LogPath())
	}
	return list
}

// stop ends the shared processes: the store in order, which has to work.
func (w *world) stop() error {
	var errs []error
	if w.store != nil {
		if _, err := w.store.stop(syscall.SIGTERM, 10*time.Second); err != nil {
			errs = append(errs, err, errors.New(w.store.output()), w.store.kill())
		}
	}
	if w.kafka != nil {
		errs = append(errs, w.kafka.Kill())
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// freeAddr is a loopback address that nobody listens on, from below the ports that systems give to connections, so
// that it is still free when a killed engine comes back.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 200 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(10_000)))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}
