package deploy_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

// mute is a driver that stops to answer: calls hang until their context ends,
// or for a time.
type mute struct {
	driver.Cluster
	hang  atomic.Bool
	delay time.Duration // zero: for ever
}

func (m *mute) wait(ctx context.Context) error {
	if !m.hang.Load() {
		return nil
	}
	var after <-chan time.Time
	if m.delay > 0 {
		after = time.After(m.delay)
	}
	select {
	case <-after:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", appspan.ErrUnavailable, ctx.Err())
	}
}

func (m *mute) Info(ctx context.Context) (driver.Info, error) {
	if err := m.wait(ctx); err != nil {
		return driver.Info{}, err
	}
	return m.Cluster.Info(ctx)
}

func (m *mute) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	if err := m.wait(ctx); err != nil {
		return driver.Object{}, err
	}
	return m.Cluster.Apply(ctx, obj, opts)
}

func (m *mute) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	if err := m.wait(ctx); err != nil {
		return driver.Object{}, err
	}
	return m.Cluster.Get(ctx, ref)
}

func (m *mute) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	if err := m.wait(ctx); err != nil {
		return driver.Page{}, err
	}
	return m.Cluster.List(ctx, q)
}

// withBroken makes one cluster of a world dead and one slow, both after they
// have answered once.
func withBroken(w *world, dead, slow string) *world {
	w.t.Helper()
	var members []*cluster.Cluster
	for name, f := range w.fakes {
		var d driver.Cluster = f
		var m *mute
		if name == dead || name == slow {
			m = &mute{Cluster: f}
			if name == slow {
				m.delay = 45 * time.Second
			}
			d = m
		}
		c := cluster.New(name, d, &cluster.Options{Timeout: 10 * time.Second})
		if m != nil {
			_, err := c.Info(w.t.Context())
			require.NoError(w.t, err)
			m.hang.Store(true)
		}
		members = append(members, c)
	}
	set, err := cluster.NewSet(members...)
	require.NoError(w.t, err)
	w.set = set
	w.Deployer = w.deployer("test")
	return w
}

func TestAClusterThatStopsToAnswerIsUnknownWithItsAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fake.New(nil)
		m := &mute{Cluster: f}
		set, err := cluster.NewSet(cluster.New("a", m, &cluster.Options{Timeout: 5 * time.Second}))
		require.NoError(t, err)
		defer set.Close()
		d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: newKeys(t), Authorizer: appspan.AllowAll{}})
		require.NoError(t, err)
		_, err = d.Deploy(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		s, err := d.Status(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, status.Ready, s.Clusters[0].Value)
		m.hang.Store(true)
		time.Sleep(time.Hour) // of the bubble's clock
		s, err = d.Status(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, status.Unknown, s.Clusters[0].Value)
		require.Equal(t, status.Ready, s.Clusters[0].LastKnown)
		require.False(t, s.Clusters[0].Fresh)
		require.GreaterOrEqual(t, s.Clusters[0].Age, time.Hour)
		require.NotEmpty(t, s.Clusters[0].Components, "what was known is still there")
		p, err := d.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.Equal(t, deploy.ClusterUnknown, p.Clusters[0].State)
		require.ErrorIs(t, p.Err(), appspan.ErrUnavailable)
	})
}

// dying is a driver whose process ends after some writes: from then on every
// call fails, and nobody is there to clean up.
type dying struct {
	driver.Cluster
	left atomic.Int64
	done bool // the write during which it dies is made, and nobody hears of it
}

func (d *dying) dead() error {
	if d.left.Load() < 0 {
		return context.Canceled
	}
	return nil
}

func (d *dying) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	left := d.left.Add(-1)
	if left == -1 && d.done {
		_, _ = d.Cluster.Apply(ctx, obj, opts)
	}
	if left < 0 {
		return driver.Object{}, context.Canceled
	}
	return d.Cluster.Apply(ctx, obj, opts)
}

func (d *dying) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) error {
	left := d.left.Add(-1)
	if left == -1 && d.done {
		_ = d.Cluster.Delete(ctx, ref, opts)
	}
	if left < 0 {
		return context.Canceled
	}
	return d.Cluster.Delete(ctx, ref, opts)
}

func (d *dying) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	if err := d.dead(); err != nil {
		return driver.Page{}, err
	}
	return d.Cluster.List(ctx, q)
}

func TestAnApplyThatDiesAnywhereIsTakenUp(t *testing.T) {
	t.Parallel()
	for n := range 50 {
		point, done := n/2, n%2 == 1
		t.Run(fmt.Sprintf("after %d writes, the next one made: %v", point, done), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := fake.New(nil)
				d := &dying{Cluster: f, done: done}
				keys := newKeys(t)
				open := func(d driver.Cluster) *deploy.Deployer {
					set, err := cluster.NewSet(cluster.New("a", d, nil))
					require.NoError(t, err)
					out, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: keys, Authorizer: appspan.AllowAll{}, Concurrency: 3})
					require.NoError(t, err)
					return out
				}
				defer f.Close()
				d.left.Store(int64(point))
				_, first := open(d).Deploy(t.Context(), shop(t), on("a"), &deploy.DeployOptions{Apply: deploy.ApplyOptions{Wait: deploy.WaitWritten}})
				second := open(f)
				r, err := second.Deploy(t.Context(), shop(t), on("a"), nil)
				require.NoError(t, err)
				require.Equal(t, status.Ready, r.Clusters[0].Status.Value)
				releases, err := second.Releases(t.Context(), "shop", on("a"))
				require.NoError(t, err)
				require.Equal(t, deploy.ReleaseDeployed, releases["a"][0].State)
				if first != nil && len(releases["a"]) > 1 {
					require.Contains(t, []deploy.ReleaseState{deploy.ReleaseInterrupted, deploy.ReleaseFailed}, releases["a"][1].State)
				}
				p, err := second.Plan(t.Context(), shop(t), on("a"), nil)
				require.NoError(t, err)
				require.True(t, p.Empty())
				d.left.Store(int64(point)) // and a removal too
				_, _ = open(d).Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
				_, err = second.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
				require.NoError(t, err)
				_, err = f.Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"})
				require.ErrorIs(t, err, appspan.ErrNotFound)
			})
		})
	}
}
