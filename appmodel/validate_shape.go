package appmodel

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// shape checks what the struct tags say: required fields, one-of groups,
// enums and keys, for val and all that it holds; f is its form, nil outside of
// the model.
func (v *checker) shape(f *form, val reflect.Value, at Path) {
	switch val.Kind() {
	case reflect.Pointer:
		if !val.IsNil() {
			v.shape(f, val.Elem(), at)
		}
		return
	case reflect.Map:
		v.utf8Map(val, at)
		return
	case reflect.String:
		v.plainText(val.String(), at)
		return
	case reflect.Slice:
		v.list_(f, val, at)
		return
	}
	s := shapeOf(val.Type())
	if s == nil {
		if secret, ok := val.Interface().(Sensitive); ok {
			v.plainText(secret.Reveal(), at)
		}
		return
	}
	if s.oneofs {
		v.oneofs(s, val, at)
	}
	for i := range s.fields {
		sf := &s.fields[i]
		fv := val.FieldByIndex(sf.index)
		if fv.IsZero() {
			if sf.required && !mayBeZero(val.Type(), sf.name) {
				v.errorf(at.field(sf.name), missingNext(sf), "is missing")
			}
			continue
		}
		p := at.field(sf.name)
		switch {
		case sf.required && fv.Kind() == reflect.Slice && fv.Len() == 0:
			v.errorf(p, missingNext(sf), "is empty")
		case sf.typ == reflect.TypeFor[JSON]():
			v.rawJSON(fv.Bytes(), p)
		case len(sf.enum) > 0:
			v.enum(fv.String(), sf.enum, p)
		default:
			v.shape(f.fieldForm(sf.name), fv, p)
		}
	}
}

// mayBeZero reports whether a required field may be zero all the same.
func mayBeZero(t reflect.Type, field string) bool {
	return t == reflect.TypeFor[Header]() && field == "value" ||
		t == reflect.TypeFor[Schedule]() && field == "replicas"
}

func missingNext(f *shapeField) string {
	switch {
	case len(f.enum) > 0:
		return "write one of " + strings.Join(f.enum, ", ")
	case f.name == "apiVersion":
		return "write apiVersion: " + APIVersion
	case f.name == "hosts":
		return "give a DNS name or addresses, for example [db.example.com]"
	case f.typ.Kind() == reflect.Slice:
		return "give at least one"
	}
	return "give one"
}

func (v *checker) enum(value string, enum []string, at Path) {
	if slices.Contains(enum, value) {
		return
	}
	next := "write one of " + strings.Join(enum, ", ")
	if near := nearest(value, enum); near != "" {
		next = fmt.Sprintf("did you mean %q? It is one of %s", near, strings.Join(enum, ", "))
	}
	v.errorf(at, next, "%q is unknown", cut(value))
}

// needsOne are the types of which a member of the one-of group must be set.
func needsOne(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[EnvFrom](), reflect.TypeFor[ValueFrom](), reflect.TypeFor[Need](), reflect.TypeFor[Probe](),
		reflect.TypeFor[Handler](), reflect.TypeFor[Metric](), reflect.TypeFor[ResourceMetric](), reflect.TypeFor[Route]():
		return true
	}
	return false
}

func (v *checker) oneofs(s *shape, val reflect.Value, at Path) {
	groups := map[string][]string{}
	var members []string
	for _, f := range s.fields {
		if f.oneof == "" {
			continue
		}
		members = append(members, f.name)
		if !val.FieldByIndex(f.index).IsZero() {
			groups[f.oneof] = append(groups[f.oneof], f.name)
		}
	}
	for _, set := range groups {
		if len(set) > 1 {
			v.errorf(at.field(set[1]), "remove one of them", "stands beside %q, and only one of the two may be set", set[0])
		}
	}
	if len(groups) == 0 && needsOne(val.Type()) {
		v.errorf(at, "give one of "+strings.Join(members, ", "), "says nothing")
	}
}

// list_ checks the entries of a list and their keys.
func (v *checker) list_(f *form, val reflect.Value, at Path) {
	seen := map[string]bool{}
	for i := range val.Len() {
		e := val.Index(i)
		key := ""
		switch {
		case f == nil:
		case f.kind == formList:
			key = f.key(e)
		case f.kind == formSet && e.Kind() == reflect.String:
			key = e.String()
		}
		p := at.entry(cmp.Or(key, ordinal(i)))
		if seen[key] {
			p = at.entry(ordinal(i))
			v.standsTwice(f, key, p, at)
		} else if key != "" {
			seen[key] = true
		}
		v.shape(f.entryForm(), e, p)
	}
}

// standsTwice faults the entry at a path, whose key an entry before it has.
func (v *checker) standsTwice(list *form, key string, at, listAt Path) {
	v.twice[at.String()] = true
	if list.kind == formSet {
		v.errorf(at, "remove one of the two", "%q stands twice", cut(key))
		return
	}
	v.errorf(at, "remove one of the two, or rename it", "%q stands twice: entries of %s are told apart by %s",
		cut(key), fieldName(listAt), keyNames(list))
}

// fieldForm is the form of a field, nil if f has no form for it.
func (f *form) fieldForm(name string) *form {
	if f == nil || f.kind != formStruct {
		return nil
	}
	return f.byName[name].form
}

// entryForm is the form of an entry, nil if f has no form for it.
func (f *form) entryForm() *form {
	if f == nil || f.kind != formList && f.kind != formSet {
		return nil
	}
	return f.elem
}

func fieldName(at Path) string { return at.segs[len(at.segs)-1].name }

func keyNames(list *form) string {
	names := make([]string, len(list.keys))
	for i, k := range list.keys {
		names[i] = k.name
	}
	if names[0] == "manifest" {
		return "group, kind and name"
	}
	return strings.Join(names, " and ")
}

// plainText refuses what no YAML, JSON or environment can hold.
func (v *checker) plainText(s string, at Path) {
	if !utf8.ValidString(s) {
		v.errorf(at, "binary data goes under base64", "is not UTF-8")
	} else if strings.IndexByte(s, 0) >= 0 {
		v.errorf(at, "binary data goes under base64", "holds a NUL character")
	}
}

func (v *checker) utf8Map(val reflect.Value, at Path) {
	for it := val.MapRange(); it.Next(); {
		p := at.entry(it.Key().String())
		v.plainText(it.Key().String(), p)
		if raw, ok := it.Value().Interface().(JSON); ok {
			v.rawJSON(raw, p)
		} else if it.Value().Kind() == reflect.String {
			v.plainText(it.Value().String(), p)
		}
	}
}

func (v *checker) rawJSON(raw JSON, at Path) {
	switch {
	case len(raw) == 0:
	case !json.Valid(raw):
		v.errorf(at, "write any JSON value", "is not JSON")
	case string(raw) == "null":
		v.errorf(at, "give it a value, or leave it out", "is empty (null)")
	}
}
