package team

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

const maxFields = 20

// differences are the paths at which two objects differ, but for what the
// server keeps for itself.
func differences(before, after json.RawMessage) ([]string, error) {
	var a, b map[string]any
	if err := json.Unmarshal(before, &a); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(after, &b); err != nil {
		return nil, err
	}
	for _, v := range []map[string]any{a, b} {
		if meta, ok := v["metadata"].(map[string]any); ok {
			for _, key := range []string{"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"} {
				delete(meta, key)
			}
		}
		delete(v, "status")
	}
	var out []string
	differ("", a, b, &out)
	if len(out) > maxFields {
		out = append(out[:maxFields], "…")
	}
	return out, nil
}

func differ(path string, a, b any, out *[]string) {
	if reflect.DeepEqual(a, b) || len(*out) > maxFields {
		return
	}
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			keys := slices.Concat(slices.Collect(maps.Keys(x)), slices.Collect(maps.Keys(y)))
			slices.Sort(keys)
			for _, key := range slices.Compact(keys) {
				at := key
				if path != "" {
					at = path + "." + key
				}
				differ(at, x[key], y[key], out)
			}
			return
		}
	case []any:
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				differ(fmt.Sprintf("%s[%d]", path, i), x[i], y[i], out)
			}
			return
		}
	}
	*out = append(*out, path)
}
