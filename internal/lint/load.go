package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the import path of the repository's module.
const Module = "github.com/appspan-dev/appspan"

// Problem is one finding: where it is, what is wrong, and what to do next.
type Problem struct {
	Pos  string // file:line, or a package
	What string
	Next string
}

// String returns the problem on one line.
func (p Problem) String() string { return p.Pos + ": " + p.What + "; " + p.Next }

// Package is one package of the module, without its tests.
type Package struct {
	Path    string // relative to the module; "." is its root
	Name    string
	Fset    *token.FileSet
	Files   []*ast.File // those that are built on other systems included
	Modules []string    // paths of the modules that it links, itself and the standard library left out; sorted
}

// Public reports whether programs outside of the repository may import the package.
func (p *Package) Public() bool {
	return p.Name != "main" && !slices.ContainsFunc(strings.Split(p.Path, "/"), func(element string) bool {
		return element == "internal" || element == "examples"
	})
}

// Library reports whether the package is bound by the rules for libraries, which hold for the internals of a public
// package as well.
func (p *Package) Library() bool {
	return p.Name != "main" && !within(p.Path, "internal") && !within(p.Path, "examples")
}

// problem locates a finding.
func (p *Package) problem(at token.Pos, what, next string) Problem {
	pos := p.Fset.Position(at)
	return Problem{Pos: fmt.Sprintf("%s:%d", pos.Filename, pos.Line), What: what, Next: next}
}

// Load reads every package of the module that lies at root. The modules that are linked are those of linux/amd64
// without cgo, so that they are the same wherever the rules run.
func Load(root string) ([]*Package, error) {
	const fields = "ImportPath,Name,Dir,Standard,Module,GoFiles,CgoFiles,IgnoredGoFiles,Deps,Error"
	cmd := exec.Command("go", "list", "-e", "-deps", "-json="+fields, "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list ./...: %w: %s", err, &stderr)
	}

	moduleOf := map[string]string{}
	var own []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list -json: %w", err)
		}
		switch {
		case l.Error != nil:
			return nil, fmt.Errorf("package %s does not load: %s", l.ImportPath, l.Error.Err)
		case l.Standard || l.Module == nil:
		case l.Module.Main:
			own = append(own, l)
		default:
			moduleOf[l.ImportPath] = l.Module.Path
		}
	}

	var packages []*Package
	for _, l := range own {
		p, err := parse(root, l)
		if err != nil {
			return nil, err
		}
		for _, dep := range l.Deps {
			if m, ok := moduleOf[dep]; ok {
				p.Modules = append(p.Modules, m)
			}
		}
		slices.Sort(p.Modules)
		p.Modules = slices.Compact(p.Modules)
		packages = append(packages, p)
	}
	return packages, nil
}

// listed is what is read of the answer of go list.
type listed struct {
	ImportPath, Name, Dir string
	Standard              bool
	Module                *struct {
		Path string
		Main bool
	}
	GoFiles, CgoFiles, IgnoredGoFiles []string
	Deps                              []string
	Error                             *struct{ Err string }
}

// parse reads the sources of one package, under names relative to root.
func parse(root string, l listed) (*Package, error) {
	p := &Package{Path: relative(l.ImportPath), Name: l.Name, Fset: token.NewFileSet()}
	for _, name := range slices.Concat(l.GoFiles, l.CgoFiles, l.IgnoredGoFiles) {
		src, err := os.ReadFile(filepath.Join(l.Dir, name))
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(p.Fset, path.Join(p.Path, name), src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		// An ignored file is another system's, or a test's, or a program of its own.
		if file.Name.Name == l.Name && !strings.HasSuffix(name, "_test.go") {
			p.Files = append(p.Files, file)
		}
	}
	return p, nil
}

// relative returns an import path of the module relative to it ("." for the root), and others as they are.
func relative(importPath string) string {
	if importPath == Module {
		return "."
	}
	return strings.TrimPrefix(importPath, Module+"/")
}

// within reports whether a relative package path is dir or below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
