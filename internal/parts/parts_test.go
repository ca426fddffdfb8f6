package parts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wattline/wattline/deploy"
)

// fakeNPM puts a program called npm in front of the PATH that "downloads" the archive, and returns the pin
// that fits the archive and its library.
func fakeNPM(t *testing.T, archive, library []byte) libchdbPin {
	t.Helper()
	bin := t.TempDir()
	tgz := filepath.Join(bin, "archive")
	if err := os.WriteFile(tgz, archive, 0o644); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ $1 = --pack-destination ] && cp " + tgz + " $2/x.tgz; shift; done\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	a, l := sha512.Sum512(archive), sha256.Sum256(library)
	return libchdbPin{
		goos: "linux", goarch: "test", pkg: "test", version: "1",
		archiveBytes: int64(len(archive)), archiveIntegrity: "sha512-" + base64.StdEncoding.EncodeToString(a[:]),
		libraryBytes: int64(len(library)), librarySHA256: hex.EncodeToString(l[:]),
	}
}

func tarball(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	head := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}
	_, err := w.Write(nil)
	err = errors.Join(err, w.WriteHeader(head))
	_, err2 := w.Write(content)
	if err := errors.Join(err, err2, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLibchdbSuccess(t *testing.T) {
	library := bytes.Repeat([]byte("engine"), 100_000)
	pin := fakeNPM(t, tarball(t, "package/libchdb.so", library), library)
	var events []Event
	opt := Options{CacheDir: t.TempDir(), Progress: func(e Event) { events = append(events, e) }}
	path, err := libchdb(t.Context(), opt, pin)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, library) {
		t.Fatalf("read %d bytes of the library (%v), want %d", len(got), err, len(library))
	}
	beside, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(beside) != 1 {
		t.Errorf("the folder holds %v (%v), want the library alone", beside, err)
	}
	if last := events[len(events)-1]; last.Done != last.Total || last.Doing != "unpacking" {
		t.Errorf("last event %+v, want the end of unpacking", last)
	}

	// The second time nothing is fetched: npm is no longer there.
	t.Setenv("PATH", t.TempDir())
	if again, err := libchdb(t.Context(), opt, pin); err != nil || again != path {
		t.Errorf("second call: %q, %v", again, err)
	}
	// A changed byte of the same size is seen when asked for, a changed size always.
	got[7] ^= 1
	if err := os.WriteFile(path, got, 0o755); err != nil {
		t.Fatal(err)
	}
	opt.Verify = true
	if _, err := libchdb(t.Context(), opt, pin); !errors.Is(err, ErrChecksum) {
		t.Errorf("changed byte: error %v, want ErrChecksum", err)
	}
	opt.Verify = false
	if err := os.WriteFile(path, got[1:], 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := libchdb(t.Context(), opt, pin); !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), "remove ") {
		t.Errorf("changed size: error %v, want ErrChecksum and what to do", err)
	}
}

func TestLibchdbFailure(t *testing.T) {
	library := bytes.Repeat([]byte("engine"), 1000)
	f := func(what string, archive []byte, alter func(*libchdbPin), want string) {
		t.Helper()
		pin := fakeNPM(t, archive, library)
		alter(&pin)
		opt := Options{CacheDir: t.TempDir()}
		_, err := libchdb(t.Context(), opt, pin)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: error %v, want %q", what, err, want)
		}
		left, err := filepath.Glob(filepath.Join(opt.CacheDir, "*"))
		if err != nil || len(left) != 1 || !strings.HasSuffix(left[0], ".lock") {
			t.Errorf("%s: the cache holds %v, want the lock file alone", what, left)
		}
	}
	good := tarball(t, "package/libchdb.so", library)
	f("tampered archive", good, func(p *libchdbPin) {
		p.archiveIntegrity = "sha512-" + base64.StdEncoding.EncodeToString(make([]byte, 64))
	}, "checksum differs: x.tgz has sha512-")
	f("tampered library", good, func(p *libchdbPin) { p.librarySHA256 = strings.Repeat("0", 64) }, "checksum differs: libchdb.so")
	f("library too long", good, func(p *libchdbPin) { p.libraryBytes-- }, "checksum differs: libchdb.so")
	f("no library", tarball(t, "package/index.js", library), func(*libchdbPin) {}, "no libchdb.so in it")
	f("no archive", []byte("not gzip"), func(*libchdbPin) {}, "unpack ")
}

func TestFindLibchdbPin(t *testing.T) {
	pin, err := findLibchdbPin(deploy.LibchdbPackages, "linux", "amd64")
	if err != nil || pin.version != "26.7.3-stable.1" || pin.libraryBytes != 566330096 {
		t.Errorf("linux/amd64: %+v, %v", pin, err)
	}
	if _, err := findLibchdbPin(deploy.LibchdbPackages, "plan9", "amd64"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("plan9: error %v, want ErrUnsupported", err)
	}
	if _, err := findLibchdbPin("linux amd64 x", "linux", "amd64"); err == nil {
		t.Error("a short line is no error")
	}
}

// The real library is in the cache after this, and every byte of it is right.
func TestLibchdbReal(t *testing.T) {
	path, err := Libchdb(t.Context(), Options{Verify: true, Progress: Printer(os.Stderr)})
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("%v (this is %s/%s)", err, runtime.GOOS, runtime.GOARCH)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log(path)
}

// Many that want the same part at once: one makes it, all get it.
func TestEnsureOnce(t *testing.T) {
	var fills atomic.Int32
	e := entry{
		part: "x", name: "x",
		check: func(dir string) error { _, err := os.Stat(filepath.Join(dir, "file")); return err },
		fill: func(_ context.Context, dir string) error {
			fills.Add(1)
			time.Sleep(50 * time.Millisecond)
			return os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)
		},
	}
	opt := Options{CacheDir: t.TempDir()}
	// What a killed process left behind must not get in.
	if err := os.MkdirAll(filepath.Join(opt.CacheDir, "x.tmp", "rest"), 0o755); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := ensure(t.Context(), opt, e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("made %d times, want once", n)
	}
	if _, err := os.Stat(filepath.Join(opt.CacheDir, "x", "rest")); err == nil {
		t.Error("the rest of a killed process is in the part")
	}
}

func TestLockGivesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := lock(t.Context(), Options{}, "x", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, Options{}, "x", path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want deadline exceeded", err)
	}
	unlock()
	unlock, err = lock(t.Context(), Options{}, "x", path)
	if err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	unlock()
}

func TestJavaMajor(t *testing.T) {
	f := func(out string, want int) {
		t.Helper()
		if got := javaMajor(out); got != want {
			t.Errorf("javaMajor(%q) = %d, want %d", out, got, want)
		}
	}
	f("openjdk version \"17.0.15\" 2025-04-15\n", 17)
	f("openjdk version \"21\" 2023-09-19\n", 21)
	f("java version \"1.8.0_392\"\n", 1)
	f("The operation couldn't be completed.", 0)
}

// Without root's rights nothing is installed, and the error is one line with a command.
func TestEnsureMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no tool, no apt-get
	err := Ensure(t.Context(), Options{}, NPM, Java)
	if !errors.Is(err, ErrMissing) {
		t.Fatalf("error %v, want ErrMissing", err)
	}
	if s := err.Error(); strings.Contains(s, "\n") || !strings.Contains(s, "npm, java; type: ") {
		t.Errorf("not one line with a command: %q", s)
	}
}

func TestRunFailureHasTheOutput(t *testing.T) {
	var lines []string
	err := run(t.Context(), t.TempDir(), func(s string) { lines = append(lines, s) }, "sh", "-c", "echo one; echo two >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "two") {
		t.Errorf("error %v, want the status and the output", err)
	}
	if fmt.Sprint(lines) != "[one two]" {
		t.Errorf("lines %q", lines)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := run(ctx, t.TempDir(), nil, "sh", "-c", "sleep 60 & wait"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want deadline exceeded", err)
	}
}

func TestPrinter(t *testing.T) {
	var b bytes.Buffer
	p := Printer(&b)
	e := Event{Part: "libchdb", Doing: "downloading", Total: 178e6, Unit: "bytes"}
	p(e)
	e.Done, e.Left = 50e6, 12*time.Second
	p(e) // within 5 s: not in a log
	e.Done, e.Left = 178e6, 0
	p(e)
	p(Event{Part: "npm", Doing: "installing with apt-get"})
	want := "libchdb: downloading 0 of 178 MB\nlibchdb: downloading 178 of 178 MB\nnpm: installing with apt-get\n"
	if b.String() != want {
		t.Errorf("printed\n%swant\n%s", b.String(), want)
	}

	b.Reset()
	term := &printer{w: &b, terminal: true}
	e.Done, e.Left = 50e6, 12*time.Second
	term.print(e)
	e.Done, e.Left = 178e6, 0
	term.print(e)
	want = "\rlibchdb: downloading 50 of 178 MB, 12s left\rlibchdb: downloading 178 of 178 MB         \n"
	if b.String() != want {
		t.Errorf("terminal got\n%q want\n%q", b.String(), want)
	}
}
