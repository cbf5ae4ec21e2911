package cluster

import (
	"context"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// As returns the cluster as the server shows it to id: its calls are judged as
// id's, but for Info, which is c's own: who may not look at nodes can be
// planned for all the same, and sees the same cluster. A driver that cannot is
// appspan.ErrUnsupported. Closing the result does not close c.
func (c *Cluster) As(id driver.Identity) (*Cluster, error) {
	impersonator, ok := As[driver.Impersonator](c)
	if !ok {
		return nil, fmt.Errorf("cluster %s: %w: the driver cannot act as somebody else", c.name, appspan.ErrUnsupported)
	}
	d, err := impersonator.As(id)
	if err != nil {
		return nil, fmt.Errorf("cluster %s as %s: %w", c.name, id.User, err)
	}
	as := New(c.name, view{d, c.driver}, &c.opts)
	as.info, as.labels = c.info, c.labels
	return as, nil
}

// view is a driver that acts as somebody else.
type view struct {
	driver.Cluster
	of driver.Cluster
}

// Info is what the cluster itself sees.
func (v view) Info(ctx context.Context) (driver.Info, error) { return v.of.Info(ctx) }

// Unwrap returns the driver inside.
func (v view) Unwrap() driver.Cluster { return v.Cluster }
