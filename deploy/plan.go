package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// PlanKind says what a plan is for.
type PlanKind string

// The kinds of plans.
const (
	KindDeploy   PlanKind = "deploy"
	KindRollback PlanKind = "rollback"
	KindRemove   PlanKind = "remove"
)

// verb is what somebody must be allowed to do to the application.
func (k PlanKind) verb() appspan.Verb {
	switch k {
	case KindRemove:
		return appspan.VerbDelete
	case KindStart, KindStop, KindRestart, KindScale, KindPause, KindResume:
		return appspan.VerbUpdate
	}
	return appspan.VerbDeploy
}

// Plan is every change to every cluster, before anything is touched. It is
// plain data: it can be marshalled, shown, stored, and applied by another
// process that has the same keys and installation id. It holds no secret value
// in clear.
type Plan struct {
	Kind         PlanKind `json:"kind"`
	Application  string   `json:"application"`
	Installation string   `json:"installation"`
	Target       Target   `json:"target"`
	// Clusters are sorted by name.
	Clusters []ClusterPlan `json:"clusters"`
	// Hash is a Merkle root over the intent and, for each cluster, its
	// identity, abilities and changes.
	Hash string `json:"hash"`
	// Sealed is what is meant, sealed with the Deployer's keys.
	Sealed []byte `json:"sealed"`

	intent *intent
	failed map[string]error // why a cluster cannot be planned, before it is asked
}

// ClusterState says whether a cluster's part of a plan can be applied.
type ClusterState string

// The states of a cluster within a plan.
const (
	ClusterPlanned ClusterState = "planned" // can be applied
	ClusterRefused ClusterState = "refused" // see Refusals
	ClusterUnknown ClusterState = "unknown" // it did not answer; see Error and LastAnswer
)

// ClusterPlan is the part of a plan that is about one cluster.
type ClusterPlan struct {
	Cluster string       `json:"cluster"`
	State   ClusterState `json:"state"`
	// UID is the cluster's identity, Abilities a hash of what it can do.
	UID       string `json:"uid,omitempty"`
	Abilities string `json:"abilities,omitempty"`
	// Revision is the release that applying makes; it is the present one when
	// nothing changes.
	Revision int `json:"revision,omitempty"`
	// From is the newest release that the plan knew of; a later one makes the
	// plan stale.
	From int `json:"from,omitempty"`
	// Changes are sorted in the order in which they are made.
	Changes   []Change `json:"changes,omitempty"`
	Unchanged int      `json:"unchanged"`
	// Unfinished: the last release did not end well, as when its process died.
	// Applying the plan settles it, also when nothing else changes.
	Unfinished bool `json:"unfinished,omitempty"`
	// Recycled: the application is in the recycle bin.
	Recycled bool `json:"recycled,omitempty"`
	// Asked: what is asked of components beside the application changes (see
	// [Command]), or what is meant or was promoted, also when no object does: as
	// when a stopped one is scaled, or a conflict decided.
	Asked bool `json:"asked,omitempty"`
	// Layers are the overrides that were applied here, in their order, and
	// what each changed.
	Layers []Layer `json:"layers,omitempty"`
	// Additions are what others put into our pod templates; they stay.
	Additions []Addition `json:"additions,omitempty"`
	// Notes are what the cluster cannot do as asked.
	Notes    []render.Note `json:"notes,omitempty"`
	Refusals []Refusal     `json:"refusals,omitempty"`
	// Error is why the cluster is unknown, LastAnswer when it last answered,
	// zero if it never did.
	Error      string    `json:"error,omitempty"`
	LastAnswer time.Time `json:"lastAnswer,omitzero"`
	Hash       string    `json:"hash,omitempty"`

	work  *work
	prior *work // of the same part, planned before: what need not be rendered again
	// current: it was planned a moment ago by the call that applies it.
	current bool
	// applying: it is planned again to be applied, for the release that the
	// plan was made for.
	applying bool
	release  string
	err      error
}

// Action is what a plan does to one object.
type Action string

// The actions.
const (
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionAdopt   Action = "adopt"   // take over an object that is there and not ours
	ActionReplace Action = "replace" // delete and create: it cannot be changed in place
	ActionDelete  Action = "delete"
	ActionKeep    Action = "keep" // holds data: stays, and is no part of the application any more
)

// Change is what happens to one object.
type Change struct {
	Action    Action     `json:"action"`
	Object    driver.Ref `json:"object"`
	Component string     `json:"component,omitempty"`
	Route     string     `json:"route,omitempty"`
	// Fields are the leaves that change, sorted by path; empty for a create
	// and a delete.
	Fields []FieldChange `json:"fields,omitempty"`
	// Reason says why, where the action alone does not.
	Reason string `json:"reason,omitempty"`
	// Drift: the object was there, and somebody deleted it.
	Drift bool `json:"drift,omitempty"`
	// UID is that of the live object; Base and Want are hashes of the leaves
	// that we own, as they are and as they are to be.
	UID  string `json:"uid,omitempty"`
	Base string `json:"base,omitempty"`
	Want string `json:"want,omitempty"`
}

// FieldChange is one leaf of an object. Absent values are nil; a secret value
// is shown as "(redacted)".
type FieldChange struct {
	Path string          `json:"path"` // .spec.template.spec.containers[name="web"].image
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
	// Drift: the application does not ask for a change here; somebody changed
	// the object by hand, and Manager is who, as far as the server knows.
	Drift   bool   `json:"drift,omitempty"`
	Manager string `json:"manager,omitempty"`
}

// Refusal is why a cluster's part of a plan cannot be applied.
type Refusal struct {
	Object driver.Ref `json:"object"`
	Path   string     `json:"path,omitempty"`
	Reason string     `json:"reason"`
	Next   string     `json:"next"` // what to do about it
}

// String is the refusal as errors show it.
func (r Refusal) String() string {
	s := r.Object.String()
	if r.Path != "" {
		s += " " + r.Path
	}
	return s + ": " + r.Reason + "; " + r.Next
}

// Empty reports whether every cluster answered and nothing is to be done.
func (p *Plan) Empty() bool {
	for _, c := range p.Clusters {
		if c.State != ClusterPlanned || c.begins() {
			return false
		}
	}
	return true
}

// begins reports whether applying the part makes a release.
func (c *ClusterPlan) begins() bool { return len(c.Changes) > 0 || c.Unfinished || c.Asked }

// Err is nil when every cluster's part can be applied. Otherwise it says, for
// each that can't, why: appspan.ErrUnavailable for unknown clusters,
// appspan.ErrConflict for refused ones.
func (p *Plan) Err() error {
	var errs []error
	for i := range p.Clusters {
		if err := p.Clusters[i].Err(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Err is nil when the cluster's part can be applied.
func (c *ClusterPlan) Err() error {
	if err := c.obstacle(); err != nil {
		return fmt.Errorf("%s: %w", c.Cluster, err)
	}
	return nil
}

// obstacle is Err without the cluster's name.
func (c *ClusterPlan) obstacle() error {
	switch {
	case c.State == ClusterPlanned:
		return nil
	case c.State == ClusterRefused && len(c.Refusals) == 0:
		return appspan.ErrConflict
	case c.State == ClusterRefused:
		more := ""
		if n := len(c.Refusals) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		return fmt.Errorf("%w: %s%s", appspan.ErrConflict, c.Refusals[0], more)
	case c.err != nil:
		return c.err
	}
	return fmt.Errorf("%w: %s", appspan.ErrUnavailable, c.Error)
}

// Drift returns the changes that undo what somebody did by hand.
func (c *ClusterPlan) Drift() []Change {
	var out []Change
	for _, ch := range c.Changes {
		drifted := ch
		drifted.Fields = nil
		for _, f := range ch.Fields {
			if f.Drift {
				drifted.Fields = append(drifted.Fields, f)
			}
		}
		if len(drifted.Fields) > 0 || ch.Drift {
			out = append(out, drifted)
		}
	}
	return out
}
