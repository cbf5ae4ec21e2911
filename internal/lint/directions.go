package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Layer says what a package of the module may import of the module.
type Layer struct {
	Package string   // relative path; with "/..." at its end, it and everything below that has no entry of its own
	May     []string // relative paths, with "/..." too; the root package is always allowed
	Public  bool     // every public package as well
}

// Layers is the dependency direction of the repository: an arrow that is not here does not exist. What would point the
// wrong way is an interface declared where it is used, implemented elsewhere, wired by the program.
//
// Tests may import what they need: the compiler refuses their cycles. Packages below an internal directory belong to
// the package that holds the directory, and have its rights.
func Layers() []Layer {
	delivery := []string{
		"appmodel", "cluster", "cluster/driver",
		"storage", "storage/journal", "storage/seal",
		"deploy/render", "deploy/place", "deploy/status",
	}
	above := slices.Concat(delivery, []string{"deploy", "storage/image"})
	return []Layer{
		{Package: "."},

		{Package: "appmodel"},
		{Package: "appmodel/fidelity"},
		{Package: "appmodel/composefile", May: []string{"appmodel", "appmodel/fidelity"}},
		{Package: "appmodel/manifests", May: []string{"appmodel", "appmodel/fidelity"}},
		{Package: "appmodel/ram", May: []string{"appmodel"}},
		{Package: "appmodel/helmchart", May: []string{"appmodel"}},

		{Package: "cluster/driver"},
		{Package: "cluster", May: []string{"cluster/driver", "storage", "storage/seal"}},
		{Package: "cluster/team", May: []string{"cluster", "cluster/driver", "storage", "storage/seal"}},
		{Package: "cluster/kube", May: []string{"cluster/driver"}},
		{Package: "cluster/tunnel", May: []string{"cluster/driver"}},
		{Package: "cluster/tunnel/agent", May: []string{"cluster/tunnel", "cluster/tunnel/internal/..."}},
		{Package: "cluster/tunnel/members", May: []string{"cluster/tunnel", "storage", "storage/seal"}},
		{Package: "cluster/tunnel/cmd/...", May: []string{"cluster/tunnel", "cluster/tunnel/agent"}},
		{Package: "cluster/fake", May: []string{"cluster/driver"}},
		{Package: "cluster/fault", May: []string{"cluster/driver"}},
		{Package: "cluster/clustertest", May: []string{"cluster", "cluster/driver"}},

		{Package: "storage/driver"},
		{Package: "storage", May: []string{"storage/driver"}},
		{Package: "storage/dirstore", May: []string{"storage/driver"}},
		{Package: "storage/internal/feed", May: []string{"storage/driver"}},
		{Package: "storage/memstore", May: []string{"storage/driver", "storage/internal/feed"}},
		{Package: "storage/s3store", May: []string{"storage/driver"}},
		{Package: "storage/ossstore", May: []string{"storage/driver"}},
		{Package: "storage/boltrecords", May: []string{"storage/driver", "storage/internal/feed"}},
		{Package: "storage/kuberecords", May: []string{"storage/driver", "cluster/driver"}},
		{Package: "storage/fault", May: []string{"storage/driver"}},
		{Package: "storage/storagetest", May: []string{"storage", "storage/driver"}},
		{Package: "storage/journal", May: []string{"storage"}},
		{Package: "storage/seal"},
		{Package: "storage/image", May: []string{"appmodel", "storage"}},

		{Package: "deploy/render", May: []string{"appmodel", "cluster/driver"}},
		{Package: "deploy/place", May: []string{"appmodel", "cluster/driver"}},
		{Package: "deploy/status", May: []string{"appmodel", "cluster/driver"}},
		{Package: "deploy", May: delivery},

		{Package: "market", May: above},
		{Package: "backup", May: above},
		{Package: "backup/migrate", May: slices.Concat(above, []string{"backup"})},
		{Package: "topology", May: []string{"appmodel", "cluster", "cluster/driver", "deploy/status"}},

		{Package: "refserver/...", Public: true},
		{Package: "cmd/...", Public: true},
		{Package: "examples/...", Public: true, May: []string{"examples/..."}},

		{Package: "internal/lint"},
		{Package: "internal/fixtures"},
		{Package: "internal/leaktest"},
	}
}

// Directions reports every import that the layers do not allow, and every package that has no layer.
func Directions(packages []*Package, layers []Layer) []Problem {
	public := map[string]bool{}
	for _, p := range packages {
		public[p.Path] = p.Public()
	}
	var problems []Problem
	for _, p := range packages {
		owner := owner(p.Path)
		layer, ok := layerOf(owner, layers)
		if !ok {
			problems = append(problems, Problem{Pos: p.Path, What: "the package has no place in the dependency direction",
				Next: "move its code to a package that has one, or add it to Layers in internal/lint with a reason in the commit"})
			continue
		}
		for _, file := range p.Files {
			for _, spec := range file.Imports {
				importPath, err := strconv.Unquote(spec.Path.Value)
				if err != nil || !within(importPath, Module) {
					continue
				}
				target := relative(importPath)
				if target == "." || inside(target, owner) || layer.Public && public[target] || slices.ContainsFunc(layer.May, func(may string) bool {
					return matches(may, target)
				}) {
					continue
				}
				problems = append(problems, p.problem(spec.Pos(), fmt.Sprintf("%s may not import %s", p.Path, target),
					"declare the interface that is needed where it is used and let the program wire it, or move the code"))
			}
		}
	}
	return problems
}

// layerOf returns the entry that names the package, or else the longest one that covers it.
func layerOf(path string, layers []Layer) (Layer, bool) {
	var found Layer
	for _, l := range layers {
		if l.Package == path {
			return l, true
		}
		if matches(l.Package, path) && len(l.Package) > len(found.Package) {
			found = l
		}
	}
	return found, found.Package != ""
}

// owner returns the package whose internals hold path: a/internal/b belongs to a. The repository's own internal
// directory has no owner but itself.
func owner(path string) string {
	before, _, _ := strings.Cut(path+"/", "/internal/")
	return strings.TrimSuffix(before, "/")
}

// inside reports whether the target is one of the owner's internals.
func inside(target, owner string) bool { return within(target, owner+"/internal") }

// matches reports whether a pattern of Layers covers the path.
func matches(pattern, path string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return within(path, dir)
	}
	return pattern == path
}
