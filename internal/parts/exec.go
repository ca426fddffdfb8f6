package parts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// run runs a program in dir to its end and hands each line of its output (both streams) to line, which may
// be nil. A failure carries the last lines of the output. When ctx ends the program and all its children
// are killed.
func run(ctx context.Context, dir string, line func(string), name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // npm and mvn are scripts: their children must die too
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w // one writer for both: exec copies it from one goroutine
	tail := newTail(12)
	read := make(chan error, 1)
	go func() {
		sc := bufio.NewScanner(r)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			tail.add(sc.Text())
			if line != nil {
				line(sc.Text())
			}
		}
		r.CloseWithError(sc.Err()) // else the program would block for ever on a line that is too long
		read <- sc.Err()
	}()
	err := cmd.Run()
	err = errors.Join(err, w.Close(), <-read)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", name, args[0], ctx.Err())
	default:
		return fmt.Errorf("%s %s: %w; it said:\n%s", name, strings.Join(args, " "), err, tail)
	}
}

// lastLines keeps the last lines of a text.
type lastLines struct {
	lines []string
	max   int
}

func newTail(limit int) *lastLines { return &lastLines{max: limit} }

func (t *lastLines) add(s string) {
	trimmed := strings.TrimSpace(s)
	// The frames of a Java stack would push out the message that stands above them.
	if trimmed == "" || (strings.HasPrefix(trimmed, "at ") && strings.HasSuffix(trimmed, ")")) {
		return
	}
	if len(t.lines) == t.max {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, s)
}

func (t *lastLines) String() string {
	if len(t.lines) == 0 {
		return "  (nothing)"
	}
	return "  " + strings.Join(t.lines, "\n  ")
}
