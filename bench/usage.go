package bench

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what this process has used so far.
type usage struct {
	at                    time.Time
	user, system          time.Duration
	peakRSS               int64 // bytes, of the whole life
	mallocs, allocated    uint64
	collections           uint32
	collectorCPU          time.Duration // as of the last collection that ended
	switches, preemptions int64         // context switches, by itself and by others
}

func takeUsage() usage {
	now := time.Now()
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails only for a bad address
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	gc := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(gc)
	return usage{
		at: now, user: time.Duration(r.Utime.Nano()), system: time.Duration(r.Stime.Nano()),
		peakRSS: r.Maxrss * maxRSSUnit(), mallocs: m.Mallocs, allocated: m.TotalAlloc, collections: m.NumGC,
		collectorCPU: time.Duration(gc[0].Value.Float64() * float64(time.Second)),
		switches:     r.Nvcsw, preemptions: r.Nivcsw,
	}
}

// peakRSS is the most memory that this process has had, bytes.
func peakRSS() int64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails only for a bad address
	return r.Maxrss * maxRSSUnit()
}

// maxRSSUnit is what getrusage counts ru_maxrss in, bytes.
func maxRSSUnit() int64 {
	if runtime.GOOS == "darwin" {
		return 1
	}
	return 1024
}

func (u *usage) cpu() time.Duration { return u.user + u.system }

// setNice gives all threads of a process that was started a nice value; those that they start inherit it.
func setNice(pid, nice int) error {
	if nice == 0 {
		return nil
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return fmt.Errorf("nice value of process %d: its threads: %w", pid, err)
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return fmt.Errorf("nice value of process %d: thread %q: %w", pid, t.Name(), err)
		}
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, tid, nice); err != nil && !errors.Is(err, syscall.ESRCH) { // ended meanwhile
			return fmt.Errorf("nice value of process %d: %w", pid, err)
		}
	}
	return nil
}

// processCPU is the user and system time of another process so far; ok is false where the system does not tell.
func processCPU(pid int) (cpu time.Duration, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name in parentheses may hold anything; the fields after it are numbers (proc(5): utime is the 14th of all).
	_, rest, found := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if !found || len(f) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every platform of Go
	return time.Duration(user+system) * tick, err1 == nil && err2 == nil
}

// Host is the machine of a measurement.
type Host struct {
	OS     string  `json:"os"`
	Arch   string  `json:"arch"`
	CPU    string  `json:"cpu,omitempty"`
	Cores  int     `json:"cores"`
	Memory int64   `json:"memory_bytes,omitempty"`
	Load   float64 `json:"load_1m_at_start"` // other work on the machine makes caches cold: CPU time is not free of it
}

func describeHost() Host {
	h := Host{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				h.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			h.Memory = kib * 1024
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		if first, _, ok := strings.Cut(string(text), " "); ok {
			h.Load, _ = strconv.ParseFloat(first, 64) // 0 when it is no number
		}
	}
	return h
}
