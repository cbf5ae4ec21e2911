package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// nodeManager is the field manager of what is set on nodes.
const nodeManager = "appspan-nodes"

func nodeRef(name string) Ref { return Ref{APIVersion: "v1", Kind: "Node", Name: name} }

// Cordon keeps new pods off a node; Uncordon lets them on again. A node that
// does not exist is appspan.ErrNotFound.
func (c *Cluster) Cordon(ctx context.Context, node string) error {
	return c.setSchedulable(ctx, node, false)
}

// Uncordon lets new pods on a node.
func (c *Cluster) Uncordon(ctx context.Context, node string) error {
	return c.setSchedulable(ctx, node, true)
}

func (c *Cluster) setSchedulable(ctx context.Context, node string, schedulable bool) error {
	return c.applyNode(ctx, node, nodeManager, nil, map[string]any{"unschedulable": !schedulable})
}

// applyNode sets fields of a node that exists, whoever set them before.
func (c *Cluster) applyNode(ctx context.Context, node, manager string, meta, spec map[string]any) error {
	current, err := c.Get(ctx, nodeRef(node))
	if err != nil {
		return err
	}
	if meta == nil {
		meta = map[string]any{}
	}
	meta["name"] = node
	tree := map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": meta}
	if spec != nil {
		tree["spec"] = spec
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	obj, err := driver.ParseObject(data)
	if err != nil {
		return err
	}
	_, err = c.Apply(ctx, obj, ApplyOptions{Manager: manager, Force: true, IfUID: current.UID})
	return err
}

// LabelNode sets a label of a node, or removes it if value is empty.
func (c *Cluster) LabelNode(ctx context.Context, node, key, value string) error {
	sum := sha256.Sum256([]byte(key))
	manager := nodeManager + "-" + hex.EncodeToString(sum[:6]) // one a label: taking one back leaves the others
	set := func(v string) error {
		return c.applyNode(ctx, node, manager, map[string]any{"labels": map[string]any{key: v}}, nil)
	}
	if value != "" {
		return set(value)
	}
	current, err := c.Get(ctx, nodeRef(node))
	if err != nil {
		return err
	}
	if _, there := current.Labels[key]; !there {
		return nil
	}
	if err := set("appspan-takes-it-away"); err != nil { // a new value makes it ours alone (KEP-555)
		return err
	}
	return c.applyNode(ctx, node, manager, nil, nil)
}

// DrainOptions shape a [Cluster.Drain]. The zero value is the default.
type DrainOptions struct {
	// Timeout bounds the whole; default 10 min.
	Timeout time.Duration
	// GracePeriod is what pods get to end; zero is each pod's own.
	GracePeriod time.Duration
	// Unmanaged evicts pods that no controller will make again. Without it
	// such a pod refuses the drain before anything is evicted.
	Unmanaged bool
	// EmptyDirs evicts pods whose emptyDir volumes are lost with them. Without
	// it such a pod refuses the drain before anything is evicted.
	EmptyDirs bool
	// OnEvent hears how it goes, one event after the other.
	OnEvent func(appspan.Event)
}

// Drain cordons a node and evicts its pods, by the eviction API, which holds
// back what a PodDisruptionBudget protects; it waits for that and for the pods
// to be gone. DaemonSets' pods and static pods stay. When it fails or the
// context ends, the node stays cordoned; what is gone is gone. Pods that may
// not be evicted are appspan.ErrPrecondition and are all named.
func (c *Cluster) Drain(ctx context.Context, node string, opts *DrainOptions) error {
	var o DrainOptions
	if opts != nil {
		o = *opts
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Minute
	}
	evictor, ok := As[driver.Subresourcer](c)
	if !ok {
		return c.wrap("drain", nodeRef(node), fmt.Errorf("%w: the driver has no subresources, which evictions are", appspan.ErrUnsupported))
	}
	pods, err := c.podsToEvict(ctx, node, o)
	if err != nil {
		return c.wrap("drain", nodeRef(node), err)
	}
	if err := c.Cordon(ctx, node); err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("%w: it is not drained after %v", appspan.ErrUnavailable, o.Timeout))
	defer cancel()
	d := &drain{cluster: c, node: node, evictor: evictor, options: o, total: len(pods)}
	var wg sync.WaitGroup
	errs := make([]error, len(pods))
	slots := make(chan struct{}, 16)
	for i := range pods {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = d.evict(limited, &pods[i])
		})
	}
	wg.Wait()
	return c.wrap("drain", nodeRef(node), errors.Join(errs...))
}

// podsToEvict are the pods that have to go from a node.
func (c *Cluster) podsToEvict(ctx context.Context, node string, o DrainOptions) ([]corev1.Pod, error) {
	pods, err := all[corev1.Pod](ctx, c, Query{APIVersion: "v1", Kind: "Pod", Fields: "spec.nodeName=" + node, Projection: driver.Trimmed})
	if err != nil {
		return nil, err
	}
	var refused []string
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool {
		if p.Annotations[corev1.MirrorPodAnnotationKey] != "" || controlledBy(&p, "DaemonSet") {
			return true
		}
		over := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		emptyDir := slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil })
		switch {
		case over:
		case !o.Unmanaged && !controlledBy(&p, ""):
			refused = append(refused, p.Namespace+"/"+p.Name+" has no controller that makes it again (DrainOptions.Unmanaged)")
		case !o.EmptyDirs && emptyDir:
			refused = append(refused, p.Namespace+"/"+p.Name+" has an emptyDir whose data would be lost (DrainOptions.EmptyDirs)")
		}
		return false
	})
	if len(refused) > 0 {
		slices.Sort(refused)
		return nil, fmt.Errorf("%w: %s", appspan.ErrPrecondition, strings.Join(refused, "; "))
	}
	return pods, nil
}

// controlledBy reports whether a controller of a kind, or any, owns the pod.
func controlledBy(p *corev1.Pod, kind string) bool {
	for _, o := range p.OwnerReferences {
		if o.Controller != nil && *o.Controller && (kind == "" || o.Kind == kind) {
			return true
		}
	}
	return false
}

// drain is one drain of one node.
type drain struct {
	cluster *Cluster
	node    string
	evictor driver.Subresourcer
	options DrainOptions
	total   int

	mu   sync.Mutex
	done int
	seq  uint64
}

// evict evicts one pod and waits until it is gone.
func (d *drain) evict(ctx context.Context, p *corev1.Pod) error {
	ref := Ref{APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
	options := map[string]any{"preconditions": map[string]any{"uid": p.UID}}
	if d.options.GracePeriod > 0 {
		options["gracePeriodSeconds"] = int64(d.options.GracePeriod / time.Second)
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "policy/v1", "kind": "Eviction",
		"metadata": map[string]any{"name": p.Name, "namespace": p.Namespace}, "deleteOptions": options})
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		_, err := d.evictor.CreateSub(ctx, ref, "eviction", body)
		if err == nil || errors.Is(err, appspan.ErrNotFound) || errors.Is(err, appspan.ErrConflict) || errors.Is(err, appspan.ErrPrecondition) {
			break // evicted, gone, or another pod of that name
		}
		if !appspan.Retryable(err) || ctx.Err() != nil {
			return fmt.Errorf("evict %s: %w", ref, err)
		}
		if n == 1 {
			d.tell(appspan.EventState, ref, "waits: "+err.Error())
		}
		if !sleep(ctx, backOff(min(n+4, 15), longestWait, err)) {
			return fmt.Errorf("evict %s: %w: %w", ref, context.Cause(ctx), err)
		}
	}
	for n := 1; ; n++ {
		obj, err := d.cluster.Get(ctx, ref)
		if errors.Is(err, appspan.ErrNotFound) || err == nil && obj.UID != string(p.UID) {
			d.tell(appspan.EventProgress, ref, "is gone")
			return nil
		}
		if err != nil && !appspan.Retryable(err) {
			return err
		}
		if !sleep(ctx, backOff(min(n, 5), 2*time.Second, nil)) {
			return fmt.Errorf("%s is still there: %w", ref, context.Cause(ctx))
		}
	}
}

func (d *drain) tell(kind appspan.EventKind, ref Ref, message string) {
	if d.options.OnEvent == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if kind == appspan.EventProgress {
		d.done++
	}
	d.seq++
	d.options.OnEvent(appspan.Event{Seq: d.seq, Time: time.Now().UTC(), Cluster: d.cluster.name, Kind: kind, Phase: "drain",
		Object: ref.String(), Message: ref.String() + " " + message, Done: d.done, Total: d.total})
}
