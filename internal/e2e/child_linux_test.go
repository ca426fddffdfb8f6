package e2e

import "syscall"

// childAttr: a group of its own, so that Ctrl-C on the terminal reaches the tests alone, and death with the thread that
// started it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
