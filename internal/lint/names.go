package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Names reports packages whose name says nothing, at any place of their path.
func Names(packages []*Package) []Problem {
	empty := []string{"util", "utils", "common", "helper", "helpers", "base", "types", "manager", "service", "impl", "pkg"}
	var problems []Problem
	for _, p := range packages {
		for _, element := range append(strings.Split(p.Path, "/"), p.Name) {
			if slices.Contains(empty, element) {
				problems = append(problems, Problem{Pos: p.Path, What: "the package is named " + element,
					Next: "name it after what it holds, with one lower-case noun"})
				break
			}
		}
	}
	return problems
}

// Documented reports exported identifiers without a doc comment, and packages without a package comment: in doc.go, or
// anywhere for a program.
func Documented(packages []*Package) []Problem {
	var problems []Problem
	for _, p := range packages {
		described := false
		undocumented := func(id *ast.Ident, kind string) {
			problems = append(problems, p.problem(id.Pos(), fmt.Sprintf("the exported %s %s has no doc comment", kind, id.Name),
				"write its contract: units, errors, order, concurrency"))
		}
		exported := exportedTypes(p)
		for _, file := range p.Files {
			name := path.Base(p.Fset.Position(file.Pos()).Filename)
			described = described || file.Doc.Text() != "" && (name == "doc.go" || p.Name == "main")
			for _, decl := range file.Decls {
				switch d := decl.(type) {
				case *ast.FuncDecl:
					if d.Name.IsExported() && d.Doc.Text() == "" && (d.Recv == nil || exported[receiver(d)]) {
						undocumented(d.Name, "function")
					}
				case *ast.GenDecl:
					for _, spec := range d.Specs {
						switch s := spec.(type) {
						case *ast.TypeSpec:
							if s.Name.IsExported() && d.Doc.Text()+s.Doc.Text() == "" {
								undocumented(s.Name, "type")
							}
						case *ast.ValueSpec:
							if d.Doc.Text()+s.Doc.Text()+s.Comment.Text() != "" {
								continue
							}
							for _, id := range s.Names {
								if id.IsExported() {
									undocumented(id, d.Tok.String())
								}
							}
						}
					}
				}
			}
		}
		if !described && len(p.Files) > 0 {
			problems = append(problems, Problem{Pos: p.Path, What: "the package has no package comment in doc.go",
				Next: "say what it is, for whom, one example, # Errors, # Concurrency"})
		}
	}
	return problems
}

// exportedTypes returns the names of the exported types of a package.
func exportedTypes(p *Package) map[string]bool {
	names := map[string]bool{}
	for _, file := range p.Files {
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.TYPE {
				for _, spec := range d.Specs {
					if name := spec.(*ast.TypeSpec).Name; name.IsExported() {
						names[name.Name] = true
					}
				}
			}
		}
	}
	return names
}

// receiver returns the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
