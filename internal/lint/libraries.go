package lint

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// Exemption lets one file break one of the rules for libraries.
type Exemption struct {
	File   string // relative to the module
	What   string // as the problem says it, for example "panic"
	Reason string
}

// Exemptions are the ones that were granted. One that is not needed any more is a problem itself.
func Exemptions() []Exemption {
	return []Exemption{}
}

// forbidden says, for the names that a library may not use, what to do instead. A name that ends in * stands for
// every name that begins so.
func forbidden() map[string]string {
	const (
		options = "take the value as a field of the options: the program reads its environment"
		result  = "return it, or send it as an appspan.Event"
		logger  = "take a *slog.Logger as an option; nil discards"
		failure = "return an error"
		client  = "build an own http.Client or http.ServeMux: the default ones belong to the program"
		wait    = "wait for the state, or use a timer together with ctx.Done()"
	)
	return map[string]string{
		"os.Getenv": options, "os.LookupEnv": options, "os.Environ": options, "os.ExpandEnv": options,
		"os.Setenv": options, "os.Unsetenv": options, "os.Clearenv": options, "os.Args": options,
		"os.Stdin": options, "os.Stdout": result, "os.Stderr": result,
		"fmt.Print*": result, "print": result, "println": result,
		"os.Exit": failure, "panic": failure, "log.Fatal*": failure, "log.Panic*": failure,
		"log.Print*": logger, "log.Output": logger, "log.Default": logger, "log.Set*": logger, "log.Writer": logger,
		"slog.Default": logger, "slog.SetDefault": logger, "slog.Debug*": logger, "slog.Info*": logger,
		"slog.Warn*": logger, "slog.Error*": logger, "slog.Log": logger, "slog.LogAttrs": logger,
		"http.DefaultClient": client, "http.DefaultServeMux": client, "http.Handle": client, "http.HandleFunc": client,
		"http.Get": client, "http.Head": client, "http.Post*": client,
		"time.Sleep": wait,
	}
}

// forbiddenPackages are those whose names forbidden means; other packages of the same name are not meant.
func forbiddenPackages() []string {
	return []string{"fmt", "log", "log/slog", "net/http", "os", "time"}
}

// Libraries reports what a library may not do: init functions, state of the package, the process's environment, exit,
// output and default logger, panics and sleeps.
func Libraries(packages []*Package, exemptions []Exemption) []Problem {
	var problems []Problem
	used := map[Exemption]bool{}
	for _, p := range packages {
		if !p.Library() {
			continue
		}
		c := check(p)
		for _, f := range c.found {
			if i := slices.IndexFunc(exemptions, func(e Exemption) bool {
				return e.File == p.Fset.Position(f.at).Filename && e.What == f.what
			}); i >= 0 {
				used[exemptions[i]] = true
				continue
			}
			problems = append(problems, p.problem(f.at, "a library may not use "+f.what, f.next))
		}
	}
	for _, e := range exemptions {
		if e.Reason == "" || !used[e] {
			problems = append(problems, Problem{Pos: e.File, What: "the exemption for " + e.What + " has no reason or is not needed",
				Next: "give the reason in Exemptions of internal/lint, or delete it there"})
		}
	}
	return problems
}

// use is one thing that a library may not do.
type use struct {
	at         token.Pos
	what, next string
}

// checker resolves the names of one package and collects what is wrong.
type checker struct {
	pkg   *types.Package
	info  *types.Info
	names map[string]string
	found []use
}

// nowhere is an importer that has nothing: names of other packages stay unknown, which go/types bears, and it spares
// the build of everything that is imported.
type nowhere struct{}

// Import fails.
func (nowhere) Import(string) (*types.Package, error) { return nil, errors.New("not imported") }

func check(p *Package) *checker {
	c := &checker{names: forbidden(), info: &types.Info{
		Defs:       map[*ast.Ident]types.Object{},
		Uses:       map[*ast.Ident]types.Object{},
		Types:      map[ast.Expr]types.TypeAndValue{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
	}}
	config := types.Config{Importer: nowhere{}, Error: func(error) {}}
	c.pkg, _ = config.Check(p.Path, p.Fset, p.Files, c.info) // the errors are those of what was not imported
	for _, file := range p.Files {
		for _, spec := range file.Imports {
			if spec.Name != nil && (spec.Name.Name == "." || spec.Name.Name == "_" && spec.Path.Value != `"embed"`) {
				c.add(spec.Pos(), "import "+spec.Name.Name, "import what is used, by name: what an import does on its own is up to the program")
			}
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					c.add(d.Pos(), "func init", "do it where the value is needed, or in a constructor")
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					c.variables(d)
				}
			}
		}
		ast.Inspect(file, c.name)
		c.changes(file)
	}
	return c
}

func (c *checker) add(at token.Pos, what, next string) {
	c.found = append(c.found, use{at, what, next})
}

// name reports the forbidden names of other packages and the forbidden builtins.
func (c *checker) name(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		x, ok := n.X.(*ast.Ident)
		if !ok {
			break
		}
		pkg, ok := c.info.Uses[x].(*types.PkgName)
		if !ok || !slices.Contains(forbiddenPackages(), pkg.Imported().Path()) {
			break
		}
		name := pkg.Imported().Name() + "." + n.Sel.Name
		for pattern, next := range c.names {
			prefix, open := strings.CutSuffix(pattern, "*")
			if name == pattern || open && strings.HasPrefix(name, prefix) {
				c.add(n.Pos(), name, next)
			}
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok {
			if _, builtin := c.info.Uses[id].(*types.Builtin); builtin && c.names[id.Name] != "" {
				c.add(n.Pos(), id.Name, c.names[id.Name])
			}
		}
	}
	return true
}
