package fake

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// podNumbers is what scheduling and kubelets remember between looks. Its maps
// are guarded by the store's lock.
type podNumbers struct {
	next          netip.Addr
	use           map[string]nodeUse // by node
	unschedulable map[key]bool
	waiting       map[key]bool // for a ConfigMap or a Secret
}

// nodeUse is what the pods of one node ask for.
type nodeUse map[corev1.ResourceName]int64

// amount is a quantity as a number that can be summed: milli-CPUs, or units.
func amount(name corev1.ResourceName, q resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

// countNode keeps the use of nodes up to date; the store's lock is held.
func (c *Cluster) countNode(ch change) {
	add := func(r *record, sign int64) {
		if r == nil {
			return
		}
		p := r.obj.(*corev1.Pod)
		if p.Spec.NodeName == "" || terminated(p) {
			return
		}
		if c.pods.use == nil {
			c.pods.use = map[string]nodeUse{}
		}
		use := c.pods.use[p.Spec.NodeName]
		if use == nil {
			use = nodeUse{}
			c.pods.use[p.Spec.NodeName] = use
		}
		for name, q := range requests(p) {
			use[name] += sign * amount(name, q)
		}
		use[corev1.ResourcePods] += sign
	}
	if ch.before != nil && ch.after != nil {
		a, b := ch.before.obj.(*corev1.Pod), ch.after.obj.(*corev1.Pod)
		if a.Spec.NodeName == b.Spec.NodeName && terminated(a) == terminated(b) {
			return // a running pod's requests do not change
		}
	}
	add(ch.before, -1)
	add(ch.after, 1)
}

// schedulePod is the scheduler.
func (c *Cluster) schedulePod(t task) {
	p, ok := fetch[*corev1.Pod](c, t)
	if !ok || p.Spec.NodeName != "" || p.DeletionTimestamp != nil || p.Spec.SchedulerName != corev1.DefaultSchedulerName {
		return
	}
	if len(p.Spec.SchedulingGates) > 0 {
		c.unscheduled(t, p, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
		return
	}
	node, message := c.pickNode(p)
	if script, again := c.failure(p); script != nil && script.Failure == Unschedulable {
		nodes, _ := c.store.list(c.kinds.find("v1", "Node"), "")
		node, message = "", script.Message
		if message == "" {
			message = fmt.Sprintf("0/%d nodes are available: %d Insufficient cpu. preemption: 0/%d nodes are available: %d No preemption victims found for incoming pod.", len(nodes), len(nodes), len(nodes), len(nodes))
		}
		if again > 0 {
			c.again(t, again)
		}
	} else if again > 0 && node == "" {
		c.again(t, again)
	}
	if node == "" {
		c.unscheduled(t, p, corev1.PodReasonUnschedulable, message)
		return
	}
	_, _ = c.update(c.ctx, request{kind: t.kind, key: t.key, manager: schedulerName, untracked: true}, func(live object) (object, error) {
		o := live.DeepCopyObject().(*corev1.Pod)
		o.Spec.NodeName = node
		setPodCondition(&o.Status, corev1.PodScheduled, corev1.ConditionTrue, "", "")
		return o, nil
	})
	c.note(&c.pods.unschedulable, t.key, false)
	c.event(p, corev1.EventTypeNormal, "Scheduled", fmt.Sprintf("Successfully assigned %s/%s to %s", p.Namespace, p.Name, node), "default-scheduler")
}

// note adds a pod to one of the sets, or takes it out.
func (c *Cluster) note(set *map[key]bool, at key, in bool) {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	switch {
	case !in:
		delete(*set, at)
	case *set == nil:
		*set = map[key]bool{at: true}
	default:
		(*set)[at] = true
	}
}

func (c *Cluster) unscheduled(t task, p *corev1.Pod, reason, message string) {
	c.note(&c.pods.unschedulable, t.key, true)
	changed := false
	_, _ = mutate(c, t, "status", schedulerName, func(o *corev1.Pod) {
		changed = setPodCondition(&o.Status, corev1.PodScheduled, corev1.ConditionFalse, reason, message)
	})
	if changed {
		c.event(p, corev1.EventTypeWarning, "FailedScheduling", message, "default-scheduler")
	}
}

// pickNode chooses the node with the most room, or says why there is none.
func (c *Cluster) pickNode(p *corev1.Pod) (string, string) {
	nodes, _ := c.store.list(c.kinds.find("v1", "Node"), "")
	if message := c.claimsReady(p); message != "" {
		return "", fmt.Sprintf("0/%d nodes are available: %s. preemption: 0/%d nodes are available: %d Preemption is not helpful for scheduling.", len(nodes), message, len(nodes), len(nodes))
	}
	if len(nodes) == 0 {
		return "", "no nodes available to schedule pods"
	}
	reasons := map[string]int{}
	full := 0
	best, bestUse := "", 0.0
	for _, r := range nodes {
		n := r.obj.(*corev1.Node)
		why := misfit(p, n)
		if len(why) == 0 {
			why = c.lacks(p, n)
			if len(why) > 0 {
				full++
			}
		}
		for _, reason := range why {
			reasons[reason]++
		}
		if len(why) > 0 {
			continue
		}
		if use := c.load(p, n); best == "" || use < bestUse {
			best, bestUse = n.Name, use
		}
	}
	if best != "" {
		return best, ""
	}
	var parts []string
	for reason, n := range reasons {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	sort.Strings(parts)
	preemption := []string{}
	if full > 0 {
		preemption = append(preemption, fmt.Sprintf("%d No preemption victims found for incoming pod", full))
	}
	if rest := len(nodes) - full; rest > 0 {
		preemption = append(preemption, fmt.Sprintf("%d Preemption is not helpful for scheduling", rest))
	}
	slices.Sort(preemption)
	return "", fmt.Sprintf("0/%d nodes are available: %s. preemption: 0/%d nodes are available: %s.",
		len(nodes), strings.Join(parts, ", "), len(nodes), strings.Join(preemption, ", "))
}

// misfit says why a node is not for a pod, however empty it is.
func misfit(p *corev1.Pod, n *corev1.Node) []string {
	if n.Spec.Unschedulable && !tolerates(p, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}) {
		return []string{"node(s) were unschedulable"}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue && !tolerates(p, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}) {
			return []string{"node(s) had untolerated taint(s)"}
		}
	}
	for _, taint := range n.Spec.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule && !tolerates(p, taint) {
			return []string{"node(s) had untolerated taint(s)"}
		}
	}
	for k, v := range p.Spec.NodeSelector {
		if n.Labels[k] != v {
			return []string{"node(s) didn't match Pod's node affinity/selector"}
		}
	}
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		if !slices.ContainsFunc(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool { return termMatches(t, n) }) {
			return []string{"node(s) didn't match Pod's node affinity/selector"}
		}
	}
	return nil
}

func tolerates(p *corev1.Pod, taint corev1.Taint) bool {
	return slices.ContainsFunc(p.Spec.Tolerations, func(t corev1.Toleration) bool {
		if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
			return false
		}
		return t.Operator == corev1.TolerationOpExists || t.Key != "" && t.Value == taint.Value
	})
}

func termMatches(t corev1.NodeSelectorTerm, n *corev1.Node) bool {
	matches := func(value string, ok bool, e corev1.NodeSelectorRequirement) bool {
		switch e.Operator {
		case corev1.NodeSelectorOpIn:
			return ok && slices.Contains(e.Values, value)
		case corev1.NodeSelectorOpNotIn:
			return !ok || !slices.Contains(e.Values, value)
		case corev1.NodeSelectorOpExists:
			return ok
		case corev1.NodeSelectorOpDoesNotExist:
			return !ok
		}
		return false
	}
	for _, e := range t.MatchExpressions {
		if value, ok := n.Labels[e.Key]; !matches(value, ok, e) {
			return false
		}
	}
	for _, e := range t.MatchFields {
		if !matches(n.Name, true, e) {
			return false
		}
	}
	return len(t.MatchExpressions)+len(t.MatchFields) > 0
}

// lacks says what a node has too little of.
func (c *Cluster) lacks(p *corev1.Pod, n *corev1.Node) []string {
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	use := c.pods.use[n.Name]
	var why []string
	for name, q := range requests(p) {
		have, ok := n.Status.Allocatable[name]
		if want := amount(name, q); want > 0 && (!ok || use[name]+want > amount(name, have)) {
			why = append(why, "Insufficient "+string(name))
		}
	}
	if most, ok := n.Status.Allocatable[corev1.ResourcePods]; ok && use[corev1.ResourcePods]+1 > most.Value() {
		why = append(why, "Too many pods")
	}
	slices.Sort(why)
	return why
}

// load is how full a node would be with the pod, pods included so that those
// without requests spread too.
func (c *Cluster) load(p *corev1.Pod, n *corev1.Node) float64 {
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	use, asked, sum := c.pods.use[n.Name], requests(p), 0.0
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods} {
		if have := amount(name, n.Status.Allocatable[name]); have > 0 {
			sum += float64(use[name]+amount(name, asked[name])) / float64(have)
		}
	}
	return sum
}

// claimsReady says what keeps the claims of a pod from being used. A claim
// that waits for its first consumer gets it here.
func (c *Cluster) claimsReady(p *corev1.Pod) string {
	k := c.kinds.find("v1", "PersistentVolumeClaim")
	for _, v := range p.Spec.Volumes {
		if v.PersistentVolumeClaim == nil {
			continue
		}
		at := key{p.Namespace, v.PersistentVolumeClaim.ClaimName}
		claim, ok := fetch[*corev1.PersistentVolumeClaim](c, task{kind: k, key: at})
		switch {
		case !ok:
			return fmt.Sprintf("persistentvolumeclaim %q not found", at.name)
		case claim.DeletionTimestamp != nil:
			return fmt.Sprintf("persistentvolumeclaim %q is being deleted", at.name)
		case claim.Status.Phase == corev1.ClaimBound:
			continue
		}
		class, ok := fetch[*storagev1.StorageClass](c, task{kind: c.kinds.find("storage.k8s.io/v1", "StorageClass"), key: key{"", deref(claim.Spec.StorageClassName)}})
		if ok && deref(class.VolumeBindingMode) == storagev1.VolumeBindingWaitForFirstConsumer {
			c.bindClaim(task{claims, k, at}, claim, class)
			continue
		}
		return "pod has unbound immediate PersistentVolumeClaims"
	}
	return ""
}
