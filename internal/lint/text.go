package lint

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// File is one file of the repository.
type File struct {
	Name string // relative to the module
	Data []byte
}

// Tracked reads the files that git tracks below root.
func Tracked(root string) ([]File, error) {
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	var files []File
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) { // deleted, not committed yet
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, File{name, data})
	}
	return files, nil
}

// Long reports sources that are too long to read, tests included; what is generated or test data does not count.
func Long(files []File) []Problem {
	const limit = 600
	var problems []Problem
	for _, f := range files {
		if !strings.HasSuffix(f.Name, ".go") || slices.Contains(strings.Split(f.Name, "/"), "testdata") {
			continue
		}
		if lines := bytes.Count(f.Data, []byte("\n")); lines > limit && !generated(f) {
			problems = append(problems, Problem{Pos: fmt.Sprintf("%s:%d", f.Name, limit), What: fmt.Sprintf("the file has %d lines", lines),
				Next: "split it by concept: most files have less than 300"})
		}
	}
	return problems
}

// generated reports whether a source says that a program wrote it.
func generated(f File) bool {
	file, err := parser.ParseFile(token.NewFileSet(), f.Name, f.Data, parser.ParseComments|parser.PackageClauseOnly)
	return err == nil && ast.IsGenerated(file)
}

// foreign matches what only means something on the machine where the repository was written. The expression is such
// that it does not match its own source.
var foreign = regexp.MustCompile(`(?:^|[^\w.*-])/(?:work|root|farm)/|\.\.[/]shared\b|[.]library\b|before[-]stop`)

// Foreign reports text that speaks of anything but the repository. A file that resolves the optional directory with
// inputs for tests may name it, and is given as allowed.
func Foreign(files []File, allowed ...string) []Problem {
	var problems []Problem
	for _, f := range files {
		if bytes.IndexByte(f.Data, 0) >= 0 || slices.Contains(allowed, f.Name) || !foreign.Match(f.Data) {
			continue
		}
		number := 0
		for line := range bytes.Lines(f.Data) {
			number++
			if found := foreign.Find(line); found != nil {
				problems = append(problems, Problem{Pos: fmt.Sprintf("%s:%d", f.Name, number),
					What: fmt.Sprintf("%q belongs to one machine", strings.TrimSpace(string(found))),
					Next: "say it without that path: the repository speaks of itself alone"})
			}
		}
	}
	return problems
}
