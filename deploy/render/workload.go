package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// workload renders what runs a component's pods.
func (b *builder) workload(c *appmodel.Component) {
	if c.Kind == appmodel.KindJob && c.Job.Runs == "manual" {
		b.note(Information, c, "job.runs", "runs by hand only, so it is not rendered")
		return
	}
	kind, err := workloadKind(c)
	if err != nil {
		b.failed(err)
		return
	}
	pod, claims := b.pod(c)
	o := Object{Component: c.ID, Phase: PhaseWorkload, WaitFor: b.waits(c)}
	meta := b.meta(b.workloadName(c), c)
	switch kind {
	case "StatefulSet":
		b.replicated(c, &o)
		b.add(b.statefulSet(c, meta, pod, claims), o)
	case "DaemonSet":
		b.add(b.daemonSet(c, meta, pod), o)
	case "Job":
		b.add(b.job(c, meta, pod), o)
	case "CronJob":
		b.add(b.cronJob(c, meta, pod), o)
	default:
		b.replicated(c, &o)
		b.add(b.deployment(c, meta, pod), o)
	}
}

// workloadKind is the kind of the object that runs a component's pods: that of
// the component's kind, or the one that the document pins.
func workloadKind(c *appmodel.Component) (string, error) {
	usual := map[appmodel.ComponentKind]string{appmodel.KindStateful: "StatefulSet", appmodel.KindDaemon: "DaemonSet",
		appmodel.KindJob: "Job", appmodel.KindCron: "CronJob"}
	kind := cmp.Or(usual[c.Kind], "Deployment")
	if c.Kubernetes == nil || c.Kubernetes.Workload == "" || c.Kubernetes.Workload == kind {
		return kind, nil
	}
	pinned := c.Kubernetes.Workload
	if (kind == "Deployment" || kind == "StatefulSet") && (pinned == "Deployment" || pinned == "StatefulSet") {
		return pinned, nil
	}
	return "", fmt.Errorf("%s: %w: a %s component cannot run as a %s; leave the field out, or put the object under kind: objects", componentPath(c, "kubernetes.workload"), appspan.ErrUnsupported, c.Kind, pinned)
}

// waits are the conditions on other components of the application.
func (b *builder) waits(c *appmodel.Component) []Wait {
	var out []Wait
	for _, n := range c.Needs {
		p := b.comps[n.Component]
		if n.Condition == "" || n.Condition == "none" || n.Application != "" || p == nil {
			continue
		}
		if p.Kind == appmodel.KindJob && p.Job.Runs == "manual" {
			b.note(Warning, c, "needs["+n.Name+"].condition", "does not wait for %s, which runs by hand only", p.ID)
			continue
		}
		out = append(out, Wait{n.Component, n.Condition})
	}
	slices.SortFunc(out, func(x, y Wait) int { return strings.Compare(x.Component+" "+x.Condition, y.Component+" "+y.Condition) })
	return out
}

// firstReplicas is how many replicas a component starts with.
func firstReplicas(c *appmodel.Component) int {
	n := 1
	if c.Scale != nil && c.Scale.Replicas != nil {
		n = *c.Scale.Replicas
	}
	if c.Scale != nil && c.Scale.Auto != nil && c.Scale.Auto.Min != nil {
		n = max(n, *c.Scale.Auto.Min)
	}
	return n
}

// replicated leaves the number of replicas to whoever scales the workload.
func (b *builder) replicated(c *appmodel.Component, o *Object) {
	if c.Scale != nil && c.Scale.Auto != nil || b.scaledOutside(c) {
		o.External = append(o.External, []string{"spec", "replicas"})
	}
}

// scaledOutside reports whether a policy leaves the scale to the cluster.
func (b *builder) scaledOutside(c *appmodel.Component) bool {
	return slices.ContainsFunc(b.app.Policies, func(p appmodel.Policy) bool {
		if p.Policy != appmodel.PolicyExternal {
			return false
		}
		field, own := strings.CutPrefix(p.Path, componentPath(c, ""))
		if !own {
			field, own = strings.CutPrefix(p.Path, "components[*]")
		}
		return own && (field == "" || field == ".scale" || field == ".scale.replicas")
	})
}

func (b *builder) labelSelector(c *appmodel.Component) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: b.selector(c.ID)}
}

func (b *builder) deployment(c *appmodel.Component, meta metav1.ObjectMeta, pod corev1.PodTemplateSpec) *appsv1.Deployment {
	replicas := int32(firstReplicas(c))
	d := &appsv1.Deployment{TypeMeta: tm("apps/v1", "Deployment"), ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: b.labelSelector(c), Template: pod, Strategy: b.strategy(c)}}
	if u := c.Update; u != nil {
		d.Spec.MinReadySeconds = seconds(u.MinReady)
		if n := seconds(u.ProgressDeadline); n != 600 {
			d.Spec.ProgressDeadlineSeconds = &n
		}
	}
	return d
}

// strategy replaces all replicas at once where an old and a new one cannot
// hold a volume together, else it adds before it takes away.
func (b *builder) strategy(c *appmodel.Component) appsv1.DeploymentStrategy {
	u := update(c)
	switch {
	case u.Strategy == "recreate", u.Strategy == "" && b.writesAlone(c):
		return appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	case u.Strategy == "onDelete":
		b.note(Warning, c, "update.strategy", "a service cannot wait for its pods to be deleted; its replicas are replaced one after the other")
	case c.Update == nil && bare(c):
		return appsv1.DeploymentStrategy{}
	}
	surge, unavailable := intstr.FromString("25%"), intstr.FromInt32(0)
	if u.MaxSurge != "" {
		surge = intstr.Parse(string(u.MaxSurge))
	}
	if u.MaxUnavailable != "" {
		unavailable = intstr.Parse(string(u.MaxUnavailable))
	}
	return appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable}}
}

// update is the component's update block, empty if it has none.
func update(c *appmodel.Component) appmodel.Update {
	if c.Update == nil {
		return appmodel.Update{}
	}
	return *c.Update
}

// given reads a number or a percentage; nil if there is none.
func given(v appmodel.IntOrPercent) *intstr.IntOrString {
	if v == "" {
		return nil
	}
	n := intstr.Parse(string(v))
	return &n
}

// inPlace notes that a workload whose replicas have names or nodes of their
// own cannot be recreated at once.
func (b *builder) inPlace(c *appmodel.Component) {
	if update(c).Strategy == "recreate" {
		b.note(Warning, c, "update.strategy", "a %s component cannot be recreated at once; its replicas are replaced one after the other", c.Kind)
	}
}

func (b *builder) statefulSet(c *appmodel.Component, meta metav1.ObjectMeta, pod corev1.PodTemplateSpec, claims []corev1.PersistentVolumeClaim) *appsv1.StatefulSet {
	b.inPlace(c)
	u, replicas := update(c), int32(firstReplicas(c))
	s := &appsv1.StatefulSet{TypeMeta: tm("apps/v1", "StatefulSet"), ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, Selector: b.labelSelector(c), Template: pod, ServiceName: b.headlessName(c), VolumeClaimTemplates: claims,
		MinReadySeconds: seconds(u.MinReady),
		UpdateStrategy:  appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
	}}
	if bare(c) && c.Update == nil {
		s.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{}
	}
	if u.Strategy == "onDelete" {
		s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
	} else if n := given(u.MaxUnavailable); n != nil && n.String() != "1" {
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: n}
	}
	if len(claims) > 0 {
		s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
			WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType}
	}
	return s
}

func (b *builder) daemonSet(c *appmodel.Component, meta metav1.ObjectMeta, pod corev1.PodTemplateSpec) *appsv1.DaemonSet {
	b.inPlace(c)
	u := update(c)
	d := &appsv1.DaemonSet{TypeMeta: tm("apps/v1", "DaemonSet"), ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{
		Selector: b.labelSelector(c), Template: pod, MinReadySeconds: seconds(u.MinReady),
		UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType},
	}}
	surge, unavailable := given(u.MaxSurge), given(u.MaxUnavailable)
	switch {
	case u.Strategy == "onDelete":
		d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	case surge != nil || unavailable != nil:
		if surge != nil && unavailable == nil { // a daemon can't have both
			zero := intstr.FromInt32(0)
			unavailable = &zero
		}
		d.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxSurge: surge, MaxUnavailable: unavailable}
	}
	return d
}

// job runs again when what it is changes: a changed job has another name.
func (b *builder) job(c *appmodel.Component, meta metav1.ObjectMeta, pod corev1.PodTemplateSpec) *batchv1.Job {
	spec := jobSpec(c, pod)
	content := []any{spec}
	if c.Job.Runs == "eachRelease" {
		if b.in.Release == "" {
			b.note(Information, c, "job.runs", "runs when it changes, as the release is not known here; give Input.Release to run it for each")
		}
		content = append(content, b.in.Release)
	}
	if pinnedNames(c).Workload == "" {
		meta.Name += "-" + b.hash(content)[:8]
	}
	return &batchv1.Job{TypeMeta: tm("batch/v1", "Job"), ObjectMeta: meta, Spec: spec}
}

// jobSpec says how often and how long a job's pods are tried.
func jobSpec(c *appmodel.Component, pod corev1.PodTemplateSpec) batchv1.JobSpec {
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	j, spec := c.Job, batchv1.JobSpec{Template: pod}
	if j.Retries != nil && *j.Retries != 6 {
		n := int32(*j.Retries)
		spec.BackoffLimit = &n
	}
	if j.Deadline != 0 {
		n := int64(seconds(j.Deadline))
		spec.ActiveDeadlineSeconds = &n
	}
	if n := int32(j.Completions); n > 1 {
		spec.Completions = &n
	}
	if n := int32(j.Parallelism); n > 1 {
		spec.Parallelism = &n
	}
	if j.TTL != 0 {
		n := seconds(j.TTL)
		spec.TTLSecondsAfterFinished = &n
	}
	return spec
}

func (b *builder) cronJob(c *appmodel.Component, meta metav1.ObjectMeta, pod corev1.PodTemplateSpec) *batchv1.CronJob {
	cron := c.Cron
	if cron == nil {
		b.fail("%s: is missing; give a schedule", componentPath(c, "cron"))
		cron = &appmodel.Cron{}
	}
	spec := batchv1.CronJobSpec{Schedule: cron.Schedule, Suspend: asked(cron.Suspend),
		SuccessfulJobsHistoryLimit: history(cron.SuccessHistory, 3), FailedJobsHistoryLimit: history(cron.FailureHistory, 1),
		JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: b.labels(c)}, Spec: jobSpec(c, pod)}}
	if cron.TimeZone != "" {
		spec.TimeZone = &cron.TimeZone
	}
	if cron.Concurrency != string(batchv1.AllowConcurrent) {
		spec.ConcurrencyPolicy = batchv1.ConcurrencyPolicy(cron.Concurrency)
	}
	if cron.StartingDeadline != 0 {
		n := int64(seconds(cron.StartingDeadline))
		spec.StartingDeadlineSeconds = &n
	}
	return &batchv1.CronJob{TypeMeta: tm("batch/v1", "CronJob"), ObjectMeta: meta, Spec: spec}
}

// history is how many finished jobs are kept, where it is not Kubernetes' own
// number.
func history(n *int, normal int) *int32 {
	if n == nil || *n == normal {
		return nil
	}
	v := int32(*n)
	return &v
}
