// Package team shares clusters out among teams: who is in a team and what each
// member may do, which namespaces it has on which clusters, and how much its
// applications may ask for, on each cluster and over all of them.
//
// It is for platform programs. [Teams] keeps teams in records and makes them so
// on clusters: namespaces with Pod Security levels, quotas, default requests,
// network policies, and the rights of the team's impersonated user ([Identity])
// and of its members, who get short-lived kubeconfigs. [Gate] checks what is to
// be deployed and reserves quota for it in a [Ledger]. [Authorizer] and [Audit]
// are what the other packages ask and tell. [Render], [Check] and [Demand] are
// pure: what a team is on a cluster, what its applications may not contain, and
// what they ask for. [Teams.Run] keeps teams on their clusters as they are
// recorded, and [Teams.Drift] tells how they were last found.
//
//	teams, err := team.New(records, clusters, &team.Options{
//		Installation: "acme", Keys: keys,
//		Authorizer: team.NewAuthorizer(records, &team.AuthorizerOptions{Operators: []string{"root"}}),
//		Auditor:    team.NewAudit(records, nil),
//	})
//	teams = teams.For(appspan.Subject{ID: "root"})
//	_, err = teams.Create(ctx, team.Team{ID: "blue", Quota: cluster.Amounts{"cpu": "10"}})
//	_, warnings, err := teams.Allocate(ctx, "blue", "eu-1", team.Allocation{})
//	plan, err := teams.Reconcile(ctx, "blue")
//
// # Errors
//
// Errors wrap the sentinels of package appspan: ErrInvalid for what
// [Team.Validate] finds, ErrDenied for what the Authorizer does, ErrExhausted,
// as a [*QuotaError], for what a quota does not have, ErrConflict for
// namespaces of others, ErrExists for namespaces that would have to be adopted.
// A cluster that does not answer is no error: it is unknown in the result, with
// the time of its last answer.
//
// # Concurrency
//
// [Teams], [Gate], [Ledger], [Authorizer] and [Audit] are safe for concurrent use, and
// several processes may share the records: everything is changed by
// compare-and-swap. [Teams.Run] works in one of them at a time. No goroutine
// outlives a call. A [Team] is data; nothing
// keeps what it was given.
package team
