package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMemoryLimit: the least of what binds the process, wherever it is said.
func TestMemoryLimit(t *testing.T) {
	f := func(want int64, files ...string) {
		t.Helper()
		root := t.TempDir()
		for i := 0; i < len(files); i += 2 {
			path := filepath.Join(root, files[i])
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := MemoryLimit(root); got != want {
			t.Errorf("memory limit %d, want %d, of %q", got, want, files)
		}
	}
	const memory = "MemFree: 1 kB\nMemTotal:       24576 kB\nSwapTotal: 0 kB\n"
	f(0)
	f(24576<<10, "proc/meminfo", memory)
	f(24576<<10, "proc/meminfo", memory, "proc/self/cgroup", "0::/system.slice/wattline.service\n", "sys/fs/cgroup/system.slice/wattline.service/memory.max", "max\n")
	f(5<<20, "proc/meminfo", memory, "proc/self/cgroup", "0::/system.slice/wattline.service\n", "sys/fs/cgroup/system.slice/wattline.service/memory.max", "6291456\n",
		"sys/fs/cgroup/system.slice/memory.max", "5242880\n")
	f(7<<20, "proc/meminfo", memory, "proc/self/cgroup", "3:cpu:/x\n5:memory:/docker/abc\n", "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "7340032\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
	f(24576<<10, "proc/meminfo", memory, "proc/self/cgroup", "nonsense\n")
}

// TestClock: an answer is kept; none, or one that took too long to mean anything, changes nothing.
func TestClock(t *testing.T) {
	type answer struct {
		ahead, within time.Duration
		err           error
	}
	f := func(want time.Duration, known bool, a answer) {
		t.Helper()
		var c Clock
		ctx, cancel := context.WithCancel(t.Context())
		c.Watch(ctx, func(context.Context) (time.Duration, time.Duration, error) {
			cancel() // after one question
			return a.ahead, a.within, a.err
		})
		if got, ok := c.Skew(); got != want || ok != known {
			t.Errorf("%v, %v; want %v, %v", got, ok, want, known)
		}
	}
	f(-3*time.Second, true, answer{ahead: -3 * time.Second, within: time.Millisecond})
	f(0, false, answer{ahead: time.Second, within: time.Minute})
	f(0, false, answer{err: errors.New("away")})
	var c Clock
	c.ahead, c.at = time.Second, time.Now().Add(-time.Hour)
	if _, known := c.Skew(); known {
		t.Error("an answer of an hour ago counts")
	}
}
