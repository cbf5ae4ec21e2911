package fake

import (
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

type groupVersionKind = schema.GroupVersionKind

// journal knows which events were reported, so that a repetition is counted
// instead of stored again.
type journal struct {
	mu     sync.Mutex
	seen   map[eventKey]string // name of the Event
	last   map[types.UID]map[string]string
	order  []kept
	number int
	back   map[task]int
}

type eventKey struct {
	uid             types.UID
	reason, message string
}

// maxEvents is how many Events are kept; a real server keeps them for an hour.
const maxEvents = 5000

// kept is one stored Event, in the order of its creation.
type kept struct {
	at    eventKey
	place key
}

// trim forgets the oldest Event once there are too many, and returns its place.
func (j *journal) trim(newest kept) (key, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.order = append(j.order, newest)
	if len(j.order) <= maxEvents {
		return key{}, false
	}
	oldest := j.order[0]
	j.order = j.order[1:]
	delete(j.seen, oldest.at)
	delete(j.last[oldest.at.uid], oldest.at.reason)
	if len(j.last[oldest.at.uid]) == 0 {
		delete(j.last, oldest.at.uid)
	}
	return oldest.place, true
}

// event reports something about an object, as a Kubernetes Event.
func (c *Cluster) event(about object, kind, reason, message, component string) {
	if about.GetNamespace() == "" {
		return
	}
	k := c.kinds.find("v1", "Event")
	at := eventKey{about.GetUID(), reason, message}
	c.events.mu.Lock()
	if c.events.seen == nil {
		c.events.seen, c.events.last = map[eventKey]string{}, map[types.UID]map[string]string{}
	}
	name, again := c.events.seen[at]
	if !again {
		c.events.number++
		name = fmt.Sprintf("%s.%016x", about.GetName(), c.events.number)
		c.events.seen[at] = name
	}
	if c.events.last[at.uid] == nil {
		c.events.last[at.uid] = map[string]string{}
	}
	c.events.last[at.uid][reason] = message
	c.events.mu.Unlock()
	if again {
		_, err := mutate(c, task{kind: k, key: key{about.GetNamespace(), name}}, "", component, func(e *corev1.Event) {
			e.Count++
			e.LastTimestamp = now()
		})
		if err == nil {
			return
		}
	}
	gvk := about.GetObjectKind().GroupVersionKind()
	e := &corev1.Event{
		TypeMeta: typeMeta("v1", "Event"), ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: about.GetNamespace()},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: about.GetNamespace(), Name: about.GetName(),
			UID: about.GetUID(), ResourceVersion: about.GetResourceVersion(),
		},
		Reason: reason, Message: message, Type: kind, Count: 1, FirstTimestamp: now(), LastTimestamp: now(),
		Source: corev1.EventSource{Component: component}, ReportingController: component,
	}
	if _, err := c.create(request{kind: k, key: keyOf(e), manager: component, untracked: true}, e); err != nil {
		return // the namespace is going
	}
	if oldest, ok := c.events.trim(kept{at, keyOf(e)}); ok {
		_, _ = c.remove(c.ctx, request{kind: k, key: oldest}, metav1.DeleteOptions{})
	}
}

// reported reports whether the last event of that reason said the same.
func (c *Cluster) reported(about object, reason, message string) bool {
	c.events.mu.Lock()
	defer c.events.mu.Unlock()
	last, ok := c.events.last[about.GetUID()][reason]
	return ok && last == message
}

// retry plans a task that failed for later, each time later than before.
func (c *Cluster) retry(t task) {
	c.events.mu.Lock()
	if c.events.back == nil {
		c.events.back = map[task]int{}
	}
	n := c.events.back[t]
	c.events.back[t] = n + 1
	c.events.mu.Unlock()
	c.again(t, min(100*time.Millisecond<<min(n, 12), time.Minute))
}

// forget begins a new series of retries.
func (c *Cluster) forget(t task) {
	c.events.mu.Lock()
	defer c.events.mu.Unlock()
	delete(c.events.back, t)
}
