package rig

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// pretendGo puts a go command into PATH that writes down its calls, and writes the programs or does as body says.
func pretendGo(t *testing.T, body string) (calls func() []string) {
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	module := filepath.Join(dir, "kwok")
	for _, stage := range []string{"node/fast/node-initialize", "node/heartbeat-with-lease/node-heartbeat-with-lease", "pod/fast/pod-ready", "pod/fast/pod-complete", "pod/fast/pod-delete"} {
		path := filepath.Join(module, "kustomize/stage", stage+".yaml")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte("kind: Stage\n"), 0o644))
	}
	script := "#!/bin/sh\necho \"$@\" >> " + log + "\n" +
		"if [ $1 = list ]; then echo " + module + "; exit; fi\n" +
		"out=$6; test -f go.mod && test -f go.sum || exit 3\n" + body
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() []string {
		data, _ := os.ReadFile(log)
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
}

func TestBuildMakesEveryProgramOnceEvenWhenCalledTwiceAtATime(t *testing.T) {
	calls := pretendGo(t, "echo program > $out")
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			b, err := Build(t.Context(), &BuildOptions{CacheDir: cache})
			if err != nil || !b.complete(false) {
				t.Errorf("build: %v", err)
			}
		})
	}
	wg.Wait()
	require.Len(t, calls(), 7, "six programs, and a question for kwok's directory")

	b, err := Build(t.Context(), &BuildOptions{CacheDir: cache, Helm: true})
	require.NoError(t, err)
	require.Len(t, calls(), 8, "helm is built when asked for, the others are there")
	require.FileExists(t, filepath.Join(b.Dir, "helm"))
}

func TestBuildThatFailsLeavesOnlyFinishedPrograms(t *testing.T) {
	pretendGo(t, `echo half > $out; case $out in */kube-apiserver) echo "no space left" >&2; exit 1;; esac`)
	cache := t.TempDir()
	var log strings.Builder
	_, err := Build(t.Context(), &BuildOptions{CacheDir: cache, Log: &log})
	require.ErrorContains(t, err, "build kubernetes: k8s.io/kubernetes/cmd/kube-apiserver")
	require.Contains(t, log.String(), "no space left")
	programs, err := filepath.Glob(filepath.Join(cache, "*", "bin", "*"))
	require.NoError(t, err)
	require.Len(t, programs, 2, "etcd and kwok")
	leftovers, err := filepath.Glob(filepath.Join(cache, "*", "build-*"))
	require.NoError(t, err)
	require.Empty(t, leftovers)
}

func TestBuildRemovesWhatAKilledBuildLeft(t *testing.T) {
	pretendGo(t, "echo program > $out")
	cache := t.TempDir()
	key, err := versionKey()
	require.NoError(t, err)
	left := filepath.Join(cache, key, "build-kubernetes-123")
	require.NoError(t, os.MkdirAll(left, 0o755))
	_, err = Build(t.Context(), &BuildOptions{CacheDir: cache})
	require.NoError(t, err)
	require.NoDirExists(t, left)
}

func TestModulesNameTheVersionsThatTheConstantsPromise(t *testing.T) {
	for module, want := range map[string]string{
		"kubernetes": "k8s.io/kubernetes " + KubernetesVersion, "etcd": "go.etcd.io/etcd/server/v3 " + EtcdVersion,
		"kwok": "sigs.k8s.io/kwok " + KwokVersion, "helm": "helm.sh/helm/v4 " + HelmVersion,
	} {
		data, err := modules.ReadFile("build/" + module + ".mod")
		require.NoError(t, err)
		require.Contains(t, string(data), want)
	}
}

func TestLockIsHeldByOneAndGivenUpOnCancel(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, func() { t.Error("nobody has it") })
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = lock(ctx, path, cancel)
	require.ErrorIs(t, err, context.Canceled)
	unlock()
	unlock, err = lock(t.Context(), path, func() { t.Error("it was given back") })
	require.NoError(t, err)
	unlock()
}

func TestSweepRemovesOnlyDirectoriesWithoutAnOwner(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	mine, release, err := newDir(parent, "mine")
	require.NoError(t, err)
	orphan := filepath.Join(parent, dirPrefix+"orphan")
	fresh := filepath.Join(parent, dirPrefix+"fresh") // being made: no lock yet
	foreign := filepath.Join(parent, "foreign")
	for _, dir := range []string{orphan, fresh, foreign} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	for _, dir := range []string{orphan, foreign} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "lock"), nil, 0o644))
	}
	sweep(parent)
	require.NoDirExists(t, orphan)
	for _, dir := range []string{mine, fresh, foreign} {
		require.DirExists(t, dir)
	}
	require.NoError(t, release())
	require.NoDirExists(t, mine)
}

func TestStagesOfAnotherShapeAreRefused(t *testing.T) {
	t.Parallel()
	_, err := exceptFailing([]byte("kind: Stage\nspec: {selector: {}}\n"))
	require.ErrorContains(t, err, "spec.selector.matchExpressions is missing")
	_, err = writeStages(t.TempDir(), t.TempDir())
	require.ErrorContains(t, err, "build again")
}
