package tunnel_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	sigsyaml "sigs.k8s.io/yaml"
)

// rig is a real control plane, with an agent's manifest installed.
type rig struct {
	config *rest.Config
	c      *kube.Cluster
	target agent.Target // with the token of the agent's service account
}

// newRig installs the manifest, but for its Deployment, since nothing on the
// rig's nodes could run its image; or it skips the test.
func newRig(t *testing.T, opts tunnel.ManifestOptions) *rig {
	t.Helper()
	return newRigOf(t, "rig-1", opts)
}

// newRigOf does so on the control plane of a context.
func newRigOf(t *testing.T, name string, opts tunnel.ManifestOptions) *rig {
	t.Helper()
	r := &rig{config: configOf(t, name)}
	c, err := kube.New(r.config, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	r.c = c
	opts.Image = "registry.example.org/appspan/agent:v1"
	text, err := tunnel.Manifest(opts)
	require.NoError(t, err)
	for _, doc := range documents(t, text) {
		data, err := sigsyaml.YAMLToJSON(doc)
		require.NoError(t, err)
		obj := parse(t, string(data))
		_, err = c.Apply(t.Context(), obj, driver.ApplyOptions{Manager: "kubectl", Force: true, DryRun: obj.Kind == "Deployment"})
		require.NoError(t, err, "%s", obj.Ref)
	}
	dir := t.TempDir()
	r.target = agent.Target{URL: r.config.Host, TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca.crt")}
	require.NoError(t, os.WriteFile(r.target.TokenFile, []byte(tokenOf(t, c, opts.Namespace, "appspan-agent")), 0o600))
	require.NoError(t, os.WriteFile(r.target.CAFile, r.config.CAData, 0o600))
	return r
}

// rigFile reads the kubeconfig of the control planes, or skips the test.
func rigFile(t *testing.T) *api.Config {
	t.Helper()
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	config, err := clientcmd.LoadFromFile(file)
	require.NoError(t, err)
	return config
}

// configOf is how a control plane is reached without a tunnel.
func configOf(t *testing.T, name string) *rest.Config {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveClientConfig(*rigFile(t), name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	require.NoError(t, err)
	require.NoError(t, rest.LoadTLSFiles(config))
	return config
}

// tokenOf asks for a token of a service account.
func tokenOf(t *testing.T, c *kube.Cluster, namespace, name string) string {
	t.Helper()
	answer, err := c.CreateSub(t.Context(), driver.Ref{APIVersion: "v1", Kind: "ServiceAccount", Namespace: namespace, Name: name},
		"token", []byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":3600}}`))
	require.NoError(t, err)
	var request struct{ Status struct{ Token string } }
	require.NoError(t, json.Unmarshal(answer, &request))
	require.NotEmpty(t, request.Status.Token)
	return request.Status.Token
}

// TestRigConformance runs the suite through a tunnel to a real control plane,
// with the rights of the manifest and the key in its Secret.
func TestRigConformance(t *testing.T) {
	h := newHub(t, nil)
	token := h.invite(t, "edge-1")
	r := newRig(t, tunnel.ManifestOptions{Token: token, Namespace: "tunnel-conformance", ClusterAdmin: true})
	run(t, token, agent.SecretKey(r.target, "tunnel-conformance", "appspan-agent-key"), r.target, quick())
	clustertest.Run(t, func(t *testing.T) driver.Cluster { return h.open(t, "edge-1") }, &clustertest.Options{Workloads: true})
}

// networkNamespace makes one with an address that is reached from here; or it
// skips the test.
func networkNamespace(t *testing.T) (name, address string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need ip, of iproute2")
	}
	id := os.Getpid() % 65536
	name = fmt.Sprintf("appspan-%d", id)
	here, there := fmt.Sprintf("asp%dh", id), fmt.Sprintf("asp%dn", id)
	subnet := fmt.Sprintf("10.%d.%d.", 200+id/(1<<14), id/64%256)
	host, hub := subnet+fmt.Sprint(id%64*4+1), subnet+fmt.Sprint(id%64*4+2)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() }) // and the pair with it
	for _, line := range []string{
		"netns add " + name,
		"link add " + here + " type veth peer name " + there + " netns " + name,
		"address add " + host + "/30 dev " + here,
		"link set " + here + " up",
		"-n " + name + " address add " + hub + "/30 dev " + there,
		"-n " + name + " link set " + there + " up",
		"-n " + name + " link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", line, err, out)
		}
	}
	return name, hub + ":8443"
}
