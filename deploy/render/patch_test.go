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
		"a target that is not there":     `{kind: StatefulSet, component: web}, apply: {spec: {replicas: 2}}`,
		"an unknown field":               `{kind: Deployment, component: web}, apply: {spec: {replicaz: 2}}`,
		"a selector":                     `{kind: Deployment, component: web}, apply: {spec: {selector: {matchLabels: {a: b}}}}`,
		"a label of ours":                `{kind: Deployment, component: web}, apply: {metadata: {labels: {appspan.dev/application: other}}}`,
		"an owner":                       `{kind: Deployment, component: web}, apply: {metadata: {ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: b}]}}`,
		"a finalizer":                    `{kind: Deployment, component: web}, apply: {metadata: {finalizers: [a/b]}}`,
		"a status":                       `{kind: Deployment, component: web}, apply: {status: {replicas: 1}}`,
		"a privileged container":         `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, securityContext: {privileged: true}}]}}}}`,
		"a host path":                    `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {volumes: [{name: v, hostPath: {path: /}}]}}}}`,
		"the host's network":             `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {hostNetwork: true}}}}`,
		"a capability":                   `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}}}}`,
		"escalation":                     `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, securityContext: {allowPrivilegeEscalation: true}}]}}}}`,
		"running as root":                `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, securityContext: {runAsUser: 0, runAsNonRoot: false}}]}}}}`,
		"a new, unconfined container":    `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: other, image: x}]}}}}`,
		"dropped capabilities come back": `{kind: Deployment, component: web}, remove: ["spec.template.spec.containers[web].securityContext.capabilities"]`,
		"the pod's context goes":         `{kind: Deployment, component: web}, remove: ["spec.template.spec.securityContext"]`,
		"another seccomp profile":        `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, securityContext: {seccompProfile: {type: Unconfined}}}]}}}}`,
		"an unmasked proc":               `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, securityContext: {procMount: Unmasked}}]}}}}`,
		"sysctls":                        `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}]}}}}}`,
		"another service account":        `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {serviceAccountName: admin}}}}`,
		"a token":                        `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {automountServiceAccountToken: true}}}}`,
		"a host port":                    `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, ports: [{containerPort: 8080, hostPort: 80, protocol: TCP}]}]}}}}`,
		"a directive":                    `{kind: Deployment, component: web}, apply: {spec: {template: {spec: {containers: [{name: web, $patch: delete}]}}}}`,
		"a path that is not there":       `{kind: Deployment, component: web}, remove: ["spec.template.spec.containers[nobody].image"]`,
		"the removal of a selector":      `{kind: Deployment, component: web}, remove: ["spec.selector"]`,
		"the removal of confinement":     `{kind: Deployment, component: web}, remove: ["spec.template.spec.containers[web].securityContext"]`,
		"too much":                       `{kind: Deployment, component: web}, apply: {metadata: {annotations: {a: "` + strings.Repeat("x", 70<<10) + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := patched(t, "  - {id: p, target: "+patch+"}\n")
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, "patches[p]")
		})
	}
}
