package appmodel

import (
	"cmp"
	"reflect"
	"slices"
)

// Diff returns the smallest override that makes b of a: Apply(a, Diff(a, b))
// says the same as b. It holds b's secret values where they differ, which only
// the field Set.JSON shows. It is nil-free: without differences it changes
// nothing.
//
// The two must be states of one application: with the same name, parameters
// and policies, and nothing changed that is locked; the error, which wraps
// appspan.ErrInvalid, lists what else differs.
func Diff(a, b *Application) (*Override, error) {
	trees, errs := newTrees(a, b)
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	policies, err := newPolicies(a.Policies)
	if err != nil {
		return nil, err
	}
	d := &differ{}
	set := d.structure(trees[0], trees[1], Path{}, policies)
	if err := d.faults.sorted().Err(); err != nil {
		return nil, err
	}
	o := &Override{APIVersion: APIVersion, Kind: KindOverride, Metadata: Metadata{Name: cmp.Or(b.Metadata.Name, "changes")}, Remove: d.remove}
	if set != nil {
		o.Set = &OverrideSet{JSON: set.appendJSONSecrets(nil, false, true)}
	}
	return o, nil
}

// differ collects what is to be removed while it builds what is to be set.
type differ struct {
	remove []string
	faults faultList
}

// unreachable faults a difference that no override can make.
func (d *differ) unreachable(at Path, why string) {
	d.faults.add(Fault{Path: at.String(), Problem: "differs, and " + why, Next: "make the two equal there; an override can't"})
}

// allowed reports whether an override may change a place.
func (d *differ) allowed(at Path, scope policyScope) bool {
	switch {
	case scope.kind == PolicyLocked:
		d.unreachable(at, "is locked by policy "+scope.path.String())
	case outOfReach(at):
		d.unreachable(at, "is out of an override's reach")
	default:
		return true
	}
	return false
}

func (d *differ) removed(n *node, at Path, scope policyScope) {
	if p := firstLocked(n, at, scope); p != nil {
		d.unreachable(*p, "is locked")
	} else if d.allowed(at, scope) {
		d.remove = append(d.remove, at.String())
	}
}

// node is what must be set to make b of a, nil if nothing.
func (d *differ) node(a, b *node, at Path, scope policyScope) *node {
	switch {
	case same(a, b):
		return nil
	case !b.said():
		d.removed(a, at, scope)
		return nil
	case outOfReach(at) && b.form.kind != formStruct:
		d.allowed(at, scope)
		return nil
	}
	switch b.form.kind {
	case formStruct:
		if !a.said() && b.form.unit {
			break
		}
		return d.structure(a, b, at, scope)
	case formList, formSet, formMap:
		return d.entries(a, b, at, scope)
	case formJSON:
		if a != nil && a.object && b.object && scope.kind != PolicyLocked {
			return d.entries(a, b, at, scope)
		}
	}
	if !d.allowed(at, scope) {
		return nil
	}
	return b
}

func (d *differ) structure(a, b *node, at Path, scope policyScope) *node {
	out := &node{form: b.form, fields: make([]*node, len(b.fields))}
	some := false
	for _, f := range b.form.fields {
		x, y := a.fieldAt(f.pos), b.fields[f.pos]
		if f.group != 0 && !y.said() {
			if y = nil; b.form.member(b, f.group) != nil {
				continue // another member is set, which drops this one
			}
		}
		if x == nil && y == nil {
			continue
		}
		if c := d.node(x, y, at.field(f.name), scope.at(len(at.segs), segment{name: f.name})); c != nil {
			out.fields[f.pos], some = c, true
		}
	}
	if !some {
		return nil
	}
	return out
}

func (d *differ) entries(a, b *node, at Path, scope policyScope) *node {
	var kept map[string]bool // of a list whose order has a meaning: what stays in its place
	if b.form.order && a != nil {
		kept = longestCommon(commonKeys(a, b), b)
	}
	below := func(e *node) (Path, policyScope) {
		s := e.segment()
		return at.with(s), scope.at(len(at.segs), s)
	}
	for _, e := range entriesOf(a) {
		p, inner := below(e)
		switch y := b.entry(e.key); {
		case y == nil, kept != nil && !kept[e.key], kindChanged(e, y):
			d.removed(e, p, inner)
		}
	}
	out := &node{form: b.form, object: b.object}
	stays := func(i int) bool {
		x := a.entry(b.entries[i].key)
		return x != nil && (kept == nil || kept[x.key]) && !kindChanged(x, b.entries[i])
	}
	tail := len(b.entries) // where the fresh entries begin with which b ends
	for tail > 0 && !stays(tail-1) {
		tail--
	}
	anchored := false // an entry of out stays in its place
	for i, y := range b.entries {
		p, inner := below(y)
		if !stays(i) {
			if d.allowed(p, inner) {
				out.put(y)
			}
			continue
		}
		c := d.entry(a.entry(y.key), y, p, inner)
		if c == nil && kept != nil {
			first := !anchored && i > 0 && !stays(i-1)
			before := i+1 < len(b.entries) && !stays(i+1) && (i+1 < tail || anchored)
			if first || before {
				c = named(nil, y)
			}
		}
		if c != nil {
			c.key = y.key
			out.put(c)
			anchored = true
		}
	}
	if len(out.entries) == 0 {
		return nil
	}
	return out
}

// entry is what must be set of an entry that both have.
func (d *differ) entry(a, b *node, at Path, scope policyScope) *node {
	if b.form.kind != formStruct {
		return d.node(a, b, at, scope)
	}
	if same(a, b) {
		return nil
	}
	if c := d.structure(a, b, at, scope); c != nil {
		return named(c, b)
	}
	return nil
}

// named is a partial entry with the fields that it is named by, those of n.
func named(partial, n *node) *node {
	out := &node{form: n.form, key: n.key, fields: make([]*node, len(n.fields))}
	if partial != nil {
		copy(out.fields, partial.fields)
	}
	keys := 0
	for _, f := range n.form.fields {
		if !f.isKey {
			continue
		}
		keys++
		switch own := n.fields[f.pos]; {
		case f.form.kind == formJSON:
			out.fields[f.pos] = identified(out.fields[f.pos], own)
		case own.said():
			out.fields[f.pos] = own
		}
	}
	if keys == 1 {
		for _, f := range n.form.fields {
			if f.isKey && out.fields[f.pos] == nil { // a name by default
				out.fields[f.pos] = &node{form: f.form, text: n.key, value: reflect.ValueOf(n.key)}
			}
		}
	}
	return out
}

// identified is a partial manifest with what identifies the whole one.
func identified(partial, manifest *node) *node {
	out := &node{form: manifest.form, object: true}
	put := func(from, to *node, name string) {
		if c := from.entry(name); c != nil && to.entry(name) == nil {
			to.put(c)
		}
	}
	put(manifest, out, "apiVersion")
	put(manifest, out, "kind")
	metadata := &node{form: manifest.form, key: "metadata", object: true}
	put(manifest.entry("metadata"), metadata, "name")
	out.put(metadata)
	if partial == nil {
		return out
	}
	return overlay(out, partial)
}

// kindChanged reports whether two nodes are components of different kinds,
// which is another component under the same id.
func kindChanged(a, b *node) bool {
	if b.form.typ != reflect.TypeFor[Component]() {
		return false
	}
	kind := b.form.byName["kind"].pos
	return !same(a.fields[kind], b.fields[kind])
}

// longestCommon are the most keys that stand in the same order in keys and
// in n.
func longestCommon(keys []string, n *node) map[string]bool {
	var ends []int // of the best run of each length, its last key
	prev := make([]int, len(keys))
	for i, k := range keys {
		at, _ := slices.BinarySearchFunc(ends, n.index[k], func(e, pos int) int { return cmp.Compare(n.index[keys[e]], pos) })
		prev[i] = -1
		if at > 0 {
			prev[i] = ends[at-1]
		}
		if at == len(ends) {
			ends = append(ends, i)
		} else {
			ends[at] = i
		}
	}
	common := map[string]bool{}
	if len(ends) > 0 {
		for i := ends[len(ends)-1]; i >= 0; i = prev[i] {
			common[keys[i]] = true
		}
	}
	return common
}
