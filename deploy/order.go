package deploy

import (
	"cmp"
	"slices"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/appspan-dev/appspan/deploy/status"
)

// Conditions that a command waits for, beside those of needs.
const (
	conditionUp   = "up"   // ready
	conditionDown = "down" // without replicas
	conditionDone = "done" // ready, or stopped as it was before
)

// order says what the workloads of components wait for when a command is
// carried out: providers are up before who needs them is started or restarted,
// and who needs them is down before they are stopped. It is among the given
// components alone; an optional one holds up nobody, and of needs that go in a
// circle one is passed over.
func order(app *appmodel.Application, kind PlanKind, among map[string]bool) map[string][]render.Wait {
	out := map[string][]render.Wait{}
	if kind != KindStart && kind != KindStop && kind != KindRestart {
		return out
	}
	components := map[string]*appmodel.Component{}
	for i := range app.Components {
		if c := &app.Components[i]; among[c.ID] {
			components[c.ID] = c
		}
	}
	const visiting, visited = 1, 2
	seen := map[string]int{}
	var visit func(id string)
	visit = func(id string) {
		seen[id] = visiting
		for _, need := range components[id].Needs {
			provider := components[cmp.Or(need.Component, need.Name)]
			if need.Application != "" || need.Open != nil || provider == nil || seen[provider.ID] == visiting {
				continue
			}
			if seen[provider.ID] != visited {
				visit(provider.ID)
			}
			switch {
			case kind == KindStop && !components[id].Optional:
				out[provider.ID] = append(out[provider.ID], render.Wait{Component: id, Condition: conditionDown})
			case kind == KindRestart && !provider.Optional:
				out[id] = append(out[id], render.Wait{Component: provider.ID, Condition: conditionDone})
			case kind == KindStart && !provider.Optional:
				out[id] = append(out[id], render.Wait{Component: provider.ID, Condition: conditionUp})
			}
		}
		seen[id] = visited
	}
	for i := range app.Components {
		if id := app.Components[i].ID; components[id] != nil && seen[id] == 0 {
			visit(id)
		}
	}
	return out
}

// ordered is what the tasks of a command wait for. What is made again beside
// it, because somebody changed it, waits for nobody, and nobody for that.
func (a *applier) ordered(tasks []task) map[string][]render.Wait {
	command := a.plan.intent.Command
	if command == nil {
		return nil
	}
	among := map[string]bool{}
	for _, t := range tasks {
		if isWorkload(t.object) && command.names(t.object.Component) {
			among[t.object.Component] = true
		}
	}
	return order(a.fresh.work.app.app, a.plan.Kind, among)
}

// waits is what a task waits for: what the first creation of its object does,
// or what the command does.
func (t task) waits(ordered map[string][]render.Wait) []render.Wait {
	var out []render.Wait
	if t.change.Action == ActionCreate {
		out = t.object.WaitFor
	}
	if t.object.Phase == render.PhaseWorkload {
		out = slices.Concat(out, ordered[t.object.Component])
	}
	return out
}

// isWorkload reports whether an object runs pods until it is stopped.
func isWorkload(o *desired) bool {
	switch o.Kind {
	case "Deployment", "StatefulSet", "DaemonSet", "CronJob":
		return true
	}
	return o.APIVersion == "serving.knative.dev/v1"
}

// conditionsHold reports whether nothing is left to wait for. A component that
// is held back itself is not up, however it does: its turn comes first.
func conditionsHold(waits []render.Wait, components map[string]status.Component, heldBack map[string]bool) bool {
	return !slices.ContainsFunc(waits, func(w render.Wait) bool {
		c := components[w.Component]
		switch w.Condition {
		case conditionUp:
			return c.Value != status.Ready || heldBack[w.Component]
		case conditionDone:
			return c.Value != status.Ready && c.Value != status.Stopped || heldBack[w.Component]
		case conditionDown:
			return c.Value != status.Stopped
		case "started":
			return c.Replicas.Current == 0 && c.Value != status.Ready
		}
		return c.Value != status.Ready && c.Value != status.Stopped // ready, completed
	})
}
