package tunnel_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// TestRigThreeControlPlanesJoined joins one by a kubeconfig, one by a service
// account's token, and one by the program appspan-agent alone. The fleet is in
// a network namespace of its own: of the first two API servers it has the way
// there that is opened for it, of the third one only the agent's has any.
func TestRigThreeControlPlanesJoined(t *testing.T) {
	if n := len(rigFile(t).Contexts); n < 3 {
		t.Skipf("the rig has %d control planes and three are joined; run `make rig CLUSTERS=3`", n)
	}
	ns, hubAddress := networkNamespace(t)
	key := newKey(t)
	id, err := tunnel.KeyIDOf(key.Public().(ed25519.PublicKey))
	require.NoError(t, err)
	token, grant, err := tunnel.NewToken("http://"+hubAddress+"/tunnel", id, "rig-3", time.Now().Add(time.Hour))
	require.NoError(t, err)
	third := newRigOf(t, "rig-3", tunnel.ManifestOptions{Token: token, Namespace: "tunnel-joined", ClusterAdmin: true})

	gateway := hostOf(t, ns)
	order := order{Key: key, Grant: grant, Listen: hubAddress, Gateway: gateway, Hidden: direct(t, "rig-3", third.config.Host, third.config.BearerToken)}
	first, second := configOf(t, "rig-1"), configOf(t, "rig-2")
	order.Kubeconfig = direct(t, "rig-1", forward(t, gateway, first.Host), first.BearerToken)
	order.ServiceAccount = direct(t, "rig-2", forward(t, gateway, second.Host), serviceAccount(t))

	log := startAgent(t, third, token)
	text, err := json.Marshal(order)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "order.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	suite := exec.CommandContext(t.Context(), "ip", "netns", "exec", ns, os.Args[0], "-test.run", "^TestFleetOfNamespace$", "-test.v")
	suite.Env = append(os.Environ(), "APPSPAN_TUNNEL_ORDER="+file)
	out, err := suite.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, line := range regexp.MustCompile(`a direct dial: .*`).FindAllString(string(out), -1) {
		t.Log(line)
	}
	excused := len(regexp.MustCompile(`needs containers that (print|run commands) `).FindAll(out, -1)) // the rig has no kubelets
	for _, name := range []string{"rig-1", "rig-2", "rig-3"} {
		lines := func(result string) int {
			return len(regexp.MustCompile(`(?m)^ +--- `+result+`: TestFleetOfNamespace/`+name+`/`).FindAll(out, -1))
		}
		t.Logf("%s: %d promises kept, %d skipped", name, lines("PASS"), lines("SKIP"))
		require.NotZero(t, lines("PASS"))
		excused -= lines("SKIP")
	}
	require.Zero(t, excused, "something else was skipped: %s", out)
	apiToken, err := os.ReadFile(third.target.TokenFile)
	require.NoError(t, err)
	for _, secret := range []string{token.Encode(), base64.StdEncoding.EncodeToString(token.Secret()), string(apiToken), "PRIVATE KEY"} {
		require.NotContains(t, log(), secret)
	}
}

// order is what the test in the namespace is told.
type order struct {
	Key                        []byte
	Grant                      tunnel.Grant
	Listen, Gateway            string
	Kubeconfig, ServiceAccount []byte // of rig-1 and rig-2
	Hidden                     []byte // of rig-3, of no use there
}

// TestFleetOfNamespace is the half of TestRigThreeControlPlanesJoined that runs
// elsewhere.
func TestFleetOfNamespace(t *testing.T) {
	file := os.Getenv("APPSPAN_TUNNEL_ORDER")
	if file == "" {
		t.Skip("TestRigThreeControlPlanesJoined runs this")
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var o order
	require.NoError(t, json.Unmarshal(text, &o))
	members := &tunnel.MemoryMembers{}
	require.NoError(t, members.Add(o.Grant))
	server, err := tunnel.NewServer(o.Key, members, &tunnel.Options{Wait: time.Minute})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", o.Listen)
	require.NoError(t, err)
	web := &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); _ = web.Close() })

	records := storage.NewRecords(memstore.NewRecords(), nil)
	t.Cleanup(func() { _ = records.Close() })
	open := fleetOver(t, records, map[string]driver.Provider{"kubeconfig": kube.Provider{}, "tunnel": dialIn(server)})
	f := open(t)
	defer f.Close()

	// Whatever of the third one is known elsewhere does not lead to it here.
	config, err := clientcmd.Load(o.Hidden)
	require.NoError(t, err)
	address, err := url.Parse(config.Clusters["rig-3"].Server)
	require.NoError(t, err)
	for _, host := range []string{address.Hostname(), o.Gateway} {
		_, err = net.DialTimeout("tcp", net.JoinHostPort(host, address.Port()), 2*time.Second)
		require.Error(t, err, "the API server is not to be reached from here")
		t.Log("a direct dial:", err)
	}
	_, err = f.Add(t.Context(), cluster.Registration{Name: "rig-3", Provider: "kubeconfig", Config: o.Hidden}, nil)
	require.ErrorIs(t, err, appspan.ErrUnavailable)

	for _, r := range []cluster.Registration{
		{Name: "rig-1", Provider: "kubeconfig", Config: o.Kubeconfig},
		{Name: "rig-2", Provider: "kubeconfig", Config: o.ServiceAccount},
		{Name: "rig-3", Provider: "tunnel"},
	} {
		_, err := f.Add(t.Context(), r, nil)
		require.NoError(t, err)
	}
	require.NoError(t, f.Refresh(t.Context(), cluster.Selector{}))
	for status, err := range f.Clusters(t.Context(), cluster.Selector{}) {
		require.NoError(t, err)
		require.Equal(t, cluster.Ready, status.Health, "%v", status.Reasons)
		t.Run(status.Name, func(t *testing.T) {
			clustertest.Run(t, func(t *testing.T) driver.Cluster {
				f := open(t) // the suite closes what it is given
				c, err := f.Cluster(t.Context(), status.Name)
				require.NoError(t, err)
				return ofFleet{Cluster: c.Driver(), fleet: f}
			}, &clustertest.Options{Workloads: true})
		})
	}
}

// ofFleet is a fleet's own cluster, whose end is the fleet's.
type ofFleet struct {
	driver.Cluster
	fleet *cluster.Fleet
}

func (c ofFleet) Unwrap() driver.Cluster { return c.Cluster }
func (c ofFleet) Close() error           { return c.fleet.Close() }

// fleetOver opens fleets over the same records.
func fleetOver(t *testing.T, records *storage.Records, providers map[string]driver.Provider) func(*testing.T) *cluster.Fleet {
	key, err := seal.NewKey([]byte("a secret of thirty-two bytes ..."))
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	return func(t *testing.T) *cluster.Fleet {
		f, err := cluster.NewFleet(records, &cluster.FleetOptions{Keys: keys, Providers: providers, Authorizer: appspan.AllowAll{}})
		require.NoError(t, err)
		return f
	}
}

// direct is a kubeconfig of a control plane with a bearer token. The
// certificate is of the loopback, whatever the way there is.
func direct(t *testing.T, name, host, token string) []byte {
	t.Helper()
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: host, TLSServerName: "localhost", CertificateAuthorityData: configOf(t, name).CAData}
	config.AuthInfos[name] = &api.AuthInfo{Token: token}
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	text, err := clientcmd.Write(*config)
	require.NoError(t, err)
	return text
}

// serviceAccount makes an administrator of rig-2 and a token of it.
func serviceAccount(t *testing.T) string {
	t.Helper()
	c, err := kube.New(configOf(t, "rig-2"), nil)
	require.NoError(t, err)
	defer c.Close()
	for _, text := range []string{
		`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"tunnel-joined"}}`,
		`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"hub","namespace":"tunnel-joined"}}`,
		`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"tunnel-joined"},` +
			`"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},` +
			`"subjects":[{"kind":"ServiceAccount","name":"hub","namespace":"tunnel-joined"}]}`,
	} {
		_, err := c.Apply(t.Context(), parse(t, text), driver.ApplyOptions{Manager: "test"})
		require.NoError(t, err)
	}
	return tokenOf(t, c, "tunnel-joined", "hub")
}

// forward opens a way to an API server at an address of the host's end, and
// returns its URL.
func forward(t *testing.T, host, to string) string {
	t.Helper()
	target, err := url.Parse(to)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", host+":0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := net.Dial("tcp", target.Host)
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
	return "https://" + listener.Addr().String()
}

// hostOf is the address of this end of a namespace's line.
func hostOf(t *testing.T, ns string) string {
	t.Helper()
	out, err := exec.Command("ip", "-n", ns, "-4", "-o", "route", "show", "scope", "link").CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, network, err := net.ParseCIDR(strings.Fields(string(out))[0])
	require.NoError(t, err)
	ip := network.IP.To4()
	ip[3]++
	return ip.String()
}

// startAgent builds and runs the program. What it returns is the log so far.
func startAgent(t *testing.T, r *rig, token tunnel.Token) func() string {
	t.Helper()
	dir := t.TempDir()
	program, tokenFile, logFile := filepath.Join(dir, "appspan-agent"), filepath.Join(dir, "token"), filepath.Join(dir, "log")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/appspan-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.WriteFile(tokenFile, []byte(token.Encode()), 0o600))
	log, err := os.Create(logFile)
	require.NoError(t, err)
	defer log.Close()
	agent := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-token-file", tokenFile, "-key-secret", "tunnel-joined/appspan-agent-key",
		"-server", r.target.URL, "-ca-file", r.target.CAFile, "-api-token-file", r.target.TokenFile, "-impersonate", "*")
	agent.Stderr = log
	require.NoError(t, agent.Start())
	read := func() string {
		text, err := os.ReadFile(logFile)
		require.NoError(t, err)
		return string(text)
	}
	t.Cleanup(func() {
		_ = agent.Process.Signal(os.Interrupt)
		_ = agent.Wait()
		if t.Failed() {
			t.Log(read())
		}
	})
	return read
}
