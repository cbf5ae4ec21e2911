package render

import (
	"fmt"
	"strings"

	"github.com/appspan-dev/appspan"
)

func text(v any) string { return fmt.Sprint(v) }

// errInvalid is what is wrong with a patch.
var errInvalid = appspan.ErrInvalid

// removePath removes what a path of a rendered object leads to:
// spec.template.spec.containers[web].resources.limits, entries of lists by
// their name, or by mountPath, ip or port number.
func removePath(tree map[string]any, path string) error {
	steps, err := splitPath(path)
	if err != nil {
		return err
	}
	if !removeAt(tree, steps) {
		return invalid("remove: there is no %s in the rendered object; look at the plan", path)
	}
	return nil
}

// splitPath cuts a path into fields and keys; a key keeps its bracket.
func splitPath(path string) ([]string, error) {
	var steps []string
	for rest := path; rest != ""; {
		if rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 2 {
				return nil, invalid("remove: %q has a bracket that is empty or does not end", path)
			}
			key := rest[:end]
			if quoted := strings.Trim(key[1:], `"`); quoted != "" {
				key = "[" + quoted
			}
			steps, rest = append(steps, key), strings.TrimPrefix(rest[end+1:], ".")
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, invalid("remove: %q has an empty field", path)
		}
		steps, rest = append(steps, rest[:end]), strings.TrimPrefix(rest[end:], ".")
	}
	if len(steps) == 0 {
		return nil, invalid("remove: a path is empty")
	}
	return steps, nil
}

// removeAt removes and reports whether there was anything.
func removeAt(v any, steps []string) bool {
	key, isKey := strings.CutPrefix(steps[0], "[")
	switch t := v.(type) {
	case map[string]any:
		inner, ok := t[key]
		if !ok {
			return false
		}
		if len(steps) == 1 {
			delete(t, key)
			return true
		}
		list, isList := inner.([]any)
		next, nextKey := strings.CutPrefix(steps[1], "[")
		if isList && nextKey && len(steps) == 2 {
			for i, entry := range list {
				if named(entry, next) {
					t[key] = append(list[:i:i], list[i+1:]...)
					return true
				}
			}
			return false
		}
		return removeAt(inner, steps[1:])
	case []any:
		for _, entry := range t {
			if isKey && named(entry, key) {
				return len(steps) > 1 && removeAt(entry, steps[1:])
			}
		}
	}
	return false
}

// named reports whether a list's entry has a key.
func named(entry any, key string) bool {
	m, ok := entry.(map[string]any)
	if !ok {
		return entry == key
	}
	for _, field := range []string{"name", "mountPath", "ip", "topologyKey", "containerPort", "port", "host"} {
		if v, ok := m[field]; ok {
			return text(v) == key
		}
	}
	return false
}
