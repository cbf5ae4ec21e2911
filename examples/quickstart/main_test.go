package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
)

func TestTheStoryIsTold(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-plain"}, &out))
	for _, line := range []string{
		"== Import shop.compose.yaml", "22 to create, 0 unchanged", "Unschedulable: 0/3 nodes are available", "(back to 2)", "✔ Ready  us-1/", "== Remove it, data included",
	} {
		require.Contains(t, out.String(), line)
	}
	require.NotContains(t, out.String(), "\x1b")
}

// servedKubeconfig is a kubeconfig with two clusters behind HTTP.
func servedKubeconfig(t *testing.T) string {
	t.Helper()
	var clusters, contexts strings.Builder
	for _, name := range []string{"eu", "us"} {
		c := fake.New(&fake.Options{Name: name})
		server := httptest.NewServer(c.Handler())
		t.Cleanup(func() { _ = c.Close(); server.Close() })
		clusters.WriteString("- {name: " + name + ", cluster: {server: \"" + server.URL + "\"}}\n")
		contexts.WriteString("- {name: " + name + ", context: {cluster: " + name + "}}\n")
	}
	path := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(path, []byte("apiVersion: v1\nkind: Config\ncurrent-context: eu\nclusters:\n"+clusters.String()+"contexts:\n"+contexts.String()), 0o600))
	return path
}

func TestTheStoryIsToldOnClustersThatAreThere(t *testing.T) {
	config := servedKubeconfig(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	args := []string{"-plain", "-kubeconfig", config, "-contexts", "eu,us"}
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	err := run(ctx, args, stopAt{&out, "== Change it", cancel})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "is in namespace appspan-quickstart; run it again")
	require.NoError(t, run(t.Context(), append(args, "-keep"), &out), "the keys have outlived the first run")
	require.NoError(t, run(t.Context(), args, &out))
	dir, err := os.UserConfigDir()
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(dir, "appspan", "quickstart.keys"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// stopAt cancels when a text is written.
type stopAt struct {
	*bytes.Buffer
	text string
	stop context.CancelFunc
}

func (s stopAt) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.text) {
		s.stop()
	}
	return s.Buffer.Write(p)
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for want, args := range map[string][]string{
		`unexpected argument "x"`: {"x"},
		"name one":                {"-contexts", "eu"},
		"no such file":            {"-kubeconfig", missing},
		"there is no context":     {"-kubeconfig", servedKubeconfig(t), "-contexts", "eu,nowhere"},
		"two are named":           {"-kubeconfig", servedKubeconfig(t), "-contexts", "eu,eu"},
	} {
		require.ErrorContains(t, run(t.Context(), args, new(bytes.Buffer)), want)
	}
}

func TestAnEventSteersNoTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	newDisplay(&out, false).event(appspan.Event{Cluster: "eu", Phase: "ready", Message: "a\x1b[2J\nb"})
	require.Equal(t, "  eu     ready  a [2J b\n", out.String())
}
