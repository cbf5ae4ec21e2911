package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrongUseIsExplained(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "rig exec"},
		{[]string{"start"}, 2, "no such command: start"},
		{[]string{"exec"}, 2, "give the command after --"},
		{[]string{"exec", "-clusters", "0", "--", "true"}, 2, "at least 1"},
		{[]string{"up", "extra"}, 2, "unexpected argument extra"},
		{[]string{"build", "-with", "tiller"}, 2, "only helm can be added"},
		{[]string{"up", "-frobnicate"}, 2, "flag provided but not defined"},
		{[]string{"up", "-help"}, 0, "APPSPAN_RIG_KUBECONFIG"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			var stderr strings.Builder
			code, err := run(t.Context(), test.args, io.Discard, &stderr)
			require.Equal(t, test.code, code)
			if err != nil {
				stderr.WriteString(err.Error())
			}
			require.Contains(t, stderr.String(), test.want)
		})
	}
}

func TestExecHandsTheClustersToTheCommandAndPassesItsExitCodeOn(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the programs of a control plane")
	}
	temp, dir := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	script := `kubectl config get-contexts -o name > contexts && test "$KUBECONFIG" = "$APPSPAN_RIG_KUBECONFIG" &&
		kubectl --context rig-2 get --raw /readyz > ready && echo $APPSPAN_RIG_PIDS > pids && exit 7`
	code, err := run(t.Context(), []string{"exec", "-clusters", "2", "-profile", "bare", "-C", dir, "--", "sh", "-c", script}, io.Discard, os.Stderr)
	require.NoError(t, err)
	require.Equal(t, 7, code)
	for file, want := range map[string]string{"contexts": "rig-1\nrig-2\n", "ready": "ok", "pids": "rig-2/kube-apiserver="} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		require.Contains(t, string(data), want)
	}
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)

	code, err = run(t.Context(), []string{"exec", "-profile", "bare", "--", "no-such-command"}, io.Discard, os.Stderr)
	require.ErrorContains(t, err, "no-such-command")
	require.Equal(t, 127, code)
}

func TestUpStaysUntilItIsInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the programs of a control plane")
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, interrupt := context.WithCancel(t.Context())
	var stdout bytes.Buffer
	code, err := run(ctx, []string{"up", "-profile", "bare"}, writer(func(p []byte) (int, error) {
		defer interrupt()
		return stdout.Write(p)
	}), os.Stderr)
	require.NoError(t, err)
	require.Zero(t, code)
	require.True(t, strings.HasPrefix(stdout.String(), temp), stdout.String())
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
