package lint

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// checkExplicit holds L6.
func (t *tree) checkExplicit(f *file) {
	isMain := f.ast.Name.Name == "main"
	dir := path.Dir(f.path)
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			t.faultAt(f, fn, "L6: init function: do it in a constructor that the main function calls")
		}
	}
	if dir != "internal/invariant" {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
					t.faultAt(f, n, "L6: bare panic: return an error, or call invariant.Bug for what only our own mistake can cause")
				}
			}
			return true
		})
	}
	if isMain {
		return
	}
	if name := localName(f, "flag"); name != "" {
		t.fault(f.path, 1, "L6: flags are read in cmd only: take a Config")
	}
	uses(f, "os", func(sel *ast.SelectorExpr) {
		switch sel.Sel.Name {
		case "Getenv", "LookupEnv", "Environ", "ExpandEnv", "Args":
			t.faultAt(f, sel, "L6: os.%s: environment and arguments are read in cmd only: take a Config", sel.Sel.Name)
		}
	})
}

// checkBigFloats closes the one door to floats that checkFloats does not see: big.Float is a struct.
func (t *tree) checkBigFloats(f *file) {
	uses(f, "math/big", func(sel *ast.SelectorExpr) {
		if slices.Contains(bigFloats(), sel.Sel.Name) {
			t.faultAt(f, sel, "L3: big.%s where money or energy is handled: use big.Int or big.Rat", sel.Sel.Name)
		}
	})
}

// checkPure holds L4 as far as it can be seen without types; map iteration is in checkTypes.
func (t *tree) checkPure(f *file) {
	for imported, names := range forbiddenFunctions() {
		uses(f, imported, func(sel *ast.SelectorExpr) {
			if instead, bad := names[sel.Sel.Name]; bad {
				t.faultAt(f, sel, "L4: %s.%s: %s", imported, sel.Sel.Name, instead)
			}
		})
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "a goroutine"
		case *ast.SelectStmt:
			what = "a select"
		case *ast.ChanType:
			what = "a channel"
		case *ast.SendStmt:
			what = "a send"
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				what = "a receive"
			}
		}
		if what != "" {
			t.faultAt(f, n, "L4: %s in a pure package: what runs at the same time belongs to engine", what)
		}
		return true
	})
}

// checkOneOwner holds L5.
func (t *tree) checkOneOwner(f *file) {
	uses(f, "sync", func(sel *ast.SelectorExpr) {
		if strings.HasSuffix(sel.Sel.Name, "Mutex") || sel.Sel.Name == "Locker" || sel.Sel.Name == "Map" {
			t.faultAt(f, sel, "L5: sync.%s in a shard: its state has one goroutine; send it a message instead", sel.Sel.Name)
		}
	})
}
