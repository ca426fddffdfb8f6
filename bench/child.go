package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// The roles of children. Each reads one JSON value from standard input, answers in JSON lines, and ends in order when
// its standard input does, which is also what happens when its parent dies (N3).
const (
	roleEngine = "engine"
	roleStore  = "store"
	roleLife   = "life"
)

// RunChild is a child's whole life. It is called by the program that Ends.Self names, with the role that followed.
// handled is false when role is none.
func RunChild(ctx context.Context, role string, in io.Reader, out io.Writer) (handled bool, err error) {
	var run func(context.Context, *json.Decoder, *json.Encoder) error
	switch role {
	case roleEngine:
		run = engineChild
	case roleStore:
		run = storeChild
	case roleLife:
		run = lifeChild
	default:
		return false, nil
	}
	return true, run(ctx, json.NewDecoder(in), json.NewEncoder(out))
}

// untilEOF returns a context that ends when the child is told to stop.
func untilEOF(ctx context.Context, in *json.Decoder) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		var rest json.RawMessage
		for in.Decode(&rest) == nil {
		}
		cancel()
	}()
	return ctx, cancel
}

// child is a process of this program.
type child struct {
	cmd    *exec.Cmd
	role   string
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr strings.Builder // read only after Wait
	ended  chan error
}

// childGrace is how long a child may take to end after its standard input did.
const childGrace = 30 * time.Second

// startChild starts self with a role and hands it spec. ctx ends the child by force.
func startChild(ctx context.Context, self []string, role string, spec any) (*child, error) {
	args := append(append([]string(nil), self[1:]...), role)
	c := &child{cmd: exec.CommandContext(ctx, self[0], args...), role: role, ended: make(chan error, 1)}
	c.cmd.Stderr = &c.stderr
	// A Ctrl-C of a terminal is for the parent: it ends its children itself, the engine before the store.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	c.lines = bufio.NewScanner(stdout)
	c.lines.Buffer(nil, 1<<20)
	if err := json.NewEncoder(c.stdin).Encode(spec); err != nil {
		return nil, c.fail(fmt.Errorf("hand the %s its orders: %w", role, err))
	}
	return c, nil
}

// pid is the child's process id.
func (c *child) pid() int { return c.cmd.Process.Pid }

// next reads the child's next line into v. An error says why there is none, and the child is gone then.
func (c *child) next(v any) error {
	if !c.lines.Scan() {
		return c.fail(c.lines.Err())
	}
	if err := json.Unmarshal(c.lines.Bytes(), v); err != nil {
		return c.fail(fmt.Errorf("line %.200q of the %s: %w", c.lines.Bytes(), c.role, err))
	}
	return nil
}

// kill ends the child at once, as a crash does. next then returns an error.
func (c *child) kill() { _ = c.cmd.Process.Kill() } // one that is gone is killed already

// fail ends the child and adds what it said to err.
func (c *child) fail(err error) error {
	stopped := c.stop()
	if err == nil && stopped == nil {
		err = errors.New("it ended too early")
	}
	return fmt.Errorf("%s process: %w", c.role, errors.Join(err, stopped))
}

// stop ends the child in order, by force after a while, and returns how it ended. Only once.
func (c *child) stop() error {
	_ = c.stdin.Close() // one that is gone is no loss: Wait tells
	force := time.AfterFunc(childGrace, func() { _ = c.cmd.Process.Kill() })
	defer force.Stop()
	for c.lines.Scan() {
	} // else a child that still writes would wait for a reader
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("the %s ended: %w: %s", c.role, err, tail(c.stderr.String()))
	}
	return nil
}

// tail is the last lines of a text.
func tail(text string) string {
	const most = 4096
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	return text
}

// workDir makes the folder of a measurement.
func (e *Ends) workDir() (string, error) {
	dir, err := os.MkdirTemp(e.Dir, "wattline-bench-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the data: %w", err)
	}
	return dir, nil
}
