package cluster_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInfoIsCachedForItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := cluster.New("eu-1", &stub{info: func(context.Context) (driver.Info, error) {
			calls++
			return driver.Info{UID: "u", Version: "v1"}, nil
		}}, &cluster.Options{InfoTTL: time.Minute})
		ask := func(want int) {
			t.Helper()
			info, err := c.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, "u", info.UID)
			require.Equal(t, want, calls)
		}
		ask(1)
		time.Sleep(59 * time.Second)
		ask(1)
		time.Sleep(time.Second)
		ask(2)
		_, err := c.Refresh(t.Context())
		require.NoError(t, err)
		require.Equal(t, 3, calls)
	})
}

func TestCallersOfInfoAtTheSameTimeShareOneQuestion(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{"its answer": nil, "and its failure": appspan.ErrDenied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				c := cluster.New("eu-1", &stub{info: func(context.Context) (driver.Info, error) {
					calls++
					time.Sleep(time.Second)
					return driver.Info{UID: "u"}, answer
				}}, nil)
				var all sync.WaitGroup
				for range 10 {
					all.Go(func() {
						_, err := c.Info(t.Context())
						assert.ErrorIs(t, err, answer)
					})
				}
				all.Wait()
				require.Equal(t, 1, calls)
			})
		})
	}
}

func TestWhoAskedForInfoMayGiveUpAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := cluster.New("eu-1", &stub{info: func(ctx context.Context) (driver.Info, error) {
			calls++
			select {
			case <-ctx.Done():
				return driver.Info{}, ctx.Err()
			case <-time.After(3 * time.Second):
				return driver.Info{UID: "u"}, nil
			}
		}}, nil)
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			_, err := c.Info(impatient)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
		synctest.Wait()
		all.Go(func() {
			_, err := c.Info(impatient)
			assert.ErrorIs(t, err, context.DeadlineExceeded, "the second waits no longer than it wants")
		})
		info, err := c.Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, "u", info.UID)
		all.Wait()
		require.Equal(t, 2, calls)
	})
}

func TestAnotherClusterUnderTheSameNameIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		uid := "one"
		c := cluster.New("eu-1", &watchStub{
			stub: stub{
				info: func(context.Context) (driver.Info, error) { return driver.Info{UID: uid}, nil },
				get:  func(context.Context, driver.Ref) (driver.Object, error) { return pod("web", "1"), nil },
			},
		}, nil)
		_, err := c.Info(t.Context())
		require.NoError(t, err)

		uid = "two"
		_, err = c.Info(t.Context())
		require.NoError(t, err, "the cached answer is of the right cluster")
		_, err = c.Refresh(t.Context())
		require.ErrorIs(t, err, appspan.ErrPrecondition)
		_, err = c.Info(t.Context())
		require.ErrorIs(t, err, appspan.ErrPrecondition)
		_, err = c.Get(t.Context(), pod("web", "").Ref)
		require.ErrorIs(t, err, appspan.ErrPrecondition, "nothing is done on another cluster")
		for e, err := range c.Watch(t.Context(), cluster.Query{APIVersion: "v1", Kind: "Pod"}) {
			require.NoError(t, err)
			require.Equal(t, cluster.Stale, e.Type)
			require.ErrorIs(t, e.Cause, appspan.ErrPrecondition)
			break
		}

		uid = "one"
		_, err = c.Refresh(t.Context())
		require.NoError(t, err)
		_, err = c.Get(t.Context(), pod("web", "").Ref)
		require.NoError(t, err, "the old one is back")
	})
}

func TestTheKnownUIDOfAClusterIsDemanded(t *testing.T) {
	t.Parallel()
	c := cluster.New("eu-1", &stub{info: func(context.Context) (driver.Info, error) { return driver.Info{UID: "two"}, nil }},
		&cluster.Options{UID: "one"})
	_, err := c.Info(t.Context())
	require.ErrorIs(t, err, appspan.ErrPrecondition)
	require.ErrorContains(t, err, `info eu-1: precondition failed: another cluster answers: its UID is "two", it was "one"`)
}

// narrow is a driver that, as somebody else, may not look at the cluster.
type narrow struct{ stub }

func (n *narrow) As(driver.Identity) (driver.Cluster, error) {
	return &stub{info: func(context.Context) (driver.Info, error) { return driver.Info{UID: "another"}, nil }}, nil
}

func TestAViewSeesTheSameCluster(t *testing.T) {
	t.Parallel()
	calls := 0
	c := cluster.New("eu-1", &narrow{stub{info: func(context.Context) (driver.Info, error) {
		calls++
		return driver.Info{UID: "u"}, nil
	}}}, nil)
	view, err := c.As(driver.Identity{User: "somebody"})
	require.NoError(t, err)
	for _, c := range []*cluster.Cluster{c, view} {
		info, err := c.Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, "u", info.UID)
	}
	require.Equal(t, 1, calls)
	_, err = view.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, calls)
}
