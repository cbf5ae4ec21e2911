package manifests

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// separates reports whether a line begins a document.
func separates(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

// yamlLine finds the line in a message of the YAML decoder.
func yamlLine(text string) (int, string) {
	m := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(text)
	if m == nil {
		return 1, text
	}
	n, _ := strconv.Atoi(m[1])
	return n, m[2]
}

// source is the chart that Helm says a document comes from.
func source(data []byte) string {
	m := regexp.MustCompile(`(?m)^# Source: ([^/\s]+)/`).FindSubmatch(data)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// bounded checks depth, size, aliases and keys before anything is expanded.
func (r *reader) bounded(file string, n *yaml.Node, line, depth int) bool {
	at := func() (int, int) { return line + max(n.Line, 1) - 1, max(n.Column, 1) }
	r.nodes++
	switch {
	case depth > maxDepth:
		l, c := at()
		r.fault(file, l, c, "", fmt.Sprintf("nested more than %d deep", maxDepth), "flatten it; an anchor must not hold itself")
		return false
	case r.nodes > maxNodes:
		l, c := at()
		r.fault(file, l, c, "", fmt.Sprintf("more than %d values once aliases are expanded", maxNodes), "use fewer or smaller aliases, or split the input")
		r.full = true
		return false
	}
	if n.Kind == yaml.AliasNode {
		return r.bounded(file, n.Alias, line, depth+1)
	}
	if n.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode {
				r.fault(file, line+k.Line-1, k.Column, "", "a key that is no text", "write a plain name in front of the colon")
				return false
			}
			if seen[k.Value] && k.Tag != "!!merge" {
				r.fault(file, line+k.Line-1, k.Column, "", fmt.Sprintf("key %q stands there twice", cut(k.Value)), "keep one of the two")
			}
			seen[k.Value] = true
		}
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		if !r.bounded(file, c, line, depth+1) {
			return false
		}
	}
	return true
}

// build makes the tree of a value, with the positions of its node. Nodes that
// do not fit, as those of merged mappings, give the position of what holds
// them.
func build(n *yaml.Node, value any, line int) *place {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	p := &place{line: line + max(n.Line, 1) - 1, column: max(n.Column, 1)}
	switch v := value.(type) {
	case map[string]any:
		p.shape = mapping
		nodes := map[string]*yaml.Node{}
		var order []string
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if _, there := v[n.Content[i].Value]; there && nodes[n.Content[i].Value] == nil {
				nodes[n.Content[i].Value] = n.Content[i+1]
				order = append(order, n.Content[i].Value)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if nodes[key] == nil {
				nodes[key] = merged(n, key, 0)
				order = append(order, key)
			}
		}
		for _, key := range order {
			f := build(cmp.Or(nodes[key], n), v[key], line)
			f.key, f.name = key, pathName(key)
			p.fields = append(p.fields, f)
		}
	case []any:
		p.shape = list
		for i, e := range v {
			item := n
			if n.Kind == yaml.SequenceNode && i < len(n.Content) {
				item = n.Content[i]
			}
			f := build(item, e, line)
			f.name = "[" + strconv.Itoa(i) + "]"
			p.items = append(p.items, f)
		}
	default:
		p.value = v
	}
	return p
}

// merged finds the node of a key in what a mapping merges.
func merged(n *yaml.Node, key string, depth int) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if depth > 8 {
		return nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if found := merged(c, key, depth+1); found != nil {
				return found
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if depth > 0 && n.Content[i].Value == key {
				return n.Content[i+1]
			}
			if n.Content[i].Tag == "!!merge" {
				if found := merged(n.Content[i+1], key, depth+1); found != nil {
					return found
				}
			}
		}
	}
	return nil
}
