package deploy

import (
	"encoding/json"
	"reflect"
	"sort"

	"k8s.io/apimachinery/pkg/api/resource"
)

// difference is one leaf that is not as it is to be. A nil value is absent.
type difference struct {
	at         trail
	want, live any
}

// compare returns the leaves of want that live lacks or has otherwise. Leaves
// that only live has are somebody else's or defaults: no difference. Keyed
// lists are compared by key, atomic ones as a whole.
func compare(want, live any) []difference {
	var out []difference
	compareAt(nil, want, live, &out)
	return out
}

func compareAt(at trail, want, live any, out *[]difference) {
	if live == nil {
		if !empty(want) {
			leaves(at, want, func(at trail, leaf any) {
				*out = append(*out, difference{at: at, want: leaf})
			})
		}
		return
	}
	switch w := want.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			*out = append(*out, difference{at: at, want: want, live: live})
			return
		}
		for _, k := range sortedKeys(w) {
			compareAt(at.with(step{field: k}), w[k], l[k], out)
		}
	case []any:
		l, ok := live.([]any)
		if !ok {
			*out = append(*out, difference{at: at, want: want, live: live})
			return
		}
		if names := listKeys(at); names != nil {
			for _, entry := range w {
				key, ok := keyOf(entry, names)
				if !ok {
					continue
				}
				found, _ := find(l, names, key)
				compareAt(at.with(step{key: key}), entry, found, out)
			}
			return
		}
		if len(w) != len(l) {
			*out = append(*out, difference{at: at, want: want, live: live})
			return
		}
		for i := range w {
			var inner []difference
			compareAt(at.with(step{index: i}), w[i], l[i], &inner)
			if len(inner) > 0 {
				*out = append(*out, difference{at: at, want: want, live: live})
				return
			}
		}
	default:
		if !sameScalar(at, want, live) {
			*out = append(*out, difference{at: at, want: want, live: live})
		}
	}
}

// leaves calls f for each leaf below v: scalars, empty structs and lists, and
// atomic lists as a whole.
func leaves(at trail, v any, f func(trail, any)) {
	switch t := v.(type) {
	case map[string]any:
		if len(t) == 0 {
			f(at, v)
			return
		}
		for _, k := range sortedKeys(t) {
			leaves(at.with(step{field: k}), t[k], f)
		}
	case []any:
		names := listKeys(at)
		if names == nil || len(t) == 0 {
			f(at, v)
			return
		}
		for _, entry := range t {
			if key, ok := keyOf(entry, names); ok {
				leaves(at.with(step{key: key}), entry, f)
			}
		}
	default:
		f(at, v)
	}
}

// empty reports whether the server may leave v out: it is a zero value, and
// so is all below it.
func empty(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case bool:
		return !t
	case string:
		return t == ""
	case float64:
		return t == 0
	case []any:
		return len(t) == 0
	case map[string]any:
		return len(t) == 0
	}
	return false
}

// sameScalar compares after normalisation: quantities by amount.
func sameScalar(at trail, want, live any) bool {
	if want == live || empty(want) && empty(live) {
		return true
	}
	if !quantityAt(at) {
		return false
	}
	w, okW := quantity(want)
	l, okL := quantity(live)
	return okW && okL && w.Cmp(l) == 0
}

// quantityAt reports whether a path holds a quantity.
func quantityAt(at trail) bool {
	for i := len(at) - 1; i >= 0 && i >= len(at)-2; i-- {
		switch at[i].field {
		case "requests", "limits", "sizeLimit", "capacity", "hard", "averageValue", "value", "divisor", "min", "max", "default", "defaultRequest":
			return true
		}
	}
	return false
}

func quantity(v any) (resource.Quantity, bool) {
	var text string
	switch t := v.(type) {
	case string:
		text = t
	case float64:
		b, _ := json.Marshal(t)
		text = string(b)
	default:
		return resource.Quantity{}, false
	}
	q, err := resource.ParseQuantity(text)
	return q, err == nil
}

// align returns want with the entries of its keyed lists in the order in
// which live has them, new ones last, and whether that changed anything:
// server-side apply takes the applier's order, and another order of
// containers or volumes would replace pods.
func align(want, live any) (any, bool) { return alignAt(nil, want, live) }

func alignAt(at trail, want, live any) (any, bool) {
	switch w := want.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return want, false
		}
		var out map[string]any
		for k, v := range w {
			if moved, changed := alignAt(at.with(step{field: k}), v, l[k]); changed {
				if out == nil {
					out = make(map[string]any, len(w))
					for k, v := range w {
						out[k] = v
					}
				}
				out[k] = moved
			}
		}
		if out == nil {
			return want, false
		}
		return out, true
	case []any:
		l, ok := live.([]any)
		names := listKeys(at)
		if !ok || names == nil || orderMatters(at) {
			return want, false
		}
		return alignList(at, w, l, names)
	}
	return want, false
}

// orderMatters reports whether the order of a keyed list has a meaning that
// the application gives: $(NAME) in env refers to what stands before, and init
// containers run one after the other.
func orderMatters(at trail) bool {
	f := at[len(at)-1].field
	return f == "env" || f == "initContainers"
}

func alignList(at trail, want, live []any, names []string) ([]any, bool) {
	rank := func(key map[string]any) int {
		for i, entry := range live {
			if k, ok := keyOf(entry, names); ok && sameKey(k, key) {
				return i
			}
		}
		return len(live)
	}
	type ranked struct {
		entry any
		rank  int
	}
	entries := make([]ranked, len(want))
	changed := false
	for i, entry := range want {
		r := ranked{entry: entry, rank: len(live)}
		if key, ok := keyOf(entry, names); ok {
			r.rank = rank(key)
			if r.rank < len(live) {
				moved, inner := alignAt(at.with(step{key: key}), entry, live[r.rank])
				r.entry, changed = moved, changed || inner
			}
		}
		entries[i] = r
	}
	if !sort.SliceIsSorted(entries, func(i, j int) bool { return entries[i].rank < entries[j].rank }) {
		changed = true
		sort.SliceStable(entries, func(i, j int) bool { return entries[i].rank < entries[j].rank })
	}
	if !changed {
		return want, false
	}
	out := make([]any, len(entries))
	for i, e := range entries {
		out[i] = e.entry
	}
	return out, true
}

// lookup follows a path; absent is nil.
func lookup(v any, at trail) any {
	for i, s := range at {
		v = s.in(v, at[:i])
	}
	return v
}

// without returns v without the field at a path of plain fields.
func without(v map[string]any, path []string) map[string]any {
	if len(path) == 0 || v == nil {
		return v
	}
	inner, ok := v[path[0]]
	if !ok {
		return v
	}
	out := make(map[string]any, len(v))
	for k, x := range v {
		out[k] = x
	}
	if len(path) == 1 {
		delete(out, path[0])
		return out
	}
	if m, ok := inner.(map[string]any); ok {
		out[path[0]] = without(m, path[1:])
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func sameValue(a, b any) bool { return reflect.DeepEqual(a, b) }
