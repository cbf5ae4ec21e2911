package render_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/render"
)

// hosted is an application with templates in hosts and env.
const hosted = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: app}
parameters:
  - {name: host, schema: {type: string}, default: www.example.com}
  - {name: shard, schema: {type: integer}, default: 7}
  - {name: hidden, schema: {type: string}, secret: true}
configs: [{name: site, items: [{name: zone, template: "${cluster.labels.region}.example.com"}]}]
components:
  - {id: pay, kind: external, external: {hosts: [api.pay.example]}, ports: [{name: https, port: 8443, servicePort: 443}]}
  - {id: lan, kind: external, external: {hosts: [192.0.2.1, 192.0.2.2]}, ports: [{name: sql, port: 13306, servicePort: 3306}]}
  - id: web
    kind: service
    image: "web:1"
    security: {runAsUser: 1}
    ports: [{name: http, port: 8080, servicePort: 80}]
    needs: [{name: pay, component: pay}, {name: lan, component: lan}, {name: ledger, open: {type: http}}]
    env: [{name: VALUE, template: "ENV"}]
routes:
  - {id: shop, http: {hosts: ["HOST"], rules: [{to: [{component: web}]}]}}
  - {id: mail, tls: {hosts: ["HOST"], to: [{component: web}]}}
`

// hostedInput puts templates into the application.
func hostedInput(t *testing.T, host, env string, edge string) render.Input {
	in := edgeInput(decode(t, strings.NewReplacer("HOST", host, "ENV", env).Replace(hosted)), edges(t)[edge])
	in.Params = map[string]appmodel.JSON{"host": appmodel.JSON(`"www.example.com"`), "shard": appmodel.JSON("7"), "hidden": appmodel.JSON(`"hidden"`)}
	in.Cluster.Labels["topology.example.com/zone"] = "eu-1a"
	in.Bindings = map[render.NeedRef]render.Endpoint{{Component: "web", Need: "ledger"}: {Host: "ledger.finance", Port: 8443, Values: map[string]string{"tenant": "t1"}}}
	return in
}

func TestHostsAreInterpolated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, host, want string }{
		{"an answer", "${param.host}", "www.example.com"},
		{"a number", "shard-${param.shard}.example.com", "shard-7.example.com"},
		{"the cluster's name", "${cluster.name}.example.com", "eu-1.example.com"},
		{"a label of the cluster", "${cluster.labels.region}.example.com", "eu.example.com"},
		{"a label with a domain", `${cluster.labels["topology.example.com/zone"]}.example.com`, "eu-1a.example.com"},
		{"the application's name", "${app.name}.example.com", "app.example.com"},
		{"a config item that is a template itself", "shop.${config.site.zone}", "shop.eu.example.com"},
		{"a wildcard", "*.${param.host}", "*.www.example.com"},
	} {
		for _, edge := range []string{"nginx", "gateway"} {
			t.Run(test.name+" on "+edge, func(t *testing.T) {
				t.Parallel()
				quoted := strings.ReplaceAll(test.host, `"`, `\"`)
				out, err := render.Render(hostedInput(t, quoted, "x", edge))
				require.NoError(t, err)
				text := edgeText(t, out, "Ingress", "HTTPRoute", "TLSRoute")
				require.NotContains(t, text, "${")
				if edge == "gateway" {
					require.Equal(t, 2, strings.Count(text, "hostnames:\n  - "+yamlScalar(test.want)+"\n"), text)
				} else {
					require.Contains(t, text, "host: "+yamlScalar(test.want)+"\n")
				}
			})
		}
	}
}

// yamlScalar is how a host is written in YAML.
func yamlScalar(host string) string {
	if strings.HasPrefix(host, "*") {
		return "'" + host + "'"
	}
	return host
}

func TestAHostThatTemplatesMakeIsChecked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, host, answer, want string
		validated                bool
	}{
		{"an answer that is no host name is refused", "${param.host}", `"Shop.Example.com/path"`, `routes[shop].http.hosts: ${param.host} becomes "Shop.Example.com/path", which is no host name; answer with one in lower case`, false},
		{"an empty answer is refused", "${param.host}", `""`, "which is no host name", false},
		{"a label that the cluster lacks is told with the next step", "${cluster.labels.planet}.example.com", `"x"`, `cluster "eu-1" has no label "planet"; label it, or place the application elsewhere`, false},
		{"a secret does not become a host", "${param.hidden}.example.com", `"x"`, "refers to a secret (param.hidden)", false},
		{"nor if nobody looked before", "${param.hidden}.example.com", `"x"`, "routes[shop].http.hosts: ${param.hidden}.example.com is secret; make a host name of what is not", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := hostedInput(t, "a.example", "x", "nginx")
			in.Validated, in.Params["host"] = test.validated, appmodel.JSON(test.answer)
			in.Application.Routes[0].HTTP.Hosts = []string{test.host}
			_, err := render.Render(in)
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestARouteWithoutHostsIsUnderTheClustersDomain(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(`hosts: ["HOST"], `, "", "ENV", "https://${route.shop.host}").Replace(hosted)
	in := hostedInput(t, "a.example", "x", "nginx")
	in.Application = decode(t, text)
	_, err := render.Render(in)
	require.ErrorIs(t, err, appspan.ErrInvalid)
	require.ErrorContains(t, err, "routes[shop] names no host; add one to its hosts, or give the cluster a label appspan.dev/domain")

	in.Cluster.Labels["appspan.dev/domain"] = "eu.example.net"
	out, err := render.Render(in)
	require.NoError(t, err)
	require.Equal(t, "app-shop.eu.example.net", ingresses(t, out)["app-shop"].Spec.Rules[0].Host)
	require.Contains(t, edgeText(t, out, "Deployment"), "value: https://app-shop.eu.example.net\n")
}

func TestHostsStandOnceAndTheDomainOnlyInTheirPlace(t *testing.T) {
	t.Parallel()
	in := hostedInput(t, "www.example.com\", \"${param.host}", "x", "nginx")
	in.Cluster.Labels["appspan.dev/domain"] = "eu.example.net"
	out, err := render.Render(in)
	require.NoError(t, err)
	require.Len(t, ingresses(t, out)["app-shop"].Spec.Rules, 1)
	require.Equal(t, "www.example.com", ingresses(t, out)["app-shop"].Spec.Rules[0].Host)
}

func TestEnvIsInterpolated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, env, want string }{
		{"an answer", "${param.host}:${param.shard}", "www.example.com:7"},
		{"the cluster", "${cluster.name}/${cluster.labels.region}", "eu-1/eu"},
		{"the host of a route", "https://${route.shop.host}/", "https://r.example/"},
		{"the host of a TLS route", "${route.mail.host}", "r.example"},
		{"a need of a DNS name elsewhere keeps the port, as no Service is between", "${need.pay.address}", "api.pay.example:8443"},
		{"a need of addresses elsewhere goes by the Service", "${need.lan.address}", "app-lan:3306"},
		{"a need that is bound", "${need.ledger.address}/${need.ledger.tenant}", "ledger.finance:8443/t1"},
		{"what the component itself is", "${self.host}:${self.port.http}", "app-web:8080"},
		{"two dollars are one", "$${param.host}", "${param.host}"},
		{"a reference of Kubernetes stays", "$(HOME)/${app.name}", "$(HOME)/app"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, err := render.Render(hostedInput(t, "r.example", test.env, "nginx"))
			require.NoError(t, err)
			require.Contains(t, edgeText(t, out, "Deployment"), "- name: VALUE\n          value: "+test.want+"\n")
		})
	}
}
