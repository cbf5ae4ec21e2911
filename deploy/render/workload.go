package render

import (
	"github.com/appspan-dev/appspan/appmodel"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// workload renders what runs a component's pods.
func (b *builder) workload(c *appmodel.Component) {
	pod, claims := b.pod(c)
	var waits []Wait
	for _, n := range c.Needs {
		if n.Condition != "" && n.Condition != "none" && b.comps[n.Component] != nil {
			waits = append(waits, Wait{n.Component, n.Condition})
		}
	}
	o := Object{Component: c.ID, Phase: PhaseWorkload, WaitFor: waits}
	replicas := int32(1)
	if c.Scale != nil && c.Scale.Replicas != nil {
		replicas = int32(*c.Scale.Replicas)
	}
	sel := &metav1.LabelSelector{MatchLabels: b.selector(c.ID)}
	meta := b.meta(b.name(c.ID), c)
	switch c.Kind {
	case appmodel.KindStateful:
		b.add(&appsv1.StatefulSet{TypeMeta: tm("apps/v1", "StatefulSet"), ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Selector: sel, Template: pod, ServiceName: b.name(c.ID) + "-headless", VolumeClaimTemplates: claims}}, o)
	case appmodel.KindDaemon:
		b.add(&appsv1.DaemonSet{TypeMeta: tm("apps/v1", "DaemonSet"), ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: sel, Template: pod}}, o)
	case appmodel.KindJob:
		pod.Spec.RestartPolicy = "Never"
		meta.Name += "-" + b.hash(pod)
		b.add(&batchv1.Job{TypeMeta: tm("batch/v1", "Job"), ObjectMeta: meta, Spec: batchv1.JobSpec{Template: pod}}, o)
	case appmodel.KindCron:
		pod.Spec.RestartPolicy = "Never"
		b.add(&batchv1.CronJob{TypeMeta: tm("batch/v1", "CronJob"), ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: c.Cron.Schedule, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: pod}}}}, o)
	default:
		d := &appsv1.Deployment{TypeMeta: tm("apps/v1", "Deployment"), ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: sel, Template: pod}}
		for _, v := range c.Volumes {
			if v.Kind == appmodel.VolumePersistent && v.AccessMode == "ReadWriteOnce" {
				d.Spec.Strategy.Type = "Recreate"
			}
		}
		b.add(d, o)
	}
}
