package parts

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/deploy"
)

const (
	libchdbPart = "libchdb"
	libchdbFile = "libchdb.so" // the package calls it so on macOS too
)

// libchdbPin is one line of deploy.LibchdbPackages.
type libchdbPin struct {
	goos, goarch     string
	pkg, version     string
	archiveBytes     int64
	archiveIntegrity string // "sha512-" and the sum in base64, as npm writes it
	libraryBytes     int64
	librarySHA256    string // lower-case hex
}

// Libchdb returns the path of the ClickHouse engine's library for this platform. The first call downloads
// 178 MB through npm and unpacks 566 MB; later ones, of any clone of this user, find it in the cache.
// Errors: ErrMissing (npm), ErrUnsupported, ErrChecksum, and what npm said.
func Libchdb(ctx context.Context, opt Options) (path string, err error) {
	pin, err := findLibchdbPin(deploy.LibchdbPackages, runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	return libchdb(ctx, opt, pin)
}

func libchdb(ctx context.Context, opt Options, pin libchdbPin) (path string, err error) {
	dir, err := ensure(ctx, opt, entry{
		part:  libchdbPart,
		name:  fmt.Sprintf("libchdb-%s-%s-%s-%.8s", pin.version, pin.goos, pin.goarch, pin.librarySHA256),
		check: func(dir string) error { return checkLibchdb(dir, pin, opt.Verify) },
		fill:  func(ctx context.Context, dir string) error { return fillLibchdb(ctx, opt, pin, dir) },
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, libchdbFile), nil
}

func findLibchdbPin(text, goos, goarch string) (libchdbPin, error) {
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		f := strings.Fields(sc.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) != 8 {
			return libchdbPin{}, fmt.Errorf("libchdb/packages.txt line %d has %d fields, want 8", n, len(f))
		}
		if f[0] != goos || f[1] != goarch {
			continue
		}
		archive, err1 := strconv.ParseInt(f[4], 10, 64)
		library, err2 := strconv.ParseInt(f[6], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return libchdbPin{}, fmt.Errorf("libchdb/packages.txt line %d: %w", n, err)
		}
		return libchdbPin{
			goos: goos, goarch: goarch, pkg: f[2], version: f[3],
			archiveBytes: archive, archiveIntegrity: f[5], libraryBytes: library, librarySHA256: f[7],
		}, nil
	}
	return libchdbPin{}, fmt.Errorf("%w: libchdb for %s/%s (deploy/libchdb/packages.txt); use a ClickHouse server instead",
		ErrUnsupported, goos, goarch)
}

// checkLibchdb compares by size alone unless all is set: reading 566 MB at every start would cost more than
// the start of the engine, and the sum was right when the folder got its name (P2).
func checkLibchdb(dir string, pin libchdbPin, all bool) error {
	path := filepath.Join(dir, libchdbFile)
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Size() != pin.libraryBytes {
		return fmt.Errorf("%w: %s has %d bytes, want %d", ErrChecksum, libchdbFile, st.Size(), pin.libraryBytes)
	}
	if !all {
		return nil
	}
	got, _, err := sha256File(path)
	if err != nil {
		return fmt.Errorf("check %s: %w", libchdbFile, err)
	}
	if got != pin.librarySHA256 {
		return fmt.Errorf("%w: %s has sha256 %s, want %s", ErrChecksum, libchdbFile, got, pin.librarySHA256)
	}
	return nil
}

func fillLibchdb(ctx context.Context, opt Options, pin libchdbPin, dir string) error {
	if err := Ensure(ctx, opt, NPM); err != nil {
		return err
	}
	work := filepath.Join(dir, "npm")
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	archive, err := npmPack(ctx, opt, pin, work)
	if err != nil {
		return err
	}
	if err := unpackLibchdb(opt, pin, archive, filepath.Join(dir, libchdbFile)); err != nil {
		return err
	}
	return os.RemoveAll(work)
}

// npmPack downloads the package's archive into work. npm says nothing of its progress to a pipe, so the
// bytes that it has put into a cache folder of its own are watched instead.
func npmPack(ctx context.Context, opt Options, pin libchdbPin, work string) (archive string, err error) {
	cache := filepath.Join(work, "cache")
	m := newMeter(opt, Event{Part: libchdbPart, Doing: "downloading", Total: pin.archiveBytes, Unit: "bytes"})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(500 * time.Millisecond):
				m.set(min(dirBytes(cache), pin.archiveBytes-1)) // the last byte is said when npm has ended
			}
		}
	}()
	err = run(ctx, work, nil, "npm", "pack", "--loglevel=error", "--no-update-notifier",
		"--cache", cache, "--pack-destination", work, pin.pkg+"@"+pin.version)
	close(stop)
	<-stopped
	if err != nil {
		return "", err
	}
	m.set(pin.archiveBytes)
	found, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("npm pack left %d archives in %s, want 1", len(found), work)
	}
	return found[0], nil
}

// dirBytes is the size of all files below dir; what vanishes meanwhile counts as nothing.
func dirBytes(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // a file that npm moved away while we look is no fault, only less progress
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// unpackLibchdb checks the whole archive before it reads any of it as an archive, then writes the library,
// and nothing else of it, to dst.
func unpackLibchdb(opt Options, pin libchdbPin, archive, dst string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	m := newMeter(opt, Event{Part: libchdbPart, Doing: "checking", Total: pin.archiveBytes, Unit: "bytes"})
	h := sha512.New()
	if _, err := io.Copy(h, io.TeeReader(f, m)); err != nil {
		return fmt.Errorf("read %s: %w", archive, err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != pin.archiveIntegrity {
		return fmt.Errorf("%w: %s has %s, want %s", ErrChecksum, filepath.Base(archive), got, pin.archiveIntegrity)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s again: %w", archive, err)
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	for tr := tar.NewReader(z); ; {
		head, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("unpack %s: no %s in it", archive, libchdbFile)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", archive, err)
		}
		if head.Name == "package/"+libchdbFile {
			return writeLibchdb(opt, pin, tr, dst)
		}
	}
}

func writeLibchdb(opt Options, pin libchdbPin, r io.Reader, dst string) error {
	f, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	m := newMeter(opt, Event{Part: libchdbPart, Doing: "unpacking", Total: pin.libraryBytes, Unit: "bytes"})
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h, m), io.LimitReader(r, pin.libraryBytes+1))
	if err == nil {
		err = f.Sync() // else a power cut after the rename could leave a file of the right size with holes
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", dst, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != pin.librarySHA256 {
		return fmt.Errorf("%w: %s has sha256 %s, want %s", ErrChecksum, libchdbFile, got, pin.librarySHA256)
	}
	return nil
}
