package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"slices"
	"strings"
)

// Surface returns what a package exports, one sorted line for each function, type, method, field, constant and
// variable, so that every change of it is a line in a diff.
func Surface(p *Package) []string {
	s := surface{p: p, exported: exportedTypes(p)}
	for _, file := range p.Files {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				s.function(d)
			case *ast.GenDecl:
				s.general(d)
			}
		}
	}
	slices.Sort(s.lines)
	return slices.Compact(s.lines)
}

type surface struct {
	p        *Package
	exported map[string]bool
	lines    []string
}

func (s *surface) add(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// print returns a piece of source on one line, however many it has.
func (s *surface) print(node any) string {
	var b bytes.Buffer
	if err := format.Node(&b, s.p.Fset, node); err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	line := strings.Join(strings.Fields(b.String()), " ")
	return strings.NewReplacer("( ", "(", ", )", ")").Replace(line)
}

// signature returns the parameters and results of a function.
func (s *surface) signature(t *ast.FuncType) string {
	return strings.TrimPrefix(s.print(&ast.FuncType{TypeParams: t.TypeParams, Params: t.Params, Results: t.Results}), "func")
}

func (s *surface) function(d *ast.FuncDecl) {
	switch {
	case !d.Name.IsExported():
	case d.Recv == nil:
		s.add("func %s%s", d.Name.Name, s.signature(d.Type))
	case s.exported[receiver(d)]:
		s.add("method (%s) %s%s", s.print(d.Recv.List[0].Type), d.Name.Name, s.signature(d.Type))
	}
}

func (s *surface) general(d *ast.GenDecl) {
	var implied ast.Expr // the type that a constant takes from the one above
	for _, spec := range d.Specs {
		switch v := spec.(type) {
		case *ast.TypeSpec:
			if v.Name.IsExported() {
				s.typ(v)
			}
		case *ast.ValueSpec:
			if v.Type != nil || len(v.Values) > 0 {
				implied = v.Type
			}
			for i, name := range v.Names {
				if !name.IsExported() {
					continue
				}
				line := d.Tok.String() + " " + name.Name
				if implied != nil {
					line += " " + s.print(implied)
				}
				if d.Tok == token.CONST && i < len(v.Values) && !strings.Contains(s.print(v.Values[i]), "iota") {
					line += " = " + s.print(v.Values[i])
				}
				s.add("%s", line)
			}
		}
	}
}

func (s *surface) typ(t *ast.TypeSpec) {
	name := t.Name.Name
	head := "type " + name
	if t.TypeParams != nil {
		// A function's brackets are printed, a field list's are not.
		head += strings.TrimSuffix(s.signature(&ast.FuncType{TypeParams: t.TypeParams, Params: &ast.FieldList{}}), "()")
	}
	if t.Assign.IsValid() {
		head += " ="
	}
	switch def := t.Type.(type) {
	case *ast.StructType:
		s.add("%s struct", head)
		for _, f := range def.Fields.List {
			if len(f.Names) == 0 && ast.IsExported(base(f.Type)) {
				s.add("field %s.%s embedded", name, s.print(f.Type))
			}
			for _, id := range f.Names {
				if id.IsExported() {
					s.add("field %s.%s %s", name, id.Name, s.print(f.Type))
				}
			}
		}
	case *ast.InterfaceType:
		s.add("%s interface", head)
		for _, m := range def.Methods.List {
			if len(m.Names) == 0 {
				s.add("method %s.%s embedded", name, s.print(m.Type))
			}
			for _, id := range m.Names {
				if id.IsExported() {
					s.add("method %s.%s%s", name, id.Name, s.signature(m.Type.(*ast.FuncType)))
				} else {
					s.add("method %s.(unexported)", name)
				}
			}
		}
	default:
		s.add("%s %s", head, s.print(t.Type))
	}
}

// base returns the name by which an embedded type is a field.
func base(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return base(x.X)
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.IndexExpr:
		return base(x.X)
	case *ast.IndexListExpr:
		return base(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}
