package appmodel

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/appspan-dev/appspan"
)

// locate finds a path in the model: the path in its normal spelling, and the
// form of the place.
func locate(p Path) (Path, *form, error) {
	f := modelForm()
	normal := Path{segs: make([]segment, 0, len(p.segs))}
	for _, s := range p.segs {
		next, seg, problem := f.below(s)
		if problem != "" {
			at := ""
			if !normal.IsZero() {
				at = normal.String() + ": "
			}
			return Path{}, nil, fmt.Errorf("%w: path %s: %s%s", appspan.ErrInvalid, p, at, problem)
		}
		normal.segs = append(normal.segs, seg)
		f = next
	}
	return normal, f, nil
}

// parseLocated is ParsePath and locate.
func parseLocated(s string) (Path, *form, error) {
	p, err := ParsePath(s)
	if err != nil {
		return p, nil, err
	}
	return locate(p)
}

// below is the form of what a segment names, the segment in its normal
// spelling, or the problem and the next step.
func (f *form) below(s segment) (*form, segment, string) {
	switch f.kind {
	case formStruct:
		if s.key {
			return nil, s, "has fields, no entries; write the field behind a dot"
		}
		if c := f.byName[s.name]; c != nil {
			return c.form, s, ""
		}
		next := ""
		if near := nearestField(f.typ, s.name, ""); near != "" {
			next = fmt.Sprintf("; did you mean %q?", near)
		}
		return nil, s, fmt.Sprintf("there is no field %q%s", s.name, next)
	case formList, formSet:
		if !s.key {
			return nil, s, fmt.Sprintf("is a list; name an entry in brackets before %q", s.name)
		}
		if !s.any {
			s.name = f.normalKey(s.name)
		}
		return f.elem, s, ""
	case formMap:
		s.key = true
		return f.elem, s, ""
	case formJSON:
		s.key = s.any || !isFieldName(s.name)
		return f, s, ""
	}
	return nil, s, "is replaced as a whole; leave out what stands behind it"
}

// child is the node that a segment in its normal spelling names.
func (n *node) child(s segment) *node {
	if n == nil {
		return nil
	}
	if n.form.kind != formStruct {
		return n.entry(s.name)
	}
	return n.fieldAt(n.form.byName[s.name].pos)
}

// at is the node at a path in its normal spelling, without wildcards.
func (n *node) at(p Path) *node {
	for _, s := range p.segs {
		n = n.child(s)
	}
	return n
}

// keyField reports whether a path is a field that its entry is named by.
func (n *node) keyField(p Path) bool {
	last := len(p.segs) - 1
	parent := n.at(Path{segs: p.segs[:last]})
	if parent == nil || parent.form.kind != formStruct {
		return false
	}
	f := parent.form.byName[p.segs[last].name]
	return f != nil && f.isKey
}

// delete removes what is at a path in its normal spelling.
func (n *node) delete(p Path) {
	if n == nil {
		return
	}
	s := p.segs[0]
	if n.form.kind == formJSON {
		n.value = reflect.Value{} // it is composed anew
	}
	switch {
	case len(p.segs) > 1:
		n.child(s).delete(Path{segs: p.segs[1:]})
	case n.form.kind == formStruct:
		n.fields[n.form.byName[s.name].pos] = nil
	default:
		n.setEntries(slices.DeleteFunc(slices.Clone(n.entries), func(e *node) bool { return e.key == s.name }))
	}
}
