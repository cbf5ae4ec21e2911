package appmodel

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// overrideSet reads the partial document of an override, and checks its types
// by reading it as an application too.
func (d *decoder) overrideSet(n *yaml.Node, set *OverrideSet, at Path) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, at, "is "+describe(n)+", not a partial application", "write what changes: components, routes, …")
		return
	}
	quiet := &decoder{partial: true}
	set.JSON, _ = quiet.json(nil, n, Path{})
	part := &decoder{file: d.file, partial: true}
	var a Application
	part.structure(n, reflect.ValueOf(&a).Elem(), Path{})
	part.reach(n, Path{})
	for _, f := range part.list.faults {
		f.Path = strings.TrimSuffix(at.String()+"."+f.Path, ".")
		d.list.add(f)
	}
	d.list.overflow += part.list.overflow
}

// reach faults what an override may not set, and entries without their key or
// twice.
func (d *decoder) reach(n *yaml.Node, at Path) {
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := deref(n.Content[i])
			p := at.field(key.Value)
			if _, _, err := locate(p); err != nil {
				continue
			}
			if outOfReach(p) && p.String() != "metadata" {
				d.fault(key, p, "is out of an override's reach", "change it in the application")
				continue
			}
			d.reach(n.Content[i+1], p)
		}
	case yaml.SequenceNode:
		list := listForm(at)
		if list == nil {
			return
		}
		seen := map[string]bool{}
		for i, e := range n.Content {
			key := entryKey(list, deref(e), i)
			p := at.entry(key)
			switch {
			case strings.HasPrefix(key, "#"):
				d.fault(e, p, "has no "+list.keys[0].name, "entries of this list are told apart by it")
				continue
			case seen[key]:
				d.fault(e, p, "stands twice", "write one entry")
			}
			seen[key] = true
			d.reach(e, p)
		}
	}
}

// validateOverride checks what of an override its decoding does not.
func validateOverride(o *Override) Faults {
	v := newChecker()
	v.shape(nil, reflect.ValueOf(o).Elem(), Path{})
	v.name(o.Metadata.Name, Path{}.field("metadata").field("name"))
	at := Path{}.field("remove")
	for _, s := range o.Remove {
		p, _, err := parseLocated(s)
		switch {
		case err != nil:
			v.fail(at.entry(s), err)
		case p.wildcards() > 0:
			v.errorf(at.entry(s), "write one line for each", "names more than one thing")
		case outOfReach(p):
			v.errorf(at.entry(s), "change it in the application", "is out of an override's reach")
		}
	}
	return v.list.sorted()
}

// validateEnvironment checks what of an environment its decoding does not.
func validateEnvironment(e *Environment) Faults {
	v := newChecker()
	v.shape(nil, reflect.ValueOf(e).Elem(), Path{})
	v.name(e.Metadata.Name, Path{}.field("metadata").field("name"))
	if e.Application != "" {
		v.name(e.Application, Path{}.field("application"))
	}
	seen := map[string]int{}
	for i, b := range e.Bindings {
		at := Path{}.field("bindings").entry(b.Component + "/" + b.Need)
		if first, twice := seen[b.Component+"/"+b.Need]; twice {
			v.errorf(at, "remove one of the two", "is bound twice, in entries %d and %d", first+1, i+1)
		}
		seen[b.Component+"/"+b.Need] = i
	}
	for i, u := range e.Overrides {
		if u.Clusters != nil && len(u.Clusters.Names) == 0 && len(u.Clusters.Labels) == 0 {
			v.errorf(Path{}.field("overrides").entry(fmt.Sprintf("#%d", i+1)).field("clusters"),
				"name clusters or labels, or leave it out for all", "chooses no cluster")
		}
	}
	return v.list.sorted()
}
