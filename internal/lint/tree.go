package lint

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const module = "github.com/wattline/wattline"

// Fault is a place that breaks a rule.
type Fault struct {
	// Path is relative to the root of the tree; of a file, or of a folder when Line is 0.
	Path string
	// Line counts from 1.
	Line int
	// Text says what is wrong, against which limit, and what to do.
	Text string
}

// String is the fault as compilers print theirs.
func (f Fault) String() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// Check applies all rules to a tree, the root of which holds go.mod, and returns the faults sorted by place.
// The error is that of reading or parsing a file.
func Check(root fs.FS) ([]Fault, error) {
	fset := token.NewFileSet()
	return checkWith(root, fset, importer.ForCompiler(fset, "source", nil))
}

// checkWith lets tests of small trees share what was read of the standard library, which takes most of the time.
func checkWith(root fs.FS, fset *token.FileSet, std types.Importer) ([]Fault, error) {
	t := &tree{fset: fset, pkgs: map[string]*pkg{}, rules: table()}
	if err := t.load(root); err != nil {
		return nil, err
	}
	for _, p := range t.sorted() {
		t.checkPackage(p)
	}
	t.checkTypes(std)
	slices.SortFunc(t.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return t.faults, nil
}

// tree is the parsed module.
type tree struct {
	fset   *token.FileSet
	pkgs   map[string]*pkg // by folder, relative to the root
	rules  map[string]rule
	faults []Fault
}

// pkg is one folder with Go files. External test packages (x_test) count to it.
type pkg struct {
	dir   string
	files []*file // sorted by path
}

type file struct {
	path      string // relative to the root
	ast       *ast.File
	lines     int
	test      bool
	generated bool
}

func (t *tree) load(root fs.FS) error {
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enterDir(root, name, d.Name())
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		return t.loadFile(root, name)
	})
	if err != nil {
		return fmt.Errorf("read the source tree: %w", err)
	}
	return nil
}

// enterDir leaves out what the go command leaves out: testdata, hidden folders, modules of their own.
func enterDir(root fs.FS, name, base string) error {
	if name == "." {
		return nil
	}
	if base == "testdata" || base[0] == '.' || base[0] == '_' {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *tree) loadFile(root fs.FS, name string) error {
	src, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	tree, err := parser.ParseFile(t.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	p := t.pkgs[dir]
	if p == nil {
		p = &pkg{dir: dir}
		t.pkgs[dir] = p
	}
	p.files = append(p.files, &file{
		path: name, ast: tree, lines: strings.Count(string(src), "\n"),
		test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(tree),
	})
	return nil
}

func (t *tree) sorted() []*pkg {
	var list []*pkg
	for _, p := range t.pkgs {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *pkg) int { return cmp.Compare(a.dir, b.dir) })
	return list
}

func (t *tree) fault(name string, line int, format string, args ...any) {
	t.faults = append(t.faults, Fault{Path: name, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (t *tree) faultAt(f *file, n ast.Node, format string, args ...any) {
	t.fault(f.path, t.fset.Position(n.Pos()).Line, format, args...)
}

func (t *tree) checkPackage(p *pkg) {
	r, known := t.rules[p.dir]
	if !known {
		t.fault(p.dir, 0, "L1: the package is not in the import table: enter it in internal/lint/table.go "+
			"with what it may import and why it exists")
	}
	t.checkSizes(p)
	t.checkComment(p)
	for _, f := range p.files {
		if f.test {
			continue
		}
		if known {
			t.checkImports(p, r, f)
		}
		t.checkExplicit(f)
		if r.exact {
			t.checkBigFloats(f)
		}
		if r.pure {
			t.checkPure(f)
		}
		if p.dir == "engine" && strings.HasPrefix(path.Base(f.path), "shard") {
			t.checkOneOwner(f)
		}
	}
}
