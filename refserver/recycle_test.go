package refserver_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
)

func TestTheRecycleBinOfAClusterThatIsGoneHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	nets := map[string]*fault.Cluster{}
	s := open(t, func(o *refserver.Options) {
		fast(o)
		fakes := o.Providers["fake"]
		o.Providers = map[string]driver.Provider{"fake": driver.ProviderFunc(func(ctx context.Context, spec driver.Spec) (driver.Cluster, error) {
			c, err := fakes.Open(ctx, spec)
			if err == nil {
				nets[spec.Name] = fault.New(c)
				c = nets[spec.Name]
			}
			return c, err
		})}
	})
	c := s.client("admin", "")
	do := doing(t, c)
	do(c.Deploy(t.Context(), client.Deployment{Document: client.Document{Text: shop}, Target: deploy.Target{Clusters: []string{"a"}, Namespace: "shop"}}))
	do(c.Remove(t.Context(), "shop", "shop", &client.RemoveOptions{Recycle: true}))
	nets["b"].Add(fault.Rule{Err: fault.Lost})
	var bin client.List[deploy.Recycled]
	s.send("admin", "GET", "/api/v1/recycled", nil).into(t, 200, &bin)
	require.Len(t, bin.Items, 1)
	require.Len(t, bin.Unreachable, 1)
	require.Equal(t, "b", bin.Unreachable[0].Cluster)
	require.False(t, bin.Unreachable[0].Since.IsZero())
}
