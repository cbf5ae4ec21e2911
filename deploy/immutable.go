package deploy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// judgeUpdate finds what cannot be changed in place: it makes the change a
// replacement where nothing is lost by that, and a refusal where data would
// be.
func judgeUpdate(p *Plan, l *live, o *desired, current map[string]any, m managers, differences []difference, change *Change) []Refusal {
	var fixed []difference
	for _, diff := range differences {
		if !mutable(o.Kind, diff.at) {
			fixed = append(fixed, diff)
		}
	}
	if o.Kind == "PersistentVolumeClaim" {
		return judgeClaim(p, l, o, current, differences, fixed, change)
	}
	if o.Kind == "Service" {
		if refusals := judgePorts(l, o, current, m); len(refusals) > 0 {
			return refusals
		}
	}
	if len(fixed) == 0 && o.Kind == "Deployment" && strandedRollingUpdate(l, o, current, m) {
		change.Action = ActionReplace
		change.Reason = "the parameters of its rolling update are not ours to take away, and with them the server refuses to recreate; its pods stay until their template changes"
		return nil
	}
	if len(fixed) == 0 {
		return nil
	}
	if refusals := judgeTemplates(p, o, current); len(refusals) > 0 {
		return refusals
	}
	change.Action = ActionReplace
	change.Reason = fmt.Sprintf("%s cannot be changed in place", fixed[0].at)
	if o.Kind == "StatefulSet" {
		change.Reason += "; its pods and claims stay, and no claim shrinks"
	}
	return nil
}

// judgeTemplates refuses a StatefulSet whose claims would be asked to shrink:
// those that are there cannot, and the document would say otherwise. A rollback
// goes back all the same, and its claims stay as large as they are.
func judgeTemplates(p *Plan, o *desired, current map[string]any) []Refusal {
	if o.Kind != "StatefulSet" || p.intent.DataLoss || p.Kind == KindRollback {
		return nil
	}
	at := trail{{field: "spec"}, {field: "volumeClaimTemplates"}}
	name := trail{{field: "metadata"}, {field: "name"}}
	want, _ := lookup(o.compared, at).([]any)
	have, _ := lookup(current, at).([]any)
	var out []Refusal
	for _, w := range want {
		for _, l := range have {
			if lookup(w, name) != lookup(l, name) {
				continue
			}
			asked, okW := quantity(lookup(w, storageRequest()))
			there, okL := quantity(lookup(l, storageRequest()))
			if okW && okL && asked.Cmp(there) < 0 {
				out = append(out, Refusal{Object: o.Ref, Path: fmt.Sprintf("%s[%v]%s", at, lookup(w, name), storageRequest()),
					Reason: fmt.Sprintf("its claims cannot shrink from %s to %s", there.String(), asked.String()),
					Next:   "keep the size, or move the data to a new volume; with PlanOptions.DataLoss new claims are of the new size, and those that are there stay as they are"})
			}
		}
	}
	return out
}

// judgePorts refuses a Service that would have two ports of one name, which
// the API server does not allow: ports merge by number, and one of somebody
// else is not taken away by an apply.
func judgePorts(l *live, o *desired, current map[string]any, m managers) []Refusal {
	at := trail{{field: "spec"}, {field: "ports"}}
	names := listKeys(at)
	want, _ := lookup(o.compared, at).([]any)
	have, _ := lookup(current, at).([]any)
	var out []Refusal
	for _, port := range have {
		key, ok := keyOf(port, names)
		if _, asked := find(want, names, key); !ok || asked {
			continue
		}
		owners := m.owners(at.with(step{key: key}), l.scope.manager())
		name := port.(map[string]any)["name"]
		if len(owners) == 0 || !slices.ContainsFunc(want, func(w any) bool { return lookup(w, trail{{field: "name"}}) == name }) {
			continue
		}
		out = append(out, Refusal{Object: o.Ref, Path: at.with(step{key: key}).String(),
			Reason: fmt.Sprintf("%s put this port there under the name %v of one of ours, and both cannot be", owners[0], name),
			Next:   "remove this port from the Service with kubectl edit, then plan again"})
	}
	return out
}

// judgeClaim lets claims grow where their class can, and refuses the rest.
func judgeClaim(p *Plan, l *live, o *desired, current map[string]any, differences, fixed []difference, change *Change) []Refusal {
	size := storageRequest()
	for _, diff := range differences {
		if diff.at.String() != size.String() {
			continue
		}
		want, okW := quantity(diff.want)
		have, okH := quantity(diff.live)
		switch {
		case !okW || !okH:
		case want.Cmp(have) < 0 && !p.intent.DataLoss:
			return []Refusal{{Object: o.Ref, Path: size.String(), Reason: fmt.Sprintf("a claim cannot shrink from %s to %s", have.String(), want.String()),
				Next: "keep the size, or move the data to a new volume"}}
		case want.Cmp(have) > 0 && !expandable(l.info, current):
			return []Refusal{{Object: o.Ref, Path: size.String(), Reason: "its storage class does not allow expansion",
				Next: "keep the size, or use a class with allowVolumeExpansion"}}
		}
	}
	if len(fixed) == 0 {
		return nil
	}
	if p.intent.DataLoss {
		change.Action, change.Reason = ActionReplace, fmt.Sprintf("%s cannot be changed in place; its data is lost", fixed[0].at)
		return nil
	}
	return []Refusal{{Object: o.Ref, Path: fixed[0].at.String(), Reason: "a claim cannot be changed in place, and replacing it would lose its data",
		Next: "give the volume another name to begin empty, or set PlanOptions.DataLoss"}}
}

func expandable(info driver.Info, claim map[string]any) bool {
	class, _ := lookup(claim, trail{{field: "spec"}, {field: "storageClassName"}}).(string)
	for _, c := range info.StorageClasses {
		if c.Name == class {
			return c.AllowExpansion
		}
	}
	return false
}

// mutable reports whether the API server lets a leaf of a kind change, as its
// validation does (k8s.io/kubernetes/pkg/apis/*/validation).
func mutable(kind string, at trail) bool {
	if len(at) == 0 || at[0].field != "spec" || len(at) < 2 {
		return kind != "Secret" || len(at) == 0 || at[0].field != "type"
	}
	second := at[1].field
	switch kind {
	case "Deployment", "DaemonSet", "ReplicaSet":
		return second != "selector"
	case "StatefulSet":
		return slices.Contains([]string{"replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "ordinals", "revisionHistoryLimit"}, second)
	case "Job":
		return slices.Contains([]string{"parallelism", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "suspend", "backoffLimit"}, second)
	case "PersistentVolumeClaim":
		return second == "resources"
	case "Service":
		return second != "clusterIP" && second != "clusterIPs"
	}
	return true
}

// strandedRollingUpdate reports whether a Deployment is to recreate its pods
// and would keep the parameters of a rolling update, which the server refuses:
// an apply takes away only what nobody but us owns, and defaults are nobody's.
func strandedRollingUpdate(l *live, o *desired, current map[string]any, m managers) bool {
	at := trail{{field: "spec"}, {field: "strategy"}}
	if kind, _ := lookup(o.tree, at.with(step{field: "type"})).(string); kind != "Recreate" {
		return false
	}
	at = at.with(step{field: "rollingUpdate"})
	parameters, _ := lookup(current, at).(map[string]any)
	entry, _ := m.applied(l.scope.manager())
	for name := range parameters {
		leaf := at.with(step{field: name})
		if entry.Fields == nil || !owns(entry.Fields, leaf) || len(m.owners(leaf, l.scope.manager())) > 0 {
			return true
		}
	}
	return false
}

// propagation is how an object is deleted to be made anew: what a StatefulSet,
// or a Deployment that selects the same pods, owns is taken over by the next
// one.
func propagation(c *Change) driver.Propagation {
	selects := func(f FieldChange) bool { return strings.HasPrefix(f.Path, ".spec.selector") }
	switch {
	case c.Action != ActionReplace:
		return driver.Background
	case c.Object.Kind == "StatefulSet", c.Object.Kind == "Deployment" && !slices.ContainsFunc(c.Fields, selects):
		return driver.Orphan
	}
	return driver.Foreground
}
