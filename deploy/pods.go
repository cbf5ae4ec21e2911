package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// maxPods bounds how many pods of one application on one cluster are looked at.
const maxPods = 20_000

// podQuery selects pods of an application.
type podQuery struct {
	labels    string
	component string // empty: the pods' labels say it
	// installation is whose they are, if their labels say so; empty: anybody's.
	installation string
}

// podQueries are the queries for all pods of an application: by its label,
// and, for each workload that was adopted with a pod template without it, by
// the workload's selector. Of a CronJob these are its Jobs; comes says that
// there may be more Jobs of this sort.
func (d *Deployer) podQueries(ctx context.Context, c *cluster.Cluster, s scope) (queries []podQuery, comes bool, err error) {
	info, err := c.Info(ctx)
	if err != nil {
		return nil, false, err
	}
	byLabel := appmodel.LabelApplication + "=" + s.application
	queries = []podQuery{{labels: byLabel, installation: s.installation}}
	schedules := map[string]string{} // components of CronJobs by UID
	for _, k := range []kindRef{{"apps/v1", "Deployment"}, {"apps/v1", "StatefulSet"}, {"apps/v1", "DaemonSet"}, {"batch/v1", "CronJob"}, kindJob} {
		if !info.Has(k.APIVersion, k.Kind) {
			continue
		}
		q := cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: s.namespace, Labels: byLabel, Projection: cluster.Trimmed}
		if k == kindJob && len(schedules) > 0 {
			q.Labels = "" // what a CronJob made before it was adopted has none of ours
		}
		for obj, err := range c.List(ctx, q) {
			if err != nil {
				return nil, false, err
			}
			w, ok := s.workload(obj, schedules)
			switch {
			case !ok:
				continue
			case k.Kind == "CronJob":
				schedules[obj.UID] = w.component
			case w.bare && w.selector != "":
				queries = append(queries, podQuery{w.selector, w.component, s.installation})
			}
			comes = comes || w.bare && k.APIVersion == kindJob.APIVersion
		}
	}
	return together(queries), comes, nil
}

func (q podQuery) query(apiVersion, kind, namespace string) cluster.Query {
	return cluster.Query{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Labels: q.labels, Projection: cluster.Trimmed}
}

// pod is one replica of a component.
type pod struct {
	ref       driver.Ref
	uid       string
	component string
	corev1.Pod
}

// read decodes a pod that the query selected; false: it is none.
func (q podQuery) read(obj driver.Object) (pod, bool) {
	if whose := obj.Labels[appmodel.LabelInstallation]; q.installation != "" && whose != "" && whose != q.installation {
		return pod{}, false
	}
	p := pod{ref: obj.Ref, uid: obj.UID, component: cmp.Or(q.component, obj.Labels[appmodel.LabelComponent])}
	err := json.Unmarshal(obj.JSON, &p.Pod)
	return p, err == nil && len(p.Spec.Containers) > 0
}

// podsOf lists the pods of an application on a cluster, by name.
func (d *Deployer) podsOf(ctx context.Context, c *cluster.Cluster, s scope) ([]pod, error) {
	queries, _, err := d.podQueries(ctx, c, s)
	if err != nil {
		return nil, err
	}
	found := map[string]pod{}
	for _, q := range queries {
		for obj, err := range c.List(ctx, q.query("v1", "Pod", s.namespace)) {
			if err != nil {
				return nil, err
			}
			if p, ok := q.read(obj); ok {
				found[p.uid] = p
			}
			if len(found) > maxPods {
				return nil, fmt.Errorf("%w: more than %d pods; choose fewer clusters or applications", appspan.ErrExhausted, maxPods)
			}
		}
	}
	out := make([]pod, 0, len(found))
	for _, p := range found {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b pod) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.uid, b.uid)) })
	return out, nil
}

// mainContainer is the container that is meant when none is named.
func (p pod) mainContainer() string {
	names := p.containers()
	for _, name := range []string{p.Annotations["kubectl.kubernetes.io/default-container"], p.component} {
		if slices.Contains(names, name) {
			return name
		}
	}
	return p.Spec.Containers[0].Name
}

// containers are the names of all containers, those that initialise first.
func (p pod) containers() []string {
	var names []string
	for _, k := range p.Spec.InitContainers {
		names = append(names, k.Name)
	}
	for _, k := range p.Spec.Containers {
		names = append(names, k.Name)
	}
	return names
}

// state is the status of a container; false: there is none yet.
func (p pod) state(container string) (corev1.ContainerStatus, bool) {
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for _, s := range list {
			if s.Name == container {
				return s, true
			}
		}
	}
	return corev1.ContainerStatus{}, false
}

// isReady reports whether the pod can be talked to.
func (p pod) isReady() bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// over reports whether a container has ended for good.
func (p pod) over(s corev1.ContainerStatus) bool {
	switch {
	case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		return true
	case s.State.Terminated == nil:
		return false
	}
	initialises := slices.ContainsFunc(p.Spec.InitContainers, func(k corev1.Container) bool { return k.Name == s.Name && k.RestartPolicy == nil })
	return p.DeletionTimestamp != nil || p.Spec.RestartPolicy == corev1.RestartPolicyNever ||
		(initialises || p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure) && s.State.Terminated.ExitCode == 0
}

func (d *Deployer) scopeOf(application string, to Target) scope {
	return scope{installation: d.opts.Installation, application: application, namespace: to.Namespace}
}
