package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Applications is what the Deployer's installation runs on a cluster, as a
// cluster.Fleet asks for it: set it as FleetOptions.Applications. It asks no
// Authorizer, for the fleet has asked; what it removes is audited.
func (d *Deployer) Applications() cluster.Applications { return applications{d} }

type applications struct{ *Deployer }

// placed is an application in a namespace.
type placed struct{ namespace, name string }

// find lists the applications of the installation on a cluster by their
// ApplySet parents.
func (a applications) find(ctx context.Context, c *cluster.Cluster) ([]placed, error) {
	return a.parents(ctx, c, "", "!"+labelRecycled)
}

// parents lists the ApplySet parents of the installation that a selector
// chooses, in a namespace or in all.
func (d *Deployer) parents(ctx context.Context, c *cluster.Cluster, namespace, selector string) ([]placed, error) {
	var out []placed
	q := cluster.Query{APIVersion: kindSecret.APIVersion, Kind: kindSecret.Kind, Namespace: namespace, Projection: driver.Metadata,
		Labels: appmodel.LabelInstallation + "=" + d.opts.Installation + "," + selector, Fields: "type=" + recordType}
	for obj, err := range c.List(ctx, q) {
		if err != nil {
			return nil, err
		}
		app := placed{obj.Namespace, obj.Labels[appmodel.LabelApplication]}
		s := scope{installation: d.opts.Installation, application: app.name, namespace: app.namespace}
		if obj.Name == s.parent() { // labels can be copied, the name is bound to them
			out = append(out, app)
		}
	}
	slices.SortFunc(out, func(x, y placed) int {
		return cmp.Or(cmp.Compare(x.namespace, y.namespace), cmp.Compare(x.name, y.name))
	})
	return out, nil
}

// Running implements cluster.Applications.
func (a applications) Running(ctx context.Context, c *cluster.Cluster) ([]string, error) {
	found, err := a.find(ctx, c)
	names := make([]string, len(found))
	for i, app := range found {
		names[i] = app.namespace + "/" + app.name
	}
	return names, err
}

// Prune implements cluster.Applications.
func (a applications) Prune(ctx context.Context, c *cluster.Cluster) ([]string, error) {
	found, err := a.find(ctx, c)
	if err != nil {
		return nil, err
	}
	alone := *a.Deployer
	alone.clusters, alone.opts.Authorizer, alone.opts.Journal = only{c}, appspan.AllowAll{}, nil
	var removed []string
	var errs []error
	for _, app := range found {
		to := Target{Clusters: []string{c.Name()}, Namespace: app.namespace}
		if _, err := alone.Remove(ctx, app.name, to, nil, nil); err != nil {
			errs = append(errs, fmt.Errorf("%s/%s: %w", app.namespace, app.name, err))
			continue
		}
		removed = append(removed, app.namespace+"/"+app.name)
	}
	return removed, errors.Join(errs...)
}

// only is one cluster under its own name.
type only struct{ cluster *cluster.Cluster }

func (o only) Cluster(_ context.Context, name string) (*cluster.Cluster, error) {
	if name != o.cluster.Name() {
		return nil, fmt.Errorf("cluster %q: %w", name, appspan.ErrNotFound)
	}
	return o.cluster, nil
}
