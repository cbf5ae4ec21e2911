package appmodel

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

type schemaObject = map[string]any

// comments are the first sentences of the comments of types ("Port") and
// fields ("Port.Name").
func comments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				typ := spec.(*ast.TypeSpec)
				found[typ.Name.Name] = sentence(gen.Doc.Text() + typ.Doc.Text())
				fields, ok := typ.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, f := range fields.Fields.List {
					for _, n := range f.Names {
						found[typ.Name.Name+"."+n.Name] = sentence(f.Doc.Text() + f.Comment.Text())
					}
				}
			}
		}
	}
	return found
}

func sentence(text string) string {
	text = strings.NewReplacer("\n", " ", "[", "", "]", "").Replace(strings.TrimSpace(text))
	if i := strings.Index(text, ". "); i >= 0 {
		text = text[:i+1]
	}
	return text
}

// schemaWriter writes schemas from the types.
type schemaWriter struct {
	comments map[string]string
	defs     schemaObject
}

func (g *schemaWriter) document(t reflect.Type, file string) schemaObject {
	g.defs = schemaObject{}
	doc := g.structure(t, false, nil)
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["$id"] = "https://appspan.dev/schemas/v1alpha1/" + file
	doc["$defs"] = g.defs
	doc["properties"].(schemaObject)["apiVersion"] = schemaObject{"const": APIVersion}
	doc["properties"].(schemaObject)["kind"] = schemaObject{"const": t.Name()}
	return doc
}

// ref is a reference to the definition of a struct; partial ones demand only
// the keys of entries.
func (g *schemaWriter) ref(t reflect.Type, partial bool, keys []string) schemaObject {
	name := t.Name()
	if partial {
		name = "Partial" + name
	}
	if _, done := g.defs[name]; !done {
		g.defs[name] = nil
		g.defs[name] = g.structure(t, partial, keys)
	}
	return schemaObject{"$ref": "#/$defs/" + name}
}

func (g *schemaWriter) structure(t reflect.Type, partial bool, keys []string) schemaObject {
	properties, required, rules := schemaObject{}, []string{}, []any{}
	s := shapeOf(t)
	groups, order := map[string][]string{}, []string{}
	for _, f := range s.fields {
		p := g.field(f, partial)
		owner := t
		if len(f.index) > 1 {
			owner = t.FieldByIndex(f.index[:1]).Type
		}
		if text := g.comments[owner.Name()+"."+t.FieldByIndex(f.index).Name]; text != "" {
			p["description"] = text
		}
		properties[f.name] = p
		demanded := f.required && !mayBeZero(t, f.name)
		if partial {
			demanded = false
			for _, k := range keys {
				demanded = demanded || k == f.name && f.required
			}
		}
		if demanded {
			required = append(required, f.name)
			if !partial && f.typ.Kind() == reflect.Slice && f.typ != reflect.TypeFor[JSON]() {
				p["minItems"] = 1
			}
		}
		if f.oneof != "" {
			if groups[f.oneof] == nil {
				order = append(order, f.oneof)
			}
			groups[f.oneof] = append(groups[f.oneof], f.name)
		}
	}
	var members []any
	for _, group := range order {
		for i, a := range groups[group] {
			members = append(members, schemaObject{"required": []string{a}})
			for _, b := range groups[group][:i] {
				rules = append(rules, schemaObject{"not": schemaObject{"required": []string{b, a}}})
			}
		}
	}
	if needsOne(t) && !partial {
		rules = append(rules, schemaObject{"anyOf": members})
	}
	out := schemaObject{"type": "object", "properties": properties, "additionalProperties": false}
	if text := g.comments[t.Name()]; text != "" {
		out["description"] = text
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if len(rules) > 0 {
		out["allOf"] = rules
	}
	return out
}

func (g *schemaWriter) field(f shapeField, partial bool) schemaObject {
	p := g.typ(f.typ, f, partial)
	if f.enum != nil {
		p["enum"] = f.enum
	}
	if f.def != "" {
		var value any = f.def
		if p["type"] == "integer" {
			value, _ = strconv.Atoi(f.def)
		} else if p["type"] == "boolean" {
			value = f.def == "true"
		}
		p["default"] = value
	}
	return p
}

func (g *schemaWriter) typ(t reflect.Type, f shapeField, partial bool) schemaObject {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[JSON]():
		return schemaObject{"not": schemaObject{"type": "null"}}
	case reflect.TypeFor[OverrideSet]():
		return g.ref(reflect.TypeFor[Application](), true, nil)
	case reflect.TypeFor[Sensitive]():
		return schemaObject{"type": "string", "writeOnly": true}
	case reflect.TypeFor[Duration]():
		return schemaObject{"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$`, "examples": []string{"90s", "1h30m"}}
	case reflect.TypeFor[Quantity]():
		return schemaObject{"type": []string{"string", "number"}, "examples": []string{"250m", "20Gi"}}
	case reflect.TypeFor[PortRef](), reflect.TypeFor[IntOrPercent]():
		return schemaObject{"type": []string{"string", "integer"}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schemaObject{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return schemaObject{"type": "integer"}
	case reflect.Struct:
		return g.ref(t, partial, nil)
	case reflect.Map:
		return schemaObject{"type": "object", "additionalProperties": g.typ(t.Elem(), shapeField{}, partial)}
	case reflect.Slice:
		out := schemaObject{"type": "array", "x-kubernetes-list-type": "atomic"}
		switch {
		case f.key != nil:
			out["x-kubernetes-list-type"], out["x-kubernetes-list-map-keys"] = "map", f.key
		case f.set:
			out["x-kubernetes-list-type"] = "set"
		}
		if t.Elem().Kind() == reflect.Struct {
			out["items"] = g.ref(t.Elem(), partial && f.key != nil, f.key)
		} else {
			out["items"] = g.typ(t.Elem(), shapeField{}, partial)
		}
		return out
	}
	return schemaObject{"type": "string"}
}

func TestSchemasSayWhatTheTypesSay(t *testing.T) {
	t.Parallel()
	g := &schemaWriter{comments: comments(t)}
	for file, typ := range map[string]reflect.Type{
		"application.json": reflect.TypeFor[Application](), "override.json": reflect.TypeFor[Override](),
		"environment.json": reflect.TypeFor[Environment](),
	} {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		require.NoError(t, enc.Encode(g.document(typ, file)))
		path := filepath.Join("schema", file)
		if *update {
			require.NoError(t, os.WriteFile(path, want.Bytes(), 0o644))
			continue
		}
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, want.String(), string(got), "run go test -run Schema -update ./appmodel")
	}
}

func compile(t *testing.T, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("schema.json", doc))
	s, err := c.Compile("schema.json")
	require.NoError(t, err)
	return s
}

func TestTheSchemaTakesTheShopAndWhatItRefusesDecodeRefusesToo(t *testing.T) {
	t.Parallel()
	if *update {
		t.Skip("the schemas are being written")
	}
	s := compile(t, Schema())
	a, _, err := Decode(shop(t), nil)
	require.NoError(t, err)
	good, err := Encode(a, &EncodeOptions{JSON: true, Secrets: true})
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(good))
	require.NoError(t, err)
	require.NoError(t, s.Validate(value))

	for name, body := range map[string]string{
		"an unknown field":       `"components":[{"id":"a","kind":"service","image":"a:1","replica":1}]`,
		"a missing id":           `"components":[{"kind":"service","image":"a:1"}]`,
		"an unknown kind":        `"components":[{"id":"a","kind":"servce","image":"a:1"}]`,
		"text for a number":      `"components":[{"id":"a","kind":"service","image":"a:1","ports":[{"port":"80"}]}]`,
		"a number for text":      `"components":[{"id":"a","kind":"service","image":"a:1","env":[{"name":"A","value":1}]}]`,
		"two members of a group": `"components":[{"id":"a","kind":"service","image":"a:1","env":[{"name":"A","value":"1","template":"x"}]}]`,
		"no member of a group":   `"routes":[{"id":"a"}]`,
		"a duration in numbers":  `"components":[{"id":"a","kind":"service","image":"a:1","lifecycle":{"gracePeriod":"5"}}]`,
		"null":                   `"components":null`,
		"null in foreign data":   `"extensions":{"a.example.com":null}`,
		"a mapping for a list":   `"components":{"a":{}}`,
		"a bad policy":           `"policies":[{"path":"components[*]","policy":"lock"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := []byte(`{"apiVersion":"` + APIVersion + `","kind":"Application","metadata":{"name":"a"},` + body + `}`)
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
			require.NoError(t, err)
			require.Error(t, s.Validate(value))
			_, _, err = Decode(doc, nil)
			require.Error(t, err)
		})
	}
}

func TestTheOverrideSchemaTakesPartialDocuments(t *testing.T) {
	t.Parallel()
	if *update {
		t.Skip("the schemas are being written")
	}
	s := compile(t, OverrideSchema())
	for doc, fits := range map[string]bool{
		`{"apiVersion":"appspan.dev/v1alpha1","kind":"Override","metadata":{"name":"p"},"set":{"components":[{"id":"web","scale":{"auto":{"min":4}}}]},"remove":["components[a]"]}`: true,
		`{"apiVersion":"appspan.dev/v1alpha1","kind":"Override","metadata":{"name":"p"},"set":{"components":[{"scale":{"auto":{"min":4}}}]}}`:                                       false,
		`{"apiVersion":"appspan.dev/v1alpha1","kind":"Override","metadata":{"name":"p"},"set":{"component":[]}}`:                                                                    false,
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(doc))
		require.NoError(t, err)
		require.Equal(t, fits, s.Validate(value) == nil, doc)
		_, _, err = DecodeOverride([]byte(doc), nil)
		require.Equal(t, fits, err == nil, "%s: %v", doc, err)
	}
}
