package composefile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// leaf is one leaf of a source, with the place that it stands for.
type leaf struct {
	node *yaml.Node
	path string
	key  key
	// shared leaves stand under an anchor that other places refer to.
	shared bool
}

// leaves lists the leaves of a file once each, in its order, and where their
// anchored parts are used.
type leaves struct {
	values map[*yaml.Node]string
	list   []leaf
	uses   map[*yaml.Node][]key // leaves below anchors, by where aliases put them
	budget int
}

// walk lists the leaves below a node. Aliases are leaves themselves; what they
// refer to is visited as use only.
func (l *leaves) walk(n *yaml.Node, path string, k key, use bool, depth int) {
	if l.budget--; l.budget < 0 || depth > maxDepth {
		return
	}
	switch {
	case n.Kind == yaml.AliasNode:
		if !use {
			l.list = append(l.list, leaf{node: n, path: path, key: k})
		}
		l.walk(n.Alias, path, k, true, depth+1)
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, c := n.Content[i], n.Content[i+1]
			next := k.child(name.Value)
			if name.Tag == "!!merge" {
				next = k
				if use || c.Kind != yaml.SequenceNode {
					l.walk(c, child(path, "<<"), next, use, depth+1)
					continue
				}
				for j, part := range c.Content {
					l.walk(part, child(path, "<<")+"["+strconv.Itoa(j)+"]", next, use, depth+1)
				}
				continue
			}
			l.walk(c, child(path, name.Value), next, use, depth+1)
		}
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		for i, c := range n.Content {
			l.walk(c, path+"["+strconv.Itoa(i)+"]", k.child(l.identity(c, k)), use, depth+1)
		}
	case use:
		l.uses[n] = append(l.uses[n], k)
	default:
		l.list = append(l.list, leaf{node: n, path: path, key: k})
	}
}

// identity is what an item of a list is known by in the notes.
func (l *leaves) identity(n *yaml.Node, list key) string {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	parts := list.parts()
	attribute := parts[len(parts)-1]
	if n.Kind == yaml.MappingNode {
		field := func(name string) string {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == name {
					return l.values[n.Content[i+1]]
				}
			}
			return ""
		}
		switch attribute {
		case "ports":
			return portKey(field("target"), field("protocol"))
		case "volumes":
			return field("target")
		case "secrets", "configs":
			return field("source")
		case "env_file":
			return field("path")
		}
		return ""
	}
	v := l.values[n]
	switch attribute {
	case "environment", "labels", "annotations", "args", "sysctls":
		name, _, _ := strings.Cut(v, "=")
		return name
	case "ports":
		if ports, err := types.ParsePortConfig(v); err == nil && len(ports) > 0 {
			return portKey(strconv.Itoa(int(ports[0].Target)), ports[0].Protocol)
		}
	case "volumes":
		if volume, err := format.ParseVolume(v); err == nil {
			return volume.Target
		}
	case "tmpfs":
		v, _, _ = strings.Cut(v, ":")
	}
	return v
}

func portKey(number, protocol string) string { return number + "/" + cmp.Or(protocol, "tcp") }

// classify turns the leaves of a file into the report's.
func (im *importer) classify(s *source, root key) []Leaf {
	l := &leaves{values: im.reader.values, uses: map[*yaml.Node][]key{}, budget: 2 * maxNodes}
	l.walk(s.root, "", root, false, 0)
	out := make([]Leaf, 0, len(l.list))
	for _, lf := range l.list {
		n := im.noteFor(lf.key)
		switch uses := l.uses[lf.node]; {
		case lf.node.Kind == yaml.AliasNode:
			n = note{status: StatusImplied, why: fmt.Sprintf("stands for what is written in line %d", lf.node.Alias.Line)}
		case len(uses) > 0:
			// What is written once for several places is as good as the worst
			// of them; the place of the anchor itself counts unless it is a
			// mere x- key.
			keys := uses
			if !strings.HasPrefix(string(lf.key), "x-") {
				keys = append(slices.Clone(uses), lf.key)
			}
			n = im.noteFor(keys[0])
			for _, k := range keys[1:] {
				if other := im.noteFor(k); other.status.worse(n.status) {
					n = other
				}
			}
		}
		if missing := im.reader.missing[lf.node]; len(missing) > 0 && n.status.rank() < StatusDegraded.rank() && !im.generated[lf.key] {
			n.status = StatusDegraded
			n.why = fmt.Sprintf("nobody gave %s, which is empty", strings.Join(missing, ", "))
		}
		out = append(out, Leaf{File: s.file, Path: lf.path, Line: lf.node.Line, Status: n.status, To: n.to, Why: n.why})
	}
	return out
}

// noteFor is the note of the nearest place at or above k: what the mapping
// noted, else what the rules say.
func (im *importer) noteFor(k key) note {
	for at, ok := k, true; ok; at, ok = at.parent() {
		if n, there := im.notes[at]; there {
			return n
		}
	}
	return ruleFor(k.parts())
}

// positions finds where places are written, for messages and for order.
func (im *importer) positions(s *source, root key) {
	var walk func(n *yaml.Node, k key, depth int)
	walk = func(n *yaml.Node, k key, depth int) {
		if depth > maxDepth || len(im.at) > 2*maxNodes {
			return
		}
		if _, there := im.at[k]; !there {
			im.at[k] = position{s.file, n, len(im.at)}
		}
		switch n.Kind {
		case yaml.AliasNode:
			walk(n.Alias, k, depth+1)
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				next := k.child(n.Content[i].Value)
				if n.Content[i].Tag == "!!merge" {
					next = k
				}
				walk(n.Content[i+1], next, depth+1)
			}
		case yaml.SequenceNode:
			l := &leaves{values: im.reader.values}
			for _, c := range n.Content {
				walk(c, k.child(l.identity(c, k)), depth+1)
			}
		}
	}
	walk(s.root, root, 0)
}

// position is where a place is written first.
type position struct {
	file  string
	node  *yaml.Node
	order int
}
