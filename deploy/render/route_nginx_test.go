package render_test

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	netv1 "k8s.io/api/networking/v1"

	"github.com/appspan-dev/appspan/deploy/render"
)

// nginxLocation is where a request goes on ingress-nginx if a path of its host
// is an expression: longer expressions are tried first.
type nginxLocation struct {
	path, service, target string
}

func nginxLocations(found map[string]netv1.Ingress) []nginxLocation {
	var out []nginxLocation
	for _, ing := range found {
		for _, p := range ing.Spec.Rules[0].HTTP.Paths {
			out = append(out, nginxLocation{p.Path, p.Backend.Service.Name, ing.Annotations["nginx.ingress.kubernetes.io/rewrite-target"]})
		}
	}
	sort.Slice(out, func(i, j int) bool { return len(out[i].path) > len(out[j].path) })
	return out
}

// nginxServe is the Service that a request goes to, and the path that it sees.
func nginxServe(locations []nginxLocation, path string) string {
	for _, l := range locations {
		m := regexp.MustCompile("(?i)^" + l.path).FindStringSubmatchIndex(path)
		if m == nil {
			continue
		}
		if l.target != "" {
			target := regexp.MustCompile(`\$(\d)`).ReplaceAllString(l.target, "$${$1}")
			path = string(regexp.MustCompile("(?i)^"+l.path).ExpandString(nil, target, path, m))
		}
		return l.service + " " + path
	}
	return "nobody"
}

func TestExpressionsLeadAsPathsDo(t *testing.T) {
	t.Parallel()
	app := decode(t, routed+`routes:
  - id: r
    http: {hosts: [a.example], rules: [
      {path: /, to: [{component: web, port: http}]},
      {path: /api, rewrite: {prefix: /}, to: [{component: next}]},
      {path: /api/v2, to: [{component: third}]},
      {path: /api/v2/exact, match: exact, to: [{component: web, port: https}]},
      {name: bare, path: /api, match: exact, maxBodySize: 1Ki, to: [{component: third}]},
      {path: /old, rewrite: {prefix: /new/}, to: [{component: next}]},
      {path: /one, rewrite: {path: /all}, to: [{component: next}]},
      {path: /v1.0/, to: [{component: third}]}]}
  - {id: root, http: {hosts: [b.example], rules: [{path: /, rewrite: {prefix: /app}, to: [{component: next}]}]}}
`)
	out, err := render.Render(edgeInput(app, edges(t)["nginx"]))
	require.NoError(t, err)
	byRoute := map[string]map[string]netv1.Ingress{"r": {}, "root": {}}
	for name, ing := range ingresses(t, out) {
		byRoute[ing.Labels["appspan.dev/route"]][name] = ing
	}
	for _, test := range []struct{ route, path, want string }{
		{"r", "/", "app-web /"},
		{"r", "/apis", "app-web /apis"},
		{"r", "/api", "app-third /api"},
		{"r", "/api/", "app-next /"},
		{"r", "/api/x/y", "app-next /x/y"},
		{"r", "/api/v2", "app-third /api/v2"},
		{"r", "/api/v2/x", "app-third /api/v2/x"},
		{"r", "/api/v22", "app-next /v22"},
		{"r", "/api/v2/exact", "app-web /api/v2/exact"},
		{"r", "/api/v2/exact/more", "app-third /api/v2/exact/more"},
		{"r", "/old", "app-next /new"},
		{"r", "/old/x", "app-next /new/x"},
		{"r", "/one/x", "app-next /all"},
		{"r", "/v1.0/x", "app-third /v1.0/x"},
		{"r", "/v1x0/x", "app-web /v1x0/x"},
		{"root", "/x", "app-next /app/x"},
		{"root", "/", "app-next /app/"},
	} {
		require.Equal(t, test.want, nginxServe(nginxLocations(byRoute[test.route]), test.path), "%s of %s", test.path, test.route)
	}
}

func TestAnAnnotationOfTheAuthorHolds(t *testing.T) {
	t.Parallel()
	app := decode(t, routed+`routes: [{id: r, annotations: {nginx.ingress.kubernetes.io/proxy-body-size: "0"}, http: {hosts: [a.example], rules: [{maxBodySize: 1Mi, to: [{component: next}]}]}}]`+"\n")
	out, err := render.Render(edgeInput(app, edges(t)["nginx"]))
	require.NoError(t, err)
	require.Equal(t, "0", ingresses(t, out)["app-r"].Annotations["nginx.ingress.kubernetes.io/proxy-body-size"])
	require.Len(t, out.Notes, 1)
	require.Equal(t, `says "0" where the route's other fields ask for "1048576"; the annotation holds`, out.Notes[0].Message)
}

func TestARuleMatchesNoMoreThanItSays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, rule, edge string }{
		{"a header without a rule to be the canary of", `{path: /admin, headers: [{name: X-Admin, value: "1"}], to: [{component: next}]}`, "nginx"},
		{"a header whose value ingress-nginx does not take", `{name: h, path: /, headers: [{name: X-Admin, value: "a b"}], to: [{component: next}]}`, "nginx"},
		{"two headers", `{name: h, path: /, headers: [{name: A, value: "1"}, {name: B, value: "1"}], to: [{component: next}]}`, "nginx"},
		{"a canary that asks for more than its main rule", `{name: h, path: /, maxBodySize: 1Mi, headers: [{name: A, value: "1"}], to: [{component: next}]}`, "nginx"},
		{"a header that leads to two components", `{name: h, path: /, headers: [{name: A, value: "1"}], to: [{component: next}, {component: third}]}`, "nginx"},
		{"a method", `{name: m, path: /, method: POST, to: [{component: next}]}`, "nginx"},
		{"a cookie", `{name: c, path: /, cookies: [{name: a, value: b}], to: [{component: next}]}`, "other"},
		{"an expression that begins with no slash", `{path: ".*[.]php", match: regex, to: [{component: next}]}`, "nginx"},
		{"a method that the Gateway API does not know", `{name: m, path: /, method: PURGE, to: [{component: next}]}`, "gateway"},
		{"two cookies", `{name: c, path: /, cookies: [{name: a, value: b}, {name: c, value: d}], to: [{component: next}]}`, "gateway"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			app := decode(t, routed+`routes: [{id: r, http: {hosts: [a.example], rules: [{path: /, to: [{component: web, port: http}]}, `+test.rule+"]}}]\n")
			out, err := render.Render(edgeInput(app, edges(t)[test.edge]))
			require.NoError(t, err)
			text := edgeText(t, out, "Ingress", "HTTPRoute")
			require.NotContains(t, text, "name: app-next")
			require.Contains(t, text, "the rule is left out")
		})
	}
}

func TestAClassThatTheClusterLacksIsTold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ class, want, note string }{
		{"nginx", "nginx", ""},
		{"special", "special", `the cluster has no ingress class "special"; nothing serves the route until it has`},
		{"edge/public", "", `the cluster has no gateway "edge/public" with a listener for the route; an Ingress of the default class takes its place`},
	} {
		app := decode(t, routed+"routes: [{id: r, class: "+test.class+", http: {hosts: [a.example], rules: [{to: [{component: next}]}]}}]\n")
		out, err := render.Render(edgeInput(app, edges(t)["nginx"]))
		require.NoError(t, err)
		class := ingresses(t, out)["app-r"].Spec.IngressClassName
		require.Equal(t, test.want != "", class != nil, test.class)
		if class != nil {
			require.Equal(t, test.want, *class)
		}
		if test.note == "" {
			require.Empty(t, out.Notes)
		} else {
			require.Equal(t, test.note, out.Notes[0].Message)
		}
	}
}

func TestRulesWithoutExtrasShareAnIngress(t *testing.T) {
	t.Parallel()
	var rules []string
	for i := range 40 {
		rules = append(rules, fmt.Sprintf("{path: /p%d, to: [{component: next}]}", i))
	}
	app := decode(t, routed+"routes: [{id: r, objectName: adopted, http: {hosts: [a.example], rules: ["+strings.Join(rules, ", ")+"]}}]\n")
	out, err := render.Render(edgeInput(app, edges(t)["nginx"]))
	require.NoError(t, err)
	found := ingresses(t, out)
	require.Len(t, found, 1)
	require.Len(t, found["adopted"].Spec.Rules[0].HTTP.Paths, 40)
}
