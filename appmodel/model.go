package appmodel

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// formKind says how values of a form are compared and merged.
type formKind uint8

const (
	formLeaf   formKind = iota // as a whole: scalars, atomic structs and lists
	formStruct                 // field by field
	formList                   // entry by entry, by key
	formSet                    // a list of values that are their own keys
	formMap                    // key by key
	formJSON                   // foreign JSON: objects key by key, the rest as a whole
)

// form describes a type of the model, as its struct tags say.
type form struct {
	kind   formKind
	typ    reflect.Type // without pointers
	fields []*formField // of a struct, embedded ones inlined
	byName map[string]*formField
	elem   *form        // of lists, sets and maps
	keys   []*formField // of a list's elements
	order  bool         // the order of a list has a meaning
	// unit: a struct whose presence says something, because a field of it is
	// required or its fields are members of a one-of. Others are but a name
	// for their fields: empty is absent.
	unit bool
	// contextual: the default of a leaf follows from other entries, so that
	// to write it out is to say something.
	contextual bool
}

// formField is a field of a struct form.
type formField struct {
	name     string
	pos      int
	index    []int
	group    int    // of one-of members, counted from 1; 0 is none
	fallback string // the default, as in the tag
	isKey    bool
	form     *form
}

// modelForm describes Application.
var modelForm = sync.OnceValue(func() *form {
	b := &formBuilder{seen: map[reflect.Type]*form{}}
	return b.structure(reflect.TypeFor[Application]())
})

type formBuilder struct{ seen map[reflect.Type]*form }

func (b *formBuilder) structure(t reflect.Type) *form {
	if s := b.seen[t]; s != nil {
		return s
	}
	s := &form{kind: formStruct, typ: t, byName: map[string]*formField{}}
	b.seen[t] = s
	groups := map[string]int{}
	for _, of := range shapeOf(t).fields {
		f := &formField{name: of.name, pos: len(s.fields), index: of.index, fallback: of.def}
		if of.oneof != "" {
			if groups[of.oneof] == 0 {
				groups[of.oneof] = len(groups) + 1
			}
			f.group = groups[of.oneof]
		}
		s.unit = s.unit || of.required || of.oneof != ""
		f.form = b.of(of.typ, t.FieldByIndex(of.index).Tag.Get("merge"))
		if f.group != 0 && f.form.kind == formStruct && !f.form.unit {
			unit := *f.form // being the chosen member says something
			unit.unit = true
			f.form = &unit
		}
		f.form.contextual = t == reflect.TypeFor[Volume]() && (f.name == "accessMode" || f.name == "scope")
		s.fields = append(s.fields, f)
		s.byName[f.name] = f
	}
	return s
}

// of is the form of a field's type with its merge tag.
func (b *formBuilder) of(t reflect.Type, tag string) *form {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	leaf := &form{kind: formLeaf, typ: t}
	if tag == "atomic" {
		return leaf
	}
	switch {
	case t == reflect.TypeFor[JSON]():
		return &form{kind: formJSON, typ: t}
	case t == reflect.TypeFor[Extensions]():
		return &form{kind: formMap, typ: t, elem: &form{kind: formLeaf, typ: t.Elem()}}
	case t.Kind() == reflect.Struct && !isText(t):
		return b.structure(t)
	case t.Kind() == reflect.Map:
		return &form{kind: formMap, typ: t, elem: b.of(t.Elem(), "")}
	case t.Kind() == reflect.Slice && tag == "set":
		return &form{kind: formSet, typ: t, elem: &form{kind: formLeaf, typ: t.Elem()}}
	case t.Kind() == reflect.Slice && strings.HasPrefix(tag, "key="):
		key, flag, _ := strings.Cut(strings.TrimPrefix(tag, "key="), ",")
		s := &form{kind: formList, typ: t, order: flag == "ordered"}
		elem := *b.structure(t.Elem()) // its keys are this list's
		elem.unit = true
		elem.fields = slices.Clone(elem.fields)
		elem.byName = make(map[string]*formField, len(elem.fields))
		for i, f := range elem.fields {
			c := *f
			elem.fields[i], elem.byName[f.name] = &c, &c
		}
		for name := range strings.SplitSeq(key, "+") {
			f := elem.byName[name]
			f.isKey = true
			s.keys = append(s.keys, f)
		}
		s.elem = &elem
		return s
	}
	return leaf
}

// isText reports whether a struct type is written as text (Sensitive).
func isText(t reflect.Type) bool {
	return t == reflect.TypeFor[Sensitive]() ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// secret reports whether a leaf holds secret values.
func (s *form) secret() bool { return s.typ == reflect.TypeFor[Sensitive]() }

// key is the key of a list's element: its key fields joined by slashes, those
// at the end that have their default left out. Defaults that are computed
// (the name of a need, metric or rule) are filled in.
func (s *form) key(elem reflect.Value) string {
	if len(s.keys) == 1 {
		return cmp.Or(keyPart(elem.FieldByIndex(s.keys[0].index)), s.computedKey(elem))
	}
	parts := make([]string, len(s.keys))
	for i, f := range s.keys {
		parts[i] = keyPart(elem.FieldByIndex(f.index))
	}
	return s.join(parts)
}

// computedKey is the name that an element without one has by default.
func (s *form) computedKey(elem reflect.Value) string {
	switch s.elem.typ {
	case reflect.TypeFor[Need]():
		return elem.Interface().(Need).Component
	case reflect.TypeFor[Metric]():
		return metricType(elem.Interface().(Metric))
	case reflect.TypeFor[HTTPRule]():
		return cmp.Or(elem.Interface().(HTTPRule).Path, "/")
	}
	return ""
}

// join makes a key of its parts.
func (s *form) join(parts []string) string {
	for n := len(parts) - 1; n > 0 && (parts[n] == "" || parts[n] == s.keys[n].fallback); n-- {
		parts = parts[:n]
	}
	return strings.Join(parts, "/")
}

// normalKey is the key as join spells it: 53 for 53/TCP.
func (s *form) normalKey(key string) string {
	if s.kind != formList || len(s.keys) == 1 {
		return key
	}
	return s.join(strings.SplitN(key, "/", len(s.keys)))
}

func keyPart(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return v.String()
	}
	switch k := v.Interface().(type) {
	case JSON:
		return manifestKey(k)
	case fmt.Stringer:
		return k.String()
	}
	return fmt.Sprint(v.Interface())
}

// manifestKey identifies a manifest: group/kind/name, kind/name in the core
// group.
func manifestKey(manifest JSON) string {
	var m struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if json.Unmarshal(manifest, &m) != nil {
		return ""
	}
	key := m.Kind + "/" + m.Metadata.Name
	if group, _, ok := strings.Cut(m.APIVersion, "/"); ok {
		key = group + "/" + key
	}
	return key
}

// metricType is the member that a metric uses, which is its default name.
func metricType(m Metric) string {
	switch {
	case m.CPU != nil:
		return "cpu"
	case m.Memory != nil:
		return "memory"
	case m.Concurrency != nil:
		return "concurrency"
	case m.RequestRate != nil:
		return "requestRate"
	case m.Custom != nil:
		return "custom"
	case m.Trigger != nil:
		return "trigger"
	}
	return ""
}
