package manifests

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// place is one value of an input object, and what became of it. All methods
// take a nil place as one that is not there.
type place struct {
	name         string // as a path has it: ".spec", "[0]", `["a.b/c"]`
	key          string // of a mapping's entry
	line, column int
	value        any      // of a scalar
	fields       []*place // of a mapping
	items        []*place // of a list
	shape        shape

	fate *fate // of a leaf
	// form: what the leaf means is said by a field, but how it is written is
	// not, so a patch writes it.
	form bool
}

type shape byte

const (
	scalar shape = iota
	mapping
	list
)

// fate is what became of a leaf.
type fate struct {
	status  fidelity.Status
	to, why string
}

// get is the place below, nil if there is none.
func (p *place) get(names ...string) *place {
	for _, name := range names {
		if p == nil {
			return nil
		}
		var next *place
		for _, f := range p.fields {
			if f.key == name {
				next = f
				break
			}
		}
		p = next
	}
	return p
}

// list is the entries of a list, or nothing.
func (p *place) list() []*place {
	if p == nil {
		return nil
	}
	return p.items
}

// entries are the fields of a mapping, or nothing.
func (p *place) entries() []*place {
	if p == nil {
		return nil
	}
	return p.fields
}

// null reports whether nothing is there.
func (p *place) null() bool { return p == nil || p.shape == scalar && p.value == nil }

// leaf reports whether the place has nothing below.
func (p *place) leaf() bool { return len(p.fields)+len(p.items) == 0 }

// text is a scalar as text, and accounts for nothing.
func (p *place) text() string {
	if p == nil || p.value == nil {
		return ""
	}
	switch v := p.value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(p.value)
}

// is reports whether a scalar is this text.
func (p *place) is(text string) bool {
	return p != nil && p.shape == scalar && p.value != nil && p.text() == text
}

// truth reports whether a scalar is true, and accounts for nothing.
func (p *place) truth() bool { return p != nil && p.value == true }

// count is a whole number, and accounts for nothing.
func (p *place) count() int64 {
	if p == nil {
		return 0
	}
	switch v := p.value.(type) {
	case int64:
		return v
	case float64:
		return int64(v)
	}
	return 0
}

// settle says what became of all leaves below of which nobody spoke yet.
func (p *place) settle(status fidelity.Status, to, why string) {
	p.leaves(func(l *place) {
		if l.fate == nil {
			l.fate = &fate{status, to, why}
		}
	})
}

// take accounts for everything below as said by a field of the application.
func (p *place) take(to string) { p.settle(fidelity.Mapped, to, "") }

// str reads a scalar into a field.
func (p *place) str(to string) string {
	p.take(to)
	return p.text()
}

// num reads a whole number into a field.
func (p *place) num(to string) int64 {
	p.take(to)
	return p.count()
}

// yes reads a truth value into a field, which can only say true.
func (p *place) yes(to string) bool {
	if p.truth() {
		p.take(to)
		return true
	}
	p.settle(fidelity.Implied, "", "the default")
	return false
}

// strings reads a list of scalars into a field.
func (p *place) strings(to string) []string {
	p.take(to)
	return p.texted()
}

// texted is a list of scalars, and accounts for nothing.
func (p *place) texted() []string {
	var out []string
	for _, i := range p.list() {
		out = append(out, i.text())
	}
	return out
}

// texts is a mapping of scalars, and accounts for nothing.
func (p *place) texts() map[string]string {
	if p == nil || len(p.fields) == 0 {
		return nil
	}
	out := make(map[string]string, len(p.fields))
	for _, f := range p.fields {
		out[f.key] = f.text()
	}
	return out
}

// shaped accounts for everything below as said by a field, and has a patch
// write it as it stood.
func (p *place) shaped(to, why string) {
	p.leaves(func(l *place) {
		if l.fate == nil {
			l.fate = &fate{fidelity.Mapped, to, why}
		}
		l.form = true
	})
}

// leaves visits the leaves below in their order.
func (p *place) leaves(visit func(*place)) {
	if p == nil {
		return
	}
	if p.leaf() {
		visit(p)
		return
	}
	for _, f := range p.fields {
		f.leaves(visit)
	}
	for _, i := range p.items {
		i.leaves(visit)
	}
}

// reset forgets what became of everything below.
func (p *place) reset() {
	p.leaves(func(l *place) { l.fate, l.form = nil, false })
}

// plain is the value as JSON knows it.
func (p *place) plain() any {
	if p == nil {
		return nil
	}
	switch p.shape {
	case mapping:
		m := make(map[string]any, len(p.fields))
		for _, f := range p.fields {
			m[f.key] = f.plain()
		}
		return m
	case list:
		l := make([]any, len(p.items))
		for i, v := range p.items {
			l[i] = v.plain()
		}
		return l
	}
	return p.value
}

// json is the value as JSON; scalars of YAML always encode.
func (p *place) json() []byte {
	data, _ := json.Marshal(p.plain())
	return data
}

// find follows a path as apimachinery's decoders write it: spec.containers[0].image.
// It returns the deepest place that is there.
func (p *place) find(path string) *place {
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' || r == '"' }) {
		next := p.get(part)
		if n, err := strconv.Atoi(part); err == nil && next == nil && n >= 0 && n < len(p.list()) {
			next = p.items[n]
		}
		if next == nil {
			return p
		}
		p = next
	}
	return p
}

// pathName is how a path writes the entry of a mapping.
func pathName(key string) string {
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return "[" + strconv.Quote(key) + "]"
		}
	}
	if key == "" {
		return `[""]`
	}
	return "." + key
}
