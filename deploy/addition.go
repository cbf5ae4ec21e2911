package deploy

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Addition is something that somebody put into the pod template of one of our
// workloads, beside what is ours: a container, a variable, a volume. It runs
// with the application, and stays: server-side apply leaves what others own.
// To be rid of it, remove it as it came, or ask for it in the application.
type Addition struct {
	Object    driver.Ref `json:"object"`
	Component string     `json:"component,omitempty"`
	Path      string     `json:"path"` // .spec.template.spec.containers[name="debug"]
	Manager   string     `json:"manager"`
}

// String is the addition as a plan shows it.
func (a Addition) String() string {
	return a.Object.String() + " " + a.Path + ": added by " + a.Manager
}

// templates are where workloads have their pods' specifications.
func templates(o driver.Ref) trail {
	spec := trail{{field: "spec"}, {field: "template"}, {field: "spec"}}
	switch o.Kind + "." + o.Group() {
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "Job.batch":
		return spec
	case "CronJob.batch":
		return append(trail{{field: "spec"}, {field: "jobTemplate"}}, spec...)
	}
	return nil
}

// additions finds what others own in the pod template of an object and we do
// not ask for. Controllers write subresources; their entries are passed over.
func additions(o *desired, current map[string]any, m managers, self string) []Addition {
	at := templates(o.Ref)
	if at == nil {
		return nil
	}
	var out []Addition
	for _, e := range m {
		if e.Manager == self || e.Subresource != "" {
			continue
		}
		fields, ok := e.Fields, true
		for _, s := range at {
			if fields, ok = child(fields, s); !ok {
				break
			}
		}
		if !ok {
			continue
		}
		addedAt(at, fields, lookup(o.tree, at), lookup(current, at), func(at trail) {
			a := Addition{Object: o.Ref, Component: o.Component, Path: at.String(), Manager: e.Manager}
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		})
	}
	slices.SortFunc(out, func(a, b Addition) int { return strings.Compare(a.Path+a.Manager, b.Path+b.Manager) })
	return out
}

// addedAt tells the highest paths below at that fields owns, live has and want
// lacks.
func addedAt(at trail, fields map[string]any, want, live any, tell func(trail)) {
	if empty(live) {
		return
	}
	if want == nil {
		tell(at)
		return
	}
	for name, v := range fields {
		inner, _ := v.(map[string]any)
		if field, ok := strings.CutPrefix(name, "f:"); ok {
			w, _ := want.(map[string]any)
			l, _ := live.(map[string]any)
			addedAt(at.with(step{field: field}), inner, w[field], l[field], tell)
			continue
		}
		text, ok := strings.CutPrefix(name, "k:")
		names := listKeys(at)
		var key map[string]any
		if !ok || names == nil || json.Unmarshal([]byte(text), &key) != nil {
			continue
		}
		w, _ := want.([]any)
		l, _ := live.([]any)
		wantEntry, _ := find(w, names, key)
		liveEntry, _ := find(l, names, key)
		addedAt(at.with(step{key: key}), inner, wantEntry, liveEntry, tell)
	}
}
