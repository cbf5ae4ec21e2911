package fake

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
)

func priorityOf(o object) *int32 {
	value := o.(*schedulingv1.PriorityClass).Value
	return &value
}

// qosClass is the class of service that the containers' resources give.
func qosClass(o *corev1.Pod) corev1.PodQOSClass {
	guaranteed, any := true, false
	for _, c := range append(append([]corev1.Container(nil), o.Spec.Containers...), o.Spec.InitContainers...) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := c.Resources.Requests[name], c.Resources.Limits[name]
			if !request.IsZero() || !limit.IsZero() {
				any = true
			}
			if limit.IsZero() || request.Cmp(limit) != 0 {
				guaranteed = false
			}
		}
	}
	switch {
	case !any:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// limitPod does what LimitRanges ask: defaults of containers, and their
// minimum and maximum.
func (c *Cluster) limitPod(o *corev1.Pod) error {
	ranges, _ := c.store.list(c.kinds.find("v1", "LimitRange"), o.Namespace)
	for _, r := range ranges {
		for _, item := range r.obj.(*corev1.LimitRange).Spec.Limits {
			if item.Type != corev1.LimitTypeContainer {
				continue
			}
			for i := range o.Spec.Containers {
				res := &o.Spec.Containers[i].Resources
				fill(&res.Limits, item.Default)
				fill(&res.Requests, item.DefaultRequest)
				for name, limit := range item.Default {
					fill(&res.Requests, corev1.ResourceList{name: limit})
				}
				if err := withinLimits(o, *res, item); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func fill(list *corev1.ResourceList, defaults corev1.ResourceList) {
	for name, q := range defaults {
		if _, ok := (*list)[name]; ok {
			continue
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = q.DeepCopy()
	}
}

func withinLimits(o *corev1.Pod, res corev1.ResourceRequirements, item corev1.LimitRangeItem) error {
	forbidden := func(format string, args ...any) error {
		return apierrors.NewForbidden(corev1.Resource("pods"), o.Name, fmt.Errorf(format, args...))
	}
	for name, most := range item.Max {
		limit, ok := res.Limits[name]
		if !ok {
			return forbidden("maximum %s usage per Container is %s.  No limit is specified", name, most.String())
		}
		if limit.Cmp(most) > 0 {
			return forbidden("maximum %s usage per Container is %s, but limit is %s", name, most.String(), limit.String())
		}
	}
	for name, least := range item.Min {
		request, ok := res.Requests[name]
		if !ok {
			return forbidden("minimum %s usage per Container is %s.  No request is specified", name, least.String())
		}
		if request.Cmp(least) < 0 {
			return forbidden("minimum %s usage per Container is %s, but request is %s", name, least.String(), request.String())
		}
	}
	return nil
}

// requests sums what a pod asks for: its containers together, or its largest
// init container, whichever is more.
func requests(o *corev1.Pod) corev1.ResourceList { return podResources(o, false) }

func podResources(o *corev1.Pod, limits bool) corev1.ResourceList {
	pick := func(c corev1.Container) corev1.ResourceList {
		if limits {
			return c.Resources.Limits
		}
		return c.Resources.Requests
	}
	sum := corev1.ResourceList{}
	for _, c := range o.Spec.Containers {
		addAll(sum, pick(c))
	}
	for _, c := range o.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			addAll(sum, pick(c))
		}
	}
	for _, c := range o.Spec.InitContainers {
		for name, q := range pick(c) {
			if have := sum[name]; q.Cmp(have) > 0 {
				sum[name] = q.DeepCopy()
			}
		}
	}
	addAll(sum, o.Spec.Overhead)
	return sum
}

func addAll(sum, more corev1.ResourceList) {
	for name, q := range more {
		have := sum[name].DeepCopy()
		have.Add(q)
		sum[name] = have
	}
}

func quantity(s string) resource.Quantity {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return resource.Quantity{}
	}
	return q
}
