package appmodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan"
)

// Apply returns a with the overrides applied one after the other: of each
// first `remove`, then `set`. An entry with a new key is added, and must be
// complete; of one that is there only the named fields change. A new entry of
// a list whose order has a meaning stands behind the entry before it in the
// override, else before the one behind it, else at the end.
//
// Every fault is reported at once, those of the result's validation included;
// the error is faults.Err(). Removing what is not there is a warning. Out of
// reach are metadata.name, parameters, policies, a component's kind, and what
// is locked. The arguments stay as they are.
func Apply(a *Application, overrides ...*Override) (*Application, Faults, error) {
	result, faults, err := applyUnchecked(a, overrides...)
	if err != nil {
		return nil, faults, err
	}
	faults = append(faults, Validate(result)...)
	if err := faults.Err(); err != nil {
		return nil, faults, err
	}
	return result, faults, nil
}

// applyUnchecked is Apply without the validation of the result.
func applyUnchecked(a *Application, overrides ...*Override) (*Application, Faults, error) {
	tree, err := newTree(a)
	if err != nil {
		return nil, nil, err
	}
	policies, err := newPolicies(a.Policies)
	if err != nil {
		return nil, nil, err
	}
	ed := &editor{tree: tree, policies: policies}
	for _, o := range overrides {
		if o == nil {
			continue
		}
		ed.file = o.Metadata.Name
		for _, p := range o.Remove {
			ed.remove(p)
		}
		if o.Set != nil && len(o.Set.JSON) > 0 {
			ed.set(o.Set.JSON)
		}
	}
	faults := ed.faults.sorted()
	if err := faults.Err(); err != nil {
		return nil, faults, err
	}
	return tree.application(), faults, nil
}

// editor applies overrides to a tree that is its own.
type editor struct {
	tree     *node
	policies policyScope
	file     string // the override's name, for faults
	faults   faultList
}

func (ed *editor) fault(at, problem, next string) {
	ed.faults.add(Fault{File: ed.file, Path: at, Problem: problem, Next: next})
}

// fail reports an error of this package as a fault.
func (ed *editor) fail(at string, err error) {
	problem, next := problemOf(err)
	ed.fault(at, problem, next)
}

// remove does one line of `remove`.
func (ed *editor) remove(s string) {
	p, _, err := parseLocated(s)
	if err != nil {
		ed.fail("remove", err)
		return
	}
	if p.wildcards() > 0 {
		ed.fault("remove", s+" names more than one thing", "write one line for each")
		return
	}
	if outOfReach(p) {
		ed.fault("remove", p.String()+" is out of an override's reach", "change it in the application")
		return
	}
	n := ed.tree.at(p)
	if !n.said() {
		ed.faults.add(Fault{File: ed.file, Path: "remove", Severity: SeverityWarning,
			Problem: p.String() + " is not there", Next: "leave the line out"})
		return
	}
	scope := ed.policies
	for i, seg := range p.segs {
		scope = scope.at(i, seg)
	}
	if locked := firstLocked(n, p, scope); locked != nil {
		ed.fault("remove", locked.String()+" is locked by the application's policy "+scope.lockedBy(), "leave the line out")
		return
	}
	if last := p.segs[len(p.segs)-1]; !last.key && ed.tree.keyField(p) {
		ed.fault("remove", p.String()+" is what its entry is named by", "remove the entry")
		return
	}
	ed.tree.delete(p)
}

func (s policyScope) lockedBy() string {
	if s.kind == PolicyLocked {
		return s.path.String()
	}
	return "below it"
}

// outOfReach reports whether overrides may not change what is at a path: the
// top, what identifies the document, parameters, policies, the kind of a
// component.
func outOfReach(p Path) bool {
	switch top := p.segs[0].name; top {
	case "apiVersion", "kind", "parameters", "policies":
		return true
	case "metadata":
		return len(p.segs) == 1 || p.segs[1].name == "name"
	case "components":
		return len(p.segs) == 3 && p.segs[2].name == "kind"
	}
	return false
}

// firstLocked is the first thing that removing n would take away although it
// is locked. Entries and units go by the policy of their own path, lists and
// mere names by those of what they hold.
func firstLocked(n *node, at Path, scope policyScope) *Path {
	if scope.kind == PolicyLocked {
		return &at
	}
	if len(scope.below) == 0 {
		return nil
	}
	switch n.form.kind {
	case formStruct:
		if n.form.unit {
			return nil
		}
		for i, f := range n.form.fields {
			if c := n.fields[i]; c.said() {
				seg := segment{name: f.name}
				if p := firstLocked(c, at.with(seg), scope.at(len(at.segs), seg)); p != nil {
					return p
				}
			}
		}
	case formList, formSet, formMap:
		for _, e := range n.entries {
			seg := segment{name: e.key, key: true}
			if inner := scope.at(len(at.segs), seg); inner.kind == PolicyLocked {
				p := at.with(seg)
				return &p
			}
		}
	}
	return nil
}

// set does `set`.
func (ed *editor) set(raw JSON) {
	ed.structure(ed.tree, raw, Path{}, ed.policies)
}

// isNull reports, and faults, a null.
func (ed *editor) isNull(raw JSON, at Path) bool {
	if string(bytes.TrimSpace(raw)) != "null" {
		return false
	}
	ed.fault(at.String(), "is null, which says nothing", fmt.Sprintf("to remove it, list %q under remove", at))
	return true
}

// structure sets the members of a JSON object as fields of n.
func (ed *editor) structure(n *node, raw JSON, at Path, scope policyScope) {
	members, ok := jsonMembers(raw)
	if !ok {
		ed.fault(at.String(), "is not an object", "write its fields")
		return
	}
	seen := map[string]bool{}
	groups := map[int]string{}
	for _, m := range members {
		p := at.field(m.name)
		f := n.form.byName[m.name]
		switch {
		case f == nil:
			_, _, problem := n.form.below(segment{name: m.name})
			what, next, _ := strings.Cut(problem, "; ")
			ed.fault(at.String(), what, next)
			continue
		case seen[m.name]:
			ed.fault(p.String(), "stands twice", "remove one of the two")
			continue
		case ed.isNull(m.value, p):
			continue
		}
		seen[m.name] = true
		if f.group != 0 {
			if other := groups[f.group]; other != "" {
				ed.fault(p.String(), fmt.Sprintf("stands beside %q, and only one of the two may be set", other), "remove one of them")
				continue
			}
			groups[f.group] = m.name
		}
		ed.field(n, f, m.value, p, scope)
	}
}

// field sets one field of n; a member of a one-of group drops the others.
// The scope is that of n.
func (ed *editor) field(n *node, f *formField, raw JSON, at Path, scope policyScope) {
	depth := len(at.segs) - 1
	old := n.fields[f.pos]
	unreachable := outOfReach(at) && at.segs[depth].name != "metadata"
	if unreachable && f.form.kind != formLeaf {
		ed.fault(at.String(), "is out of an override's reach", "change it in the application")
		return
	}
	next := ed.value(f.form, old, raw, at, scope.at(depth, at.segs[depth]))
	if next == nil {
		return
	}
	if unreachable && old != nil && !same(old, next) {
		ed.fault(at.String(), "is out of an override's reach", "change it in the application")
		return
	}
	if f.isKey && old != nil && same(old, next) {
		return // to name an entry changes nothing
	}
	n.fields[f.pos] = next
	for _, o := range n.form.fields {
		if f.group == 0 || o.group != f.group || o == f || n.fields[o.pos] == nil {
			continue
		}
		n.fields[o.pos] = nil
		if dropped := scope.at(depth, segment{name: o.name}); dropped.kind == PolicyLocked {
			ed.locked(Path{segs: at.segs[:depth]}.field(o.name), dropped)
		}
	}
}

func (ed *editor) locked(at Path, scope policyScope) {
	ed.fault(at.String(), "is locked by the application's policy "+scope.path.String(), "leave it as it is")
}

// value is old with raw laid over it, nil after a fault.
func (ed *editor) value(f *form, old *node, raw JSON, at Path, scope policyScope) *node {
	switch f.kind {
	case formStruct:
		if old == nil {
			old = &node{form: f, fields: make([]*node, len(f.fields))}
		}
		old.implied = false
		ed.structure(old, raw, at, scope)
		return old
	case formJSON:
		n := overlay(old, jsonNode(f, slices.Clone(raw)))
		if scope.kind == PolicyLocked && !same(old, n) {
			ed.locked(at, scope)
		}
		return n
	case formLeaf:
		n, err := leafNode(f, raw)
		if err != nil {
			ed.fail(at.String(), err)
			return nil
		}
		if scope.kind == PolicyLocked && !same(old, n) {
			ed.locked(at, scope)
		}
		return n
	}
	if old == nil {
		old = &node{form: f}
	}
	if f.kind == formMap {
		ed.mapping(old, raw, at, scope)
	} else {
		ed.list(old, raw, at, scope)
	}
	return old
}

// overlay lays foreign JSON over other: objects member by member.
func overlay(old, next *node) *node {
	if old == nil || !old.object || !next.object {
		return next
	}
	n := &node{form: old.form, key: old.key, object: true}
	n.setEntries(slices.Clone(old.entries))
	for _, e := range next.entries {
		if i, ok := n.index[e.key]; ok {
			n.entries[i] = overlay(n.entries[i], e)
		} else {
			n.put(e)
		}
	}
	return n
}

// mapping sets the entries of a map.
func (ed *editor) mapping(n *node, raw JSON, at Path, scope policyScope) {
	members, ok := jsonMembers(raw)
	if !ok {
		ed.fault(at.String(), "is not an object", "write keys and values")
		return
	}
	for _, m := range members {
		p := at.entry(m.name)
		if ed.isNull(m.value, p) {
			continue
		}
		e := ed.value(n.form.elem, n.entry(m.name), m.value, p, scope.at(len(at.segs), p.segs[len(at.segs)]))
		if e == nil {
			continue
		}
		e.key = m.name
		if i, ok := n.index[m.name]; ok {
			n.entries[i] = e
		} else {
			n.put(e)
		}
	}
}

// list sets the entries of a list or set.
func (ed *editor) list(n *node, raw JSON, at Path, scope policyScope) {
	var elems []JSON
	if json.Unmarshal(raw, &elems) != nil {
		ed.fault(at.String(), "is not a list", "write a list, with only the entries that change")
		return
	}
	var keys []string // of the override, in order
	fresh := map[string]*node{}
	seen := map[string]bool{}
	for i, raw := range elems {
		if len(raw) == 0 || string(raw) == "null" {
			ed.fault(at.entry(fmt.Sprint(i)).String(), "is null, which says nothing", "to remove an entry, list its path under remove")
			continue
		}
		key, elem, err := n.form.readKey(raw)
		if err != nil {
			ed.fail(at.entry(fmt.Sprint(i)).String(), err)
			continue
		}
		p := at.entry(key)
		inner := scope.at(len(at.segs), p.segs[len(at.segs)])
		if seen[key] {
			if n.form.kind == formList {
				ed.fault(p.String(), "stands twice in the override", "write one entry")
			}
			continue
		}
		seen[key] = true
		keys = append(keys, key)
		if old := n.entry(key); old != nil {
			if n.form.kind == formList {
				ed.structure(old, raw, p, inner)
				old.keepName(n.form)
			}
			continue
		}
		if inner.kind == PolicyLocked {
			ed.locked(p, inner)
			continue
		}
		e := elem
		if n.form.kind == formList {
			e = &node{form: n.form.elem, fields: make([]*node, len(n.form.elem.fields))}
			ed.structure(e, raw, p, policyScope{}) // all of it is the override's own
		}
		e.key = key
		fresh[key] = e
	}
	n.setEntries(arrange(n.entries, keys, fresh))
}

// arrange puts fresh entries among the others: behind the one before it in
// keys, else before the one behind it, else at the end.
func arrange(entries []*node, keys []string, fresh map[string]*node) []*node {
	if len(fresh) == 0 {
		return entries
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.key] = true
	}
	before, behind := map[string][]*node{}, map[string][]*node{}
	var end, loose []*node
	anchor := ""
	anchored := false
	for _, k := range keys {
		e := fresh[k]
		switch {
		case e == nil && there[k]:
			if !anchored {
				before[k], loose = loose, nil
			}
			anchor, anchored = k, true
		case e == nil:
		case anchored:
			behind[anchor] = append(behind[anchor], e)
		default:
			loose = append(loose, e)
		}
	}
	end = append(end, loose...)
	out := make([]*node, 0, len(entries)+len(fresh))
	for _, e := range entries {
		out = append(out, before[e.key]...)
		out = append(out, e)
		out = append(out, behind[e.key]...)
	}
	return append(out, end...)
}

// readKey is the key of a list's element in JSON; of a set's also its node.
func (f *form) readKey(raw JSON) (string, *node, error) {
	if f.kind == formSet {
		n, err := leafNode(f.elem, raw)
		if err != nil {
			return "", nil, err
		}
		return n.text, n, nil
	}
	if _, ok := jsonMembers(raw); !ok {
		return "", nil, fmt.Errorf("%w: is not an object; write its fields", appspan.ErrInvalid)
	}
	elem := reflect.New(f.elem.typ)
	_ = json.Unmarshal(raw, elem.Interface()) // what is wrong beside the key is said by its path
	key := f.key(elem.Elem())
	if key == "" {
		return "", nil, fmt.Errorf("%w: has no %s; entries of this list are named by it", appspan.ErrInvalid, f.keys[0].name)
	}
	return key, nil, nil
}

// leafNode reads a leaf, with its type checked.
func leafNode(f *form, raw JSON) (*node, error) {
	v := reflect.New(f.typ)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v.Interface()); err != nil {
		if errors.Is(err, appspan.ErrInvalid) {
			return nil, err
		}
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return nil, fmt.Errorf("%w: has an unknown field %s; leave it out", appspan.ErrInvalid, field)
		}
		return nil, fmt.Errorf("%w: is not %s; write one", appspan.ErrInvalid, expected(f.typ))
	}
	if s, ok := v.Elem().Interface().(Sensitive); ok && s.Reveal() == Redacted {
		return nil, fmt.Errorf("%w: is a redacted value; write the secret value itself", appspan.ErrInvalid)
	}
	return &node{form: f, text: leafText(v.Elem()), value: v.Elem(), hidden: f.secret()}, nil
}

// expected is what a leaf takes, for people.
func expected(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return "a duration"
	case reflect.TypeFor[Quantity]():
		return "a quantity"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list of the right type"
	}
	return "an object of the right type"
}

// String is the partial document without secret values.
func (s OverrideSet) String() string { return string(s.redacted()) }

// GoString is like String.
func (s OverrideSet) GoString() string { return string(s.redacted()) }

// MarshalJSON writes the partial document without secret values; the field
// JSON has them.
func (s OverrideSet) MarshalJSON() ([]byte, error) { return s.redacted(), nil }

// redacted replaces the values of secret items. A document that can't be read
// is withheld as a whole.
func (s OverrideSet) redacted() JSON {
	if len(s.JSON) == 0 {
		return JSON("null")
	}
	return redactMembers(s.JSON, "secrets", func(secret JSON) JSON {
		return redactMembers(secret, "items", func(item JSON) JSON {
			return replaceMember(item, "value", func(JSON) JSON { return JSON(strconv.Quote(Redacted)) })
		})
	})
}

// redactMembers replaces the elements of the list under name.
func redactMembers(raw JSON, name string, replace func(JSON) JSON) JSON {
	return replaceMember(raw, name, func(list JSON) JSON {
		var elems []JSON
		if json.Unmarshal(list, &elems) != nil {
			return JSON(strconv.Quote(Redacted))
		}
		b := JSON{'['}
		for i, e := range elems {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, replace(e)...)
		}
		return append(b, ']')
	})
}

// replaceMember replaces the member of that name.
func replaceMember(raw JSON, name string, replace func(JSON) JSON) JSON {
	members, ok := jsonMembers(raw)
	if !ok {
		return JSON(strconv.Quote(Redacted))
	}
	b, first := []byte{'{'}, true
	for _, m := range members {
		b = appendName(b, m.name, &first)
		if m.name == name {
			m.value = replace(m.value)
		}
		b = append(b, m.value...)
	}
	return append(b, '}')
}
