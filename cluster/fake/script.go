package fake

import (
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Failure is what a [Script] does to pods.
type Failure string

// The failures that can be scripted.
const (
	// ImagePull: the image cannot be pulled; the pod waits with ErrImagePull,
	// then ImagePullBackOff.
	ImagePull Failure = "ImagePull"
	// CrashLoop: the container exits with code 1, again and again; the pod of
	// a Job fails.
	CrashLoop Failure = "CrashLoop"
	// Unschedulable: no node takes the pod.
	Unschedulable Failure = "Unschedulable"
	// Slow: the pod takes longer to become ready, by Script.Delay.
	Slow Failure = "Slow"
	// ProbeFailing: the container runs, and its readiness probe fails.
	ProbeFailing Failure = "ProbeFailing"
	// NotReady: the container runs and is not ready, without more of a reason.
	NotReady Failure = "NotReady"
	// OutOfMemory: the container is killed for its memory, again and again.
	OutOfMemory Failure = "OutOfMemory"
)

// Script makes pods fail. A pod is meant when all that is set matches it.
type Script struct {
	// Image is a glob (path.Match, where * also crosses slashes) over the
	// images of the pod's containers; empty is any.
	Image string
	// Namespace is the pod's; empty is any.
	Namespace string
	// Labels is a selector over the pod's labels; empty is any.
	Labels string
	// Failure is what happens.
	Failure Failure
	// After is how long after its creation a pod begins to fail; zero is at
	// once.
	After time.Duration
	// Until is how long after its creation a pod stops to fail; zero is never.
	Until time.Duration
	// Times is how many pods fail at most, in the order in which they are
	// created; zero is all of them.
	Times int
	// Delay is how much longer Slow takes.
	Delay time.Duration
	// Message replaces the message that a kubelet would give.
	Message string
}

// scripted is a Script in force.
type scripted struct {
	Script
	labels labels.Selector
	hit    map[string]bool // UIDs of pods, when Times bounds them
}

type scripts struct {
	mu   sync.Mutex
	list []*scripted
}

// Script puts a failure into force, for pods that are there too, and returns
// what removes it again: pods recover. A malformed selector matches nothing.
func (c *Cluster) Script(s Script) (remove func()) {
	selector, err := labels.Parse(s.Labels)
	if err != nil {
		selector = labels.Nothing()
	}
	added := &scripted{Script: s, labels: selector, hit: map[string]bool{}}
	c.scripts.mu.Lock()
	c.scripts.list = append(c.scripts.list, added)
	c.scripts.mu.Unlock()
	c.revisitPods()
	return func() {
		c.scripts.mu.Lock()
		c.scripts.list = slices.DeleteFunc(c.scripts.list, func(t *scripted) bool { return t == added })
		c.scripts.mu.Unlock()
		c.revisitPods()
	}
}

// revisitPods has every pod looked at again.
func (c *Cluster) revisitPods() {
	k := c.kinds.find("v1", "Pod")
	records, _ := c.store.list(k, "")
	for _, r := range records {
		c.work.add(task{kubelets, k, r.key})
		c.work.add(task{scheduling, k, r.key})
	}
}

// failure is the script that holds for a pod now, and when to look again
// (zero: at no particular time).
func (c *Cluster) failure(o *corev1.Pod) (*Script, time.Duration) {
	c.scripts.mu.Lock()
	defer c.scripts.mu.Unlock()
	age := time.Since(o.CreationTimestamp.Time)
	var again time.Duration
	soonest := func(d time.Duration) {
		if d > 0 && (again == 0 || d < again) {
			again = d
		}
	}
	for _, s := range slices.Backward(c.scripts.list) {
		if !s.means(o) {
			continue
		}
		if s.Times > 0 && !s.hit[string(o.UID)] {
			if len(s.hit) >= s.Times {
				continue
			}
			s.hit[string(o.UID)] = true
		}
		if age < s.After {
			soonest(s.After - age)
			continue
		}
		if s.Until > 0 {
			if age >= s.Until {
				continue
			}
			soonest(s.Until - age)
		}
		return &s.Script, again
	}
	for _, container := range append(append([]corev1.Container(nil), o.Spec.InitContainers...), o.Spec.Containers...) {
		if unreachable(container.Image) {
			return &Script{Failure: ImagePull, Image: container.Image}, again
		}
	}
	return nil, again
}

func (s *scripted) means(o *corev1.Pod) bool {
	if s.Namespace != "" && s.Namespace != o.Namespace || !s.labels.Matches(labels.Set(o.Labels)) {
		return false
	}
	return s.Image == "" || slices.ContainsFunc(o.Spec.Containers, func(c corev1.Container) bool { return glob(s.Image, c.Image) }) ||
		slices.ContainsFunc(o.Spec.InitContainers, func(c corev1.Container) bool { return glob(s.Image, c.Image) })
}

// glob matches as path.Match does, but * crosses slashes.
func glob(pattern, image string) bool {
	flat := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	ok, err := path.Match(flat(pattern), flat(image))
	return err == nil && ok
}

// unreachable reports whether the registry's host ends in .invalid, the top
// level domain that never resolves (RFC 2606).
func unreachable(image string) bool {
	host, _, _ := strings.Cut(image, "/")
	host, _, _ = strings.Cut(host, ":")
	return strings.HasSuffix(host, ".invalid")
}
