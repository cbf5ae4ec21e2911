package composefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/template"
	"go.yaml.in/yaml/v3"
)

// Bounds of what is read.
const (
	maxInput    = 4 << 20 // bytes of one compose file
	maxDepth    = 64
	maxNodes    = 200_000  // after aliases, of all files together
	maxText     = 16 << 20 // bytes after aliases and variables
	maxServices = 2000
	maxTokens   = 1_000_000 // separators, which bound what the parser builds
	maxScalar   = 64 << 10  // bytes of a scalar with variables
	maxVars     = 1000      // variables of one scalar
	maxVarDepth = 8         // of ${A:-${B:-…}}
)

// source is one compose file that was read.
type source struct {
	file string
	root *yaml.Node
}

// reader turns compose files into plain values: bounded, with positions in
// its faults, with variables replaced.
type reader struct {
	environment map[string]string
	faults      appmodel.Faults
	nodes, text int
	// values are the scalars with variables replaced, missing the variables
	// that nobody gave and that have no default.
	values  map[*yaml.Node]string
	missing map[*yaml.Node][]string
	// wanted are the variables to be generated that were found, generated
	// those that count as given; marked are the scalars with their marks.
	wanted, generated             map[string]bool
	marked                        map[*yaml.Node]string
	wholePattern, variablePattern *regexp.Regexp
}

func newReader(environment map[string]string) *reader {
	return &reader{
		environment: environment, values: map[*yaml.Node]string{}, missing: map[*yaml.Node][]string{},
		wanted: map[string]bool{}, marked: map[*yaml.Node]string{},
		wholePattern:    regexp.MustCompile(`^\$(?:\{(\w+)\}|(\w+))$`),
		variablePattern: regexp.MustCompile(`^services.+\.environment(?:\.<<(?:\[\d+\])?)*(?:\.([^.\[]+)|\["([^"]+)"\]|\[\d+\])$`),
	}
}

// fault records an error at a node.
func (r *reader) fault(file string, n *yaml.Node, path, problem, next string) {
	f := appmodel.Fault{File: file, Path: path, Problem: problem, Next: next, Severity: appmodel.SeverityError}
	if n != nil {
		f.Line, f.Column = n.Line, n.Column
	}
	if len(r.faults) < 100 {
		r.faults = append(r.faults, f)
	}
}

// parse reads one YAML document into nodes; nil after a fault.
func (r *reader) parse(file string, data []byte) *source {
	if len(data) > maxInput {
		r.fault(file, nil, "", fmt.Sprintf("%d MiB, more than 4 MiB", len(data)>>20), "move file contents out of the compose file")
		return nil
	}
	tokens := 0
	for _, c := range data {
		switch c {
		case '\n', ',', '[', '{', ':', '-':
			tokens++
		}
	}
	if tokens > maxTokens {
		r.fault(file, nil, "", "too many entries", "split the file into several applications")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.fault(file, nil, "", "the file is empty", "write at least one service under services:")
			return nil
		}
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		line := 0
		if m := yamlLine(text); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = m[2]
		} else if at := bytes.IndexFunc(data, notText); at >= 0 {
			line = 1 + bytes.Count(data[:at], []byte("\n"))
		}
		r.faults = append(r.faults, appmodel.Fault{File: file, Line: line, Column: min(line, 1), Problem: "no YAML: " + text,
			Next: "check the indentation and quotes there", Severity: appmodel.SeverityError})
		return nil
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		r.fault(file, &second, "", "a second document", "keep one document a file")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.fault(file, nil, "", "no YAML: "+strings.TrimPrefix(err.Error(), "yaml: "), "check the indentation and quotes there")
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		var top *yaml.Node
		if len(doc.Content) > 0 {
			top = doc.Content[0]
		}
		r.fault(file, top, "", "the top level is no mapping", "write at least one service under services:")
		return nil
	}
	return &source{file: file, root: doc.Content[0]}
}

// notText reports what no text file holds.
func notText(c rune) bool {
	return c == utf8.RuneError || c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f
}

func yamlLine(text string) []string {
	return regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(text)
}

// value converts a node; ok is false once a bound is crossed, which ends all.
func (r *reader) value(s *source, n *yaml.Node, path string, depth int) (v any, ok bool) {
	r.nodes++
	switch {
	case depth > maxDepth:
		r.fault(s.file, n, path, fmt.Sprintf("nested more than %d deep", maxDepth), "flatten it; an anchor must not hold itself")
		return nil, false
	case r.nodes > maxNodes:
		r.fault(s.file, n, "", fmt.Sprintf("more than %d nodes once aliases are expanded", maxNodes), "use fewer or smaller aliases")
		return nil, false
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(s, n.Alias, path, depth+1)
	case yaml.MappingNode:
		return r.mapping(s, n, path, depth)
	case yaml.SequenceNode:
		if n.Tag != "!!seq" && n.Tag != "" {
			r.fault(s.file, n, path, "tag "+cut(n.Tag), "remove it: one file has nothing to reset or override")
		}
		list := make([]any, 0, len(n.Content))
		for i, c := range n.Content {
			item, ok := r.value(s, c, path+"["+strconv.Itoa(i)+"]", depth+1)
			if !ok {
				return nil, false
			}
			list = append(list, item)
		}
		return list, true
	}
	return r.scalar(s, n, path)
}

func (r *reader) mapping(s *source, n *yaml.Node, path string, depth int) (any, bool) {
	if n.Tag != "!!map" && n.Tag != "" {
		r.fault(s.file, n, path, "tag "+cut(n.Tag), "remove it: one file has nothing to reset or override")
	}
	m := make(map[string]any, len(n.Content)/2)
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, c := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" {
			merges = append(merges, c)
			continue
		}
		if k.Kind != yaml.ScalarNode || k.Tag != "!!str" && k.Tag != "!!int" && k.Tag != "!!float" && k.Tag != "!!bool" {
			r.fault(s.file, k, path, "a key that is no text", "write a plain name in front of the colon")
			continue
		}
		if first := seen[k.Value]; first != nil {
			r.fault(s.file, k, child(path, k.Value), fmt.Sprintf("key %q stands already in line %d", cut(k.Value), first.Line), "keep one of the two")
			continue
		}
		seen[k.Value] = k
		r.text += len(k.Value)
		v, ok := r.value(s, c, child(path, k.Value), depth+1)
		if !ok {
			return nil, false
		}
		m[k.Value] = v
	}
	for _, merge := range merges {
		parts := []*yaml.Node{merge}
		if merge.Kind == yaml.SequenceNode {
			parts = merge.Content
		}
		for _, part := range parts {
			v, ok := r.value(s, part, child(path, "<<"), depth+1)
			if !ok {
				return nil, false
			}
			from, isMap := v.(map[string]any)
			if !isMap {
				r.fault(s.file, part, child(path, "<<"), "merges what is no mapping", "let the alias name a mapping")
				continue
			}
			for k, v := range from {
				if _, there := m[k]; !there {
					m[k] = v
				}
			}
		}
	}
	return m, true
}

func (r *reader) scalar(s *source, n *yaml.Node, path string) (any, bool) {
	if r.text += len(n.Value); r.text > maxText {
		r.fault(s.file, n, "", "more than 16 MiB once aliases and variables are expanded", "use fewer of them")
		return nil, false
	}
	switch n.Tag {
	case "!!str", "!!timestamp", "":
		v, ok := r.substitute(s, n, path)
		return plainBool(path, v), ok
	case "!!null", "!!bool", "!!int", "!!float":
		if n.Tag == "!!null" {
			r.want(path, "", true)
		}
		r.values[n] = n.Value
		var v any
		if err := n.Decode(&v); err != nil {
			return n.Value, true
		}
		return v, true
	}
	r.fault(s.file, n, path, "tag "+cut(n.Tag), "remove it: one file has nothing to reset or override")
	return nil, true
}

// plainBool turns yes and no of YAML 1.1 into booleans where one is wanted.
func plainBool(path, v string) any {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "privileged", "read_only", "init", "tty", "stdin_open", "external", "internal", "attachable", "required", "disable",
		"nocopy", "oom_kill_disable", "enable_ipv4", "enable_ipv6", "use_service_name_alias":
	default:
		return v
	}
	for _, free := range []string{".environment.", ".labels.", ".annotations.", ".args.", "x-"} {
		if strings.Contains(path, free) {
			return v
		}
	}
	switch strings.ToLower(v) {
	case "y", "yes", "on":
		return true
	case "n", "no", "off":
		return false
	}
	return v
}

// substitute replaces the variables of a scalar.
func (r *reader) substitute(s *source, n *yaml.Node, path string) (string, bool) {
	r.want(path, n.Value, false)
	if !strings.ContainsRune(n.Value, '$') {
		r.values[n] = n.Value
		return n.Value, true
	}
	if v, done := r.marked[n]; done {
		r.text += len(v)
		return v, true
	}
	if problem := varBounds(n.Value); problem != "" {
		r.fault(s.file, n, path, problem, "write the value itself")
		return "", true
	}
	var missing []string
	size := 0
	v, err := template.SubstituteWithOptions(n.Value, func(name string) (string, bool) {
		v, there := r.lookup(name, n.Value)
		if _, given := r.environment[name]; !given {
			missing = append(missing, name)
		}
		size += len(v)
		return v, there && size <= maxText
	}, template.WithoutLogging)
	if err != nil {
		r.fault(s.file, n, path, cut(err.Error()), "give the variable a value in Options.Environment, or write $$ for a dollar")
		return "", true
	}
	if r.text += len(v); r.text > maxText || size > maxText {
		r.fault(s.file, n, "", "more than 16 MiB once aliases and variables are expanded", "use fewer of them")
		return "", false
	}
	r.values[n], r.marked[n] = unmarked(v), v
	for _, name := range missing { // those with a default are not missed
		if r.generated[name] || strings.Contains(n.Value, "${"+name+"}") || strings.Contains(n.Value, "$"+name) {
			r.missing[n] = append(r.missing[n], name)
		}
	}
	return v, true
}

// varBounds keeps the recursion of defaults within defaults small.
func varBounds(v string) string {
	if len(v) > maxScalar {
		return "variables in a text of more than 64 KiB"
	}
	depth, deepest, count := 0, 0, 0
	for i := range len(v) {
		switch {
		case v[i] == '{' && i > 0 && v[i-1] == '$':
			depth++
			count++
			deepest = max(deepest, depth)
		case v[i] == '}' && depth > 0:
			depth--
		}
	}
	switch {
	case deepest > maxVarDepth:
		return "variables nested too deep"
	case count > maxVars:
		return "too many variables in one text"
	}
	return ""
}

// child is the path of a mapping's entry.
func child(path, name string) string {
	if simpleName(name) {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	return path + "[" + strconv.Quote(name) + "]"
}

func simpleName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '<' {
			return false
		}
	}
	return s != ""
}

// cut shortens what a message quotes.
func cut(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
