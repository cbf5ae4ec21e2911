package appmodel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/appspan-dev/appspan"
)

// node is a value of the model apart from its Go type, so that one code can
// compare and merge all of them. Absent values have no node. Nodes are not
// changed once they are shared, except by what built them.
type node struct {
	form *form
	key  string // of an entry
	// A leaf: text is what is compared (defaults filled in, normal spelling),
	// value what the author wrote.
	text  string
	value reflect.Value
	// implied: the author did not write it, it is a default.
	implied bool
	hidden  bool           // a leaf whose value is secret
	object  bool           // JSON: entries are its members
	fields  []*node        // of a struct, by position
	entries []*node        // of lists, sets, maps and JSON objects
	index   map[string]int // of entries, by key
}

// newTree builds the tree of an application, with defaults filled in. A key
// that stands twice is an error.
func newTree(a *Application) (*node, error) {
	if a == nil {
		return nil, fmt.Errorf("%w: there is no application; give one", appspan.ErrInvalid)
	}
	filled := WithDefaults(a)
	b := &treeBuilder{}
	n := b.node(modelForm(), reflect.ValueOf(filled).Elem(), reflect.ValueOf(a).Elem())
	return n, b.err
}

// newTrees builds the trees of several applications at the same time.
func newTrees(apps ...*Application) (trees []*node, errs []error) {
	trees, errs = make([]*node, len(apps)), make([]error, len(apps))
	var all sync.WaitGroup
	for i, a := range apps {
		all.Go(func() { trees[i], errs[i] = newTree(a) })
	}
	all.Wait()
	return trees, errs
}

type treeBuilder struct {
	path  []segment
	err   error
	spare []node // nodes are made many at a time
}

func (b *treeBuilder) make(n node) *node {
	if len(b.spare) == 0 {
		b.spare = make([]node, 64)
	}
	made := &b.spare[0]
	b.spare = b.spare[1:]
	*made = n
	return made
}

// node builds the node of v; w is what the author wrote in its place, invalid
// if nothing. It returns nil for what is absent.
func (b *treeBuilder) node(s *form, v, w reflect.Value) *node {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
		if w.IsValid() {
			w = w.Elem() // invalid if nil
		}
	} else if s.kind != formStruct && v.IsZero() {
		return nil
	} else if w.IsValid() && w.IsZero() && s.kind != formStruct {
		w = reflect.Value{}
	}
	n := b.make(node{form: s, implied: !w.IsValid()})
	switch s.kind {
	case formLeaf:
		n.text, n.value, n.hidden = leafText(v), v, s.secret()
		if w.IsValid() {
			n.value = w
		}
	case formStruct:
		n.fields = make([]*node, len(s.fields))
		some := false
		for i, f := range s.fields {
			fv, fw := v.FieldByIndex(f.index), reflect.Value{}
			if w.IsValid() {
				fw = w.FieldByIndex(f.index)
			}
			b.path = append(b.path, segment{name: f.name})
			n.fields[i] = b.node(f.form, fv, fw)
			b.path = b.path[:len(b.path)-1]
			some = some || n.fields[i] != nil
		}
		if !some && !s.unit {
			return nil
		}
		if s.typ == reflect.TypeFor[Parameter]() && v.Interface().(Parameter).Secret {
			if d := n.fields[s.byName["default"].pos]; d != nil {
				d.hidden = true
			}
		}
	case formList, formSet:
		for i := range v.Len() {
			ev, ew := v.Index(i), reflect.Value{}
			if w.IsValid() && i < w.Len() {
				ew = w.Index(i)
			}
			b.element(n, ev, ew)
		}
	case formMap:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return cmpStrings(x.String(), y.String()) })
		for _, k := range keys {
			n.put(b.make(node{form: s.elem, key: k.String(), text: leafText(v.MapIndex(k)), value: v.MapIndex(k), implied: n.implied}))
		}
	case formJSON:
		j := jsonNode(s, JSON(v.Bytes()))
		j.implied = n.implied
		return j
	}
	if s.kind != formLeaf && s.kind != formStruct && len(n.entries) == 0 {
		return nil
	}
	return n
}

// element adds an element of a list or set.
func (b *treeBuilder) element(n *node, v, w reflect.Value) {
	var e *node
	var key string
	if n.form.kind == formSet {
		key = leafText(v)
		e = b.make(node{form: n.form.elem, text: key, value: v, implied: !w.IsValid()})
	} else {
		key = n.form.key(v)
		b.path = append(b.path, segment{name: key, key: true})
		e = b.node(n.form.elem, v, w)
		b.path = b.path[:len(b.path)-1]
	}
	e.key = key
	if !n.put(e) && b.err == nil && n.form.kind == formList {
		b.err = fmt.Errorf("%w: %s: stands twice; remove one of the two", appspan.ErrInvalid,
			Path{segs: slices.Clone(b.path)}.entry(key))
	}
}

// put adds an entry, and reports false if its key is taken.
func (n *node) put(e *node) bool {
	if _, taken := n.index[e.key]; taken {
		return false
	}
	if n.index == nil {
		n.index = map[string]int{}
	}
	n.index[e.key] = len(n.entries)
	n.entries = append(n.entries, e)
	return true
}

// entry is the entry with the key, nil if there is none.
func (n *node) entry(key string) *node {
	if n == nil {
		return nil
	}
	if i, ok := n.index[key]; ok {
		return n.entries[i]
	}
	return nil
}

// setEntries replaces the entries.
func (n *node) setEntries(entries []*node) {
	n.entries, n.index = entries, make(map[string]int, len(entries))
	for i, e := range entries {
		n.index[e.key] = i
	}
}

// fieldAt is the field at a position, nil if n has none.
func (n *node) fieldAt(pos int) *node {
	if n == nil || n.fields == nil {
		return nil
	}
	return n.fields[pos]
}

// jsonNode builds the node of foreign JSON, whose objects are granular.
func jsonNode(s *form, raw JSON) *node {
	n := &node{form: s, value: reflect.ValueOf(raw)}
	members, ok := jsonMembers(raw)
	if !ok {
		n.text = jsonText(raw)
		return n
	}
	n.object = true
	for _, m := range members {
		e := jsonNode(s, m.value)
		e.key = m.name
		if !n.put(e) {
			n.entries[n.index[m.name]] = e // as encoding/json: the last one counts
		}
	}
	return n
}

type jsonMember struct {
	name  string
	value JSON
}

// jsonMembers are the members of an object in their order; false if raw is
// none.
func jsonMembers(raw JSON) ([]jsonMember, bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	members := []jsonMember{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, false
		}
		members = append(members, jsonMember{name.(string), JSON(value)})
	}
	_, err := dec.Token()
	return members, err == nil
}

// jsonText is JSON in one spelling: members sorted, no white space, numbers
// as written.
func jsonText(raw []byte) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return string(raw)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return string(raw)
	}
	return string(text)
}

// leafText is the text by which leaves are compared. It may be secret.
func leafText(v reflect.Value) string {
	switch v.Type() {
	case reflect.TypeFor[Sensitive]():
		return v.Interface().(Sensitive).Reveal()
	case reflect.TypeFor[Quantity]():
		return string(Quantity(v.String()).Canonical())
	case reflect.TypeFor[JSON]():
		return jsonText(v.Bytes())
	case reflect.TypeFor[Duration]():
		return Duration(v.Int()).String()
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// said reports whether the author wrote something of n.
func (n *node) said() bool {
	if n == nil {
		return false
	}
	switch n.form.kind {
	case formStruct:
		return n.form.unit && !n.implied || slices.ContainsFunc(n.fields, (*node).said)
	case formList, formSet, formMap:
		return slices.ContainsFunc(n.entries, (*node).said)
	}
	return !n.implied
}

// same reports whether two nodes say the same. What the author left to a
// default is the same wherever it is left to it.
func same(x, y *node) bool {
	if x == y {
		return true
	}
	if x == nil || y == nil {
		return !x.said() && !y.said()
	}
	switch {
	case x.form.kind == formStruct:
		for i := range x.fields {
			if !same(x.fields[i], y.fields[i]) {
				return false
			}
		}
		return true
	case x.form.kind == formLeaf, !x.object && x.form.kind == formJSON:
		return x.implied && y.implied || !y.object && x.text == y.text && (x.implied == y.implied || !x.form.contextual)
	case x.object != y.object, len(x.entries) != len(y.entries):
		return false
	}
	for i, e := range x.entries {
		if x.form.order && y.entries[i].key != e.key || y.entry(e.key) == nil || !same(e, y.entry(e.key)) {
			return false
		}
	}
	return true
}

// application is the application of a tree: what the authors wrote, without
// what is implied. It shares no memory with the tree.
func (n *node) application() *Application {
	a := &Application{}
	n.write(reflect.ValueOf(a).Elem())
	return a
}

// write puts n into v, which is zero.
func (n *node) write(v reflect.Value) {
	if !n.said() {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch n.form.kind {
	case formLeaf:
		v.Set(deepCopy(n.value))
	case formStruct:
		for i, f := range n.form.fields {
			n.fields[i].write(v.FieldByIndex(f.index))
		}
	case formList, formSet:
		v.Set(reflect.MakeSlice(v.Type(), len(n.entries), len(n.entries)))
		for i, e := range n.entries {
			e.write(v.Index(i))
		}
	case formMap:
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.entries)))
		for _, e := range n.entries {
			elem := reflect.New(v.Type().Elem()).Elem()
			e.write(elem)
			v.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), elem)
		}
	case formJSON:
		v.SetBytes(n.appendJSON(nil, false))
	}
}

// appendJSON writes n as JSON: what the author wrote, or everything with
// defaults; foreign JSON as it stands, secret values never.
func (n *node) appendJSON(b []byte, defaults bool) []byte {
	return n.appendJSONSecrets(b, defaults, false)
}

func (n *node) appendJSONSecrets(b []byte, defaults, secrets bool) []byte {
	switch {
	case n.form.kind == formJSON && n.value.IsValid():
		return append(b, n.value.Bytes()...)
	case n.hidden && !secrets:
		return appendText(b, Redacted)
	case n.form.kind == formLeaf:
		if s, ok := n.value.Interface().(Sensitive); ok {
			return appendText(b, s.Reveal())
		}
		text, err := json.Marshal(n.value.Interface())
		if err != nil { // foreign JSON that is none
			return appendText(b, n.text)
		}
		return append(b, text...)
	case n.form.kind == formStruct:
		b = append(b, '{')
		first := true
		for i, f := range n.form.fields {
			if c := n.fields[i]; c != nil && (defaults || c.said()) {
				b = appendName(b, f.name, &first)
				b = c.appendJSONSecrets(b, defaults, secrets)
			}
		}
		return append(b, '}')
	case n.form.kind == formMap, n.form.kind == formJSON:
		b = append(b, '{')
		first := true
		for _, e := range n.entries {
			b = appendName(b, e.key, &first)
			b = e.appendJSONSecrets(b, defaults, secrets)
		}
		return append(b, '}')
	}
	b = append(b, '[')
	for i, e := range n.entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.appendJSONSecrets(b, defaults, secrets)
	}
	return append(b, ']')
}

func appendName(b []byte, name string, first *bool) []byte {
	if !*first {
		b = append(b, ',')
	}
	*first = false
	return append(appendText(b, name), ':')
}

func appendText(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always can
	return append(b, text...)
}

// secret reports whether n holds a secret value.
func (n *node) secret() bool {
	switch {
	case n == nil:
		return false
	case n.form.kind == formLeaf:
		return n.hidden
	}
	return slices.ContainsFunc(n.fields, (*node).secret) || n.form.kind == formList && slices.ContainsFunc(n.entries, (*node).secret)
}

// json is n for people, without secret values; nil if it is absent.
func (n *node) json() JSON {
	if n == nil {
		return nil
	}
	return n.appendJSON(nil, false)
}

func cmpStrings(x, y string) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// keepName writes out the name of an entry of a list that was a default, if
// what it followed from has changed.
func (n *node) keepName(list *form) {
	name := n.fields[list.keys[0].pos]
	if len(list.keys) != 1 || name.said() {
		return
	}
	elem := reflect.New(n.form.typ).Elem()
	n.write(elem)
	if list.key(elem) != n.key {
		n.fields[list.keys[0].pos] = &node{form: list.keys[0].form, text: n.key, value: reflect.ValueOf(n.key)}
	}
}
