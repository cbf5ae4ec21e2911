package cluster_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
)

func TestASetKnowsItsClusters(t *testing.T) {
	t.Parallel()
	eu, us := &stub{}, &stub{}
	set, err := cluster.NewSet(cluster.New("us-1", us, nil), cluster.New("eu-1", eu, nil))
	require.NoError(t, err)
	require.Equal(t, []string{"eu-1", "us-1"}, set.Names())
	c, err := set.Cluster(t.Context(), "eu-1")
	require.NoError(t, err)
	require.Same(t, eu, c.Driver())
	_, err = set.Cluster(t.Context(), "asia")
	require.ErrorIs(t, err, appspan.ErrNotFound)
	require.EqualError(t, err, `cluster "asia": not found; known are: eu-1, us-1`)
	require.NoError(t, set.Close())
	require.NoError(t, set.Close())
	require.Equal(t, 1, eu.closed)
	require.Equal(t, 1, us.closed)
}

func TestASetRefusesWhatHasNoNameOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, clusters := range map[string][]*cluster.Cluster{
		"nothing":             {nil},
		"no name":             {cluster.New("", &stub{}, nil)},
		"the same name twice": {cluster.New("a", &stub{}, nil), cluster.New("a", &stub{}, nil)},
	} {
		_, err := cluster.NewSet(clusters...)
		require.ErrorIs(t, err, appspan.ErrInvalid, name)
	}
}

// behind is a decorator without abilities of its own.
type behind struct{ driver.Cluster }

func (b behind) Unwrap() driver.Cluster { return b.Cluster }

func TestAsFindsAnAbilityBehindADecorator(t *testing.T) {
	t.Parallel()
	watcher, ok := cluster.As[driver.Watcher](cluster.New("a", behind{&watchStub{}}, nil))
	require.True(t, ok)
	require.NotNil(t, watcher)
	_, ok = cluster.As[driver.Watcher](cluster.New("a", behind{&stub{}}, nil))
	require.False(t, ok)
}

func ExampleNewSet() {
	set, err := cluster.NewSet(cluster.New("eu-1", &stub{}, nil), cluster.New("us-1", &stub{}, nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer set.Close()
	fmt.Println(set.Names())
	_, err = set.Cluster(context.Background(), "eu-2")
	fmt.Println(err)
	// Output:
	// [eu-1 us-1]
	// cluster "eu-2": not found; known are: eu-1, us-1
}
