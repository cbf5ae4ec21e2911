package render

import (
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// gatewayVersions are those of the Gateway API that routes are written in,
// the best first.
func gatewayVersions() []string {
	const group = "gateway.networking.k8s.io/"
	return []string{group + "v1", group + "v1beta1", group + "v1alpha3", group + "v1alpha2"}
}

// The routes of the Gateway API, as far as they are used here.
type gatewayRoute struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              gatewayRouteSpec `json:"spec"`
}

type gatewayRouteSpec struct {
	ParentRefs []parentRef   `json:"parentRefs"`
	Hostnames  []string      `json:"hostnames,omitempty"`
	Rules      []gatewayRule `json:"rules"`
}

type parentRef struct {
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName,omitempty"`
}

type gatewayRule struct {
	Matches     []gatewayMatch   `json:"matches,omitempty"`
	Filters     []gatewayFilter  `json:"filters,omitempty"`
	BackendRefs []backendRef     `json:"backendRefs,omitempty"`
	Timeouts    *gatewayTimeouts `json:"timeouts,omitempty"`
}

type gatewayMatch struct {
	Path    *typedValue   `json:"path,omitempty"`
	Method  string        `json:"method,omitempty"`
	Headers []headerMatch `json:"headers,omitempty"`
}

type typedValue struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type headerMatch struct {
	Type  string `json:"type,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

type gatewayFilter struct {
	Type            string           `json:"type"`
	URLRewrite      *urlRewrite      `json:"urlRewrite,omitempty"`
	RequestRedirect *requestRedirect `json:"requestRedirect,omitempty"`
}

type urlRewrite struct {
	Hostname string       `json:"hostname,omitempty"`
	Path     *rewritePath `json:"path,omitempty"`
}

type rewritePath struct {
	Type               string `json:"type"`
	ReplaceFullPath    string `json:"replaceFullPath,omitempty"`
	ReplacePrefixMatch string `json:"replacePrefixMatch,omitempty"`
}

type requestRedirect struct {
	Scheme     string `json:"scheme"`
	StatusCode int    `json:"statusCode"`
}

type backendRef struct {
	Name   string `json:"name"`
	Port   int    `json:"port"`
	Weight *int   `json:"weight,omitempty"`
}

type gatewayTimeouts struct {
	Request        string `json:"request,omitempty"`
	BackendRequest string `json:"backendRequest,omitempty"`
}

// gatewayKind is the version in which a kind of route is served, or empty.
func (b *builder) gatewayKind(kind string) string {
	for _, v := range gatewayVersions() {
		if b.serves(v, kind) {
			return v
		}
	}
	return ""
}

// gateway finds the gateway that a route's class names, "namespace/name", or
// else the first, that has listeners which fit.
func (b *builder) gateway(r *appmodel.Route, fits func(driver.Listener) bool) (*driver.Gateway, []driver.Listener) {
	if slices.ContainsFunc(b.in.Info.IngressClasses, func(c driver.IngressClass) bool { return c.Name == r.Class }) {
		return nil, nil // it asks for an ingress class
	}
	for i := range b.in.Info.Gateways {
		g := &b.in.Info.Gateways[i]
		if strings.Contains(r.Class, "/") && r.Class != g.Namespace+"/"+g.Name {
			continue
		}
		var listeners []driver.Listener
		for _, l := range g.Listeners {
			if fits(l) {
				listeners = append(listeners, l)
			}
		}
		if len(listeners) > 0 {
			return g, listeners
		}
	}
	return nil, nil
}

// gatewayClass tells that a gateway serves a route that asks for an ingress
// class which the cluster does not have.
func (b *builder) gatewayClass(r *appmodel.Route, namespace, name string) {
	if r.Class != "" && !strings.Contains(r.Class, "/") {
		b.routeNote(r, Warning, "class", "the cluster has no ingress class %q; gateway %s/%s takes its place", r.Class, namespace, name)
	}
}

// parents attach a route to listeners of a gateway.
func parents(g *driver.Gateway, listeners []driver.Listener) []parentRef {
	var out []parentRef
	for _, l := range listeners {
		out = append(out, parentRef{Namespace: g.Namespace, Name: g.Name, SectionName: l.Name})
	}
	return out
}

// backendRefs are the Services that targets are reached by.
func (b *builder) backendRefs(targets []target) []backendRef {
	var out []backendRef
	for _, t := range targets {
		out = append(out, backendRef{Name: b.serviceName(t.component), Port: b.servicePort(t.component, t.port), Weight: t.weight})
	}
	return out
}
