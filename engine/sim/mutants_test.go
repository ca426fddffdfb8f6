package sim

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wattline/wattline/internal/invariant"
)

var rewrite = flag.Bool("sim.rewrite", false, "write testdata/mutants/caught anew")

const (
	mutants    = "testdata/mutants"
	caughtFile = mutants + "/caught"
	caughtMost = 500 // seeds in which each mutant must be caught
)

// TestMutants breaks the engine on purpose, in one place at a time, and sees that the simulation notices. A mutant is
// a text of edits: "# why", then for each edit "@ file", lines to be found ("- ") and lines instead ("+ "). The
// engine is built with them by go's -overlay; nothing in it knows. testdata/mutants/caught lists the first seed that
// catches each: a mutant that is caught much later than it says shows that the simulation has become weaker.
func TestMutants(t *testing.T) {
	if invariant.Enabled || testing.Short() {
		return // once is enough, without the race detector
	}
	files, err := filepath.Glob(mutants + "/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d mutants, %v", len(files), err)
	}
	listed := readCaught(t)
	found := map[string]int{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			m := readMutant(t, file)
			seed, said := m.caught(t)
			found[name] = seed
			t.Logf("%s Caught by seed %d: %.300s", m.why, seed, said)
			if was, ok := listed[name]; !*rewrite && (!ok || seed > 5*was+20) {
				t.Errorf("caught by seed %d, %s says %d: if the simulation is not weaker than it was, run go test ./engine/sim -run TestMutants -sim.rewrite",
					seed, caughtFile, was)
			}
		})
	}
	if *rewrite && !t.Failed() {
		writeCaught(t, found)
	}
}

// mutant is a broken engine.
type mutant struct {
	why   string
	edits []edit
}

type edit struct{ file, old, new string }

func readMutant(t *testing.T, file string) *mutant {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := &mutant{}
	for line := range strings.Lines(string(text)) {
		mark, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		last := len(m.edits) - 1
		switch {
		case mark == "#":
			m.why += rest
		case mark == "@":
			m.edits = append(m.edits, edit{file: rest})
		case mark == "-" && last >= 0:
			m.edits[last].old += rest + "\n"
		case mark == "+" && last >= 0:
			m.edits[last].new += rest + "\n"
		default:
			t.Fatalf("%s: line %q", file, line)
		}
	}
	return m
}

// overlay writes the edited files and the list of them that go build takes.
func (m *mutant) overlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for i, e := range m.edits {
		path, err := filepath.Abs(filepath.Join("../..", e.file))
		if err != nil {
			t.Fatal(err)
		}
		from := path
		if done, ok := replace[path]; ok {
			from = done
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		old, instead := strings.TrimSuffix(e.old, "\n"), strings.TrimSuffix(e.new, "\n")
		if n := strings.Count(string(text), old); n != 1 {
			t.Fatalf("edit %d of the mutant is %d times in %s, want once: the code has changed, so write the edit's \"- \" lines anew from the file, "+
				"and see that what it breaks is still what its first line says:\n%s", i+1, n, e.file, old)
		}
		to := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(to, []byte(strings.Replace(string(text), old, instead, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// caught builds the mutant, runs its seeds, and returns the first that fails.
func (m *mutant) caught(t *testing.T) (seed int, said string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "mutant.test")
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", m.overlay(t), "-o", bin, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("the mutant does not compile: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, "-test.run", "^TestSeeds$", "-test.timeout", "5m", "-sim.seeds", strconv.Itoa(caughtMost), "-sim.quick", "-sim.last", "0")
	out, err = cmd.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); !failed {
		t.Fatalf("%s The simulation does not notice in %d seeds: %v\n%s", m.why, caughtMost, err, out)
	}
	if match := regexp.MustCompile(`seed (\d+): ([^\n]*)`).FindSubmatch(out); match != nil {
		seed, _ = strconv.Atoi(string(match[1]))
		return seed, string(match[2])
	}
	t.Fatalf("%s It ends otherwise than by a failing seed: %.2000s", m.why, out)
	return 0, ""
}

func readCaught(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(caughtFile)
	if err != nil && !*rewrite {
		t.Fatal(err)
	}
	listed := map[string]int{}
	for line := range strings.Lines(string(text)) {
		name, seed := "", 0
		if _, err := fmt.Sscan(line, &name, &seed); err != nil {
			t.Fatalf("%s: %q", caughtFile, line)
		}
		listed[name] = seed
	}
	return listed
}

func writeCaught(t *testing.T, found map[string]int) {
	t.Helper()
	var lines []string
	for name, seed := range found {
		lines = append(lines, fmt.Sprintf("%-24s %d\n", name, seed))
	}
	slices.Sort(lines)
	if err := os.WriteFile(caughtFile, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}
