package render_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

const monitoredShop = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: app}
components:
  - {id: api, kind: service, image: i, annotations: {prometheus.io/path: /own}, ports: [{name: http, port: 8080}, {name: more, port: 9000}], monitors: [{port: http, interval: 30s}, {port: more, path: /m}]}
  - {id: fn, kind: function, image: i, ports: [{name: http, port: 8080}], monitors: [{port: http}]}
`

func TestMonitorsRenderToTheirGoldens(t *testing.T) {
	t.Parallel()
	pods := driver.KindInfo{APIVersion: "monitoring.coreos.com/v1", Kind: "PodMonitor", Namespaced: true}
	for name, info := range map[string]driver.Info{"operator": kinds(t, extras[1], extras[2], pods), "plain": kinds(t, extras[1]), "nothing": kinds(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := render.Render(edgeInput(decode(t, monitoredShop), info))
			require.NoError(t, err)
			golden(t, "monitor-"+name, edgeText(t, out, "ServiceMonitor", "PodMonitor", "Deployment", "Service"))
			strictly(t, out)
			for _, o := range out.Objects {
				if o.Kind == "Deployment" {
					require.NoError(t, yaml.UnmarshalStrict(o.JSON, &appsv1.Deployment{}))
				}
			}
		})
	}
}
