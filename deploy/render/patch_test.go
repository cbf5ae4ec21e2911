package render_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

func patched(t *testing.T, patch string) (*render.Output, error) {
	t.Helper()
	app, _, err := appmodel.Decode([]byte(`apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - id: web
    kind: service
    image: registry.example.com/web:1
    env: [{name: A, value: "1"}]
    ports: [{name: http, port: 8080}]
    resources: {limits: {memory: 64Mi}}
    security: {runAsUser: 1000}
patches:
`+patch), nil)
	if err != nil {
		return nil, err
	}
	return render.Render(render.Input{Application: app, Namespace: "shop", Installation: "test", Info: driver.Info{Version: "v1.37.2"}, HashKey: []byte("k")})
}

func TestPatchesMergeByKeyAndRemove(t *testing.T) {
	t.Parallel()
	out, err := patched(t, `
  - id: p
    target: {kind: Deployment, component: web}
    apply: {spec: {template: {spec: {dnsPolicy: Default, containers: [{name: web, env: [{name: B, value: "2"}]}]}}}}
    remove: ["spec.template.spec.containers[web].resources.limits"]
`)
	require.NoError(t, err)
	for _, o := range out.Objects {
		if o.Kind != "Deployment" {
			continue
		}
		text := string(o.JSON)
		require.Contains(t, text, `"dnsPolicy":"Default"`)
		require.Contains(t, text, `{"name":"A","value":"1"}`)
		require.Contains(t, text, `{"name":"B","value":"2"}`)
		require.NotContains(t, text, `64Mi`)
		return
	}
	t.Fatal("no Deployment was rendered")
}

func TestPatchesHaveBounds(t *testing.T) {
	t.Parallel()
	for name, patch := range map[string]string{
		"a target that is not there":    `{kind: StatefulSet, component: web}, apply: {spec: {replicas: 2}}`,
		"an unknown field":              `{kind: Deployment, component: web}, apply: {spec: {replicaz: 2}}`,
		"a selector":                    `{kind: Deployment, component: web}, apply: {spec: {selector: {matchLabels: {a: b}}}}`,
		"a label of ours":               `{kind: Deployment, component: web}, apply: {metadata: {labels: {appspan.dev/application: other}}}`,
		"an owner":                      `{kind: Deployment, component: web}, apply: {metadata: {ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: b}]}}`,
		"a finalizer":                   `{kind: Deployment, component: web}, apply: {metadata: {finalizers: [a/b]}}`,
		"a status":                      `{kind: Deployment, component: web}, apply: {status: {replicas: 1}}`,
		"an apply that is no object":    `{kind: Deployment, component: web}, apply: [1]`,
		"a list that is none":           `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: {a: b}}}}}`,
		"a field of a wrong type":       `{kind: Deployment, component: web}, apply: {spec: {replicas: many}}`,
		"a network policy's selector":   `{kind: NetworkPolicy, component: web}, apply: {spec: {podSelector: {matchLabels: {a: b}}}}`,
		"a path with an empty bracket":  `{kind: Deployment, component: web}, remove: ["spec.template[]"]`,
		"a target that is not rendered": `{kind: Pod, component: web}, apply: {spec: {replicas: 2}}`,
		"a directive":                   `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, $patch: delete}]}}}}`,
		"a path that is not there":      `{kind: Deployment, component: web}, remove: ["spec.template.spec.containers[nobody].image"]`,
		"the removal of a selector":     `{kind: Deployment, component: web}, remove: ["spec.selector"]`,
		"too much":                      `{kind: Deployment, component: web}, apply: {metadata: {annotations: {a: "` + strings.Repeat("x", 70<<10) + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := patched(t, "  - {id: p, target: "+patch+"}\n")
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.Regexp(t, `patches\[p\].*: .+; \w`, err.Error(), "a path, and a next step")
		})
	}
}
