package machine

import (
	"bufio"
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

// clockEvery is how often the other clock is looked at, clockLoose the longest question whose answer says anything.
const (
	clockEvery = 30 * time.Second
	clockLoose = 2 * time.Second
)

// Clock knows by how much another machine's clock is ahead of ours. The zero value knows nothing yet.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
	at    time.Time // of the newest answer; zero: there was none
}

// Watch asks until ctx ends: by how much the other clock is ahead, and the bound of the error. What fails, or takes so long
// that it says nothing, changes nothing.
func (c *Clock) Watch(ctx context.Context, ask func(context.Context) (ahead, within time.Duration, err error)) {
	for {
		if ahead, within, err := ask(ctx); err == nil && within <= clockLoose {
			c.mu.Lock()
			c.ahead, c.at = ahead, time.Now()
			c.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(clockEvery):
		}
	}
}

// Skew returns the newest answer, and whether there is one; one of minutes ago is none.
func (c *Clock) Skew() (ahead time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead, !c.at.IsZero() && time.Since(c.at) < 10*clockEvery
}

// MemoryLimit returns the least of GOMEMLIMIT, the limits of the process's control group and those above it, and the machine's
// memory, bytes; 0 where none can be read. root is "/" but in tests.
func MemoryLimit(root string) int64 {
	limit := debug.SetMemoryLimit(-1) // asks
	lower := func(v int64, err error) {
		if err == nil && v > 0 {
			limit = min(limit, v)
		}
	}
	if b, err := os.ReadFile(filepath.Join(root, "proc/meminfo")); err == nil {
		for line := range bytes.Lines(b) {
			if text, ok := bytes.CutPrefix(line, []byte("MemTotal:")); ok {
				kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(text)), "kB")), 10, 64)
				lower(kib<<10, err)
			}
		}
	}
	for _, file := range groupLimits(root) {
		if b, err := os.ReadFile(file); err == nil { // "max" is no number, and no limit
			lower(strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64))
		}
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// groupLimits are the files that may limit the process's control group, of version 2 and of version 1.
func groupLimits(root string) []string {
	f, err := os.Open(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil
	}
	defer f.Close()
	var files []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		parts := strings.SplitN(lines.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, name := "sys/fs/cgroup", "memory.max"
		if parts[1] != "" {
			if parts[1] != "memory" {
				continue
			}
			base, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for dir := filepath.Clean("/" + parts[2]); ; dir = filepath.Dir(dir) {
			files = append(files, filepath.Join(root, base, dir, name))
			if dir == "/" {
				break
			}
		}
	}
	return files
}
