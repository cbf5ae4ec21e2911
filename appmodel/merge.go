package appmodel

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/appspan-dev/appspan"
)

// ConflictReason says why a place is in conflict.
type ConflictReason string

// The reasons. Ours is said first: ConflictChangedRemoved is what we changed
// and they removed.
const (
	ConflictChangedRemoved ConflictReason = "changedRemoved"
	ConflictRemovedChanged ConflictReason = "removedChanged"
	ConflictBothChanged    ConflictReason = "bothChanged"
	ConflictBothAdded      ConflictReason = "bothAdded"
	// ConflictDangling: what stands there refers to what is gone.
	ConflictDangling ConflictReason = "dangling"
)

// Decision says which side is taken at a place.
type Decision string

// The decisions.
const (
	TakeOurs   Decision = "ours"
	TakeTheirs Decision = "theirs"
)

// Conflict is a place at which a merge needs a decision. Base, Ours and Theirs
// are what each side has there, nil if nothing; secret values are [Redacted].
type Conflict struct {
	Path   string         `json:"path"`
	Reason ConflictReason `json:"reason"`
	Base   JSON           `json:"base,omitempty"`
	Ours   JSON           `json:"ours,omitempty"`
	Theirs JSON           `json:"theirs,omitempty"`
	// Default is the side that stands in the result without a decision.
	Default Decision `json:"default"`
	// Gone, of a dangling conflict, is the path of what it refers to. A
	// decision for that path keeps it.
	Gone string `json:"gone,omitempty"`
	// Secret: the values are secret, or hold a secret one.
	Secret bool `json:"secret,omitempty"`
}

// MergeOptions are the options of [Merge]; nil is the zero value.
type MergeOptions struct {
	// Decisions say which side to take, by path: of a conflict, or of any
	// other place where the sides differ. What is locked stays theirs.
	Decisions map[string]Decision
}

// MergeResult is what a merge came to.
type MergeResult struct {
	// Application is the merged application, with the default of every
	// conflict in place.
	Application *Application
	// Conflicts are the places without a decision, in the order of the model,
	// the dangling ones last.
	Conflicts []Conflict
	// Overruled is what we changed and a policy discarded: from ours to what
	// stands in the result.
	Overruled []Change
	// Orphaned are the paths of our volumes that hold data and are not in the
	// result: they are kept in the cluster, and nothing uses them.
	Orphaned []string
	// Faults are what [Validate] says of the application. With an error among
	// them it can't be deployed before somebody mends it.
	Faults Faults
}

// Merge merges what became of base in ours (an installation, a copy) and in
// theirs (a new version) by identity, field by field. The name stays ours; a
// policy of theirs says whose value wins below its path; conflicts are data,
// and only what can't be read as applications, or a decision for no place, is
// an error, which wraps appspan.ErrInvalid. The arguments stay as they are,
// and the result shares no memory with them.
//
// Where no policy speaks, Merge(b, x, b) and Merge(b, b, x) are x. Merging the
// same again changes nothing.
func Merge(base, ours, theirs *Application, opts *MergeOptions) (*MergeResult, error) {
	m := &merger{result: &MergeResult{}, decisions: map[string]Decision{}}
	built, errs := newTrees(base, ours, theirs)
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("merge: %s: %w", []string{"base", "ours", "theirs"}[i], err)
		}
	}
	trees := [3]*node(built)
	scope, err := newPolicies(theirs.Policies)
	if err != nil {
		return nil, fmt.Errorf("merge: theirs: %w", err)
	}
	if opts != nil {
		if err := m.decide(opts.Decisions, trees); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
	}
	tree := m.node(sides{trees[0], trees[1], trees[2]}, Path{}, scope, false)
	result := tree.application()
	m.result.Application = result
	m.dangling(trees, tree, result, [2]*Application{ours, theirs})
	m.result.Orphaned = orphaned(ours, result)
	m.result.Faults = Validate(result)
	return m.result, nil
}

// merger merges trees, and collects what is to be said of it.
type merger struct {
	result    *MergeResult
	decisions map[string]Decision
	decided   []Path
}

// decide takes the decisions; each must name a place that one of the sides
// has.
func (m *merger) decide(decisions map[string]Decision, trees [3]*node) error {
	for _, s := range slices.Sorted(maps.Keys(decisions)) {
		p, _, err := parseLocated(s)
		if err != nil {
			return fmt.Errorf("decision %w", err)
		}
		d := decisions[s]
		if d != TakeOurs && d != TakeTheirs {
			return fmt.Errorf("%w: decision %s: %q is no side; write ours or theirs", appspan.ErrInvalid, p, d)
		}
		if p.wildcards() > 0 || trees[0].at(p) == nil && trees[1].at(p) == nil && trees[2].at(p) == nil {
			return fmt.Errorf("%w: decision %s: none of the three has that; take the path of a conflict", appspan.ErrInvalid, p)
		}
		m.decisions[p.String()] = d
		m.decided = append(m.decided, p)
	}
	return nil
}

// sides are base, ours and theirs of one place; nil is absent.
type sides struct{ base, ours, theirs *node }

func (s sides) some() *node {
	for _, n := range []*node{s.ours, s.theirs, s.base} {
		if n != nil {
			return n
		}
	}
	return nil
}

func (s sides) field(pos int) sides {
	return sides{s.base.fieldAt(pos), s.ours.fieldAt(pos), s.theirs.fieldAt(pos)}
}

func (s sides) entry(key string) sides {
	return sides{s.base.entry(key), s.ours.entry(key), s.theirs.entry(key)}
}

// decision is what was decided for a path.
func (m *merger) decision(at Path) Decision {
	if len(m.decisions) == 0 {
		return ""
	}
	return m.decisions[at.String()]
}

// node merges one place. In an entry that both added, added is true: there,
// what one side alone has is in conflict too.
func (m *merger) node(s sides, at Path, scope policyScope, added bool) *node {
	some := s.some()
	if some == nil {
		return nil
	}
	if scope.kind != PolicyLocked {
		switch m.decision(at) {
		case TakeOurs:
			return s.ours
		case TakeTheirs:
			return s.theirs
		}
	}
	if same(s.ours, s.theirs) && (scope.kind == "" || same(s.base, s.ours)) {
		return m.agreed(s)
	}
	switch some.form.kind {
	case formStruct:
		if !some.form.unit || s.ours != nil && s.theirs != nil {
			return m.structure(some.form, s, at, scope, added)
		}
	case formList, formSet, formMap:
		return m.entries(some.form, s, at, scope, added)
	case formJSON:
		if s.ours != nil && s.theirs != nil && s.ours.object && s.theirs.object {
			if s.base != nil && !s.base.object {
				s.base = nil
			}
			return m.entries(some.form, s, at, scope, added)
		}
	}
	return m.choose(s, at, scope, added)
}

// agreed is what both sides say; who wrote it out against base is followed.
func (m *merger) agreed(s sides) *node {
	if s.ours != nil && s.base != nil && s.ours.implied != s.base.implied {
		return s.ours
	}
	return s.theirs
}

// structure merges field by field; a one-of group is one field.
func (m *merger) structure(f *form, s sides, at Path, scope policyScope, added bool) *node {
	out := &node{form: f, key: s.some().key, fields: make([]*node, len(f.fields))}
	out.implied = (s.ours == nil || s.ours.implied) && (s.theirs == nil || s.theirs.implied)
	done := map[int]bool{}
	for _, field := range f.fields {
		if field.group != 0 {
			if !done[field.group] {
				done[field.group] = true
				m.group(f, field.group, s, at, scope, added, out)
			}
			continue
		}
		seg := segment{name: field.name}
		below := s.field(field.pos)
		if len(at.segs) == 1 && at.segs[0].name == "metadata" && field.name == "name" {
			out.fields[field.pos] = below.ours // of the installation, never merged
			continue
		}
		if below.some() == nil {
			continue
		}
		c := m.node(below, at.with(seg), scope.at(len(at.segs), seg), added)
		if field.isKey && !c.said() { // a name that somebody wrote stays written
			for _, n := range []*node{below.ours, below.theirs} {
				if n.said() {
					c = n
				}
			}
		}
		out.fields[field.pos] = c
	}
	if !f.unit && !out.some() {
		return nil
	}
	return out
}

// some reports whether a struct has any field.
func (n *node) some() bool {
	return slices.ContainsFunc(n.fields, func(c *node) bool { return c != nil })
}

// group merges a one-of group. As long as the sides use the same member, that
// is merged like any field.
func (m *merger) group(f *form, group int, s sides, at Path, scope policyScope, added bool, out *node) {
	b, o, t := f.member(s.base, group), f.member(s.ours, group), f.member(s.theirs, group)
	var member *formField
	mixed := false
	for _, x := range []*formField{b, o, t} {
		if x != nil {
			mixed = mixed || member != nil && member != x
			member = x
		}
	}
	if member == nil {
		return
	}
	// The path is that of our member; the policy the strictest that speaks of
	// one of them.
	inner := policyScope{}
	decision := Decision("")
	for _, x := range []*formField{b, t, o} {
		if x == nil {
			continue
		}
		member = x
		seg := segment{name: x.name}
		if c := scope.at(len(at.segs), seg); inner.kind == "" {
			inner = c
		} else if c.kind != "" {
			inner.take(policyPattern{c.path, c.kind})
		}
		decision = cmp.Or(m.decision(at.with(seg)), decision)
	}
	p := at.field(member.name)
	if !mixed {
		out.fields[member.pos] = m.node(s.field(member.pos), p, inner, added)
		return
	}
	g := sides{memberNode(s.base, b), memberNode(s.ours, o), memberNode(s.theirs, t)}
	var c *node
	switch {
	case decision == TakeOurs && inner.kind != PolicyLocked:
		c = g.ours
	case decision == TakeTheirs && inner.kind != PolicyLocked:
		c = g.theirs
	default:
		c = m.whole(g, p, inner, added)
	}
	for _, x := range f.fields {
		if x.group == group && c != nil {
			out.fields[x.pos] = c.fields[x.pos]
		}
	}
}

// whole merges a place that is taken as a whole.
func (m *merger) whole(s sides, at Path, scope policyScope, added bool) *node {
	if same(s.ours, s.theirs) && (scope.kind == "" || same(s.base, s.ours)) {
		return m.agreed(s)
	}
	return m.choose(s, at, scope, added)
}

// entries merges what has entries by their keys.
func (m *merger) entries(f *form, s sides, at Path, scope policyScope, added bool) *node {
	out := &node{form: f, key: s.some().key, object: s.some().object}
	merged := map[string]*node{}
	for _, key := range allKeys(s.base, s.ours, s.theirs) {
		e := s.entry(key)
		seg := e.some().segment()
		p := at.with(seg)
		inner := scope.at(len(at.segs), seg).generated(e.theirs, p)
		both := added || f.kind == formList && e.base == nil && e.ours != nil && e.theirs != nil
		if c := m.node(e, p, inner, both); c != nil {
			merged[key] = c
		}
	}
	for _, key := range arrangement(s, merged) {
		c := merged[key]
		if c.key != key {
			copied := *c
			copied.key = key
			c = &copied
		}
		out.put(c)
	}
	if len(out.entries) == 0 && f.kind != formJSON {
		return nil
	}
	return out
}

// choose takes a place as a whole: the table of three-way merging, under the
// policy that holds there.
func (m *merger) choose(s sides, at Path, scope policyScope, added bool) *node {
	b, o, t := s.base, s.ours, s.theirs
	ourChange := !m.unchanged(b, o, at, scope)
	theirChange := !m.unchanged(b, t, at, scope)
	switch scope.kind {
	case PolicyLocked:
		if ourChange && !same(o, t) {
			m.result.Overruled = append(m.result.Overruled, newChange(at, o, t))
		}
		return t
	case PolicyDefault:
		if ourChange {
			return o
		}
		return t
	case PolicyGenerated, PolicyExternal:
		if o == nil && b == nil {
			return t
		}
		return o
	}
	switch {
	case same(o, t):
		return m.agreed(s)
	case added:
		m.conflict(s, at, ConflictBothAdded)
	case !ourChange:
		return t
	case !theirChange:
		return o
	case t == nil:
		m.conflict(s, at, ConflictChangedRemoved)
	case o == nil:
		m.conflict(s, at, ConflictRemovedChanged)
	case b == nil:
		m.conflict(s, at, ConflictBothAdded)
	default:
		m.conflict(s, at, ConflictBothChanged)
	}
	return o
}

func (m *merger) conflict(s sides, at Path, reason ConflictReason) {
	m.result.Conflicts = append(m.result.Conflicts, Conflict{
		Path: at.String(), Reason: reason, Default: TakeOurs,
		Base: s.base.json(), Ours: s.ours.json(), Theirs: s.theirs.json(),
		Secret: s.base.secret() || s.ours.secret() || s.theirs.secret(),
	})
}

// unchanged reports whether a side says the same as base, apart from places
// whose policy lets no change of it count.
func (m *merger) unchanged(b, x *node, at Path, scope policyScope) bool {
	if same(b, x) {
		return true
	}
	if b == nil || x == nil || len(scope.below) == 0 {
		return false
	}
	settled := func(s policyScope) bool {
		return s.kind == PolicyLocked || s.kind == PolicyGenerated || s.kind == PolicyExternal
	}
	depth := len(at.segs)
	switch b.form.kind {
	case formStruct:
		for i, f := range b.form.fields {
			seg := segment{name: f.name}
			inner := scope.at(depth, seg)
			if !settled(inner) && !m.unchanged(b.fields[i], x.fields[i], at.with(seg), inner) {
				return false
			}
		}
		return true
	case formList, formSet, formMap:
		for _, key := range allKeys(b, x) {
			e := sides{b.entry(key), x.entry(key), nil}
			seg := e.some().segment()
			inner := scope.at(depth, seg)
			if !settled(inner) && !m.unchanged(e.base, e.ours, at.with(seg), inner) {
				return false
			}
		}
		return !b.form.order || slices.Equal(commonKeys(b, x), commonKeys(x, b))
	}
	return false
}

// allKeys are the keys of all, each once.
func allKeys(nodes ...*node) []string {
	var keys []string
	seen := map[string]bool{}
	for _, n := range nodes {
		for _, e := range entriesOf(n) {
			if !seen[e.key] {
				seen[e.key] = true
				keys = append(keys, e.key)
			}
		}
	}
	return keys
}

// arrangement is the order of merged entries: that of the side which moved
// some; if both did or none, theirs. What only the other side has stands
// behind its predecessor there. A move past what is gone counts for nothing:
// merged again, nobody could tell that there was one.
func arrangement(s sides, merged map[string]*node) []string {
	spine, other := s.theirs, s.ours
	moved := func(side *node) bool {
		gone := func(key string) bool { return merged[key] == nil }
		before, after := slices.DeleteFunc(commonKeys(s.base, side), gone), slices.DeleteFunc(commonKeys(side, s.base), gone)
		return !slices.Equal(before, after)
	}
	if moved(s.ours) && !moved(s.theirs) {
		spine, other = s.ours, s.theirs
	}
	var order []string
	at := map[string]int{}
	for _, e := range entriesOf(spine) {
		if merged[e.key] != nil {
			at[e.key] = len(order)
			order = append(order, e.key)
		}
	}
	insert := make([][]string, len(order)+1) // before each position
	place := 0
	for _, e := range entriesOf(other) {
		if merged[e.key] == nil {
			continue
		}
		if i, ok := at[e.key]; ok {
			place = i + 1
			continue
		}
		insert[place] = append(insert[place], e.key)
	}
	out := make([]string, 0, len(merged))
	for i, keys := range insert {
		out = append(out, keys...)
		if i < len(order) {
			out = append(out, order[i])
		}
	}
	return out
}
