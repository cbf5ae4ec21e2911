package deploy

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
)

// DriftAction is what is done about drift.
type DriftAction string

// The actions.
const (
	// DriftReport tells of it, again and again, and changes nothing.
	DriftReport DriftAction = "report"
	// DriftHeal makes it as the release says.
	DriftHeal DriftAction = "heal"
	// DriftYield takes note of it once and leaves it: it counts as drift again
	// when it changes once more.
	DriftYield DriftAction = "yield"
)

// DriftPolicy says what is done about what somebody changed by hand. It is
// plain data; the zero value reports everything. The number of replicas of what
// an autoscaler scales is nobody's drift under any policy.
type DriftPolicy struct {
	// Default is for what no rule is for; default DriftReport.
	Default DriftAction `json:"default,omitempty"`
	// Rules are exceptions: the most specific one that matches counts, see
	// DriftRule. At most 1,000.
	Rules []DriftRule `json:"rules,omitempty"`
	// Fights bound how often the same is healed.
	Fights FightLimit `json:"fights,omitzero"`
}

// DriftRule is what is done about some drift. What is left empty matches
// everything. Of the rules that match, the one with the longest Path counts,
// then one with a Name, a Component, a Kind, an Author, in this order.
type DriftRule struct {
	// Kind and Name are the object's.
	Kind string `json:"kind,omitempty"`
	Name string `json:"name,omitempty"`
	// Component is the application's component that the object is for.
	Component string `json:"component,omitempty"`
	// Path is a field and all below it, written as in a FieldChange:
	// .spec.replicas, .spec.template, .spec.template.spec.containers[name="web"].image.
	Path string `json:"path,omitempty"`
	// Author is the field manager that made the change, as kubectl-edit.
	Author string `json:"author,omitempty"`
	// Action is required.
	Action DriftAction `json:"action"`
}

// FightLimit says when healing stops because the same author changes the same
// field back each time. Zero values are the defaults.
type FightLimit struct {
	// Heals is how often a field is healed within the window; default 3.
	Heals int `json:"heals,omitempty"`
	// Window is the longest time between two heals that belong together;
	// default 1 h.
	Window time.Duration `json:"windowNanoseconds,omitempty"`
	// Pause is how long a field is left then, each time twice as long, up to a
	// day; default 1 h.
	Pause time.Duration `json:"pauseNanoseconds,omitempty"`
}

const (
	maxDriftRules = 1000
	maxPause      = 24 * time.Hour
)

// Validate says what is wrong with the policy, as appspan.ErrInvalid.
func (p DriftPolicy) Validate() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("drift policy: %w: %s", appspan.ErrInvalid, fmt.Sprintf(format, args...))
	}
	const use = "use report, heal or yield"
	if p.Default != "" && !p.Default.valid() {
		return wrong("default: there is no action %q; %s", p.Default, use)
	}
	if len(p.Rules) > maxDriftRules {
		return wrong("%d rules; at most %d", len(p.Rules), maxDriftRules)
	}
	if p.Fights.Heals < 0 || p.Fights.Window < 0 || p.Fights.Pause < 0 {
		return wrong("fights: no number and no time is negative; leave it out for the default")
	}
	seen := make(map[DriftRule]int, len(p.Rules))
	for i, r := range p.Rules {
		at := fmt.Sprintf("rules[%d]: ", i)
		if !r.Action.valid() {
			return wrong(at+"there is no action %q; %s", r.Action, use)
		}
		if n := max(len(r.Kind), len(r.Name), len(r.Component), len(r.Path), len(r.Author)); n > 1024 {
			return wrong(at+"a text of %d bytes; at most 1024", n)
		}
		if r.Path != "" && (r.Path[0] != '.' || len(r.Path) == 1 || strings.HasSuffix(r.Path, ".") || strings.Contains(r.Path, "..")) {
			return wrong(at+"%q is no path; write it as .spec.replicas", r.Path)
		}
		key := r
		key.Action = ""
		if first, ok := seen[key]; ok {
			return wrong(at+"it is for the same as rules[%d]; leave one of them out", first)
		}
		seen[key] = i
	}
	return nil
}

func (a DriftAction) valid() bool { return a == DriftReport || a == DriftHeal || a == DriftYield }

// decide is what is done about an item, and the path of the rule that says so.
func (p *DriftPolicy) decide(item *DriftItem) (DriftAction, string) {
	var best *DriftRule
	for i := range p.Rules {
		if r := &p.Rules[i]; r.matches(item) && (best == nil || r.compare(best) > 0) {
			best = r
		}
	}
	if best == nil {
		return cmp.Or(p.Default, DriftReport), ""
	}
	return best.Action, best.Path
}

func (r *DriftRule) matches(item *DriftItem) bool {
	fits := func(want, have string) bool { return want == "" || want == have }
	return fits(r.Kind, item.Object.Kind) && fits(r.Name, item.Object.Name) && fits(r.Component, item.Component) && fits(r.Author, item.Author) &&
		below(item.Path, r.Path)
}

// below reports whether a path is another one or leads through it.
func below(path, above string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && (above == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// compare is positive if r is more specific.
func (r *DriftRule) compare(other *DriftRule) int {
	return cmp.Or(cmp.Compare(len(r.Path), len(other.Path)), given(r.Name, other.Name), given(r.Component, other.Component),
		given(r.Kind, other.Kind), given(r.Author, other.Author))
}

func given(a, b string) int { return cmp.Compare(min(len(a), 1), min(len(b), 1)) }

func (f FightLimit) normal() FightLimit {
	f.Heals, f.Window, f.Pause = cmp.Or(f.Heals, 3), cmp.Or(f.Window, time.Hour), cmp.Or(f.Pause, time.Hour)
	return f
}

// pause is how long a field is left that was healed so often.
func (f FightLimit) pause(heals int) time.Duration {
	if heals < f.Heals {
		return 0
	}
	out := f.Pause
	for range heals - f.Heals {
		if out >= maxPause {
			break
		}
		out *= 2
	}
	return min(out, maxPause)
}
