package status

import (
	"fmt"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Readiness is what one object says of itself.
type Readiness struct {
	Value    Value    `json:"value"`
	Message  string   `json:"message,omitempty"`
	Replicas Replicas `json:"replicas"`
	// Cause is what the object itself names as the reason, or nil.
	Cause *Cause `json:"cause,omitempty"`

	rolling bool // a new version is being rolled out
}

// Workload says how one object does, by its own fields alone, in the manner of
// kstatus: a status that is older than the spec counts for nothing. It knows
// the workloads of apps/v1 and batch/v1, claims, Services, Ingresses, pods,
// Knative Services, and the kinds that are what they are once they exist; any
// other kind is judged by its conditions Ready or Available, and is Unknown
// where it has none.
func Workload(obj driver.Object) Readiness {
	w, ok := decode[workload](obj)
	if !ok || len(obj.JSON) == 0 {
		return Readiness{Value: Unknown, Message: "the object cannot be read"}
	}
	if obj.Deleting {
		return Readiness{Value: Progressing, Message: "being deleted"}
	}
	if w.Status.ObservedGeneration != 0 && w.Status.ObservedGeneration < w.Metadata.Generation {
		r := Readiness{Value: Progressing, Message: "the change was not seen by its controller yet", rolling: true}
		r.Replicas.Desired, r.Replicas.Current = orOne(w.Spec.Replicas), w.Status.Replicas
		return r
	}
	switch obj.Kind + "." + obj.Group() {
	case "Deployment.apps", "StatefulSet.apps", "ReplicaSet.apps":
		return replicated(obj, w)
	case "DaemonSet.apps":
		return daemon(obj, w)
	case "Job.batch":
		return job(obj, w)
	case "CronJob.batch":
		if w.Spec.Suspend {
			return Readiness{Value: Stopped, Message: "suspended"}
		}
		return Readiness{Value: Ready, Message: "scheduled"}
	case "PersistentVolumeClaim.":
		return claim(obj, w)
	case "Service.":
		if w.Spec.Type == "LoadBalancer" && len(w.Status.LoadBalancer.Ingress) == 0 {
			return Readiness{Value: Progressing, Message: "waiting for an address of the load balancer"}
		}
		return Readiness{Value: Ready}
	case "Pod.":
		return podReadiness(w)
	case "HorizontalPodAutoscaler.autoscaling":
		return autoscaler(w)
	case "ConfigMap.", "Secret.", "ServiceAccount.", "Ingress.networking.k8s.io", "NetworkPolicy.networking.k8s.io",
		"PodDisruptionBudget.policy", "Role.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io",
		"EndpointSlice.discovery.k8s.io", "ResourceQuota.", "LimitRange.":
		return Readiness{Value: Ready}
	}
	return byConditions(obj, w)
}

func replicated(obj driver.Object, w workload) Readiness {
	s := w.Status
	r := Readiness{Replicas: Replicas{Desired: orOne(w.Spec.Replicas), Current: s.Replicas, Updated: s.UpdatedReplicas, Ready: s.ReadyReplicas}}
	n := r.Replicas.Desired
	if s.ObservedGeneration == 0 {
		r.Value, r.Message, r.rolling = Progressing, "not seen by its controller yet", true
		return r
	}
	available := s.ReadyReplicas
	if obj.Kind == "Deployment" {
		available = 0
	}
	if s.AvailableReplicas != nil {
		available = *s.AvailableReplicas
	}
	needUpdated := n
	switch {
	case obj.Kind == "ReplicaSet":
		r.Replicas.Updated, needUpdated = s.Replicas, 0
	case obj.Kind == "StatefulSet" && w.Spec.UpdateStrategy.Type == "OnDelete", w.Spec.Paused: // a change is held back
		needUpdated = 0
	case obj.Kind == "StatefulSet":
		needUpdated = max(0, n-w.Spec.UpdateStrategy.RollingUpdate.Partition)
	}
	r.rolling = s.UpdatedReplicas < needUpdated || obj.Kind == "Deployment" && !w.Spec.Paused && s.Replicas > s.UpdatedReplicas
	progress, failure := s.Conditions.get("Progressing"), s.Conditions.get("ReplicaFailure")
	switch {
	case failure.Status == "True":
		r.Cause = refused(obj.String(), failure.Message, failure.Since)
	case progress.Status == "False" && progress.Reason == "ProgressDeadlineExceeded":
		r.Cause = &Cause{Reason: DeadlineExceeded, Message: "the rollout made no progress within its deadline", Object: obj.String(), Count: 1,
			Since: progress.Since.UTC(), Next: "look at the pods' causes and logs, or roll back", rank: 8}
	}
	switch {
	case n == 0 && s.Replicas == 0:
		r.Value, r.Message = Stopped, "stopped"
	case n == 0:
		r.Value, r.Message = Progressing, fmt.Sprintf("stopping: %d left", s.Replicas)
	case r.Cause != nil && (r.rolling || s.ReadyReplicas == 0 || r.Cause.Reason == DeadlineExceeded):
		r.Value, r.Message = Failed, fmt.Sprintf("%d of %d ready", s.ReadyReplicas, n)
	case r.Cause != nil:
		r.Value, r.Message = Degraded, fmt.Sprintf("%d of %d ready", s.ReadyReplicas, n)
	case r.rolling:
		r.Value, r.Message = Progressing, fmt.Sprintf("%d of %d updated, %d ready", s.UpdatedReplicas, needUpdated, s.ReadyReplicas)
	case s.Replicas < n || available < n:
		r.Value, r.Message = Progressing, fmt.Sprintf("%d of %d ready", s.ReadyReplicas, n)
	case s.Replicas > n && !w.Spec.Paused:
		r.Value, r.Message = Progressing, fmt.Sprintf("%d more than %d to end", s.Replicas-n, n)
	case w.Spec.Paused:
		r.Value, r.Message = Ready, fmt.Sprintf("%d of %d ready, %d updated: paused", s.ReadyReplicas, n, s.UpdatedReplicas)
	default:
		r.Value, r.Message = Ready, fmt.Sprintf("%d of %d ready", s.ReadyReplicas, n)
	}
	return r
}

func daemon(_ driver.Object, w workload) Readiness {
	s := w.Status
	r := Readiness{Replicas: Replicas{Desired: s.DesiredScheduled, Current: s.CurrentScheduled, Updated: s.UpdatedScheduled, Ready: s.NumberReady}}
	r.rolling = w.Spec.UpdateStrategy.Type != "OnDelete" && s.UpdatedScheduled < s.DesiredScheduled
	switch {
	case s.ObservedGeneration == 0:
		r.Value, r.Message, r.rolling = Progressing, "not seen by its controller yet", true
	case s.DesiredScheduled == 0:
		r.Value, r.Message = Ready, "no node is asked to run it"
	case r.rolling:
		r.Value, r.Message = Progressing, fmt.Sprintf("%d of %d updated, %d ready", s.UpdatedScheduled, s.DesiredScheduled, s.NumberReady)
	case s.CurrentScheduled < s.DesiredScheduled || s.NumberAvailable < s.DesiredScheduled:
		r.Value, r.Message = Progressing, fmt.Sprintf("%d of %d ready", s.NumberReady, s.DesiredScheduled)
	default:
		r.Value, r.Message = Ready, fmt.Sprintf("%d of %d ready", s.NumberReady, s.DesiredScheduled)
	}
	return r
}

func job(obj driver.Object, w workload) Readiness {
	s := w.Status
	want := orOne(w.Spec.Completions)
	r := Readiness{Replicas: Replicas{Desired: orOne(w.Spec.Parallelism), Current: s.Active + s.Succeeded, Updated: s.Active + s.Succeeded, Ready: s.Succeeded}}
	r.Replicas.Desired = max(r.Replicas.Desired, want)
	failed := s.Conditions.get("Failed")
	if failed.Status != "True" {
		failed = s.Conditions.get("FailureTarget")
	}
	switch {
	case s.Conditions.get("Complete").Status == "True":
		r.Value, r.Message = Ready, "completed"
		r.Replicas.Ready = r.Replicas.Desired
	case failed.Status == "True":
		r.Value, r.Message = Failed, failed.Message
		reason := JobFailed
		if failed.Reason == "DeadlineExceeded" {
			reason = DeadlineExceeded
		}
		r.Cause = &Cause{Reason: reason, Message: line(failed.Message), Object: obj.String(), Count: 1, Since: failed.Since.UTC(),
			Next: "look at the log of its last pod; deploy again to run it again", rank: 7}
	case w.Spec.Suspend:
		r.Value, r.Message = Stopped, "suspended"
	default:
		r.Value, r.Message = Progressing, fmt.Sprintf("%d of %d completed", s.Succeeded, want)
	}
	return r
}

func claim(obj driver.Object, w workload) Readiness {
	switch w.Status.Phase {
	case "Bound":
		return Readiness{Value: Ready, Message: "bound"}
	case "Lost":
		return Readiness{Value: Failed, Message: "its volume is lost", Cause: &Cause{Reason: ClaimLost, Message: "the volume of the claim is lost",
			Object: obj.String(), Count: 1, Next: "restore the data from a backup into a new claim", rank: 3}}
	}
	return Readiness{Value: Progressing, Message: "waiting for a volume, or for its first pod"}
}

func podReadiness(w workload) Readiness {
	switch w.Status.Phase {
	case "Succeeded":
		return Readiness{Value: Ready, Message: "completed"}
	case "Failed":
		return Readiness{Value: Failed, Message: "failed"}
	case "Unknown":
		return Readiness{Value: Unknown, Message: "its node does not answer"}
	}
	if w.Status.Conditions.get("Ready").Status == "True" {
		return Readiness{Value: Ready}
	}
	return Readiness{Value: Progressing, Message: "not ready yet"}
}

func autoscaler(w workload) Readiness {
	for _, kind := range []string{"AbleToScale", "ScalingActive"} {
		if c := w.Status.Conditions.get(kind); c.Status == "False" && c.Reason != "ScalingDisabled" {
			return Readiness{Value: Degraded, Message: line(c.Message)}
		}
	}
	if len(w.Status.Conditions) == 0 {
		return Readiness{Value: Progressing, Message: "not seen by its controller yet"}
	}
	return Readiness{Value: Ready}
}

// byConditions judges a kind that is not known by the conditions that the API
// conventions recommend.
func byConditions(obj driver.Object, w workload) Readiness {
	for _, kind := range []string{"Ready", "Available"} {
		c := w.Status.Conditions.get(kind)
		switch c.Status {
		case "True":
			return Readiness{Value: Ready}
		case "False":
			r := Readiness{Value: Progressing, Message: line(c.Message)}
			if obj.Group() == "serving.knative.dev" || w.Status.Conditions.get("Stalled").Status == "True" {
				r.Value = Failed
				r.Cause = &Cause{Reason: Reason(c.Reason), Message: line(c.Message), Object: obj.String(), Count: 1, Since: c.Since.UTC(), rank: 7}
			}
			return r
		case "Unknown":
			return Readiness{Value: Progressing, Message: line(c.Message)}
		}
	}
	if obj.Group() == "serving.knative.dev" {
		return Readiness{Value: Progressing, Message: "not seen by its controller yet"}
	}
	return Readiness{Value: Unknown, Message: obj.Kind + " does not say whether it is ready"}
}
