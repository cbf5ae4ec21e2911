package fake

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// syncJob is the job controller.
func (c *Cluster) syncJob(t task) {
	j, ok := fetch[*batchv1.Job](c, t)
	if !ok {
		return
	}
	if done := finishedJob(j); done != nil {
		if ttl := j.Spec.TTLSecondsAfterFinished; ttl != nil {
			if left := seconds(int64(*ttl)) - time.Since(done.LastTransitionTime.Time); left > 0 {
				c.again(t, left)
			} else {
				background := metav1.DeletePropagationBackground
				_, _ = c.remove(c.ctx, request{kind: t.kind, key: t.key}, metav1.DeleteOptions{PropagationPolicy: &background})
			}
		}
		return
	}
	pods := claimed[*corev1.Pod](c, t, j)
	var active, succeeded, failed, ready int32
	var running []*corev1.Pod
	for _, p := range pods {
		switch {
		case p.Status.Phase == corev1.PodSucceeded:
			succeeded++
		case p.Status.Phase == corev1.PodFailed:
			failed++
		case p.DeletionTimestamp == nil:
			active++
			running = append(running, p)
			if podReady(p) {
				ready++
			}
		}
	}
	restarts := int32(0)
	for _, p := range running {
		for _, s := range p.Status.ContainerStatuses {
			restarts += s.RestartCount
		}
	}
	needed := int32(1)
	if j.Spec.Completions != nil {
		needed = *j.Spec.Completions
	}
	var outcome *batchv1.JobCondition
	switch {
	case deref(j.Spec.Suspend):
		c.deletePods(running)
		active, ready = 0, 0
	case failed > *j.Spec.BackoffLimit || restarts > 0 && restarts >= *j.Spec.BackoffLimit+failed && j.Spec.Template.Spec.RestartPolicy == corev1.RestartPolicyOnFailure:
		outcome = &batchv1.JobCondition{Type: batchv1.JobFailed, Reason: batchv1.JobReasonBackoffLimitExceeded, Message: "Job has reached the specified backoff limit"}
	case c.pastDeadline(t, j):
		outcome = &batchv1.JobCondition{Type: batchv1.JobFailed, Reason: batchv1.JobReasonDeadlineExceeded, Message: "Job was active longer than specified deadline"}
	case succeeded >= needed && (j.Spec.Completions != nil || active == 0):
		outcome = &batchv1.JobCondition{Type: batchv1.JobComplete, Reason: batchv1.JobReasonCompletionsReached, Message: "Reached expected number of succeeded pods"}
	case j.DeletionTimestamp == nil:
		want := min(*j.Spec.Parallelism, max(0, needed-succeeded))
		if j.Spec.Completions == nil {
			want = *j.Spec.Parallelism
			if succeeded > 0 {
				want = 0
			}
		}
		index := succeeded + active + failed
		for ; active < want; active++ {
			if _, err := c.createPod(j, batchv1.SchemeGroupVersion.WithKind("Job"), &j.Spec.Template, func(p *corev1.Pod) { c.numberJobPod(j, p, index) }); err != nil {
				c.retry(t)
				break
			}
			index++
		}
	}
	if outcome != nil {
		c.deletePods(running)
		active, ready = 0, 0
	}
	c.jobStatus(t, j, outcome, [4]int32{active, succeeded, failed, ready})
}

// numberJobPod labels the pod of an indexed job.
func (c *Cluster) numberJobPod(j *batchv1.Job, p *corev1.Pod, index int32) {
	if *j.Spec.CompletionMode != batchv1.IndexedCompletion {
		return
	}
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.Annotations[batchv1.JobCompletionIndexAnnotation] = itoa(index)
	p.Labels = clonedLabels(p.Labels)
	p.Labels[batchv1.JobCompletionIndexAnnotation] = itoa(index)
	p.GenerateName = fmt.Sprintf("%s-%d-", j.Name, index)
}

func (c *Cluster) jobStatus(t task, j *batchv1.Job, outcome *batchv1.JobCondition, n [4]int32) {
	_, _ = mutate(c, t, "status", controllerManager, func(o *batchv1.Job) {
		s := &o.Status
		s.Active, s.Succeeded, s.Failed = n[0], n[1], n[2]
		terminating := int32(0)
		s.Ready, s.Terminating = &n[3], &terminating
		s.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
		if s.StartTime == nil && !deref(o.Spec.Suspend) {
			at := now()
			s.StartTime = &at
		}
		if deref(o.Spec.Suspend) != jobSuspended(s) {
			set := batchv1.JobCondition{Type: batchv1.JobSuspended, Status: corev1.ConditionFalse, Reason: "JobResumed", Message: "Job resumed", LastProbeTime: now(), LastTransitionTime: now()}
			if deref(o.Spec.Suspend) {
				set.Status, set.Reason, set.Message = corev1.ConditionTrue, "JobSuspended", "Job suspended"
				s.StartTime = nil
			}
			var kept []batchv1.JobCondition
			for _, c := range s.Conditions {
				if c.Type != batchv1.JobSuspended {
					kept = append(kept, c)
				}
			}
			s.Conditions = append(kept, set)
		}
		if outcome == nil {
			return
		}
		before := batchv1.JobSuccessCriteriaMet
		if outcome.Type == batchv1.JobFailed {
			before = batchv1.JobFailureTarget
		}
		outcome.Status, outcome.LastProbeTime, outcome.LastTransitionTime = corev1.ConditionTrue, now(), now()
		target := *outcome
		target.Type = before
		s.Conditions = append(s.Conditions, target, *outcome)
		if outcome.Type == batchv1.JobComplete {
			at := now()
			s.CompletionTime = &at
		}
	})
	if outcome == nil {
		return
	}
	if outcome.Type == batchv1.JobComplete {
		c.event(j, corev1.EventTypeNormal, "Completed", "Job completed", "job-controller")
	} else {
		c.event(j, corev1.EventTypeWarning, outcome.Reason, outcome.Message, "job-controller")
	}
}

func jobSuspended(s *batchv1.JobStatus) bool {
	for _, c := range s.Conditions {
		if c.Type == batchv1.JobSuspended {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// pastDeadline reports whether a job has been active for too long.
func (c *Cluster) pastDeadline(t task, j *batchv1.Job) bool {
	if j.Spec.ActiveDeadlineSeconds == nil || j.Status.StartTime == nil {
		return false
	}
	left := seconds(*j.Spec.ActiveDeadlineSeconds) - time.Since(j.Status.StartTime.Time)
	if left > 0 {
		c.again(t, left)
	}
	return left <= 0
}

// finishedJob returns the condition that says that a job has ended.
func finishedJob(j *batchv1.Job) *batchv1.JobCondition {
	for i := range j.Status.Conditions {
		c := &j.Status.Conditions[i]
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}
