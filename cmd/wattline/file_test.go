package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wattline/wattline/loadgen"
)

// TestFileRate: the command line, what it writes, and its exit codes. What the rows are is tested in connectors/file.
func TestFileRate(t *testing.T) {
	cfg := loadgen.City()
	cfg.ChargePoints = 4
	n, err := loadgen.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ref, out := filepath.Join(dir, "reference"), filepath.Join(dir, "out")
	if err := n.WriteReference(ref); err != nil {
		t.Fatal(err)
	}
	const readings = "../../connectors/file/testdata/readings-v1.parquet" // a Stop without a session, and a row that says nothing
	f := func(want int, text string, args ...string) {
		t.Helper()
		code, stdout, stderr := runCLI(t, append([]string{"file", "rate"}, args...), "no parquet file at all")
		if code != want || !strings.Contains(stdout+stderr, text) {
			t.Errorf("%q: exit %d, want %d and %q in\n%s%s", args, code, want, text, stdout, stderr)
		}
	}
	f(exitUsage, "it needs --reference and --out", readings)
	f(exitUsage, "it needs a file", "--reference", ref, "--out", out)
	f(exitUsage, "--slice 7m0s does not divide a day", "--slice", "7m", "--reference", ref, "--out", out, readings)
	f(exitFault, "holds no file tariffs/*", "--reference", out, "--out", out, readings)
	f(exitFault, "FILE0: it does not end with PAR1", "--reference", ref, "--out", out, readings, "FILE0")
	if left, _ := os.ReadDir(out); len(left) != 0 {
		t.Errorf("%v is left after faults", left)
	}
	f(exitOK, "2 readings: 0 charges, 0 versions of sessions, 2 rejects; 0 sessions were still open", "--reference", ref, "--out", out, readings)
	for _, name := range []string{"charges.parquet", "sessions.parquet", "rejects.jsonl"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
}
