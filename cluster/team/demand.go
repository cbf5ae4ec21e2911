package team

import (
	"cmp"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	podresource "k8s.io/component-helpers/resource"
	kjson "sigs.k8s.io/json"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// DemandOptions shape [Demand]. The zero value, like nil, is the default.
type DemandOptions struct {
	// Defaults are the requests of containers that state none, as the
	// namespace's LimitRange gives them.
	Defaults cluster.Amounts
	// Nodes is on how many nodes a DaemonSet runs; default 1.
	Nodes int
	// WithoutSurge leaves out the pods that a rolling update adds before it
	// takes others away; see [Allocation].CountSurge.
	WithoutSurge bool
}

// Demand is the most that objects ask for at any time: requests of pods for
// the greatest number of replicas that an autoscaler or a rolling update can
// make of them, volume claims, and the number of what a quota can count. It is
// pure. Objects of other kinds ask for nothing; one that does not decode is
// appspan.ErrInvalid.
func Demand(objects []driver.Object, opts *DemandOptions) (cluster.Amounts, error) {
	var o DemandOptions
	if opts != nil {
		o = *opts
	}
	defaults, err := parse("defaults", o.Defaults)
	if err != nil {
		return nil, err
	}
	o.Nodes = max(o.Nodes, 1)
	d := &demand{options: o, defaults: defaults, sum: quantities{}, most: map[target]int32{}}
	for _, obj := range objects {
		if err := d.scaler(obj); err != nil {
			return nil, err
		}
	}
	for _, obj := range objects {
		if err := d.count(obj); err != nil {
			return nil, err
		}
	}
	return d.sum.amounts(), nil
}

// demand is how what the team's applications ask for on a cluster is counted.
func (t Team) demand(clusterName string, nodes int) *DemandOptions {
	a := t.Clusters[clusterName]
	return &DemandOptions{Defaults: a.defaults(), Nodes: nodes, WithoutSurge: !a.CountSurge}
}

type target struct{ namespace, kind, name string }

type demand struct {
	options  DemandOptions
	defaults quantities
	sum      quantities
	most     map[target]int32 // replicas that autoscalers may make
}

// decode reads an object as an API server does: by the exact names of fields.
func decode[T any](obj driver.Object) (T, error) {
	var v T
	if err := kjson.UnmarshalCaseSensitivePreserveInts(obj.JSON, &v); err != nil {
		return v, fmt.Errorf("%s: %w: %w", obj.Ref, appspan.ErrInvalid, err)
	}
	return v, nil
}

// scaler notes how far an autoscaler goes.
func (d *demand) scaler(obj driver.Object) error {
	switch obj.GroupKind() {
	case "HorizontalPodAutoscaler.autoscaling":
		h, err := decode[autoscalingv2.HorizontalPodAutoscaler](obj)
		if err != nil {
			return err
		}
		ref := h.Spec.ScaleTargetRef
		d.grow(target{obj.Namespace, ref.Kind, ref.Name}, h.Spec.MaxReplicas)
	case "ScaledObject.keda.sh":
		s, err := decode[struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
			Spec     struct {
				MaxReplicaCount *int32 `json:"maxReplicaCount"`
				ScaleTargetRef  struct {
					Kind string `json:"kind"`
					Name string `json:"name"`
				} `json:"scaleTargetRef"`
			} `json:"spec"`
		}](obj)
		if err != nil {
			return err
		}
		kind, most := s.Spec.ScaleTargetRef.Kind, int32(100) // KEDA's defaults
		if kind == "" {
			kind = "Deployment"
		}
		if s.Spec.MaxReplicaCount != nil {
			most = *s.Spec.MaxReplicaCount
		}
		if paused := s.Metadata.Annotations["autoscaling.keda.sh/paused-replicas"]; paused != "" {
			n, err := strconv.ParseInt(paused, 10, 32)
			if err != nil {
				return fmt.Errorf("%s: autoscaling.keda.sh/paused-replicas: %w: %q is no number", obj.Ref, appspan.ErrInvalid, paused)
			}
			most = max(most, int32(n))
		}
		d.grow(target{obj.Namespace, kind, s.Spec.ScaleTargetRef.Name}, most)
	}
	return nil
}

// grow notes that a workload may become that big.
func (d *demand) grow(t target, most int32) { d.most[t] = max(d.most[t], most) }

// count adds what one object asks for.
func (d *demand) count(obj driver.Object) error {
	switch obj.GroupKind() {
	case "Pod":
		p, err := decode[corev1.Pod](obj)
		d.pods(p.Spec, 1)
		return err
	case "Deployment.apps":
		v, err := decode[appsv1.Deployment](obj)
		n := d.replicas(obj, v.Spec.Replicas)
		d.pods(v.Spec.Template.Spec, n+d.surge(v.Spec.Strategy, n))
		return err
	case "ReplicaSet.apps":
		v, err := decode[appsv1.ReplicaSet](obj)
		d.pods(v.Spec.Template.Spec, d.replicas(obj, v.Spec.Replicas))
		return err
	case "StatefulSet.apps":
		v, err := decode[appsv1.StatefulSet](obj)
		n := d.replicas(obj, v.Spec.Replicas)
		d.pods(v.Spec.Template.Spec, n)
		for i := range v.Spec.VolumeClaimTemplates {
			d.claims(v.Spec.VolumeClaimTemplates[i].Spec, n)
		}
		return err
	case "DaemonSet.apps":
		v, err := decode[appsv1.DaemonSet](obj)
		n := int64(d.options.Nodes)
		if u := v.Spec.UpdateStrategy.RollingUpdate; u != nil && u.MaxSurge != nil && !d.options.WithoutSurge {
			n += scaledUp(u.MaxSurge, n)
		}
		d.pods(v.Spec.Template.Spec, n)
		return err
	case "Job.batch":
		v, err := decode[batchv1.Job](obj)
		d.pods(v.Spec.Template.Spec, parallel(v.Spec))
		return err
	case "CronJob.batch":
		v, err := decode[batchv1.CronJob](obj)
		n := parallel(v.Spec.JobTemplate.Spec)
		if v.Spec.ConcurrencyPolicy == batchv1.AllowConcurrent || v.Spec.ConcurrencyPolicy == "" {
			n *= 2 // one that runs late beside the next
		}
		d.pods(v.Spec.JobTemplate.Spec.Template.Spec, n)
		return err
	case "PersistentVolumeClaim":
		v, err := decode[corev1.PersistentVolumeClaim](obj)
		d.claims(v.Spec, 1)
		return err
	case "Service":
		v, err := decode[corev1.Service](obj)
		if v.Spec.Type == corev1.ServiceTypeLoadBalancer {
			d.sum.add(quantities{ResourceLoadBalancers: one()}, 1)
		}
		return err
	case "Service.serving.knative.dev":
		return d.function(obj)
	}
	return nil
}

// function counts a Knative Service: as many pods as it may scale to, once for
// each of two revisions.
func (d *demand) function(obj driver.Object) error {
	v, err := decode[struct {
		Spec struct {
			Template struct {
				Metadata metav1.ObjectMeta `json:"metadata"`
				Spec     corev1.PodSpec    `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}](obj)
	if err != nil {
		return err
	}
	n, err := functionScale(v.Spec.Template.Metadata.Annotations)
	if err != nil {
		return fmt.Errorf("%s: %w", obj.Ref, err)
	}
	n = max(n, 1) // what is not bounded the check refuses where there is a quota
	if !d.options.WithoutSurge {
		n *= 2
	}
	d.pods(v.Spec.Template.Spec, n)
	return nil
}

// functionScale is how far a Knative Service may scale; 0 is without a bound,
// which is Knative's default.
func functionScale(annotations map[string]string) (int64, error) {
	text := cmp.Or(annotations["autoscaling.knative.dev/max-scale"], annotations["autoscaling.knative.dev/maxScale"], "0")
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("autoscaling.knative.dev/max-scale: %w: %q is no number of pods", appspan.ErrInvalid, text)
	}
	return n, nil
}

// replicas is how many pods a workload has at most, updates apart.
func (d *demand) replicas(obj driver.Object, asked *int32) int64 {
	n := int32(1)
	if asked != nil {
		n = *asked
	}
	return int64(max(n, d.most[target{obj.Namespace, obj.Kind, obj.Name}], 0))
}

// surge is how many pods a rolling update adds to n.
func (d *demand) surge(s appsv1.DeploymentStrategy, n int64) int64 {
	if d.options.WithoutSurge || n == 0 || s.Type == appsv1.RecreateDeploymentStrategyType {
		return 0
	}
	quarter := intstr.FromString("25%") // the API's default
	if s.RollingUpdate == nil || s.RollingUpdate.MaxSurge == nil {
		return scaledUp(&quarter, n)
	}
	return scaledUp(s.RollingUpdate.MaxSurge, n)
}

// scaledUp is a number or a part of n, rounded up as surges are.
func scaledUp(v *intstr.IntOrString, n int64) int64 {
	more, err := intstr.GetScaledValueFromIntOrPercent(v, int(n), true)
	if err != nil || more < 0 {
		return 0
	}
	return int64(more)
}

// parallel is how many pods of a Job run at the same time.
func parallel(spec batchv1.JobSpec) int64 {
	n := int32(1)
	if spec.Parallelism != nil {
		n = *spec.Parallelism
	}
	if spec.Completions != nil {
		n = min(n, *spec.Completions)
	}
	return int64(max(n, 0))
}

// pods adds what n pods of a template request.
func (d *demand) pods(spec corev1.PodSpec, n int64) {
	if n <= 0 {
		return
	}
	p := corev1.Pod{Spec: *spec.DeepCopy()}
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			d.fill(&list[i].Resources)
		}
	}
	each := quantities{ResourcePods: one()}
	for name, q := range podresource.PodRequests(&p, podresource.PodResourcesOptions{}) {
		if countable(string(name)) {
			each[string(name)] = q
		}
	}
	d.sum.add(each, n)
	for _, v := range spec.Volumes { // claims that live as long as their pods
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			d.claims(v.Ephemeral.VolumeClaimTemplate.Spec, n)
		}
	}
}

// fill gives a container the requests that the API server gives it: those of
// its limits, then the namespace's defaults.
func (d *demand) fill(r *corev1.ResourceRequirements) {
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	for name, q := range r.Limits {
		if _, ok := r.Requests[name]; !ok {
			r.Requests[name] = q
		}
	}
	for name, q := range d.defaults {
		if _, ok := r.Requests[corev1.ResourceName(name)]; !ok {
			r.Requests[corev1.ResourceName(name)] = q
		}
	}
}

// claims adds n volume claims.
func (d *demand) claims(spec corev1.PersistentVolumeClaimSpec, n int64) {
	each := quantities{ResourceClaims: one()}
	if q, ok := spec.Resources.Requests[corev1.ResourceStorage]; ok {
		each[ResourceStorage] = q
	}
	if n > 0 {
		d.sum.add(each, n)
	}
}
