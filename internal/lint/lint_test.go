package lint

import (
	"fmt"
	"go/build"
	"go/importer"
	"go/token"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
)

// TestMain: the standard library is read as the program is built, without cgo.
func TestMain(m *testing.M) {
	build.Default.CgoEnabled = false
	if build.Default.GOROOT == "" { // a test that is built with -trimpath does not know it
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		build.Default.GOROOT = strings.TrimSpace(string(root))
	}
	os.Exit(m.Run())
}

// TestTree holds the rules for this very tree.
func TestTree(t *testing.T) {
	root := os.DirFS("../..")
	if _, err := root.Open("go.mod"); err != nil {
		t.Fatalf("not at the root of the module: %v", err)
	}
	faults, err := Check(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

// TestTable: the table itself has no cycle, no misspelt name, and a reason everywhere.
func TestTable(t *testing.T) {
	rules := table()
	for dir, r := range rules {
		if r.why == "" {
			t.Errorf("%s is in the table without a reason", dir)
		}
		if r.pure && !r.exact {
			t.Errorf("%s is pure but not exact", dir)
		}
		for _, to := range r.imports {
			if _, ok := rules[to]; !ok && to != "*" && !strings.HasSuffix(to, "/*") {
				t.Errorf("%s may import %s, which is not in the table", dir, to)
			}
			if pure := rules[to].pure; r.pure && !pure {
				t.Errorf("%s is pure but may import %s, which is not", dir, to)
			}
		}
	}
	var walk func(dir string, way []string)
	walk = func(dir string, way []string) {
		for _, before := range way {
			if before == dir {
				t.Fatalf("the table allows a cycle: %s", strings.Join(append(way, dir), " -> "))
			}
		}
		for to := range rules {
			if to != dir && mayImport(dir, to, rules[dir]) && to != "rating/money" && to != "internal/invariant" {
				walk(to, append(way, dir))
			}
		}
	}
	for dir := range rules {
		walk(dir, nil)
	}
	for _, dir := range everyones() {
		if n := len(rules[dir].imports); n != 0 {
			t.Errorf("%s may be imported by all, so it must import nothing of ours", dir)
		}
	}
}

// source is a file of package p with the given body after a package comment.
func source(name, body string) string {
	return "// Package " + name + " is here.\npackage " + name + "\n" + body
}

// sharedFset and sharedStd serve all trees in memory, one after the other.
var (
	sharedFset = token.NewFileSet()
	sharedStd  = importer.ForCompiler(sharedFset, "source", nil)
)

// check runs the rules over files in memory; the keys are paths.
func check(t *testing.T, files map[string]string) []string {
	t.Helper()
	root := fstest.MapFS{}
	for name, src := range files {
		root[name] = &fstest.MapFile{Data: []byte(src)}
	}
	faults, err := checkWith(root, sharedFset, sharedStd)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range faults {
		list = append(list, f.String())
	}
	return list
}

// wants is nil for a clean tree, else the beginning of each fault.
func expect(t *testing.T, files map[string]string, wants ...string) {
	t.Helper()
	got := check(t, files)
	ok := len(got) == len(wants)
	for i := 0; ok && i < len(got); i++ {
		ok = strings.HasPrefix(got[i], wants[i])
	}
	if !ok {
		t.Errorf("faults:\n  %s\nwant these beginnings:\n  %s", strings.Join(got, "\n  "), strings.Join(wants, "\n  "))
	}
}

func one(path, src string) map[string]string { return map[string]string{path: src} }

func TestImports(t *testing.T) {
	imp := func(pkg, what string) string {
		return source(pkg, "import _ \""+what+"\"\n")
	}
	ours := module + "/"
	expect(t, one("engine/a.go", imp("engine", ours+"rating")))
	expect(t, one("engine/a.go", imp("engine", ours+"internal/invariant")))
	expect(t, one("engine/a.go", imp("engine", ours+"connectors/kafka")), "engine/a.go:3: L1: engine may not import connectors/kafka")
	expect(t, one("rating/a.go", imp("rating", ours+"engine")), "rating/a.go:3: L1")
	expect(t, one("billing/invoice/a.go", imp("invoice", ours+"billing/vault")), "billing/invoice/a.go:3: L1")
	expect(t, one("billing/payment/a.go", imp("payment", ours+"billing/vault")))
	expect(t, one("bench/a.go", imp("bench", ours+"connectors/kafka")))
	expect(t, one("bench/a.go", imp("bench", ours+"api")), "bench/a.go:3: L1")
	expect(t, one("cmd/wattline/a.go", source("main", "import _ \""+ours+"api\"\n")))
	expect(t, one("api/a.go", imp("api", ours+"cmd/wattline")), "api/a.go:3: L1")
	expect(t, one("engine/sim/a.go", imp("sim", ours+"engine")))
	// Tests may import anything.
	expect(t, map[string]string{
		"engine/a.go": source("engine", ""), "engine/a_test.go": source("engine", "import _ \""+ours+"connectors/kafka\"\n"),
	})
	expect(t, one("newcomer/a.go", source("newcomer", "")), "newcomer: L1: the package is not in the import table")
	expect(t, one("engine/a.go", imp("engine", "C")), "engine/a.go:3: L6: cgo")
	// Other modules and testdata are not ours to judge.
	expect(t, map[string]string{
		"bench/peers/go.mod": "module x\n", "bench/peers/a.go": source("peers", ""), "engine/testdata/a.go": source("x", ""),
	})
}

func TestSizes(t *testing.T) {
	lines := func(n int) string { // a whole file of n lines
		head := source("engine", "")
		return head + strings.Repeat("\n", n-strings.Count(head, "\n"))
	}
	function := func(n int) string {
		return source("engine", "func long() {\n"+strings.Repeat("\t_ = 1\n", n)+"}\n")
	}
	expect(t, one("engine/a.go", lines(800)))
	expect(t, one("engine/a.go", lines(801)), "engine/a.go:801: L2: the file has 801 lines, limit 800")
	expect(t, map[string]string{"engine/a.go": lines(9), "engine/a_test.go": lines(1500)})
	expect(t, map[string]string{"engine/a.go": lines(9), "engine/a_test.go": lines(1501)}, "engine/a_test.go:1501: L2")
	expect(t, one("engine/a.go", strings.Replace(lines(900), "//", "// Code generated by x. DO NOT EDIT.\n\n//", 1)))
	expect(t, one("engine/a.go", function(70)))
	expect(t, one("engine/a.go", function(71)), "engine/a.go:3: L2: function long has 71 lines, limit 70")
	many := map[string]string{"engine/doc.go": lines(800)}
	for i := range 7 {
		many[fmt.Sprintf("engine/f%d.go", i)] = "package engine\n" + strings.Repeat("\n", 742)
	}
	expect(t, many, "engine: L2: the package has 6001 lines without tests, limit 6000")
	face := func(methods string) map[string]string {
		return one("engine/a.go", source("engine", "type face interface {\n"+methods+"}\n"))
	}
	expect(t, face("A()\nB()\nC()\n"))
	expect(t, face("A()\nB()\nC()\nD()\n"), "engine/a.go:3: L2: interface face has 4 methods, limit 3")
	expect(t, face("A()\nB()\nC()\nerror\n"), "engine/a.go:3: L2: interface face has 4")
	expect(t, face("~int | ~int8 | ~int16 | ~int32\n"))
}

func TestExact(t *testing.T) {
	f := func(body string, wants ...string) {
		t.Helper()
		expect(t, one("engine/a.go", source("engine", body)), wants...)
	}
	f("const scale = 1e6\nvar x int64 = scale * 3\n")
	f("var x int64 = int64(1.5e3)\n")
	f("func f(x int64) float64 { return 1 }\n", "engine/a.go:3: L3: a value of type float64")
	f("type t struct {\n\tEnergy float32\n}\n", "engine/a.go:4: L3: a value of type float32")
	f("import \"math\"\nvar x = math.MaxInt64\n", "engine/a.go:3: L3: engine may not import math")
	f("import \"math/bits\"\nvar x = bits.Len(1)\n")
	f("import \"time\"\nfunc f(d time.Duration) int64 {\n\treturn int64(d.Seconds())\n}\n", "engine/a.go:5: L3: a value of type float64")
	f("import \"strconv\"\nfunc f(s string) int64 {\n\tv, _ := strconv.ParseFloat(s, 64)\n\treturn int64(v)\n}\n",
		"engine/a.go:5: L3", "engine/a.go:6: L3")
	f("var x = 0.1\n", "engine/a.go:3: L3")
	expect(t, one("analytics/a.go", source("analytics", "var share float64\n")))
	expect(t, one("rating/oracle/a.go", source("oracle", "import _ \"math/big\"\n")))
	expect(t, one("connectors/ocpp/a.go", source("ocpp", "import _ \"math/big\"\n")), "connectors/ocpp/a.go:3: L3")
	expect(t, one("rating/a.go", source("rating", "import \"math/big\"\nvar x *big.Float\n")), "rating/a.go:4: L3: big.Float")
	// A float that comes from another package of ours.
	expect(t, map[string]string{
		"rating/a.go": source("rating", "type Share = int64\n"),
		"api/a.go":    source("api", "func Half() float64 { return 0.5 }\n"),
		"engine/a.go": source("engine", "import \""+module+"/rating\"\nvar x rating.Share\n"),
	})
}

func TestPure(t *testing.T) {
	f := func(body string, wants ...string) {
		t.Helper()
		expect(t, one("rating/a.go", source("rating", body)), wants...)
	}
	f("import \"time\"\nfunc f(t time.Time) int { return t.Hour() }\n")
	f("import \"time\"\nvar x = time.Now()\n", "rating/a.go:4: L4: time.Now: ")
	f("import clock \"time\"\nvar x = clock.Now\n", "rating/a.go:4: L4: time.Now: ")
	f("import \"time\"\nvar x, _ = time.LoadLocation(\"Europe/Berlin\")\n", "rating/a.go:4: L4: time.LoadLocation: ")
	f("import _ \"sync\"\n", "rating/a.go:3: L4: rating may not import sync")
	f("import _ \"os\"\n", "rating/a.go:3: L4")
	f("import _ \"github.com/google/uuid\"\n", "rating/a.go:3: L4")
	f("func f() { go f() }\n", "rating/a.go:3: L4: a goroutine")
	f("func f(c chan int) {}\n", "rating/a.go:3: L4: a channel")
	f("var m map[string]int\nfunc f() int { return m[\"x\"] }\n")
	f("var m map[string]int\nfunc f() {\n\tfor range m {\n\t}\n}\n", "rating/a.go:5: L4: range over a map")
	f("type book struct{ byID map[string]int }\nfunc (b *book) f() {\n\tfor k := range b.byID {\n\t\t_ = k\n\t}\n}\n", "rating/a.go:5: L4")
	f("func f(s []int) {\n\tfor range s {\n\t}\n}\n")
	// A map type of another package of ours, and one that the other's check has passed already.
	expect(t, map[string]string{
		"rating/a.go":      source("rating", "type Tariffs map[string]int\n"),
		"rating/ocpi/a.go": source("ocpi", "import \""+module+"/rating\"\nfunc f(t rating.Tariffs) {\n\tfor range t {\n\t}\n}\n"),
	}, "rating/ocpi/a.go:5: L4")
	expect(t, one("engine/a.go", source("engine", "import \"time\"\nfunc f(m map[int]int) time.Time {\n\tfor range m {\n\t}\n\treturn time.Now()\n}\n")))
}

func TestExplicit(t *testing.T) {
	f := func(path, body string, wants ...string) {
		t.Helper()
		name := "engine"
		if strings.HasPrefix(path, "cmd/") {
			name = "main"
		}
		expect(t, one(path, source(name, body)), wants...)
	}
	f("engine/a.go", "func init() {}\n", "engine/a.go:3: L6: init function")
	f("engine/a.go", "type t int\nfunc (t) init() {}\n")
	f("cmd/wattline/a.go", "func init() {}\n", "cmd/wattline/a.go:3: L6: init function")
	f("engine/a.go", "func f() { panic(1) }\n", "engine/a.go:3: L6: bare panic")
	f("engine/a.go", "import \"flag\"\nvar x = flag.Args\n", "engine/a.go:1: L6: flags")
	f("engine/a.go", "import \"os\"\nvar x = os.Getenv(\"X\")\n", "engine/a.go:4: L6: os.Getenv")
	f("cmd/wattline/a.go", "import (\n\t\"flag\"\n\t\"os\"\n)\nvar x, y = flag.Args, os.Getenv(\"X\")\n")
	f("engine/shard_rows.go", "import \"sync\"\nvar x sync.Mutex\n", "engine/shard_rows.go:4: L5: sync.Mutex in a shard")
	f("engine/shard.go", "import \"sync\"\nvar x sync.RWMutex\n", "engine/shard.go:4: L5")
	f("engine/shard.go", "import \"sync\"\nvar x sync.WaitGroup\n")
	f("engine/loop.go", "import \"sync\"\nvar x sync.Mutex\n")
}

func TestPackageComment(t *testing.T) {
	expect(t, one("engine/a.go", "package engine\n"), "engine: L7: no package comment")
	expect(t, map[string]string{"engine/a.go": source("engine", ""), "engine/b.go": "package engine\n"},
		"engine/a.go:1: L7: the package comment stands here")
	expect(t, map[string]string{"engine/doc.go": source("engine", ""), "engine/b.go": "package engine\n"})
	expect(t, map[string]string{"cmd/wattline/main.go": source("main", ""), "cmd/wattline/b.go": "package main\n"})
	expect(t, one("internal/e2e/a_test.go", "package e2e\n"), "internal/e2e: L7: no package comment")
}
