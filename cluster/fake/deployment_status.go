package fake

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// status writes what the deployment controller reports.
func (r *rollout) status() {
	var next time.Duration
	_, _ = mutate(r.c, r.task, "status", controllerManager, func(d *appsv1.Deployment) {
		s := &d.Status
		before := *s.DeepCopy()
		s.ObservedGeneration = d.Generation
		s.Replicas = r.total(func(rs *appsv1.ReplicaSet) int32 { return rs.Status.Replicas })
		s.ReadyReplicas = r.total(func(rs *appsv1.ReplicaSet) int32 { return rs.Status.ReadyReplicas })
		s.AvailableReplicas = r.total(available)
		s.UnavailableReplicas = max(0, r.total(size)-s.AvailableReplicas)
		s.UpdatedReplicas = 0
		terminating := r.total(func(rs *appsv1.ReplicaSet) int32 { return deref(rs.Status.TerminatingReplicas) })
		s.TerminatingReplicas = &terminating
		if r.current != nil {
			s.UpdatedReplicas = r.current.Status.Replicas
			if d.Annotations == nil {
				d.Annotations = map[string]string{}
			}
			d.Annotations[revisionAnnotation] = r.current.Annotations[revisionAnnotation]
		}
		if s.AvailableReplicas >= *d.Spec.Replicas-r.down {
			setDeployment(s, appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability.")
		} else {
			setDeployment(s, appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
		}
		next = r.progress(d, s, &before)
		r.failures(s)
	})
	if next > 0 {
		r.c.again(r.task, next)
	}
}

// progress judges whether the rollout goes on, and says when to look again.
func (r *rollout) progress(d *appsv1.Deployment, s, before *appsv1.DeploymentStatus) time.Duration {
	if d.Spec.Paused {
		if c := deploymentCondition(s, appsv1.DeploymentProgressing); c == nil || c.Reason != "DeploymentPaused" {
			setDeployment(s, appsv1.DeploymentProgressing, corev1.ConditionUnknown, "DeploymentPaused", "Deployment is paused")
		}
		return 0
	}
	if c := deploymentCondition(s, appsv1.DeploymentProgressing); c != nil && c.Reason == "DeploymentPaused" {
		setDeployment(s, appsv1.DeploymentProgressing, corev1.ConditionUnknown, "DeploymentResumed", "Deployment is resumed")
	}
	if r.current == nil || *d.Spec.ProgressDeadlineSeconds == 1<<31-1 {
		return 0
	}
	name := r.current.Name
	want := *d.Spec.Replicas
	complete := s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want && s.ObservedGeneration >= d.Generation
	progressed := s.UpdatedReplicas > before.UpdatedReplicas || s.Replicas-s.UpdatedReplicas < before.Replicas-before.UpdatedReplicas ||
		s.ReadyReplicas > before.ReadyReplicas || s.AvailableReplicas > before.AvailableReplicas
	c := deploymentCondition(s, appsv1.DeploymentProgressing)
	switch {
	case c != nil && c.Reason == "NewReplicaSetAvailable" && s.Replicas == s.UpdatedReplicas && c.Message == fmt.Sprintf("ReplicaSet %q has successfully progressed.", name):
		return 0 // once complete, losing pods is no rollout
	case complete:
		setDeployment(s, appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetAvailable", fmt.Sprintf("ReplicaSet %q has successfully progressed.", name))
		return 0
	case c == nil || before.ObservedGeneration < d.Generation && c.Reason != "ReplicaSetUpdated" && c.Reason != "NewReplicaSetCreated" && s.UpdatedReplicas == 0:
		setDeployment(s, appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetCreated", fmt.Sprintf("Created new replica set %q", name))
	case progressed:
		setDeployment(s, appsv1.DeploymentProgressing, corev1.ConditionTrue, "ReplicaSetUpdated", fmt.Sprintf("ReplicaSet %q is progressing.", name))
		deploymentCondition(s, appsv1.DeploymentProgressing).LastUpdateTime = now()
	}
	c = deploymentCondition(s, appsv1.DeploymentProgressing)
	if c.Reason == "ProgressDeadlineExceeded" {
		return 0
	}
	deadline := c.LastUpdateTime.Add(seconds(int64(*d.Spec.ProgressDeadlineSeconds)))
	if left := time.Until(deadline); left > 0 {
		return left
	}
	setDeployment(s, appsv1.DeploymentProgressing, corev1.ConditionFalse, "ProgressDeadlineExceeded", fmt.Sprintf("ReplicaSet %q has timed out progressing.", name))
	return 0
}

// failures copies the failure of a ReplicaSet to create pods.
func (r *rollout) failures(s *appsv1.DeploymentStatus) {
	for _, rs := range r.all {
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure && size(rs) > 0 {
				setDeployment(s, appsv1.DeploymentReplicaFailure, c.Status, c.Reason, c.Message)
				return
			}
		}
	}
	for i, c := range s.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure {
			s.Conditions = append(s.Conditions[:i], s.Conditions[i+1:]...)
			return
		}
	}
}

func deploymentCondition(s *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == kind {
			return &s.Conditions[i]
		}
	}
	return nil
}

func setDeployment(s *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string) {
	c := deploymentCondition(s, kind)
	if c == nil {
		s.Conditions = append(s.Conditions, appsv1.DeploymentCondition{Type: kind})
		c = &s.Conditions[len(s.Conditions)-1]
	}
	if c.Status == status && c.Reason == reason && (c.Message == message || kind != appsv1.DeploymentProgressing) {
		c.Message = message
		return
	}
	if c.Status != status {
		c.LastTransitionTime = now()
	}
	c.Status, c.Reason, c.Message, c.LastUpdateTime = status, reason, message, now()
}
