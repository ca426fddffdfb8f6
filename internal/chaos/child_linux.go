package chaos

import "syscall"

// childAttr: a group of its own, so that Ctrl-C reaches us alone, and death with the thread that started it (X4).
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
