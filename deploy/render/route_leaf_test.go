package render_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// notForClusters are the leaves of a route that are no business of a cluster:
// its keys, what people read, and what belongs to others.
var notForClusters = []string{"id", "displayName", "extensions", "http.rules.name"}

// routeLeaves set one leaf of a route each, by the path without keys.
func routeLeaves() map[string]func(r *appmodel.Route) {
	leaves := map[string]func(r *appmodel.Route){
		"enabled":     func(r *appmodel.Route) { r.Enabled = new(bool) },
		"labels":      func(r *appmodel.Route) { r.Labels = map[string]string{"a": "b"} },
		"annotations": func(r *appmodel.Route) { r.Annotations = map[string]string{"a": "b"} },
		"class":       func(r *appmodel.Route) { r.Class = "special" },
		"objectName":  func(r *appmodel.Route) { r.ObjectName = "other" },
		"http.hosts":  func(r *appmodel.Route) { r.HTTP.Hosts = []string{"other.example.com"} },
		"tls.hosts":   func(r *appmodel.Route) { r.TLS.Hosts = []string{"other.example.com"} },
		"tls.port":    func(r *appmodel.Route) { r.TLS.Port = 8443 },
		"http.tls.issuer": func(r *appmodel.Route) {
			r.HTTP.TLS = &appmodel.RouteTLS{Issuer: "letsencrypt"}
		},
		"http.tls.secret": func(r *appmodel.Route) { r.HTTP.TLS = &appmodel.RouteTLS{Secret: "cert"} },
	}
	rule := func(path string, set func(x *appmodel.HTTPRule)) {
		leaves["http.rules."+path] = func(r *appmodel.Route) { set(&r.HTTP.Rules[0]) }
	}
	rule("path", func(x *appmodel.HTTPRule) { x.Path = "/other" })
	rule("match", func(x *appmodel.HTTPRule) { x.Match = "regex" })
	rule("method", func(x *appmodel.HTTPRule) { x.Method = "GET" })
	rule("headers.name", func(x *appmodel.HTTPRule) { x.Headers = []appmodel.Header{{Name: "X-Beta"}} })
	rule("headers.value", func(x *appmodel.HTTPRule) { x.Headers = []appmodel.Header{{Name: "X-Beta", Value: "yes"}} })
	rule("cookies.name", func(x *appmodel.HTTPRule) { x.Cookies = []appmodel.Header{{Name: "beta"}} })
	rule("cookies.value", func(x *appmodel.HTTPRule) { x.Cookies = []appmodel.Header{{Name: "beta", Value: "yes"}} })
	rule("maxBodySize", func(x *appmodel.HTTPRule) { x.MaxBodySize = "20Mi" })
	rule("timeouts.connect", func(x *appmodel.HTTPRule) { x.Timeouts = &appmodel.RouteTimeouts{Connect: seconds(5)} })
	rule("timeouts.request", func(x *appmodel.HTTPRule) { x.Timeouts = &appmodel.RouteTimeouts{Request: seconds(5)} })
	rule("timeouts.backend", func(x *appmodel.HTTPRule) { x.Timeouts = &appmodel.RouteTimeouts{Backend: seconds(5)} })
	rule("rewrite.prefix", func(x *appmodel.HTTPRule) { x.Rewrite = &appmodel.Rewrite{Prefix: "/new"} })
	rule("rewrite.path", func(x *appmodel.HTTPRule) { x.Rewrite = &appmodel.Rewrite{Path: "/new"} })
	rule("rewrite.host", func(x *appmodel.HTTPRule) { x.Rewrite = &appmodel.Rewrite{Host: "new.example"} })
	rule("sessionAffinity", func(x *appmodel.HTTPRule) { x.SessionAffinity = "cookie" })
	rule("webSocket", func(x *appmodel.HTTPRule) { x.WebSocket = true })
	for kind, s := range map[string]func(r *appmodel.Route) *appmodel.StreamRoute{
		"tcp": func(r *appmodel.Route) *appmodel.StreamRoute { return r.TCP }, "udp": func(r *appmodel.Route) *appmodel.StreamRoute { return r.UDP },
	} {
		leaves[kind+".port"] = func(r *appmodel.Route) { s(r).Port = 1234 }
		leaves[kind+".expose"] = func(r *appmodel.Route) { s(r).Expose = "nodePort" }
	}
	for path, to := range map[string]func(r *appmodel.Route) []appmodel.Backend{
		"http.rules": func(r *appmodel.Route) []appmodel.Backend { return r.HTTP.Rules[0].To },
		"tcp":        func(r *appmodel.Route) []appmodel.Backend { return r.TCP.To },
		"udp":        func(r *appmodel.Route) []appmodel.Backend { return r.UDP.To },
		"tls":        func(r *appmodel.Route) []appmodel.Backend { return r.TLS.To },
	} {
		leaves[path+".to.weight"] = func(r *appmodel.Route) { two := 2; to(r)[0].Weight = &two }
		leaves[path+".to.component"] = func(r *appmodel.Route) { to(r)[0].Component = "third" }
		leaves[path+".to.port"] = func(r *appmodel.Route) { to(r)[0].Port = "second" }
	}
	return leaves
}

func seconds(n int) appmodel.Duration { return appmodel.Duration(time.Duration(n) * time.Second) }

// leafPaths are the leaves of a type, by the path without keys.
func leafPaths(t reflect.Type, at string) []string {
	switch t.Kind() {
	case reflect.Pointer:
		return leafPaths(t.Elem(), at)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return leafPaths(t.Elem(), at)
		}
	case reflect.Struct:
		var out []string
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			out = append(out, leafPaths(t.Field(i).Type, strings.TrimPrefix(at+"."+name, "."))...)
		}
		return out
	}
	return []string{at}
}

// leafRoutes are routes that say as little as they can, by kind.
func leafRoutes(kind string) *appmodel.Route {
	to := []appmodel.Backend{{Component: "web", Port: "http"}, {Component: "next", Port: "http"}}
	r := &appmodel.Route{ID: "r"}
	switch kind {
	case "http":
		r.HTTP = &appmodel.HTTPRoute{Hosts: []string{"a.example.com"}, Rules: []appmodel.HTTPRule{{Path: "/", To: to}}}
	case "tcp":
		r.TCP = &appmodel.StreamRoute{Port: 3306, To: to}
	case "udp":
		r.UDP = &appmodel.StreamRoute{Port: 53, To: []appmodel.Backend{{Component: "web", Port: "dns"}, {Component: "next", Port: "dns"}}}
	case "tls":
		r.TLS = &appmodel.TLSRoute{Hosts: []string{"a.example.com"}, Port: 443, To: to}
	}
	return r
}

// leafApplication has a route.
func leafApplication(t *testing.T, r *appmodel.Route, second appmodel.Protocol) *appmodel.Application {
	app := decode(t, strings.SplitAfter(routed, "components:\n")[0]+`
  - {id: web, kind: service, image: "web:1", security: {runAsUser: 1}, ports: [{name: http, port: 8080}, {name: dns, port: 53, protocol: UDP}]}
  - {id: next, kind: service, image: "web:2", security: {runAsUser: 1}, ports: [{name: http, port: 8080}, {name: dns, port: 53, protocol: UDP}]}
  - {id: third, kind: service, image: "web:3", security: {runAsUser: 1}, ports: [{name: http, port: 8080}, {name: dns, port: 53, protocol: UDP}]}
`)
	app.Components[0].Ports = append(app.Components[0].Ports, appmodel.Port{Name: "second", Port: 9000, Protocol: second})
	app.Routes = []appmodel.Route{*r}
	return app
}

func TestNoLeafOfARouteIsDroppedInSilence(t *testing.T) {
	t.Parallel()
	leaves, clusters := routeLeaves(), edges(t)
	for _, path := range leafPaths(reflect.TypeFor[appmodel.Route](), "") {
		set := leaves[path]
		if set == nil {
			require.Contains(t, notForClusters, path, "the table has no value for this leaf")
			continue
		}
		kindsOf := []string{"http", "tcp", "udp", "tls"}
		if kind, _, nested := strings.Cut(path, "."); nested {
			kindsOf = []string{kind}
		}
		for _, kind := range kindsOf {
			for edge, info := range clusters {
				t.Run(kind+" route's "+path+" on "+edge, func(t *testing.T) {
					t.Parallel()
					without := leafText(t, leafRoutes(kind), kind, info)
					r := leafRoutes(kind)
					set(r)
					require.NotEqual(t, without, leafText(t, r, kind, info))
				})
			}
		}
	}
}

// leafText is all that becomes of a route.
func leafText(t *testing.T, r *appmodel.Route, kind string, info driver.Info) string {
	t.Helper()
	second := appmodel.TCP
	if kind == "udp" {
		second = appmodel.UDP
	}
	out, err := render.Render(edgeInput(leafApplication(t, r, second), info))
	require.NoError(t, err)
	return edgeText(t, out, "Ingress", "HTTPRoute", "TLSRoute", "TCPRoute", "UDPRoute", "Service")
}
