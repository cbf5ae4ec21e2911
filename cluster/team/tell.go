package team

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

// teller hands events to one callback, one at a time, in a goroutine of its
// own. Of each team on each cluster the latest waits.
type teller struct {
	deliver func(appspan.Event)
	done    chan struct{}
	wake    *sync.Cond

	mu     sync.Mutex
	queue  []string // keys of waiting, in order
	events map[string]appspan.Event
	closed bool
}

// newTeller starts one; a nil callback makes it do nothing.
func newTeller(deliver func(appspan.Event)) *teller {
	t := &teller{deliver: deliver, done: make(chan struct{}), events: map[string]appspan.Event{}}
	t.wake = sync.NewCond(&t.mu)
	if deliver == nil {
		close(t.done)
	} else {
		go t.run()
	}
	return t
}

func (t *teller) run() {
	defer close(t.done)
	for seq := uint64(1); ; seq++ {
		t.mu.Lock()
		for len(t.queue) == 0 && !t.closed {
			t.wake.Wait()
		}
		if len(t.queue) == 0 {
			t.mu.Unlock()
			return
		}
		e := t.events[t.queue[0]]
		delete(t.events, t.queue[0])
		t.queue = t.queue[1:]
		t.mu.Unlock()
		e.Seq = seq
		t.deliver(e)
	}
}

// send tells how a team was found on a cluster.
func (t *teller) send(team string, p ClusterPlan) {
	if t.deliver == nil {
		return
	}
	e := appspan.Event{Time: time.Now().UTC(), Cluster: p.Cluster, Kind: appspan.EventState, Phase: "drift", Object: "Team " + team,
		Message: cut(fmt.Sprintf("team %s on %s", team, strings.ReplaceAll(strings.TrimSpace(Plan{Clusters: []ClusterPlan{p}}.String()), "\n", "; ")), maxOutcome)}
	switch {
	case p.Unknown || p.failure() != nil:
		e.Kind = appspan.EventFailure
	case !p.Clean():
		e.Kind = appspan.EventWarning
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := team + "/" + p.Cluster
	if _, waits := t.events[key]; !waits {
		t.queue = append(t.queue, key)
	}
	t.events[key] = e
	t.wake.Signal()
}

// close delivers what waits and returns when the callback has returned.
func (t *teller) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wake.Signal()
	<-t.done
}
