package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/kuberecords"
)

// asProgram makes the test binary the program.
const asProgram = "APPSPAN_TEST_REFSERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func rig(t *testing.T) (string, *kube.Cluster) {
	t.Helper()
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	kubeconfig, err := os.ReadFile(file)
	require.NoError(t, err)
	c, err := kube.FromKubeconfig(kubeconfig, "rig-1", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return file, c
}

func object(t *testing.T, text string) driver.Object {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	o, err := driver.ParseObject(data)
	require.NoError(t, err)
	return o
}

func namespaceFor(t *testing.T, c *kube.Cluster, name string) {
	t.Helper()
	_, err := c.Apply(t.Context(), object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+name+"}}"), driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.Delete(context.Background(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: name}, driver.DeleteOptions{})
	})
}

// replica is the program as a process of its own.
type replica struct {
	cmd *exec.Cmd
	url string
}

func startReplica(t *testing.T, args ...string) *replica {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return &replica{cmd, strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(line, "Open ")), "/")}
}

const shopText = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1", ports: [{name: http, port: 8080}], scale: {replicas: 1}, security: {runAsUser: 1000}}
`

func TestRigAReplicaThatIsKilledIsGoneOnWithByTheOther(t *testing.T) {
	t.Parallel()
	kubeconfig, hub := rig(t)
	suffix := strconv.FormatInt(time.Now().UnixNano()%1e12, 36)
	namespaceFor(t, hub, "hub-"+suffix)
	space := "shop-" + suffix
	t.Cleanup(func() {
		_ = hub.Delete(context.Background(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: space}, driver.DeleteOptions{})
	})
	keys := filepath.Join(t.TempDir(), "appspan.key")
	require.NoError(t, run(t.Context(), []string{"keys", keys}, io.Discard, io.Discard))
	shared := []string{"-hub", kubeconfig, "-hub-context", "rig-1", "-hub-namespace", "hub-" + suffix, "-keys", keys}
	var token bytes.Buffer
	require.NoError(t, run(t.Context(), append([]string{"token", "-subject", "ann"}, shared...), &token, t.Output()))

	// the cluster is registered by a third one, over the same records
	c := &config{hub: kubeconfig, hubContext: "rig-1", hubNamespace: "hub-" + suffix, keys: keys}
	records, ring, err := c.records()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	server, err := refserver.Open(t.Context(), &refserver.Options{Records: records, Keys: ring, Operators: []string{"ann"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	data, err := os.ReadFile(kubeconfig)
	require.NoError(t, err)
	_, err = server.Parts().Fleet.For(appspan.Subject{ID: "ann"}).Add(t.Context(), cluster.Registration{Name: "rig-1", Provider: "kubeconfig", Config: data, Context: "rig-1"}, nil)
	require.NoError(t, err)

	args := append([]string{"-addr", "127.0.0.1:0", "-tokens", "-operators", "ann", "-log-level", "error"}, shared...)
	one, two := startReplica(t, args...), startReplica(t, args...)
	to := func(r *replica) *client.Client {
		made, err := client.New(r.url, &client.Options{Token: strings.TrimSpace(token.String())})
		require.NoError(t, err)
		return made
	}
	text := func(replicas int) client.Deployment {
		return client.Deployment{Document: client.Document{Text: strings.ReplaceAll(shopText, "replicas: 1", "replicas: "+strconv.Itoa(replicas))}, Target: deploy.Target{Clusters: []string{"rig-1"}, Namespace: space}}
	}
	begun, err := to(one).Deploy(t.Context(), text(1))
	require.NoError(t, err)
	require.NoError(t, one.cmd.Process.Kill())
	op, err := to(two).Wait(t.Context(), begun, nil)
	require.NoError(t, err)
	require.Equal(t, journal.Done, op.State)
	begun, err = to(two).Deploy(t.Context(), text(2))
	require.NoError(t, err)
	_, err = to(two).Wait(t.Context(), begun, nil)
	require.NoError(t, err)
	app, err := to(two).Application(t.Context(), space, "shop", true)
	require.NoError(t, err)
	require.Equal(t, 2, app.Clusters[0].Revision, "what was acknowledged was done, once")
}

// manifests are the objects that are shipped.
func manifests(t *testing.T) []driver.Object {
	t.Helper()
	data, err := os.ReadFile("kubernetes/refserver.yaml")
	require.NoError(t, err)
	var out []driver.Object
	for _, text := range strings.Split(string(data), "\n---\n") {
		out = append(out, object(t, text))
	}
	return out
}

func TestRigTheManifestsAreTakenAndTheirRightsSuffice(t *testing.T) {
	t.Parallel()
	_, c := rig(t)
	remove := func(ref driver.Ref) {
		t.Cleanup(func() { _ = c.Delete(context.Background(), ref, driver.DeleteOptions{}) })
	}
	var pod []byte
	for _, o := range manifests(t) {
		// what rights are of is there, so that they can be tried
		really := o.Kind == "Namespace" || strings.Contains(o.Kind, "Role") || o.Kind == "ServiceAccount"
		taken, err := c.Apply(t.Context(), o, driver.ApplyOptions{Manager: "test", DryRun: !really})
		require.NoError(t, err, "%s %s", o.Kind, o.Name)
		if really {
			remove(o.Ref)
		}
		if o.Kind == "Deployment" {
			var d struct {
				Spec struct{ Template map[string]any }
			}
			require.NoError(t, yaml.Unmarshal(taken.JSON, &d))
			d.Spec.Template["apiVersion"], d.Spec.Template["kind"] = "v1", "Pod"
			d.Spec.Template["metadata"].(map[string]any)["name"] = "probe"
			d.Spec.Template["metadata"].(map[string]any)["namespace"] = "appspan"
			pod, err = yaml.Marshal(d.Spec.Template)
			require.NoError(t, err)
		}
	}
	_, err := c.Apply(t.Context(), object(t, string(pod)), driver.ApplyOptions{Manager: "test", DryRun: true})
	require.NoError(t, err, "the namespace enforces the restricted level")

	as, err := c.As(driver.Identity{User: "system:serviceaccount:appspan:refserver", Groups: []string{"system:serviceaccounts", "system:authenticated"}})
	require.NoError(t, err)
	d, err := kuberecords.NewRecords(as, kuberecords.Options{Namespace: "appspan", Store: "probe"})
	require.NoError(t, err)
	records := storage.NewRecords(d, nil)
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	server, err := refserver.Open(t.Context(), &refserver.Options{Dir: t.TempDir(), Records: records})
	require.NoError(t, err, "a server opens with these rights")
	require.NoError(t, server.Close())
	rec, err := records.Put(t.Context(), "probe/one", []byte(`{}`), "")
	require.NoError(t, err)
	for found, err := range records.List(t.Context(), "probe/") {
		require.NoError(t, err)
		require.NoError(t, records.Delete(t.Context(), found.Key, found.Revision))
	}
	require.NotZero(t, rec)
	for _, other := range []string{"default", "kube-system"} {
		_, err := as.Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: other, Name: "any"})
		require.ErrorIs(t, err, appspan.ErrDenied)
	}
	_, err = as.Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "appspan", Name: "refserver"})
	require.ErrorIs(t, err, appspan.ErrDenied)
}

func TestTheArgumentsOfWhatIsShippedAreUnderstood(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("systemd/refserver.service")
	require.NoError(t, err)
	_, line, ok := strings.Cut(string(unit), "ExecStart=")
	require.True(t, ok)
	line, _, _ = strings.Cut(line, "\n")
	c := &config{}
	require.NoError(t, c.flags("refserver", io.Discard).Parse(strings.Fields(line)[1:]))
	require.Equal(t, "/var/lib/refserver", c.data)

	text := ""
	for _, o := range manifests(t) {
		if o.Kind == "ConfigMap" {
			var m struct{ Data map[string]string }
			require.NoError(t, yaml.Unmarshal(o.JSON, &m))
			text = m.Data["server.yaml"]
		}
	}
	path := filepath.Join(t.TempDir(), "server.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err = parse([]string{"-config", path}, io.Discard)
	require.NoError(t, err)
	require.True(t, c.login())
	require.Equal(t, "in-cluster", cmp.Or(c.hub, "none"))
	_, err = parse([]string{"-config", path, "-demo"}, io.Discard)
	require.Error(t, err)
	require.False(t, errors.Is(err, os.ErrNotExist))
}
