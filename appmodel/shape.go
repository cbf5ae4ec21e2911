package appmodel

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// shape is what the struct tags of one type of the model say.
type shape struct {
	fields []shapeField // embedded structs are inlined
	byName map[string]*shapeField
	oneofs bool // some fields are members of a one-of
}

// shapeField is one field of a document.
type shapeField struct {
	name     string
	index    []int
	typ      reflect.Type
	required bool   // must be there, and not be zero
	oneof    string // the group of which one member may be set
	enum     []string
	def      string   // the default, as text
	key      []string // of the entries of a keyed list
	set      bool     // a list whose entries are their keys
	ordered  bool     // a keyed list whose order has a meaning
}

// shapes are the shapes of all types of the model, immutable.
var shapes = sync.OnceValue(func() map[reflect.Type]*shape {
	all := map[reflect.Type]*shape{}
	for _, t := range []reflect.Type{
		reflect.TypeFor[Application](), reflect.TypeFor[Override](), reflect.TypeFor[Environment](),
	} {
		addShape(all, t)
	}
	return all
})

// shapeOf is the shape of a struct, nil of what has no fields of its own.
func shapeOf(t reflect.Type) *shape { return shapes()[t] }

func addShape(all map[reflect.Type]*shape, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	opaque := t == reflect.TypeFor[Sensitive]() || t == reflect.TypeFor[OverrideSet]()
	if t.Kind() != reflect.Struct || opaque || all[t] != nil {
		return
	}
	s := &shape{byName: map[string]*shapeField{}}
	all[t] = s
	s.collect(t, nil)
	for i := range s.fields {
		s.byName[s.fields[i].name] = &s.fields[i]
		addShape(all, s.fields[i].typ)
	}
}

func (s *shape) collect(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(prefix), i)
		if f.Anonymous {
			s.collect(f.Type, index)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		field := shapeField{
			name: name, index: index, typ: f.Type, required: options == "",
			oneof: f.Tag.Get("oneof"), def: f.Tag.Get("default"),
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			field.enum = strings.Split(enum, ",")
		}
		for _, rule := range strings.Split(f.Tag.Get("merge"), ",") {
			if keys, ok := strings.CutPrefix(rule, "key="); ok {
				field.key = strings.Split(keys, "+")
			}
			field.set = field.set || rule == "set"
			field.ordered = field.ordered || rule == "ordered"
		}
		s.fields = append(s.fields, field)
		s.oneofs = s.oneofs || field.oneof != ""
	}
}

// names are the fields' names in order.
func (s *shape) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}
