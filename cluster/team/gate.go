package team

import (
	"context"
	"fmt"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage"
)

// Gate is what everything passes that is to run for a team: what it contains is
// checked, and what it asks for is reserved. It asks no Authorizer: the SDK
// calls it for what was authorized. It is safe for concurrent use.
type Gate struct {
	records *storage.Records
	ledger  *Ledger
}

// NewGate returns a gate over the records that [Teams] work on.
func NewGate(records *storage.Records) *Gate {
	return &Gate{records: records, ledger: NewLedger(records)}
}

// Ledger is where the gate reserves.
func (g *Gate) Ledger() *Ledger { return g.ledger }

// RefusedError is why the gate does not let an application in. It wraps
// appspan.ErrDenied.
type RefusedError struct {
	Team, Application, Cluster string
	Refusals                   []Refusal
}

// Error tells the first five refusals.
func (e *RefusedError) Error() string {
	var texts []string
	for i, r := range e.Refusals {
		if i == 5 {
			texts = append(texts, fmt.Sprintf("and %d more", len(e.Refusals)-i))
			break
		}
		texts = append(texts, r.String())
	}
	return fmt.Sprintf("application %s of team %s on %s: %s: %s", e.Application, e.Team, e.Cluster, appspan.ErrDenied, strings.Join(texts, "; "))
}

// Unwrap returns appspan.ErrDenied.
func (e *RefusedError) Unwrap() error { return appspan.ErrDenied }

// Admit lets an application, known as "namespace/name", begin to become
// objects on a cluster of so many nodes. What it may not contain, host names
// that are allocated to other teams among it, is a [*RefusedError], what the quota does not have a [*QuotaError]. What it held
// before it holds until Settle. It is idempotent.
func (g *Gate) Admit(ctx context.Context, team, application, clusterName string, nodes int, objects []driver.Object) error {
	d, err := load(ctx, g.records, team)
	if err != nil {
		return err
	}
	taken, err := g.taken(ctx, d.Team, clusterName)
	if err != nil {
		return err
	}
	if refusals := check(d.Team, clusterName, objects, taken); len(refusals) > 0 {
		return &RefusedError{Team: team, Application: application, Cluster: clusterName, Refusals: refusals}
	}
	want, err := Demand(objects, d.demand(clusterName, nodes))
	if err != nil {
		return fmt.Errorf("application %s of team %s on %s: %w", application, team, clusterName, err)
	}
	return g.ledger.Reserve(ctx, team, application, clusterName, want)
}

// taken are the host names that are allocated to other teams on a cluster, for
// a team that has none allocated.
func (g *Gate) taken(ctx context.Context, t Team, clusterName string) ([]string, error) {
	if len(t.Clusters[clusterName].Hosts) > 0 {
		return nil, nil
	}
	var out []string
	for rec, err := range g.records.List(ctx, teamPrefix) {
		var d document
		if err == nil {
			d, err = decodeTeam(rec)
		}
		if err != nil {
			return nil, fmt.Errorf("host names of other teams: %w", err)
		}
		if d.ID != t.ID {
			out = append(out, d.Clusters[clusterName].Hosts...)
		}
	}
	return out, nil
}

// Settle says that a change has ended, well or not, and that these objects are
// what there is of the application now: none frees all that it held, claims
// that were kept hold what they ask for.
func (g *Gate) Settle(ctx context.Context, team, application, clusterName string, nodes int, objects []driver.Object) error {
	if len(objects) == 0 {
		return g.ledger.Release(ctx, team, application, clusterName)
	}
	d, err := load(ctx, g.records, team)
	if err != nil {
		return err
	}
	now, err := Demand(objects, d.demand(clusterName, nodes))
	if err != nil {
		return fmt.Errorf("application %s of team %s on %s: %w", application, team, clusterName, err)
	}
	return g.ledger.Settle(ctx, team, application, clusterName, now)
}
