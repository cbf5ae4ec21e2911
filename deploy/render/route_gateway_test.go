package render_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// gatewayObject is what tests read of a route of the Gateway API.
type gatewayObject struct {
	Spec struct {
		ParentRefs []struct{ Namespace, Name, SectionName string }
		Hostnames  []string
		Rules      []struct {
			Filters []struct {
				Type       string
				URLRewrite struct{ Hostname string }
			}
			BackendRefs []struct {
				Name string
				Port int
			}
			Timeouts struct{ Request, BackendRequest string }
		}
	}
}

// gatewayObjects are the rendered routes of a kind by name.
func gatewayObjects(t *testing.T, out *render.Output, kind string) map[string]gatewayObject {
	t.Helper()
	found := map[string]gatewayObject{}
	for _, o := range out.Objects {
		if o.Kind == kind {
			var r gatewayObject
			require.NoError(t, json.Unmarshal(o.JSON, &r))
			found[o.Name] = r
		}
	}
	return found
}

func TestARouteIsAttachedWhereItIsServed(t *testing.T) {
	t.Parallel()
	const http = `{id: r, %shttp: {hosts: [%s], rules: [{to: [{component: next}]}]}}`
	for _, test := range []struct{ name, route, kind, want string }{
		{"by the first listener that takes the host", fmt.Sprintf(http, "", "a.example.com"), "HTTPRoute", "edge/public/"},
		{"by a listener of the host's domain", fmt.Sprintf(http, "", "a.corp.example"), "HTTPRoute", "edge/intern/"},
		{"by a listener of a domain within the wildcard", fmt.Sprintf(http, "", `"*.deep.corp.example"`), "HTTPRoute", "edge/intern/"},
		{"by the gateway that it asks for", fmt.Sprintf(http, "class: edge/public, ", "a.corp.example"), "HTTPRoute", "edge/public/"},
		{"by the first that there is, if it asks for a class that is not", fmt.Sprintf(http, "class: special, ", "a.example.com"), "HTTPRoute", "edge/public/"},
		{"by a listener of one host among those of a wildcard", fmt.Sprintf(http, "", `"*.one.example"`), "HTTPRoute", "edge/one/"},
		{"not by a gateway that does not take the host", fmt.Sprintf(http, "class: edge/intern, ", "a.example.com"), "HTTPRoute", ""},
		{"not by a gateway if it asks for an ingress class", fmt.Sprintf(http, "class: nginx, ", "a.example.com"), "HTTPRoute", ""},
		{"TCP by the listener of the port", `{id: r, tcp: {port: 3306, to: [{component: next}]}}`, "TCPRoute", "edge/public/sql"},
		{"TCP by no listener of another port, which others use", `{id: r, tcp: {port: 3307, to: [{component: next}]}}`, "TCPRoute", ""},
		{"TLS on another port, which hosts tell apart", `{id: r, tls: {hosts: [a.example.com], port: 8443, to: [{component: next}]}}`, "TLSRoute", "edge/one/tls-other"},
		{"TLS on its own port first", `{id: r, tls: {hosts: [a.example.com], to: [{component: next}]}}`, "TLSRoute", "edge/public/tls"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			info := edges(t)["gateway"]
			info.Gateways = append([]driver.Gateway{{Namespace: "edge", Name: "one", Listeners: []driver.Listener{
				{Name: "one", Protocol: "HTTP", Port: 80, Hostname: "a.one.example"}, {Name: "tls-other", Protocol: "TLS", Port: 1443}}}}, info.Gateways...)
			info.IngressClasses = []driver.IngressClass{{Name: "nginx", Controller: "k8s.io/ingress-nginx"}}
			out, err := render.Render(edgeInput(decode(t, routed+"routes: ["+test.route+"]\n"), info))
			require.NoError(t, err)
			r, ok := gatewayObjects(t, out, test.kind)["app-r"]
			require.Equal(t, test.want != "", ok)
			if ok {
				require.Len(t, r.Spec.ParentRefs, 1)
				p := r.Spec.ParentRefs[0]
				require.Equal(t, test.want, p.Namespace+"/"+p.Name+"/"+p.SectionName)
			}
		})
	}
}

func TestARouteIsWrittenInTheBestVersionServed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		served []string
		want   string
	}{
		{[]string{"v1alpha2", "v1alpha3", "v1"}, "v1"}, {[]string{"v1alpha2", "v1alpha3"}, "v1alpha3"}, {[]string{"v1alpha2"}, "v1alpha2"},
	} {
		info := edges(t)["gateway"]
		info.Kinds = kinds(t).Kinds
		for _, v := range test.served {
			info.Kinds = append(info.Kinds, driver.KindInfo{APIVersion: "gateway.networking.k8s.io/" + v, Kind: "TLSRoute", Namespaced: true})
		}
		out, err := render.Render(edgeInput(decode(t, routed+"routes: [{id: r, tls: {hosts: [a.example.com], to: [{component: next}]}}]\n"), info))
		require.NoError(t, err)
		require.Contains(t, edgeText(t, out, "TLSRoute"), "apiVersion: gateway.networking.k8s.io/"+test.want+"\n")
	}
}

func TestAnHTTPRouteHoldsSixteenRules(t *testing.T) {
	t.Parallel()
	var rules, hosts []string
	for i := range 40 {
		rules = append(rules, fmt.Sprintf("{path: /p%d, to: [{component: next}]}", i))
		hosts = append(hosts, fmt.Sprintf("h%d.example.com", i))
	}
	text := func(rules, hosts []string) *appmodel.Application {
		return decode(t, routed+"routes: [{id: r, http: {hosts: ["+strings.Join(hosts, ", ")+"], rules: ["+strings.Join(rules, ", ")+"]}}]\n")
	}
	out, err := render.Render(edgeInput(text(rules, hosts[:1]), edges(t)["gateway"]))
	require.NoError(t, err)
	found := gatewayObjects(t, out, "HTTPRoute")
	require.Len(t, found["app-r"].Spec.Rules, 16)
	require.Len(t, found["app-r-2"].Spec.Rules, 16)
	require.Len(t, found["app-r-3"].Spec.Rules, 8)
	require.Len(t, found, 3)

	_, err = render.Render(edgeInput(text(rules[:1], hosts), edges(t)["gateway"]))
	require.ErrorContains(t, err, "routes[r].http.hosts: 40 are too many for an HTTPRoute, which has 16; make it two routes")
}

func TestDurationsAreWrittenForTheGatewayAPI(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"90m": "1h30m", "1.5s": "1s500ms", "1us": "1ms", "100s": "1m40s", "30s": "30s"} {
		app := decode(t, routed+"routes: [{id: r, http: {hosts: [a.example], rules: [{timeouts: {request: "+in+"}, to: [{component: next}]}]}}]\n")
		out, err := render.Render(edgeInput(app, edges(t)["gateway"]))
		require.NoError(t, err)
		require.Equal(t, want, gatewayObjects(t, out, "HTTPRoute")["app-r"].Spec.Rules[0].Timeouts.Request, in)
	}
}

func TestAGatewayLearnsOfWebSocketsFromTheService(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ edge, to, want string }{
		{"gateway", "{component: web, port: http}", "kubernetes.io/ws"},
		{"gateway", "{component: web, port: https}", "kubernetes.io/wss"},
		{"nginx", "{component: web, port: http}", ""},
	} {
		app := decode(t, routed+"routes: [{id: r, http: {hosts: [a.example], rules: [{webSocket: true, to: ["+test.to+"]}]}}]\n")
		out, err := render.Render(edgeInput(app, edges(t)[test.edge]))
		require.NoError(t, err)
		text := edgeText(t, out, "Service")
		if test.want == "" {
			require.NotContains(t, text, "kubernetes.io/ws")
		} else {
			require.Contains(t, text, "appProtocol: "+test.want+"\n")
		}
	}
}

func TestAFunctionOnKnativeIsFoundByItsHost(t *testing.T) {
	t.Parallel()
	const function = "  - {id: fn, kind: function, image: \"fn:1\", security: {runAsUser: 1}, ports: [{name: http, port: 8080}]}\n"
	app := decode(t, routed+function+"routes: [{id: r, http: {hosts: [a.example], rules: [{to: [{component: fn}]}]}}]\n")
	knative := driver.KindInfo{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespaced: true}

	info := edges(t)["gateway"]
	info.Kinds = append(info.Kinds, knative)
	out, err := render.Render(edgeInput(app, info))
	require.NoError(t, err)
	rule := gatewayObjects(t, out, "HTTPRoute")["app-r"].Spec.Rules[0]
	require.Equal(t, 80, rule.BackendRefs[0].Port)
	require.Equal(t, "app-fn.ns.svc", rule.Filters[0].URLRewrite.Hostname)

	shared := decode(t, routed+function+"routes: [{id: r, http: {hosts: [a.example], rules: [{to: [{component: fn}, {component: next}]}]}}]\n")
	out, err = render.Render(edgeInput(shared, info))
	require.NoError(t, err)
	require.Empty(t, gatewayObjects(t, out, "HTTPRoute")["app-r"].Spec.Rules[0].Filters, "the other component would get the function's host")
	require.Contains(t, edgeText(t, out), "give it a rule of its own")

	info = edges(t)["nginx"]
	info.Kinds = append(info.Kinds, knative)
	out, err = render.Render(edgeInput(app, info))
	require.NoError(t, err)
	ing := ingresses(t, out)["app-r"]
	require.Equal(t, "app-fn.ns.svc", ing.Annotations["nginx.ingress.kubernetes.io/upstream-vhost"])
	require.Equal(t, int32(80), ing.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port.Number)

	out, err = render.Render(edgeInput(app, edges(t)["nginx"]))
	require.NoError(t, err)
	require.Equal(t, int32(8080), ingresses(t, out)["app-r"].Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port.Number, "without Knative it is a Deployment")
}
