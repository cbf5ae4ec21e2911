package kube_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// kubeconfig has one context "eu" with the given additions.
func kubeconfig(clusterLine, userLine string) []byte {
	return fmt.Appendf(nil, `
apiVersion: v1
kind: Config
current-context: eu
contexts:
- {name: eu, context: {cluster: eu, user: admin}}
- {name: lost, context: {cluster: nowhere, user: admin}}
clusters:
- name: eu
  cluster: {server: "https://eu.example.org:6443"%s}
users:
- name: admin
  user: {%s}
`, clusterLine, userLine)
}

func TestKubeconfigsAreReadAsData(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config  []byte
		context string
		opts    kube.Options
		refused string // part of the error, empty for none
	}{
		"a token":                       {kubeconfig("", "token: secret"), "", kube.Options{}, ""},
		"a named context":               {kubeconfig("", "token: secret"), "eu", kube.Options{}, ""},
		"an insecure one that says so":  {kubeconfig(", insecure-skip-tls-verify: true", "token: secret"), "", kube.Options{}, ""},
		"a command":                     {kubeconfig("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: steal, interactiveMode: Never}"), "", kube.Options{}, "Options.AllowExec"},
		"a command that is allowed":     {kubeconfig("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: steal, interactiveMode: Never}"), "", kube.Options{AllowExec: true}, ""},
		"an auth provider":              {kubeconfig("", "auth-provider: {name: oidc}"), "", kube.Options{}, "user.auth-provider is refused"},
		"a file of a CA":                {kubeconfig(", certificate-authority: /etc/passwd", ""), "", kube.Options{}, "Options.AllowFiles"},
		"a file of a certificate":       {kubeconfig("", "client-certificate: /etc/passwd"), "", kube.Options{}, "Options.AllowFiles"},
		"a file of a key":               {kubeconfig("", "client-key: /etc/passwd"), "", kube.Options{}, "Options.AllowFiles"},
		"a file of a token":             {kubeconfig("", "tokenFile: /etc/passwd"), "", kube.Options{}, "Options.AllowFiles"},
		"a proxy":                       {kubeconfig(`, proxy-url: "http://elsewhere"`, ""), "", kube.Options{}, "Options.AllowProxy"},
		"a proxy that is allowed":       {kubeconfig(`, proxy-url: "http://elsewhere"`, ""), "", kube.Options{AllowProxy: true}, ""},
		"a context that is not there":   {kubeconfig("", ""), "us", kube.Options{}, `there is no context "us"; it has eu, lost`},
		"a cluster that is not there":   {kubeconfig("", ""), "lost", kube.Options{}, `names a cluster "nowhere" that is not there`},
		"something else":                {[]byte("- a\n- b\n"), "", kube.Options{}, "it cannot be read"},
		"a secret in the wrong place":   {[]byte("users: hunter2\n"), "", kube.Options{}, "it cannot be read"},
		"a secret in another place":     {[]byte("clusters: [{name: a, cluster: {server: [hunter2]}}]\n"), "", kube.Options{}, "it cannot be read"},
		"a secret in an address":        {[]byte(strings.ReplaceAll(string(kubeconfig("", "")), "eu.example.org", "user:hunter2@[bad")), "", kube.Options{}, "invalid"},
		"nothing":                       {nil, "", kube.Options{}, "there is no context"},
		"far too much":                  {[]byte(strings.Repeat("#", 5<<20)), "", kube.Options{}, "larger than"},
		"a CA that is none":             {kubeconfig(", certificate-authority-data: bm9uZQ==", ""), "", kube.Options{}, "invalid"},
		"a secret in what is not valid": {[]byte("users: \"hunter2\"\n"), "", kube.Options{}, "it cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := driver.Spec{Name: "eu", Config: test.config, Context: test.context}
			c, err := kube.Provider{Options: &test.opts}.Open(t.Context(), spec)
			if test.refused == "" {
				require.NoError(t, err)
				require.NoError(t, c.Close())
				return
			}
			require.Nil(t, c)
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, test.refused)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	_, err := kube.New(nil, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
	_, err = kube.New(&rest.Config{Host: "https://[bad"}, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestAKubeconfigDoesNotLeadToWhereCloudsServeCredentials(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1%25lo]", "[fd00:ec2::254]", "0.0.0.0", "224.0.0.1"} {
		config := []byte(strings.ReplaceAll(string(kubeconfig("", "token: hunter2")), "https://eu.example.org", "https://"+host))
		require.Contains(t, string(config), host)
		c, err := kube.FromKubeconfig(config, "", nil)
		require.NoError(t, err, host)
		_, err = c.Info(t.Context())
		require.ErrorIs(t, err, appspan.ErrInvalid, host)
		require.ErrorContains(t, err, "AllowLinkLocal")
		require.False(t, appspan.Retryable(err))
		require.NoError(t, c.Close())
	}
}

// FuzzKubeconfig: whatever a stranger hands in is invalid, or a cluster.
func FuzzKubeconfig(f *testing.F) {
	f.Add(kubeconfig("", "token: hunter2"), "")
	f.Add(kubeconfig(", insecure-skip-tls-verify: true", "username: a, password: hunter2"), "eu")
	f.Add(kubeconfig(`, tls-server-name: x`, "as: a, as-groups: [b], token: hunter2"), "lost")
	f.Add(kubeconfig("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: steal, interactiveMode: Never}"), "eu")
	f.Add([]byte("token: hunter2\n- hunter2\n"), "")
	f.Add([]byte("a: &a [hunter2,hunter2]\nb: &b [*a,*a]\nc: [*b,*b]\n"), "")
	f.Fuzz(func(t *testing.T, config []byte, name string) {
		c, err := kube.FromKubeconfig(config, name, nil)
		if err == nil {
			require.NoError(t, c.Close())
			return
		}
		require.ErrorIs(t, err, appspan.ErrInvalid)
	})
}

func ExampleFromKubeconfig() {
	config := []byte(`
apiVersion: v1
kind: Config
contexts:
- {name: production, context: {cluster: eu, user: deployer}}
clusters:
- {name: eu, cluster: {server: "https://eu.example.org:6443"}}
users:
- {name: deployer, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, interactiveMode: Never}}}
`)
	_, err := kube.FromKubeconfig(config, "production", nil)
	fmt.Println(err)
	d, err := kube.FromKubeconfig(config, "production", &kube.Options{AllowExec: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := cluster.New("eu-1", d, nil)
	defer c.Close()
	fmt.Println(c.Name())
	// Output:
	// kubeconfig: invalid: user.exec (a command) is refused; embed the data (kubectl config view --flatten), or set Options.AllowExec if you trust it
	// eu-1
}

func ExampleNew() {
	d, err := kube.New(&rest.Config{Host: "https://eu.example.org:6443", BearerToken: "…"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	_, err = d.Apply(context.Background(), driver.Object{Ref: driver.Ref{APIVersion: "../v1", Kind: "Pod"}}, driver.ApplyOptions{Manager: "me"})
	fmt.Println(err)
	// Output: invalid: "Pod" of "../v1" is no kind
}
