//go:build !linux

package chaos

import "syscall"

// childAttr: a group of its own. No other system kills a child with its parent.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
