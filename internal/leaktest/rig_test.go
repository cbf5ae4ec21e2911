package leaktest_test

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/kuberecords"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
)

// TestRigNoCredentialIsLeftAnywhere is the same on a real control plane, which
// is the hub that holds the records, and one of the clusters.
func TestRigNoCredentialIsLeftAnywhere(t *testing.T) {
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	w := newWorld(t)
	config := must(clientcmd.LoadFromFile(file))
	d, err := kube.FromKubeconfig(must(clientcmd.Write(*config)), "rig-1", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	suffix := strconv.FormatInt(time.Now().UnixNano()%1e10, 36)
	w.hubRecords(d, "leaktest-hub-"+suffix)
	chosen := config.Contexts["rig-1"]
	w.finder.Add("the token of the rig's kubeconfig", []byte(config.AuthInfos[chosen.AuthInfo].Token))

	stop := w.follow()
	p := w.start()
	w.fleet(p.fleet)
	w.tunnels(p.fleet, p.hub)
	w.add(p.fleet, cluster.Registration{Name: "real", Provider: "kubeconfig", Config: must(clientcmd.Write(*config)), Context: "rig-1"})
	c, err := p.fleet.Cluster(t.Context(), "real")
	require.NoError(t, err)
	w.policy(c, "leaktest-"+suffix)
	place := config.Clusters[chosen.Cluster]
	w.story(p, place.Server, place.CertificateAuthorityData, "leaktest-"+suffix, "real", "edge")
	w.leave(p.fleet)
	w.ok("closing", p.fleet.Close())
	w.ok("closing", p.hub.Close())
	stop()
	w.clean("when all is closed")
}

// hubRecords keeps the world's records in Secrets of a namespace.
func (w *world) hubRecords(hub driver.Cluster, namespace string) {
	ctx := w.t.Context()
	space := must(driver.NewObject(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}}))
	_, err := hub.Apply(ctx, space, driver.ApplyOptions{Manager: "test"})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = hub.Delete(context.Background(), space.Ref, driver.DeleteOptions{}) })
	d, err := kuberecords.NewRecords(hub, kuberecords.Options{Namespace: namespace})
	require.NoError(w.t, err)
	w.open(storage.NewRecords(d, nil))
	files := w.files
	w.stored = func() map[string][]byte {
		all := files()
		for q := (driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: namespace}); ; {
			page, err := hub.List(context.Background(), q)
			require.NoError(w.t, err)
			for _, obj := range page.Items {
				var secret struct {
					Data map[string][]byte `json:"data"`
				}
				require.NoError(w.t, json.Unmarshal(obj.JSON, &secret))
				name := "Secret " + obj.Name
				all[name] = append(all[name], obj.JSON...)
				for _, v := range secret.Data {
					all[name] = append(append(all[name], '\n'), v...)
				}
			}
			if q.Continue = page.Continue; q.Continue == "" {
				break
			}
		}
		require.Greater(w.t, len(all), 20)
		return all
	}
}

// policy has the API server refuse Secrets named "refused" in a namespace, and
// tell what is in them.
func (w *world) policy(c *cluster.Cluster, namespace string) {
	for _, v := range []any{
		map[string]any{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": map[string]any{"name": namespace},
			"spec": map[string]any{
				"matchConstraints": map[string]any{"resourceRules": []any{map[string]any{"apiGroups": []string{""}, "apiVersions": []string{"v1"},
					"operations": []string{"CREATE", "UPDATE"}, "resources": []string{"secrets"}}}},
				"validations": []any{map[string]any{"expression": "object.metadata.name != 'refused'", "messageExpression": "'not with ' + string(object.data['password'])"}},
			}},
		map[string]any{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": map[string]any{"name": namespace},
			"spec": map[string]any{"policyName": namespace, "validationActions": []string{"Deny"},
				"matchResources": map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": namespace}}}}},
	} {
		obj := must(cluster.NewObject(v))
		_, err := c.Apply(w.t.Context(), obj, cluster.ApplyOptions{Manager: "test"})
		w.ok("a policy", err)
		w.t.Cleanup(func() { _ = c.Delete(context.Background(), obj.Ref, cluster.DeleteOptions{}) })
	}
}
