package appmodel

import "slices"

// ChangeKind says what happened to a place.
type ChangeKind string

// The kinds of changes.
const (
	ChangeAdded   ChangeKind = "added"
	ChangeRemoved ChangeKind = "removed"
	ChangeChanged ChangeKind = "changed"
)

// Change is one difference between two applications. Old is nil where
// something was added, New where it was removed; both hold defaults where
// nothing is written, and [Redacted] in the place of secret values.
type Change struct {
	Path string     `json:"path"`
	Kind ChangeKind `json:"kind"`
	Old  JSON       `json:"old,omitempty"`
	New  JSON       `json:"new,omitempty"`
	// Secret: the values are secret, or hold a secret one.
	Secret bool `json:"secret,omitempty"`
}

// Changes lists for people how b differs from a, leaf by leaf in the order of
// the model. An entry that only one of them has is one change, and so is a
// one-of group of which another member is set: its path is that of the new
// member, its values are objects that say which. A list whose order has a meaning and differs is a change of the
// list, from keys to keys. Without changes it returns nil.
//
// Lists in which a key stands twice, which validation refuses, are compared
// by the first.
func Changes(a, b *Application) []Change {
	if a == nil {
		a = &Application{}
	}
	if b == nil {
		b = &Application{}
	}
	x, _ := newTree(a)
	y, _ := newTree(b)
	var c changes
	c.node(x, y, Path{})
	return c.list
}

type changes struct{ list []Change }

func (c *changes) node(a, b *node, at Path) {
	if same(a, b) {
		return
	}
	some := a
	if a == nil {
		some = b
	}
	switch {
	case some.form.kind == formStruct && (a != nil && b != nil || !some.form.unit):
		c.structure(some.form, a, b, at)
	case some.form.kind != formJSON && some.form.kind != formStruct && some.form.kind != formLeaf,
		a != nil && b != nil && a.object && b.object:
		c.entries(a, b, at)
	default:
		c.add(at, a, b)
	}
}

func (c *changes) structure(f *form, a, b *node, at Path) {
	done := map[int]bool{}
	for _, field := range f.fields {
		if field.group == 0 {
			c.node(a.fieldAt(field.pos), b.fieldAt(field.pos), at.field(field.name))
			continue
		}
		if done[field.group] {
			continue
		}
		done[field.group] = true
		x, y := f.member(a, field.group), f.member(b, field.group)
		switch {
		case x == nil && y == nil:
		case x != nil && y != nil && x != y:
			c.list = append(c.list, newChange(at.field(y.name), memberNode(a, x), memberNode(b, y)))
		case x == nil:
			c.node(nil, b.fieldAt(y.pos), at.field(y.name))
		default:
			c.node(a.fieldAt(x.pos), b.fieldAt(x.pos), at.field(x.name))
		}
	}
}

func (c *changes) entries(a, b *node, at Path) {
	for _, e := range entriesOf(a) {
		c.node(e, b.entry(e.key), at.with(e.segment()))
	}
	for _, e := range entriesOf(b) {
		if a.entry(e.key) == nil {
			c.node(nil, e, at.with(e.segment()))
		}
	}
	if a == nil || b == nil || !a.form.order {
		return
	}
	before, after := commonKeys(a, b), commonKeys(b, a)
	if !slices.Equal(before, after) {
		c.list = append(c.list, Change{Path: at.String(), Kind: ChangeChanged, Old: keysJSON(before), New: keysJSON(after)})
	}
}

func (c *changes) add(at Path, a, b *node) {
	if !a.visible() && !b.visible() {
		return
	}
	if a != nil && b != nil && a.form.contextual && a.text == b.text {
		return // a default was written out, or is no longer
	}
	c.list = append(c.list, newChange(at, a, b))
}

func newChange(at Path, a, b *node) Change {
	kind := ChangeChanged
	switch {
	case !a.visible():
		kind, a = ChangeAdded, nil
	case !b.visible():
		kind, b = ChangeRemoved, nil
	}
	return Change{Path: at.String(), Kind: kind, Old: a.json(), New: b.json(), Secret: a.secret() || b.secret()}
}

// visible reports whether n says something to people: a default does.
func (n *node) visible() bool {
	return n != nil && (n.said() || n.form.kind == formLeaf || n.form.kind == formJSON)
}

// member is the member of a one-of group that n has set, nil if none.
func (f *form) member(n *node, group int) *formField {
	for _, field := range f.fields {
		if field.group == group && n.fieldAt(field.pos) != nil {
			return field
		}
	}
	return nil
}

// memberNode is a struct that has only one member of a group set.
func memberNode(n *node, f *formField) *node {
	if n == nil || f == nil {
		return nil
	}
	m := &node{form: n.form, fields: make([]*node, len(n.fields))}
	m.fields[f.pos] = n.fields[f.pos]
	return m
}

// segment is the path segment of an entry.
func (n *node) segment() segment {
	return segment{name: n.key, key: n.form.kind != formJSON || !isFieldName(n.key)}
}

func entriesOf(n *node) []*node {
	if n == nil {
		return nil
	}
	return n.entries
}

// commonKeys are the keys of a that b has too, in a's order.
func commonKeys(a, b *node) []string {
	var keys []string
	for _, e := range entriesOf(a) {
		if b.entry(e.key) != nil {
			keys = append(keys, e.key)
		}
	}
	return keys
}

func keysJSON(keys []string) JSON {
	b := []byte{'['}
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, k)
	}
	return append(b, ']')
}
