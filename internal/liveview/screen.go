package liveview

import (
	"io"
	"strings"
)

// Screen draws frames over each other on a terminal.
type Screen struct {
	w     io.Writer
	size  func() (width, height int)
	drawn bool
}

// The escape sequences of a Screen.
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearAll   = "\x1b[2J"
	home       = "\x1b[H"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
)

// NewScreen returns a screen on w, which is a terminal; size is asked before each frame.
func NewScreen(w io.Writer, size func() (width, height int)) *Screen {
	return &Screen{w: w, size: size}
}

// Draw shows f in place of what was there before.
func (s *Screen) Draw(f *Frame) error { return s.DrawLines(f.Lines) }

// DrawLines shows what layOut gives for the size of the terminal, in one write so that it does not flicker. What does not
// fit below is left out.
func (s *Screen) DrawLines(layOut func(width, height int) []string) error {
	width, height := s.size()
	height = max(height-1, 1) // the cursor stands below
	lines := layOut(max(width, 20), height)
	lines = lines[:min(len(lines), height)]
	var b strings.Builder
	if !s.drawn {
		b.WriteString(hideCursor + clearAll)
	}
	b.WriteString(home)
	for _, l := range lines {
		b.WriteString(l + clearLine + "\r\n")
	}
	b.WriteString(clearBelow)
	s.drawn = true
	_, err := io.WriteString(s.w, b.String())
	return err
}

// Close leaves the last frame where it is and gives the cursor back.
func (s *Screen) Close() error {
	if !s.drawn {
		return nil
	}
	s.drawn = false
	_, err := io.WriteString(s.w, showCursor)
	return err
}
