package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// journal prints what happens and counts it. Its methods may be called from several goroutines.
type journal struct {
	mu      sync.Mutex
	w       io.Writer
	began   time.Time
	kills   map[string]int // by victim
	others  map[string]int // by kind
	faults  []string       // what is not as it has to be
	skipped int
}

func newJournal(w io.Writer) *journal {
	return &journal{w: w, began: time.Now(), kills: map[string]int{}, others: map[string]int{}}
}

// say prints a line under the time since the beginning.
func (j *journal) say(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.print(format, args...)
}

func (j *journal) print(format string, args ...any) {
	fmt.Fprintf(j.w, "%7.1f s  %s\n", time.Since(j.began).Seconds(), fmt.Sprintf(format, args...))
}

// killed counts a kill -9.
func (j *journal) killed(victim, how string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kills[victim]++
	j.print("kill -9 %s%s", victim, how)
}

// other counts what is no kill.
func (j *journal) other(k, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.others[k]++
	j.print(format, args...)
}

// fail notes what must not be.
func (j *journal) fail(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	j.faults = append(j.faults, text)
	j.print("NOT AS IT HAS TO BE: %s", text)
}

// surprise notes that a process ended that nobody killed. An engine or a store has no reason to.
func (j *journal) surprise(name string, err error, last string) {
	j.fail("%s ended by itself (%v); it said last:\n%s", name, err, last)
}

func (j *journal) failures() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.faults)
}

// counts are the faults so far, in words.
func (j *journal) counts() (kills int, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(j.kills)) {
		kills += j.kills[name]
		fmt.Fprintf(&b, "  kill -9 %-22s %4d\n", name, j.kills[name])
	}
	for _, name := range slices.Sorted(maps.Keys(j.others)) {
		fmt.Fprintf(&b, "  %-30s %4d\n", name, j.others[name])
	}
	if j.skipped > 0 {
		fmt.Fprintf(&b, "  %-30s %4d\n", "left out: nobody to be had", j.skipped)
	}
	return kills, b.String()
}

func (j *journal) skip() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.skipped++
}
