package appmodel

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan"
)

// maxTemplateRefs bounds the references of one template.
const maxTemplateRefs = 1000

// Template is a text with references: ${param.host}. $$ is a dollar; any other
// dollar stands for itself, so that $(NAME) keeps the meaning that it has in
// Kubernetes.
type Template []Segment

// Segment is a literal piece of a [Template], or a reference if Ref is set.
type Segment struct {
	Literal string
	Ref     *TemplateRef
}

// TemplateRef is one reference of a [Template].
//
//	param     [N]                  the answer to a parameter
//	config    [G, I], secret [G, I] an item of a group
//	need      [N, K]               what a need's other end provides
//	self      [K] or [port, P]     what the component itself provides, one of its ports
//	route     [R, host]            the host of a route
//	app       [name]
//	cluster   [name] or [labels, L]
//
// Names may hold dots; what can't stand in a reference as it is is quoted:
// ${config.site["a}b"]}.
type TemplateRef struct {
	Scope string
	Path  []string
}

// templateScopes say how many names follow each scope.
func templateScopes() map[string]int {
	return map[string]int{"param": 1, "config": 2, "secret": 2, "need": 2, "self": 2, "route": 2, "app": 1, "cluster": 2}
}

// String is the reference as it is written, without ${ and }.
func (r TemplateRef) String() string {
	var b strings.Builder
	b.WriteString(r.Scope)
	for i, p := range r.Path {
		inner := strings.Trim(p, ".") != p || strings.Contains(p, "..") || strings.Contains(p, ".") && i != 1
		if p == "" || inner || strings.ContainsAny(p, "[]{}\"\\$\n") {
			b.WriteString("[" + strconv.Quote(p) + "]")
		} else {
			b.WriteString("." + p)
		}
	}
	return b.String()
}

// ParseTemplate reads a template. Its error wraps [appspan.ErrInvalid] and
// names the column.
func ParseTemplate(s string) (Template, error) {
	var (
		t       Template
		literal strings.Builder
		refs    int
	)
	flush := func() {
		if literal.Len() > 0 {
			t = append(t, Segment{Literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$$"):
			literal.WriteByte('$')
			i += 2
		case strings.HasPrefix(s[i:], "${"):
			ref, length, err := parseTemplateRef(s[i+2:])
			if err != nil {
				problem, next := problemOf(err)
				return nil, fmt.Errorf("%w: column %d: %s; %s", appspan.ErrInvalid, i+1, problem, next)
			}
			if refs++; refs > maxTemplateRefs {
				return nil, fmt.Errorf("%w: more than %d references; split the text", appspan.ErrInvalid, maxTemplateRefs)
			}
			flush()
			t = append(t, Segment{Ref: ref})
			i += 2 + length
		default:
			literal.WriteByte(s[i])
			i++
		}
	}
	flush()
	return t, nil
}

// parseTemplateRef reads what stands behind "${", up to and with "}".
func parseTemplateRef(s string) (*TemplateRef, int, error) {
	var parts []string
	i := 0
	for {
		switch {
		case strings.HasPrefix(s[i:], "["):
			quoted, err := strconv.QuotedPrefix(s[i+1:])
			if err != nil || quoted[0] != '"' || !strings.HasPrefix(s[i+1+len(quoted):], "]") {
				return nil, 0, fmt.Errorf(`%w: a bracket without a quoted name; write ["name"]`, appspan.ErrInvalid)
			}
			name, _ := strconv.Unquote(quoted)
			parts = append(parts, name)
			i += len(quoted) + 2
		default:
			if len(parts) > 0 {
				i++ // the dot
			}
			n := strings.IndexAny(s[i:], ".[]{}\"$\n")
			if n < 0 {
				return nil, 0, fmt.Errorf("%w: ${ is never closed; add }, or write $${ for the text itself", appspan.ErrInvalid)
			}
			parts = append(parts, s[i:i+n])
			i += n
		}
		switch {
		case strings.HasPrefix(s[i:], "}"):
			ref, err := templateRef(parts)
			return ref, i + 1, err
		case !strings.HasPrefix(s[i:], ".") && !strings.HasPrefix(s[i:], "["):
			return nil, 0, fmt.Errorf("%w: ${%s is no reference; write ${scope.name}, or $${ for the text itself",
				appspan.ErrInvalid, cut(s[:i]))
		}
	}
}

// templateRef checks the scope and joins the dots of the last name.
func templateRef(parts []string) (*TemplateRef, error) {
	scope, path := parts[0], parts[1:]
	count, known := templateScopes()[scope]
	if !known {
		scopes := []string{"param", "config", "secret", "need", "self", "route", "app", "cluster"}
		next := didYouMean(scope, scopes)
		return nil, fmt.Errorf("%w: ${%s…}: unknown scope %q; %s", appspan.ErrInvalid, cut(scope), cut(scope), next)
	}
	if (scope == "self" && len(path) > 0 && path[0] != "port") || (scope == "cluster" && len(path) > 0 && path[0] != "labels") {
		count = 1
	}
	if len(path) > count {
		path = append(path[:count-1:count-1], strings.Join(path[count-1:], "."))
	}
	ref := &TemplateRef{Scope: scope, Path: path}
	form := map[string]string{
		"param": "param.NAME", "config": "config.GROUP.ITEM", "secret": "secret.GROUP.ITEM", "need": "need.NAME.KEY",
		"self": "self.KEY or self.port.NAME", "route": "route.ID.host", "app": "app.name", "cluster": "cluster.name or cluster.labels.LABEL",
	}[scope]
	wrong := len(path) != count
	for _, p := range path {
		wrong = wrong || p == ""
	}
	switch {
	case wrong:
	case scope == "route":
		wrong = path[1] != "host"
	case scope == "app", scope == "cluster" && count == 1:
		wrong = path[0] != "name"
	}
	if wrong {
		return nil, fmt.Errorf("%w: ${%s} has the wrong form; write ${%s}", appspan.ErrInvalid, cut(ref.String()), form)
	}
	return ref, nil
}

// Refs are the references of the template in order.
func (t Template) Refs() []TemplateRef {
	var refs []TemplateRef
	for _, s := range t {
		if s.Ref != nil {
			refs = append(refs, *s.Ref)
		}
	}
	return refs
}

// String is the template as it is written.
func (t Template) String() string {
	var b strings.Builder
	for i, s := range t {
		if s.Ref != nil {
			b.WriteString("${" + s.Ref.String() + "}")
			continue
		}
		for j := range len(s.Literal) {
			b.WriteByte(s.Literal[j])
			if s.Literal[j] != '$' {
				continue
			}
			// Double the dollar where the next character would change it.
			if j+1 < len(s.Literal) && (s.Literal[j+1] == '$' || s.Literal[j+1] == '{') ||
				j+1 == len(s.Literal) && i+1 < len(t) {
				b.WriteByte('$')
			}
		}
	}
	return b.String()
}

// Expand replaces each reference by what lookup returns; its error is
// returned with the reference in front.
func (t Template) Expand(lookup func(TemplateRef) (string, error)) (string, error) {
	var b strings.Builder
	for _, s := range t {
		if s.Ref == nil {
			b.WriteString(s.Literal)
			continue
		}
		v, err := lookup(*s.Ref)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", s.Ref, err)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// cut shortens what a message quotes.
func cut(s string) string {
	const limit = 60
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
