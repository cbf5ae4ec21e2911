package team

import (
	"fmt"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Action is what is done to an object.
type Action string

// The actions.
const (
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionAdopt   Action = "adopt"   // of a namespace that existed
	ActionDelete  Action = "delete"  // of what the team has no more
	ActionRelease Action = "release" // of a namespace: it stays, and belongs to nobody
	ActionMove    Action = "move"    // of a namespace: it stays, and belongs to another team
)

// Change is one object that is not as it should be: new, drifted or left over.
type Change struct {
	Object driver.Ref `json:"object"`
	Action Action     `json:"action"`
	// Fields are the paths that differ, at most twenty, for an update.
	Fields []string `json:"fields,omitempty"`
	// Done: it was changed. False in a plan, and where it failed.
	Done bool `json:"done,omitempty"`
	// Error is why it was not done.
	Error string `json:"error,omitempty"`

	desired  *driver.Object // nobody prints what is behind a pointer
	uid      string
	revision string
	anew     bool // it is deleted first: what differs cannot be changed
}

// ClusterPlan is what is not as it should be on one cluster.
type ClusterPlan struct {
	Cluster string   `json:"cluster"`
	Changes []Change `json:"changes,omitempty"`
	// Warnings are for people.
	Warnings []string `json:"warnings,omitempty"`
	// Refused are namespaces that are not touched, and why.
	Refused []string `json:"refused,omitempty"`
	// Unknown: the cluster did not answer. Error says why, and LastAnswer is
	// when it last did, zero if it never did.
	Unknown    bool      `json:"unknown,omitempty"`
	Error      string    `json:"error,omitempty"`
	LastAnswer time.Time `json:"lastAnswer,omitzero"`
	// Gone: there is no such cluster any more.
	Gone bool `json:"gone,omitempty"`

	namespaces map[string]string // UIDs of the team's that are there, by name
}

// Clean reports whether the cluster answered and nothing is left to be done.
func (p ClusterPlan) Clean() bool {
	if p.Unknown || p.Error != "" || len(p.Refused) > 0 {
		return false
	}
	for _, c := range p.Changes {
		if !c.Done {
			return false
		}
	}
	return true
}

// Plan is what is not as it should be for a team, by cluster, sorted.
type Plan struct {
	Team     string        `json:"team"`
	Clusters []ClusterPlan `json:"clusters"`
}

// Clean reports whether nothing is left to be done anywhere.
func (p Plan) Clean() bool {
	for _, c := range p.Clusters {
		if !c.Clean() {
			return false
		}
	}
	return true
}

// String is the plan for people, one line for each thing.
func (p Plan) String() string {
	var b strings.Builder
	for _, c := range p.Clusters {
		switch {
		case c.Unknown && c.LastAnswer.IsZero():
			fmt.Fprintf(&b, "%s: unknown, it never answered: %s\n", c.Cluster, c.Error)
		case c.Unknown:
			fmt.Fprintf(&b, "%s: unknown since %s: %s\n", c.Cluster, c.LastAnswer.Format(time.RFC3339), c.Error)
		case c.Error != "":
			fmt.Fprintf(&b, "%s: %s\n", c.Cluster, c.Error)
		case len(c.Changes)+len(c.Refused) == 0:
			fmt.Fprintf(&b, "%s: as it should be\n", c.Cluster)
		}
		b.WriteString(c.details())
	}
	return b.String()
}

// details are what is refused, warned of and to be changed, a line each.
func (c ClusterPlan) details() string {
	var b strings.Builder
	for _, r := range c.Refused {
		fmt.Fprintf(&b, "%s: refused: %s\n", c.Cluster, r)
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "%s: warning: %s\n", c.Cluster, w)
	}
	for _, change := range c.Changes {
		fmt.Fprintf(&b, "%s: %s %s", c.Cluster, change.Action, change.Object)
		if len(change.Fields) > 0 {
			fmt.Fprintf(&b, " (%s)", strings.Join(change.Fields, ", "))
		}
		if change.Error != "" {
			fmt.Fprintf(&b, ": %s", change.Error)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
