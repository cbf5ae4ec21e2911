package tunnel_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	sigsyaml "sigs.k8s.io/yaml"
)

// rig is the first real control plane, with an agent's manifest installed.
type rig struct {
	config *rest.Config
	c      *kube.Cluster
	target agent.Target // with the token of the agent's service account
}

// newRig installs the manifest, but for its Deployment, since nothing on the
// rig's nodes could run its image; or it skips the test.
func newRig(t *testing.T, opts tunnel.ManifestOptions) *rig {
	t.Helper()
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: file}, &clientcmd.ConfigOverrides{CurrentContext: "rig-1"}).ClientConfig()
	require.NoError(t, err)
	c, err := kube.New(config, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, rest.LoadTLSFiles(config))
	r := &rig{config: config, c: c}

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
	answer, err := c.CreateSub(t.Context(), driver.Ref{APIVersion: "v1", Kind: "ServiceAccount", Namespace: opts.Namespace, Name: "appspan-agent"},
		"token", []byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":3600}}`))
	require.NoError(t, err)
	var request struct{ Status struct{ Token string } }
	require.NoError(t, json.Unmarshal(answer, &request))

	dir := t.TempDir()
	r.target = agent.Target{URL: config.Host, TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca.crt")}
	require.NoError(t, os.WriteFile(r.target.TokenFile, []byte(request.Status.Token), 0o600))
	require.NoError(t, os.WriteFile(r.target.CAFile, config.CAData, 0o600))
	return r
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

// TestRigNamespace does so with the program, from a network in which the API
// server cannot be reached: the hub and the suite are in a network namespace of
// their own, from which only the agent's leads on.
func TestRigNamespace(t *testing.T) {
	if os.Getenv("APPSPAN_RIG_KUBECONFIG") == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	ns, hubAddress := networkNamespace(t)
	dir := t.TempDir()
	key := newKey(t)
	id, err := tunnel.KeyIDOf(key.Public().(ed25519.PublicKey))
	require.NoError(t, err)
	token, grant, err := tunnel.NewToken("http://"+hubAddress+"/tunnel", id, "edge-1", time.Now().Add(time.Hour))
	require.NoError(t, err)
	r := newRig(t, tunnel.ManifestOptions{Token: token, Namespace: "tunnel-namespace", ClusterAdmin: true})

	program := filepath.Join(dir, "appspan-agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/appspan-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	tokenFile := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(tokenFile, []byte(token.Encode()), 0o600))
	var log strings.Builder
	agent := exec.CommandContext(t.Context(), program, "-token-file", tokenFile, "-key-secret", "tunnel-namespace/appspan-agent-key",
		"-server", r.target.URL, "-ca-file", r.target.CAFile, "-api-token-file", r.target.TokenFile, "-impersonate", "*")
	agent.Stderr = &log
	require.NoError(t, agent.Start())
	t.Cleanup(func() {
		_ = agent.Process.Signal(os.Interrupt)
		_ = agent.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})

	order, err := json.Marshal(order{Key: key, Grant: grant, Listen: hubAddress, API: r.config.Host})
	require.NoError(t, err)
	file := filepath.Join(dir, "order.json")
	require.NoError(t, os.WriteFile(file, order, 0o600))
	suite := exec.CommandContext(t.Context(), "ip", "netns", "exec", ns, os.Args[0], "-test.run", "^TestHubOfNamespace$", "-test.v")
	suite.Env = append(os.Environ(), "APPSPAN_TUNNEL_ORDER="+file)
	out, err = suite.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%d promises were kept", strings.Count(string(out), "    --- PASS: TestHubOfNamespace/"))
	require.Contains(t, string(out), "    --- PASS: TestHubOfNamespace/")
	apiToken, err := os.ReadFile(r.target.TokenFile)
	require.NoError(t, err)
	for _, secret := range []string{token.Encode(), base64.StdEncoding.EncodeToString(token.Secret()), string(apiToken), "PRIVATE KEY"} {
		require.NotContains(t, log.String(), secret)
	}
}

// order is what the test in the namespace is told.
type order struct {
	Key         []byte
	Grant       tunnel.Grant
	Listen, API string
}

// TestHubOfNamespace is the half of TestRigNamespace that runs elsewhere.
func TestHubOfNamespace(t *testing.T) {
	file := os.Getenv("APPSPAN_TUNNEL_ORDER")
	if file == "" {
		t.Skip("TestRigNamespace runs this")
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var o order
	require.NoError(t, json.Unmarshal(text, &o))
	api, err := url.Parse(o.API)
	require.NoError(t, err)
	_, err = net.DialTimeout("tcp", api.Host, time.Second)
	require.Error(t, err, "the API server is not to be reached from here")

	members := &tunnel.MemoryMembers{}
	require.NoError(t, members.Add(o.Grant))
	server, err := tunnel.NewServer(o.Key, members, &tunnel.Options{Wait: time.Minute})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", o.Listen)
	require.NoError(t, err)
	web := &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); _ = web.Close() })
	clustertest.Run(t, func(t *testing.T) driver.Cluster {
		c, err := kube.New(&rest.Config{Host: "http://edge-1.tunnel", Dial: server.Dialer("edge-1")}, nil)
		require.NoError(t, err)
		return c
	}, &clustertest.Options{Workloads: true})
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
