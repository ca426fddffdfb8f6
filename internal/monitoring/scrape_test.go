package monitoring

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// scrapes is how many samples a series has, every 15 s of the database's time.
const scrapes = 8

// real is what a running engine gave; made once.
var real struct {
	sync.Once
	db  *database
	end time.Time
	err error
}

// scraped returns samples of a running, healthy engine, and the time of the last ones.
func scraped(t *testing.T) (*database, time.Time) {
	t.Helper()
	real.Do(func() { real.db, real.end, real.err = scrape(t) })
	if real.err != nil {
		t.Fatal(real.err)
	}
	return real.db, real.end
}

// scrape builds the program, runs its demo and asks it for metrics, as often as a second, which the database takes for 15.
func scrape(t *testing.T) (*database, time.Time, error) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "wattline")
	build := exec.CommandContext(t.Context(), "go", "build", "-pgo=off", "-o", binary, "./cmd/wattline")
	build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, began, fmt.Errorf("go build: %w\n%s", err, out)
	}
	logPath := filepath.Join(dir, "demo.out")
	logFile, err := os.Create(logPath)
	if err != nil {
		return nil, began, err
	}
	defer logFile.Close()
	demo := exec.Command(binary, "demo", "--speed", "20", "--chargers", "400", "--plain", "--data", filepath.Join(dir, "data")) //nolint:noctx // it is ended in order
	demo.Env = append(os.Environ(), "WATTLINE_HTTP_ADDR=127.0.0.1:0", "WATTLINE_KAFKA_EMBEDDED_ADDR=127.0.0.1:0", "WATTLINE_CLICKHOUSE_EMBEDDED_ADDR=127.0.0.1:0")
	demo.Stdout, demo.Stderr = logFile, logFile
	if err := demo.Start(); err != nil {
		return nil, began, err
	}
	ended := make(chan error, 1)
	go func() { ended <- demo.Wait() }()
	db, last, err := watch(logPath, ended)
	stopped := make(chan struct{})
	go func() { // it stops within 5 s, or is killed
		select {
		case <-stopped:
		case <-time.After(time.Minute):
			_ = demo.Process.Kill()
		}
	}()
	defer close(stopped)
	if serr := demo.Process.Signal(syscall.SIGINT); serr == nil {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		out, _ := os.ReadFile(logPath)
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return db, last, err
}

// watch waits until the engine rates every partition durably, then takes the samples.
func watch(logPath string, ended <-chan error) (*database, time.Time, error) {
	address := regexp.MustCompile(`(?m)^api +(http://\S+)`)
	deadline, url, text := time.Now().Add(3*time.Minute), "", ""
	for url == "" || strings.Count(text, "wattline_committed_offset{") < 4 || !strings.Contains(text, "\nwattline_store_clock_skew_seconds ") ||
		strings.Count(text, "wattline_lag_messages{") < 4 || !strings.Contains(text, "\nwattline_ready 1") {
		select {
		case err := <-ended:
			return nil, began, fmt.Errorf("the demo has ended: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, began, fmt.Errorf("the demo does not rate within 3 minutes; /metrics: %s", text)
		}
		if out, err := os.ReadFile(logPath); err == nil {
			if m := address.FindSubmatch(out); m != nil {
				url = string(m[1])
			}
		}
		if url != "" {
			text, _ = get(url + "/metrics") // it may not listen yet
		}
	}
	db, at := newDatabase(), began
	for i := range scrapes {
		text, err := get(url + "/metrics")
		if err != nil {
			return nil, began, err
		}
		at = began.Add(time.Duration(i) * 15 * time.Second)
		if err := db.take(text, at); err != nil {
			return nil, began, err
		}
		time.Sleep(time.Second)
	}
	return db, at, nil
}

func get(url string) (string, error) {
	res, err := (&http.Client{Timeout: 10 * time.Second}).Get(url) //nolint:noctx // it has a time-out
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return string(b), err
}

// take adds a page of metrics, as Prometheus would for a target of job wattline.
func (d *database) take(text string, at time.Time) error {
	p := textparse.NewPromParser([]byte(text), labels.NewSymbolTable(), false)
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			d.add(labels.FromStrings("__name__", "up", "job", "wattline", "instance", "one:8080"), at, 1)
			return nil
		}
		if err != nil {
			return fmt.Errorf("parse /metrics: %w", err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		p.Labels(&l)
		_, _, v := p.Series()
		b := labels.NewBuilder(l)
		b.Set("job", "wattline").Set("instance", "one:8080")
		d.add(b.Labels(), at, v)
	}
}
