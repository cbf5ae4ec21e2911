package appmodel

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// routes checks routes, and that no two of them lead from one place.
func (v *checker) routes() {
	taken := map[string]string{}
	for i := range v.app.Routes {
		r := &v.app.Routes[i]
		at := v.entryAt(Path{}.field("routes"), r.ID, i)
		v.name(r.ID, at.field("id"))
		v.labels(r.Labels, at.field("labels"))
		v.annotations(r.Annotations, at.field("annotations"))
		v.extensions(r.Extensions, at.field("extensions"))
		v.objectName(r.ObjectName, at.field("objectName"))
		for _, part := range strings.SplitN(r.Class, "/", 2) {
			if r.Class != "" && len(validation.IsDNS1123Subdomain(part)) > 0 {
				v.errorf(at.field("class"), "write an ingress class, or a gateway as namespace/name", "%q is not a class", cut(r.Class))
			}
		}
		switch {
		case r.HTTP != nil:
			v.httpRoute(r, at.field("http"), taken)
		case r.TCP != nil:
			v.stream(r.TCP, at.field("tcp"), TCP)
		case r.UDP != nil:
			v.stream(r.UDP, at.field("udp"), UDP)
		case r.TLS != nil:
			v.portNumber(r.TLS.Port, at.field("tls").field("port"))
			for _, h := range r.TLS.Hosts {
				v.host(h, at.field("tls").field("hosts").entry(h))
			}
			v.backends(r.TLS.To, at.field("tls"), TCP)
		}
	}
}

func (v *checker) httpRoute(r *Route, at Path, taken map[string]string) {
	for _, h := range r.HTTP.Hosts {
		v.host(h, at.field("hosts").entry(h))
	}
	if tls := r.HTTP.TLS; tls != nil && tls.Secret != "" {
		here := at.field("tls").field("secret")
		v.groupRef(tls.Secret, "", true, here)
		if s := v.secrets[tls.Secret]; s != nil && s.Type != SecretTLS {
			v.errorf(here, "use a secret of type tls", "secret %s is of type %s", s.Name, s.Type)
		}
	}
	if len(r.HTTP.Rules) == 0 {
		v.errorf(at.field("rules"), "add for example {path: /, to: [{component: web}]}", "is missing")
	}
	for _, rule := range r.HTTP.Rules {
		here := at.field("rules").entry(rule.Name)
		v.rule(rule, here)
		hosts := r.HTTP.Hosts
		if len(hosts) == 0 {
			hosts = []string{"\x00" + r.ID} // a host of its own under the cluster's domain
		}
		for _, host := range hosts {
			id := fmt.Sprint(strings.ToLower(host), "\x00", rule.Path, "\x00", rule.Match, "\x00", rule.Method, sortedHeaders(rule.Headers), sortedHeaders(rule.Cookies))
			if other, twice := taken[id]; twice && r.IsEnabled() {
				place := rule.Path
				if host[0] != 0 {
					place = host + rule.Path
				}
				v.errorf(here, "change one of them, or tell them apart by method, headers or cookies", "%s is also led by %s", place, other)
			} else if r.IsEnabled() {
				taken[id] = here.String()
			}
		}
	}
}

func sortedHeaders(headers []Header) []Header {
	sorted := slices.Clone(headers)
	slices.SortFunc(sorted, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

var httpMethod = regexp.MustCompile(`^[A-Z]{1,20}$`)

func (v *checker) rule(rule HTTPRule, at Path) {
	switch {
	case rule.Match == "regex":
		if _, err := regexp.Compile(rule.Path); err != nil || len(rule.Path) > 1024 {
			v.errorf(at.field("path"), "correct it, or write match: prefix", "%q is not a regular expression", cut(rule.Path))
		}
	case !strings.HasPrefix(rule.Path, "/"):
		v.errorf(at.field("path"), "begin with /", "%q is not the path of a URL", cut(rule.Path))
	case strings.ContainsAny(rule.Path, " ?#") || strings.Contains(rule.Path+"/", "/../") || strings.Contains(rule.Path, "//"):
		v.errorf(at.field("path"), "write the path alone, without .., //, ? and #", "%q is not the path of a URL", cut(rule.Path))
	}
	if rule.Method != "" && !httpMethod.MatchString(rule.Method) {
		v.errorf(at.field("method"), "write for example GET", "%q is not a method", cut(rule.Method))
	}
	for _, h := range rule.Headers {
		if h.Name != "" && len(validation.IsHTTPHeaderName(h.Name)) > 0 {
			v.errorf(at.field("headers").entry(h.Name), "use letters, digits and hyphens", "%q is not a header", cut(h.Name))
		}
	}
	if rule.MaxBodySize != "" {
		v.quantity(rule.MaxBodySize, at.field("maxBodySize"))
	}
	if rw := rule.Rewrite; rw != nil {
		for field, p := range map[string]string{"prefix": rw.Prefix, "path": rw.Path} {
			if p != "" && !strings.HasPrefix(p, "/") {
				v.errorf(at.field("rewrite").field(field), "begin with /", "%q is not the path of a URL", cut(p))
			}
		}
		if rw.Prefix != "" && rule.Match != "prefix" {
			v.errorf(at.field("rewrite").field("prefix"), "use rewrite.path", "only match: prefix has a prefix to replace")
		}
		if rw.Host != "" {
			v.host(rw.Host, at.field("rewrite").field("host"))
		}
	}
	v.backends(rule.To, at, TCP)
}

func (v *checker) stream(s *StreamRoute, at Path, protocol Protocol) {
	if s.Port != 0 {
		v.portNumber(s.Port, at.field("port"))
	}
	v.backends(s.To, at, protocol)
}

func (v *checker) backends(to []Backend, at Path, protocol Protocol) {
	total := 0
	for _, b := range to {
		key := b.Component
		if b.Port != "" {
			key += "/" + string(b.Port)
		}
		here := at.field("to").entry(key)
		if b.Weight != nil {
			if *b.Weight < 0 || *b.Weight > 1_000_000 {
				v.errorf(here.field("weight"), "write one from 0 to 1000000", "%d is not possible", *b.Weight)
			}
			total += *b.Weight
		} else {
			total++
		}
		if b.Component == "" {
			continue
		}
		c := v.byID[b.Component]
		if c == nil {
			next := didYouMean(b.Component, v.ids)
			if next == "" {
				next = "add it, or lead the route elsewhere"
			}
			v.errorf(here, next, "no component %q", cut(b.Component))
			continue
		}
		if !c.IsEnabled() {
			v.warnf(here, "disable the route too, or lead it elsewhere", "%s is not enabled", c.ID)
		}
		v.onePort(c, b.Port, here)
		if p := findPort(c, b.Port); p != nil && p.Protocol != protocol {
			v.errorf(here.field("port"), "use another kind of route, or another port", "port %s of %s is %s", b.Port, c.ID, p.Protocol)
		}
	}
	if len(to) > 0 && total == 0 {
		v.errorf(at.field("to"), "give one of them a weight", "all weights are zero")
	}
}

// host checks a host name, in which references stand for any label.
func (v *checker) host(host string, at Path) {
	plain := host
	if t, err := ParseTemplate(host); err == nil {
		plain, _ = t.Expand(func(TemplateRef) (string, error) { return "x", nil })
	} else {
		return // reported with the templates
	}
	plain = strings.TrimPrefix(plain, "*.")
	switch {
	case len(plain) > 253 || len(validation.IsDNS1123Subdomain(plain)) > 0:
		v.errorf(at, "write a host name in lower case, without scheme, port and path", "%q is not a host name", cut(host))
	case net.ParseIP(plain) != nil:
		v.errorf(at, "leave the hosts out, or write a host name", "%q is an address, not a host name", cut(host))
	}
}
