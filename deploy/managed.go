package deploy

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"time"
)

// managers is who owns which fields of one live object, read from
// metadata.managedFields (KEP-555).
type managers []managerEntry

type managerEntry struct {
	Manager     string         `json:"manager"`
	Operation   string         `json:"operation"`
	Subresource string         `json:"subresource"`
	Time        time.Time      `json:"time"`
	Fields      map[string]any `json:"fieldsV1"`
}

// readManagers reads the managers of an object's JSON.
func readManagers(data json.RawMessage) managers {
	var o struct {
		Metadata struct {
			ManagedFields managers `json:"managedFields"`
		} `json:"metadata"`
	}
	if json.Unmarshal(data, &o) != nil {
		return nil
	}
	return o.Metadata.ManagedFields
}

// applied is the entry of the server-side applies of a manager.
func (m managers) applied(name string) (managerEntry, bool) {
	for _, e := range m {
		if e.Manager == name && e.Operation == "Apply" && e.Subresource == "" {
			return e, true
		}
	}
	return managerEntry{}, false
}

// owners returns who owns the leaf at a path, other than the manager self: the
// one that wrote last comes first.
func (m managers) owners(at trail, self string) []string {
	var names []string
	for _, e := range m.newest() {
		if e.Manager != self && owns(e.Fields, at) {
			names = append(names, e.Manager)
		}
	}
	return names
}

// newest are the entries, the newest first.
func (m managers) newest() managers {
	return slices.SortedStableFunc(slices.Values(m), func(a, b managerEntry) int { return b.Time.Compare(a.Time) })
}

// remover is the manager other than self that last changed what stands around
// the leaf at a path: the best guess at who removed the leaf. managedFields do
// not say, and forget whoever did nothing else, so it may be nobody. Whoever
// wrote a subresource has removed nothing but what that is about: of scale,
// the number of replicas.
func (m managers) remover(at trail, live any, self string) string {
	around := len(at) - 1
	for around > 1 && lookup(live, at[:around]) == nil {
		around--
	}
	if around < 1 || around == 1 && at[0].field == "metadata" {
		return ""
	}
	for _, e := range m.newest() {
		could := e.Subresource == "" || e.Subresource == "scale" && at.String() == ".spec.replicas"
		if e.Manager != self && could && owns(e.Fields, at[:around]) {
			return e.Manager
		}
	}
	return ""
}

// owns reports whether a FieldsV1 tree holds the leaf at a path, or an atomic
// value that contains it.
func owns(fields map[string]any, at trail) bool {
	for _, s := range at {
		if len(fields) == 0 {
			return true // an atomic value above the leaf
		}
		next, ok := child(fields, s)
		if !ok {
			return false
		}
		fields = next
	}
	return true
}

// child descends by one step: "f:name" is a field, `k:{…}` an entry by key.
func child(fields map[string]any, s step) (map[string]any, bool) {
	if s.field != "" {
		v, ok := fields["f:"+s.field]
		m, _ := v.(map[string]any)
		return m, ok
	}
	if s.key == nil {
		return nil, true // inside an atomic list
	}
	for name, v := range fields {
		if o, ok := owned(name); ok && o.key != nil && sameKey(o.key, s.key) {
			m, _ := v.(map[string]any)
			return m, true
		}
	}
	return nil, false
}

// dropped returns the leaves that a FieldsV1 tree owns, that live has and want
// has no more: the next apply removes them.
func dropped(fields map[string]any, want, live any) []difference {
	var out []difference
	for at, value := range beyond(nil, fields, want, live) {
		out = append(out, difference{at: at, live: value})
	}
	return out
}

// beyond yields the highest paths below at that fields owns, live has and want
// lacks, with what live has there.
func beyond(at trail, fields map[string]any, want, live any) iter.Seq2[trail, any] {
	return func(yield func(trail, any) bool) {
		if empty(live) {
			return
		}
		if want == nil {
			yield(at, live)
			return
		}
		for name, v := range fields {
			s, ok := owned(name)
			if !ok {
				continue
			}
			inner, _ := v.(map[string]any)
			for at, value := range beyond(at.with(s), inner, s.in(want, at), s.in(live, at)) {
				if !yield(at, value) {
					return
				}
			}
		}
	}
}

// owned is the step that a key of a FieldsV1 tree stands for, if it is one.
func owned(name string) (step, bool) {
	if field, ok := strings.CutPrefix(name, "f:"); ok {
		return step{field: field}, true
	}
	text, ok := strings.CutPrefix(name, "k:")
	var s step
	return s, ok && json.Unmarshal([]byte(text), &s.key) == nil && s.key != nil
}
