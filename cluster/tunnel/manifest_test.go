package tunnel_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	sigsyaml "sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// documents splits a manifest.
func documents(t *testing.T, text []byte) [][]byte {
	t.Helper()
	var all [][]byte
	for r := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, doc)
	}
}

// decode reads a manifest strictly into the types of Kubernetes.
func decode(t *testing.T, text []byte) []runtime.Object {
	t.Helper()
	var objects []runtime.Object
	for _, doc := range documents(t, text) {
		var kind struct{ APIVersion, Kind string }
		require.NoError(t, sigsyaml.Unmarshal(doc, &kind))
		json, err := sigsyaml.YAMLToJSON(doc)
		require.NoError(t, err)
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(json, nil, nil)
		require.NoError(t, err)
		require.NoError(t, sigsyaml.UnmarshalStrict(doc, obj), "%s", kind.Kind)
		objects = append(objects, obj)
	}
	return objects
}

func manifest(t *testing.T, change func(*tunnel.ManifestOptions)) []byte {
	t.Helper()
	opts := tunnel.ManifestOptions{Token: token(t), Image: "registry.example.org/appspan/agent:v1"}
	if change != nil {
		change(&opts)
	}
	text, err := tunnel.Manifest(opts)
	require.NoError(t, err)
	return text
}

func TestTheManifestIsOfKubernetesTypes(t *testing.T) {
	t.Parallel()
	text := manifest(t, nil)
	var kinds []string
	for _, obj := range decode(t, text) {
		kinds = append(kinds, obj.GetObjectKind().GroupVersionKind().Kind)
		switch obj := obj.(type) {
		case *corev1.Secret:
			if obj.Name == "appspan-agent-token" {
				_, err := tunnel.ParseToken(obj.StringData["token"])
				require.NoError(t, err)
			} else {
				require.Empty(t, obj.Data, "applied again it must not touch the key")
			}
		case *rbacv1.ClusterRole:
			require.Len(t, obj.Rules, len(tunnel.DefaultRules()))
			for _, rule := range obj.Rules {
				for _, list := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources} {
					require.NotContains(t, list, "*")
				}
				require.NotContains(t, rule.Verbs, "bind")
				require.NotContains(t, rule.Verbs, "escalate")
			}
		case *appsv1.Deployment:
			pod := obj.Spec.Template.Spec
			require.True(t, *pod.SecurityContext.RunAsNonRoot)
			require.True(t, *pod.Containers[0].SecurityContext.ReadOnlyRootFilesystem)
			require.Equal(t, obj.Spec.Selector.MatchLabels, obj.Spec.Template.Labels)
		}
	}
	require.Equal(t, []string{"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret", "Role", "RoleBinding", "Secret", "Deployment"}, kinds)

	golden := "testdata/manifest.yaml"
	for line := range strings.Lines(string(text)) {
		if _, secret, found := strings.Cut(line, "token: "); found { // new for each token, as its ID is
			text = bytes.Replace(text, []byte(secret), []byte("\"…\"\n"), 1)
		}
	}
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, text, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(text))
}

func TestTheManifestCanBeInstalled(t *testing.T) {
	t.Parallel()
	c := fake.New(nil)
	t.Cleanup(func() { _ = c.Close() })
	for range 2 { // again, too
		for _, doc := range documents(t, manifest(t, nil)) {
			json, err := sigsyaml.YAMLToJSON(doc)
			require.NoError(t, err)
			_, err = c.Apply(t.Context(), parse(t, string(json)), driver.ApplyOptions{Manager: "kubectl", Force: true})
			require.NoError(t, err)
		}
	}
	agent, err := c.Get(t.Context(), driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "appspan-system", Name: "appspan-agent"})
	require.NoError(t, err)
	require.Contains(t, string(agent.JSON), "registry.example.org/appspan/agent:v1")
}

func TestTheManifestFollowsItsOptions(t *testing.T) {
	t.Parallel()
	text := manifest(t, func(o *tunnel.ManifestOptions) {
		o.Namespace, o.ImagePullSecrets, o.ClusterAdmin = "edge", []string{"pull"}, true
		o.Impersonate, o.OuterInsecure = []string{"a:", "b:"}, true
	})
	for _, obj := range decode(t, text) {
		switch obj := obj.(type) {
		case *rbacv1.ClusterRole:
			t.Error("there is a role beside cluster-admin")
		case *rbacv1.ClusterRoleBinding:
			require.Equal(t, "cluster-admin", obj.RoleRef.Name)
			require.Equal(t, "edge", obj.Subjects[0].Namespace)
		case *appsv1.Deployment:
			require.Equal(t, "pull", obj.Spec.Template.Spec.ImagePullSecrets[0].Name)
			require.Contains(t, obj.Spec.Template.Spec.Containers[0].Args, "-impersonate=a:,b:")
			require.Contains(t, obj.Spec.Template.Spec.Containers[0].Args, "-outer-tls-insecure")
			require.Contains(t, obj.Spec.Template.Spec.Containers[0].Args, "-key-secret=edge/appspan-agent-key")
		}
	}
	strange := "x: y # \"{{z}}\"\n---\n'"
	for _, obj := range decode(t, manifest(t, func(o *tunnel.ManifestOptions) {
		o.Rules = []tunnel.Rule{{APIGroups: []string{strange}, Resources: []string{"<&>\u2028"}, Verbs: []string{"get"}}}
	})) {
		if role, ok := obj.(*rbacv1.ClusterRole); ok {
			require.Equal(t, []rbacv1.PolicyRule{{APIGroups: []string{strange}, Resources: []string{"<&>\u2028"}, Verbs: []string{"get"}}}, role.Rules)
		}
	}
}

func TestManifestsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tunnel.ManifestOptions){
		"without a token":                func(o *tunnel.ManifestOptions) { o.Token = tunnel.Token{} },
		"without an image":               func(o *tunnel.ManifestOptions) { o.Image = "" },
		"an image on two lines":          func(o *tunnel.ManifestOptions) { o.Image = "a\nb" },
		"a namespace that is no label":   func(o *tunnel.ManifestOptions) { o.Namespace = "A" },
		"a pull secret that is no name":  func(o *tunnel.ManifestOptions) { o.ImagePullSecrets = []string{"a b"} },
		"a beginning with a comma":       func(o *tunnel.ManifestOptions) { o.Impersonate = []string{"a,b"} },
		"all names, by an empty one":     func(o *tunnel.ManifestOptions) { o.Impersonate = []string{""} },
		"a token that has been tampered": func(o *tunnel.ManifestOptions) { o.Token.Expires = time.Time{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := tunnel.ManifestOptions{Token: token(t), Image: "x"}
			change(&opts)
			_, err := tunnel.Manifest(opts)
			require.ErrorIs(t, err, appspan.ErrInvalid)
		})
	}
}
