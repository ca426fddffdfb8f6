package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a run of the wattline binary whose output goes to a file.
type process struct {
	name string
	log  string // file with stdout and stderr
	from int64  // where this run's output begins in it
	pid  int
	proc *os.Process
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
}

// startProcess starts a binary with args; output is appended to logPath. dir is its working folder.
func startProcess(binary, name, dir, logPath string, args ...string) (*process, error) {
	out, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	st, err := out.Stat()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: logPath, from: st.Size(), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel kills the child when the thread that started it ends (E4), so that thread lives as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd := exec.Command(binary, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
		cmd.Env = cleanEnv()
		cmd.SysProcAttr = childAttr()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid, p.proc = cmd.Process.Pid, cmd.Process
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// cleanEnv is our environment without the program's own variables: a developer's settings must not reach it.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "WATTLINE_") && !strings.HasPrefix(v, "WATTLINE_LIBCHDB=")
	})
}

// ended says whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends it as a crash would and waits until it is gone.
func (p *process) kill() error {
	if err := p.proc.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// stop sends sig and waits. It returns how long the process took; an error if it did not end with status 0 within the
// limit.
func (p *process) stop(sig syscall.Signal, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := p.proc.Signal(sig); err != nil {
		return 0, fmt.Errorf("%s: send %v: %w", p.name, sig, err)
	}
	select {
	case <-p.done:
	case <-time.After(limit):
		return limit, fmt.Errorf("%s (pid %d) still runs %v after %v", p.name, p.pid, limit, sig)
	}
	if p.err != nil {
		return time.Since(began), fmt.Errorf("%s after %v: %w", p.name, sig, p.err)
	}
	return time.Since(began), nil
}

// output is what this run has said so far.
func (p *process) output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(b[min(p.from, int64(len(b))):])
}

// tail is the last lines of a file.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// scene is one test's part of the world: names, folders, and the processes that it started (E3, E4, E5).
type scene struct {
	t    *testing.T
	name string // begins its topics, its group; is its database
	dir  string
	ctx  context.Context

	mu   sync.Mutex
	logs []string // files of everything that ran
	live []*process
}

// newScene starts what is shared, if nobody has, and gives the test its own part of it.
func newScene(t *testing.T, name string) *scene {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Apache Kafka and the ClickHouse engine")
	}
	shared.start(t)
	s := &scene{t: t, name: name, dir: t.TempDir(), ctx: t.Context()}
	t.Cleanup(s.end)
	return s
}

func (s *scene) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.live {
		if err := p.kill(); err != nil {
			s.t.Errorf("end %s: %v", p.name, err)
		}
	}
	if s.t.Failed() {
		for _, log := range append(s.logs, shared.logs()...) {
			s.t.Logf("the end of %s:\n%s", filepath.Base(log), tail(log, 40))
		}
	}
}

// launch starts the binary as a process of the scene. Runs of one name share a log.
func (s *scene) launch(name string, args ...string) *process {
	s.t.Helper()
	return s.launchBinary(shared.binary, name, args...)
}

// launchBinary is launch of another build of the program.
func (s *scene) launchBinary(binary, name string, args ...string) *process {
	s.t.Helper()
	log := filepath.Join(s.dir, name+".log")
	p, err := startProcess(binary, name, s.dir, log, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.logs, log) {
		s.logs = append(s.logs, log)
	}
	s.live = append(s.live, p)
	return p
}

// result is what a command said and how it ended.
type result struct {
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\nstdout:\n%s\nstderr:\n%s", r.code, r.out, r.err)
}

// run runs a command of the binary to its end.
func (s *scene) run(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, shared.binary, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = s.dir, &out, &errs, cleanEnv()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		s.t.Fatalf("wattline %s: %v (%v)\n%s%s", strings.Join(args, " "), err, ctx.Err(), &out, &errs)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must is run of a command that has to succeed.
func (s *scene) must(args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.code != 0 {
		s.t.Fatalf("wattline %s: %v", strings.Join(args, " "), r)
	}
	return r
}

// await asks until done says yes; it fails the test after limit, or when a process that has to run has ended. state
// tells what was seen last.
func (s *scene) await(what string, limit time.Duration, running []*process, done func() (ok bool, state string)) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ok, state := done()
		if ok {
			return
		}
		for _, p := range running {
			if p.ended() {
				s.t.Fatalf("%s: %s has ended (%v); seen: %s", what, p.name, p.err, state)
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %v; seen: %s", what, limit, state)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.ctx.Done():
			s.t.Fatal(s.ctx.Err())
		}
	}
}

// write makes a file below the scene's folder and returns its path.
func (s *scene) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}
