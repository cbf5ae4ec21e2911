package image

import (
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

// Phases of the events of this package.
const (
	PhaseResolve = "resolve" // tags become digests
	PhaseCopy    = "copy"    // blobs and manifests are sent
)

// dispatcher hands events to one callback, one at a time, in a goroutine of
// its own. Of the progress of one image only the latest waits.
type dispatcher struct {
	deliver func(appspan.Event)
	done    chan struct{}

	mu     sync.Mutex
	wake   *sync.Cond
	queue  []appspan.Event
	closed bool
}

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
	for seq := uint64(1); ; seq++ {
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
		e.Seq = seq
		d.deliver(e)
	}
}

func (d *dispatcher) send(e appspan.Event) {
	if d.deliver == nil {
		return
	}
	e.Time = time.Now().UTC()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, earlier := range d.queue {
		if e.Kind == appspan.EventProgress && earlier.Kind == e.Kind && earlier.Phase == e.Phase && earlier.Object == e.Object {
			d.queue = append(d.queue[:i], d.queue[i+1:]...)
			break
		}
	}
	d.queue = append(d.queue, e)
	d.wake.Signal()
}

// close delivers what waits and returns when the callback has returned.
func (d *dispatcher) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.wake.Signal()
	<-d.done
}
