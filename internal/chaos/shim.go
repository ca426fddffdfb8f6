package chaos

import (
	"context"
	_ "embed" // for the source of the shim
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"unsafe"
)

//go:embed shim/shim.c
var shimSource string

// What happens at a rename that the shim was told of; shim.c has the same numbers.
const (
	atRenameKill      = 1 // kill -9 instead of the rename
	atRenameNoSpace   = 2 // ENOSPC instead of it
	atRenameKillAfter = 3 // kill -9 once it is done, before anybody heard of it
)

// The cells of the control file; shim.c has the same order.
const (
	cellFull = iota
	cellAction
	cellCountdown
	cellRenames
	cellDone
	cellCount
)

// buildShim compiles the shim into dir and returns the library's path.
func buildShim(ctx context.Context, dir string) (string, error) {
	source, library := filepath.Join(dir, "shim.c"), filepath.Join(dir, "shim.so")
	if err := os.WriteFile(source, []byte(shimSource), 0o644); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile the disk shim: %w\n%s", err, out)
	}
	return library, nil
}

// disk gives orders to the shim in the processes that were started with its env. They take effect at once, also in a
// process that is started later. Its methods may be called from several goroutines.
type disk struct {
	library, root, control string
	cells                  *[cellCount]int64 // shared with them
	file                   []byte
}

// newDisk makes the control file of one folder.
func newDisk(library, root, control string) (*disk, error) {
	if err := os.WriteFile(control, make([]byte, cellCount*binary.Size(int64(0))), 0o644); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(control, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, cellCount*8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", control, err)
	}
	return &disk{library: library, root: root, control: control, file: b, cells: (*[cellCount]int64)(unsafe.Pointer(&b[0]))}, nil
}

func (d *disk) close() error { return syscall.Munmap(d.file) }

// env is what a process needs to hear the orders.
func (d *disk) env() []string {
	return []string{"LD_PRELOAD=" + d.library, "CHAOS_ROOT=" + d.root, "CHAOS_CONTROL=" + d.control}
}

// fill makes the disk full, or takes that back.
func (d *disk) fill(full bool) {
	v := int64(0)
	if full {
		v = 1
	}
	atomic.StoreInt64(&d.cells[cellFull], v)
}

// arm has something happen at the n-th rename from now on; n 0 takes it back.
func (d *disk) arm(action int, n int64) {
	atomic.StoreInt64(&d.cells[cellAction], int64(action))
	atomic.StoreInt64(&d.cells[cellCountdown], n)
}

// done is how often something was refused or done.
func (d *disk) done() int64 { return atomic.LoadInt64(&d.cells[cellDone]) }
