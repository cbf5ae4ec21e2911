package team

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// labelApplication is how objects of an application are known, as package
// appmodel has it.
const labelApplication = "appspan.dev/application"

// Running implements [Running] by what is in the team's namespaces: the
// applications of this installation, as "namespace/name", and what their
// objects ask for. An application of which only data was kept asks for that. On a
// cluster that is not registered any more nothing runs.
func (t *Teams) Running(ctx context.Context, team, clusterName string) (map[string]cluster.Amounts, error) {
	d, err := load(ctx, t.records, team)
	if err != nil {
		return nil, err
	}
	limited, cancel := t.limit(ctx)
	defer cancel()
	c, err := t.clusters.Cluster(limited, clusterName)
	if errors.Is(err, appspan.ErrNotFound) { // removed or forgotten: nothing of it is the team's any more
		return map[string]cluster.Amounts{}, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := c.Info(limited)
	if err != nil {
		return nil, err
	}
	out := map[string]cluster.Amounts{}
	for _, namespace := range d.Namespaces(clusterName) {
		found, err := t.installed(limited, c, info, namespace)
		if err != nil {
			return nil, err
		}
		for name, objects := range found {
			amounts, err := Demand(objects, d.demand(clusterName, len(info.Nodes)))
			if err != nil {
				return nil, fmt.Errorf("application %s/%s on %s: %w", namespace, name, clusterName, err)
			}
			out[namespace+"/"+name] = amounts
		}
	}
	return out, nil
}

// maxInstalled bounds the objects that are read of one namespace.
const maxInstalled = 100_000

// installed reads the objects of the applications in a namespace that ask for
// something, by application. Of one that asks for nothing there is its record.
func (t *Teams) installed(ctx context.Context, c *cluster.Cluster, info driver.Info, namespace string) (map[string][]driver.Object, error) {
	out, n := map[string][]driver.Object{}, 0
	for _, k := range []driver.Ref{
		{APIVersion: "apps/v1", Kind: "StatefulSet"}, {APIVersion: "apps/v1", Kind: "Deployment"}, {APIVersion: "apps/v1", Kind: "DaemonSet"},
		{APIVersion: "batch/v1", Kind: "Job"}, {APIVersion: "batch/v1", Kind: "CronJob"}, {APIVersion: "v1", Kind: "Pod"}, {APIVersion: "v1", Kind: "Service"},
		{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"}, {APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject"},
		{APIVersion: "serving.knative.dev/v1", Kind: "Service"}, {APIVersion: "v1", Kind: "PersistentVolumeClaim"}, {APIVersion: "v1", Kind: "Secret"},
	} {
		q := cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: namespace, Projection: driver.Trimmed,
			Labels: LabelInstallation + "=" + t.opts.Installation + "," + labelApplication}
		if k.Kind == "Secret" {
			q.Projection = driver.Metadata
		}
		if !info.Has(k.APIVersion, k.Kind) {
			continue
		}
		for obj, err := range c.List(ctx, q) {
			if err != nil {
				return nil, err
			}
			if n++; n > maxInstalled {
				return nil, fmt.Errorf("namespace %s on %s: %w: more than %d objects", namespace, c.Name(), appspan.ErrExhausted, maxInstalled)
			}
			name := obj.Labels[labelApplication]
			if counted, err := counts(obj, out[name]); err != nil {
				return nil, err
			} else if counted {
				out[name] = append(out[name], obj)
			} else if out[name] == nil {
				out[name] = []driver.Object{}
			}
		}
	}
	return out, nil
}

// counts reports whether an object asks for something that another does not
// ask for already: not a Job that a CronJob made or that is over, nor such a Pod,
// nor a claim of a StatefulSet among the others.
func counts(obj driver.Object, others []driver.Object) (bool, error) {
	switch obj.Kind {
	case "Job":
		job, err := decode[batchv1.Job](obj)
		over := slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
		})
		return metav1.GetControllerOf(&job) == nil && !over, err
	case "Pod":
		pod, err := decode[corev1.Pod](obj)
		over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		return metav1.GetControllerOf(&pod) == nil && !over, err
	case "PersistentVolumeClaim":
		for _, o := range others {
			if o.Kind != "StatefulSet" {
				continue
			}
			set, err := decode[appsv1.StatefulSet](o)
			if err != nil {
				return false, err
			}
			for _, template := range set.Spec.VolumeClaimTemplates {
				ordinal, ok := strings.CutPrefix(obj.Name, template.Name+"-"+set.Name+"-")
				if i, err := strconv.Atoi(ordinal); ok && err == nil && (set.Spec.Replicas == nil && i == 0 || set.Spec.Replicas != nil && i < int(*set.Spec.Replicas)) {
					return false, nil
				}
			}
		}
	}
	return true, nil
}
