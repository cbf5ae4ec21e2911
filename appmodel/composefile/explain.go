package composefile

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// explain makes a fault with a position of an error of compose-go.
func (l *loads) explain(err error) error {
	if ctxErr := l.ctx.Err(); ctxErr != nil && errors.Is(err, ctxErr) {
		return err
	}
	return appmodel.Faults{l.faultOf(l.im.opts.File, err)}.Err()
}

// fault records an error at what is written at a path, or as near to it as
// can be.
func (l *loads) fault(file string, parts []string, problem, next string) {
	if r := l.im.reader; len(r.faults) < 100 {
		r.faults = append(r.faults, l.faultAt(file, parts, problem, next))
	}
}

func (l *loads) faultAt(file string, parts []string, problem, next string) appmodel.Fault {
	shown := ""
	for _, part := range parts {
		if _, err := strconv.Atoi(part); err == nil {
			shown += "[" + part + "]"
		} else {
			shown = child(shown, part)
		}
	}
	f := appmodel.Fault{File: file, Path: shown, Problem: problem, Next: next, Severity: appmodel.SeverityError}
	best := 0
	for _, src := range l.files {
		n, found := l.locate(src.source.root, parts)
		if found > best || found == best && n != nil && f.Line == 0 && src.source.file == file {
			best = found
			f.File, f.Line, f.Column = src.source.file, n.Line, n.Column
		}
	}
	return f
}

// locate walks down a path as far as it is written.
func (l *loads) locate(n *yaml.Node, parts []string) (at *yaml.Node, found int) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	at = n
	if len(parts) == 0 {
		return at, 0
	}
	try := func(c *yaml.Node, used int) {
		if deeper, more := l.locate(c, parts[used:]); used+more > found {
			at, found = deeper, used+more
		}
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			for used := 1; used <= min(len(parts), 4); used++ { // names may hold dots
				if n.Content[i].Value == strings.Join(parts[:used], ".") {
					try(n.Content[i+1], used)
				}
			}
			if n.Content[i].Tag == "!!merge" {
				try(n.Content[i+1], 0)
			}
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			if parts[0] == strconv.Itoa(i) || l.itemNames(c, parts[0]) {
				try(c, 1)
			}
		}
	}
	return at, found
}

// itemNames reports whether an item of a list is about a name, in the short
// or the long syntax.
func (l *loads) itemNames(n *yaml.Node, name string) bool {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "source" && l.im.reader.values[n.Content[i+1]] == name {
				return true
			}
		}
		return false
	}
	rest, ok := strings.CutPrefix(l.im.reader.values[n], name)
	return n.Kind == yaml.ScalarNode && ok && (rest == "" || rest[0] == ':' || rest[0] == '=')
}

// search finds the service whose attribute is what compose-go complains of
// without saying where.
func (l *loads) search(attribute string, wrong func(value string) bool) []string {
	for _, f := range l.files {
		services := childNode(f.source.root, "services")
		for i := 0; services != nil && i+1 < len(services.Content); i += 2 {
			path := []string{"services", services.Content[i].Value, attribute}
			n := childNode(services.Content[i+1], attribute)
			if attribute == "healthcheck" {
				path, n = append(path, "test"), childNode(n, "test")
			}
			if n == nil {
				continue
			}
			if wrong(l.im.reader.values[n]) {
				return path
			}
			for j, c := range n.Content {
				if wrong(l.im.reader.values[c]) {
					return append(path, strconv.Itoa(j))
				}
				if attribute == "healthcheck" {
					break // its first word is what counts
				}
			}
		}
	}
	return nil
}

// childNode is an entry of a mapping.
func childNode(n *yaml.Node, name string) *yaml.Node {
	if n == nil {
		return nil
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
		if n.Content[i].Tag == "!!merge" {
			if c := childNode(n.Content[i+1], name); c != nil {
				return c
			}
		}
	}
	return nil
}

// faultOf says where an error of compose-go comes from, and what to do.
func (l *loads) faultOf(file string, err error) appmodel.Fault {
	text := strings.TrimPrefix(err.Error(), "validating "+file+": ")
	text = strings.TrimSuffix(text, ": invalid compose project")
	text = strings.TrimSpace(strings.TrimPrefix(text, "decoding failed due to the following error(s):"))
	text, _, _ = strings.Cut(text, "\n") // the first will do
	is := func(pattern string) []string { return regexp.MustCompile(pattern).FindStringSubmatch(text) }
	at := func(parts []string, problem, next string) appmodel.Fault {
		return l.faultAt(file, parts, cut(problem), next)
	}

	if m := is(`^service "([^"]+)" refers to undefined (build secret|\w+) (.+)$`); m != nil {
		list := strings.TrimPrefix(m[2], "build ") + "s"
		parts := []string{"services", m[1], list, m[3]}
		if m[2] == "build secret" {
			parts = []string{"services", m[1], "build", list, m[3]}
		}
		return at(parts, fmt.Sprintf("undefined %s %s", m[2], m[3]), fmt.Sprintf("declare it under %s:", list))
	}
	if m := is(`^service "([^"]+)" depends on undefined service "([^"]+)"`); m != nil {
		return at([]string{"services", m[1], "depends_on", m[2]}, fmt.Sprintf("undefined service %q", m[2]), "add the service, or remove the dependency")
	}
	if m := is(`^dependency cycle detected: (\S+) -> (\S+)`); m != nil {
		return at([]string{"services", m[1], "depends_on", m[2]}, text, "remove one of these dependencies")
	}
	if m := is(`^service "([^"]+)" has (neither an image nor a build context)`); m != nil {
		return l.noImage(m[1], at)
	}
	if m := is(`^cannot extend service "([^"]+)" in .*: (service "[^"]*" not found)`); m != nil {
		return at([]string{"services", m[1], "extends"}, m[2], "extend a service that the file has")
	}
	if m := is(`^Invalid (?:containerPort|hostPort|ranges|ip address|proto)|^No port specified|^invalid .*port`); m != nil {
		parts := l.search("ports", func(v string) bool {
			_, err := types.ParsePortConfig(v)
			return v != "" && err != nil
		})
		return at(parts, text, "write host:container, with ports from 1 to 65535")
	}
	if m := is(`^healthcheck.test must start`); m != nil {
		parts := l.search("healthcheck", func(v string) bool { return v != "" && v != "CMD" && v != "CMD-SHELL" && v != "NONE" })
		return at(parts, text, "write [CMD, program, argument], or a text for the shell")
	}
	if m := is(`network_mode '(service:[^']+)'$`); m != nil {
		return at(l.search("network_mode", func(v string) bool { return v == m[1] }), text, "name a service of the file")
	}
	if m := is(`^service (\S+) declares mutually exclusive .network_mode. and`); m != nil {
		return at([]string{"services", m[1], "network_mode"}, text, "keep one of the two")
	}
	return l.faultAtPath(text, at)
}

// noImage is the fault of a service without image, whose variable may be the
// reason.
func (l *loads) noImage(service string, at func([]string, string, string) appmodel.Fault) appmodel.Fault {
	for _, f := range l.files {
		n := childNode(childNode(childNode(f.source.root, "services"), service), "image")
		if n == nil {
			continue
		}
		if missing := l.im.reader.missing[n]; len(missing) > 0 {
			return at([]string{"services", service, "image"}, strings.Join(missing, ", ")+" is unset", "set it in Options.Environment, or write ${NAME:-default}")
		}
		return at([]string{"services", service, "image"}, "it is empty", "name an image, such as nginx:1.27")
	}
	return at([]string{"services", service}, "neither an image nor a build context", "name an image under image:")
}

// faultAtPath explains an error that begins with the path of its place.
func (l *loads) faultAtPath(text string, at func([]string, string, string) appmodel.Fault) appmodel.Fault {
	var parts []string
	text = strings.TrimPrefix(text, "error while interpolating ")
	if m := regexp.MustCompile(`^(?:service \w+ )?'?((?:services|volumes|networks|secrets|configs|models|jobs|include)(?:\[[^\]]*\]|\.[^\s:'\[]+|\.\[\d*\]?)*)\]?'?:?(?: error while interpolating (\S+):)?\s*(.*)$`).FindStringSubmatch(text); m != nil {
		parts, text = splitPath(m[1]), m[3]
	}
	text = strings.TrimPrefix(strings.TrimSpace(text), ": ")
	if m := regexp.MustCompile(`^additional properties '(.*)' not allowed$`).FindStringSubmatch(text); m != nil {
		name, _, _ := strings.Cut(m[1], "', '")
		if len(parts) == 1 {
			return at(append(parts, name), fmt.Sprintf("%q is no name", cut(name)), "use letters, digits, _, - and .")
		}
		return at(append(parts, name), "unknown section", "remove it, or put it under a key that begins with x-")
	}
	if strings.HasSuffix(text, "false schema") {
		return at(parts, "unknown field", "remove it, or put it under a key that begins with x-")
	}
	if m := regexp.MustCompile(`strconv\.\w+: parsing ("(?:[^"\\]|\\.)*"): `).FindStringSubmatch(text); m != nil {
		return at(parts, m[1]+" is no number", "write a number, without quotes and unit")
	}
	switch { // the schema's words, in ours
	case text == "must be a null":
		return at(parts, "it is of the wrong type", "write a text, or a list of texts")
	case strings.HasPrefix(text, "must be a ") && strings.ContainsRune("aeiou", rune((text + " x")[10])):
		text = "must be an " + text[10:]
	}
	for _, known := range [][2]string{
		{"must be a string", "write a text, in quotes if it looks like a number"},
		{"must be a mapping", "write name: value lines below it"},
		{"must be an array", "write a list: [a, b]"},
		{"must be a", "write one"},
		{"greater than or equal to", "write a larger number"},
		{"less than or equal to", "write a smaller number"},
		{"value must be one of", "write one of these"},
		{"invalid duration", "write a number with its unit, such as 30s or 1m30s"},
		{"invalid size", "write a number with its unit, such as 512m or 2g"},
		{"distinct values", "keep one of the two"},
		{"exclusive", "keep one of them"},
		{"must be set", "add one of them"},
		{"missing a target port", "write the port in the container, from 1 to 65535"},
		{"missing a mount target", "write the path in the container under target:"},
		{"does not match pattern", "write a name that matches"},
		{"missing IP", "write name:address"},
		{"unexpected type", "write texts there"},
		{"invalid ip address", "write an address such as 127.0.0.1, or none"},
	} {
		if strings.Contains(text, known[0]) {
			return at(parts, text, known[1])
		}
	}
	return at(parts, text, "correct it as the Compose specification says")
}

// splitPath reads services.web.ports.[0] and services[web].ports[0].
func splitPath(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}
