package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// stateless are the functions of other packages whose results may stand in a variable of a package: nobody can change
// them, and they are safe for concurrent use. Functions called Must… are allowed too.
func stateless() []string {
	return []string{
		"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "sync.OnceValue", "sync.OnceValues",
		"reflect.TypeFor", "reflect.TypeOf",
	}
}

const constructor = "give it to whoever needs it through a constructor or an option"

// variables reports the variables of a package that are, or may become, state: all but sentinel errors, assertions
// (var _ I = …), embedded files, and unexported tables with an initial value.
func (c *checker) variables(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		for i, name := range v.Names {
			if name.Name == "_" || embedded(d, v) {
				continue
			}
			var value ast.Expr
			if i < len(v.Values) {
				value = v.Values[i]
			} else if len(v.Values) == 1 {
				value = v.Values[0]
			}
			sentinel := strings.HasPrefix(name.Name, "Err") || strings.HasPrefix(name.Name, "err")
			switch {
			case value == nil:
				c.add(name.Pos(), "the variable "+name.Name+" without a value", "it can only be state: "+constructor)
			case name.IsExported() && !sentinel:
				c.add(name.Pos(), "the exported variable "+name.Name, "make it a constant, or a function that returns a copy")
			case !c.constant(value, sentinel):
				c.add(name.Pos(), "the variable "+name.Name+", which may be state", constructor)
			}
		}
	}
}

// embedded reports whether the variable holds files of the repository.
func embedded(d *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{d.Doc, v.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(comment *ast.Comment) bool {
			return strings.HasPrefix(comment.Text, "//go:embed ")
		}) {
			return true
		}
	}
	return false
}

// constant reports whether the value of a variable is one that nothing but an assignment could change. Only a sentinel
// may be a pointer.
func (c *checker) constant(value ast.Expr, sentinel bool) bool {
	switch v := value.(type) {
	case *ast.UnaryExpr:
		return v.Op != token.AND || sentinel
	case *ast.CompositeLit:
		name := c.qualified(v.Type)
		return !strings.HasPrefix(name, "sync.") && !strings.HasPrefix(name, "atomic.")
	case *ast.CallExpr:
		fun := v.Fun
		switch f := fun.(type) {
		case *ast.IndexExpr:
			fun = f.X
		case *ast.IndexListExpr:
			fun = f.X
		}
		if id, ok := fun.(*ast.Ident); ok { // a function or a type of this package, or a builtin
			return id.Name != "make" && id.Name != "new"
		}
		name := c.qualified(fun)
		_, function, other := strings.Cut(name, ".")
		return sentinel || !other || slices.Contains(stateless(), name) || strings.HasPrefix(function, "Must")
	}
	return true
}

// qualified returns a name of another package as package.Name, else "".
func (c *checker) qualified(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			if pkg, ok := c.info.Uses[x].(*types.PkgName); ok {
				return pkg.Imported().Name() + "." + s.Sel.Name
			}
		}
	}
	return ""
}

// changes reports where a file changes a variable of its package, takes its address, or hands it out where the caller
// could change it.
func (c *checker) changes(file *ast.File) {
	report := func(e ast.Expr, what string) {
		if v := c.variable(e); v != nil {
			c.add(e.Pos(), what+" the variable "+v.Name(), "a table of a package is read-only: copy it first, or "+constructor)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				report(left, "an assignment to")
			}
		case *ast.IncDecStmt:
			report(n.X, "an assignment to")
		case *ast.RangeStmt:
			report(n.Key, "an assignment to")
			report(n.Value, "an assignment to")
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				report(n.X, "the address of")
			}
		case *ast.SelectorExpr:
			if c.addresses(n) {
				report(n.X, "a pointer method of")
			}
		case *ast.CallExpr:
			if len(n.Args) > 0 && c.overwrites(n.Fun) {
				report(n.Args[0], "a call that changes")
			}
		case *ast.FuncDecl:
			if n.Name.IsExported() && n.Body != nil {
				ast.Inspect(n.Body, func(n ast.Node) bool {
					if r, ok := n.(*ast.ReturnStmt); ok {
						for _, result := range r.Results {
							if _, whole := result.(*ast.Ident); whole && shared(c.variable(result)) {
								report(result, "a result that shares")
							}
						}
					}
					_, literal := n.(*ast.FuncLit)
					return !literal
				})
			}
		}
		return true
	})
}

// variable returns the variable of the package that an expression is, or is a part of.
func (c *checker) variable(e ast.Expr) *types.Var {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			v, ok := c.info.Uses[x].(*types.Var)
			if !ok || v.Parent() != c.pkg.Scope() {
				return nil
			}
			return v
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// addresses reports whether a method is called whose receiver is a pointer, on a value.
func (c *checker) addresses(s *ast.SelectorExpr) bool {
	selection := c.info.Selections[s]
	if selection == nil || selection.Kind() != types.MethodVal {
		return false
	}
	method, ok := selection.Obj().(*types.Func)
	if !ok || types.IsInterface(selection.Recv()) {
		return false
	}
	_, pointer := method.Signature().Recv().Type().(*types.Pointer)
	_, given := selection.Recv().(*types.Pointer)
	return pointer && !given
}

// overwrites reports whether a function changes its first argument.
func (c *checker) overwrites(fun ast.Expr) bool {
	if id, ok := fun.(*ast.Ident); ok {
		_, builtin := c.info.Uses[id].(*types.Builtin)
		return builtin && slices.Contains([]string{"delete", "clear", "copy"}, id.Name)
	}
	name := c.qualified(fun)
	return strings.HasPrefix(name, "sort.S") || strings.HasPrefix(name, "slices.Sort") || name == "slices.Reverse" ||
		name == "maps.Copy" || name == "maps.DeleteFunc"
}

// shared reports whether a variable is a map or a slice, which the caller of a function could change.
func shared(v *types.Var) bool {
	if v == nil {
		return false
	}
	switch v.Type().Underlying().(type) {
	case *types.Map, *types.Slice:
		return true
	}
	return false
}
