package fake_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
)

func TestAProviderOpensItsClustersAgainAndAgain(t *testing.T) {
	t.Parallel()
	c := fake.New(nil)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	p := fake.Provider{"eu-1": c}
	for range 2 {
		opened, err := p.Open(t.Context(), driver.Spec{Name: "eu-1"})
		require.NoError(t, err)
		_, err = opened.Info(t.Context())
		require.NoError(t, err)
		_, watches := driver.As[driver.Watcher](opened)
		require.True(t, watches, "all that the cluster can do is there")
		require.NoError(t, opened.Close())
	}
	_, err := p.Open(t.Context(), driver.Spec{Name: "us-1"})
	require.ErrorIs(t, err, appspan.ErrInvalid)
	require.ErrorContains(t, err, "there are eu-1")
}
