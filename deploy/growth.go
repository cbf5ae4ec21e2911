package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// A StatefulSet makes claims from its templates and never looks at them again.
// Who asks for more means the claims that exist, too: each that has less grows,
// as a change of its own. None shrinks.

// storageRequest is where a claim says how much it asks for.
func storageRequest() trail {
	return trail{{field: "spec"}, {field: "resources"}, {field: "requests"}, {field: "storage"}}
}

// planGrowth plans the growth of claims that templates made.
func (d *Deployer) planGrowth(l *live, w *work, out *ClusterPlan) error {
	w.grown = nil
	for _, set := range w.objects {
		if set.Kind != "StatefulSet" {
			continue
		}
		templates, _ := lookup(set.tree, trail{{field: "spec"}, {field: "volumeClaimTemplates"}}).([]any)
		for _, template := range templates {
			name, _ := lookup(template, trail{{field: "metadata"}, {field: "name"}}).(string)
			for _, claim := range l.claimsOf(set.Name, name) {
				if err := d.planGrowthOf(l, w, set, claim, lookup(template, storageRequest()), out); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// claimsOf are the claims that a set made from a template, in order: those
// named as it names them, with our labels.
func (l *live) claimsOf(set, template string) []driver.Object {
	var out []driver.Object
	prefix := template + "-" + set + "-"
	for _, name := range slices.Sorted(maps.Keys(l.objects[kindClaim])) {
		ordinal, ok := strings.CutPrefix(name, prefix)
		if _, err := strconv.ParseUint(ordinal, 10, 31); !ok || err != nil {
			continue
		}
		if claim := l.objects[kindClaim][name]; l.scope.ours(claim.Labels) && !claim.Deleting {
			out = append(out, claim)
		}
	}
	return out
}

// planGrowthOf plans the growth of one claim to what its template asks for.
func (d *Deployer) planGrowthOf(l *live, w *work, set *desired, claim driver.Object, asked any, out *ClusterPlan) error {
	var current map[string]any
	if err := json.Unmarshal(claim.JSON, &current); err != nil {
		return fmt.Errorf("%s: %w", claim.Ref, err)
	}
	size := lookup(current, storageRequest())
	want, okWant := quantity(asked)
	have, okHave := quantity(size)
	if !okWant || !okHave || want.Cmp(have) <= 0 {
		return nil
	}
	if phase, _ := lookup(current, trail{{field: "status"}, {field: "phase"}}).(string); phase != "Bound" {
		out.Refusals = append(out.Refusals, Refusal{Object: claim.Ref, Path: storageRequest().String(),
			Reason: fmt.Sprintf("%s asks for %s, and a claim that is not bound cannot grow", set.Ref, want.String()),
			Next:   "wait until it is bound, or delete it: it holds nothing yet"})
		return nil
	}
	if !expandable(l.info, current) {
		out.Refusals = append(out.Refusals, Refusal{Object: claim.Ref, Path: storageRequest().String(),
			Reason: fmt.Sprintf("it has %s, %s asks for %s, and its storage class does not allow expansion", have.String(), set.Ref, want.String()),
			Next:   "keep the size, or move the data to a volume of a class with allowVolumeExpansion"})
		return nil
	}
	tree := map[string]any{"apiVersion": claim.APIVersion, "kind": claim.Kind,
		"metadata": map[string]any{"name": claim.Name, "namespace": claim.Namespace},
		"spec":     map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": asked}}}}
	data, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	grown := &desired{tree: tree, compared: tree,
		Object: render.Object{Object: driver.Object{Ref: claim.Ref, JSON: data}, Component: set.Component, Phase: render.PhaseData}}
	w.grown = append(w.grown, grown)
	at := slices.IndexFunc(out.Changes, func(c Change) bool { return c.Object.Kind == set.Kind })
	if at < 0 {
		at = len(out.Changes)
	}
	out.Changes = slices.Insert(out.Changes, at, Change{Action: ActionUpdate, Object: claim.Ref, Component: set.Component,
		Reason: "it grows with its template", UID: claim.UID, Base: d.baseHash(grown, current),
		Want:   d.opts.Keys.Digest("deploy object", data)[:32],
		Fields: []FieldChange{{Path: storageRequest().String(), Old: leafJSON(size, false), New: leafJSON(asked, false)}}})
	return nil
}
