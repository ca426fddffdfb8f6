package liveview

import (
	"fmt"
	"io"
	"time"
)

// Progress tells people where a long run is: one line that is written over on a terminal, else a line now and then.
// One goroutine uses it.
type Progress struct {
	Began time.Time
	w     io.Writer
	line  bool
	told  time.Time
	drawn bool
}

// NewProgress returns a Progress that begins now; line says that w is a terminal.
func NewProgress(w io.Writer, line bool) *Progress {
	now := time.Now()
	return &Progress{Began: now, w: w, line: line, told: now}
}

// Due says whether it is time to Tell again.
func (p *Progress) Due() bool {
	every := 10 * time.Second
	if p.line {
		every = 200 * time.Millisecond
	}
	return time.Since(p.told) >= every
}

// Tell writes text.
func (p *Progress) Tell(text string) {
	p.told, p.drawn = time.Now(), true
	if p.line {
		fmt.Fprintf(p.w, "\r\033[K%s", text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// End takes the line away.
func (p *Progress) End() {
	if p.line && p.drawn {
		fmt.Fprint(p.w, "\r\033[K")
	}
}
