package appmodel

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/appspan-dev/appspan"
)

// Bounds of a path.
const (
	maxPathBytes    = 4096
	maxPathSegments = 64
)

// Path names a place in an application: fields joined by dots, entries of
// lists and maps by their keys in brackets.
//
//	components[api].env[TZ].value
//	components[web].ports[53/UDP]          a key of several parts; TCP may be left out
//	components[api].files["/a]b"].content  quoted as in Go where it must be
//	components[*].image                    a pattern: every component
//
// The zero Path is the whole document. Paths are immutable and compare by
// [Path.String].
type Path struct{ segs []segment }

// segment is a field, an entry's key, or the wildcard.
type segment struct {
	name string
	key  bool
	any  bool
}

// ParsePath reads a path. It knows nothing of the model: whether the place
// exists is said by what takes the path. Errors wrap appspan.ErrInvalid.
func ParsePath(s string) (Path, error) {
	fail := func(problem string) (Path, error) {
		if len(s) > 80 {
			s = strings.ToValidUTF8(s[:80], "") + "…"
		}
		return Path{}, fmt.Errorf("%w: path %q: %s; write for example components[api].env[TZ]", appspan.ErrInvalid, s, problem)
	}
	if s == "" {
		return fail("is empty")
	}
	if len(s) > maxPathBytes {
		return fail(fmt.Sprintf("is longer than %d bytes", maxPathBytes))
	}
	var p Path
	for rest := s; rest != ""; {
		if len(p.segs) == maxPathSegments {
			return fail(fmt.Sprintf("has more than %d parts", maxPathSegments))
		}
		if rest[0] == '[' {
			if len(p.segs) == 0 {
				return fail("begins with a key; a field comes first")
			}
			seg, n, problem := parseKey(rest)
			if problem != "" {
				return fail(problem)
			}
			p.segs, rest = append(p.segs, seg), rest[n:]
			continue
		}
		if len(p.segs) > 0 {
			if rest[0] != '.' {
				return fail("has text behind \"]\"; a dot or a key follows it")
			}
			rest = rest[1:]
		}
		n := 0
		for n < len(rest) && isFieldByte(rest[n], n == 0) {
			n++
		}
		if n == 0 {
			return fail("has no name where a field is expected; put keys with other characters than letters, digits, - and _ in brackets")
		}
		p.segs, rest = append(p.segs, segment{name: rest[:n]}), rest[n:]
		if rest != "" && rest[0] != '.' && rest[0] != '[' {
			return fail(fmt.Sprintf("has %q in a field's name; put such keys in brackets", firstRune(rest)))
		}
	}
	return p, nil
}

// parseKey reads "[…]" at the start of s and says how long it is.
func parseKey(s string) (seg segment, length int, problem string) {
	body := s[1:]
	if strings.HasPrefix(body, `"`) {
		quoted, err := strconv.QuotedPrefix(body)
		if err != nil {
			return seg, 0, "has a quoted key without an end"
		}
		name, err := strconv.Unquote(quoted)
		if err != nil || !strings.HasPrefix(body[len(quoted):], "]") {
			return seg, 0, `has no "]" behind a quoted key`
		}
		return segment{name: name, key: true}, len(quoted) + 2, ""
	}
	end := strings.IndexByte(body, ']')
	if end < 0 {
		return seg, 0, `has no "]"`
	}
	name := body[:end]
	switch {
	case name == "":
		return seg, 0, "has an empty key"
	case name == "*":
		return segment{key: true, any: true}, 3, ""
	case !bareKey(name):
		return seg, 0, fmt.Sprintf("has a key that must be quoted: [%q]", name)
	}
	return segment{name: name, key: true}, end + 2, ""
}

// String is the shortest spelling that ParsePath reads as p.
func (p Path) String() string {
	var b strings.Builder
	for i, s := range p.segs {
		s.write(&b, i == 0)
	}
	return b.String()
}

func (s segment) write(b *strings.Builder, first bool) {
	switch {
	case s.any:
		b.WriteString("[*]")
	case s.key && bareKey(s.name):
		b.WriteByte('[')
		b.WriteString(s.name)
		b.WriteByte(']')
	case s.key:
		b.WriteByte('[')
		b.WriteString(strconv.Quote(s.name))
		b.WriteByte(']')
	default:
		if !first {
			b.WriteByte('.')
		}
		b.WriteString(s.name)
	}
}

// IsZero reports whether p is the whole document.
func (p Path) IsZero() bool { return len(p.segs) == 0 }

// Match reports whether p is a place that the pattern names: the same path,
// where the pattern may have [*] for a key.
func (p Path) Match(pattern Path) bool {
	return len(p.segs) == len(pattern.segs) && p.Under(pattern)
}

// Under reports whether p is a place that the pattern names, or lies below
// one.
func (p Path) Under(pattern Path) bool {
	if len(p.segs) < len(pattern.segs) {
		return false
	}
	for i, s := range pattern.segs {
		if !s.matches(p.segs[i]) {
			return false
		}
	}
	return true
}

func (s segment) matches(o segment) bool {
	if s.any {
		return true
	}
	return !o.any && s.name == o.name
}

// Specificity orders patterns: it is negative if p is more specific than q,
// positive if less, 0 at a tie. The longer one is the more specific, at equal
// length the one with fewer wildcards, then the one whose first wildcard
// stands later.
func (p Path) Specificity(q Path) int {
	if d := len(q.segs) - len(p.segs); d != 0 {
		return d
	}
	if d := p.wildcards() - q.wildcards(); d != 0 {
		return d
	}
	for i := range p.segs {
		switch {
		case p.segs[i].any && !q.segs[i].any:
			return 1
		case !p.segs[i].any && q.segs[i].any:
			return -1
		}
	}
	return 0
}

func (p Path) wildcards() int {
	n := 0
	for _, s := range p.segs {
		if s.any {
			n++
		}
	}
	return n
}

// field and entry are the paths below p.
func (p Path) field(name string) Path { return p.with(segment{name: name}) }
func (p Path) entry(key string) Path  { return p.with(segment{name: key, key: true}) }

func (p Path) with(s segment) Path {
	return Path{segs: append(p.segs[:len(p.segs):len(p.segs)], s)}
}

func isFieldByte(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		return true
	case c >= '0' && c <= '9', c == '-':
		return !first
	}
	return false
}

func isFieldName(s string) bool {
	for i := range len(s) {
		if !isFieldByte(s[i], i == 0) {
			return false
		}
	}
	return s != ""
}

// bareKey reports whether a key may stand without quotes.
func bareKey(s string) bool {
	if s == "" || s == "*" || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r == '[' || r == ']' || r == '"' || r == '\\' || r == ' ' || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}
