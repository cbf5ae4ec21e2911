package fake_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const (
	fuzzed     = "/apis/apps/v1/namespaces/default/deployments/web"
	fuzzedSpec = `"spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"main","image":"nginx:1"}]}}}`
	fuzzedWeb  = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"default"},` + fuzzedSpec + `}`
)

// handled sends one request to the handler itself. Whatever it is, the answer
// is not the server's own failure; a real server calls it that, though, when
// an apply cannot be merged.
func handled(t *testing.T, h http.Handler, method, target, media string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // watches and followed logs end with it
	defer cancel()
	path, query, _ := strings.Cut(target, "?")
	r := httptest.NewRequestWithContext(ctx, method, "/", strings.NewReader(string(body)))
	r.URL = &url.URL{Path: path, RawQuery: query}
	r.Header.Set("Content-Type", media)
	r.Header.Set("Accept", media)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	late := ctx.Err() != nil || w.Code == http.StatusGatewayTimeout // a revision that is yet to come
	if w.Code >= 500 && !late && !strings.Contains(w.Body.String(), "failed to create typed patch object") {
		t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	return w
}

// fuzzedCluster holds one Deployment and a Pod's log.
func fuzzedCluster(tb testing.TB) *fake.Cluster {
	tb.Helper()
	c := fake.New(nil)
	tb.Cleanup(func() { _ = c.Close() })
	obj, err := driver.ParseObject([]byte(fuzzedWeb))
	require.NoError(tb, err)
	_, err = c.Apply(tb.Context(), obj, driver.ApplyOptions{Manager: "first"})
	require.NoError(tb, err)
	return c
}

var patchTypes = []string{
	"application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/yaml",
}

// FuzzPatch: no patch of any type breaks the server, and what it makes of the
// object is an object.
func FuzzPatch(f *testing.F) {
	for i, patch := range []string{
		fuzzedWeb, `[{"op":"replace","path":"/spec/replicas","value":3},{"op":"move","from":"/spec/template","path":"/metadata/labels"}]`,
		`{"metadata":{"labels":{"a":null}},"spec":{"replicas":2}}`,
		`{"spec":{"template":{"spec":{"containers":[{"name":"main","$patch":"delete"},{"name":"b","image":"x"}],"$setElementOrder/containers":[{"name":"b"}]}}}}`,
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: &a\n  name: web\n",
	} {
		f.Add(byte(i), []byte(patch))
	}
	f.Add(byte(0), []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: -1\n"))
	f.Add(byte(1), []byte(`[{"op":"copy","from":"","path":"/spec"},{"op":"remove","path":"/metadata/name"},{"op":"test","path":"/spec/template/spec/containers/-1"}]`))
	f.Add(byte(1), []byte(`null`))
	f.Add(byte(2), []byte(`null`))
	f.Add(byte(3), []byte(`{"metadata":{"managedFields":[{}],"ownerReferences":[{}],"finalizers":["x"]}}`))
	h := fuzzedCluster(f).Handler()
	f.Fuzz(func(t *testing.T, kind byte, patch []byte) {
		media := patchTypes[int(kind)%len(patchTypes)]
		w := handled(t, h, http.MethodPatch, fuzzed+"?dryRun=All&fieldManager=fuzz&force=true", media, patch)
		if w.Code != http.StatusOK {
			return
		}
		data, err := yaml.YAMLToJSON(w.Body.Bytes()) // or JSON, which is YAML
		require.NoError(t, err)
		obj, err := driver.ParseObject(data)
		require.NoError(t, err)
		require.Equal(t, driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web"}, obj.Ref)
	})
}

// FuzzStored: whatever the server accepts, its controllers live with.
func FuzzStored(f *testing.F) {
	for i, patch := range []string{
		`{"spec":{"replicas":2,"strategy":{"rollingUpdate":{"maxSurge":"0%","maxUnavailable":"100%"}}}}`,
		`{"spec":{"template":{"spec":{"nodeSelector":{"a":"b"},"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}}}}`,
	} {
		f.Add(byte(i), []byte(patch))
	}
	f.Fuzz(func(t *testing.T, kind byte, patch []byte) {
		c := fuzzedCluster(t)
		h := c.Handler()
		media := patchTypes[2+int(kind)%2]
		handled(t, h, http.MethodPatch, fuzzed+"?fieldManager=fuzz", media, patch)
		w := handled(t, h, http.MethodGet, fuzzed, "", nil)
		require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, w.Code, "%s", w.Body)
		handled(t, h, http.MethodGet, "/api/v1/namespaces/default/pods", "", nil)
		handled(t, h, http.MethodDelete, fuzzed, "", nil)
	})
}

// FuzzContinue: a token that the server did not make is refused, or reads a
// part of the list.
func FuzzContinue(f *testing.F) {
	h := fuzzedCluster(f).Handler()
	f.Add("e30")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"rv":2,"ns":"default","name":"a"}`)))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"rv":18446744073709551615,"ns":"~","name":"~"}`)))
	f.Fuzz(func(t *testing.T, token string) {
		for _, q := range []url.Values{{"continue": {token}}, {"continue": {base64.RawURLEncoding.EncodeToString([]byte(token))}, "limit": {"1"}}} {
			w := handled(t, h, http.MethodGet, "/api/v1/namespaces?"+q.Encode(), "", nil)
			require.True(t, json.Valid(w.Body.Bytes()), "%s", w.Body)
			require.Contains(t, []int{http.StatusOK, http.StatusBadRequest, http.StatusGone}, w.Code)
		}
	})
}

// FuzzRequest: no path, query, Accept header or body breaks the server.
func FuzzRequest(f *testing.F) {
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}
	f.Add(byte(0), "/api/v1/pods?labelSelector=a+in+(b,c),!d&fieldSelector=metadata.name%3Dx&limit=1&resourceVersion=5", "application/json;as=Table;v=v1;g=meta.k8s.io", []byte{})
	f.Add(byte(0), "/api/v1/pods?watch=1&resourceVersion=0&timeoutSeconds=9223372036854775807&allowWatchBookmarks=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "", []byte{})
	f.Add(byte(0), "/api/v1/namespaces/default/pods/web/log?tailLines=-1&limitBytes=-1&sinceTime=x&container=c", "*/*", []byte{})
	f.Add(byte(0), "/openapi/v3/apis/apps/v1", "application/json", []byte{})
	f.Add(byte(0), "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", []byte{})
	f.Add(byte(1), "/api/v1/namespaces/default/pods?fieldValidation=Strict&fieldManager=a&dryRun=All", "", []byte(`{"metadata":{"generateName":"a-"},"spec":{"containers":[{"name":"a","image":"b"}]}}`))
	f.Add(byte(1), "/api/v1/namespaces/default/pods/x/eviction", "", []byte(`{"metadata":{"name":"x"},"deleteOptions":{}}`))
	f.Add(byte(1), "/api/v1/namespaces/default/serviceaccounts/default/token?dryRun=All", "", []byte(`{"spec":{"expirationSeconds":-9223372036854775808}}`))
	f.Add(byte(1), "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "", []byte(`{"spec":{}}`))
	f.Add(byte(2), fuzzed+"/scale?dryRun=All", "", []byte(`{"spec":{"replicas":-2}}`))
	f.Add(byte(2), "/api/v1/namespaces/default/finalize", "", []byte(`{"spec":{"finalizers":[]}}`))
	f.Add(byte(3), fuzzed+"?gracePeriodSeconds=-1&propagationPolicy=Orphan&dryRun=All", "", []byte(`{"preconditions":{"uid":""}}`))
	h := fuzzedCluster(f).Handler()
	f.Fuzz(func(t *testing.T, method byte, target, accept string, body []byte) {
		handled(t, h, methods[int(method)%len(methods)], target, accept, body)
	})
}
