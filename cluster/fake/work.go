package fake

import (
	"sync"
	"time"
)

// part names one of the simulated components.
type part int

const (
	garbage part = iota
	namespaces
	deployments
	replicaSets
	statefulSets
	daemonSets
	jobs
	cronJobs
	scheduling
	kubelets
	claims
	endpoints
	autoscalers
	budgets
	ingresses
	quotaStatus
	definitions
	routes
)

// task is one thing to look at for one component.
type task struct {
	part part
	kind *kind
	key  key
}

// queue runs tasks one after another, each at most once until it has run. A
// goroutine exists only while there is something to do.
type queue struct {
	run func(task)

	mu      sync.Mutex
	idle    *sync.Cond
	tasks   []task
	queued  map[task]bool
	timers  map[task]*time.Timer
	due     map[task]time.Time
	running bool
	closed  bool
}

func newQueue(run func(task)) *queue {
	q := &queue{run: run, queued: map[task]bool{}, timers: map[task]*time.Timer{}, due: map[task]time.Time{}}
	q.idle = sync.NewCond(&q.mu)
	return q
}

// add plans a task for as soon as possible.
func (q *queue) add(t task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.queued[t] {
		return
	}
	q.queued[t] = true
	q.tasks = append(q.tasks, t)
	if !q.running {
		q.running = true
		go q.work()
	}
}

// addAfter plans a task for later. Of several plans the earliest holds.
func (q *queue) addAfter(t task, d time.Duration) {
	if d <= 0 {
		q.add(t)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	at := time.Now().Add(d)
	if q.closed {
		return
	}
	if timer := q.timers[t]; timer != nil {
		if !at.Before(q.due[t]) {
			return
		}
		timer.Stop()
	}
	q.due[t] = at
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		q.mu.Lock()
		if q.timers[t] == timer {
			delete(q.timers, t)
			delete(q.due, t)
		}
		q.mu.Unlock()
		q.add(t)
	})
	q.timers[t] = timer
}

func (q *queue) work() {
	for {
		q.mu.Lock()
		if len(q.tasks) == 0 || q.closed {
			q.running = false
			q.idle.Broadcast()
			q.mu.Unlock()
			return
		}
		t := q.tasks[0]
		q.tasks = q.tasks[1:]
		delete(q.queued, t)
		q.mu.Unlock()
		q.run(t)
	}
}

// close drops what is planned and waits for what runs.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.tasks = nil
	for _, t := range q.timers {
		t.Stop()
	}
	clear(q.timers)
	for q.running {
		q.idle.Wait()
	}
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
