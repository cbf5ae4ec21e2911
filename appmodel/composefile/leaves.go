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
	// overruled is the later item of the same list that says the same thing
	// otherwise, of which compose takes the last.
	overruled *yaml.Node
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
		last := map[string]*yaml.Node{}
		for _, c := range n.Content {
			last[l.identity(c, k)] = c
		}
		for i, c := range n.Content {
			id, from := l.identity(c, k), len(l.list)
			l.walk(c, path+"["+strconv.Itoa(i)+"]", k.child(id), use, depth+1)
			if id != "" && last[id] != c && lastWins(k) {
				for j := range l.list[from:] {
					l.list[from+j].overruled = last[id]
				}
			}
		}
	case use:
		l.uses[n] = append(l.uses[n], k)
	default:
		l.list = append(l.list, leaf{node: n, path: path, key: k})
	}
}

// lastWins reports whether of two items for one thing compose takes the last.
func lastWins(list key) bool {
	parts := list.parts()
	switch parts[len(parts)-1] {
	case "environment", "labels", "annotations", "args", "sysctls", "volumes":
		return true
	}
	return false
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
	case "extra_hosts":
		if i := strings.IndexAny(v, "=:"); i > 0 {
			return v[:i]
		}
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
		case lf.overruled != nil:
			n = note{status: StatusUnsupported, why: fmt.Sprintf("overruled by line %d, as compose does", lf.overruled.Line)}
		case lf.node.Kind == yaml.AliasNode:
			n = note{status: StatusImplied, why: fmt.Sprintf("stands for what is written in line %d", lf.node.Alias.Line)}
		case len(uses) > 0:
			// What is written once for several places is as good as the worst
			// of them; the place of the anchor itself counts unless it is a
			// mere x- key.
			first := true
			for _, k := range append(slices.Clone(uses), lf.key) {
				if strings.HasPrefix(string(k), "x-") {
					continue
				}
				if other := im.noteFor(k); first || other.status.Worse(n.status) {
					n, first = other, false
				}
			}
		}
		missing := slices.DeleteFunc(slices.Clone(im.reader.missing[lf.node]), func(name string) bool {
			return im.reader.generated[name] && slices.ContainsFunc(append(slices.Clone(l.uses[lf.node]), lf.key), im.isGenerated)
		})
		if len(missing) > 0 {
			n.status = StatusDegraded
			n.why = fmt.Sprintf("nobody gave %s, which is empty", strings.Join(missing, ", "))
		}
		out = append(out, Leaf{File: s.file, Path: lf.path, Line: lf.node.Line, Status: n.status, To: n.to, Why: n.why})
	}
	return out
}

// isGenerated reports whether the generated value is used at a place or above.
func (im *importer) isGenerated(k key) bool {
	for ok := true; ok; k, ok = k.parent() {
		if im.generated[k] {
			return true
		}
	}
	return false
}

// noteFor is the note of the nearest place at or above k: what the mapping
// noted, else what the rules say.
func (im *importer) noteFor(k key) note {
	for at, ok := k, true; ok; at, ok = at.parent() {
		if n, there := im.notes[at]; there {
			return n
		}
	}
	if name := k.parts()[0]; strings.HasPrefix(name, "x-") && im.anchored(key(name)) {
		return note{status: StatusUnsupported, why: "written for aliases, and none uses it"}
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

// anchored reports whether there are anchors in what is written at a place.
func (im *importer) anchored(k key) bool {
	p, there := im.at[k]
	return there && hasAnchor(p.node)
}

func hasAnchor(n *yaml.Node) bool {
	return n.Anchor != "" || n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAnchor)
}
