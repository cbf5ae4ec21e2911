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
	number int
	back   map[task]int
}

type eventKey struct {
	uid             types.UID
	reason, message string
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
	_, _ = c.create(request{kind: k, key: keyOf(e), manager: component, untracked: true}, e)
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
