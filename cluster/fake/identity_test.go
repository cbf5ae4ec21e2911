package fake_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
)

func TestAnImpersonatedTeamMayDoWhatItsBindingsSay(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, object(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}}`))
		apply(t, c, object(t, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"namespace":"team","name":"edit"},
			"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"},"subjects":[{"kind":"Group","name":"appspan:team:1"}]}`))
		team, err := c.As(driver.Identity{User: "alice", Groups: []string{"appspan:team:1"}})
		require.NoError(t, err)
		own := object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"team","name":"a"}}`)
		_, err = team.Apply(t.Context(), own, driver.ApplyOptions{Manager: "m"})
		require.NoError(t, err)
		_, err = team.Apply(t.Context(), settings("red"), driver.ApplyOptions{Manager: "m"})
		require.ErrorIs(t, err, appspan.ErrDenied)
		require.NoError(t, team.Close())
		_, err = c.Get(t.Context(), own.Ref)
		require.NoError(t, err, "closing a view does not close the cluster")
	})
}

func TestALogCanBeReadAndFollowed(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "nginx:1", 1))
		synctest.Wait()
		p := onlyPod(t, c)
		ref := driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: p.Name}
		time.Sleep(25 * time.Second)
		stream, err := c.Logs(t.Context(), ref, driver.LogOptions{TailLines: 2})
		require.NoError(t, err)
		data, err := io.ReadAll(stream)
		require.NoError(t, err)
		require.Equal(t, "main: tick 1\nmain: tick 2\n", string(data))

		stream, err = c.Logs(t.Context(), ref, driver.LogOptions{Follow: true, TailLines: 1})
		require.NoError(t, err)
		defer func() { require.NoError(t, stream.Close()) }()
		buf := make([]byte, 100)
		var text strings.Builder
		for range 2 {
			n, err := stream.Read(buf)
			require.NoError(t, err)
			text.Write(buf[:n])
		}
		require.Equal(t, "main: tick 2\nmain: tick 3\n", text.String())
	})
}

func TestAHandWrittenUpdateIsRecordedUnderItsManager(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		o := apply(t, c, settings("red"))
		_, err := c.Update(t.Context(), object(t, "%s", replaced(o, `"red"`, `"blue"`)), "hand")
		require.NoError(t, err)
		_, err = c.Apply(t.Context(), settings("red"), driver.ApplyOptions{Manager: "test"})
		var conflict *driver.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, []driver.FieldConflict{{Path: ".data.color", Manager: "hand"}}, conflict.Fields)
	})
}

func TestLatencyObeysTheContextAndCloseEndsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fake.New(&fake.Options{Latency: time.Second})
		start := time.Now()
		_, err := c.Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(start))
		w, err := c.Watch(t.Context(), driver.Query{APIVersion: "v1", Kind: "Secret", Revision: ""})
		require.NoError(t, err)
		require.NoError(t, c.Close())
		for {
			if _, err = w.Next(); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, driver.ErrClosed)
		_, err = c.Info(t.Context())
		require.ErrorIs(t, err, driver.ErrClosed)
	})
}

func TestANamespaceThatIsLabelledEnforcesPodSecurity(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, object(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"safe","labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))
		_, err := c.Apply(t.Context(), object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"safe","name":"p"},"spec":{"containers":[{"name":"m","image":"x"}]}}`), driver.ApplyOptions{Manager: "m"})
		require.ErrorIs(t, err, appspan.ErrDenied)
		require.ErrorContains(t, err, `violates PodSecurity "restricted:latest"`)
	})
}
