package render_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

const functionShop = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: app}
components:
  - id: plain
    kind: function
    image: i
    aliases: [resize]
    ports: [{port: 8080, appProtocol: h2c}, {port: 9000}]
    scale: {replicas: 2, auto: {min: 0, max: 9, scaleDownDelay: 1m, metrics: [{requestRate: {target: 50}}, {concurrency: {target: 5}}]}}
  - id: full
    kind: function
    image: i
    ports: [{name: http, port: 8080}]
    security: {fsGroup: 7}
    lifecycle: {gracePeriod: 1m, preStop: {sleep: 3s}}
    volumes: [{name: data, kind: persistent, size: 1Gi, accessMode: ReadWriteMany}]
    mounts: [{path: /data, volume: data}]
    initContainers: [{name: first, image: j}]
    sidecars: [{name: log, image: k, probes: {readiness: {tcp: {port: 99}}}}]
    scheduling: {nodeSelector: {disk: fast}, architectures: [arm64], priorityClass: high, tolerations: [{key: gpu, operator: Exists}], spread: [{over: zone}]}
    resources: {requests: {cpu: 1}}
    scale: {auto: {min: 0, max: 3, metrics: [{cpu: {utilization: 80}}, {custom: {metric: jobs, target: 3}}], schedules: [{name: day, cron: "0 8 * * *", replicas: 2}]}}
routes: [{id: r, http: {hosts: [f.example.com], rules: [{to: [{component: full}]}]}}]
`

// strictly decodes the built-in kinds that a function is next to.
func strictly(t *testing.T, out *render.Output) {
	t.Helper()
	for _, o := range out.Objects {
		switch o.APIVersion + " " + o.Kind {
		case "v1 Service":
			require.NoError(t, yaml.UnmarshalStrict(o.JSON, &corev1.Service{}), o.Ref)
		case "networking.k8s.io/v1 NetworkPolicy":
			require.NoError(t, yaml.UnmarshalStrict(o.JSON, &netv1.NetworkPolicy{}), o.Ref)
		}
	}
}

func TestFunctionsOnKnativeRenderToTheirGolden(t *testing.T) {
	t.Parallel()
	out, err := render.Render(edgeInput(decode(t, functionShop), kinds(t, extras[1])))
	require.NoError(t, err)
	golden(t, "function-knative", edgeText(t, out, "Service", "Service alias", "NetworkPolicy"))
	strictly(t, out)
}

func TestAFunctionWithoutKnativeIsADeployment(t *testing.T) {
	t.Parallel()
	out, err := render.Render(podInput(t, single("function", "ports: [{port: 8080}]")))
	require.NoError(t, err)
	require.NotNil(t, find(t, out, "Deployment/shop-x"))
	require.Contains(t, out.Notes, render.Note{Severity: render.Information, Component: "x", Path: "components[x].kind",
		Message: "the cluster has no Knative Serving; the function runs as a Deployment and does not scale to zero"})
}

func TestAFunctionDoesNotTakeThePortsOfKnative(t *testing.T) {
	t.Parallel()
	in := podInput(t, single("function", "ports: [{port: 8012}]"))
	in.Info.Kinds = []driver.KindInfo{extras[1]}
	_, err := render.Render(in)
	require.ErrorIs(t, err, appspan.ErrUnsupported)
	require.ErrorContains(t, err, "such as 8080")
}
