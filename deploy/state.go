package deploy

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
)

// componentState is what was asked of a component of an installation beside
// what its application says. It outlives releases.
type componentState struct {
	// Stopped: it has no replicas; see also Replicas.
	Stopped bool `json:"stopped,omitempty"`
	// Paused: a change of it is not rolled out.
	Paused bool `json:"paused,omitempty"`
	// Replicas are those that somebody asked for by hand, in place of the
	// application's.
	Replicas *int `json:"replicas,omitempty"`
	// Resume is how many replicas an autoscaler had given it when it was
	// stopped.
	Resume int `json:"resume,omitempty"`
	// Restarted is when somebody restarted it last.
	Restarted time.Time `json:"restarted,omitzero"`
}

// states are those of components by id; one that says nothing is left out.
type states map[string]componentState

func (s states) set(component string, state componentState) {
	if state == (componentState{}) {
		delete(s, component)
		return
	}
	s[component] = state
}

// same reports whether two say the same.
func (s states) same(other states) bool {
	return maps.EqualFunc(s, other, func(a, b componentState) bool {
		if (a.Replicas == nil) != (b.Replicas == nil) || a.Replicas != nil && *a.Replicas != *b.Replicas || !a.Restarted.Equal(b.Restarted) {
			return false
		}
		a.Replicas, b.Replicas, a.Restarted, b.Restarted = nil, nil, time.Time{}, time.Time{}
		return a == b
	})
}

// stoppedSelector is what no node has: a daemon that is stopped waits for it.
var stoppedSelector = map[string]string{"appspan.dev/stopped": "true"}

// canStop reports whether a component of this kind runs by itself until it is
// told not to.
func canStop(kind appmodel.ComponentKind) bool {
	switch kind {
	case appmodel.KindService, appmodel.KindStateful, appmodel.KindDaemon, appmodel.KindCron, appmodel.KindFunction:
		return true
	}
	return false
}

// canScale reports whether a component has a number of replicas.
func canScale(kind appmodel.ComponentKind) bool {
	return kind == appmodel.KindService || kind == appmodel.KindStateful || kind == appmodel.KindFunction
}

// apply returns the application as it is to run now.
func (s states) apply(app *appmodel.Application) *appmodel.Application {
	if len(s) == 0 {
		return app
	}
	out := *app
	out.Components = slices.Clone(app.Components)
	for i := range out.Components {
		if state, ok := s[out.Components[i].ID]; ok {
			state.apply(&out.Components[i])
		}
	}
	return &out
}

// apply changes a component, but nothing that it shares with others.
func (s componentState) apply(c *appmodel.Component) {
	if canScale(c.Kind) {
		scale := appmodel.Scale{}
		if c.Scale != nil {
			scale = *c.Scale
		}
		switch {
		case s.Stopped:
			none := 0
			scale = appmodel.Scale{Replicas: &none}
		case scale.Auto != nil && s.Resume > 0:
			scale.Replicas = &s.Resume
		case s.Replicas != nil:
			scale.Replicas = s.Replicas
		}
		c.Scale = &scale
	}
	if c.Kind == appmodel.KindDaemon && s.Stopped {
		scheduling := appmodel.Scheduling{}
		if c.Scheduling != nil {
			scheduling = *c.Scheduling
		}
		scheduling.NodeSelector = maps.Clone(scheduling.NodeSelector)
		if scheduling.NodeSelector == nil {
			scheduling.NodeSelector = map[string]string{}
		}
		maps.Copy(scheduling.NodeSelector, stoppedSelector)
		c.Scheduling = &scheduling
	}
	if c.Kind == appmodel.KindCron && c.Cron != nil && (s.Stopped || s.Paused) {
		cron := *c.Cron
		cron.Suspend = true
		c.Cron = &cron
	}
	if !s.Restarted.IsZero() {
		annotations := maps.Clone(c.Annotations)
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[appmodel.AnnotationRestarted] = s.Restarted.UTC().Format(time.RFC3339Nano)
		c.Annotations = annotations
	}
}

// stamp changes a rendered workload as the model cannot say it.
func (s componentState) stamp(o *desired) {
	if s.Stopped {
		o.External = slices.DeleteFunc(slices.Clone(o.External), isReplicas)
	}
	if s.Paused {
		pause(o.Kind, child0(o.tree, "spec"))
	}
}

// pause keeps a workload's controller from rolling out what changes.
func pause(kind string, spec map[string]any) {
	switch kind {
	case "Deployment":
		spec["paused"] = true
	case "StatefulSet", "DaemonSet":
		spec["updateStrategy"] = map[string]any{"type": "OnDelete"}
	}
}

// unpause ends the pause of what does not exist: a Deployment that is made
// paused never gets replicas.
func (d *Deployer) unpause(p *Plan, l *live, w *work) error {
	for i, o := range w.objects {
		s := w.states[o.Component]
		if _, exists := l.find(o.Ref); o.Kind != "Deployment" || !s.Paused || exists {
			continue
		}
		s.Paused = false
		w.states.set(o.Component, s)
		made, err := d.stamp(l.scope, o.Object, p.intent.means(l.cluster.Name()).Yield, w.states)
		if err != nil {
			return err
		}
		made.autoscaled = o.autoscaled
		w.objects[i], w.byRef[o.Ref] = made, made
	}
	return nil
}

// states are those that were recorded. What was removed and is not restored
// begins anew.
func (l *live) states(kind PlanKind) states {
	if r := l.state.record; r.runs() || r != nil && kind == KindRestore {
		return r.States
	}
	return nil
}

// replicas is how many a component is asked to have on the cluster.
func (l *live) replicas(component string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for kind, objects := range l.objects {
		if kind.APIVersion != "apps/v1" || kind.Kind == "ReplicaSet" {
			continue
		}
		for _, obj := range objects {
			if !l.scope.ours(obj.Labels) || obj.Labels[appmodel.LabelComponent] != component {
				continue
			}
			var o struct {
				Spec struct {
					Replicas int `json:"replicas"`
				} `json:"spec"`
			}
			if json.Unmarshal(obj.JSON, &o) == nil {
				n = max(n, o.Spec.Replicas)
			}
		}
	}
	return n
}
