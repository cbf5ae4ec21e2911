package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/appspan-dev/appspan"
)

// Provider is where clusters come from.
type Provider interface {
	// Open connects to the cluster that spec describes. It fails with
	// appspan.ErrInvalid for a bad spec; whether the cluster answers is found
	// out by the first call.
	Open(ctx context.Context, spec Spec) (Cluster, error)
}

// ProviderFunc is a function that is a Provider: for a rest.Config that the
// program makes itself, or a cluster that dials in.
type ProviderFunc func(ctx context.Context, spec Spec) (Cluster, error)

// Open calls f.
func (f ProviderFunc) Open(ctx context.Context, spec Spec) (Cluster, error) { return f(ctx, spec) }

// Spec describes one cluster to a provider.
type Spec struct {
	// Name is the cluster's name in its fleet, for messages.
	Name string
	// Config is the provider's own configuration document, for example a
	// kubeconfig. It may hold credentials and is never printed.
	Config []byte `json:"-"`
	// Context chooses an entry of Config where it has several.
	Context string
}

// Format writes the cluster's name for every verb.
func (s Spec) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "cluster "+s.Name) }

// Cluster is one connected cluster. It has seven methods at most, for ever; a
// new ability is a new optional interface.
type Cluster interface {
	// Info reads what the cluster is and can do. Package cluster caches it.
	Info(ctx context.Context) (Info, error)
	// Apply makes obj so, by server-side apply, and returns the object as the
	// server has it now.
	Apply(ctx context.Context, obj Object, opts ApplyOptions) (Object, error)
	// Get reads one object; a missing one is appspan.ErrNotFound.
	Get(ctx context.Context, ref Ref) (Object, error)
	// List reads one page of what the query selects, in an order that is
	// stable over the pages. A kind that the cluster does not have is
	// appspan.ErrUnsupported.
	List(ctx context.Context, q Query) (Page, error)
	// Delete removes one object, or begins to: finalizers and foreground
	// propagation go on after it. A missing one is appspan.ErrNotFound.
	Delete(ctx context.Context, ref Ref, opts DeleteOptions) error
	// Close ends watches and frees connections. It is idempotent.
	Close() error
}

// Ref is the identity of an object within a cluster.
type Ref struct {
	APIVersion string `json:"apiVersion"` // "v1", "apps/v1"
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"` // empty for cluster-scoped kinds
	Name       string `json:"name"`
}

// String is the ref as messages show it: "Deployment shop/web".
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// Group is the API group of the ref, "" for the core.
func (r Ref) Group() string { return group(r.APIVersion) }

// GroupKind is "Deployment.apps", or "Service" for the core group: the form
// that KEP-3659 uses for the kinds of an ApplySet.
func (r Ref) GroupKind() string {
	if g := r.Group(); g != "" {
		return r.Kind + "." + g
	}
	return r.Kind
}

func group(apiVersion string) string {
	for i := range len(apiVersion) {
		if apiVersion[i] == '/' {
			return apiVersion[:i]
		}
	}
	return ""
}

// Object is one Kubernetes object: its identity and its JSON, so that nothing
// is decoded where nothing is needed.
type Object struct {
	Ref
	UID        string            `json:"uid,omitempty"`
	Revision   string            `json:"revision,omitempty"` // resourceVersion; opaque
	Generation int64             `json:"generation,omitempty"`
	Deleting   bool              `json:"deleting,omitempty"` // has a deletion timestamp
	Labels     map[string]string `json:"labels,omitempty"`
	// JSON is the whole object. It is immutable: whoever wants another one
	// makes another one. On Apply the JSON wins, and a Ref that disagrees
	// with it is appspan.ErrInvalid.
	JSON json.RawMessage `json:"json,omitempty"`
}

// ApplyOptions say how Apply writes.
type ApplyOptions struct {
	// Manager is the field manager (KEP-555); it must not be empty.
	Manager string
	// IfAbsent creates the object, and fails with appspan.ErrExists when it is
	// there. It excludes IfRevision and Force.
	IfAbsent bool
	// IfRevision writes only onto this revision; another one, or none, is
	// appspan.ErrPrecondition.
	IfRevision string
	// IfUID writes only onto the object with this UID; another one, or none,
	// is appspan.ErrPrecondition.
	IfUID string
	// Force takes over fields that other managers own. Without it they are
	// appspan.ErrConflict, as a [ConflictError] that lists them.
	Force bool
	// DryRun validates, admits and merges on the server, and stores nothing.
	DryRun bool
}

// FieldConflict is one field that another manager owns.
type FieldConflict struct {
	Path    string `json:"path"` // in the server's notation: .spec.replicas
	Manager string `json:"manager"`
}

// ConflictError lists the fields for which a server-side apply without Force
// was refused. It wraps appspan.ErrConflict.
type ConflictError struct{ Fields []FieldConflict }

// Error names the first five fields and their managers.
func (e *ConflictError) Error() string {
	s := "conflict:"
	for i, f := range e.Fields {
		if i == 5 {
			return s + " …"
		}
		s += " " + f.Path + " is owned by " + f.Manager + ";"
	}
	return s[:len(s)-1]
}

// Unwrap returns appspan.ErrConflict.
func (e *ConflictError) Unwrap() error { return appspan.ErrConflict }

// Propagation says what becomes of an object's dependents on Delete.
type Propagation string

// The propagation policies of Kubernetes. The zero value is Background.
const (
	Background Propagation = ""
	Foreground Propagation = "Foreground"
	Orphan     Propagation = "Orphan"
)

// DeleteOptions say how Delete deletes.
type DeleteOptions struct {
	// UID and Revision are preconditions; a mismatch is
	// appspan.ErrPrecondition. Empty ones are not checked.
	UID, Revision string
	Propagation   Propagation
	DryRun        bool
}

// Projection says how much of each object a List or Watch returns.
type Projection int

const (
	// Whole is the object as the server has it.
	Whole Projection = iota
	// Trimmed leaves out metadata.managedFields.
	Trimmed
	// Metadata is apiVersion, kind and metadata without managedFields; the
	// server sends no more than that (PartialObjectMetadata).
	Metadata
)

// Query selects objects of one kind.
type Query struct {
	APIVersion string
	Kind       string
	// Namespace confines the query; empty is all of them.
	Namespace string
	// Labels and Fields are selectors in Kubernetes' syntax; empty is all.
	Labels string
	Fields string
	// Projection says how much of each object comes back.
	Projection Projection
	// Limit bounds a page; zero leaves it to the driver (500).
	Limit int
	// Continue is the token of the page before, empty for the first.
	Continue string
	// Revision, for Watch, is where to begin; empty lists first.
	Revision string
}

// Page is one page of a List.
type Page struct {
	Items []Object
	// Continue is empty on the last page. A token that is too old fails with
	// appspan.ErrPrecondition; the caller begins again.
	Continue string
	// Revision is the revision of the list, for Watch.
	Revision string
}

// Info is what a cluster is and can do, as far as plans depend on it. Usage
// is apart: see UsageReader.
type Info struct {
	// UID is the UID of the namespace kube-system: the cluster's identity.
	UID string `json:"uid"`
	// Version is the server's version: "v1.37.2".
	Version string `json:"version"`
	// Kinds are the API kinds that are served.
	Kinds []KindInfo `json:"kinds"`
	// StorageClasses, IngressClasses and Gateways are what can be named.
	StorageClasses []StorageClass `json:"storageClasses,omitempty"`
	IngressClasses []IngressClass `json:"ingressClasses,omitempty"`
	Gateways       []Gateway      `json:"gateways,omitempty"`
	// Nodes are the shapes of the nodes.
	Nodes []Node `json:"nodes,omitempty"`
}

// Has reports whether the cluster serves a kind of an API version.
func (i Info) Has(apiVersion, kind string) bool {
	_, ok := i.Lookup(apiVersion, kind)
	return ok
}

// Lookup finds a kind of an API version.
func (i Info) Lookup(apiVersion, kind string) (KindInfo, bool) {
	for _, k := range i.Kinds {
		if k.Kind == kind && k.APIVersion == apiVersion {
			return k, true
		}
	}
	return KindInfo{}, false
}

// KindInfo is one API kind.
type KindInfo struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Resource   string   `json:"resource"` // plural, as in URLs
	Namespaced bool     `json:"namespaced"`
	Verbs      []string `json:"verbs,omitempty"`
}

// StorageClass is one class of storage.
type StorageClass struct {
	Name            string `json:"name"`
	Provisioner     string `json:"provisioner"`
	Default         bool   `json:"default,omitempty"`
	AllowExpansion  bool   `json:"allowExpansion,omitempty"`
	WaitForConsumer bool   `json:"waitForConsumer,omitempty"`
	ReclaimPolicy   string `json:"reclaimPolicy,omitempty"`
}

// IngressClass is one class of Ingress.
type IngressClass struct {
	Name       string `json:"name"`
	Controller string `json:"controller,omitempty"`
	Default    bool   `json:"default,omitempty"`
}

// Gateway is one Gateway of the Gateway API that routes can attach to.
type Gateway struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Listeners []Listener `json:"listeners,omitempty"`
}

// Listener is one listener of a [Gateway].
type Listener struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"` // HTTP, HTTPS, TLS, TCP, UDP
	Port     int    `json:"port"`
	Hostname string `json:"hostname,omitempty"`
}

// Node is the shape of one node: what it offers, not what is used of it.
type Node struct {
	Name          string            `json:"name"`
	Labels        map[string]string `json:"labels,omitempty"`
	Architecture  string            `json:"architecture,omitempty"`
	Allocatable   map[string]string `json:"allocatable,omitempty"` // quantities: cpu, memory, …
	Unschedulable bool              `json:"unschedulable,omitempty"`
	Ready         bool              `json:"ready"`
}

// As finds the optional interface T on c or on what it decorates, walking
// Unwrap() Cluster.
func As[T any](c Cluster) (T, bool) {
	for c != nil {
		if t, ok := c.(T); ok {
			return t, true
		}
		u, ok := c.(interface{ Unwrap() Cluster })
		if !ok {
			break
		}
		c = u.Unwrap()
	}
	var none T
	return none, false
}

// ErrClosed is what calls after Close fail with; it wraps
// appspan.ErrUnavailable.
var ErrClosed = fmt.Errorf("%w: the cluster is closed", appspan.ErrUnavailable)

// Identity is who a driver acts as, see [Impersonator].
type Identity struct {
	User   string
	Groups []string
}

// Usage is what is used of one node, see [UsageReader].
type Usage struct {
	Node     string            `json:"node"`
	Used     map[string]string `json:"used"` // quantities: cpu, memory
	Measured time.Time         `json:"measured"`
}
