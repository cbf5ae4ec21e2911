package fake

import (
	"fmt"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// maxWritten is how many written lines of a pod are kept, the newest ones.
const maxWritten = 100_000

// logBooks are the lines that were written to pods, see [Cluster.WriteLog].
type logBooks struct {
	mu   sync.Mutex
	pods map[types.UID]*logBook
}

// logBook holds the lines of one pod. Who follows it keeps it when the pod is
// gone.
type logBook struct {
	mu      sync.Mutex
	entries []logEntry
	changed chan struct{} // closed when lines came, or the pod changed
}

// logEntry is one line, of one run of a container.
type logEntry struct {
	at        time.Time
	container string
	restart   int32
	text      string
}

func (b *logBooks) of(uid types.UID) *logBook {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pods == nil {
		b.pods = map[types.UID]*logBook{}
	}
	if b.pods[uid] == nil {
		b.pods[uid] = &logBook{changed: make(chan struct{})}
	}
	return b.pods[uid]
}

// wake has the followers of a pod look at it again.
func (b *logBooks) wake(uid types.UID, gone bool) {
	b.mu.Lock()
	book := b.pods[uid]
	if gone {
		delete(b.pods, uid)
	}
	b.mu.Unlock()
	if book != nil {
		book.mu.Lock()
		defer book.mu.Unlock()
		book.wake()
	}
}

func (b *logBook) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// WriteLog adds lines to the log of a running container, as if it had printed
// them at once: they share one timestamp. They stand among the simulated ones.
// An empty container is the pod's only or default one. A pod that is not there
// is appspan.ErrNotFound, a container that does not run appspan.ErrPrecondition.
func (c *Cluster) WriteLog(namespace, pod, container string, lines ...string) error {
	k := c.kinds.find("v1", "Pod")
	p, ok := fetch[*corev1.Pod](c, task{kind: k, key: key{namespace, pod}})
	if !ok {
		return fmt.Errorf("%w: %s", appspan.ErrNotFound, driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: pod})
	}
	st, err := logContainer(p, container)
	if err != nil || st.State.Running == nil {
		return fmt.Errorf("%w: container %q of pod %s/%s does not run", appspan.ErrPrecondition, container, namespace, pod)
	}
	book := c.logs.of(p.UID)
	book.mu.Lock()
	defer book.mu.Unlock()
	at := time.Now()
	for _, text := range lines {
		book.entries = append(book.entries, logEntry{at, st.Name, st.RestartCount, text})
	}
	if over := len(book.entries) - maxWritten; over > 0 {
		book.entries = book.entries[over:]
	}
	book.wake()
	return nil
}

// written are the lines of one run of a container.
func (b *logBook) written(st corev1.ContainerStatus, previous bool) []logEntry {
	restart := st.RestartCount
	if previous {
		restart--
	}
	var out []logEntry
	for _, e := range b.entries {
		if e.container == st.Name && e.restart == restart {
			out = append(out, e)
		}
	}
	return out
}
