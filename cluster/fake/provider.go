package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Provider opens clusters in memory by the name that they are registered
// under, for a cluster.Fleet. Closing what it opens leaves the cluster as it
// is, as closing a connection does: whoever made it closes it. It must not
// change while it is used.
type Provider map[string]*Cluster

// Open implements driver.Provider; an unknown name is appspan.ErrInvalid.
func (p Provider) Open(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
	c := p[spec.Name]
	if c == nil {
		return nil, fmt.Errorf("%w: there is no cluster %q in memory; there are %s", appspan.ErrInvalid, spec.Name, strings.Join(slices.Sorted(maps.Keys(p)), ", "))
	}
	return connection{c}, nil
}

// connection is a cluster that closing leaves alone.
type connection struct{ driver.Cluster }

// Close does nothing.
func (connection) Close() error { return nil }

// Unwrap returns the cluster.
func (c connection) Unwrap() driver.Cluster { return c.Cluster }
