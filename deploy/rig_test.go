package deploy_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// TestMain lets tests on real control planes, which mostly wait for those, run
// more at a time than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("APPSPAN_RIG_KUBECONFIG") != "" {
		if err := flag.Set("test.parallel", "12"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// rig is the two real control planes, through connections of its own, whose
// calls it counts, and a Deployer over them.
type rig struct {
	t         *testing.T
	namespace string
	set       *cluster.Set
	wires     map[string]*wire
	*deploy.Deployer
}

// rigOptions shape a rig. Each field may be left out.
type rigOptions struct {
	Timeout   time.Duration // of one call
	Namespace string        // one that another rig made
	Cut       func(http.RoundTripper) http.RoundTripper
}

// newRig connects to the control planes, or skips the test. Everything of the
// test goes into one namespace of its own, which ends with the test.
func newRig(t *testing.T, what string, opts rigOptions) *rig {
	t.Helper()
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	config, err := clientcmd.LoadFromFile(file)
	require.NoError(t, err)
	r := &rig{t: t, wires: map[string]*wire{}, namespace: opts.Namespace}
	if r.namespace == "" {
		r.namespace = what + "-" + strconv.FormatInt(time.Now().UnixNano()%1e12, 36)
	}
	var members []*cluster.Cluster
	for _, name := range []string{"rig-1", "rig-2"} {
		rest, err := clientcmd.NewNonInteractiveClientConfig(*config, name, nil, nil).ClientConfig()
		require.NoError(t, err)
		w := &wire{}
		rest.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
			if opts.Cut != nil {
				next = opts.Cut(next)
			}
			w.next = next
			return w
		}
		d, err := kube.New(rest, nil)
		require.NoError(t, err)
		r.wires[name] = w
		members = append(members, cluster.New(name, d, &cluster.Options{Timeout: opts.Timeout}))
	}
	r.set, err = cluster.NewSet(members...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if opts.Namespace == "" {
			for _, m := range members {
				_ = m.Delete(context.Background(), namespaceRef(r.namespace), driver.DeleteOptions{})
			}
		}
		require.NoError(t, r.set.Close())
	})
	r.Deployer = r.deployer("rig", opts.Timeout)
	return r
}

// deployer has always the same keys, so that another process has them too, and
// what is derived from them is the same in every run.
func (r *rig) deployer(installation string, timeout time.Duration) *deploy.Deployer {
	r.t.Helper()
	key, err := seal.NewKey([]byte("a key of tests, and of them only"))
	require.NoError(r.t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(r.t, err)
	d, err := deploy.New(r.set, &deploy.Options{Installation: installation, Keys: keys, Authorizer: appspan.AllowAll{}, ClusterTimeout: timeout})
	require.NoError(r.t, err)
	return d
}

// both is the rig's namespace on both clusters; on is it on one.
func (r *rig) both() deploy.Target { return r.on("rig-1", "rig-2") }

func (r *rig) on(clusters ...string) deploy.Target {
	return deploy.Target{Clusters: clusters, Namespace: r.namespace}
}

func (r *rig) cluster(name string) *cluster.Cluster {
	r.t.Helper()
	c, err := r.set.Cluster(r.t.Context(), name)
	require.NoError(r.t, err)
	return c
}

// deployed deploys and must succeed.
func (r *rig) deployed(app *appmodel.Application, to deploy.Target) *deploy.Result {
	r.t.Helper()
	result, err := r.Deploy(r.t.Context(), app, to, &deploy.DeployOptions{Apply: patient})
	require.NoError(r.t, err)
	return result
}

// patient is for control planes that share few processors.
var patient = deploy.ApplyOptions{ReadyTimeout: 2 * time.Minute}

// removed removes and must succeed.
func (r *rig) removed(application string, to deploy.Target, data bool) *deploy.Result {
	r.t.Helper()
	result, err := r.Remove(r.t.Context(), application, to, &deploy.RemoveOptions{Data: data}, &patient)
	require.NoError(r.t, err)
	return result
}

// objects are all objects in the rig's namespace that Kubernetes did not put
// there itself, with their resource versions.
func (r *rig) objects(name string) map[string]string {
	r.t.Helper()
	c := r.cluster(name)
	info, err := c.Info(r.t.Context())
	require.NoError(r.t, err)
	var mu sync.Mutex
	out := map[string]string{}
	g, ctx := errgroup.WithContext(r.t.Context())
	for _, k := range info.Kinds {
		if !k.Namespaced || !slices.Contains(k.Verbs, "list") || k.Kind == "Event" || k.Kind == "Lease" {
			continue
		}
		g.Go(func() error {
			for obj, err := range c.List(ctx, cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: r.namespace, Projection: cluster.Metadata}) {
				if errors.Is(err, appspan.ErrUnsupported) {
					return nil // a kind that another test has taken away meanwhile
				}
				if err != nil {
					return err
				}
				if obj.Kind == "ConfigMap" && obj.Name == "kube-root-ca.crt" || obj.Kind == "ServiceAccount" && obj.Name == "default" {
					continue
				}
				mu.Lock()
				out[obj.Kind+"/"+obj.Name] = obj.UID + " " + obj.Revision
				mu.Unlock()
			}
			return nil
		})
	}
	require.NoError(r.t, g.Wait())
	return out
}

// still is objects without endpoints, which controllers write when they come
// to it.
func (r *rig) still(name string) map[string]string {
	r.t.Helper()
	out := r.objects(name)
	maps.DeleteFunc(out, func(ref, _ string) bool { return strings.HasPrefix(ref, "Endpoint") })
	for ref, is := range out {
		if strings.HasPrefix(ref, "HorizontalPodAutoscaler/") { // their controller writes down now and then what it sees
			out[ref], _, _ = strings.Cut(is, " ")
		}
	}
	return out
}

// quiet waits until the controllers have come to rest and returns what is
// still then.
func (r *rig) quiet(name string) map[string]string {
	r.t.Helper()
	last := r.still(name)
	require.Eventually(r.t, func() bool {
		now := r.still(name)
		same := maps.Equal(last, now)
		last = now
		return same
	}, time.Minute, time.Second, "%s does not come to rest", name)
	return last
}

// exists reports whether an object exists.
func (r *rig) exists(name string, ref driver.Ref) bool {
	r.t.Helper()
	_, err := r.cluster(name).Get(r.t.Context(), ref)
	if err != nil {
		require.ErrorIs(r.t, err, appspan.ErrNotFound)
	}
	return err == nil
}

func namespaceRef(name string) driver.Ref {
	return driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: name}
}

// namespaced makes the namespace, as an administrator does.
func (r *rig) namespaced(name string) {
	r.t.Helper()
	obj, err := driver.ParseObject(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, r.namespace))
	require.NoError(r.t, err)
	_, err = r.cluster(name).Apply(r.t.Context(), obj, driver.ApplyOptions{Manager: "admin"})
	require.NoError(r.t, err)
}

// kubectl runs the rig's kubectl in the rig's namespace and returns what it
// prints, line by line.
func (r *rig) kubectl(name string, args ...string) []string {
	r.t.Helper()
	return r.kubectlAs(name, nil, args...)
}

func (r *rig) kubectlAs(name string, env []string, args ...string) []string {
	r.t.Helper()
	program := filepath.Join(os.Getenv("APPSPAN_RIG_BIN"), "kubectl")
	args = append([]string{"--kubeconfig", os.Getenv("APPSPAN_RIG_KUBECONFIG"), "--context", name, "--namespace", r.namespace}, args...)
	cmd := exec.CommandContext(r.t.Context(), program, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(r.t, err, "%s: %s", cmd, &stderr)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// wire counts requests.
type wire struct {
	next http.RoundTripper

	mu    sync.Mutex
	calls []string
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("watch") == "" {
		w.mu.Lock()
		w.calls = append(w.calls, request.Method+" "+request.URL.Path)
		w.mu.Unlock()
	}
	return w.next.RoundTrip(request)
}

// WrappedRoundTripper lets client-go find the transport, to close what is idle.
func (w *wire) WrappedRoundTripper() http.RoundTripper { return w.next }

// take returns the requests since it was called last, watches apart.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// writes are the requests that change something.
func writes(calls []string) []string {
	return slices.DeleteFunc(slices.Clone(calls), func(c string) bool { return strings.HasPrefix(c, http.MethodGet) })
}
