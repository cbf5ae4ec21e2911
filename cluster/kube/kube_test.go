package kube_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

const coreResources = `{"kind":"APIResourceList","groupVersion":"v1","resources":[
	{"name":"configmaps","kind":"ConfigMap","namespaced":true,"verbs":["get"]},{"name":"configmaps/status","kind":"ConfigMap","namespaced":true},
	{"name":"namespaces","kind":"Namespace","namespaced":false,"verbs":["get"]},{"name":"nodes","kind":"Node"},
	{"name":"pods","kind":"Pod","namespaced":true}]}`

// serve connects to a server that answers v1's resources, and everything else
// as handle says.
func serve(t *testing.T, handle http.HandlerFunc) *kube.Cluster {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1" {
			_, _ = io.WriteString(w, coreResources)
			return
		}
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var config = driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "config"}

// calls are one of each kind, and whether each is safe to repeat.
func calls(t *testing.T, c driver.Cluster) map[string]struct {
	call func(context.Context) error
	safe bool
} {
	obj := object(t, "v1", "ConfigMap", "shop", "config", "")
	apply := func(opts driver.ApplyOptions) func(context.Context) error {
		opts.Manager = "test"
		return func(ctx context.Context) error { _, err := c.Apply(ctx, obj, opts); return err }
	}
	remove := func(opts driver.DeleteOptions) func(context.Context) error {
		return func(ctx context.Context) error { return c.Delete(ctx, config, opts) }
	}
	return map[string]struct {
		call func(context.Context) error
		safe bool
	}{
		"a get": {func(ctx context.Context) error { _, err := c.Get(ctx, config); return err }, true},
		"a list": {func(ctx context.Context) error {
			_, err := c.List(ctx, driver.Query{APIVersion: "v1", Kind: "ConfigMap"})
			return err
		}, true},
		"an apply":                      {apply(driver.ApplyOptions{}), true},
		"an apply onto a UID":           {apply(driver.ApplyOptions{IfUID: "u"}), true},
		"a create":                      {apply(driver.ApplyOptions{IfAbsent: true}), false},
		"an apply onto a revision":      {apply(driver.ApplyOptions{IfUID: "u", IfRevision: "1"}), false},
		"a delete of a UID":             {remove(driver.DeleteOptions{UID: "u"}), true},
		"a delete of whatever is there": {remove(driver.DeleteOptions{}), false},
	}
}

func TestOnlyWhatIsSafeIsRepeatedAfterACut(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	})
	for name, test := range calls(t, c) {
		err := test.call(t.Context())
		require.ErrorIs(t, err, appspan.ErrUnavailable, name)
		require.Equal(t, test.safe, appspan.Retryable(err), "%s: %v", name, err)
	}
}

func TestWhatWasNeverSentMayBeRepeated(t *testing.T) {
	t.Parallel()
	var refuse atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, coreResources) }))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if refuse.Load() {
			address = "127.0.0.1:1" // nobody listens there
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			refuse.Store(true) // the kinds are all that is learned
		}
		return conn, err
	}}, nil)
	require.NoError(t, err)
	_, _ = c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "ConfigMap"})
	server.CloseClientConnections()
	create := calls(t, c)["a create"].call
	err = create(t.Context())
	for range 100 { // until the broken connection is noticed
		if appspan.Retryable(err) {
			break
		}
		err = create(t.Context())
	}
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	require.True(t, appspan.Retryable(err), "%v", err)
}

func TestAClosedClusterAnswersNothing(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ended := make(chan error, 1)
	go func() { _, err := c.Get(t.Context(), config); ended <- err }()
	<-arrived
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-ended, driver.ErrClosed, "what is in flight ends")
	for name, test := range calls(t, c) {
		err := test.call(t.Context())
		require.ErrorIs(t, err, driver.ErrClosed, name)
		require.False(t, appspan.Retryable(err), name)
	}
}

func TestCancellingIsReportedAsItIs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	_, err := c.Get(ctx, config)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, appspan.ErrUnavailable)
}

func TestRequestsSayWhatIsMeant(t *testing.T) {
	t.Parallel()
	var seen atomic.Value
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen.Store(fmt.Sprintf("%s %s [%s] %s", r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), body))
		_, _ = io.WriteString(w, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"config","namespace":"shop","uid":"u"},"items":[]}`)
	})
	obj := object(t, "v1", "ConfigMap", "shop", "config", "")
	apply := func(opts driver.ApplyOptions) {
		opts.Manager = "me"
		_, err := c.Apply(t.Context(), obj, opts)
		require.NoError(t, err)
	}
	const at, body = "/api/v1/namespaces/shop/configmaps", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"config","namespace":"shop","labels":{"test":"yes"}}}`
	for _, test := range []struct {
		want string
		call func()
	}{
		{"PATCH " + at + "/config?fieldManager=me&fieldValidation=Strict&force=false [application/apply-patch+yaml] " + body, func() { apply(driver.ApplyOptions{}) }},
		{"PATCH " + at + "/config?dryRun=All&fieldManager=me&fieldValidation=Strict&force=true [application/apply-patch+yaml] " + body, func() { apply(driver.ApplyOptions{Force: true, DryRun: true}) }},
		{"POST " + at + "?fieldManager=me&fieldValidation=Strict [application/json] " + body, func() { apply(driver.ApplyOptions{IfAbsent: true}) }},
		{"PATCH " + at + "/config?fieldManager=me&fieldValidation=Strict&force=false [application/apply-patch+yaml] " +
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"test":"yes"},"name":"config","namespace":"shop","resourceVersion":"7","uid":"u"}}`,
			func() { apply(driver.ApplyOptions{IfUID: "u", IfRevision: "7"}) }},
		{"DELETE " + at + `/config [application/json] {"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u","resourceVersion":"7"},"propagationPolicy":"Foreground","dryRun":["All"]}`,
			func() {
				require.NoError(t, c.Delete(t.Context(), config, driver.DeleteOptions{UID: "u", Revision: "7", Propagation: driver.Foreground, DryRun: true}))
			}},
		{"GET " + at + "?continue=c&fieldSelector=metadata.name%3Dx&labelSelector=a+in+%28b%29&limit=3 [] ", func() {
			_, err := c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Labels: "a in (b)", Fields: "metadata.name=x", Limit: 3, Continue: "c"})
			require.NoError(t, err)
		}},
		{"GET /api/v1/configmaps?limit=500 [] ", func() {
			_, err := c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "ConfigMap"})
			require.NoError(t, err)
		}},
		{"GET " + at + "/a%2F..%2Fb [] ", func() {
			_, err := c.Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "a/../b"})
			require.NoError(t, err)
		}},
	} {
		test.call()
		require.Equal(t, test.want, seen.Load())
	}
}

func TestWhatCannotBeNamedIsInvalid(t *testing.T) {
	t.Parallel()
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("unexpected call: %s", r.URL) })
	for name, ref := range map[string]driver.Ref{
		"no name":                            {APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop"},
		"a path for a name":                  {APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: ".."},
		"a path for a namespace":             {APIVersion: "v1", Kind: "ConfigMap", Namespace: "..", Name: "x"},
		"a path for an API version":          {APIVersion: "v1/../..", Kind: "ConfigMap", Name: "x"},
		"no namespace where one is needed":   {APIVersion: "v1", Kind: "ConfigMap", Name: "x"},
		"a namespace where none is possible": {APIVersion: "v1", Kind: "Namespace", Namespace: "shop", Name: "x"},
	} {
		_, err := c.Get(t.Context(), ref)
		require.ErrorIs(t, err, appspan.ErrInvalid, name)
	}
}

func TestDiscoveryOfServersOldAndNew(t *testing.T) {
	t.Parallel()
	const object = `{"metadata":{"name":"kube-system","uid":"the-uid"}}`
	const aggregated = `{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":%q},"versions":[{"version":"v1","resources":[
		{"resource":%q,"responseKind":{"kind":%q},"scope":%q,"verbs":["get"]}]}]}]}`
	old := map[string]string{
		"/api":          `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis":         `{"kind":"APIGroupList","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1"}]},{"name":"away","versions":[{"groupVersion":"away/v1"}]}]}`,
		"/apis/apps/v1": `{"resources":[{"name":"deployments","kind":"Deployment","namespaced":true,"verbs":["get"]},{"name":"deployments/scale","kind":"Scale"}]}`,
	}
	fresh := map[string]string{
		"/api":  fmt.Sprintf(aggregated, "", "namespaces", "Namespace", "Cluster"),
		"/apis": fmt.Sprintf(aggregated, "apps", "deployments", "Deployment", "Namespaced"),
	}
	for name, answers := range map[string]map[string]string{"old": old, "new": fresh} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch answer := answers[r.URL.Path]; {
				case answer != "":
					_, _ = io.WriteString(w, answer)
				case r.URL.Path == "/version":
					_, _ = io.WriteString(w, `{"gitVersion":"v1.20.0"}`)
				case strings.HasSuffix(r.URL.Path, "/kube-system"):
					_, _ = io.WriteString(w, object)
				case strings.HasPrefix(r.URL.Path, "/apis/away"):
					w.WriteHeader(http.StatusServiceUnavailable)
				case r.URL.Path == "/api/v1/nodes":
					_, _ = io.WriteString(w, `{"items":[{"metadata":{"name":"n1","labels":{"zone":"a"}},"spec":{"unschedulable":true},"status":{"allocatable":{"cpu":"4"},
						"nodeInfo":{"architecture":"arm64"},"conditions":[{"type":"Ready","status":"True"}]}}]}`)
				default:
					http.NotFound(w, r)
				}
			})
			info, err := c.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, "the-uid", info.UID)
			require.Equal(t, "v1.20.0", info.Version)
			k, ok := info.Lookup("apps/v1", "Deployment")
			require.True(t, ok)
			require.Equal(t, driver.KindInfo{APIVersion: "apps/v1", Kind: "Deployment", Resource: "deployments", Namespaced: true, Verbs: []string{"get"}}, k)
			require.True(t, info.Has("v1", "Namespace"))
			require.False(t, info.Has("apps/v1", "Scale"))
			require.Empty(t, info.StorageClasses)
			require.Equal(t, []driver.Node{{Name: "n1", Labels: map[string]string{"zone": "a"}, Architecture: "arm64",
				Allocatable: map[string]string{"cpu": "4"}, Unschedulable: true, Ready: true}}, info.Nodes)
		})
	}
}

func TestWhatAnIdentityMayNotSeeIsLeftOut(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/version":
			_, _ = io.WriteString(w, `{"gitVersion":"v1.37.2"}`)
		case "/api", "/apis":
			_, _ = io.WriteString(w, `{}`)
		default:
			if r.Header.Get("Impersonate-User") != "team" || r.Header.Get("Impersonate-Group") != "teams" {
				t.Errorf("%s is not impersonated", r.URL)
			}
			w.WriteHeader(http.StatusForbidden)
		}
	})
	view, err := c.As(driver.Identity{User: "team", Groups: []string{"teams"}})
	require.NoError(t, err)
	first, err := view.Info(t.Context())
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(first.UID, "host:"), first.UID)
	second, err := view.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, first, second)
	_, err = c.As(driver.Identity{})
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestExecAndForwardSayWhyTheyFail(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"not you","code":403}`)
	})
	pod := driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web"}
	err := c.Exec(t.Context(), pod, driver.ExecOptions{Command: []string{"true"}, Stdout: new(bytes.Buffer)})
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, err = c.Forward(t.Context(), pod, 80)
	require.ErrorIs(t, err, appspan.ErrDenied)
	require.ErrorIs(t, c.Exec(t.Context(), pod, driver.ExecOptions{}), appspan.ErrInvalid)
	_, err = c.Forward(t.Context(), pod, 0)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}
