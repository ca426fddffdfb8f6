package parts

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphanEnv makes the test binary start a child, say its pid and wait to be killed.
const orphanEnv = "WATTLINE_TEST_ORPHAN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanEnv); dir != "" {
		startAndWait(dir)
	}
	os.Exit(m.Run())
}

func startAndWait(dir string) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p, err := startProcess(dir, log, nil, "sleep", "600")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for range 100 { // threads come and go; the one that the child hangs on must not
		go runtime.LockOSThread() // ends its thread
	}
	time.Sleep(100 * time.Millisecond)
	fmt.Println(p.pid)
	<-p.done
	fmt.Println("ended", p.err)
	os.Exit(1)
}

// P4: a child lives while its parent lives, and no longer, even if the parent is killed.
func TestNoOrphans(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills a child with its parent")
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanEnv+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the parent said %q", line)
	}
	time.Sleep(200 * time.Millisecond)
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatalf("the child is gone before its parent: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed: that is no news
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if gone(child) {
			return
		}
		if time.Since(start) > 10*time.Second {
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatalf("the child %d outlives its parent", child)
		}
	}
}

// gone is also true of a zombie, which waits only to be reaped by whoever inherited it.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestStartProcessFailure(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := startProcess(t.TempDir(), log, nil, "no-such-program"); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("error %v, want one that names the program", err)
	}
}
