package fake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// onlyPod is the one pod of the namespace default.
func onlyPod(t testing.TB, c driver.Cluster) corev1.Pod {
	t.Helper()
	page, err := c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "Pod", Namespace: "default"})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	return get[corev1.Pod](t, c, "v1", "Pod", "default", page.Items[0].Name)
}

func TestAScriptedPodFailsAndRecovers(t *testing.T) {
	for name, test := range map[string]struct {
		failure fake.Failure
		check   func(t *testing.T, p corev1.Pod)
	}{
		"its image cannot be pulled": {fake.ImagePull, func(t *testing.T, p corev1.Pod) {
			require.Equal(t, corev1.PodPending, p.Status.Phase)
			require.Equal(t, "ImagePullBackOff", p.Status.ContainerStatuses[0].State.Waiting.Reason)
			require.Contains(t, p.Status.ContainerStatuses[0].State.Waiting.Message, `Back-off pulling image "nginx:1"`)
		}},
		"it crashes": {fake.CrashLoop, func(t *testing.T, p corev1.Pod) {
			s := p.Status.ContainerStatuses[0]
			require.Equal(t, "CrashLoopBackOff", s.State.Waiting.Reason)
			require.EqualValues(t, 1, s.LastTerminationState.Terminated.ExitCode)
			require.Positive(t, s.RestartCount)
		}},
		"it runs out of memory": {fake.OutOfMemory, func(t *testing.T, p corev1.Pod) {
			require.Equal(t, "OOMKilled", p.Status.ContainerStatuses[0].LastTerminationState.Terminated.Reason)
		}},
		"no node takes it": {fake.Unschedulable, func(t *testing.T, p corev1.Pod) {
			require.Empty(t, p.Spec.NodeName)
			require.Equal(t, corev1.PodReasonUnschedulable, p.Status.Conditions[0].Reason)
			require.Contains(t, p.Status.Conditions[0].Message, "0/3 nodes are available")
		}},
		"its probe fails": {fake.ProbeFailing, func(t *testing.T, p corev1.Pod) {
			require.Equal(t, corev1.PodRunning, p.Status.Phase)
			require.False(t, p.Status.ContainerStatuses[0].Ready)
		}},
		"it is not ready": {fake.NotReady, func(t *testing.T, p corev1.Pod) {
			require.False(t, p.Status.ContainerStatuses[0].Ready)
		}},
		"it is slow": {fake.Slow, func(t *testing.T, p corev1.Pod) {
			require.Equal(t, "ContainerCreating", p.Status.ContainerStatuses[0].State.Waiting.Reason)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
				remove := c.Script(fake.Script{Image: "nginx:*", Failure: test.failure, Delay: time.Hour})
				apply(t, c, deployment(t, "web", "nginx:1", 1))
				time.Sleep(30 * time.Second)
				synctest.Wait()
				test.check(t, onlyPod(t, c))
				require.Zero(t, get[appsv1.Deployment](t, c, "apps/v1", "Deployment", "default", "web").Status.AvailableReplicas)
				remove()
				time.Sleep(time.Second)
				synctest.Wait()
				require.EqualValues(t, 1, get[appsv1.Deployment](t, c, "apps/v1", "Deployment", "default", "web").Status.AvailableReplicas)
			})
		})
	}
}

func TestAnImageOfAHostThatCannotResolveIsNeverPulled(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "registry.example.invalid/web:1", 1))
		synctest.Wait()
		require.Equal(t, "ErrImagePull", onlyPod(t, c).Status.ContainerStatuses[0].State.Waiting.Reason)
		require.Positive(t, count(t, c, driver.Query{APIVersion: "v1", Kind: "Event", Fields: "reason=Failed,type=Warning"}))
	})
}

func TestAScriptBoundsHowManyPodsFailAndWhen(t *testing.T) {
	simulate(t, &fake.Options{Scripts: []fake.Script{{Failure: fake.NotReady, Times: 1, Until: time.Minute}}}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "nginx:1", 3))
		synctest.Wait()
		require.EqualValues(t, 2, get[appsv1.Deployment](t, c, "apps/v1", "Deployment", "default", "web").Status.ReadyReplicas)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 3, get[appsv1.Deployment](t, c, "apps/v1", "Deployment", "default", "web").Status.ReadyReplicas)
	})
}
