package deploy

import (
	"context"
	"errors"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Gate is what everything passes that is deployed for a team; *team.Gate is
// one. An application is known as "namespace/name".
type Gate interface {
	// Admit lets an application begin to become objects on a cluster of so
	// many nodes, and reserves what they ask for, or says why not
	// (appspan.ErrDenied, appspan.ErrExhausted). It is idempotent.
	Admit(ctx context.Context, team, application, cluster string, nodes int, objects []driver.Object) error
	// Settle says that these objects are what there is of it now; none: it is
	// gone.
	Settle(ctx context.Context, team, application, cluster string, nodes int, objects []driver.Object) error
}

// labelTeam, on a namespace, is the team that has it; see package cluster/team.
const labelTeam = "appspan.dev/team"

// team is whose application passes the gate, or nobody's. Who does not name it
// does not get around it: the namespace says whose it is.
func (a *applier) team() string {
	if a.deployer.opts.Gate == nil {
		return ""
	}
	team, l := a.plan.Target.Team, a.fresh.work.live
	if team == "" && l.namespace != nil && l.namespace.Labels[appmodel.LabelInstallation] == l.scope.installation {
		team = l.namespace.Labels[labelTeam]
	}
	return team
}

// admit asks the gate before anything is written.
func (a *applier) admit(ctx context.Context) error {
	team := a.team()
	if team == "" {
		return nil
	}
	l := a.fresh.work.live
	return a.unlessGone(a.deployer.opts.Gate.Admit(ctx, team, l.scope.namespace+"/"+l.scope.application, a.cluster.Name(), len(l.info.Nodes), a.asked()))
}

// unlessGone is a gate's error, unless it is that a namespace's label has
// outlived its team.
func (a *applier) unlessGone(err error) error {
	if errors.Is(err, appspan.ErrNotFound) && a.plan.Target.Team == "" {
		return nil
	}
	return err
}

// settle tells the gate what there is after an apply that went well. What one
// that did not may have left is held until the next.
func (a *applier) settleGate(ctx context.Context, failed error) error {
	team := a.team()
	if failed != nil || team == "" {
		return nil
	}
	ctx, cancel := draining(ctx)
	defer cancel()
	l := a.fresh.work.live
	objects := a.asked()
	if a.plan.Kind == KindRemove {
		objects = a.keptObjects()
	}
	return a.unlessGone(a.deployer.opts.Gate.Settle(ctx, team, l.scope.namespace+"/"+l.scope.application, a.cluster.Name(), len(l.info.Nodes), objects))
}

// asked are the objects of the application as rendered.
func (a *applier) asked() []driver.Object {
	objects := make([]driver.Object, len(a.fresh.work.objects))
	for i, o := range a.fresh.work.objects {
		objects[i] = o.Object.Object
	}
	return objects
}

// keptObjects are what a removal leaves.
func (a *applier) keptObjects() []driver.Object {
	var objects []driver.Object
	for _, c := range a.fresh.Changes {
		if obj, ok := a.fresh.work.live.find(c.Object); ok && c.Action == ActionKeep {
			objects = append(objects, obj)
		}
	}
	return objects
}
