package deploy

import (
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
		for at := range beyond(at, fields, lookup(o.tree, at), lookup(current, at)) {
			a := Addition{Object: o.Ref, Component: o.Component, Path: at.String(), Manager: e.Manager}
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, func(a, b Addition) int { return strings.Compare(a.Path+a.Manager, b.Path+b.Manager) })
	return out
}
