// Package agent is the cluster's end of a tunnel: it connects to a hub and
// passes the hub's requests on to the API server beside it, with credentials of
// its own. Most will run the program cluster/tunnel/cmd/appspan-agent, which is
// this package with flags; it is for programs that hold an agent themselves.
//
//	a, err := agent.New(token, agent.FileKey("agent.key"), target, nil)
//	err = a.Run(ctx)
//
// What the hub may ask for is what the target's credentials may do, less what
// [Options] leave out: to act as somebody else it needs a name that begins with
// one of Options.Impersonate.
//
// # Errors
//
// New refuses what cannot work as appspan.ErrInvalid. Run goes on trying
// whatever the hub says, and tells its Logger and [Agent.Health].
//
// # Concurrency
//
// An Agent runs once. Health may be called at any time. No goroutine outlives
// Run, but for kept connections to the API server.
package agent
