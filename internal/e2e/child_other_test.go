//go:build !linux

package e2e

import "syscall"

// childAttr: a group of its own. Other systems do not end a child with its parent.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
