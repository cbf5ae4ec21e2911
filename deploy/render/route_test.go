package render_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	netv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy/render"
)

// routed is an application whose routes are still to be written.
const routed = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: app}
parameters: [{name: host, schema: {type: string}, default: www.example.com}]
secrets: [{name: cert, type: tls, existing: cert}]
components:
  - {id: web, kind: service, image: "web:1", security: {runAsUser: 1}, ports: [{name: http, port: 8080, servicePort: 80}, {name: https, port: 8443, appProtocol: https}]}
  - {id: next, kind: service, image: "web:2", security: {runAsUser: 1}, ports: [{name: http, port: 8080}]}
  - {id: third, kind: service, image: "web:3", security: {runAsUser: 1}, ports: [{name: http, port: 8080}]}
  - {id: dns, kind: service, image: "dns:1", security: {runAsUser: 1}, ports: [{name: dns, port: 53, protocol: UDP}]}
`

// gatewayKinds are those of the Gateway API as clusters serve them.
var gatewayKinds = []driver.KindInfo{
	{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Namespaced: true},
	{APIVersion: "gateway.networking.k8s.io/v1alpha3", Kind: "TLSRoute", Namespaced: true},
	{APIVersion: "gateway.networking.k8s.io/v1alpha2", Kind: "TCPRoute", Namespaced: true},
	{APIVersion: "gateway.networking.k8s.io/v1alpha2", Kind: "UDPRoute", Namespaced: true},
}

// edges are clusters by what lets requests in.
func edges(t testing.TB) map[string]driver.Info {
	nginx, other, none, gateway := kinds(t), kinds(t), kinds(t), kinds(t, gatewayKinds...)
	nginx.IngressClasses = []driver.IngressClass{{Name: "nginx", Controller: "k8s.io/ingress-nginx", Default: true}}
	other.IngressClasses = []driver.IngressClass{{Name: "haproxy", Controller: "haproxy.org/ingress-controller", Default: true}}
	none.IngressClasses, gateway.IngressClasses = nil, nil
	gateway.Gateways = []driver.Gateway{
		{Namespace: "edge", Name: "intern", Listeners: []driver.Listener{{Name: "intern", Protocol: "HTTP", Port: 80, Hostname: "*.corp.example"}}},
		{Namespace: "edge", Name: "public", Listeners: []driver.Listener{
			{Name: "http", Protocol: "HTTP", Port: 80}, {Name: "https", Protocol: "HTTPS", Port: 443}, {Name: "tls", Protocol: "TLS", Port: 443, Hostname: "*.example.com"},
			{Name: "sql", Protocol: "TCP", Port: 3306}, {Name: "dns", Protocol: "UDP", Port: 53}}}}
	return map[string]driver.Info{"nginx": nginx, "other": other, "gateway": gateway, "none": none}
}

// decode is an application that is written in YAML; what has to be answered is.
func decode(t testing.TB, text string) *appmodel.Application {
	t.Helper()
	app, _, err := appmodel.Decode([]byte(text), nil)
	require.NoError(t, err)
	answers := map[string]appmodel.JSON{}
	for _, p := range app.Parameters {
		if p.Default == nil {
			answers[p.Name] = appmodel.JSON(`"answer"`)
		}
	}
	app, _, err = appmodel.Resolve(app, answers)
	require.NoError(t, err)
	return app
}

// edgeInput is an application for a cluster.
func edgeInput(app *appmodel.Application, info driver.Info) render.Input {
	return render.Input{Application: app, Info: info, Namespace: "ns", Installation: "test", HashKey: []byte("key"),
		Params:  map[string]appmodel.JSON{"host": appmodel.JSON(`"www.example.com"`)},
		Cluster: render.ClusterRef{Name: "eu-1", Labels: map[string]string{"region": "eu"}}}
}

// edgeText are the notes of an application, and its objects of some kinds.
func edgeText(t testing.TB, out *render.Output, kinds ...string) string {
	t.Helper()
	var b bytes.Buffer
	for _, n := range out.Notes {
		fmt.Fprintf(&b, "# %s: %s: %s\n", n.Severity, n.Path, n.Message)
	}
	for _, o := range out.Objects {
		if !slices.Contains(kinds, o.Kind) && !slices.Contains(kinds, o.Kind+" "+o.Labels[appmodel.LabelPart]) {
			continue
		}
		text, err := yaml.JSONToYAML(o.JSON)
		require.NoError(t, err)
		fmt.Fprintf(&b, "---\n%s", text)
	}
	return b.String()
}

// golden compares text to a file.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".yaml")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text, "review the difference, then run with -update")
}

// weightRoutes share requests.
const weightRoutes = `
routes:
  - id: two
    http: {hosts: [two.example.com], rules: [{path: /, to: [{component: web, port: http, weight: 3}, {component: next}]},
      {path: /sticky, sessionAffinity: cookie, to: [{component: web, port: http, weight: 900}, {component: next, weight: 100}]}]}
  - id: three
    http: {hosts: [three.example.com], rules: [{path: /, to: [{component: web, port: http}, {component: next, weight: 2}, {component: third}]}]}
  - id: header
    http: {hosts: [header.example.com], rules: [{name: beta, path: /, headers: [{name: X-Beta, value: "yes"}], to: [{component: next}]}, {path: /, to: [{component: web, port: http}]},
      {name: posts, path: /, method: POST, to: [{component: third}]}]}
`

// extraRoutes ask for more than host and path.
const extraRoutes = `
routes:
  - id: chat
    http: {hosts: ["${param.host}"], tls: {issuer: letsencrypt}, rules: [{path: /, to: [{component: web, port: http}]}, {path: /ws, webSocket: true, to: [{component: next}]},
      {path: /v1.0, match: exact, to: [{component: third}]}, {path: /old, rewrite: {prefix: /new}, to: [{component: third}]}]}
  - id: extras
    http: {hosts: [extras.example.com, "*.extras.example.com"], tls: {secret: cert}, rules: [
      {path: /bounded, maxBodySize: 20Mi, timeouts: {connect: 5s, request: 1500ms, backend: 1h}, to: [{component: next}]},
      {path: /patient, timeouts: {backend: 90m}, sessionAffinity: clientIP, to: [{component: next}]},
      {path: /whole, rewrite: {path: /all, host: inner.example}, to: [{component: third}]},
      {name: root, path: /, match: regex, to: [{component: web, port: https}]},
      {name: picked, path: /, method: PUT, headers: [{name: X-Beta, value: "1"}], cookies: [{name: beta, value: a.b}], to: [{component: next}]},
      {name: cookies, path: /, cookies: [{name: a, value: b}, {name: c, value: d}], to: [{component: next}]},
      {name: purge, path: /, method: PURGE, to: [{component: next}]}]}
`

// streamRoutes are for what is not HTTP.
const streamRoutes = `
routes:
  - {id: sql, tcp: {port: 3306, to: [{component: web, port: http, weight: 9}, {component: next}]}}
  - {id: other-port, annotations: {example.com/pool: blue}, tcp: {port: 3307, to: [{component: next}]}}
  - {id: asked, tcp: {port: 3308, expose: gateway, to: [{component: next}]}}
  - {id: balanced, tcp: {port: 3306, expose: loadBalancer, to: [{component: next}]}}
  - {id: node, tcp: {port: 30306, expose: nodePort, to: [{component: next}]}}
  - {id: any-node, objectName: pinned, udp: {port: 53, expose: nodePort, to: [{component: dns}]}}
  - {id: names, udp: {port: 53, to: [{component: dns}]}}
  - {id: through, tls: {hosts: [mail.example.com], to: [{component: web, port: https}]}}
  - {id: elsewhere, tls: {hosts: [mail.example.org], port: 8443, to: [{component: web, port: https}]}}
  - {id: no-host, tls: {to: [{component: web, port: https}]}}
`

func TestRoutesRenderToTheirGoldens(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, routes string
		kinds        []string
	}{
		{name: "weights", kinds: []string{"Ingress", "HTTPRoute"}, routes: weightRoutes},
		{name: "websocket", kinds: []string{"Ingress", "HTTPRoute"}, routes: extraRoutes},
		{name: "stream", kinds: []string{"TLSRoute", "TCPRoute", "UDPRoute", "Service public"}, routes: streamRoutes},
	} {
		for edge, info := range edges(t) {
			if test.name == "stream" && (edge == "nginx" || edge == "other") {
				continue // an Ingress is for HTTP
			}
			t.Run(test.name+" on "+edge, func(t *testing.T) {
				t.Parallel()
				out, err := render.Render(edgeInput(decode(t, routed+test.routes), info))
				require.NoError(t, err)
				golden(t, test.name+"-"+edge, edgeText(t, out, test.kinds...))
			})
		}
	}
}

// ingresses are the rendered ones by name, decoded strictly.
func ingresses(t *testing.T, out *render.Output) map[string]netv1.Ingress {
	t.Helper()
	found := map[string]netv1.Ingress{}
	for _, o := range out.Objects {
		if o.Kind == "Ingress" {
			var ing netv1.Ingress
			require.NoError(t, yaml.UnmarshalStrict(o.JSON, &ing))
			found[o.Name] = ing
		}
	}
	return found
}

func TestACanaryGetsItsShare(t *testing.T) {
	t.Parallel()
	const prefix = "nginx.ingress.kubernetes.io/"
	for _, test := range []struct{ name, to, weight, total string }{
		{"small weights are scaled, as less than a hundred in all counts as a hundred", "{component: web, weight: 1}, {component: next, weight: 2}", "68", "102"},
		{"weights of a hundred and more stay", "{component: web, weight: 999}, {component: next, weight: 1}", "1", "1000"},
		{"an absent weight is one", "{component: web}, {component: next}", "50", "100"},
		{"the second backend stays the canary when it gets everything", "{component: web, weight: 0}, {component: next, weight: 100}", "100", "100"},
		{"a canary may get nothing yet", "{component: web, weight: 100}, {component: next, weight: 0}", "0", "100"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			app := decode(t, routed+"routes: [{id: r, http: {hosts: [a.example], rules: [{to: ["+strings.ReplaceAll(test.to, "web", "web, port: http")+"]}]}}]\n")
			out, err := render.Render(edgeInput(app, edges(t)["nginx"]))
			require.NoError(t, err)
			require.Empty(t, out.Notes)
			found := ingresses(t, out)
			require.Len(t, found, 2)
			main, canary := found["app-r"], found["app-r-canary"]
			require.Equal(t, map[string]string{prefix + "canary": "true", prefix + "canary-weight": test.weight, prefix + "canary-weight-total": test.total}, canary.Annotations)
			require.Empty(t, main.Annotations)
			require.Equal(t, "app-web", main.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name)
			require.Equal(t, "app-next", canary.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name)
			main.Spec.Rules[0].HTTP.Paths[0].Backend = canary.Spec.Rules[0].HTTP.Paths[0].Backend
			require.Equal(t, main.Spec.Rules, canary.Spec.Rules, "a canary has the hosts and paths of its main Ingress")
		})
	}
}

// What a cluster says of itself is what routes are rendered for, and it takes
// them.
func TestAnAPIServerAcceptsEveryRoute(t *testing.T) {
	t.Parallel()
	gateway := edges(t)["gateway"].Gateways
	for name, options := range map[string]*fake.Options{"nginx": {}, "gateway": {Gateways: gateway}, "none": {IngressClasses: []driver.IngressClass{}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fake.New(options)
			defer f.Close()
			info, err := f.Info(t.Context())
			require.NoError(t, err)
			ns, err := driver.ParseObject([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"ns"}}`))
			require.NoError(t, err)
			_, err = f.Apply(t.Context(), ns, driver.ApplyOptions{Manager: "test"})
			require.NoError(t, err)
			for _, routes := range []string{weightRoutes, extraRoutes, streamRoutes} {
				out, err := render.Render(edgeInput(decode(t, routed+routes), info))
				require.NoError(t, err)
				for _, o := range out.Objects {
					_, err := f.Apply(t.Context(), o.Object, driver.ApplyOptions{Manager: "test"})
					require.NoError(t, err, o.Ref)
				}
			}
		})
	}
}
