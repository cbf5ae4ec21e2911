package team

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// AuthorizerOptions shape an [Authorizer]. The zero value, like nil, is the
// default.
type AuthorizerOptions struct {
	// Operators are IDs of subjects that may do everything, teams or not; a
	// subject that acts for a team is no operator meanwhile.
	Operators []string
	// OperatorGroups are groups whose subjects are operators.
	OperatorGroups []string
	// TTL is for how long a team is remembered: what is taken from a member
	// ends after at most that, what is granted counts at once; default 5 s,
	// negative remembers nothing.
	TTL time.Duration
}

// Authorizer decides by the roles that members have in their teams, as an
// appspan.Authorizer. A member may do in a team what the permissions of the
// role say, on clusters and in namespaces that are the team's; everything else
// is denied: other teams, what belongs to no team, and what only operators may.
// It is safe for concurrent use.
type Authorizer struct {
	records *storage.Records
	opts    AuthorizerOptions

	mu    sync.Mutex
	known map[string]remembered
}

type remembered struct {
	team document
	at   time.Time
}

// maxRemembered bounds the teams that are remembered.
const maxRemembered = 10_000

// NewAuthorizer returns an Authorizer over the records that [Teams] work on.
func NewAuthorizer(records *storage.Records, opts *AuthorizerOptions) *Authorizer {
	a := &Authorizer{records: records, known: map[string]remembered{}}
	if opts != nil {
		a.opts = *opts
		a.opts.Operators, a.opts.OperatorGroups = slices.Clone(opts.Operators), slices.Clone(opts.OperatorGroups)
	}
	if a.opts.TTL == 0 {
		a.opts.TTL = 5 * time.Second
	}
	return a
}

// Authorize implements appspan.Authorizer.
func (a *Authorizer) Authorize(ctx context.Context, s appspan.Subject, access appspan.Access) error {
	switch {
	case s.ID == "":
		return denied(s, access, "it is nobody", "bind a Subject that has an ID")
	case a.operator(s):
		return nil
	case s.Team != "" && access.Team != s.Team:
		return denied(s, access, fmt.Sprintf("it acts for team %q and this is of team %q", s.Team, access.Team), "act for the other team, or for none")
	case access.Team == "":
		return denied(s, access, "it is no operator, and this is of no team", "name the team, or ask an operator")
	}
	if t, ok := a.remembered(access.Team); ok && decide(t, s, access) == nil {
		return nil
	}
	t, err := a.read(ctx, access.Team) // nobody is denied what they were just granted
	if errors.Is(err, appspan.ErrNotFound) || errors.Is(err, appspan.ErrInvalid) {
		return denied(s, access, fmt.Sprintf("it is no member of team %q", access.Team), "ask an admin of the team")
	}
	if err != nil {
		return fmt.Errorf("whether %s may %s: %w", s, access, err)
	}
	return decide(t, s, access)
}

func denied(s appspan.Subject, access appspan.Access, reason, next string) error {
	return fmt.Errorf("%s may not %s: %w: %s; %s", s, access, appspan.ErrDenied, reason, next)
}

// decide is what a team says of what somebody does in its name.
func decide(t document, s appspan.Subject, access appspan.Access) error {
	deny := func(reason, next string) error { return denied(s, access, reason, next) }
	m, ok := t.Member(s.ID)
	if !ok { // as for a team that there is not: who is no member does not learn which there are
		return deny(fmt.Sprintf("it is no member of team %q", access.Team), "ask an admin of the team")
	}
	if t.Deleting != nil && access.Verb != appspan.VerbRead {
		return deny("the team is being deleted", "nothing can be changed any more")
	}
	p := permissionOf(access)
	if role, ok := t.Role(m.Role); !ok || !role.Can(p) {
		return deny(fmt.Sprintf("role %q does not have permission %q", m.Role, p), "ask an admin of the team for another role")
	}
	_, there := t.Clusters[access.Cluster]
	switch {
	case access.Cluster != "" && !there:
		return deny(fmt.Sprintf("the team has nothing on cluster %q", access.Cluster), "have a namespace there allocated")
	case access.Namespace != "" && !t.has(access.Cluster, access.Namespace):
		return deny(fmt.Sprintf("namespace %q is not the team's there", access.Namespace), "use one that is allocated to the team")
	}
	return nil
}

func (a *Authorizer) operator(s appspan.Subject) bool {
	return s.Team == "" && (slices.Contains(a.opts.Operators, s.ID) ||
		slices.ContainsFunc(s.Groups, func(g string) bool { return slices.Contains(a.opts.OperatorGroups, g) }))
}

// remembered is a team that was read within the TTL.
func (a *Authorizer) remembered(id string) (document, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.known[id]
	return r.team, ok && time.Since(r.at) < a.opts.TTL
}

// read reads a team, and remembers it.
func (a *Authorizer) read(ctx context.Context, id string) (document, error) {
	at := time.Now() // what is read is no older
	d, err := load(ctx, a.records, id)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		delete(a.known, id)
		return document{}, err
	}
	if len(a.known) >= maxRemembered {
		clear(a.known)
	}
	a.known[id] = remembered{d, at}
	return d, nil
}
