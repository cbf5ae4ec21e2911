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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod is a bare one.
func pod(t testing.TB, name, label string) driver.Object {
	t.Helper()
	return object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","name":%q,"labels":{"app":%q}},"spec":{"containers":[{"name":"main","image":"x:1"}]}}`, name, label)
}

var pods = driver.Query{APIVersion: "v1", Kind: "Pod", Namespace: "default"}

// controllerOf is the kind and name of what controls a pod, or empty.
func controllerOf(t testing.TB, c *fake.Cluster, name string) string {
	t.Helper()
	p := get[corev1.Pod](t, c, "v1", "Pod", "default", name)
	ref := metav1.GetControllerOf(&p)
	if ref == nil {
		return ""
	}
	return ref.Kind + " " + ref.Name
}

func TestAControllerAdoptsThePodsThatItSelects(t *testing.T) {
	for kind, bare := range map[string]string{"ReplicaSet": "one", "StatefulSet": "web-0"} {
		t.Run("a "+kind+" that comes after the pod", func(t *testing.T) {
			simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
				apply(t, c, pod(t, bare, "web"))
				apply(t, c, pod(t, "other", "other"))
				apply(t, c, workload(t, kind, "web", `,"replicas":2`))
				synctest.Wait()
				require.Equal(t, 3, count(t, c, pods), "one of the two was there")
				require.Equal(t, kind+" web", controllerOf(t, c, bare))
				require.Empty(t, controllerOf(t, c, "other"))
			})
		})
		t.Run("a "+kind+" that was there before", func(t *testing.T) {
			simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
				apply(t, c, workload(t, kind, "web", `,"replicas":0`))
				synctest.Wait()
				apply(t, c, pod(t, bare, "web"))
				synctest.Wait()
				require.Zero(t, count(t, c, pods), "one more than it wants is deleted")
			})
		})
	}
}

func TestAStatefulSetAdoptsOnlyPodsWithNamesOfItsOwn(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		for _, name := range []string{"web-x", "web-a-0", "0"} {
			apply(t, c, pod(t, name, "web"))
		}
		apply(t, c, workload(t, "StatefulSet", "web", `,"replicas":1`))
		synctest.Wait()
		require.Equal(t, 4, count(t, c, pods))
		for _, name := range []string{"web-x", "web-a-0", "0"} {
			require.Empty(t, controllerOf(t, c, name))
		}
	})
}

func TestAControllerLetsGoOfWhatItSelectsNoMore(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, workload(t, "ReplicaSet", "web", `,"replicas":1`))
		synctest.Wait()
		page, err := c.List(t.Context(), pods)
		require.NoError(t, err)
		first := page.Items[0].Name
		label := func(value string) {
			_, err := c.Apply(t.Context(), object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","name":%q,"labels":{"app":%q}}}`, first, value),
				driver.ApplyOptions{Manager: "test", Force: true})
			require.NoError(t, err)
		}
		label("quarantine")
		synctest.Wait()
		require.Empty(t, controllerOf(t, c, first), "it goes on, as nobody's")
		require.Equal(t, 2, count(t, c, pods), "and has a successor")

		label("web")
		synctest.Wait()
		require.Equal(t, 1, count(t, c, pods), "it is adopted again, and one of the two is too many")
	})
}

func TestADeploymentTakesUpWhatOneBeforeItLeftBehind(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		web := workload(t, "Deployment", "web", `,"replicas":2`)
		apply(t, c, web)
		synctest.Wait()
		names := func() (all []string) {
			page, err := c.List(t.Context(), pods)
			require.NoError(t, err)
			for _, p := range page.Items {
				all = append(all, p.Name)
			}
			return all
		}
		before := names()
		require.NoError(t, c.Delete(t.Context(), web.Ref, driver.DeleteOptions{Propagation: driver.Orphan}))
		synctest.Wait()
		apply(t, c, web)
		synctest.Wait()
		require.Equal(t, before, names(), "the same pods run")
		sets, err := c.List(t.Context(), driver.Query{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: "default"})
		require.NoError(t, err)
		require.Len(t, sets.Items, 1)
		set := get[appsv1.ReplicaSet](t, c, "apps/v1", "ReplicaSet", "default", sets.Items[0].Name)
		require.Equal(t, get[appsv1.Deployment](t, c, "apps/v1", "Deployment", "default", "web").UID, metav1.GetControllerOf(&set).UID)
	})
}

func TestTheFirstPodOfAStatefulSetIsMadeOnce(t *testing.T) {
	simulate(t, &fake.Options{ReadyAfter: time.Second}, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, workload(t, "StatefulSet", "db", `,"replicas":1`))
		synctest.Wait()
		first := get[corev1.Pod](t, c, "v1", "Pod", "default", "db-0").UID
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, first, get[corev1.Pod](t, c, "v1", "Pod", "default", "db-0").UID)
		require.Equal(t, 1, count(t, c, driver.Query{APIVersion: "apps/v1", Kind: "ControllerRevision", Namespace: "default"}))
		s := get[appsv1.StatefulSet](t, c, "apps/v1", "StatefulSet", "default", "db")
		require.Equal(t, s.Status.CurrentRevision, s.Status.UpdateRevision)
	})
}
