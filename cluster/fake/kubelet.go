package fake

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Times of a real kubelet.
const (
	firstBackOff = 10 * time.Second
	maxBackOff   = 5 * time.Minute
)

// syncPod is the kubelet of the pod's node: it starts, watches, and ends it.
func (c *Cluster) syncPod(t task) {
	p, ok := fetch[*corev1.Pod](c, t)
	if !ok || p.Spec.NodeName == "" {
		return
	}
	if p.DeletionTimestamp != nil {
		c.endPod(t, p)
		return
	}
	if terminated(p) {
		return
	}
	script, again := c.failure(p)
	soonest := func(d time.Duration) {
		if d > 0 && (again == 0 || d < again) {
			again = d
		}
	}
	st := p.Status.DeepCopy()
	if st.StartTime == nil {
		at := now()
		st.StartTime = &at
		st.HostIP = c.nodeIP(p.Spec.NodeName)
		st.HostIPs = []corev1.HostIP{{IP: st.HostIP}}
	}
	r := &run{c: c, p: p, st: st, script: script, soonest: soonest}
	r.step()
	if again > 0 {
		c.again(t, again)
	}
	st.ObservedGeneration = p.Generation
	if equality.Semantic.DeepEqual(*st, p.Status) {
		return
	}
	uid := p.UID
	_, _ = mutate(c, t, "status", kubeletName, func(o *corev1.Pod) {
		if o.UID == uid {
			o.Status = *st
		}
	})
}

// endPod finishes the deletion of a pod once its containers have ended.
func (c *Cluster) endPod(t task, p *corev1.Pod) {
	began := p.DeletionTimestamp.Add(-seconds(deref(p.DeletionGracePeriodSeconds)))
	if wait := c.opts.TerminateAfter - time.Since(began); wait > 0 && deref(p.DeletionGracePeriodSeconds) > 0 && c.opts.TerminateAfter > 0 {
		c.again(t, wait)
		return
	}
	zero := int64(0)
	_, _ = c.remove(c.ctx, request{kind: t.kind, key: t.key}, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &p.UID}})
}

func (c *Cluster) nodeIP(name string) string {
	if n, ok := fetch[*corev1.Node](c, task{kind: c.kinds.find("v1", "Node"), key: key{"", name}}); ok {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				return a.Address
			}
		}
	}
	return ""
}

// podIP hands out the next address of the pod network.
func (c *Cluster) podIP() string {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.pods.next = c.pods.next.Next()
	return c.pods.next.String()
}

// run is one look at one pod.
type run struct {
	c       *Cluster
	p       *corev1.Pod
	st      *corev1.PodStatus
	script  *Script
	soonest func(time.Duration)
}

func (r *run) failing(f Failure) bool { return r.script != nil && r.script.Failure == f }

func (r *run) event(kind, reason, message string) { r.c.event(r.p, kind, reason, message, kubeletName) }

// step decides what the pod's status is now.
func (r *run) step() {
	p := r.p
	setPodCondition(r.st, corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", "")
	if message := r.c.missingVolume(p); message != "" {
		r.c.note(&r.c.pods.waiting, keyOf(p), true)
		r.waiting("ContainerCreating", "")
		r.once(corev1.EventTypeWarning, "FailedMount", message)
		return
	}
	if message := r.c.missingReference(p); message != "" {
		r.network()
		r.c.note(&r.c.pods.waiting, keyOf(p), true)
		r.waiting("CreateContainerConfigError", message)
		r.once(corev1.EventTypeWarning, "Failed", "Error: "+message)
		return
	}
	r.network()
	switch {
	case r.failing(ImagePull):
		r.pull()
		return
	case r.failing(CrashLoop), r.failing(OutOfMemory):
		r.crash()
		return
	}
	wait := r.c.opts.ReadyAfter
	if r.failing(Slow) {
		wait += r.script.Delay
	}
	if r.recovering() {
		wait = 0
	}
	if left := wait - time.Since(r.st.StartTime.Time); left > 0 && wait > 0 && !r.running() {
		r.waiting("ContainerCreating", "")
		r.soonest(left)
		return
	}
	r.start()
	if p.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		if left := r.c.opts.JobDuration - time.Since(r.startedAt()); left > 0 {
			r.ready(true, "", "")
			r.soonest(left)
			return
		}
		r.succeed()
		return
	}
	switch {
	case r.failing(ProbeFailing):
		message := r.script.Message
		if message == "" {
			message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
		}
		r.ready(false, "ContainersNotReady", "containers with unready status: ["+containerNames(p)+"]")
		r.once(corev1.EventTypeWarning, "Unhealthy", message)
	case r.failing(NotReady):
		r.ready(false, "ContainersNotReady", "containers with unready status: ["+containerNames(p)+"]")
	default:
		r.ready(true, "", "")
	}
}

// once reports an event unless it is the pod's last one of that reason.
func (r *run) once(kind, reason, message string) {
	if !r.c.reported(r.p, reason, message) {
		r.event(kind, reason, message)
	}
}

func (r *run) network() {
	if r.st.PodIP == "" {
		r.st.PodIP = r.c.podIP()
		r.st.PodIPs = []corev1.PodIP{{IP: r.st.PodIP}}
	}
}

// running reports whether the containers have been started.
func (r *run) running() bool {
	return len(r.st.ContainerStatuses) > 0 && r.st.ContainerStatuses[0].State.Running != nil
}

// recovering reports whether the pod failed before: it need not start again.
func (r *run) recovering() bool {
	if len(r.st.ContainerStatuses) == 0 {
		return false
	}
	w := r.st.ContainerStatuses[0].State.Waiting
	return w != nil && w.Reason != "ContainerCreating"
}

func (r *run) startedAt() time.Time { return r.st.ContainerStatuses[0].State.Running.StartedAt.Time }

// statuses calls set with the status of every container.
func (r *run) statuses(set func(i int, s *corev1.ContainerStatus)) {
	if len(r.st.ContainerStatuses) != len(r.p.Spec.Containers) {
		r.st.ContainerStatuses = make([]corev1.ContainerStatus, len(r.p.Spec.Containers))
	}
	for i := range r.p.Spec.Containers {
		s := &r.st.ContainerStatuses[i]
		s.Name, s.Image = r.p.Spec.Containers[i].Name, r.p.Spec.Containers[i].Image
		set(i, s)
	}
}

// waiting puts every container into a waiting state.
func (r *run) waiting(reason, message string) {
	r.st.Phase = corev1.PodPending
	started := false
	r.statuses(func(_ int, s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
		s.Ready, s.Started = false, &started
	})
	r.conditions(false, "ContainersNotReady", "containers with unready status: ["+containerNames(r.p)+"]")
}

func (r *run) conditions(ready bool, reason, message string) {
	status := corev1.ConditionFalse
	if ready {
		status, reason, message = corev1.ConditionTrue, "", ""
	}
	setPodCondition(r.st, corev1.PodInitialized, corev1.ConditionTrue, "", "")
	setPodCondition(r.st, corev1.PodReady, status, reason, message)
	setPodCondition(r.st, corev1.ContainersReady, status, reason, message)
}

// pull fails to pull the images that the script means.
func (r *run) pull() {
	for _, container := range r.p.Spec.Containers {
		if r.script.Image != "" && !glob(r.script.Image, container.Image) {
			continue
		}
		why := r.script.Message
		if why == "" {
			host, _, _ := strings.Cut(container.Image, "/")
			why = fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference %q: failed to do request: Head \"https://%s/v2/\": dial tcp: lookup %s: no such host",
				container.Image, container.Image, host, host)
		}
		reason, message := "ErrImagePull", why
		if age := time.Since(r.st.StartTime.Time); age >= firstBackOff {
			reason, message = "ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", container.Image, why)
		} else {
			r.soonest(firstBackOff - age)
		}
		r.waiting(reason, message)
		if reason == "ErrImagePull" {
			r.once(corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", container.Image))
			r.once(corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %s", container.Image, why))
		} else {
			r.once(corev1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", container.Image))
		}
		return
	}
	r.waiting("ContainerCreating", "")
}

// crash ends the containers with an error; the kubelet restarts them with a
// growing pause.
func (r *run) crash() {
	code, why := int32(1), "Error"
	if r.script.Failure == OutOfMemory {
		code, why = 137, "OOMKilled"
	}
	at := now()
	dead := &corev1.ContainerStateTerminated{ExitCode: code, Reason: why, Message: r.script.Message, StartedAt: at, FinishedAt: at}
	if r.p.Spec.RestartPolicy == corev1.RestartPolicyNever {
		r.st.Phase = corev1.PodFailed
		r.statuses(func(_ int, s *corev1.ContainerStatus) {
			s.State, s.Ready = corev1.ContainerState{Terminated: dead}, false
		})
		r.conditions(false, "PodFailed", "")
		return
	}
	var next time.Duration
	r.statuses(func(_ int, s *corev1.ContainerStatus) {
		if s.LastTerminationState.Terminated != nil {
			pause := min(firstBackOff<<min(s.RestartCount, 5), maxBackOff)
			since := time.Since(s.LastTerminationState.Terminated.FinishedAt.Time)
			if s.State.Waiting != nil && since < pause {
				next = pause - since
				return
			}
			s.RestartCount++
		}
		pause := min(firstBackOff<<min(s.RestartCount, 5), maxBackOff)
		started := false
		s.LastTerminationState = corev1.ContainerState{Terminated: dead}
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: fmt.Sprintf(
			"back-off %s restarting failed container=%s pod=%s_%s(%s)", pause, s.Name, r.p.Name, r.p.Namespace, r.p.UID)}}
		s.Ready, s.Started = false, &started
		next = pause
	})
	r.st.Phase = corev1.PodRunning
	r.conditions(false, "ContainersNotReady", "containers with unready status: ["+containerNames(r.p)+"]")
	if next > 0 {
		r.soonest(next)
	}
	r.once(corev1.EventTypeWarning, "BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", r.p.Spec.Containers[0].Name, r.p.Name, r.p.Namespace, r.p.UID))
}

// start runs every container that does not run yet.
func (r *run) start() {
	at := now()
	started := true
	fresh := false
	r.statuses(func(i int, s *corev1.ContainerStatus) {
		if s.State.Running != nil && s.Image == r.p.Spec.Containers[i].Image {
			return
		}
		if s.LastTerminationState.Terminated != nil {
			s.RestartCount++
		}
		fresh = true
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}
		s.Started = &started
		s.ImageID = "fake://" + s.Image
		s.ContainerID = "fake://" + string(r.p.UID) + "/" + s.Name
	})
	if len(r.st.InitContainerStatuses) != len(r.p.Spec.InitContainers) {
		r.st.InitContainerStatuses = nil
		for _, c := range r.p.Spec.InitContainers {
			s := corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: "fake://" + c.Image, Ready: true, Started: &started}
			if deref(c.RestartPolicy) == corev1.ContainerRestartPolicyAlways {
				s.State.Running = &corev1.ContainerStateRunning{StartedAt: at}
			} else {
				s.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: at, FinishedAt: at}
				s.Started = new(bool)
			}
			r.st.InitContainerStatuses = append(r.st.InitContainerStatuses, s)
		}
	}
	r.st.Phase = corev1.PodRunning
	if fresh {
		for _, c := range r.p.Spec.Containers {
			r.event(corev1.EventTypeNormal, "Started", "Container started: "+c.Name)
		}
	}
}

// ready says whether all containers are ready.
func (r *run) ready(ready bool, reason, message string) {
	r.statuses(func(_ int, s *corev1.ContainerStatus) { s.Ready = ready })
	r.conditions(ready, reason, message)
}

// succeed ends every container with success.
func (r *run) succeed() {
	at := now()
	started := false
	r.statuses(func(_ int, s *corev1.ContainerStatus) {
		begin := at
		if s.State.Running != nil {
			begin = s.State.Running.StartedAt
		}
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: begin, FinishedAt: at}}
		s.Ready, s.Started = false, &started
	})
	r.st.Phase = corev1.PodSucceeded
	r.conditions(false, "PodCompleted", "")
	setPodCondition(r.st, corev1.PodInitialized, corev1.ConditionTrue, "PodCompleted", "")
}

// setPodCondition sets a condition and reports whether it changed.
func setPodCondition(st *corev1.PodStatus, kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) bool {
	for i := range st.Conditions {
		c := &st.Conditions[i]
		if c.Type != kind {
			continue
		}
		if c.Status == status && c.Reason == reason && c.Message == message {
			return false
		}
		if c.Status != status {
			c.LastTransitionTime = now()
		}
		c.Status, c.Reason, c.Message = status, reason, message
		return true
	}
	st.Conditions = append(st.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: now()})
	return true
}
