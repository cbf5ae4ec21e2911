package team

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// namespace decides about a namespace that exists.
func (r *reconciler) namespace(live driver.Object) (adopted, refused bool) {
	a := r.doc.Clusters[r.cluster.Name()]
	i := slices.IndexFunc(a.Namespaces, func(n Namespace) bool { return n.Name == live.Name })
	var s standing
	if i >= 0 {
		s = judge(live, r.cluster.Name(), r.doc.ID, r.teams.opts.Installation, a.Namespaces[i])
	} else if other := live.Labels[LabelInstallation]; other != r.teams.opts.Installation { // that of the members
		s.refusal = fmt.Errorf("namespace %s: %w: it exists and is not this installation's", live.Name, appspan.ErrConflict)
	} else {
		s.ours = true
	}
	switch uid := r.was[live.Name]; {
	case i < 0 || live.Deleting || uid == "" || live.Labels[LabelTeam] != "" || live.Labels[LabelInstallation] != "":
	case uid == live.UID: // it lost its labels
		s = standing{exists: true, ours: true}
	case r.unattended && s.refusal == nil:
		s.refusal = fmt.Errorf("namespace %s on %s: %w: the team's was deleted and somebody made another; reconcile the team to decide", live.Name, r.cluster.Name(), appspan.ErrConflict)
	}
	if s.refusal != nil {
		r.refuse(live.Name, s.refusal.Error())
		return false, true
	}
	r.plan.namespaces[live.Name] = live.UID
	if s.warning != "" {
		r.warn(s.warning)
	}
	return !s.ours, false
}

// warn warns, once.
func (r *reconciler) warn(text string) {
	if !slices.Contains(r.plan.Warnings, text) {
		r.plan.Warnings = append(r.plan.Warnings, text)
	}
}

func (r *reconciler) refuse(namespace, reason string) {
	r.refused[namespace] = true
	r.plan.Refused = append(r.plan.Refused, reason)
}

// lost decides about a namespace that is not there. One that was there took all
// that was in it with it: nobody hides that by making an empty one, unless
// asked to.
func (r *reconciler) lost(name string) (refused bool) {
	if r.was[name] == "" {
		return false
	}
	gone := fmt.Sprintf("namespace %s on %s was there and is gone, with all that was in it", name, r.cluster.Name())
	if r.unattended {
		r.refuse(name, gone+"; reconcile the team to make it anew, empty, or take it from the team")
		return true
	}
	r.warn(gone + ": it is made anew, empty")
	return false
}

// createNamespace makes a namespace that is not there, with the labels that say
// whose it is.
func (r *reconciler) createNamespace(ctx context.Context, obj driver.Object) (driver.Object, error) {
	w := writer{}
	w.add(bareNamespace(obj.Name, identity(obj.Labels, func(v string) string { return v })))
	return r.cluster.Apply(ctx, w.objects[0], driver.ApplyOptions{Manager: r.manager(), IfAbsent: true})
}

func bareNamespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{TypeMeta: typeMeta("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// identity are the labels that say whose something is.
func identity(labels map[string]string, value func(string) string) map[string]string {
	out := map[string]string{}
	for _, key := range []string{LabelTeam, LabelInstallation, LabelTeamPart, labelManagedBy} {
		if v, ok := labels[key]; ok {
			out[key] = value(v)
		}
	}
	return out
}

// relabel leaves a namespace with these labels of ours, or none, and takes what
// else we set in it that bears none. Labels with which a namespace was created
// are owned by an update, which an apply does not end; a new value makes them
// the apply's alone (KEP-555).
func (r *reconciler) relabel(ctx context.Context, change *Change, labels map[string]string) error {
	steps := []any{bareNamespace(change.Object.Name, labels)}
	if labels == nil {
		emptied := identity(r.live[change.Object].Labels, func(string) string { return "" })
		steps = []any{defaultAccount(change.Object.Name), bareNamespace(change.Object.Name, emptied), bareNamespace(change.Object.Name, nil)}
	}
	for _, v := range steps {
		obj, err := driver.NewObject(v)
		if err != nil {
			return err
		}
		opts := driver.ApplyOptions{Manager: r.manager(), Force: true}
		if obj.Kind == "Namespace" {
			opts.IfUID = change.uid
		}
		if _, err := r.cluster.Apply(ctx, obj, opts); err != nil {
			return err
		}
	}
	return nil
}
