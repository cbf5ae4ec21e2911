package appmodel

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// json appends a node as JSON: members in their order, numbers as written.
// What versions of YAML read differently is a fault.
func (d *decoder) json(b []byte, n *yaml.Node, at Path) (JSON, bool) {
	n = deref(n)
	ok := true
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		first := true
		d.pairs(n, at, func(key, value *yaml.Node) {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(appendString(b, key.Value), ':')
			var fine bool
			b, fine = d.json(b, value, at.entry(key.Value))
			ok = ok && fine
		})
		return append(b, '}'), ok
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, e := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			var fine bool
			b, fine = d.json(b, e, at.entry(fmt.Sprintf("#%d", i+1)))
			ok = ok && fine
		}
		return append(b, ']'), ok
	}
	switch resolve(n) {
	case scalarNull:
		if d.partial {
			d.fault(n, at, "is null, which says nothing", "to remove it, list its path under remove")
			return append(b, "null"...), false
		}
		return append(b, "null"...), true
	case scalarBool:
		return append(b, strings.ToLower(n.Value)...), true
	case scalarNumber:
		return append(b, n.Value...), true
	case scalarOldBool:
		d.fault(n, at, fmt.Sprintf("%s is a boolean to some readers of YAML and text to others", n.Value), fmt.Sprintf("write true or false, or quote it: %q", n.Value))
		return append(b, "null"...), false
	case scalarOddNumber:
		d.fault(n, at, cut(n.Value)+" may be read in more than one way", fmt.Sprintf("write it with decimal digits, or quote it: %q", cut(n.Value)))
		return append(b, "null"...), false
	}
	return appendString(b, n.Value), true
}
