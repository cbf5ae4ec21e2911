package render

import (
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Input is all that rendering depends on.
type Input struct {
	// Application is resolved: answers and overrides are applied.
	Application *appmodel.Application
	// Validated says that the caller has found the application valid, as one
	// does that renders it for many clusters. Otherwise Render looks first.
	Validated bool
	// Info is what the cluster is and can do.
	Info driver.Info
	// Cluster is its name and labels, for ${cluster.…}.
	Cluster ClusterRef
	// Namespace is where everything goes.
	Namespace string
	// Installation is the installation id, for labels.
	Installation string
	// Params are the answers by parameter name, defaults included, for
	// ${param.…}.
	Params map[string]appmodel.JSON
	// Generated are the values of generated secret items by group and item;
	// see [Generated]. A missing one is an error.
	Generated map[string]map[string]appmodel.Sensitive
	// HashKey keys the hashes of contents that stand in pod templates, so that
	// they give no secret away.
	HashKey []byte
	// Images maps image references to those that are used in their place.
	Images map[string]string
	// Bindings say where needs lead whose other end is not a component of
	// this application, by component id and need name.
	Bindings map[NeedRef]Endpoint
	// Release names what is being released; jobs that run at each release are
	// new ones when it changes. Empty: they run when they change.
	Release string
}

// ClusterRef names a cluster.
type ClusterRef struct {
	Name   string
	Labels map[string]string
}

// NeedRef names a need of a component.
type NeedRef struct{ Component, Need string }

// Endpoint is the other end of a need, as the component sees it.
type Endpoint struct {
	Host string
	Port int
	// Values are further provided names.
	Values map[string]string
	// Secrets are provided names that are secret.
	Secrets map[string]appmodel.Sensitive
}

// Phase orders objects within an apply; a lower one is written first.
type Phase int

// The phases.
const (
	PhaseDefinition Phase = iota // Namespace, CustomResourceDefinition
	PhaseIdentity                // ServiceAccount, RBAC
	PhaseData                    // Secret, ConfigMap, PersistentVolumeClaim
	PhaseNetwork                 // Service, NetworkPolicy, routes, PodDisruptionBudget
	PhaseWorkload                // what runs pods, and what scales them
)

// Object is one rendered object and what deploy has to know of it.
type Object struct {
	driver.Object
	// Component and Route are the ids it belongs to, or empty.
	Component, Route string
	Phase            Phase
	// Keep: the object holds data that outlives the application by default.
	Keep bool
	// Sensitive: its data are secret values; only their keyed hash is shown.
	Sensitive bool
	// Privileged: the object is cluster-scoped or gives rights; not everybody
	// may apply it.
	Privileged bool
	// External lists paths of leaves that are sent when the object is
	// created and never compared or sent again: [["spec","replicas"]].
	External [][]string
	// WaitFor are conditions on other components that hold back the first
	// creation of this object.
	WaitFor []Wait
}

// Wait is a condition on another component.
type Wait struct {
	Component string
	Condition string // started, ready, completed
}

// Severity says how much a note matters.
type Severity string

// The severities.
const (
	Information Severity = "info"
	Warning     Severity = "warning"
)

// Note tells what the cluster cannot do as asked and what was done instead,
// or what a person should know.
type Note struct {
	Severity  Severity `json:"severity"`
	Component string   `json:"component,omitempty"`
	Route     string   `json:"route,omitempty"`
	Path      string   `json:"path,omitempty"` // of the application document
	Message   string   `json:"message"`
}

// Output is what an application is on one cluster.
type Output struct {
	// Objects are sorted by phase, kind and name; no two have one Ref.
	Objects []Object
	// Notes are sorted by path.
	Notes []Note
	// Defines are the kinds that the application's own definitions add to the
	// cluster, in the order of the document. Objects of them cannot be written
	// before the cluster serves them.
	Defines []driver.KindInfo
	// Services are the Services that must have endpoints once the application
	// is ready, by name.
	Services []string
}
