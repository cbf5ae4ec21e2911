package refserver

import (
	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/members"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/seal"
)

// Parts are the parts of the SDK that a Server serves, over the same records.
// [Open] puts them together; a program that has them already gives its own to
// [New]. All but Tunnel and Members are required.
type Parts struct {
	Records      *storage.Records
	Keys         *seal.Keyring
	Authorizer   appspan.Authorizer
	Audit        *team.Audit
	Journal      *journal.Journal
	Fleet        *cluster.Fleet
	Teams        *team.Teams
	Deployer     *deploy.Deployer
	Environments *deploy.Environments
	Pipeline     *deploy.Pipeline
	Keeper       *deploy.Keeper
	Overview     *deploy.Overview
	Tunnel       *tunnel.Server
	Members      *members.Members
}

// For is the parts as a subject sees them.
func (p *Parts) For(subject appspan.Subject) *Parts {
	view := *p
	view.Fleet = p.Fleet.For(subject)
	view.Teams = p.Teams.For(subject)
	view.Deployer = p.Deployer.For(subject)
	view.Environments = p.Environments.For(subject)
	view.Pipeline = p.Pipeline.For(subject)
	view.Overview = p.Overview.For(subject)
	view.Keeper = p.Keeper.For(subject)
	return &view
}
