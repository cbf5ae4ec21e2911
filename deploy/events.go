package deploy

import (
	"container/list"
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
// its own, so that a slow callback delays only events. What waits is bounded: of
// each thing that can be told only the latest waits.
type dispatcher struct {
	mu      sync.Mutex
	wake    *sync.Cond
	queue   list.List // of appspan.Event
	waiting map[topic]*list.Element
	closed  bool
	done    chan struct{}
	deliver func(appspan.Event)
}

// topic is what an event is about: a later event takes the place of an earlier
// one that nobody has heard yet.
type topic struct {
	kind                      appspan.EventKind
	cluster, phase, component string
}

func topicOf(e appspan.Event) topic {
	t := topic{kind: e.Kind, cluster: e.Cluster, phase: e.Phase, component: e.Component}
	if e.Kind == appspan.EventProgress {
		t.component = "" // Done and Total are the cluster's
	}
	if e.Phase == PhaseDrift {
		t.component = e.Object // one application of several
	}
	return t
}

// newDispatcher starts one; a nil callback makes it do nothing.
func newDispatcher(deliver func(appspan.Event)) *dispatcher {
	d := &dispatcher{deliver: deliver, done: make(chan struct{}), waiting: map[topic]*list.Element{}}
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
		for d.queue.Len() == 0 && !d.closed {
			d.wake.Wait()
		}
		if d.queue.Len() == 0 {
			d.mu.Unlock()
			return
		}
		e := d.queue.Remove(d.queue.Front()).(appspan.Event)
		delete(d.waiting, topicOf(e))
		d.mu.Unlock()
		seq++
		e.Seq = seq
		d.deliver(e)
	}
}

// send queues an event behind all others, so that what is heard last of a
// cluster is what happened last.
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
	about := topicOf(e)
	if earlier := d.waiting[about]; earlier != nil {
		d.queue.Remove(earlier)
	}
	d.waiting[about] = d.queue.PushBack(e)
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
