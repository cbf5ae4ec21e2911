// Package lint holds the architecture of the repository as tests: which package may import which, what a library may
// not do, what is documented, which modules a public package links, and what it exports.
//
// It is for everybody who changes the repository: `make lint` (and `make test`) run it, and a finding says where it is,
// what is wrong and what to do next. The rules are pure functions over parsed sources, so that each one is shown to have
// teeth on a small bad sample beside the run over the real repository:
//
//	packages, err := Load(root)
//	problems := Directions(packages, Layers)
//
// The golden files (api/*.txt and testdata/modules/*.txt) are rewritten by `make lint-update`; their diff is what a
// reviewer looks at when the exported surface or the linked modules of a package change.
//
// # Errors
//
// A rule returns problems, never an error. Load fails when the go command does, or when a source cannot be parsed.
//
// # Concurrency
//
// Packages are not changed after Load; every rule may run concurrently with every other.
package lint
