package lint

import (
	"go/ast"
	"go/token"
	"path"
)

// The limits of L2. They are not to be raised: a piece with a contract of its own can always be split off.
const (
	maxFileLines        = 800
	maxTestFileLines    = 1500
	maxFunctionLines    = 70 // lines between the braces, as golangci-lint's funlen counts
	maxPackageLines     = 6000
	maxInterfaceMethods = 3
)

// checkSizes holds L2. Generated files have no size, and functions of tests may be long lists of cases.
func (t *tree) checkSizes(p *pkg) {
	total := 0
	for _, f := range p.files {
		if f.generated {
			continue
		}
		limit := maxFileLines
		if f.test {
			limit = maxTestFileLines
		} else {
			total += f.lines
			t.checkDeclarations(f)
		}
		if f.lines > limit {
			t.fault(f.path, f.lines, "L2: the file has %d lines, limit %d: move a part with a subject of its own to another file", f.lines, limit)
		}
	}
	if total > maxPackageLines {
		t.fault(p.dir, 0, "L2: the package has %d lines without tests, limit %d: split off a part that has a contract, not the part that is left over", total, maxPackageLines)
	}
}

func (t *tree) checkDeclarations(f *file) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body == nil {
				return true
			}
			lines := t.line(n.Body.Rbrace) - t.line(n.Body.Lbrace) - 1
			if lines > maxFunctionLines {
				t.faultAt(f, n, "L2: function %s has %d lines, limit %d: split it where its comment would start a new paragraph", n.Name.Name, lines, maxFunctionLines)
			}
		case *ast.TypeSpec:
			if it, ok := n.Type.(*ast.InterfaceType); ok {
				if m := methods(it); m > maxInterfaceMethods {
					t.faultAt(f, n, "L2: interface %s has %d methods, limit %d: take what its user calls, or a struct of functions", n.Name.Name, m, maxInterfaceMethods)
				}
			}
		}
		return true
	})
}

// methods counts an embedded interface as one method, since what it holds may be another package's.
// The types of a constraint are none.
func methods(it *ast.InterfaceType) int {
	n := 0
	for _, m := range it.Methods.List {
		switch m.Type.(type) {
		case *ast.FuncType:
			n += len(m.Names)
		case *ast.Ident, *ast.SelectorExpr:
			n++
		}
	}
	return n
}

func (t *tree) line(p token.Pos) int { return t.fset.Position(p).Line }

// checkComment holds L7.
func (t *tree) checkComment(p *pkg) {
	sources, at := 0, ""
	for _, f := range p.files {
		if !f.test {
			sources++
		}
		if f.ast.Doc != nil && (at == "" || path.Base(f.path) == "doc.go") {
			at = f.path
		}
	}
	switch {
	case at == "":
		t.fault(p.dir, 0, "L7: no package comment: write doc.go with what the package owns, what it does not, and its invariants by name")
	case sources > 1 && path.Base(at) != "doc.go" && p.files[0].ast.Name.Name != "main":
		t.fault(at, 1, "L7: the package comment stands here: move it to doc.go, where a reader looks for it")
	}
}
