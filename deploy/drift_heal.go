package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/appspan-dev/appspan"
)

// KindHeal makes what somebody changed by hand as the newest release says, and
// only that; see [Deployer.PlanHeal].
const KindHeal PlanKind = "heal"

// Healing is a plan that undoes drift, and what was found.
type Healing struct {
	// Drift is all that was found; DriftItem.Left says what is not healed
	// although the policy says so, and why.
	Drift *Drift
	// Plan heals the rest on the clusters where there is something to heal; nil
	// where there is nothing at all.
	Plan *Plan
}

// healing is what a plan heals, and nothing else.
type healing struct {
	// Clusters are, by cluster and object as in the inventory, the fields that
	// are healed: an empty path is an object that was deleted.
	Clusters map[string]map[string][]healedField `json:"clusters"`
	Fights   FightLimit                          `json:"fights,omitzero"`
}

type healedField struct {
	Path   string `json:"path,omitempty"`
	Author string `json:"author,omitempty"`
	// Off are the fields that lead to what somebody switched on beside ours,
	// and that is switched off.
	Off []string `json:"off,omitempty"`
}

// of are the fields of an object that are healed. A nil healing heals
// everything.
func (h *healing) of(cluster string, o *desired) (fields []healedField, all bool) {
	if h == nil {
		return nil, true
	}
	return h.Clusters[cluster][inventoryKey(o.Ref)], false
}

// HealOptions shape [Deployer.PlanHeal].
type HealOptions struct {
	// OnEvent hears how the plan goes.
	OnEvent func(appspan.Event)
}

// PlanHeal looks for drift and plans to undo what the policy says is to be
// healed, and nothing else: what differs beside that stays as it is, field by
// field. The plan is applied like every other one, as a release.
//
// It is left, and said in DriftItem.Left: what a policy heals again and again
// (see FightLimit), what can only be healed by making an object anew, what
// others added to an object, unless it is a switch that can be switched off as
// .spec.paused, and everything on a cluster whose newest release has not been
// written to its end.
func (d *Deployer) PlanHeal(ctx context.Context, application string, to Target, policy DriftPolicy, opts *HealOptions) (*Healing, error) {
	var o HealOptions
	if opts != nil {
		o = *opts
	}
	drift, err := d.Drift(ctx, application, to, &DriftOptions{Policy: policy, OnEvent: o.OnEvent})
	if err != nil {
		return nil, err
	}
	h := &healing{Clusters: map[string]map[string][]healedField{}, Fights: policy.Fights}
	var names []string
	for i := range drift.Clusters {
		if c := &drift.Clusters[i]; c.heals(h) {
			names = append(names, c.Cluster)
		}
	}
	out := &Healing{Drift: drift}
	if len(names) == 0 {
		return out, nil
	}
	to.Clusters, to.Labels, to.Namespace = names, nil, drift.Namespace
	p, err := d.fromReleases(ctx, application, to, KindHeal, newestRelease)
	if err != nil {
		return nil, err
	}
	p.intent.FromRevision, p.intent.Heal = nil, h
	out.Plan, err = d.planned(ctx, p, o.OnEvent)
	return out, err
}

// heals notes what is to be healed, and reports whether there is something to
// do on the cluster.
func (c *ClusterDrift) heals(h *healing) bool {
	if c.Error != "" || c.Left != "" {
		return false
	}
	fields := map[string][]healedField{}
	for _, i := range c.Items {
		if i.Action == DriftHeal && i.Left == "" {
			key := inventoryKey(i.Object)
			fields[key] = append(fields[key], healedField{Path: i.Path, Author: i.Author, Off: i.off})
		}
	}
	if len(fields) == 0 && !c.part.healing() {
		return false
	}
	h.Clusters[c.Cluster] = fields
	return true
}

// healing reports whether the newest release is a heal that did not end well.
func (c *ClusterPlan) healing() bool {
	last := c.work.live.state.record.newest()
	return c.Unfinished && last != nil && last.Kind == KindHeal
}

// unhealed says why nothing is healed on a cluster, or is empty: what a
// release has not written is not to pass for a release that has.
func unhealed(part *ClusterPlan) string {
	last := part.work.live.state.record.newest()
	if !part.Unfinished || last == nil || part.healing() {
		return ""
	}
	if last.State == ReleaseApplying {
		return fmt.Sprintf("release %d is under way, or was interrupted; let it end, or deploy it again", last.Revision)
	}
	for _, c := range part.Changes {
		if !c.Drift && (len(c.Fields) == 0 || slices.ContainsFunc(c.Fields, func(f FieldChange) bool { return !f.Drift })) {
			return fmt.Sprintf("release %d is %s and was not written to its end; deploy it again, or roll it back", last.Revision, last.State)
		}
	}
	return ""
}

// judge says what is done about an item.
func (d *Deployer) judge(c *ClusterDrift, item *DriftItem, policy *DriftPolicy, now time.Time) {
	item.Action, _ = policy.decide(item)
	if item.Action != DriftHeal {
		return
	}
	part := c.part
	i := slices.IndexFunc(part.Changes, func(x Change) bool { return x.Object == item.Object })
	refused := slices.IndexFunc(part.Refusals, func(r Refusal) bool { return r.Object == item.Object })
	switch {
	case item.Kind == DriftAdded && item.off == nil:
		item.Left = "what others add is theirs: remove it as it came, or ask for it in the application"
	case refused >= 0:
		item.Left = part.Refusals[refused].Reason + "; " + part.Refusals[refused].Next
	case item.Kind == DriftDeleted && (item.Object.Kind == "Job" || item.Object.Kind == kindClaim.Kind):
		item.Left = "made anew it would run again, or begin empty; redeploy if that is meant"
	case i >= 0 && part.Changes[i].Action == ActionReplace:
		item.Left = "it would have to be made anew: " + part.Changes[i].Reason + "; redeploy if that is meant"
	default:
		if f := part.work.live.state.record.fight(item, policy.Fights, now); f != nil {
			c.Fights = append(c.Fights, *f)
			by := "somebody"
			if f.Author != "" {
				by = f.Author
			}
			item.Left = fmt.Sprintf("healed %d times, and changed again each time by %s; left until %s", f.Heals, by, f.Until.Format(time.RFC3339))
		}
	}
}

// kept are the releases that stay in the record: the newest, and of heals in a
// row, which are all of the same, the last.
func (r *record) kept() []Release {
	out := slices.Clone(r.Releases)
	for n := len(out); n > 1 && out[n-1].Kind == KindHeal && out[n-2].Kind == KindHeal; n = len(out) {
		out = slices.Delete(out, n-2, n-1)
	}
	return out[max(0, len(out)-keptReleases):]
}

// leave keeps what differs and is not healed as it is: what others own is not
// sent, what we own is sent as it is there. It returns the differences that
// are left to heal.
func (o *desired) leave(fields []healedField, current map[string]any, m managers, self string) []difference {
	entry, _ := m.applied(self)
	for _, f := range fields {
		if len(f.Off) > 0 {
			o.compared, o.partly = with(o.compared, f.Off, false), true
		}
	}
	differences := compare(o.compared, current)
	var out []difference
	for _, diff := range differences {
		at := entire(diff.at, current)
		path := at.String()
		switch {
		case bookkeeping(diff.at) || slices.ContainsFunc(fields, func(f healedField) bool { return f.Path == path }):
			out = append(out, diff)
			continue
		case diff.live != nil && entry.Fields != nil && owns(entry.Fields, diff.at):
			o.compared = set(o.compared, at, nil, diff.live).(map[string]any)
		default:
			o.compared = set(o.compared, at, nil, nil).(map[string]any)
		}
		o.partly = true
	}
	return out
}

// set returns v, which stands at a path, with a value at the rest of the way;
// nil takes it away.
func set(v any, rest, at trail, value any) any {
	if len(rest) == 0 {
		return value
	}
	s, next := rest[0], at.with(rest[0])
	if s.field != "" {
		m, ok := v.(map[string]any)
		if !ok {
			return v
		}
		inner := set(m[s.field], rest[1:], next, value)
		out := make(map[string]any, len(m))
		for k, x := range m {
			out[k] = x
		}
		if out[s.field] = inner; inner == nil {
			delete(out, s.field)
		}
		return out
	}
	l, _ := v.([]any)
	out := make([]any, 0, len(l))
	for _, entry := range l {
		if key, ok := keyOf(entry, listKeys(at)); ok && s.key != nil && sameKey(key, s.key) {
			if entry = set(entry, rest[1:], next, value); entry == nil {
				continue
			}
		}
		out = append(out, entry)
	}
	return out
}

// Heal plans a healing and applies it. The result is of all clusters of the
// target: one where nothing is healed is OutcomeUnchanged, one that does not
// answer OutcomeUnknown. [Deployer.PlanHeal] says what was found and left.
func (d *Deployer) Heal(ctx context.Context, application string, to Target, policy DriftPolicy, opts *ApplyOptions) (*Result, error) {
	h, err := d.PlanHeal(ctx, application, to, policy, nil)
	if err != nil {
		return nil, err
	}
	return d.applyHealing(ctx, h, opts)
}

// applyHealing applies the plan, if there is one, and accounts for the rest.
func (d *Deployer) applyHealing(ctx context.Context, h *Healing, opts *ApplyOptions) (*Result, error) {
	out := &Result{Application: h.Drift.Application}
	var errs []error
	if h.Plan != nil {
		done, err := d.Apply(ctx, h.Plan, opts)
		if done == nil {
			return nil, err
		}
		out, errs = done, append(errs, err)
	}
	for i := range h.Drift.Clusters {
		c := &h.Drift.Clusters[i]
		if out.Cluster(c.Cluster) != nil {
			continue
		}
		r := ClusterResult{Cluster: c.Cluster, Outcome: OutcomeUnchanged, Revision: c.Revision, Started: h.Drift.At, Finished: h.Drift.At}
		if c.Error != "" {
			r.Outcome, r.Error, r.err, r.LastAnswer = OutcomeRefused, c.Error, c.err, c.LastAnswer
			if c.Unknown {
				r.Outcome = OutcomeUnknown
			}
		}
		if c.Left != "" {
			r.Notes = append(r.Notes, c.Left)
		}
		out.Clusters = append(out.Clusters, r)
		errs = append(errs, r.Err())
	}
	slices.SortFunc(out.Clusters, func(a, b ClusterResult) int {
		if a.Cluster < b.Cluster {
			return -1
		}
		return 1
	})
	return out, errors.Join(errs...)
}
