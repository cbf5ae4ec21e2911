package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// labelDomain is the label of a cluster under which routes without hosts get
// one.
const labelDomain = "appspan.dev/domain"

// route renders a route by what the cluster has: the Gateway API where there
// is a gateway, else an Ingress, or a Service that is open to the outside.
func (b *builder) route(r *appmodel.Route) {
	switch {
	case r.HTTP != nil:
		hosts := b.routeHosts(r, r.HTTP.Hosts)
		if len(hosts) == 0 {
			b.routeNote(r, Information, "http.hosts", "names no host, and the cluster has no label %s to make one of; requests to any host name are led", labelDomain)
		}
		if a := b.attach(r, hosts); a != nil {
			b.httpRoute(r, a, hosts)
			return
		}
		b.ingress(r, hosts)
	case r.TLS != nil:
		b.tlsRoute(r)
	case r.TCP != nil:
		b.stream(r, "tcp", corev1.ProtocolTCP, r.TCP)
	case r.UDP != nil:
		b.stream(r, "udp", corev1.ProtocolUDP, r.UDP)
	}
}

// routeName is what a route's objects are called.
func (b *builder) routeName(r *appmodel.Route) string {
	if r.ObjectName != "" {
		return r.ObjectName
	}
	return b.name(r.ID)
}

// routeMeta is the metadata of a route's object.
func (b *builder) routeMeta(r *appmodel.Route, suffix string) metav1.ObjectMeta {
	m := b.meta(b.routeName(r)+suffix, nil)
	ours := map[string]string{appmodel.LabelInstallation: b.in.Installation, appmodel.LabelApplication: b.app.Metadata.Name, appmodel.LabelRoute: r.ID}
	maps.Copy(m.Labels, r.Labels)
	maps.Copy(m.Labels, ours)
	m.Annotations = maps.Clone(r.Annotations)
	return m
}

// routeNote tells something about a route; the path begins below it.
func (b *builder) routeNote(r *appmodel.Route, severity Severity, path, format string, args ...any) {
	n := Note{Severity: severity, Route: r.ID, Path: "routes[" + r.ID + "]." + path, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(b.out.Notes, n) {
		b.out.Notes = append(b.out.Notes, n)
	}
}

// ruleAt is the path of an HTTP rule's field below its route.
func ruleAt(rule *appmodel.HTTPRule, field string) string {
	name := rule.Name
	if strings.ContainsAny(name, `[]"`) {
		name = strconv.Quote(name)
	}
	return "http.rules[" + name + "]." + field
}

// target is where requests are led: a port of a component's Service.
type target struct {
	component *appmodel.Component
	port      *appmodel.Port
	weight    *int
}

// share is the target's weight; the default is one.
func (t target) share() int {
	if t.weight == nil {
		return 1
	}
	return *t.weight
}

// targets are the components that a route leads to, without disabled ones; at
// is the path of the list below the route.
func (b *builder) targets(r *appmodel.Route, at string, to []appmodel.Backend) []target {
	var out []target
	for _, t := range to {
		c := b.comps[t.Component]
		if c == nil {
			b.routeNote(r, Warning, at+"["+t.Component+"]", "component %s is disabled; nothing is led there", t.Component)
			continue
		}
		p := findPort(c, t.Port)
		if p == nil && len(c.Ports) > 0 && t.Port == "" {
			p = &c.Ports[0]
		}
		if p == nil {
			b.fail("routes[%s].%s: component %q has no port %q; name one of its ports", r.ID, at, t.Component, t.Port)
			continue
		}
		out = append(out, target{component: c, port: p, weight: t.Weight})
	}
	return out
}

// heaviest is the target that gets the most, the first of several; instead
// tells what it would get of what there is to share.
func heaviest(targets []target) (most target, instead string) {
	total := 0
	for _, t := range targets {
		total += t.share()
	}
	most = slices.MaxFunc(targets, func(x, y target) int { return x.share() - y.share() })
	return most, fmt.Sprintf("all go to %s instead of %d in %d", most.component.ID, most.share(), total)
}

// routeHosts are a route's host names, expanded; without any, one under the
// cluster's own domain, if it has one.
func (b *builder) routeHosts(r *appmodel.Route, names []string) []string {
	at := "routes[" + r.ID + "].http.hosts"
	if r.TLS != nil {
		at = "routes[" + r.ID + "].tls.hosts"
	}
	var out []string
	for _, h := range names {
		host, secret, err := b.expand(nil, h)
		if err != nil {
			b.failed(fmt.Errorf("%s: %w", at, err))
			continue
		}
		if secret { // everybody can look up a host name
			b.fail("%s: %s is secret; make a host name of what is not", at, h)
			continue
		}
		if len(validation.IsDNS1123Subdomain(strings.TrimPrefix(host, "*."))) > 0 {
			b.fail("%s: %s becomes %q, which is no host name; answer with one in lower case, without scheme, port and path", at, h, host)
			continue
		}
		if !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	if domain := b.in.Cluster.Labels[labelDomain]; len(names) == 0 && domain != "" {
		out = append(out, b.name(r.ID)+"."+domain)
	}
	return out
}

// quietHosts are an HTTP route's hosts; what is wrong with them is told where
// the route is rendered.
func (b *builder) quietHosts(r *appmodel.Route) []string {
	errs := b.errs
	defer func() { b.errs = errs }()
	return b.routeHosts(r, r.HTTP.Hosts)
}

// certificate is the Secret with a route's certificate, and the annotation
// that has cert-manager fill it.
func (b *builder) certificate(r *appmodel.Route) (secret string, annotations map[string]string) {
	t := r.HTTP.TLS
	switch {
	case t == nil:
		return "", nil
	case t.Secret != "":
		if g := b.secret(t.Secret, "routes["+r.ID+"].http.tls.secret"); g != nil {
			return b.secretName(g), nil
		}
		return "", nil
	case t.Issuer == "":
		return "", nil
	}
	return b.name(r.ID) + "-tls", map[string]string{"cert-manager.io/cluster-issuer": t.Issuer}
}
