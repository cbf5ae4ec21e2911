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

func web(t testing.TB, c driver.Cluster) appsv1.Deployment {
	t.Helper()
	synctest.Wait()
	return get[appsv1.Deployment](t, c, "apps/v1", "Deployment", "default", "web")
}

func progressing(d appsv1.Deployment) appsv1.DeploymentCondition {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing {
			return c
		}
	}
	return appsv1.DeploymentCondition{}
}

func TestADeploymentBecomesReadyAfterItsTime(t *testing.T) {
	simulate(t, &fake.Options{ReadyAfter: 5 * time.Second}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "nginx:1", 3))
		d := web(t, c)
		require.EqualValues(t, 3, d.Status.UnavailableReplicas)
		require.NotEqual(t, "NewReplicaSetAvailable", progressing(d).Reason)
		time.Sleep(5 * time.Second)
		d = web(t, c)
		require.EqualValues(t, 3, d.Status.AvailableReplicas)
		require.Equal(t, d.Generation, d.Status.ObservedGeneration)
		require.Equal(t, "NewReplicaSetAvailable", progressing(d).Reason)
	})
}

func TestARollingUpdateKeepsItsPodsAvailable(t *testing.T) {
	simulate(t, &fake.Options{ReadyAfter: time.Second}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "nginx:1", 4))
		time.Sleep(time.Minute)
		apply(t, c, deployment(t, "web", "nginx:2", 4))
		for range 40 {
			d := web(t, c)
			require.GreaterOrEqual(t, d.Status.AvailableReplicas, int32(3), "maxUnavailable 25%")
			require.LessOrEqual(t, d.Status.Replicas, int32(5), "maxSurge 25%")
			time.Sleep(250 * time.Millisecond)
		}
		d := web(t, c)
		require.EqualValues(t, 4, d.Status.UpdatedReplicas)
		require.EqualValues(t, 4, d.Status.Replicas)
		require.Equal(t, "2", d.Annotations["deployment.kubernetes.io/revision"])
		require.Equal(t, 2, count(t, c, driver.Query{APIVersion: "apps/v1", Kind: "ReplicaSet"}))
	})
}

func TestARolloutThatCannotProgressRunsIntoItsDeadline(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "nginx:1", 2))
		synctest.Wait()
		apply(t, c, deployment(t, "web", "registry.invalid/nginx:2", 2))
		time.Sleep(11 * time.Minute)
		d := web(t, c)
		require.Equal(t, "ProgressDeadlineExceeded", progressing(d).Reason)
		require.Equal(t, corev1.ConditionFalse, progressing(d).Status)
		require.EqualValues(t, 2, d.Status.AvailableReplicas, "the old pods go on")
		apply(t, c, deployment(t, "web", "nginx:1", 2))
		d = web(t, c)
		require.Equal(t, "NewReplicaSetAvailable", progressing(d).Reason)
		require.EqualValues(t, 2, d.Status.UpdatedReplicas)
	})
}

func TestRecreateEndsOldPodsFirst(t *testing.T) {
	simulate(t, &fake.Options{ReadyAfter: time.Second, TerminateAfter: 3 * time.Second}, func(t *testing.T, c *fake.Cluster) {
		recreate := func(image string) {
			o := deployment(t, "web", image, 2)
			apply(t, c, object(t, "%s", replaced(o, `"replicas":2`, `"strategy":{"type":"Recreate"},"replicas":2`)))
		}
		recreate("nginx:1")
		time.Sleep(time.Minute)
		recreate("nginx:2")
		time.Sleep(2 * time.Second)
		require.Zero(t, web(t, c).Status.UpdatedReplicas)
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 2, web(t, c).Status.UpdatedReplicas)
	})
}

func TestADeploymentThatDoesNotFitSaysWhy(t *testing.T) {
	simulate(t, &fake.Options{Nodes: fake.Nodes(2, "1", "1Gi")}, func(t *testing.T, c *fake.Cluster) {
		o := deployment(t, "web", "nginx:1", 1)
		apply(t, c, object(t, "%s", replaced(o, `"cpu":"0.1"`, `"memory":"4Gi"`)))
		synctest.Wait()
		p := onlyPod(t, c)
		require.Equal(t, "0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.", p.Status.Conditions[0].Message)
		require.Equal(t, 1, count(t, c, driver.Query{APIVersion: "v1", Kind: "Event", Fields: "reason=FailedScheduling"}))
	})
}

func TestAQuotaStopsPodsAndTheDeploymentSaysSo(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, object(t, `{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"namespace":"default","name":"team"},"spec":{"hard":{"pods":"1"}}}`))
		apply(t, c, deployment(t, "web", "nginx:1", 2))
		d := web(t, c)
		require.EqualValues(t, 1, d.Status.AvailableReplicas)
		var failure appsv1.DeploymentCondition
		for _, c := range d.Status.Conditions {
			if c.Type == appsv1.DeploymentReplicaFailure {
				failure = c
			}
		}
		require.Contains(t, failure.Message, "exceeded quota: team, requested: pods=1, used: pods=1, limited: pods=1")
		q := get[corev1.ResourceQuota](t, c, "v1", "ResourceQuota", "default", "team")
		used := q.Status.Used[corev1.ResourcePods]
		require.EqualValues(t, 1, used.Value())
	})
}
