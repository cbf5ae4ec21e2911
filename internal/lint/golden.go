package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Goldens returns one file for every public package: its name, and the list with a line an entry.
func Goldens(packages []*Package, list func(*Package) []string) map[string]string {
	files := map[string]string{}
	for _, p := range packages {
		if p.Public() {
			name := strings.ReplaceAll(strings.Replace(p.Path, ".", "appspan", 1), "/", "_") + ".txt"
			files[name] = strings.Join(append(list(p), ""), "\n")
		}
	}
	return files
}

// Modules returns the modules that a package links.
func Modules(p *Package) []string { return slices.Clone(p.Modules) }

// Stale reports the files of a directory that are not the goldens, as a diff.
func Stale(dir string, goldens map[string]string) ([]Problem, error) {
	const next = "if that is meant, run `make lint-update` and say why in the commit"
	found, err := read(dir)
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for name, text := range goldens {
		was, ok := found[name]
		delete(found, name)
		if !ok {
			problems = append(problems, Problem{Pos: filepath.Join(dir, name), What: "there is no golden file for the package yet", Next: next})
		} else if was != text {
			problems = append(problems, Problem{Pos: filepath.Join(dir, name), What: "the package has changed\n" + diff(was, text), Next: next})
		}
	}
	for name := range found {
		problems = append(problems, Problem{Pos: filepath.Join(dir, name), What: "there is no such public package", Next: next})
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Pos, b.Pos) })
	return problems, nil
}

// Update makes the files of a directory those of the goldens.
func Update(dir string, goldens map[string]string) error {
	found, err := read(dir)
	if err != nil {
		return err
	}
	for name, text := range goldens {
		delete(found, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for name := range found {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// read returns the golden files of a directory.
func read(dir string) (map[string]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files[filepath.Base(path)] = string(data)
	}
	return files, nil
}

// diff returns the lines that a list has lost and won.
func diff(was, is string) string {
	old, now := strings.Split(was, "\n"), strings.Split(is, "\n")
	var b strings.Builder
	for _, line := range old {
		if !slices.Contains(now, line) {
			fmt.Fprintf(&b, "\t- %s\n", line)
		}
	}
	for _, line := range now {
		if !slices.Contains(old, line) {
			fmt.Fprintf(&b, "\t+ %s\n", line)
		}
	}
	return b.String()
}
