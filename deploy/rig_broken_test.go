package deploy_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

func webIn(namespace string) driver.Ref {
	return driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace, Name: "shop-web"}
}

// TestRigAStalePlanIsRefusedOnItsClusterAlone: what kubectl changes between
// plan and apply stops the apply there, and nowhere else.
func TestRigAStalePlanIsRefusedOnItsClusterAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "stale", rigOptions{})
	r.deployed(shop(t), r.both())
	p, err := r.Plan(t.Context(), shop(t, "web:1", "web:2"), r.both(), nil)
	require.NoError(t, err)
	r.kubectl("rig-1", "scale", "deployment/shop-web", "--replicas=7")
	before := r.quiet("rig-1")
	result, err := r.Apply(t.Context(), p, &patient)
	require.ErrorIs(t, err, appspan.ErrPrecondition)
	t.Log(err)
	require.Equal(t, deploy.OutcomeStale, result.Cluster("rig-1").Outcome)
	require.Equal(t, deploy.OutcomeDone, result.Cluster("rig-2").Outcome)
	require.Equal(t, before, r.still("rig-1"), "nothing was written")
	image := func(name string) []string {
		return r.kubectl(name, "get", "deployment/shop-web", "-o", "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}")
	}
	require.Equal(t, []string{"7 registry.example.com/web:1"}, image("rig-1"))
	require.Equal(t, []string{"2 registry.example.com/web:2"}, image("rig-2"))
	r.deployed(shop(t, "web:1", "web:2"), r.both()) // a new plan proceeds
	require.Equal(t, []string{"2 registry.example.com/web:2"}, image("rig-1"))
}

// TestRigTwoInstallationsNeverTouchEachOther: of two with the same application,
// the second is refused in the first one's namespace, whatever it asks for;
// in its own it lives and dies, and the first one's objects stay to the byte.
func TestRigTwoInstallationsNeverTouchEachOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, "mine", rigOptions{})
	theirs := newRig(t, "theirs", rigOptions{})
	to, elsewhere := r.on("rig-1"), theirs.on("rig-1")
	r.deployed(shop(t), to)
	before := r.quiet("rig-1")
	other := theirs.deployer("other", 0)
	theirs.wires["rig-1"].take()
	for _, adopt := range []bool{false, true} {
		p, err := other.Plan(t.Context(), shop(t), to, &deploy.PlanOptions{Adopt: adopt, DataLoss: true})
		require.NoError(t, err)
		require.Equal(t, deploy.ClusterRefused, p.Clusters[0].State)
		require.ErrorContains(t, p.Err(), `installation "rig"`)
		_, err = other.Apply(t.Context(), p, nil)
		require.ErrorIs(t, err, appspan.ErrConflict)
	}
	removed, err := other.Remove(t.Context(), "shop", to, &deploy.RemoveOptions{Data: true}, nil)
	require.NoError(t, err)
	require.Equal(t, deploy.OutcomeUnchanged, removed.Clusters[0].Outcome)
	require.Empty(t, writes(theirs.wires["rig-1"].take()))

	_, err = other.Deploy(t.Context(), shop(t), elsewhere, &deploy.DeployOptions{Apply: patient})
	require.NoError(t, err)
	there := theirs.quiet("rig-1")
	require.Equal(t, before, r.still("rig-1"))
	r.deployed(shop(t, "web:1", "web:2"), to)
	require.Equal(t, there, theirs.still("rig-1"))
	before = r.quiet("rig-1")
	_, err = other.Remove(t.Context(), "shop", elsewhere, &deploy.RemoveOptions{Data: true}, &patient)
	require.NoError(t, err)
	require.Empty(t, theirs.objects("rig-1"))
	require.Equal(t, before, r.still("rig-1"))
}

// TestRigABrokenImageIsExplainedAndRolledBack: the error names the image that
// cannot be pulled, the rollback heals.
func TestRigABrokenImageIsExplainedAndRolledBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "broken", rigOptions{})
	r.deployed(shop(t), r.both())
	broken := shop(t, "registry.example.com/web:1", "nowhere.invalid/web:2")
	result, err := r.Deploy(t.Context(), broken, r.both(), &deploy.DeployOptions{Apply: deploy.ApplyOptions{FailAfter: time.Second, ReadyTimeout: time.Minute}})
	require.ErrorIs(t, err, deploy.ErrNotReady)
	require.ErrorContains(t, err, "nowhere.invalid/web:2")
	t.Log(err)
	for _, c := range result.Clusters {
		require.Equal(t, deploy.OutcomeFailed, c.Outcome)
		require.ErrorContains(t, c.Err(), "nowhere.invalid/web:2")
		var web status.Component
		for _, component := range c.Status.Components {
			if component.ID == "web" {
				web = component
			}
		}
		require.NotEmpty(t, web.Causes)
		require.Equal(t, status.ImagePull, web.Causes[0].Reason)
		require.NotEmpty(t, web.Causes[0].Next)
	}
	result, err = r.Rollback(t.Context(), "shop", r.both(), nil, &patient)
	require.NoError(t, err)
	releases, err := r.Releases(t.Context(), "shop", r.both())
	require.NoError(t, err)
	for _, c := range result.Clusters {
		require.Equal(t, status.Ready, c.Status.Value)
		history := releases[c.Cluster]
		require.Len(t, history, 3)
		require.Equal(t, deploy.ReleaseDeployed, history[0].State)
		require.Equal(t, 1, history[0].RollbackTo)
		require.Equal(t, deploy.ReleaseFailed, history[1].State)
		require.Contains(t, history[1].Message, "nowhere.invalid/web:2")
	}
	p, err := r.Plan(t.Context(), shop(t), r.both(), nil)
	require.NoError(t, err)
	require.True(t, p.Empty(), "the rollback went back exactly")
}

// TestRigAWatchTellsWhatHappensWithoutUs: an image that kubectl breaks, and
// mends, shows as it comes.
func TestRigAWatchTellsWhatHappensWithoutUs(t *testing.T) {
	t.Parallel()
	r := newRig(t, "watch", rigOptions{})
	r.deployed(shop(t), r.both())
	script := []struct {
		want  status.Value
		image string // what kubectl sets once the value was seen
	}{{status.Ready, "nowhere.invalid/web:2"}, {status.Failed, "registry.example.com/web:1"}, {status.Ready, ""}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for s, err := range r.Watch(ctx, "shop", r.both()) {
		require.NoError(t, err)
		if s.Clusters[0].Value != script[0].want || s.Clusters[1].Value != status.Ready {
			continue
		}
		t.Logf("rig-1 is %s, rig-2 is %s", s.Clusters[0].Value, s.Clusters[1].Value)
		if script[0].image != "" {
			r.kubectl("rig-1", "set", "image", "deployment/shop-web", "web="+script[0].image)
		}
		if script = script[1:]; len(script) == 0 {
			return
		}
	}
	t.Fatalf("the watch ended before rig-1 was %s", script[0].want)
}

// TestRigANamespaceThatIsBeingDeletedIsShown holds it by a finalizer.
func TestRigANamespaceThatIsBeingDeletedIsShown(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ending", rigOptions{})
	to := r.on("rig-1")
	r.deployed(shop(t), to)
	r.kubectl("rig-1", "patch", "configmap/shop-site", "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
	r.kubectl("rig-1", "delete", "namespace", r.namespace, "--wait=false")
	var seen status.Cause
	require.Eventually(t, func() bool {
		s, err := r.Status(t.Context(), "shop", to)
		require.NoError(t, err)
		require.NotEqual(t, status.Ready, s.Worst)
		seen = s.Clusters[0].Causes[0]
		return strings.Contains(seen.Message, "example.com/hold")
	}, time.Minute, time.Second)
	require.Equal(t, status.NamespaceEnding, seen.Reason)
	require.False(t, seen.Since.IsZero())
	t.Log(seen.Message)
	r.kubectl("rig-1", "patch", "configmap/shop-site", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
}

// TestRigASilentClusterIsUnknownAndDelaysNobody stops an API server. It runs
// alone: Go runs it before the tests that are parallel go on.
func TestRigASilentClusterIsUnknownAndDelaysNobody(t *testing.T) {
	r := newRig(t, "silent", rigOptions{Timeout: 2 * time.Second})
	server := apiServer(t, "rig-2")
	r.deployed(shop(t), r.both())
	s, err := r.Status(t.Context(), "shop", r.both())
	require.NoError(t, err)
	require.Equal(t, status.Ready, s.Clusters[1].Value)

	require.NoError(t, syscall.Kill(server, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(server, syscall.SIGCONT) })
	newer := shop(t, "web:1", "web:2")
	result, err := r.Deploy(t.Context(), newer, r.both(), &deploy.DeployOptions{Apply: patient})
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	t.Log(err)
	require.Equal(t, deploy.OutcomeDone, result.Cluster("rig-1").Outcome)
	require.Equal(t, status.Ready, result.Cluster("rig-1").Status.Value)
	silent := result.Cluster("rig-2")
	require.Equal(t, deploy.OutcomeUnknown, silent.Outcome)
	require.Equal(t, status.Unknown, silent.Status.Value)
	require.False(t, silent.LastAnswer.IsZero())
	s, err = r.Status(t.Context(), "shop", r.both())
	require.NoError(t, err)
	require.Equal(t, status.Ready, s.Clusters[0].Value)
	require.Equal(t, status.Unknown, s.Clusters[1].Value)
	require.Equal(t, status.Ready, s.Clusters[1].LastKnown)
	require.Positive(t, s.Clusters[1].Age)
	t.Logf("rig-2 is %s, it was %s %v ago", s.Clusters[1].Value, s.Clusters[1].LastKnown, s.Clusters[1].Age)

	require.NoError(t, syscall.Kill(server, syscall.SIGCONT))
	require.Eventually(t, func() bool {
		result, err = r.Deploy(t.Context(), newer, r.both(), &deploy.DeployOptions{Apply: patient})
		return err == nil
	}, time.Minute, time.Second, "it does not come back")
	require.Equal(t, deploy.OutcomeUnchanged, result.Cluster("rig-1").Outcome)
	require.Equal(t, deploy.OutcomeDone, result.Cluster("rig-2").Outcome)
	require.Equal(t, status.Ready, result.Cluster("rig-2").Status.Value)
}

// apiServer is the process of a cluster's API server.
func apiServer(t *testing.T, name string) int {
	t.Helper()
	pid := regexp.MustCompile(name + `/kube-apiserver=(\d+)`).FindStringSubmatch(os.Getenv("APPSPAN_RIG_PIDS"))
	if pid == nil {
		t.Skipf("APPSPAN_RIG_PIDS does not name the API server of %s", name)
	}
	n, err := strconv.Atoi(pid[1])
	require.NoError(t, err)
	return n
}

// TestRigAServerThatFallsSilentDuringAnApply leaves an outcome that is unknown,
// and a release that says "applying" until the next apply takes it up.
func TestRigAServerThatFallsSilentDuringAnApply(t *testing.T) {
	for _, n := range []int{2, 3, 8} { // the record, the release, an object
		t.Run(fmt.Sprintf("at write %d", n), func(t *testing.T) {
			c := &counted{}
			r := newRig(t, "hung", rigOptions{Timeout: 2 * time.Second, Cut: func(next http.RoundTripper) http.RoundTripper {
				return counting{next, c}
			}})
			server := apiServer(t, "rig-2")
			t.Cleanup(func() { _ = syscall.Kill(server, syscall.SIGCONT) })
			var armed atomic.Bool // a server that was only slow must not be stopped by a later attempt, which nobody would end
			armed.Store(true)
			c.at = func(write int64) {
				if write == int64(n) && armed.Load() {
					_ = syscall.Kill(server, syscall.SIGSTOP)
				}
			}
			result, err := r.Deploy(t.Context(), shop(t), r.on("rig-2"), &deploy.DeployOptions{Apply: patient})
			armed.Store(false)
			require.NoError(t, syscall.Kill(server, syscall.SIGCONT))
			require.ErrorIs(t, err, appspan.ErrUnavailable)
			require.Equal(t, deploy.OutcomeUnknown, result.Clusters[0].Outcome)
			require.Equal(t, status.Unknown, result.Clusters[0].Status.Value)
			require.Eventually(t, func() bool {
				result, err = r.Deploy(t.Context(), shop(t), r.on("rig-2"), &deploy.DeployOptions{Apply: patient})
				return err == nil
			}, time.Minute, 100*time.Millisecond)
			require.Equal(t, status.Ready, result.Clusters[0].Status.Value)
			releases, err := r.Releases(t.Context(), "shop", r.on("rig-2"))
			require.NoError(t, err)
			var states []deploy.ReleaseState
			for _, release := range releases["rig-2"] {
				states = append(states, release.State)
			}
			t.Log(states)
			require.Equal(t, deploy.ReleaseDeployed, states[0])
			require.NotContains(t, states, deploy.ReleaseApplying)
		})
	}
}

// counting is a transport that tells of each write before it is sent.
type counting struct {
	next http.RoundTripper
	*counted
}

type counted struct {
	writes atomic.Int64
	at     func(write int64)
}

func (c counting) WrappedRoundTripper() http.RoundTripper { return c.next }

func (c counting) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet {
		c.at(c.writes.Add(1))
	}
	return c.next.RoundTrip(request)
}
