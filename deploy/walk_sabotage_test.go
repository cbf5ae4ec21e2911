package deploy_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
)

// saboteur is a cluster that does what it is told, but for some calls.
type saboteur struct {
	driver.Cluster
	apply  func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error)
	delete func(ctx context.Context, c driver.Cluster, ref driver.Ref, o driver.DeleteOptions) error
}

func (s saboteur) Unwrap() driver.Cluster { return s.Cluster }

func (s saboteur) Apply(ctx context.Context, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
	if s.apply == nil {
		return s.Cluster.Apply(ctx, obj, o)
	}
	return s.apply(ctx, s.Cluster, obj, o)
}

func (s saboteur) Delete(ctx context.Context, ref driver.Ref, o driver.DeleteOptions) error {
	if s.delete == nil {
		return s.Cluster.Delete(ctx, ref, o)
	}
	return s.delete(ctx, s.Cluster, ref, o)
}

// applying spoils how objects of a kind are written.
func applying(kind string, spoiled func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error)) func(*walk, string, driver.Cluster) driver.Cluster {
	return func(_ *walk, _ string, d driver.Cluster) driver.Cluster {
		return saboteur{Cluster: d, apply: func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			if obj.Kind != kind {
				return c.Apply(ctx, obj, o)
			}
			return spoiled(ctx, c, obj, o)
		}}
	}
}

// deleting spoils how objects of a kind are deleted.
func deleting(kind string, spoiled func(ctx context.Context, c driver.Cluster, ref driver.Ref, o driver.DeleteOptions) error) func(*walk, string, driver.Cluster) driver.Cluster {
	return func(_ *walk, _ string, d driver.Cluster) driver.Cluster {
		return saboteur{Cluster: d, delete: func(ctx context.Context, c driver.Cluster, ref driver.Ref, o driver.DeleteOptions) error {
			if ref.Kind != kind {
				return c.Delete(ctx, ref, o)
			}
			return spoiled(ctx, c, ref, o)
		}}
	}
}

// pretend answers as if an object had been written.
func pretend(obj driver.Object) (driver.Object, error) {
	obj.UID, obj.Revision, obj.Generation = "pretended-"+obj.Name, "1", 1
	return obj, nil
}

// rewritten applies an object with another text in the place of one.
func rewritten(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions, was, is string) (driver.Object, error) {
	obj.JSON = []byte(strings.ReplaceAll(string(obj.JSON), was, is))
	return c.Apply(ctx, obj, o)
}

func TestTheWalkCatchesWhoeverCheatsAndSaysAtWhat(t *testing.T) {
	if racing {
		t.Skip("thousands of steps; run it without the race detector, as make unit does")
	}
	t.Parallel()
	for name, cheat := range map[string]struct {
		spoil func(*walk, string, driver.Cluster) driver.Cluster
		of    aspect
	}{
		"a write is dropped": {applying("NetworkPolicy", func(_ context.Context, _ driver.Cluster, obj driver.Object, _ driver.ApplyOptions) (driver.Object, error) {
			return pretend(obj)
		}), lost},
		"a write goes to another namespace": {applying("NetworkPolicy", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			was := obj.Namespace
			obj.Namespace = "elsewhere"
			return rewritten(ctx, c, obj, o, `"namespace":"`+was+`"`, `"namespace":"elsewhere"`)
		}), misplaced},
		"a write goes to another application": {applying("NetworkPolicy", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			was := obj.Name
			obj.Name = "x" + was
			return rewritten(ctx, c, obj, o, `"name":"`+was, `"name":"x`+was)
		}), misplaced},
		"one object more is written": {applying("ConfigMap", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			more := obj
			more.Name += "-more"
			if _, err := rewritten(ctx, c, more, driver.ApplyOptions{Manager: o.Manager, Force: true}, `"`+obj.Name+`"`, `"`+more.Name+`"`); err != nil {
				return driver.Object{}, err
			}
			return c.Apply(ctx, obj, o)
		}), leaked},
		"a label is lost": {applying("Service", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			return rewritten(ctx, c, obj, o, `"`+appmodel.LabelInstallation+`"`, `"example.com/was"`)
		}), unmarked},
		"another image is written": {applying("Deployment", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			return rewritten(ctx, c, obj, o, "registry.example.com/web:", "registry.example.com/web:1")
		}), outdated},
		"another configuration is written": {applying("ConfigMap", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			return rewritten(ctx, c, obj, o, `"GREETING":"`, `"GREETING":"o`)
		}), outdated},
		"a replica more makes a claim": {applying("StatefulSet", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			if obj.Namespace == "one" { // where that claim is somebody's
				return c.Apply(ctx, obj, o)
			}
			return rewritten(ctx, c, obj, o, `"replicas":1`, `"replicas":2`)
		}), claims},
		"a number of replicas is one more": {applying("Deployment", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			return rewritten(ctx, c, obj, o, `"replicas":`, `"replicas":1`)
		}), miscounted},
		"a release is not written": {applying("Secret", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			if obj.Labels["appspan.dev/release-of"] != "" || strings.Contains(string(obj.JSON), `"appspan.dev/release-of"`) {
				return pretend(obj)
			}
			return c.Apply(ctx, obj, o)
		}), history},
		"a generated secret is written again": {applying("Deployment", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			if o.IfUID == "" {
				return c.Apply(ctx, obj, o)
			}
			application := obj.Labels[appmodel.LabelApplication]
			other, err := driver.ParseObject([]byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"` + application + `-db","namespace":"` + obj.Namespace + `"},"data":{"password":"c2VjcmV0"}}`))
			if err == nil {
				_, err = driverOf[*audit](c).Cluster.Apply(ctx, other, driver.ApplyOptions{Manager: "somebody", Force: true})
			}
			if err != nil {
				return driver.Object{}, err
			}
			return c.Apply(ctx, obj, o)
		}), rekeyed},
		"something of others is deleted": {deleting("NetworkPolicy", func(ctx context.Context, c driver.Cluster, ref driver.Ref, o driver.DeleteOptions) error {
			_ = driverOf[*audit](c).Cluster.Delete(ctx, driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "one", Name: "shop-notes"}, driver.DeleteOptions{})
			return c.Delete(ctx, ref, o)
		}), foreign},
		"something of others is changed": {applying("Ingress", func(ctx context.Context, c driver.Cluster, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
			theirs, err := driver.ParseObject([]byte(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"shop-web","namespace":"elsewhere","labels":{"touched":"yes"}}}`))
			if err == nil {
				_, err = driverOf[*audit](c).Cluster.Apply(ctx, theirs, driver.ApplyOptions{Manager: "appspan-test-shop"})
			}
			if err != nil {
				return driver.Object{}, err
			}
			return c.Apply(ctx, obj, o)
		}), foreign},
		"a claim is deleted": {deleting("StatefulSet", func(ctx context.Context, c driver.Cluster, ref driver.Ref, o driver.DeleteOptions) error {
			claim := driver.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: ref.Namespace, Name: "data-" + ref.Name + "-0"}
			return errors.Join(c.Delete(ctx, ref, o), c.Delete(ctx, claim, driver.DeleteOptions{}))
		}), claims},
		"a release is not deleted": {deleting("Secret", func(ctx context.Context, c driver.Cluster, ref driver.Ref, o driver.DeleteOptions) error {
			if strings.Contains(ref.Name, "-r") {
				return nil
			}
			return c.Delete(ctx, ref, o)
		}), leaked},
		"a list is stale": {func() func(*walk, string, driver.Cluster) driver.Cluster {
			var mu sync.Mutex
			known := map[string]*fault.Cluster{}
			return func(_ *walk, name string, d driver.Cluster) driver.Cluster {
				mu.Lock()
				defer mu.Unlock()
				if known[name] == nil {
					known[name] = fault.New(d, fault.Rule{Op: fault.List, Kind: "NetworkPolicy", Lie: fault.Stale})
				}
				return known[name]
			}
		}(), restless},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				err := walked(t, 1, 150, cheat.spoil)
				require.Error(t, err)
				var found *divergence
				require.ErrorAs(t, err, &found)
				require.Equal(t, cheat.of, found.of, "%v", err)
			})
		})
	}
}

// driverOf finds a driver below others.
func driverOf[T driver.Cluster](d driver.Cluster) T {
	found, _ := driver.As[T](d)
	return found
}
