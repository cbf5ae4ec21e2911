package appspan

import (
	"context"
	"fmt"
	"time"
)

// Subject is who acts: a person or a program, perhaps for a team. The zero
// Subject is nobody and may do nothing.
type Subject struct {
	// ID names the person or program: a stable id of the embedding program.
	ID string `json:"id"`
	// Team is the team for which it acts, empty for none.
	Team string `json:"team,omitempty"`
	// Groups are further names that an Authorizer may look at.
	Groups []string `json:"groups,omitempty"`
}

// IsZero reports whether the subject is nobody.
func (s Subject) IsZero() bool { return s.ID == "" && s.Team == "" && len(s.Groups) == 0 }

// String is the subject as logs and audit entries show it.
func (s Subject) String() string {
	if s.Team == "" {
		return s.ID
	}
	return s.ID + "@" + s.Team
}

// Verb is what somebody wants to do to a resource.
type Verb string

// The verbs that the SDK asks an [Authorizer] about.
const (
	VerbRead   Verb = "read"
	VerbCreate Verb = "create"
	VerbUpdate Verb = "update"
	VerbDelete Verb = "delete"
	VerbDeploy Verb = "deploy"
	VerbBind   Verb = "bind"
	VerbExec   Verb = "exec"
	// VerbApprove lets something pass the gates of an environment, and change
	// them.
	VerbApprove Verb = "approve"
)

// Access is one question to an [Authorizer].
type Access struct {
	Verb Verb `json:"verb"`
	// Resource is the kind of thing: "application", "cluster", "team", ….
	Resource string `json:"resource"`
	// Team, Cluster, Namespace and Application say where; empty is "none" or
	// "any".
	Team        string `json:"team,omitempty"`
	Cluster     string `json:"cluster,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	Application string `json:"application,omitempty"`
}

// String is the access as an error shows it.
func (a Access) String() string {
	s := fmt.Sprintf("%s %s", a.Verb, a.Resource)
	if a.Application != "" {
		s += " " + a.Application
	}
	if a.Cluster != "" {
		s += " on " + a.Cluster
	}
	return s
}

// Authorizer decides. The SDK itself asks, so that no embedding can forget to.
// It returns nil when the subject may, an error that wraps [ErrDenied] when it
// may not, and any other error when it cannot tell, which denies too.
// Implementations are safe for concurrent use.
type Authorizer interface {
	Authorize(ctx context.Context, subject Subject, access Access) error
}

// AllowAll is an Authorizer that lets everybody do everything, nobody
// included. It has to be asked for by name: it is right for programs whose
// users are all trusted, and for tests.
type AllowAll struct{}

// Authorize returns nil.
func (AllowAll) Authorize(context.Context, Subject, Access) error { return nil }

// Authorize asks a for the subject's access. A nil Authorizer denies
// everything, and so does a zero Subject with any Authorizer other than
// [AllowAll].
func Authorize(ctx context.Context, a Authorizer, subject Subject, access Access) error {
	if a == nil {
		return fmt.Errorf("%s: %w: no Authorizer is set; pass one, or appspan.AllowAll{}", access, ErrDenied)
	}
	if _, open := a.(AllowAll); !open && subject.IsZero() {
		return fmt.Errorf("%s: %w: nobody is acting; bind a Subject with For", access, ErrDenied)
	}
	return a.Authorize(ctx, subject, access)
}

// AuditEntry is one mutation, told once it has ended.
type AuditEntry struct {
	Time    time.Time `json:"time"`
	Subject Subject   `json:"subject"`
	Access  Access    `json:"access"`
	// PlanHash is the hash of the plan that was applied, or empty.
	PlanHash string `json:"planHash,omitempty"`
	// Outcome is "ok" or the error's text; it never holds a secret value.
	Outcome string `json:"outcome"`
}

// Auditor records mutations. An error from it fails the call whose mutation
// could not be recorded, after the mutation; callers see both. Implementations
// are safe for concurrent use.
type Auditor interface {
	Audit(ctx context.Context, entry AuditEntry) error
}
