package appmodel

import (
	"fmt"
	"reflect"

	"github.com/appspan-dev/appspan"
)

// policyScope is the policies that speak at or below one place of a walk from
// the top of the document.
type policyScope struct {
	path  Path // of the policy that holds here
	kind  PolicyKind
	below []policyPattern
}

// policyPattern is a policy whose path is met as far as the walk has come.
type policyPattern struct {
	path Path
	kind PolicyKind
}

// newPolicies are the policies of an application at the top of the document.
func newPolicies(policies []Policy) (policyScope, error) {
	var s policyScope
	for _, p := range policies {
		path, _, err := parseLocated(p.Path)
		if err != nil {
			return s, fmt.Errorf("policies: %w", err)
		}
		if strictness(p.Policy) < 0 {
			return s, fmt.Errorf("%w: %s: there is no policy %q; write locked, external, generated or default",
				appspan.ErrInvalid, Path{}.field("policies").entry(p.Path), p.Policy)
		}
		s.below = append(s.below, policyPattern{path, p.Policy})
	}
	return s, nil
}

// at is the scope one segment further.
func (s policyScope) at(depth int, seg segment) policyScope {
	if len(s.below) == 0 {
		return s
	}
	next := policyScope{path: s.path, kind: s.kind}
	for _, p := range s.below {
		switch {
		case !p.path.segs[depth].matches(seg):
		case len(p.path.segs) == depth+1:
			next.take(p)
		default:
			next.below = append(next.below, p)
		}
	}
	return next
}

// take lets a policy hold, if it is the more specific or, at a tie, the
// stricter one.
func (s *policyScope) take(p policyPattern) {
	by := p.path.Specificity(s.path)
	if s.kind == "" || by < 0 || by == 0 && strictness(p.kind) > strictness(s.kind) {
		s.path, s.kind = p.path, p.kind
	}
}

// generated is the scope of a secret item that is made once: `generate`
// implies the policy.
func (s policyScope) generated(item *node, at Path) policyScope {
	if item == nil || item.form.typ != reflect.TypeFor[SecretItem]() || item.fieldAt(item.form.byName["generate"].pos) == nil {
		return s
	}
	s.take(policyPattern{at, PolicyGenerated})
	return s
}

// strictness orders the policies; it is negative for what is none.
func strictness(k PolicyKind) int {
	switch k {
	case PolicyLocked:
		return 3
	case PolicyExternal:
		return 2
	case PolicyGenerated:
		return 1
	case PolicyDefault:
		return 0
	}
	return -1
}
