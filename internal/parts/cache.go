package parts

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// entry is one folder of the cache and how to make it.
type entry struct {
	part string // for messages
	name string // of the folder; names version and pins, so that new pins never meet an old folder
	// check says whether a folder holds the part; nil error means that it does.
	check func(dir string) error
	// fill makes the part in an empty folder.
	fill func(ctx context.Context, dir string) error
}

// ensure returns the folder of e, filled if it was not there. It holds P2.
func ensure(ctx context.Context, opt Options, e entry) (string, error) {
	cache, err := opt.cacheDir()
	if err != nil {
		return "", err
	}
	dst := filepath.Join(cache, e.name)
	if found, err := checkEntry(e, dst); found || err != nil {
		return dst, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the parts cache: %w", err)
	}
	unlock, err := lock(ctx, opt, e.part, dst+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	// Whoever held the lock before us may have made it.
	if found, err := checkEntry(e, dst); found || err != nil {
		return dst, err
	}
	tmp := dst + ".tmp"
	// Under the lock a folder of this name can only be left over from a killed process.
	if err := os.RemoveAll(tmp); err != nil {
		return "", fmt.Errorf("clear %s: %w", tmp, err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", e.part, err)
	}
	err = e.fill(ctx, tmp)
	if err == nil {
		err = e.check(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, dst)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("get %s: %w", e.part, err), os.RemoveAll(tmp))
	}
	return dst, nil
}

// checkEntry tells a folder that is absent (false, nil) from one that is damaged (an error).
func checkEntry(e entry, dst string) (found bool, err error) {
	if _, err := os.Stat(dst); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err := e.check(dst); err != nil {
		return false, fmt.Errorf("%s in the cache is damaged: %w; remove %s and run again", e.part, err, dst)
	}
	return true, nil
}

// lock takes the lock file, waiting for another process that holds it. The kernel drops the lock of a killed
// process, so a lock file that merely lies there blocks nobody.
func lock(ctx context.Context, opt Options, part, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	for waited := false; ; waited = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing unlocks; nothing was written that a close could lose
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if !waited {
			opt.report(Event{Part: part, Doing: "waiting for another process that is getting it"})
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for lock %s: %w", path, ctx.Err()), f.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// sum is one line of a SHA256SUMS file.
type sum struct {
	file   string
	sha256 string // lower-case hex
}

func parseSums(text string) ([]sum, error) {
	var sums []sum
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		hash, file, ok := strings.Cut(sc.Text(), "  ")
		if !ok || len(hash) != sha256.Size*2 || file != filepath.Base(file) {
			return nil, fmt.Errorf("line %d of the checksums is not `hash  file`: %q", n, sc.Text())
		}
		sums = append(sums, sum{file: file, sha256: hash})
	}
	return sums, sc.Err()
}

// checkSums returns nil if dir holds exactly the files of sums. A file too many counts as a fault, because a
// class path takes in whatever lies there.
func checkSums(dir string, sums []sum) error {
	known := make(map[string]bool, len(sums))
	for _, s := range sums {
		known[s.file] = true
		got, _, err := sha256File(filepath.Join(dir, s.file))
		if err != nil {
			return fmt.Errorf("check %s: %w", s.file, err)
		}
		if got != s.sha256 {
			return fmt.Errorf("%w: %s has sha256 %s, want %s", ErrChecksum, s.file, got, s.sha256)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, f := range entries {
		if !known[f.Name()] {
			return fmt.Errorf("%w: %s is in no list of checksums", ErrChecksum, f.Name())
		}
	}
	return nil
}

func sha256File(path string) (hash string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}
