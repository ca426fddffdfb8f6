package parts

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Event is one piece of progress.
type Event struct {
	// Part is what the work is for: "libchdb", "kafka" or the name of a tool.
	Part string
	// Doing is the step in words: "downloading", "unpacking", "installing npm with apt-get".
	Doing string
	// Done and Total count Unit; Total is 0 where it is not known.
	Done, Total int64
	// Unit is "bytes" or the plural of a thing; empty where nothing is counted.
	Unit string
	// Left is the time that the step will still take at its mean speed so far; 0 where not known.
	Left time.Duration
}

// String is the event as one line for people, without a line end.
func (e Event) String() string {
	s := e.Part + ": " + e.Doing
	switch {
	case e.Unit == "":
		return s
	case e.Unit == "bytes" && e.Total > 0:
		s += fmt.Sprintf(" %d of %d MB", e.Done/1e6, e.Total/1e6)
	case e.Unit == "bytes":
		s += fmt.Sprintf(" %d MB", e.Done/1e6)
	case e.Total > 0:
		s += fmt.Sprintf(" %d of %d %s", e.Done, e.Total, e.Unit)
	default:
		s += fmt.Sprintf(" %d %s", e.Done, e.Unit)
	}
	if e.Left > 0 {
		s += fmt.Sprintf(", %v left", e.Left.Round(time.Second))
	}
	return s
}

// Progress hears of each Event. It must not keep the caller waiting.
type Progress func(Event)

// Printer writes events to w for people. On a terminal a step is one line that is written over; elsewhere
// (a pipe, a log) it is a line at the step's start and one each 5 seconds. The returned Progress may be used
// by several goroutines.
func Printer(w io.Writer) Progress {
	p := &printer{w: w, terminal: isTerminal(w)}
	return p.print
}

type printer struct {
	mu       sync.Mutex // guards all below
	w        io.Writer
	terminal bool
	step     string // Part and Doing of the last event
	width    int    // length of the line that stands on the terminal
	at       time.Time
}

func (p *printer) print(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	step := e.Part + e.Doing
	fresh := step != p.step
	ended := e.Total > 0 && e.Done >= e.Total
	if !p.terminal {
		if fresh || ended || time.Since(p.at) >= 5*time.Second {
			fmt.Fprintln(p.w, e)
			p.at = time.Now()
		}
		p.step = step
		return
	}
	if fresh && p.width > 0 {
		fmt.Fprintln(p.w)
		p.width = 0
	}
	line := e.String()
	fmt.Fprintf(p.w, "\r%-*s", p.width, line)
	p.step, p.width = step, len(line)
	if ended || e.Unit == "" {
		fmt.Fprintln(p.w)
		p.width = 0
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// meter turns a count into events with the time left. Not for use by several goroutines.
type meter struct {
	opt   Options
	event Event
	count int64 // bytes seen by Write
	start time.Time
	last  time.Time
}

func newMeter(opt Options, e Event) *meter {
	m := &meter{opt: opt, event: e, start: time.Now()}
	opt.report(e)
	return m
}

// set reports that done units are done; calls closer together than 200 ms are dropped, but never the last.
func (m *meter) set(done int64) {
	e := &m.event
	if e.Total > 0 && done > e.Total {
		done = e.Total
	}
	now := time.Now()
	if done == e.Done || (done < e.Total && now.Sub(m.last) < 200*time.Millisecond) {
		return
	}
	m.last = now
	e.Done, e.Left = done, 0
	// The first pieces tell nothing: what comes before them (a handshake, Maven's own plugins) is in the time.
	if done >= e.Total/20+1 && e.Total > done {
		e.Left = time.Duration(int64(now.Sub(m.start)) / done * (e.Total - done))
	}
	m.opt.report(*e)
}

// Write counts bytes, so that a meter can stand behind an io.TeeReader.
func (m *meter) Write(b []byte) (int, error) {
	m.count += int64(len(b))
	m.set(m.count)
	return len(b), nil
}
