package deploy

import (
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

// Phases of the events of this package.
const (
	PhasePlan   = "plan"   // the state of a cluster was read and compared
	PhaseApply  = "apply"  // objects are written
	PhasePrune  = "prune"  // objects are removed
	PhaseReady  = "ready"  // components become ready
	PhaseRecord = "record" // the release is recorded
)

// dispatcher hands events to one callback, one at a time, in a goroutine of
// its own, so that a slow callback delays only events. Progress that waits is
// coalesced.
type dispatcher struct {
	mu      sync.Mutex
	wake    *sync.Cond
	queue   []appspan.Event
	closed  bool
	done    chan struct{}
	deliver func(appspan.Event)
}

// newDispatcher starts one; a nil callback makes it do nothing.
func newDispatcher(deliver func(appspan.Event)) *dispatcher {
	d := &dispatcher{deliver: deliver, done: make(chan struct{})}
	d.wake = sync.NewCond(&d.mu)
	if deliver == nil {
		close(d.done)
		return d
	}
	go d.run()
	return d
}

func (d *dispatcher) run() {
	defer close(d.done)
	var seq uint64
	for {
		d.mu.Lock()
		for len(d.queue) == 0 && !d.closed {
			d.wake.Wait()
		}
		if len(d.queue) == 0 {
			d.mu.Unlock()
			return
		}
		e := d.queue[0]
		d.queue = d.queue[1:]
		d.mu.Unlock()
		seq++
		e.Seq = seq
		d.deliver(e)
	}
}

// send queues an event. A progress event takes the place of one of the same
// cluster and phase that still waits at the end of that cluster's events.
func (d *dispatcher) send(e appspan.Event) {
	if d.deliver == nil {
		return
	}
	e.Time = time.Now().UTC()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if e.Kind == appspan.EventProgress {
		for i := len(d.queue) - 1; i >= 0; i-- {
			q := &d.queue[i]
			if q.Cluster != e.Cluster {
				continue
			}
			if q.Kind == appspan.EventProgress && q.Phase == e.Phase {
				*q = e
				return
			}
			break
		}
	}
	d.queue = append(d.queue, e)
	d.wake.Signal()
}

// close delivers what is queued and returns when the callback has returned.
func (d *dispatcher) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.wake.Signal()
	<-d.done
}
