package lint

import (
	"fmt"
	"go/ast"
	"go/types"
	"strings"
)

// checkTypes holds what needs types: no float value in an exact package (L3), no range over a map in a pure
// one (L4). Our packages are checked from the parsed files, the standard library from its sources; packages
// of other people stay unknown, and so does the type of what comes out of them.
func (t *tree) checkTypes(std types.Importer) {
	c := &typeChecker{
		tree: t, done: map[string]*types.Package{}, std: std,
		info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}},
	}
	for _, p := range t.sorted() {
		if r := t.rules[p.dir]; r.exact || r.pure {
			c.check(p)
			for _, f := range p.files {
				if !f.test && !f.generated {
					t.checkFloats(f, c.info)
				}
				if !f.test && r.pure {
					t.checkMapRange(f, c.info)
				}
			}
		}
	}
}

func (t *tree) checkFloats(f *file, info *types.Info) {
	last := 0 // one fault a line is enough
	report := func(n ast.Node, typ types.Type) {
		if line := t.line(n.Pos()); line != last && isFloat(typ) {
			last = line
			t.faultAt(f, n, "L3: a value of type %s where money or energy is handled: use integers with the unit in the name", typ)
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if def := info.Defs[n]; def != nil {
				report(n, def.Type())
			} else {
				report(n, info.Types[n].Type)
			}
		case ast.Expr:
			report(n, info.Types[n].Type)
		}
		return true
	})
}

// isFloat is true of typed floats only: 1e6 that becomes an int64 is as exact as 1_000_000.
func isFloat(typ types.Type) bool {
	if typ == nil {
		return false
	}
	b, ok := typ.Underlying().(*types.Basic)
	return ok && b.Info()&(types.IsFloat|types.IsComplex) != 0 && b.Info()&types.IsUntyped == 0
}

func (t *tree) checkMapRange(f *file, info *types.Info) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		r, ok := n.(*ast.RangeStmt)
		if !ok {
			return true
		}
		if typ := info.Types[r.X].Type; typ != nil {
			if _, isMap := typ.Underlying().(*types.Map); isMap {
				t.faultAt(f, r, "L4: range over a map: its order differs from run to run; keep a sorted slice beside it")
			}
		}
		return true
	})
}

// typeChecker imports our packages from the tree.
type typeChecker struct {
	tree *tree
	done map[string]*types.Package
	std  types.Importer
	info *types.Info // of all our packages: one may be checked on behalf of another that imports it
}

// Import is for go/types.
func (c *typeChecker) Import(name string) (*types.Package, error) {
	if ours, ok := strings.CutPrefix(name, module+"/"); ok {
		p := c.tree.pkgs[ours]
		if p == nil {
			return nil, fmt.Errorf("no package %s", ours)
		}
		return c.check(p), nil
	}
	if first, _, _ := strings.Cut(name, "/"); strings.Contains(first, ".") {
		return nil, fmt.Errorf("%s is not looked into", name)
	}
	return c.std.Import(name)
}

// check returns the package as far as it can be understood; the compiler is the one to report type errors.
func (c *typeChecker) check(p *pkg) *types.Package {
	if done := c.done[p.dir]; done != nil {
		return done
	}
	c.done[p.dir] = types.NewPackage(module+"/"+p.dir, p.dir) // ends a cycle, which the compiler will refuse
	var files []*ast.File
	for _, f := range p.files {
		if !f.test {
			files = append(files, f.ast)
		}
	}
	conf := types.Config{Importer: c, Error: func(error) {}}
	got, err := conf.Check(module+"/"+p.dir, c.tree.fset, files, c.info)
	if err != nil && got == nil {
		return c.done[p.dir]
	}
	c.done[p.dir] = got
	return got
}
