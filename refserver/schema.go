package refserver

import (
	"encoding"
	"encoding/json"
	"path"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
)

// schemas are the JSON Schemas (2020-12) of Go types as package encoding/json
// writes and reads them: embedded structs are part of what they are in, what may be
// left out is not required, and a pointer may be null. An array or a map is never: an
// answer with a null one is a fault of the server. Libraries for that do not know the
// rules of embedding.
type schemas struct {
	all   map[string]any          // by name
	names map[string]reflect.Type // that are taken
	given map[reflect.Type]string
	asked map[reflect.Type]bool // part of requests: nothing of them is required
}

func newSchemas() *schemas {
	return &schemas{all: map[string]any{}, names: map[string]reflect.Type{}, given: map[reflect.Type]string{}, asked: map[reflect.Type]bool{}}
}

// ask notes that a type is part of a request.
func (d *schemas) ask(t reflect.Type) {
	if d.asked[t] {
		return
	}
	d.asked[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		d.ask(t.Elem())
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			d.ask(f.typ)
		}
	}
}

// own are the types that are not written as Go has them.
func own(t reflect.Type) (map[string]any, bool) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "integer", "description": "nanoseconds"}, true
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}, true
	case reflect.TypeFor[json.RawMessage](), reflect.TypeFor[appmodel.JSON]():
		return anything(), true
	case reflect.TypeFor[appmodel.Application](), reflect.TypeFor[appmodel.Override]():
		return map[string]any{"type": "object", "additionalProperties": true, "description": "the document that package appmodel has a JSON Schema of"}, true
	case reflect.TypeFor[deploy.LogCursor]():
		return map[string]any{"additionalProperties": true, "description": "what was read of a log; its content is nobody's business"}, true
	}
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return map[string]any{"type": "string", "contentEncoding": "base64"}, true
	case t.Implements(reflect.TypeFor[json.Marshaler]()) && t.Kind() != reflect.Pointer:
		return anything(), true
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) && t.Kind() != reflect.Pointer:
		return map[string]any{"type": "string"}, true
	}
	return nil, false
}

// anything is the schema of what is not described here.
func anything() map[string]any { return map[string]any{"additionalProperties": true} }

// of is the schema of a type, by reference where it has a name.
func (d *schemas) of(t reflect.Type) map[string]any {
	if schema, ok := own(t); ok {
		return schema
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.of(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": d.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.Struct:
		if t.Name() == "" {
			return d.object(t)
		}
		name, known := d.given[t]
		if !known {
			name = d.name(t)
			d.given[t] = name
			d.all[name] = nil // it may refer to itself
			d.all[name] = d.object(t)
		}
		return map[string]any{"$ref": "#/components/schemas/" + name}
	case reflect.Interface:
		return anything()
	}
	return map[string]any{"type": "integer"}
}

func (d *schemas) object(t reflect.Type) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for _, f := range fieldsOf(t) {
		schema := d.of(f.typ)
		if f.null || d.asked[t] && !f.optional && (f.typ.Kind() == reflect.Slice || f.typ.Kind() == reflect.Map) { // a client's null is none
			schema = map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
		}
		properties[f.name] = schema
		if !f.optional && !d.asked[t] {
			required = append(required, f.name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// field is one of a JSON object.
type field struct {
	name           string
	typ            reflect.Type
	optional, null bool
	depth          int
}

// fieldsOf are the fields of a struct as encoding/json has them: those of embedded
// structs too, the outer one before the inner one of its name.
func fieldsOf(t reflect.Type) []field {
	var out []field
	var walk func(t reflect.Type, depth int)
	walk = func(t reflect.Type, depth int) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if f.Anonymous && name == "" && inner.Kind() == reflect.Struct {
				walk(inner, depth+1)
				continue
			}
			if name == "-" && options == "" || !f.IsExported() {
				continue
			}
			if name == "" {
				name = f.Name
			}
			optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
			kind := f.Type.Kind()
			null := !optional && kind == reflect.Pointer
			at := -1
			for j := range out {
				if out[j].name == name {
					at = j
				}
			}
			one := field{name: name, typ: f.Type, optional: optional, null: null, depth: depth}
			switch {
			case at < 0:
				out = append(out, one)
			case depth < out[at].depth:
				out[at] = one
			}
		}
	}
	walk(t, 0)
	return out
}

var generic = regexp.MustCompile(`^(\w+)\[.*?(\w+)\]$`)

// name is the name of a type's schema: that of the type, with its package's before
// it where another one has the name.
func (d *schemas) name(t reflect.Type) string {
	name := t.Name()
	if parts := generic.FindStringSubmatch(name); parts != nil {
		name = parts[1] + "Of" + title(parts[2])
	}
	if other, taken := d.names[name]; taken && other != t {
		name = title(path.Base(t.PkgPath())) + name
	}
	for d.names[name] != nil && d.names[name] != t {
		name += "2"
	}
	d.names[name] = t
	return name
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
