package fake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

func count(t testing.TB, c driver.Cluster, q driver.Query) int {
	t.Helper()
	q.Limit = 5000
	page, err := c.List(t.Context(), q)
	require.NoError(t, err)
	return len(page.Items)
}

func running(t testing.TB, c driver.Cluster) int {
	t.Helper()
	return count(t, c, driver.Query{APIVersion: "v1", Kind: "Pod", Namespace: "default", Fields: "status.phase=Running"})
}

func workload(t testing.TB, kind, name, spec string) driver.Object {
	t.Helper()
	return object(t, `{"apiVersion":"apps/v1","kind":%q,"metadata":{"namespace":"default","name":%q},"spec":{"selector":{"matchLabels":{"app":%q}},
		"template":{"metadata":{"labels":{"app":%q}},"spec":{"containers":[{"name":"main","image":"x:1"}]}}%s}}`, kind, name, name, name, spec)
}

func TestAStatefulSetStartsInOrderAndKeepsItsClaims(t *testing.T) {
	simulate(t, &fake.Options{ReadyAfter: time.Second}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, workload(t, "StatefulSet", "db", `,"replicas":3,"serviceName":"db","volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]`))
		synctest.Wait()
		pods := driver.Query{APIVersion: "v1", Kind: "Pod", Namespace: "default"}
		for i := range 3 {
			require.Equal(t, i+1, count(t, c, pods), "the next pod waits for the one before")
			time.Sleep(time.Second)
			synctest.Wait()
		}
		require.Equal(t, 3, running(t, c))
		s := get[appsv1.StatefulSet](t, c, "apps/v1", "StatefulSet", "default", "db")
		require.EqualValues(t, 3, s.Status.AvailableReplicas)
		require.Equal(t, s.Status.UpdateRevision, s.Status.CurrentRevision)

		require.NoError(t, c.Delete(t.Context(), driver.Ref{APIVersion: "apps/v1", Kind: "StatefulSet", Namespace: "default", Name: "db"}, driver.DeleteOptions{}))
		synctest.Wait()
		require.Zero(t, count(t, c, pods))
		require.Equal(t, 3, count(t, c, driver.Query{APIVersion: "v1", Kind: "PersistentVolumeClaim"}))
		require.Equal(t, corev1.ClaimBound, get[corev1.PersistentVolumeClaim](t, c, "v1", "PersistentVolumeClaim", "default", "data-db-0").Status.Phase)
	})
}

func TestAStatefulSetUpdatesFromTheHighestNumber(t *testing.T) {
	simulate(t, &fake.Options{ReadyAfter: time.Second}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, workload(t, "StatefulSet", "db", `,"replicas":2`))
		time.Sleep(10 * time.Second)
		apply(t, c, workload(t, "StatefulSet", "db", `,"replicas":2,"minReadySeconds":1`))
		o := workload(t, "StatefulSet", "db", `,"replicas":2`)
		_, err := c.Apply(t.Context(), object(t, "%s", replaced(o, "x:1", "x:2")), driver.ApplyOptions{Manager: "test"})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, "x:1", get[corev1.Pod](t, c, "v1", "Pod", "default", "db-0").Spec.Containers[0].Image)
		require.Equal(t, "x:2", get[corev1.Pod](t, c, "v1", "Pod", "default", "db-1").Spec.Containers[0].Image)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, "x:2", get[corev1.Pod](t, c, "v1", "Pod", "default", "db-0").Spec.Containers[0].Image)
	})
}

func TestADaemonSetCoversEveryNode(t *testing.T) {
	simulate(t, &fake.Options{Nodes: fake.Nodes(5, "4", "8Gi")}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, workload(t, "DaemonSet", "agent", ""))
		synctest.Wait()
		d := get[appsv1.DaemonSet](t, c, "apps/v1", "DaemonSet", "default", "agent")
		require.EqualValues(t, 5, d.Status.NumberAvailable)
		for _, n := range []string{"node-1", "node-5"} {
			require.Equal(t, 1, count(t, c, driver.Query{APIVersion: "v1", Kind: "Pod", Fields: "spec.nodeName=" + n}))
		}
	})
}

const jobSpec = `{"backoffLimit":1,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"x:1"}]}}}`

func TestAJobCompletesAfterItsTime(t *testing.T) {
	simulate(t, &fake.Options{JobDuration: time.Minute}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, object(t, `{"apiVersion":"batch/v1","kind":"Job","metadata":{"namespace":"default","name":"migrate"},"spec":%s}`, jobSpec))
		synctest.Wait()
		require.EqualValues(t, 1, get[batchv1.Job](t, c, "batch/v1", "Job", "default", "migrate").Status.Active)
		time.Sleep(time.Minute)
		synctest.Wait()
		j := get[batchv1.Job](t, c, "batch/v1", "Job", "default", "migrate")
		require.EqualValues(t, 1, j.Status.Succeeded)
		require.NotNil(t, j.Status.CompletionTime)
	})
}

func TestAJobThatCrashesFailsAtItsLimit(t *testing.T) {
	simulate(t, &fake.Options{Scripts: []fake.Script{{Failure: fake.CrashLoop}}}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, object(t, `{"apiVersion":"batch/v1","kind":"Job","metadata":{"namespace":"default","name":"migrate"},"spec":%s}`, jobSpec))
		synctest.Wait()
		j := get[batchv1.Job](t, c, "batch/v1", "Job", "default", "migrate")
		require.EqualValues(t, 2, j.Status.Failed)
		require.Equal(t, batchv1.JobFailed, j.Status.Conditions[len(j.Status.Conditions)-1].Type)
	})
}

func TestACronJobRunsOnTheClock(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, object(t, `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"namespace":"default","name":"report"},"spec":{"schedule":"*/5 * * * *","jobTemplate":{"spec":%s}}}`, jobSpec))
		time.Sleep(12 * time.Minute)
		synctest.Wait()
		require.Equal(t, 2, count(t, c, driver.Query{APIVersion: "batch/v1", Kind: "Job"}))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 3, count(t, c, driver.Query{APIVersion: "batch/v1", Kind: "Job"}), "successfulJobsHistoryLimit")
	})
}

func TestAClaimOfAWaitingClassIsBoundByItsFirstPod(t *testing.T) {
	opts := &fake.Options{StorageClasses: []driver.StorageClass{{Name: "local", Provisioner: "local", Default: true, WaitForConsumer: true}}}
	simulate(t, opts, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, object(t, `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"namespace":"default","name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}`))
		synctest.Wait()
		require.Equal(t, corev1.ClaimPending, get[corev1.PersistentVolumeClaim](t, c, "v1", "PersistentVolumeClaim", "default", "data").Status.Phase)
		apply(t, c, object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","name":"p"},"spec":{"containers":[{"name":"m","image":"x"}],"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}]}}`))
		synctest.Wait()
		require.Equal(t, corev1.ClaimBound, get[corev1.PersistentVolumeClaim](t, c, "v1", "PersistentVolumeClaim", "default", "data").Status.Phase)

		ref := driver.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "default", Name: "data"}
		require.NoError(t, c.Delete(t.Context(), ref, driver.DeleteOptions{}))
		_, err := c.Get(t.Context(), ref)
		require.NoError(t, err, "a claim in use is protected")
		require.NoError(t, c.Delete(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "p"}, driver.DeleteOptions{}))
		synctest.Wait()
		_, err = c.Get(t.Context(), ref)
		require.ErrorIs(t, err, appspan.ErrNotFound)
		require.Zero(t, count(t, c, driver.Query{APIVersion: "v1", Kind: "PersistentVolume"}))
	})
}

func TestAServiceHasTheReadyPodsAsEndpoints(t *testing.T) {
	simulate(t, &fake.Options{ReadyAfter: time.Second}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, object(t, `{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"default","name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80}]}}`))
		apply(t, c, deployment(t, "web", "nginx:1", 2))
		ready := func() int {
			synctest.Wait()
			page, err := c.List(t.Context(), driver.Query{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Labels: "kubernetes.io/service-name=web"})
			require.NoError(t, err)
			require.Len(t, page.Items, 1)
			n := 0
			for _, e := range get[discoveryv1.EndpointSlice](t, c, "discovery.k8s.io/v1", "EndpointSlice", "default", page.Items[0].Name).Endpoints {
				if *e.Conditions.Ready {
					n++
				}
			}
			return n
		}
		require.Zero(t, ready())
		time.Sleep(time.Second)
		require.Equal(t, 2, ready())
	})
}

func TestAnAutoscalerFollowsTheLoad(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "nginx:1", 2))
		apply(t, c, object(t, `{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"namespace":"default","name":"web"},
			"spec":{"minReplicas":1,"maxReplicas":5,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}`))
		synctest.Wait()
		require.Equal(t, 2, running(t, c), "without metrics nothing changes")
		c.SetLoad("default", "web", 320)
		synctest.Wait()
		require.Equal(t, 4, running(t, c))
		require.EqualValues(t, 4, get[autoscalingv2.HorizontalPodAutoscaler](t, c, "autoscaling/v2", "HorizontalPodAutoscaler", "default", "web").Status.DesiredReplicas)
		c.SetLoad("default", "web", 10)
		synctest.Wait()
		require.Equal(t, 1, running(t, c))
	})
}
