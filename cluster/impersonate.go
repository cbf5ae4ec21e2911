package cluster

import (
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// As returns the cluster as the server shows it to id: its calls are judged as
// id's. A driver that cannot is appspan.ErrUnsupported. Closing the result
// does not close c.
func (c *Cluster) As(id driver.Identity) (*Cluster, error) {
	impersonator, ok := As[driver.Impersonator](c)
	if !ok {
		return nil, fmt.Errorf("cluster %s: %w: the driver cannot act as somebody else", c.name, appspan.ErrUnsupported)
	}
	view, err := impersonator.As(id)
	if err != nil {
		return nil, fmt.Errorf("cluster %s as %s: %w", c.name, id.User, err)
	}
	opts := c.opts
	c.info.mu.Lock()
	opts.UID = c.info.uid
	c.info.mu.Unlock()
	return New(c.name, view, &opts), nil
}
