package deploy_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

// point is a moment in the life of a process: its n-th write to rig-1, before
// it is sent or after it was answered.
type point struct {
	Write int
	After bool
}

func (p point) String() string {
	if p.After {
		return fmt.Sprintf("after write %d", p.Write)
	}
	return fmt.Sprintf("before write %d", p.Write)
}

// lethal is a transport that kills its process at a point.
type lethal struct {
	next   http.RoundTripper
	at     point
	writes *atomic.Int64
}

// WrappedRoundTripper is as that of wire.
func (l lethal) WrappedRoundTripper() http.RoundTripper { return l.next }

// RoundTrip implements http.RoundTripper.
func (l lethal) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet || l.writes.Add(1) != int64(l.at.Write) {
		return l.next.RoundTrip(request)
	}
	if l.at.After {
		_, _ = l.next.RoundTrip(request)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// The child's orders.
const (
	childWork      = "APPSPAN_TEST_CHILD" // deploy, remove, "remove, data kept", or journal
	childNamespace = "APPSPAN_TEST_CHILD_NAMESPACE"
	childPoint     = "APPSPAN_TEST_CHILD_POINT"
)

// TestRigChild is the process that is killed; alone it does nothing.
func TestRigChild(t *testing.T) {
	if os.Getenv(childWork) == "" {
		t.Skip("it is run by the tests that kill it")
	}
	l := lethal{writes: &atomic.Int64{}}
	_, err := fmt.Sscanf(os.Getenv(childPoint), "%d %t", &l.at.Write, &l.at.After)
	require.NoError(t, err)
	r := newRig(t, "", rigOptions{Namespace: os.Getenv(childNamespace), Cut: func(next http.RoundTripper) http.RoundTripper {
		l.next = next
		return l
	}})
	switch os.Getenv(childWork) {
	case "remove":
		r.removed("shop", r.on("rig-1"), true)
	case "remove, data kept":
		r.removed("shop", r.on("rig-1"), false)
	case "journal":
		d, _ := r.journaled()
		_, err := d.Deploy(t.Context(), shop(t), r.on("rig-1"), &deploy.DeployOptions{Apply: patient})
		require.NoError(t, err)
	default:
		r.deployed(shop(t), r.on("rig-1"))
	}
}

// child runs a child and reports whether it was killed; if not, it must have
// ended well.
func (r *rig) child(work string, at point) bool {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), os.Args[0], "-test.run=^TestRigChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), childWork+"="+work, childNamespace+"="+r.namespace, fmt.Sprintf("%s=%d %t", childPoint, at.Write, at.After))
	out, err := cmd.CombinedOutput()
	if state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && state.Signaled() && state.Signal() == syscall.SIGKILL {
		return true
	}
	require.NoError(r.t, err, "%s", out)
	return false
}

// TestRigAKilledApplyIsTakenUp kills a process with SIGKILL while it deploys,
// at many points, and again while it removes: another one ends its work, tells
// what happened, and nothing is left over.
func TestRigAKilledApplyIsTakenUp(t *testing.T) {
	t.Parallel()
	first := newRig(t, "whole", rigOptions{})
	first.deployed(shop(t), first.on("rig-1"))
	total := len(writes(first.wires["rig-1"].take()))
	t.Logf("a whole apply has %d writes", total)
	const namespace, record, release = 1, 2, 3 // the writes that come first
	for _, at := range []point{
		{namespace, false}, {namespace, true}, {record, false}, {record, true}, {release, false}, {release, true},
		{5, false}, {total / 2, true}, {total - 2, false}, {total - 1, true}, {total, false}, {total, true},
	} {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "killed", rigOptions{})
			to := r.on("rig-1")
			require.True(t, r.child("deploy", at))
			recorded := at.Write > record || at == point{record, true}
			releases, err := r.Releases(t.Context(), "shop", to)
			require.NoError(t, err)
			switch {
			case !recorded:
				require.Empty(t, releases["rig-1"])
			case at == point{total, true}:
				require.Equal(t, deploy.ReleaseDeployed, releases["rig-1"][0].State)
			default:
				require.Equal(t, deploy.ReleaseApplying, releases["rig-1"][0].State)
				s, err := r.Status(t.Context(), "shop", to)
				require.NoError(t, err)
				require.Equal(t, 1, s.Clusters[0].Revision)
				require.Equal(t, status.Interrupted, s.Clusters[0].Causes[0].Reason)
				require.Equal(t, s.Worst, status.Worst(s.Worst, status.Degraded), "it is not ready, whatever runs")
			}

			result := r.deployed(shop(t), to)
			require.Equal(t, status.Ready, result.Clusters[0].Status.Value)
			releases, err = r.Releases(t.Context(), "shop", to)
			require.NoError(t, err)
			var states []deploy.ReleaseState
			for _, release := range releases["rig-1"] {
				states = append(states, release.State)
			}
			if recorded && at != (point{total, true}) {
				require.Equal(t, []deploy.ReleaseState{deploy.ReleaseDeployed, deploy.ReleaseInterrupted}, states)
			} else {
				require.Equal(t, []deploy.ReleaseState{deploy.ReleaseDeployed}, states)
			}
			p, err := r.Plan(t.Context(), shop(t), to, nil)
			require.NoError(t, err)
			require.True(t, p.Empty())

			killed := r.child("remove", at)
			r.removed("shop", to, true)
			require.False(t, r.exists("rig-1", namespaceRef(r.namespace)))
			require.Empty(t, r.left("rig-1"))
			t.Logf("%v; removal killed: %t", states, killed)
		})
	}
}

// TestRigAKilledUpdateIsTakenUp kills a process that changes what runs, makes
// one object and prunes another, at each of its writes.
func TestRigAKilledUpdateIsTakenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, "update", rigOptions{})
	to := r.on("rig-1")
	newer := shop(t, "web:1", "web:2", "value: hello", "value: bye", "db:11", "db:12", "{id: shop, http", "{id: store, http")
	r.deployed(newer, to)
	died := 0
	for n := 1; ; n++ {
		killed := r.child("deploy", point{n, n%2 == 0})
		r.deployed(newer, to)
		p, err := r.Plan(t.Context(), newer, to, nil)
		require.NoError(t, err)
		require.True(t, p.Empty())
		require.Equal(t, []string{"ingress.networking.k8s.io/shop-store"}, r.kubectl("rig-1", "get", "ingress", "-o", "name"))
		if !killed {
			break
		}
		died++
	}
	require.GreaterOrEqual(t, died, 8, "the record twice, the release, four objects, one deletion")
	releases, err := r.Releases(t.Context(), "shop", to)
	require.NoError(t, err)
	require.LessOrEqual(t, len(releases["rig-1"]), 10)
	var states []deploy.ReleaseState
	for _, release := range releases["rig-1"] {
		states = append(states, release.State)
	}
	require.Contains(t, states, deploy.ReleaseInterrupted)
	require.NotContains(t, states, deploy.ReleaseApplying)
	kept := r.kubectl("rig-1", "get", "secret", "--field-selector", "type=appspan.dev/release", "-o", "name")
	require.Len(t, kept, 10, "no release is left that nobody knows")
	t.Logf("%d deaths: %v", died, states)
	r.removed("shop", to, true)
	require.Empty(t, r.left("rig-1"))
}

// TestRigAKilledRemovalKeepsDataAndItsPassword kills a removal at each of its
// writes: whoever ends it finds the data, and the next deployment has the
// password that belongs to it, though the application left no other trace.
func TestRigAKilledRemovalKeepsDataAndItsPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t, "kept", rigOptions{})
	to := r.on("rig-1")
	r.deployed(shop(t), to)
	password := r.kubectl("rig-1", "get", "secret/shop-db", "-o", "jsonpath={.data.password}")
	require.NotEmpty(t, password[0])
	claims := r.claims("rig-1")
	require.NotEmpty(t, claims)
	died := 0
	for n := 1; ; n++ {
		killed := r.child("remove, data kept", point{n, n%2 == 0})
		r.removed("shop", to, false)
		require.Equal(t, claims, r.left("rig-1"))
		r.deployed(shop(t), to)
		require.Equal(t, claims, r.claims("rig-1"))
		require.Equal(t, password, r.kubectl("rig-1", "get", "secret/shop-db", "-o", "jsonpath={.data.password}"))
		if !killed {
			break
		}
		died++
	}
	require.GreaterOrEqual(t, died, 12)
	r.removed("shop", to, false)
	require.Equal(t, claims, r.left("rig-1"))
	r.removed("shop", to, true) // what was kept can go later
	require.False(t, r.exists("rig-1", namespaceRef(r.namespace)))
	t.Logf("%d deaths", died)
}
