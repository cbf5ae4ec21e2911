package fake

import (
	"maps"
	"sync"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Call is one call from outside, through the driver or over HTTP.
type Call struct {
	// Verb is the API server's: get, list, watch, create, update, patch,
	// delete, deletecollection; "info", "logs", "exec" and "usage" for what
	// only drivers have.
	Verb string
	// Kind is the kind, empty for "info" and "usage".
	Kind string
	// Ref is the object; its name is empty for a list or a watch.
	Ref         driver.Ref
	Subresource string
	Manager     string
	// User is who was impersonated, or empty.
	User string
	Took time.Duration
	// Err is what the call failed with.
	Err error
}

// CallKey groups calls in [Cluster.Calls].
type CallKey struct{ Verb, Kind string }

type calls struct {
	mu    sync.Mutex
	count map[CallKey]int
}

// count records a call and tells the observer.
func (c *Cluster) count(call Call) {
	c.calls.mu.Lock()
	if c.calls.count == nil {
		c.calls.count = map[CallKey]int{}
	}
	c.calls.count[CallKey{call.Verb, call.Kind}]++
	c.calls.mu.Unlock()
	if c.opts.OnCall != nil {
		c.opts.OnCall(call)
	}
}

// Calls returns how many calls came from outside since the start or the last
// [Cluster.ResetCalls], failed ones included. Those of the simulated
// components do not count.
func (c *Cluster) Calls() map[CallKey]int {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	return maps.Clone(c.calls.count)
}

// ResetCalls begins to count anew.
func (c *Cluster) ResetCalls() {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	c.calls.count = nil
}
