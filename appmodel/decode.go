package appmodel

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// DecodeOptions are the options of [Decode] and its sisters; nil is the zero
// value.
type DecodeOptions struct {
	// File is what faults call the document; by default "document".
	File string
}

// Decode reads an application in YAML or JSON: 4 MiB at most, no deeper than
// 64, no more than 200,000 nodes once aliases are expanded; without merge
// keys, custom tags, duplicate keys, unknown fields or a second document. Text
// that YAML would read as a number or a boolean has to be quoted.
//
// The faults are everything that is wrong and the warnings, by position. The
// error is that of [Faults.Err]; with an error there is no application.
func Decode(data []byte, opts *DecodeOptions) (*Application, Faults, error) {
	a := new(Application)
	faults := decodeDocument(data, opts, KindApplication, a, func() Faults { return Validate(a) })
	if err := faults.Err(); err != nil {
		return nil, faults, err
	}
	return a, faults, nil
}

// DecodeOverride reads an override as [Decode] reads an application. Whether
// what it changes is there is said by Apply.
func DecodeOverride(data []byte, opts *DecodeOptions) (*Override, Faults, error) {
	o := new(Override)
	faults := decodeDocument(data, opts, KindOverride, o, func() Faults { return validateOverride(o) })
	if err := faults.Err(); err != nil {
		return nil, faults, err
	}
	return o, faults, nil
}

// DecodeEnvironment reads an environment as [Decode] reads an application.
// Its placement is checked by package deploy.
func DecodeEnvironment(data []byte, opts *DecodeOptions) (*Environment, Faults, error) {
	e := new(Environment)
	faults := decodeDocument(data, opts, KindEnvironment, e, func() Faults { return validateEnvironment(e) })
	if err := faults.Err(); err != nil {
		return nil, faults, err
	}
	return e, faults, nil
}

// decodeDocument reads data into the document that out points to, and
// validates it.
func decodeDocument(data []byte, opts *DecodeOptions, kind string, out any, validate func() Faults) Faults {
	d := &decoder{}
	if opts != nil {
		d.file = opts.File
	}
	root := d.parse(data)
	if root == nil || !d.head(root, kind) {
		return d.list.sorted()
	}
	d.value(root, reflect.ValueOf(out).Elem(), Path{})
	checks := validate()
	if len(checks) > 0 {
		// Where things stand is recorded only when somebody wants to know.
		places := &decoder{places: map[string]place{}}
		places.value(root, reflect.New(reflect.TypeOf(out).Elem()).Elem(), Path{})
		d.merge(checks, places.places)
	}
	return d.list.sorted()
}

// place is where something stands.
type place struct{ line, column int }

// decoder reads a tree of nodes into a type of the model.
type decoder struct {
	file    string
	list    faultList
	places  map[string]place // by path, if they are recorded
	partial bool             // within an override: null is an error everywhere
}

func (d *decoder) fault(n *yaml.Node, at Path, problem, next string) {
	d.list.add(Fault{File: d.file, Line: n.Line, Column: n.Column, Path: at.String(), Problem: problem, Next: next})
}

func (d *decoder) record(n *yaml.Node, at Path) {
	if d.places != nil {
		d.places[at.String()] = place{n.Line, n.Column}
	}
}

// merge adds the faults of validation with their positions, unless decoding
// has said something about the same place already.
func (d *decoder) merge(checks Faults, places map[string]place) {
	said, keyless := map[string]bool{}, map[string]bool{}
	for _, f := range d.list.faults {
		said[f.Path], keyless[withoutKeys(f.Path)] = true, true
	}
	for _, f := range checks {
		follows := f.Problem == "is missing" && saidAbove(keyless, withoutKeys(f.Path)) ||
			f.Severity == SeverityWarning && len(said) > 0
		if follows || saidAbove(said, f.Path) {
			continue
		}
		f.File = d.file
		for at := f.Path; ; {
			if p, ok := places[at]; ok {
				f.Line, f.Column = p.line, p.column
				break
			}
			i := strings.LastIndexAny(at, ".[")
			if i < 0 {
				f.Line, f.Column = 1, 1
				break
			}
			at = at[:i]
		}
		d.list.add(f)
	}
}

// withoutKeys is a path without the keys of its entries, which a faulty entry
// may have lost.
func withoutKeys(path string) string {
	p, err := ParsePath(path)
	if err != nil {
		return path
	}
	for i := range p.segs {
		if p.segs[i].key {
			p.segs[i].name, p.segs[i].any = "", true
		}
	}
	return p.String()
}

// saidAbove reports whether something was said about a path, or what it lies
// below.
func saidAbove(said map[string]bool, path string) bool {
	for path != "" {
		if said[path] {
			return true
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return false
}

// head checks apiVersion and kind, and reports whether the rest may be read as
// this kind: it is also where they are missing, so that everything is said at
// once.
func (d *decoder) head(root *yaml.Node, kind string) bool {
	if root.Kind != yaml.MappingNode {
		d.fault(root, Path{}, "is "+describe(root)+", not a document", "begin with apiVersion: "+APIVersion)
		return false
	}
	ok := true
	at := Path{}.field("apiVersion")
	switch v := member(root, "apiVersion"); {
	case v == nil:
		d.fault(root, at, "is missing", "write apiVersion: "+APIVersion)
	case v.Value != APIVersion || v.Kind != yaml.ScalarNode:
		d.fault(v, at, fmt.Sprintf("%q is unknown", cut(v.Value)), "this version reads "+APIVersion)
		ok = false
	}
	at = Path{}.field("kind")
	switch v := member(root, "kind"); {
	case v == nil:
		d.fault(root, at, "is missing", "write kind: "+kind)
	case v.Value != kind || v.Kind != yaml.ScalarNode:
		next := "write kind: " + kind
		if reader := readerOf(v.Value); reader != "" {
			next = fmt.Sprintf("here is read %s; read it with %s", kind, reader)
		}
		d.fault(v, at, fmt.Sprintf("%q is not %s", cut(v.Value), kind), next)
		ok = false
	}
	return ok
}

// member is the value of a mapping's member, nil if it has none.
func member(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return deref(n.Content[i+1])
		}
	}
	return nil
}

// readerOf is the function that reads a kind of document, "" if there is none.
func readerOf(kind string) string {
	switch kind {
	case KindApplication:
		return "appmodel.Decode"
	case KindOverride:
		return "appmodel.DecodeOverride"
	case KindEnvironment:
		return "appmodel.DecodeEnvironment"
	}
	return ""
}

// value reads n into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at Path) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode && resolve(n) == scalarNull {
		if d.partial {
			d.fault(n, at, "is null, which says nothing", "to remove it, list its path under remove")
		} else {
			d.fault(n, at, "is empty (null)", "give it a value, or leave it out")
		}
		return
	}
	switch x := v.Addr().Interface().(type) {
	case *JSON:
		if raw, ok := d.json(nil, n, at); ok {
			*x = raw
		}
		return
	case *OverrideSet:
		d.overrideSet(n, x, at)
		return
	case *Sensitive:
		if n.Kind != yaml.ScalarNode || resolve(n) != scalarString {
			d.fault(n, at, "a secret value is a string, not "+describe(n), "quote it")
			return
		}
		*x = NewSensitive(n.Value)
		return
	case *Duration:
		if text, ok := d.scalar(n, at, "a duration such as 90s"); ok {
			if err := x.UnmarshalText([]byte(text)); err != nil {
				problem, next := problemOf(err)
				d.fault(n, at, problem, cmp.Or(next, "write one of zero or more"))
			}
		}
		return
	case *Quantity, *PortRef, *IntOrPercent:
		if text, ok := d.scalar(n, at, "text or a number"); ok {
			v.SetString(text)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(n, p.Elem(), at)
		v.Set(p)
	case reflect.Struct:
		d.structure(n, v, at)
	case reflect.Slice:
		d.sequence(n, v, at)
	case reflect.Map:
		d.mapping(n, v, at)
	case reflect.String:
		if text, ok := d.text(n, at); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		if b, ok := d.boolean(n, at); ok {
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int64:
		if i, ok := d.integer(n, at, v.Type().Bits()); ok {
			v.SetInt(i)
		}
	}
}

// structure reads the fields of a struct.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, at Path) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, at, "is "+describe(n)+", not a block of fields", d.fieldsOf(v.Type()))
		return
	}
	s := shapeOf(v.Type())
	chosen := map[string]string{}
	d.pairs(n, at, func(key, value *yaml.Node) {
		p := at.field(key.Value)
		f := s.byName[key.Value]
		if f == nil {
			d.unknown(key, n, v.Type(), p)
			return
		}
		d.record(key, p)
		if f.oneof != "" {
			if other := chosen[f.oneof]; other != "" {
				d.fault(key, p, fmt.Sprintf("stands beside %q, and only one of the two may be set", other), "remove one of them")
				return
			}
			chosen[f.oneof] = f.name
		}
		d.value(value, v.FieldByIndex(f.index), p)
	})
}

// unknown faults a field of block that its type has not.
func (d *decoder) unknown(key, block *yaml.Node, t reflect.Type, at Path) {
	kind := ""
	if t == reflect.TypeFor[Component]() {
		if v := member(block, "kind"); v != nil {
			kind = v.Value
		}
	}
	next := `Foreign data belongs under "extensions"`
	if near := nearestField(t, key.Value, ComponentKind(kind)); near != "" {
		next = fmt.Sprintf("did you mean %q? %s", near, next)
	} else if s := shapeOf(t); len(s.fields) <= 12 {
		next = fmt.Sprintf("there is %s. %s", strings.Join(s.names(), ", "), next)
		if t == reflect.TypeFor[SecretItem]() { // it may be a value in the wrong place
			at = Path{segs: at.segs[:len(at.segs)-1]}.field("…")
		}
	}
	d.list.add(Fault{File: d.file, Line: key.Line, Column: key.Column, Path: cutPath(at), Problem: "unknown field", Next: next})
}

// cutPath is a path whose last part, which the author made up, is bounded.
func cutPath(at Path) string {
	last := at.segs[len(at.segs)-1]
	if i := strings.IndexAny(last.name, "\"' \t:"); i >= 0 { // a quote is missing: what follows may be a value
		last.name = last.name[:i] + "…"
	}
	last.name = cut(last.name)
	return Path{segs: at.segs[:len(at.segs)-1]}.with(last).String()
}

func (d *decoder) fieldsOf(t reflect.Type) string {
	if s := shapeOf(t); s != nil && len(s.fields) <= 12 {
		return "its fields are " + strings.Join(s.names(), ", ")
	}
	return "write its fields, one a line"
}

// sequence reads a list.
func (d *decoder) sequence(n *yaml.Node, v reflect.Value, at Path) {
	if n.Kind != yaml.SequenceNode {
		next := "put it into brackets: [ ]"
		if n.Kind == yaml.MappingNode {
			next = "begin each entry with a hyphen"
		}
		d.fault(n, at, "is "+describe(n)+", not a list", next)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	list := listForm(at)
	seen := map[string]bool{}
	for i, e := range n.Content {
		key := entryKey(list, deref(e), i)
		if seen[key] {
			key = ordinal(i)
		}
		seen[key] = true
		p := at.entry(key)
		d.record(e, p)
		d.value(e, v.Index(i), p)
	}
}

// listForm is the form of the list at a path, nil if it has no keys.
func listForm(at Path) *form {
	if at.IsZero() {
		return nil
	}
	if _, f, err := locate(at); err == nil && f.kind == formList {
		return f
	}
	return nil
}

// entryKey is the key of an entry before it is decoded.
func entryKey(list *form, n *yaml.Node, i int) string {
	if list == nil {
		if n.Kind == yaml.ScalarNode && n.Value != "" && len(n.Value) <= 60 {
			return n.Value
		}
		return ordinal(i)
	}
	if n.Kind != yaml.MappingNode {
		return ordinal(i)
	}
	text := func(name string) string {
		if v := member(n, name); v != nil && v.Kind == yaml.ScalarNode {
			return v.Value
		}
		return ""
	}
	parts := make([]string, len(list.keys))
	for j, f := range list.keys {
		parts[j] = text(f.name)
	}
	switch list.elem.typ {
	case reflect.TypeFor[Need]():
		parts[0] = cmp.Or(parts[0], text("component"))
	case reflect.TypeFor[HTTPRule]():
		parts[0] = cmp.Or(parts[0], text("path"), "/")
	case reflect.TypeFor[Metric]():
		for _, f := range list.elem.fields {
			if parts[0] == "" && f.group != 0 && member(n, f.name) != nil {
				parts[0] = f.name
			}
		}
	case reflect.TypeFor[RawObject]():
		scratch := &decoder{}
		if m := member(n, "manifest"); m != nil {
			if raw, ok := scratch.json(nil, m, Path{}); ok {
				parts[0] = manifestKey(raw)
			}
		}
	}
	return cmp.Or(list.join(parts), ordinal(i))
}

// mapping reads a map with free keys.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, at Path) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, at, "is "+describe(n)+", not a mapping", "write keys and values: {key: value}")
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	d.pairs(n, at, func(key, value *yaml.Node) {
		p := at.entry(key.Value)
		d.record(key, p)
		if k := resolve(key); k != scalarString && k != scalarOldBool {
			d.fault(key, p, "the key is "+describe(key), fmt.Sprintf("quote it: %q", cut(key.Value)))
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(value, e, p)
		m.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), e)
	})
	v.Set(m)
}

// pairs visits the members of a mapping, duplicates left out.
func (d *decoder) pairs(n *yaml.Node, at Path, visit func(key, value *yaml.Node)) {
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := deref(n.Content[i])
		if key.Kind != yaml.ScalarNode {
			d.fault(key, at, "a key is "+describe(key), "write a name")
			continue
		}
		if first := seen[key.Value]; first != nil {
			d.fault(key, at.field(key.Value), fmt.Sprintf("stands twice, first in line %d", first.Line), "remove one of the two")
			continue
		}
		seen[key.Value] = key
		visit(key, n.Content[i+1])
	}
}
