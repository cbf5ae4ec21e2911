package fake

import (
	"context"
	"net/netip"
	"sync"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Managers under which the cluster's own components write.
const (
	controllerManager = "kube-controller-manager"
	schedulerName     = "kube-scheduler"
	kubeletName       = "kubelet"
	provisionerName   = "fake-provisioner"
)

// Cluster is an in-memory Kubernetes cluster. It implements driver.Cluster,
// Watcher, Subresourcer, Impersonator, UsageReader, LogStreamer and Execer.
type Cluster struct {
	client

	opts   Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	kinds  *kinds
	store  *store
	work   *queue

	services    sync.Mutex // serialises what is allocated to Services
	nextIP      netip.Addr
	explicitIPs bool
	quotas      sync.Mutex // serialises what quotas count

	scripts scripts
	calls   calls
	pods    podNumbers
	metrics metrics
	events  journal
	logs    logBooks
}

var (
	_ driver.Cluster = (*Cluster)(nil)
	_ driver.Watcher = (*Cluster)(nil)
)

// New starts a cluster. It runs no goroutine while nothing is to be done;
// Close ends what is planned.
func New(opts *Options) *Cluster {
	c := &Cluster{opts: opts.withDefaults(), kinds: newKinds()}
	c.client = client{c: c}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.work = newQueue(c.reconcile)
	c.store = newStore(c.opts.History, c.observe)
	c.nextIP = serviceRange().Addr()
	c.pods.next = netip.MustParseAddr("10.244.0.1")
	for _, s := range c.opts.Scripts {
		c.Script(s)
	}
	c.bootstrap()
	c.store.forget()
	return c
}

// Close ends watches, timers and the simulation, and waits for what runs.
// Calls after it fail with driver.ErrClosed.
func (c *Cluster) Close() error {
	c.cancel()
	c.work.close()
	c.store.mu.RLock()
	var open []*watch
	for w := range c.store.watches {
		open = append(open, w)
	}
	c.store.mu.RUnlock()
	for _, w := range open {
		w.end(driver.ErrClosed)
	}
	return nil
}
