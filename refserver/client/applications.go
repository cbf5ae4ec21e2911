package client

import (
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage/journal"
)

// Application is one that was deployed: where it is, and how it does.
type Application struct {
	deploy.Listed
	// Status is what was last seen of it; its clusters say when.
	Status status.Application `json:"status"`
	// Operation is the id of one that is under way, if there is.
	Operation string `json:"operation,omitempty"`
}

// Document is an application as somebody wrote it.
type Document struct {
	// Format is "application" (the default), "compose" or "manifests".
	Format string `json:"format,omitempty"`
	// Text is YAML or JSON.
	Text string `json:"text"`
	// Name is, for compose and manifests, the application's; default: the
	// project's own.
	Name string `json:"name,omitempty"`
	// Images are, for compose, those of components that the file builds.
	Images map[string]string `json:"images,omitempty"`
}

// Validation is what there is to say of a document.
type Validation struct {
	// Valid: it can be deployed.
	Valid bool `json:"valid"`
	// Name is the application's, and Text its canonical document, if it can be
	// read.
	Name   string  `json:"name,omitempty"`
	Text   string  `json:"text,omitempty"`
	Faults []Fault `json:"faults"`
	// Report says, for an import, what became of each leaf.
	Report []Imported `json:"report,omitempty"`
	// Parameters are the questions to be answered.
	Parameters []appmodel.Parameter `json:"parameters,omitempty"`
	// Components and Needs are shown beside the document.
	Components []string             `json:"components,omitempty"`
	Needs      []deploy.OutsideNeed `json:"needs,omitempty"`
}

// Imported is what became of one leaf of an imported document.
type Imported struct {
	Path    string `json:"path"`
	Outcome string `json:"outcome"`
	Note    string `json:"note,omitempty"`
}

// Deployment is an application that is to run somewhere.
type Deployment struct {
	Document Document      `json:"document"`
	Target   deploy.Target `json:"target"`
	// Answers, Images, Bindings, Adopt and DataLoss are as in deploy.PlanOptions.
	Answers  map[string]appmodel.JSON `json:"answers,omitempty"`
	Images   map[string]string        `json:"images,omitempty"`
	Bindings []Binding                `json:"bindings,omitempty"`
	Adopt    bool                     `json:"adopt,omitempty"`
	DataLoss bool                     `json:"dataLoss,omitempty"`
	Seen
}

// Meant is an application as it is meant, without secrets: what an [Edit] changes.
type Meant struct {
	Document Document                 `json:"document"`
	Answers  map[string]appmodel.JSON `json:"answers,omitempty"`
	Revision int                      `json:"revision"`
}

// Edit changes an application as it is meant. Secret values, answers and bindings
// that it leaves out stay as they are.
type Edit struct {
	Document Document `json:"document"`
	// Clusters are those on which it is changed, or to which it comes; none: all
	// on which it is.
	Clusters []string                 `json:"clusters,omitempty"`
	Answers  map[string]appmodel.JSON `json:"answers,omitempty"`
	Bindings []Binding                `json:"bindings,omitempty"`
	DataLoss bool                     `json:"dataLoss,omitempty"`
	Seen
}

// Seen is the plan that somebody has looked at: when it would be another one now,
// nothing is done.
type Seen struct {
	PlanHash string `json:"planHash,omitempty"`
}

// Binding says where a need leads whose other end is elsewhere.
type Binding struct {
	Component string            `json:"component"`
	Need      string            `json:"need"`
	Host      string            `json:"host,omitempty"`
	Port      int               `json:"port,omitempty"`
	Values    map[string]string `json:"values,omitempty"`
	Secrets   map[string]string `json:"secrets,omitempty"`
}

// Ref and Endpoint are the binding as package deploy has it.
func (b Binding) Ref() render.NeedRef { return render.NeedRef{Component: b.Component, Need: b.Need} }

// Planned is what a change would do, or the operation that does it.
type Planned struct {
	// Plan is that of a dry run.
	Plan *deploy.Plan `json:"plan,omitempty"`
	// Text is the plan for people.
	Text string `json:"text,omitempty"`
	// Promotion is, for a promotion, what it merges.
	Promotion *deploy.Promotion `json:"promotion,omitempty"`
	// Operation does it; see Client.Wait.
	Operation *journal.Operation `json:"operation,omitempty"`
	// Unchanged: there is nothing to do.
	Unchanged bool `json:"unchanged,omitempty"`
}

// Operation is work that takes long: an apply, with its result once it is over.
type Operation struct {
	journal.Operation
	Result *deploy.Result `json:"result,omitempty"`
}

// CommandRequest is a step in the life of an application.
type CommandRequest struct {
	deploy.Command
	// Clusters are those that it is for; none: all that the application is on.
	Clusters []string `json:"clusters,omitempty"`
	Seen
}

// RollbackRequest says where a rollback goes.
type RollbackRequest struct {
	// Revision is the release to go back to; zero is the one before.
	Revision int      `json:"revision,omitempty"`
	Clusters []string `json:"clusters,omitempty"`
	DataLoss bool     `json:"dataLoss,omitempty"`
	Seen
}

// CopyRequest says how a copy differs; see deploy.CopyOptions.
type CopyRequest struct {
	Name           string                   `json:"name,omitempty"`
	Target         deploy.Target            `json:"target"`
	Revision       int                      `json:"revision,omitempty"`
	Answers        map[string]appmodel.JSON `json:"answers,omitempty"`
	Hosts          map[string]string        `json:"hosts,omitempty"`
	Replicas       map[string]int           `json:"replicas,omitempty"`
	StorageClasses map[string]string        `json:"storageClasses,omitempty"`
	Images         map[string]string        `json:"images,omitempty"`
	Dependencies   []CopyDependency         `json:"dependencies,omitempty"`
	Data           bool                     `json:"data,omitempty"`
	Seen
}

// CopyDependency says what becomes of a need that leads out of the application.
type CopyDependency struct {
	Binding
	Action deploy.DependencyAction `json:"action"`
	Copied deploy.Source           `json:"copied,omitzero"`
}

// PromotionRequest says how a promotion is decided.
type PromotionRequest struct {
	Revision  int                          `json:"revision,omitempty"`
	Decisions map[string]appmodel.Decision `json:"decisions,omitempty"`
	Defaults  bool                         `json:"defaults,omitempty"`
	Answers   map[string]appmodel.JSON     `json:"answers,omitempty"`
	DataLoss  bool                         `json:"dataLoss,omitempty"`
	Seen
}

// HealRequest says what is healed.
type HealRequest struct {
	Policy   deploy.DriftPolicy `json:"policy"`
	Clusters []string           `json:"clusters,omitempty"`
	Seen
}

// Environment is an environment with what is its own, which may be secret.
type Environment struct {
	deploy.Environment
	Answers   map[string]appmodel.JSON `json:"answers,omitempty"`
	Overrides []Override               `json:"overrides,omitempty"`
	Images    map[string]string        `json:"images,omitempty"`
	Bindings  []Binding                `json:"bindings,omitempty"`
}

// Override is a document that changes an application, for some clusters or all.
type Override struct {
	Clusters appmodel.ClusterSelector `json:"clusters,omitzero"`
	// Text is the override as YAML or JSON.
	Text string `json:"text"`
}

// StageRequest begins a stage of a pipeline.
type StageRequest struct {
	// Document is what is deployed; without one, what runs in the environment
	// before is promoted.
	Document  *Document                    `json:"document,omitempty"`
	Revision  int                          `json:"revision,omitempty"`
	Answers   map[string]appmodel.JSON     `json:"answers,omitempty"`
	Decisions map[string]appmodel.Decision `json:"decisions,omitempty"`
	Defaults  bool                         `json:"defaults,omitempty"`
	DataLoss  bool                         `json:"dataLoss,omitempty"`
}

// Verdict is what somebody says of a stage.
type Verdict struct {
	// PlanHash is, for an approval, that of the plan that was looked at.
	PlanHash  string                       `json:"planHash,omitempty"`
	Comment   string                       `json:"comment,omitempty"`
	Decisions map[string]appmodel.Decision `json:"decisions,omitempty"`
}

// Push is the news of an image.
type Push struct {
	Image  string `json:"image"`
	Digest string `json:"digest,omitempty"`
}

// Hook is a way for a registry or a CI to say that an image was pushed.
type Hook struct {
	ID          string    `json:"id"`
	Description string    `json:"description,omitempty"`
	Team        string    `json:"team,omitempty"`
	Subject     string    `json:"subject"`
	Created     time.Time `json:"created"`
}

// NewHook is a hook that was just made, with its secret, which is shown once.
type NewHook struct {
	Hook
	// Secret signs what is sent: see docs/http.md.
	Secret string `json:"secret"`
	// Path is where it is sent.
	Path string `json:"path"`
}

// Keeping says how drift is kept.
type Keeping struct {
	Policy deploy.DriftPolicy `json:"policy"`
	// Seconds is the time between two looks.
	Seconds int `json:"seconds,omitempty"`
}

// Purge says what of the recycle bin goes for ever.
type Purge struct {
	Clusters  []string `json:"clusters"`
	Namespace string   `json:"namespace,omitempty"`
	// Before is the time of the removals that are the last to go; none: now.
	Before time.Time `json:"before,omitzero"`
}
