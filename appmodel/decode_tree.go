package appmodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of a document.
const (
	maxDocument = 4 << 20
	maxDepth    = 64
	maxNodes    = 200_000
)

// deref follows an alias.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// parse reads data into a tree within the bounds; nil after a fault.
func (d *decoder) parse(data []byte) *yaml.Node {
	start := &yaml.Node{Line: 1, Column: 1}
	if len(data) > maxDocument {
		d.fault(start, Path{}, fmt.Sprintf("the document has %d bytes, more than 4 MiB", len(data)),
			"split it into several applications, or move large files into volumes")
		return nil
	}
	if i := invalidUTF8(data); i >= 0 {
		line := 1 + bytes.Count(data[:i], []byte("\n"))
		d.fault(&yaml.Node{Line: line, Column: 1}, Path{}, "the document is not UTF-8", "save it as UTF-8; binary files go under base64")
		return nil
	}
	var root *yaml.Node
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(data) {
		root = d.parseJSON(data)
	} else {
		root = d.parseYAML(data)
	}
	if root == nil {
		return nil
	}
	m := &treeMeasure{d: d, sizes: map[*yaml.Node]treeSize{}}
	size := m.measure(root, 1)
	if !m.ok() {
		return nil
	}
	if size.nodes > maxNodes {
		d.fault(root, Path{}, fmt.Sprintf("the document has more than %d nodes with its aliases expanded", maxNodes),
			"split it into several applications")
		return nil
	}
	return root
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

var (
	yamlErrorLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	yamlAnchor    = regexp.MustCompile(`anchor '([^']*)'`)
)

func (d *decoder) parseYAML(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		d.fault(&yaml.Node{Line: 1, Column: 1}, Path{}, "the document is empty", "begin with apiVersion: "+APIVersion)
		return nil
	}
	if err == nil {
		switch second := dec.Decode(&second); {
		case second == nil:
			err = errors.New("yaml: a second document; give each its own file")
		case !errors.Is(second, io.EOF):
			err = second
		}
	}
	if err != nil {
		at := &yaml.Node{Line: 1, Column: 1}
		if m := yamlErrorLine.FindStringSubmatch(err.Error()); m != nil && m[1] != "" {
			at.Line, _ = strconv.Atoi(m[1])
		}
		if second.Line > 0 {
			at.Line, at.Column = second.Line, second.Column
		}
		problem, next, _ := strings.Cut(yamlErrorLine.ReplaceAllString(err.Error(), ""), "; ")
		if next == "" {
			if m := yamlAnchor.FindStringSubmatch(problem); m != nil { // it may be a secret value that begins with *
				problem = yamlAnchor.ReplaceAllString(problem, "anchor")
				if before, _, found := bytes.Cut(data, []byte("*"+m[1])); found {
					at.Line, at.Column = bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n')
				}
			}
			problem, next = "is not YAML: "+cut(problem), "look at the indentation, quotes and brackets before this line"
		}
		d.fault(at, Path{}, problem, next)
		return nil
	}
	return doc.Content[0]
}

// treeSize is the size of a node with aliases expanded.
type treeSize struct{ nodes, height int }

// treeMeasure measures without expanding anything.
type treeMeasure struct {
	d     *decoder
	sizes map[*yaml.Node]treeSize // of what aliases lead to; zero: being measured
	bad   bool
}

func (m *treeMeasure) ok() bool { return !m.bad }

func (m *treeMeasure) fault(n *yaml.Node, problem, next string) treeSize {
	m.bad = true
	m.d.fault(n, Path{}, problem, next)
	return treeSize{1, 1}
}

func (m *treeMeasure) measure(n *yaml.Node, depth int) treeSize {
	if n.Kind == yaml.AliasNode {
		size, known := m.sizes[n.Alias]
		if !known || size.nodes == 0 {
			return m.fault(n, fmt.Sprintf("the alias *%s leads to itself", cut(n.Value)), "write the value out")
		}
		if depth+size.height-1 > maxDepth {
			return m.fault(n, fmt.Sprintf("is nested deeper than %d levels", maxDepth), "make it flatter")
		}
		return size
	}
	if depth > maxDepth {
		return m.fault(n, fmt.Sprintf("is nested deeper than %d levels", maxDepth), "make it flatter")
	}
	if n.Anchor != "" {
		m.sizes[n] = treeSize{}
	}
	switch {
	case n.Tag == "!!merge":
		m.fault(n, "merge keys (<<) are not read", "write the fields out, or quote the key")
	case n.Style&yaml.TaggedStyle != 0 && (n.Tag != "!!str" || n.Kind != yaml.ScalarNode):
		m.fault(n, fmt.Sprintf("the tag %q is not read", cut(n.Tag)), "leave it out")
	}
	size := treeSize{1, 1}
	for _, c := range n.Content {
		inner := m.measure(c, depth+1)
		size.nodes = min(size.nodes+inner.nodes, maxNodes+1)
		size.height = max(size.height, inner.height+1)
	}
	if n.Anchor != "" {
		m.sizes[n] = size
	}
	return size
}

// parseJSON reads valid JSON into the same tree.
func (d *decoder) parseJSON(data []byte) *yaml.Node {
	p := &jsonParser{d: d, data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	for i, c := range data {
		if c == '\n' {
			p.lines = append(p.lines, i)
		}
	}
	root := p.value(1)
	if p.bad {
		return nil
	}
	return root
}

type jsonParser struct {
	d     *decoder
	data  []byte
	dec   *json.Decoder
	lines []int // offsets of the line ends
	nodes int
	bad   bool
}

// value reads one value; it stops at the first fault.
func (p *jsonParser) value(depth int) *yaml.Node {
	n := p.position()
	if p.nodes++; p.nodes > maxNodes || depth > maxDepth {
		p.bad = true
		p.d.fault(n, Path{}, fmt.Sprintf("the document has more than %d nodes or %d levels", maxNodes, maxDepth), "split it, or make it flatter")
		return n
	}
	start := p.dec.InputOffset()
	token, err := p.dec.Token()
	if err != nil {
		p.bad = true
		p.d.fault(n, Path{}, "is not JSON", "look at the quotes and brackets before this line")
		return n
	}
	switch t := token.(type) {
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for p.dec.More() && !p.bad {
			if t == '{' {
				n.Content = append(n.Content, p.value(depth+1))
			}
			n.Content = append(n.Content, p.value(depth+1))
		}
		if !p.bad {
			_, _ = p.dec.Token()
		}
		return n
	case string:
		n.Value, n.Style = t, yaml.DoubleQuotedStyle
		raw := p.data[start:p.dec.InputOffset()]
		if strings.ContainsRune(t, utf8.RuneError) && !bytes.Contains(raw, []byte("\uFFFD")) &&
			!bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
			p.bad = true
			p.d.fault(n, Path{}, "holds half of a surrogate pair", "write the character itself")
		}
	case json.Number:
		n.Value = t.String()
	case bool:
		n.Value = strconv.FormatBool(t)
	default:
		n.Value = "null"
	}
	n.Kind = yaml.ScalarNode
	return n
}

// position is a node at the next token.
func (p *jsonParser) position() *yaml.Node {
	at := int(p.dec.InputOffset())
	for at < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[at]) >= 0 {
		at++
	}
	line := sort.SearchInts(p.lines, at)
	column := at + 1
	if line > 0 {
		column = at - p.lines[line-1]
	}
	return &yaml.Node{Line: line + 1, Column: column}
}
