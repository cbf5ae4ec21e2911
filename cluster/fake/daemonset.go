package fake

import (
	"encoding/json"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// mustJSON encodes what cannot fail to be encoded.
func mustJSON(v any) []byte {
	data, _ := json.Marshal(v)
	return data
}

// templateFrom reads the template that a ControllerRevision keeps.
func templateFrom(rev *appsv1.ControllerRevision, otherwise *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	var data struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(rev.Data.Raw, &data); err != nil || len(data.Spec.Template.Spec.Containers) == 0 {
		return otherwise
	}
	return &data.Spec.Template
}

// syncDaemonSet is the daemon set controller: one pod on each node that the
// template's selector and tolerations allow.
func (c *Cluster) syncDaemonSet(t task) {
	d, ok := fetch[*appsv1.DaemonSet](c, t)
	if !ok {
		return
	}
	hash := templateHash(&d.Spec.Template, d.Status.CollisionCount)
	pods := claimed[*corev1.Pod](c, t, d)
	wanted := map[string]bool{}
	nodes, _ := c.store.list(c.kinds.find("v1", "Node"), "")
	for _, r := range nodes {
		n := r.obj.(*corev1.Node)
		probe := &corev1.Pod{Spec: *d.Spec.Template.Spec.DeepCopy()}
		probe.Spec.Tolerations = append(probe.Spec.Tolerations, daemonTolerations()...)
		if len(misfit(probe, n)) == 0 {
			wanted[n.Name] = true
		}
	}
	var failure error
	if d.DeletionTimestamp == nil {
		c.recordRevision(d, d.Name+"-"+hash)
		failure = c.driveDaemonSet(d, pods, wanted, hash)
		pods = children[*corev1.Pod](c, d.UID)
	}
	var next time.Duration
	_, _ = mutate(c, t, "status", controllerManager, func(o *appsv1.DaemonSet) {
		st := &o.Status
		*st = appsv1.DaemonSetStatus{ObservedGeneration: d.Generation, DesiredNumberScheduled: int32(len(wanted)), CollisionCount: st.CollisionCount, Conditions: st.Conditions}
		for _, p := range pods {
			if p.DeletionTimestamp != nil {
				continue
			}
			if !wanted[daemonNode(p)] {
				st.NumberMisscheduled++
				continue
			}
			st.CurrentNumberScheduled++
			if podReady(p) {
				st.NumberReady++
			}
			ok, wait := podAvailable(p, o.Spec.MinReadySeconds)
			if ok {
				st.NumberAvailable++
			} else if wait > 0 && (next == 0 || wait < next) {
				next = wait
			}
			if p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == hash {
				st.UpdatedNumberScheduled++
			}
		}
		st.NumberUnavailable = st.DesiredNumberScheduled - st.NumberAvailable
	})
	if next > 0 {
		c.again(t, next)
	}
	if failure != nil {
		c.retry(t)
	} else {
		c.forget(t)
	}
}

// driveDaemonSet creates what is missing, deletes what is too much, and
// replaces as many old pods as may be unavailable.
func (c *Cluster) driveDaemonSet(d *appsv1.DaemonSet, pods []*corev1.Pod, wanted map[string]bool, hash string) error {
	covered := map[string]bool{}
	unavailable := 0
	var old []*corev1.Pod
	for _, p := range pods {
		node := daemonNode(p)
		switch {
		case p.DeletionTimestamp != nil:
			covered[node] = true // its successor waits for it
			unavailable++
		case !wanted[node] || covered[node] || terminated(p):
			c.deletePods([]*corev1.Pod{p})
		default:
			covered[node] = true
			ok, _ := podAvailable(p, d.Spec.MinReadySeconds)
			if !ok {
				unavailable++
			}
			if p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] != hash {
				old = append(old, p)
			}
		}
	}
	names := make([]string, 0, len(wanted))
	for name := range wanted {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, node := range names {
		if covered[node] {
			continue
		}
		unavailable++
		if _, err := c.createPod(d, appsv1.SchemeGroupVersion.WithKind("DaemonSet"), &d.Spec.Template, func(p *corev1.Pod) { bindDaemon(p, node, hash) }); err != nil {
			return err
		}
	}
	if d.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		return nil
	}
	allowed := int(max(1, scaled(d.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable, int32(len(wanted)), true)))
	for _, p := range victims(old) {
		ok, _ := podAvailable(p, d.Spec.MinReadySeconds)
		if ok && unavailable >= allowed {
			break
		}
		if ok {
			unavailable++
		}
		c.deletePods([]*corev1.Pod{p})
	}
	return nil
}

// bindDaemon ties a pod to its node, as the controller does, by affinity.
func bindDaemon(p *corev1.Pod, node, hash string) {
	labels := clonedLabels(p.Labels)
	labels[appsv1.DefaultDaemonSetUniqueLabelKey] = hash
	p.Labels = labels
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{}
	}
	p.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}},
	}}
	p.Spec.Tolerations = append(p.Spec.Tolerations, daemonTolerations()...)
}

// daemonNode is the node that a pod is for, also before it is scheduled.
func daemonNode(p *corev1.Pod) string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, f := range term.MatchFields {
				if f.Key == "metadata.name" && len(f.Values) == 1 {
					return f.Values[0]
				}
			}
		}
	}
	return ""
}

func daemonTolerations() []corev1.Toleration {
	var list []corev1.Toleration
	for _, t := range []struct {
		key    string
		effect corev1.TaintEffect
	}{
		{corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute}, {corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute},
		{corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule}, {corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule},
		{corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule}, {corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule},
	} {
		list = append(list, corev1.Toleration{Key: t.key, Operator: corev1.TolerationOpExists, Effect: t.effect})
	}
	return list
}
