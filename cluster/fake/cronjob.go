package fake

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// schedule parses when a CronJob runs.
func schedule(o *batchv1.CronJob) (cron.Schedule, error) {
	spec := o.Spec.Schedule
	if o.Spec.TimeZone != nil {
		if _, err := time.LoadLocation(*o.Spec.TimeZone); err != nil {
			return nil, err
		}
		spec = "TZ=" + *o.Spec.TimeZone + " " + spec
	}
	return cron.ParseStandard(spec)
}

// syncCronJob is the cron job controller.
func (c *Cluster) syncCronJob(t task) {
	cj, ok := fetch[*batchv1.CronJob](c, t)
	if !ok || cj.DeletionTimestamp != nil {
		return
	}
	list := children[*batchv1.Job](c, cj.UID)
	c.trimJobs(cj, list)
	var running []*batchv1.Job
	for _, j := range list {
		if finishedJob(j) == nil {
			running = append(running, j)
		}
	}
	when, err := schedule(cj)
	if err != nil || deref(cj.Spec.Suspend) {
		c.cronStatus(t, running, nil)
		return
	}
	last := cj.CreationTimestamp.Time
	if cj.Status.LastScheduleTime != nil {
		last = cj.Status.LastScheduleTime.Time
	}
	due := latestDue(when, last)
	c.again(t, time.Until(when.Next(time.Now())))
	if due.IsZero() || cj.Spec.StartingDeadlineSeconds != nil && time.Since(due) > seconds(*cj.Spec.StartingDeadlineSeconds) {
		c.cronStatus(t, running, nil)
		return
	}
	if len(running) > 0 {
		switch cj.Spec.ConcurrencyPolicy {
		case batchv1.ForbidConcurrent:
			c.cronStatus(t, running, nil)
			return
		case batchv1.ReplaceConcurrent:
			background := metav1.DeletePropagationBackground
			for _, j := range running {
				_, _ = c.remove(c.ctx, request{kind: c.kinds.find("batch/v1", "Job"), key: keyOf(j)}, metav1.DeleteOptions{PropagationPolicy: &background})
			}
			running = nil
		}
	}
	job := &batchv1.Job{
		TypeMeta: typeMeta("batch/v1", "Job"),
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%d", cj.Name, due.Unix()/60), Namespace: cj.Namespace, Labels: clonedLabels(cj.Spec.JobTemplate.Labels),
			Annotations:     map[string]string{batchv1.CronJobScheduledTimestampAnnotation: due.UTC().Format(time.RFC3339)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cj, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
		},
		Spec: *cj.Spec.JobTemplate.Spec.DeepCopy(),
	}
	for k, v := range cj.Spec.JobTemplate.Annotations {
		job.Annotations[k] = v
	}
	r, err := c.create(request{kind: c.kinds.find("batch/v1", "Job"), key: keyOf(job), manager: controllerManager}, job)
	if err == nil {
		running = append(running, r.obj.(*batchv1.Job))
		c.event(cj, corev1.EventTypeNormal, "SuccessfulCreate", "Created job "+job.Name, "cronjob-controller")
	}
	c.cronStatus(t, running, &due)
}

// latestDue is the last time after since that has passed, zero when none has.
func latestDue(when cron.Schedule, since time.Time) time.Time {
	var due time.Time
	present := time.Now()
	for next := when.Next(since); !next.IsZero() && !next.After(present); next = when.Next(next) {
		due = next
		if gap := present.Sub(next); gap > 24*time.Hour { // long missed: what is near is enough
			next = present.Add(-time.Hour)
		}
	}
	return due
}

func (c *Cluster) cronStatus(t task, running []*batchv1.Job, due *time.Time) {
	_, _ = mutate(c, t, "status", controllerManager, func(o *batchv1.CronJob) {
		o.Status.Active = nil
		for _, j := range running {
			o.Status.Active = append(o.Status.Active, corev1.ObjectReference{
				APIVersion: "batch/v1", Kind: "Job", Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion,
			})
		}
		if due != nil {
			at := metav1.NewTime(*due)
			o.Status.LastScheduleTime = &at
		}
		for _, j := range children[*batchv1.Job](c, o.UID) {
			if done := j.Status.CompletionTime; done != nil && (o.Status.LastSuccessfulTime == nil || o.Status.LastSuccessfulTime.Before(done)) {
				o.Status.LastSuccessfulTime = done
			}
		}
	})
}

// trimJobs deletes finished jobs beyond the history limits.
func (c *Cluster) trimJobs(cj *batchv1.CronJob, list []*batchv1.Job) {
	trim := func(kind batchv1.JobConditionType, keep int32) {
		var ended []*batchv1.Job
		for _, j := range list {
			if done := finishedJob(j); done != nil && done.Type == kind {
				ended = append(ended, j)
			}
		}
		slices.SortFunc(ended, func(a, b *batchv1.Job) int { return cmp.Compare(a.Name, b.Name) })
		background := metav1.DeletePropagationBackground
		for i := range len(ended) - int(keep) {
			_, _ = c.remove(c.ctx, request{kind: c.kinds.find("batch/v1", "Job"), key: keyOf(ended[i])}, metav1.DeleteOptions{PropagationPolicy: &background})
		}
	}
	trim(batchv1.JobComplete, *cj.Spec.SuccessfulJobsHistoryLimit)
	trim(batchv1.JobFailed, *cj.Spec.FailedJobsHistoryLimit)
}
