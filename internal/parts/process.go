package parts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a child that we own until it has ended.
type process struct {
	pid  int
	proc *os.Process
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read only after done
}

// startProcess starts a program in dir, both its outputs going to out. env is added to our environment. It gets a process group of its own, so
// that a Ctrl-C on the terminal reaches us alone and we stop it in our order.
func startProcess(dir string, out *os.File, env []string, name string, args ...string) (*process, error) {
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel kills the child when the *thread* that made it ends (P4), so the thread must live as
		// long as the child: it belongs to this goroutine, which waits for the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
		cmd.SysProcAttr = childAttr()
		if len(env) > 0 {
			cmd.Env = append(cmd.Environ(), env...)
		}
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", name, err)
			return
		}
		p.pid, p.proc = cmd.Process.Pid, cmd.Process
		started <- nil
		p.err = cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// signal sends a signal; one to a process that has ended is no error.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.proc.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
