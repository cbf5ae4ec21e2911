package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// binaries returns the programs, or skips with -short, because the first build takes minutes.
func binaries(t *testing.T) *Binaries {
	if testing.Short() {
		t.Skip("needs the programs of a control plane")
	}
	bin, err := Build(t.Context(), &BuildOptions{Log: os.Stderr})
	require.NoError(t, err)
	return bin
}

// kubectl runs kubectl against the control plane and returns what it printed.
func kubectl(t *testing.T, bin *Binaries, c *ControlPlane, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin.path("kubectl"), append([]string{"--kubeconfig", c.Kubeconfig(), "--cache-dir", c.Dir()}, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "kubectl %s\n%s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

func TestFullControlPlanesRunWorkloads(t *testing.T) {
	t.Parallel()
	bin := binaries(t)
	all, err := StartAll(t.Context(), bin, 2, Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, c := range all {
			assertNothingLeft(t, c)
		}
	})
	uid := []string{"get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"}
	require.NotEqual(t, kubectl(t, bin, all[0], uid...), kubectl(t, bin, all[1], uid...), "two clusters, not one twice")

	for _, c := range all {
		t.Run(c.Context(), func(t *testing.T) {
			t.Parallel()
			get := func(args ...string) string { return kubectl(t, bin, c, args...) }
			wait := func(namespace, condition, object string) {
				t.Helper()
				get("wait", "-n", namespace, "--timeout=90s", "--for="+condition, object)
			}
			get("apply", "--server-side", "-f", "testdata/well.yaml", "-f", "testdata/ill.yaml")
			wait("shop", "condition=Available", "deployment/web")
			wait("shop", "jsonpath={.status.readyReplicas}=2", "statefulset/db")
			wait("shop", "jsonpath={.status.numberReady}=2", "daemonset/agent")
			wait("shop", "condition=Complete", "job/once")
			for _, claim := range []string{"data-db-0", "data-db-1", "shared"} {
				wait("shop", "jsonpath={.status.phase}=Bound", "pvc/"+claim)
			}
			get("wait", "-n", "shop", "--timeout=90s", "--for=jsonpath={.endpoints[1].conditions.ready}=true", "endpointslice", "-l", "kubernetes.io/service-name=web")
			require.Equal(t, IngressClass, get("get", "ingress", "web", "-n", "shop", "-o", "jsonpath={.spec.ingressClassName}"))

			get("patch", "pvc", "shared", "-n", "shop", "--patch", `{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`)
			wait("shop", "jsonpath={.status.capacity.storage}=2Gi", "pvc/shared")

			wait("ill", `jsonpath={.status.conditions[?(@.type=="PodScheduled")].reason}=Unschedulable`, "pod/too-big")
			require.Equal(t, "Pending", get("get", "pod", "too-big", "-n", "ill", "-o", "jsonpath={.status.phase}"))
			for pod, reason := range map[string]string{
				"image": "ImagePullBackOff", "config": "CreateContainerConfigError", "crash": "CrashLoopBackOff", "memory": "CrashLoopBackOff",
			} {
				wait("ill", "jsonpath={.status.containerStatuses[0].state.waiting.reason}="+reason, "pod/"+pod)
				wait("ill", `jsonpath={.status.conditions[?(@.type=="Ready")].status}=False`, "pod/"+pod)
			}
			wait("ill", "jsonpath={.status.containerStatuses[1].state.waiting.reason}=ImagePullBackOff", "pod/registry")
			require.Equal(t, "true", get("get", "pod", "registry", "-n", "ill", "-o", "jsonpath={.status.containerStatuses[0].ready}"))
			wait("ill", "jsonpath={.status.containerStatuses[0].lastState.terminated.reason}=OOMKilled", "pod/memory")
			wait("ill", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=ContainersNotReady`, "pod/probe")
			wait("ill", "condition=Failed", "job/job")

			get("delete", "namespace", "shop", "ill", "--timeout=90s")
			get("wait", "--for=delete", "pv", "--all", "--timeout=90s")
		})
	}
}

func TestBareControlPlaneStoresObjectsOnly(t *testing.T) {
	t.Parallel()
	bin := binaries(t)
	logs := t.TempDir()
	c, err := Start(t.Context(), bin, Options{Name: "bare", Profile: Bare, LogDir: logs})
	require.NoError(t, err)
	kubectl(t, bin, c, "apply", "--server-side", "-f", "testdata/well.yaml", "-f", "testdata/ill.yaml")
	require.Empty(t, kubectl(t, bin, c, "get", "nodes", "--ignore-not-found"))
	require.Len(t, c.PIDs(), 2)
	assertNothingLeft(t, c)
	require.FileExists(t, filepath.Join(logs, "kube-apiserver.log"), "logs are kept where they were wanted")
}

func TestPauseLeavesQuestionsUnansweredAndKillRefusesThem(t *testing.T) {
	t.Parallel()
	c, err := Start(t.Context(), binaries(t), Options{Profile: Bare})
	require.NoError(t, err)
	defer assertNothingLeft(t, c)
	clients, err := newClients(c.Config())
	require.NoError(t, err)
	require.NoError(t, clients.ready(t.Context()))

	require.NoError(t, c.Pause())
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.Config().Host, "https://"))
	require.NoError(t, err, "the kernel still accepts connections")
	require.NoError(t, conn.Close())
	patient, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, clients.ready(patient), context.DeadlineExceeded)
	require.NoError(t, c.Resume())
	require.NoError(t, clients.ready(t.Context()))

	c.Kill()
	require.Error(t, clients.ready(t.Context()))
	require.ErrorIs(t, c.Pause(), os.ErrProcessDone)
}

func TestStartThatFailsSaysWhyAndLeavesNothing(t *testing.T) {
	bin := binaries(t)
	t.Setenv("TMPDIR", t.TempDir())
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer occupied.Close()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		opts Options
		want string
	}{
		{"a flag that the API server does not know", t.Context(), Options{APIServerFlags: []string{"--frobnicate"}}, "unknown flag: --frobnicate"},
		{"a flag that the controllers do not know", t.Context(), Options{ControllerFlags: []string{"--frobnicate"}}, "unknown flag: --frobnicate"},
		{"a port that stays taken", t.Context(), Options{Profile: Bare, APIServerFlags: []string{"--secure-port=" + fmt.Sprint(occupied.Addr().(*net.TCPAddr).Port)}}, errPortTaken.Error()},
		{"a context that has ended", canceled, Options{}, context.Canceled.Error()},
		{"a name that is none", t.Context(), Options{Name: "Rig 1"}, "use a DNS label"},
		{"a profile that is none", t.Context(), Options{Profile: "fat"}, `use "full" or "bare"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Start(test.ctx, bin, test.opts)
			require.ErrorContains(t, err, test.want)
			left, err := os.ReadDir(os.TempDir())
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestStartAllLeavesNothingIfOneDoesNotStart(t *testing.T) {
	bin := binaries(t)
	t.Setenv("TMPDIR", t.TempDir())
	_, err := StartAll(t.Context(), bin, 2, Options{APIServerFlags: []string{"--frobnicate"}})
	require.ErrorContains(t, err, "unknown flag: --frobnicate")
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestFirstCauseIsNotTheCancellationThatItCaused(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	require.Equal(t, cause, firstCause([]error{context.Canceled, cause, nil}))
	require.ErrorIs(t, firstCause([]error{nil, context.Canceled}), context.Canceled)
	require.NoError(t, firstCause([]error{nil, nil}))
}

func assertNothingLeft(t *testing.T, c *ControlPlane) {
	t.Helper()
	require.NotEmpty(t, c.PIDs())
	require.NoError(t, c.Stop())
	require.NoDirExists(t, c.Dir())
	for name, pid := range c.PIDs() {
		require.NoDirExists(t, fmt.Sprintf("/proc/%d", pid), "%s was waited for", name)
	}
	require.NoError(t, c.Stop(), "a second time does nothing")
}

// A service account's token is good at the API server: the keys fit.
func TestServiceAccountTokensAreAccepted(t *testing.T) {
	t.Parallel()
	c, err := Start(t.Context(), binaries(t), Options{Nodes: 3})
	require.NoError(t, err)
	defer assertNothingLeft(t, c)
	clients, err := newClients(c.Config())
	require.NoError(t, err)
	nodes, err := clients.core.Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, nodes.Items, 3)
	require.Equal(t, "rig-b", nodes.Items[1].Labels[corev1.LabelTopologyZone])
	token := kubectl(t, binaries(t), c, "create", "token", "default")
	config := c.Config()
	config.BearerToken = token
	as, err := newClients(config)
	require.NoError(t, err)
	_, err = as.core.Nodes().List(t.Context(), metav1.ListOptions{})
	require.ErrorContains(t, err, `User "system:serviceaccount:default:default" cannot list resource "nodes"`)
}
