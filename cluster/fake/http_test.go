package fake_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// serve starts a cluster behind HTTP.
func serve(t *testing.T, opts *fake.Options) (*fake.Cluster, *rest.Config) {
	t.Helper()
	c := fake.New(opts)
	server := httptest.NewServer(c.Handler())
	t.Cleanup(func() {
		require.NoError(t, c.Close()) // ends watches
		server.Close()
	})
	return c, &rest.Config{Host: server.URL, QPS: -1}
}

func dynamicClient(t *testing.T, config *rest.Config) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	return client
}

func resource(group, version, name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: name}
}

func untyped(t *testing.T, o driver.Object) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON(o.JSON))
	return u
}

func TestClientGoWritesEveryWay(t *testing.T) {
	t.Parallel()
	_, config := serve(t, nil)
	deployments := dynamicClient(t, config).Resource(resource("apps", "v1", "deployments")).Namespace("default")
	ctx := t.Context()

	applied, err := deployments.Apply(ctx, "web", untyped(t, deployment(t, "web", "nginx:1", 1)), metav1.ApplyOptions{FieldManager: "a"})
	require.NoError(t, err)
	require.Equal(t, "a", applied.GetManagedFields()[0].Manager)

	patched, err := deployments.Patch(ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"nginx:2"}]}}}}`), metav1.PatchOptions{FieldManager: "hand"})
	require.NoError(t, err)
	containers, _, _ := unstructured.NestedSlice(patched.Object, "spec", "template", "spec", "containers")
	require.Len(t, containers, 1)
	require.NotNil(t, containers[0].(map[string]any)["ports"], "a strategic merge keeps what it does not name")

	_, err = deployments.Apply(ctx, "web", untyped(t, deployment(t, "web", "nginx:1", 1)), metav1.ApplyOptions{FieldManager: "a"})
	require.True(t, apierrors.IsConflict(err), "%v", err)
	require.Contains(t, err.Error(), `conflict with "hand"`)

	_, err = deployments.Patch(ctx, "web", types.JSONPatchType, []byte(`[{"op":"replace","path":"/spec/replicas","value":3}]`), metav1.PatchOptions{})
	require.NoError(t, err)
	scale, err := deployments.Get(ctx, "web", metav1.GetOptions{}, "scale")
	require.NoError(t, err)
	replicas, _, _ := unstructured.NestedInt64(scale.Object, "spec", "replicas")
	require.EqualValues(t, 3, replicas)
	_, err = deployments.Patch(ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{}, "scale")
	require.NoError(t, err)

	live, err := deployments.Get(ctx, "web", metav1.GetOptions{})
	require.NoError(t, err)
	live.SetLabels(map[string]string{"a": "b"})
	_, err = deployments.Update(ctx, live, metav1.UpdateOptions{})
	if !apierrors.IsConflict(err) { // a controller may have been faster
		require.NoError(t, err)
	}
	_, err = deployments.Patch(ctx, "web", types.MergePatchType, []byte(`{"spec":{"unknown":1}}`), metav1.PatchOptions{FieldValidation: "Strict"})
	require.True(t, apierrors.IsBadRequest(err), "%v", err)
	require.NoError(t, deployments.Delete(ctx, "web", metav1.DeleteOptions{}))
	_, err = deployments.Get(ctx, "web", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "%v", err)
}

func TestClientGoWatchesAndResumes(t *testing.T) {
	t.Parallel()
	_, config := serve(t, nil)
	maps := dynamicClient(t, config).Resource(resource("", "v1", "configmaps")).Namespace("default")
	list, err := maps.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	_, err = maps.Create(t.Context(), untyped(t, settings("red")), metav1.CreateOptions{})
	require.NoError(t, err)
	w, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	require.NoError(t, err)
	defer w.Stop()
	event := <-w.ResultChan()
	require.Equal(t, watch.Added, event.Type)
	require.Equal(t, "settings", event.Object.(*unstructured.Unstructured).GetName())
	require.NoError(t, maps.Delete(t.Context(), "settings", metav1.DeleteOptions{}))
	require.Equal(t, watch.Deleted, (<-w.ResultChan()).Type)

	old, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
	require.NoError(t, err)
	defer old.Stop()
	event = <-old.ResultChan()
	require.Equal(t, watch.Error, event.Type)
	require.True(t, apierrors.IsResourceExpired(apierrors.FromObject(event.Object)))
}

func TestDiscoveryKnowsEveryKind(t *testing.T) {
	t.Parallel()
	c, config := serve(t, &fake.Options{ExtraKinds: []fake.ExtraKind{{APIVersion: "serving.knative.dev/v1", Kind: "Service"}}})
	client, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	_, lists, err := client.ServerGroupsAndResources()
	require.NoError(t, err)
	served := map[string]bool{}
	for _, l := range lists {
		for _, r := range l.APIResources {
			served[l.GroupVersion+" "+r.Kind] = true
		}
	}
	info, err := c.Info(t.Context())
	require.NoError(t, err)
	for _, k := range info.Kinds {
		require.True(t, served[k.APIVersion+" "+k.Kind], "%s %s", k.APIVersion, k.Kind)
	}
	require.True(t, info.Has("serving.knative.dev/v1", "Service"))
}

// ask sends one plain request and decodes the answer.
func ask(t *testing.T, config *rest.Config, method, path, body string, header ...string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, config.Host+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := new(http.Client).Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	var v map[string]any
	require.NoError(t, json.Unmarshal(data, &v), "%s", data)
	return answer.StatusCode, v
}

func TestTheHandlerAnswersAsAnAPIServer(t *testing.T) {
	t.Parallel()
	_, config := serve(t, &fake.Options{Token: "secret"})
	const yes = "Bearer secret"
	for name, test := range map[string]struct {
		method, path, body string
		header             []string
		code               int
		field              string // of the answer
		value              any
	}{
		"no token is refused":                {"GET", "/api/v1/pods", "", nil, 401, "reason", "Unauthorized"},
		"an unknown path is not found":       {"GET", "/api/v1/foos", "", []string{"Authorization", yes}, 404, "reason", "NotFound"},
		"a missing object is named":          {"GET", "/api/v1/namespaces/default/pods/x", "", []string{"Authorization", yes}, 404, "message", `pods "x" not found`},
		"a nobody may do nothing":            {"GET", "/api/v1/pods", "", []string{"Authorization", yes, "Impersonate-User", "joe"}, 403, "message", `pods is forbidden: User "joe" cannot list resource "pods" in API group "" at the cluster scope`},
		"a list of metadata is what it says": {"GET", "/api/v1/namespaces", "", []string{"Authorization", yes, "Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}, 200, "kind", "PartialObjectMetadataList"},
		"a table is what it says":            {"GET", "/api/v1/namespaces", "", []string{"Authorization", yes, "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io"}, 200, "kind", "Table"},
		"a stale continue token is refused":  {"GET", "/api/v1/namespaces?continue=e30", "", []string{"Authorization", yes}, 410, "reason", "Expired"},
		"garbage is a bad request":           {"POST", "/api/v1/namespaces", "{", []string{"Authorization", yes}, 400, "reason", "BadRequest"},
		"an invalid object says why":         {"POST", "/api/v1/namespaces", `{"metadata":{"name":"A b"}}`, []string{"Authorization", yes}, 422, "reason", "Invalid"},
		"an unknown patch type is refused":   {"PATCH", "/api/v1/namespaces/default", "{}", []string{"Authorization", yes, "Content-Type", "text/plain"}, 415, "reason", "UnsupportedMediaType"},
		"a review tells who may":             {"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}`, []string{"Authorization", yes}, 201, "status", map[string]any{"allowed": true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, answer := ask(t, config, test.method, test.path, test.body, test.header...)
			require.Equal(t, test.code, code, "%v", answer)
			require.Equal(t, test.value, answer[test.field])
		})
	}
}
