package lint

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// checkImports holds L1, and what L3 and L4 say of imports.
func (t *tree) checkImports(p *pkg, r rule, f *file) {
	for _, spec := range f.ast.Imports {
		name := importPath(spec)
		ours, isOurs := strings.CutPrefix(name, module+"/")
		switch {
		case name == "C":
			t.faultAt(f, spec, "L6: cgo: the program is built without; call C through purego, in connectors/clickhouse/embedded")
		case isOurs:
			if !mayImport(p.dir, ours, r) {
				t.faultAt(f, spec, "L1: %s may not import %s (it may: %s): turn the arrow round with an interface declared where it is used, "+
					"or change internal/lint/table.go with a reason", p.dir, ours, strings.Join(slices.Concat(everyones(), r.imports), ", "))
			}
		case slices.Contains(r.also, name):
		case r.exact && (name == "math" || name == "math/big" || name == "math/cmplx"):
			t.faultAt(f, spec, "L3: %s may not import %s: money and energy are integers; use rating/money or math/bits", p.dir, name)
		case r.pure && !slices.Contains(pureStd(), name):
			t.faultAt(f, spec, "L4: %s may not import %s: the package is pure; do it in a caller, or enter it in internal/lint/table.go with a reason", p.dir, name)
		}
	}
}

func mayImport(from, to string, r rule) bool {
	for _, allowed := range slices.Concat(everyones(), r.imports) {
		dir, isGlob := strings.CutSuffix(allowed, "/*")
		switch {
		case allowed == to:
			return true
		case allowed == "*" && !strings.HasPrefix(to, "cmd/"):
			return true
		case isGlob && path.Dir(to) == dir:
			return true
		}
	}
	return strings.HasPrefix(from, "cmd/") && strings.HasPrefix(to, from+"/")
}

func importPath(spec *ast.ImportSpec) string {
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the parser has refused such a file before
	}
	return name
}

// localName is the name by which a file calls an imported package; "" if it does not import it.
func localName(f *file, imported string) string {
	for _, spec := range f.ast.Imports {
		if importPath(spec) != imported {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

// uses calls found for every x.Name in the file where x is the imported package.
func uses(f *file, imported string, found func(sel *ast.SelectorExpr)) {
	local := localName(f, imported)
	if local == "" {
		return
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
				found(sel)
			}
		}
		return true
	})
}
