package appmodel

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Resolve returns a with the answers to its parameters put in: what a
// parameter `sets` takes its answer, with the type checked. It also returns
// the values of all parameters, for templates: the answer, else the default,
// else the value that stands in the first field that the parameter sets.
//
// A parameter without default and `sets` must be answered, unless `when` may
// hide it: such a one without an answer has no value. Whether answers fit
// their schemas, and CEL, are the installer's business. Every fault is
// reported at once, those of the result's validation included, and none shows
// an answer that is secret; the values returned are not redacted.
func Resolve(a *Application, answers map[string]JSON) (*Application, map[string]JSON, error) {
	if a != nil && len(a.Parameters) == 0 && len(answers) == 0 {
		if err := Validate(a).Err(); err != nil {
			return nil, nil, err
		}
		return Clone(a), map[string]JSON{}, nil
	}
	tree, err := newTree(a)
	if err != nil {
		return nil, nil, err
	}
	ed := &editor{tree: tree}
	ed.known(a, answers)
	values := map[string]JSON{}
	for _, p := range a.Parameters {
		at := Path{}.field("parameters").entry(p.Name)
		answer, answered := answers[p.Name]
		targets := ed.targets(p, at)
		switch {
		case answered && (len(answer) == 0 || string(bytes.TrimSpace(answer)) == "null"):
			ed.fault(at.String(), "is answered with null", "give a value, or leave the answer out")
			continue
		case answered:
		case len(p.Default) > 0:
			answer = p.Default
		case len(targets) > 0:
			if n := tree.at(targets[0]); n != nil {
				values[p.Name] = n.appendJSONSecrets(nil, false, true)
			}
			continue
		case p.When != "":
			continue
		default:
			ed.fault(at.String(), "has no answer", "give one: the parameter has no default")
			continue
		}
		values[p.Name] = slices.Clone(answer)
		for _, target := range targets {
			ed.answer(p, at, target, answer)
		}
	}
	faults := ed.faults.sorted()
	if err := faults.Err(); err != nil {
		return nil, nil, err
	}
	result := tree.application()
	if err := Validate(result).Err(); err != nil {
		return nil, nil, err
	}
	return result, values, nil
}

// known faults answers to what was not asked.
func (ed *editor) known(a *Application, answers map[string]JSON) {
	names := make([]string, len(a.Parameters))
	for i, p := range a.Parameters {
		names[i] = p.Name
	}
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		if slices.Contains(names, name) {
			continue
		}
		next := didYouMean(name, names)
		if next == "" {
			next = "leave the answer out"
		}
		ed.fault("answers", fmt.Sprintf("there is no parameter %q", name), next)
	}
}

// targets are the fields that a parameter sets.
func (ed *editor) targets(p Parameter, at Path) []Path {
	var paths []Path
	for _, s := range p.Sets {
		target, f, err := parseLocated(s)
		switch {
		case err != nil:
			ed.fail(at.field("sets").String(), err)
		case target.wildcards() > 0:
			ed.fault(at.field("sets").String(), s+" names more than one field", "write one path for each")
		case f.kind != formLeaf && f.kind != formJSON || target.segs[0].name == "parameters":
			ed.fault(at.field("sets").String(), s+" is no field that takes a value", "name a typed field")
		case ed.tree.keyField(target):
			ed.fault(at.field("sets").String(), s+" is what its entry is named by", "name another field")
		default:
			paths = append(paths, target)
		}
	}
	return paths
}

// answer puts an answer into a field. Entries on the way must be there;
// structs and maps are made.
func (ed *editor) answer(p Parameter, at, target Path, answer JSON) {
	n := ed.tree
	for i, s := range target.segs {
		last := i == len(target.segs)-1
		below, _, _ := n.form.below(s)
		next := n.child(s)
		if next == nil && n.form.kind == formList {
			ed.fault(at.field("sets").String(), fmt.Sprintf("there is no %s", Path{segs: target.segs[:i+1]}), "add it, or correct the path")
			return
		}
		if next != nil && n.form.kind == formList {
			defer next.keepName(n.form)
		}
		if last {
			ed.put(p, at, n, s, below, target, answer)
			return
		}
		if next == nil {
			next = &node{form: below}
			if below.kind == formStruct {
				next.fields = make([]*node, len(below.fields))
			}
			if below.kind == formJSON {
				next.object = true
			}
			n.place(s, next)
		}
		if next.implied {
			next.implied = false
		}
		if next.form.kind == formJSON {
			next.value = reflect.Value{}
		}
		n = next
	}
}

// put sets the last field of a path.
func (ed *editor) put(p Parameter, at Path, n *node, s segment, f *form, target Path, answer JSON) {
	if n.form.kind == formJSON && !n.object {
		ed.fault(at.field("sets").String(), fmt.Sprintf("%s lies in no object", target), "correct the path")
		return
	}
	leaf := &node{form: f}
	if f.kind == formJSON {
		leaf = jsonNode(f, slices.Clone(answer))
	} else {
		var err error
		if leaf, err = leafNode(f, answer); err != nil {
			problem, _ := problemOf(err)
			what := "the answer"
			if !p.Secret && len(answer) <= 64 {
				what = "the answer " + string(answer)
			}
			ed.fault(at.String(), fmt.Sprintf("%s %s, as %s takes it", what, problem, target), "correct the answer")
			return
		}
	}
	n.place(s, leaf)
}

// place sets what a segment names; a member of a one-of group drops the
// others.
func (n *node) place(s segment, c *node) {
	if n.form.kind != formStruct {
		c.key = s.name
		if i, ok := n.index[s.name]; ok {
			n.entries[i] = c
		} else {
			n.put(c)
		}
		return
	}
	f := n.form.byName[s.name]
	for _, o := range n.form.fields {
		if f.group != 0 && o.group == f.group {
			n.fields[o.pos] = nil
		}
	}
	n.fields[f.pos] = c
}
