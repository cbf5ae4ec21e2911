package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/stretchr/testify/require"
)

// rig connects to the first real control plane, or skips the test.
func rig(t *testing.T) *kube.Cluster {
	t.Helper()
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	config, err := os.ReadFile(file)
	require.NoError(t, err)
	c, err := kube.FromKubeconfig(config, "rig-1", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// namespace makes a namespace for one test.
func namespace(t *testing.T, c driver.Cluster) string {
	t.Helper()
	name := fmt.Sprintf("kube-%s-%d", strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())), time.Now().UnixNano()%1e9)
	obj := object(t, "v1", "Namespace", "", name, "")
	_, err := c.Apply(t.Context(), obj, driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Delete(context.Background(), obj.Ref, driver.DeleteOptions{}) })
	return name
}

// object makes an object; more are further top-level members of its JSON.
func object(t *testing.T, apiVersion, kind, namespace, name, more string) driver.Object {
	t.Helper()
	metadata := fmt.Sprintf(`{"name":%q}`, name)
	if namespace != "" {
		metadata = fmt.Sprintf(`{"name":%q,"namespace":%q,"labels":{"test":"yes"}}`, name, namespace)
	}
	if more != "" {
		more = "," + more
	}
	obj, err := driver.ParseObject(fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":%s%s}`, apiVersion, kind, metadata, more))
	require.NoError(t, err)
	return obj
}

const webSpec = `"spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},` +
	`"spec":{"containers":[{"name":"web","image":"example.org/web:1"}]}}}`

func TestRigInfoDescribesTheCluster(t *testing.T) {
	c := rig(t)
	info, err := c.Info(t.Context())
	require.NoError(t, err)
	require.Len(t, info.UID, 36)
	require.True(t, strings.HasPrefix(info.Version, "v1."), info.Version)
	deployments, ok := info.Lookup("apps/v1", "Deployment")
	require.True(t, ok)
	require.Equal(t, "deployments", deployments.Resource)
	require.True(t, deployments.Namespaced)
	require.Contains(t, deployments.Verbs, "patch")
	namespaces, ok := info.Lookup("v1", "Namespace")
	require.True(t, ok)
	require.False(t, namespaces.Namespaced)
}

func TestRigWritesSayWhyTheyAreRefused(t *testing.T) {
	c := rig(t)
	ns := namespace(t, c)
	web := object(t, "apps/v1", "Deployment", ns, "web", webSpec)
	mine := driver.ApplyOptions{Manager: "mine"}
	created, err := c.Apply(t.Context(), web, mine)
	require.NoError(t, err)
	require.Equal(t, web.Ref, created.Ref)
	require.NotEmpty(t, created.UID)

	configMap := object(t, "v1", "ConfigMap", ns, "config", `"data":{"a":"b"}`)
	stored, err := c.Apply(t.Context(), configMap, driver.ApplyOptions{Manager: "mine", IfAbsent: true})
	require.NoError(t, err)
	changed := object(t, "v1", "ConfigMap", ns, "config", `"data":{"a":"c"}`)

	for name, attempt := range map[string]struct {
		obj  driver.Object
		opts driver.ApplyOptions
		want error
	}{
		"a field of somebody else is a conflict":     {object(t, "apps/v1", "Deployment", ns, "web", `"spec":{"replicas":3}`), driver.ApplyOptions{Manager: "theirs"}, appspan.ErrConflict},
		"what exists is not created":                 {configMap, driver.ApplyOptions{Manager: "mine", IfAbsent: true}, appspan.ErrExists},
		"an old revision is a precondition":          {changed, driver.ApplyOptions{Manager: "mine", IfRevision: "1"}, appspan.ErrPrecondition},
		"another UID is a precondition":              {changed, driver.ApplyOptions{Manager: "mine", IfUID: "5ff98d8e-1b5c-4a52-9d3f-000000000000"}, appspan.ErrPrecondition},
		"a revision of nothing is a precondition":    {object(t, "v1", "ConfigMap", ns, "none", ""), driver.ApplyOptions{Manager: "mine", IfRevision: stored.Revision}, appspan.ErrPrecondition},
		"a UID of nothing is a precondition":         {object(t, "v1", "ConfigMap", ns, "none", ""), driver.ApplyOptions{Manager: "mine", IfUID: stored.UID}, appspan.ErrPrecondition},
		"an unknown field is invalid":                {object(t, "v1", "ConfigMap", ns, "config", `"dada":{}`), mine, appspan.ErrInvalid},
		"an unknown field is invalid in a create":    {object(t, "v1", "ConfigMap", ns, "fresh", `"dada":{}`), driver.ApplyOptions{Manager: "mine", IfAbsent: true}, appspan.ErrInvalid},
		"a wrong type is invalid":                    {object(t, "v1", "ConfigMap", ns, "config", `"data":{"a":[1]}`), mine, appspan.ErrInvalid},
		"a bad value is invalid":                     {object(t, "v1", "ConfigMap", ns, "config", `"data":{"a/b":"c"}`), mine, appspan.ErrInvalid},
		"an unserved kind is unsupported":            {object(t, "example.org/v1", "Thing", ns, "x", ""), mine, appspan.ErrUnsupported},
		"an unserved kind of a group is unsupported": {object(t, "apps/v1", "Thing", ns, "x", ""), mine, appspan.ErrUnsupported},
		"a missing namespace is not found":           {object(t, "v1", "ConfigMap", "missing-namespace", "x", ""), mine, appspan.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Apply(t.Context(), attempt.obj, attempt.opts)
			require.ErrorIs(t, err, attempt.want)
			require.False(t, appspan.Retryable(err), "%v", err)
			t.Log(err)
		})
	}

	var conflict *driver.ConflictError
	_, err = c.Apply(t.Context(), object(t, "apps/v1", "Deployment", ns, "web", `"spec":{"replicas":3}`), driver.ApplyOptions{Manager: "theirs"})
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, []driver.FieldConflict{{Path: ".spec.replicas", Manager: "mine"}}, conflict.Fields)

	updated, err := c.Apply(t.Context(), changed, driver.ApplyOptions{Manager: "mine", IfRevision: stored.Revision, IfUID: stored.UID})
	require.NoError(t, err)
	require.Equal(t, stored.UID, updated.UID)
	require.NotEqual(t, stored.Revision, updated.Revision)

	require.ErrorIs(t, c.Delete(t.Context(), configMap.Ref, driver.DeleteOptions{UID: created.UID}), appspan.ErrPrecondition)
	require.ErrorIs(t, c.Delete(t.Context(), configMap.Ref, driver.DeleteOptions{Revision: "1"}), appspan.ErrPrecondition)
	require.NoError(t, c.Delete(t.Context(), configMap.Ref, driver.DeleteOptions{UID: stored.UID, DryRun: true}))
	require.NoError(t, c.Delete(t.Context(), configMap.Ref, driver.DeleteOptions{UID: stored.UID}))
	require.ErrorIs(t, c.Delete(t.Context(), configMap.Ref, driver.DeleteOptions{}), appspan.ErrNotFound)
	_, err = c.Get(t.Context(), configMap.Ref)
	require.ErrorIs(t, err, appspan.ErrNotFound)
}

func TestRigQuotaIsExhausted(t *testing.T) {
	c := rig(t)
	ns := namespace(t, c)
	_, err := c.Apply(t.Context(), object(t, "v1", "ResourceQuota", ns, "none", `"spec":{"hard":{"count/secrets":"0"}}`), driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		q, err := c.Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "ResourceQuota", Namespace: ns, Name: "none"})
		return err == nil && strings.Contains(string(q.JSON), `"used"`)
	}, time.Minute, 50*time.Millisecond)
	_, err = c.Apply(t.Context(), object(t, "v1", "Secret", ns, "s", ""), driver.ApplyOptions{Manager: "test"})
	require.ErrorIs(t, err, appspan.ErrExhausted)
}

func TestRigListsInPagesAndProjections(t *testing.T) {
	c := rig(t)
	ns := namespace(t, c)
	for i := range 7 {
		_, err := c.Apply(t.Context(), object(t, "v1", "ConfigMap", ns, fmt.Sprint("config-", i), `"data":{"k":"v"}`), driver.ApplyOptions{Manager: "test"})
		require.NoError(t, err)
	}
	for projection, wanted := range map[driver.Projection][2]bool{driver.Whole: {true, true}, driver.Trimmed: {false, true}, driver.Metadata: {false, false}} {
		q := driver.Query{APIVersion: "v1", Kind: "ConfigMap", Namespace: ns, Labels: "test=yes", Projection: projection, Limit: 3}
		count := 0
		for obj, err := range cluster.New("rig", c, nil).List(t.Context(), q) {
			require.NoError(t, err)
			count++
			parsed, err := driver.ParseObject(obj.JSON)
			require.NoError(t, err)
			require.Equal(t, parsed, obj)
			require.Equal(t, map[string]string{"test": "yes"}, obj.Labels)
			var m map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(obj.JSON, &m))
			require.Equal(t, wanted[0], strings.Contains(string(m["metadata"]), "managedFields"))
			require.Equal(t, wanted[1], m["data"] != nil)
		}
		require.Equal(t, 7, count)
	}
	_, err := c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "ConfigMap", Continue: "nonsense"})
	require.ErrorIs(t, err, appspan.ErrInvalid)
	_, err = c.List(t.Context(), driver.Query{APIVersion: "example.org/v1", Kind: "Thing"})
	require.ErrorIs(t, err, appspan.ErrUnsupported)
}

func TestRigWatchFollows(t *testing.T) {
	c := rig(t)
	ns := namespace(t, c)
	held := cluster.New("rig", c, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	web := object(t, "v1", "ConfigMap", ns, "web", `"data":{"k":"v"}`)
	var seen []string
	for e, err := range held.Watch(ctx, driver.Query{APIVersion: "v1", Kind: "ConfigMap", Namespace: ns, Labels: "test", Projection: driver.Metadata}) {
		require.NoError(t, err)
		seen = append(seen, strings.TrimSpace(string(e.Type)+" "+e.Object.Name))
		switch e.Type {
		case cluster.Synced:
			_, err := held.Apply(ctx, web, driver.ApplyOptions{Manager: "test"})
			require.NoError(t, err)
		case cluster.Added:
			require.NotContains(t, string(e.Object.JSON), `"data"`)
			_, err := held.Apply(ctx, object(t, "v1", "ConfigMap", ns, "web", `"data":{"k":"w"}`), driver.ApplyOptions{Manager: "test"})
			require.NoError(t, err)
		case cluster.Modified:
			require.NoError(t, held.Delete(ctx, web.Ref, driver.DeleteOptions{}))
		}
		if e.Type == cluster.Deleted {
			break
		}
	}
	require.Equal(t, []string{"synced", "added web", "modified web", "deleted web"}, seen)
	_, err := c.Watch(ctx, driver.Query{APIVersion: "v1", Kind: "ConfigMap", Revision: "nonsense"})
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestRigSubresources(t *testing.T) {
	c := rig(t)
	ns := namespace(t, c)
	web := object(t, "apps/v1", "Deployment", ns, "web", webSpec)
	_, err := c.Apply(t.Context(), web, driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	_, err = c.UpdateSub(t.Context(), web.Ref, "scale", []byte(`{"spec":{"replicas":3}}`))
	require.NoError(t, err)
	scale, err := c.GetSub(t.Context(), web.Ref, "scale")
	require.NoError(t, err)
	require.Contains(t, string(scale), `"replicas":3`)
	account := driver.Ref{APIVersion: "v1", Kind: "ServiceAccount", Namespace: ns, Name: "runner"}
	_, err = c.Apply(t.Context(), object(t, "v1", "ServiceAccount", ns, "runner", ""), driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	token, err := c.CreateSub(t.Context(), account, "token", []byte(`{"spec":{"expirationSeconds":600}}`))
	require.NoError(t, err)
	require.Contains(t, string(token), `"token":`)
	_, err = c.GetSub(t.Context(), account, "nonsense")
	require.ErrorIs(t, err, appspan.ErrUnsupported)
	_, err = c.Usage(t.Context())
	require.ErrorIs(t, err, appspan.ErrUnsupported)
}

func TestRigActsAsSomebodyElse(t *testing.T) {
	c := rig(t)
	ns := namespace(t, c)
	team, err := c.As(driver.Identity{User: "appspan:team:blue", Groups: []string{"appspan:teams"}})
	require.NoError(t, err)
	_, err = team.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: ns})
	require.ErrorIs(t, err, appspan.ErrDenied)
	require.ErrorContains(t, err, "appspan:team:blue")
	info, err := team.Info(t.Context())
	require.NoError(t, err, "what a team may not see is empty")
	require.True(t, strings.HasPrefix(info.UID, "host:"), info.UID)
	require.Empty(t, info.Nodes)
	require.NoError(t, team.Close())
	_, err = team.Info(t.Context())
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	_, err = c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: ns})
	require.NoError(t, err, "closing the view does not close the cluster")
}
