package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// source makes a package of sources that are given by file name.
func source(t *testing.T, path string, sources map[string]string) *Package {
	t.Helper()
	p := &Package{Path: path, Fset: token.NewFileSet()}
	for name, src := range sources {
		file, err := parser.ParseFile(p.Fset, path+"/"+name, src, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		p.Name, p.Files = file.Name.Name, append(p.Files, file)
	}
	return p
}

// importing makes a package that imports others of the module.
func importing(t *testing.T, path string, imports ...string) *Package {
	t.Helper()
	src := "package p\n"
	for _, i := range imports {
		src += "import _ \"" + strings.TrimSuffix(Module+"/"+i, "/.") + "\"\n"
	}
	return source(t, path, map[string]string{"p.go": src})
}

// requireProblems asserts that each problem contains what is wanted, in order.
func requireProblems(t *testing.T, got []Problem, want ...string) {
	t.Helper()
	require.Len(t, got, len(want), "%v", got)
	for i, w := range want {
		require.Contains(t, got[i].String(), w)
	}
}

func TestDirections(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path    string
		imports []string
		want    []string
	}{
		"a leaf may import the root":                    {"appmodel", []string{"."}, nil},
		"the root imports nothing":                      {".", []string{"appmodel"}, []string{"./p.go:2: . may not import appmodel"}},
		"a driver package does not know its struct":     {"cluster/driver", []string{"cluster"}, []string{"cluster/driver may not import cluster"}},
		"providers do not know each other":              {"cluster/kube", []string{"cluster/driver", "cluster/fake"}, []string{"kube may not import cluster/fake"}},
		"deploy stands on cluster and storage":          {"deploy", []string{"cluster", "storage/journal", "deploy/render"}, nil},
		"deploy does not know a provider":               {"deploy", []string{"cluster/kube"}, []string{"deploy may not import cluster/kube"}},
		"a renderer does not know the deployer":         {"deploy/render", []string{"deploy"}, []string{"deploy/render may not import deploy"}},
		"market and backup do not know each other":      {"market", []string{"deploy", "backup"}, []string{"market may not import backup"}},
		"migration stands on backup":                    {"backup/migrate", []string{"backup", "deploy"}, nil},
		"an example may import every public package":    {"examples/quickstart", []string{"cluster/kube"}, nil},
		"an example may not import a tool":              {"examples/quickstart", []string{"internal/lint"}, []string{"may not import internal/lint"}},
		"a package may import its internals":            {"cluster/fake", []string{"cluster/fake/internal/tree"}, nil},
		"internals have the rights of their owner":      {"cluster/fake/internal/tree", []string{"cluster/driver"}, nil},
		"internals have no other rights":                {"cluster/fake/internal/tree", []string{"cluster"}, []string{"may not import cluster"}},
		"a package without a layer is refused":          {"sidecar", nil, []string{"sidecar: the package has no place"}},
		"an internal package without a layer too":       {"internal/odds", nil, []string{"internal/odds: the package has no place"}},
		"a library may not import an internal package":  {"cluster", []string{"internal/bench"}, []string{"may not import internal/bench"}},
		"what is below examples belongs to its package": {"examples/quickstart/story", []string{"examples/quickstart/story/scene"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			packages := []*Package{importing(t, test.path, test.imports...)}
			for _, known := range []string{"cluster/kube", "cluster/driver", "internal/lint"} {
				if known != test.path {
					packages = append(packages, importing(t, known))
				}
			}
			requireProblems(t, Directions(packages, Layers()), test.want...)
		})
	}
}

func TestLibraries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		source string
		want   []string
	}{
		"an init function":          {`func init() {}`, []string{"cluster/kube/p.go:2: a library may not use func init"}},
		"a method called init":      {`type T int; func (T) init() {}`, nil},
		"an import for its effects": {`import _ "net/http/pprof"`, []string{"import _"}},
		"a dot import":              {`import . "os"`, []string{"import ."}},

		"a sentinel":                     {`import "errors"; var ErrGone = errors.New("gone")`, nil},
		"a sentinel that is marked":      {`import "example.org/x"; var ErrGone = x.Mark("gone")`, nil},
		"a sentinel of an own type":      {`type kind struct{}; var ErrGone = &kind{}`, nil},
		"an assertion":                   {`var _ error = (*T)(nil); type T struct{ error }`, nil},
		"a regular expression":           {`import "regexp"; var name = regexp.MustCompile("^a$")`, nil},
		"an embedded file":               {"import _ \"embed\"\n//go:embed a.json\nvar schema []byte", nil},
		"a table":                        {`var ranks = map[string]int{"a": 1}; func rank(s string) int { return ranks[s] }`, nil},
		"a computed table":               {`var ranks = index("a"); func index(s string) map[string]int { return map[string]int{s: 1} }`, nil},
		"a lazy value":                   {`import "sync"; var once = sync.OnceValue(func() int { return 1 })`, nil},
		"a local variable of that name":  {`var ranks = []int{1}; func f() { ranks := []int{2}; ranks[0] = 3 }`, nil},
		"a mutex":                        {`import "sync"; var mu sync.Mutex`, []string{"the variable mu without a value"}},
		"a map to fill":                  {`var cache = map[string]int{}; func f() { cache["a"] = 1 }`, []string{"an assignment to the variable cache"}},
		"a made map":                     {`var cache = make(map[string]int)`, []string{"the variable cache, which may be state"}},
		"a sync.Map":                     {`import "sync"; var cache = sync.Map{}`, []string{"the variable cache, which may be state"}},
		"a pointer":                      {`type T struct{}; var shared = &T{}`, []string{"the variable shared, which may be state"}},
		"a function of another package":  {`import "strings"; var fold = strings.ToLower`, nil},
		"a made client":                  {`import "example.org/x"; var client = x.NewClient()`, []string{"the variable client, which may be state"}},
		"an exported table":              {`var Kinds = []string{"a"}`, []string{"the exported variable Kinds"}},
		"a counter":                      {`var n = 0; func f() { n++ }`, []string{"an assignment to the variable n"}},
		"an address":                     {`var table = [2]int{1, 2}; func f() *int { return &table[0] }`, []string{"the address of the variable table"}},
		"a pointer method":               {`type T struct{}; func (*T) set() {}; var t = T{}; func f() { t.set() }`, []string{"a pointer method of the variable t"}},
		"a value method":                 {`type T struct{}; func (T) get() {}; var t = T{}; func f() { t.get() }`, nil},
		"a delete":                       {`var m = map[int]int{1: 1}; func f() { delete(m, 1) }`, []string{"a call that changes the variable m"}},
		"a sort":                         {`import "slices"; var s = []int{2, 1}; func f() { slices.Sort(s) }`, []string{"a call that changes the variable s"}},
		"a table that is handed out":     {`var s = []int{1}; func F() []int { return s }`, []string{"a result that shares the variable s"}},
		"a table that is copied out":     {`import "slices"; var s = []int{1}; func F() []int { return slices.Clone(s) }`, nil},
		"a variable that a range writes": {`var i = 0; func f() { for i = range 3 {} }`, []string{"an assignment to the variable i"}},

		"an environment read":            {`import "os"; var _ = os.Getenv("HOME")`, []string{"os.Getenv; take the value as a field of the options"}},
		"an environment read, renamed":   {`import sys "os"; func f() { _, _ = sys.LookupEnv("HOME") }`, []string{"os.LookupEnv"}},
		"a local value called os":        {`func f() { var os struct{ Getenv func() }; os.Getenv() }`, nil},
		"an exit":                        {`import "os"; func f() { os.Exit(1) }`, []string{"os.Exit"}},
		"a fatal log":                    {`import "log"; func f() { log.Fatalf("x") }`, []string{"log.Fatalf"}},
		"the default logger":             {`import "log/slog"; func f() { slog.Info("x") }`, []string{"slog.Info"}},
		"a logger that was given":        {`import "log/slog"; func f(l *slog.Logger) { l.Info("x") }`, nil},
		"a discarding logger":            {`import "log/slog"; func f() { slog.New(slog.DiscardHandler) }`, nil},
		"printing":                       {`import "fmt"; func f() { fmt.Println("x") }`, []string{"fmt.Println"}},
		"printing to a writer":           {`import ("fmt"; "io"); func f(w io.Writer) { fmt.Fprintln(w, "x") }`, nil},
		"the printing builtin":           {`func f() { println("x") }`, []string{"println"}},
		"standard output":                {`import ("fmt"; "os"); func f() { fmt.Fprintln(os.Stdout) }`, []string{"os.Stdout"}},
		"a panic":                        {`func f() { panic("x") }`, []string{"panic; return an error"}},
		"a function called panic":        {`func panic(string) {}; func f() { panic("x") }`, nil},
		"a sleep":                        {`import "time"; func f() { time.Sleep(1) }`, []string{"time.Sleep"}},
		"the default HTTP client":        {`import "net/http"; func f() { http.Get("x") }`, []string{"http.Get"}},
		"another package called http":    {`import "example.org/http"; func f() { http.Get("x") }`, nil},
		"a package that is not found":    {`import "example.org/x"; func f() { x.Do(undefined) }`, nil},
		"two sins on two lines of a fun": {"import \"os\"\nfunc f() {\nos.Exit(1)\npanic(1)\n}", []string{"p.go:4:", "p.go:5:"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := source(t, "cluster/kube", map[string]string{"p.go": "package kube\n" + test.source})
			requireProblems(t, Libraries([]*Package{p}, nil), test.want...)
		})
	}
}

func TestProgramsAndToolsAreNotLibraries(t *testing.T) {
	t.Parallel()
	requireProblems(t, Libraries([]*Package{
		source(t, "cmd/refserver", map[string]string{"p.go": "package main\nfunc init() {}"}),
		source(t, "examples/story", map[string]string{"p.go": "package story\nfunc init() {}"}),
		source(t, "internal/bench", map[string]string{"p.go": "package bench\nfunc init() {}"}),
	}, nil))
	requireProblems(t, Libraries([]*Package{
		source(t, "deploy/internal/wave", map[string]string{"p.go": "package wave\nfunc init() {}"}),
	}, nil), "func init")
}

func TestExemptionsHoldForOneFileAndMustBeNeeded(t *testing.T) {
	t.Parallel()
	p := source(t, "cluster", map[string]string{
		"a.go": "package cluster\nfunc a() { panic(1) }",
		"b.go": "package cluster\nfunc b() { panic(1) }",
	})
	requireProblems(t, Libraries([]*Package{p}, []Exemption{
		{"cluster/a.go", "panic", "cannot happen"},
		{"cluster/c.go", "panic", "was deleted"},
	}), "cluster/b.go:2:", "cluster/c.go: the exemption for panic")
	requireProblems(t, Libraries([]*Package{p}, []Exemption{
		{"cluster/a.go", "panic", ""}, {"cluster/b.go", "panic", "cannot happen"},
	}), "cluster/a.go: the exemption for panic has no reason")
}

func TestNames(t *testing.T) {
	t.Parallel()
	requireProblems(t, Names([]*Package{
		{Path: "deploy", Name: "deploy"},
		{Path: "deploy/util", Name: "util"},
		{Path: "pkg/deploy", Name: "deploy"},
		{Path: "deploy/odds", Name: "helpers"},
	}), "deploy/util: the package is named util", "pkg/deploy: the package is named pkg", "deploy/odds: the package is named helpers")
}

func TestDocumented(t *testing.T) {
	t.Parallel()
	undocumented := source(t, "market", map[string]string{"p.go": `package market
func F() {}
type T struct{}
func (*T) M() {}
type hidden struct{}
func (hidden) M() {}
const C = 1
var ErrV = 1
func internal() {}
`})
	requireProblems(t, Documented([]*Package{undocumented}),
		"market/p.go:2: the exported function F", "p.go:3: the exported type T", "p.go:4: the exported function M",
		"p.go:7: the exported const C", "p.go:8: the exported var ErrV", "market: the package has no package comment in doc.go")

	requireProblems(t, Documented([]*Package{
		source(t, "market", map[string]string{"doc.go": `// Package market does.
package market
// F does.
func F() {}
// Kinds.
const (
	A = 1
	B = 2
)
const (
	C = 1 // once
	// D is another.
	D = 2
)
`}),
		source(t, "cmd/refserver", map[string]string{"main.go": "// Refserver serves.\npackage main"}),
	}))
	requireProblems(t, Documented([]*Package{
		source(t, "market", map[string]string{"market.go": "// Package market does.\npackage market"}),
	}), "no package comment in doc.go")
}

func TestLong(t *testing.T) {
	t.Parallel()
	long := []byte("package p\n" + strings.Repeat("\n", 600))
	requireProblems(t, Long([]File{
		{"deploy/plan.go", long},
		{"deploy/plan_test.go", long},
		{"deploy/short.go", long[:600]},
		{"deploy/testdata/plan.go", long},
		{"deploy/zz.go", append([]byte("// Code generated by x. DO NOT EDIT.\n"), long...)},
		{"README.md", long},
	}), "deploy/plan.go:600: the file has 601 lines", "deploy/plan_test.go:600")
}

func TestForeign(t *testing.T) {
	t.Parallel()
	slash := "/"
	for text, bad := range map[string]bool{
		"see " + slash + "work/x":                true,
		slash + "root/.cache":                    true,
		"dir=\"" + slash + "farm/a\"":            true,
		".." + slash + "shared":                  true,
		"frame" + slash + "work/x and /workload": false,
		"https://example.org" + slash + "root/a": false,
		"art/" + "work-in-progress":              false,
	} {
		file := File{"docs/a.md", []byte("first\n" + text + "\n")}
		if bad {
			requireProblems(t, Foreign([]File{file}), "docs/a.md:2: ")
		} else {
			requireProblems(t, Foreign([]File{file}))
		}
		requireProblems(t, Foreign([]File{file}, "docs/a.md"))
		requireProblems(t, Foreign([]File{{"a.png", append([]byte{0}, file.Data...)}}))
	}
}

func TestSurfaceListsWhatIsExported(t *testing.T) {
	t.Parallel()
	p := source(t, "market", map[string]string{"p.go": `package market
import "io"
type ID string
type Kind int
const (
	One Kind = iota
	Two
	three
)
const Channel ID = "stable"
var ErrGone = io.EOF
type Options struct {
	Limit, Size int ` + "`json:\"limit\"`" + `
	hidden      int
	io.Reader
	Nested struct {
		A int
	}
}
type Catalog interface {
	io.Closer
	Get(id ID) (Options, error)
	seal()
}
type Set[K comparable, V any] map[K]V
type Alias = Options
func (s *Set[K, V]) Add(k K, v V) {}
func (o Options) private() {}
type hidden struct{}
func (hidden) Exported() {}
func Copy[T any](
	dst, src T,
	opts *Options,
) error { return nil }
func internal() {}
`})
	require.Equal(t, strings.Split(strings.TrimSpace(`
const Channel ID = "stable"
const One Kind
const Two Kind
field Options.Limit int
field Options.Nested struct { A int }
field Options.Size int
field Options.io.Reader embedded
func Copy[T any](dst, src T, opts *Options) error
method (*Set[K, V]) Add(k K, v V)
method Catalog.(unexported)
method Catalog.Get(id ID) (Options, error)
method Catalog.io.Closer embedded
type Alias = Options
type Catalog interface
type ID string
type Kind int
type Options struct
type Set[K comparable, V any] map[K]V
var ErrGone
`), "\n"), Surface(p))
}

func TestGoldensFailWithADiffUntilTheyAreUpdated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := func(p *Package) []string { return []string{"a", "b " + p.Name} }
	packages := []*Package{
		{Path: ".", Name: "appspan", Files: []*ast.File{}}, {Path: "storage/seal", Name: "seal"},
		{Path: "cmd/refserver", Name: "main"}, {Path: "deploy/internal/wave", Name: "wave"}, {Path: "examples/story", Name: "story"},
	}
	stale := func() []Problem {
		problems, err := Stale(dir, Goldens(packages, list))
		require.NoError(t, err)
		return problems
	}
	requireProblems(t, stale(), "appspan.txt: there is no golden file", "storage_seal.txt: there is no golden file")

	require.NoError(t, Update(dir, Goldens(packages, list)))
	requireProblems(t, stale())

	packages[1].Name = "wax"
	requireProblems(t, stale(), "the package has changed\n\t- b seal\n\t+ b wax\n; if that is meant, run `make lint-update`")

	packages = packages[:1]
	requireProblems(t, stale(), "storage_seal.txt: there is no such public package")
	require.NoError(t, Update(dir, Goldens(packages, list)))
	requireProblems(t, stale())
}
