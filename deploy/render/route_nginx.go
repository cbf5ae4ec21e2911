package render

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	netv1 "k8s.io/api/networking/v1"
)

const (
	nginxPrefix = "nginx.ingress.kubernetes.io/"
	// leastWeightTotal is what ingress-nginx takes a smaller canary-weight-total
	// for.
	leastWeightTotal = 100
	// webSocketIdle is how long, in seconds, a connection may be silent that is
	// held open for messages.
	webSocketIdle = "3600"
)

// nginxRule says in annotations what an Ingress cannot.
func (b *builder) nginxRule(r *appmodel.Route, x *ingressRule) {
	rule, out := x.rule, map[string]string{}
	set := func(name, value string) { out[nginxPrefix+name] = value }
	if rule.Match == "regex" {
		set("use-regex", "true")
	}
	if rule.MaxBodySize != "" {
		if q, err := rule.MaxBodySize.Parse(); err == nil {
			set("proxy-body-size", strconv.FormatInt(q.Value(), 10))
		}
	}
	if rule.WebSocket {
		set("proxy-read-timeout", webSocketIdle)
		set("proxy-send-timeout", webSocketIdle)
	}
	if t := rule.Timeouts; t != nil {
		if t.Connect > 0 {
			set("proxy-connect-timeout", wholeSeconds(t.Connect))
		}
		silence := t.Backend
		if t.Request > 0 {
			b.routeNote(r, Warning, ruleAt(rule, "timeouts.request"), "ingress-nginx does not bound a whole request; it bounds how long the component may be silent")
			if silence == 0 {
				silence = t.Request
			}
		}
		if silence > 0 {
			set("proxy-read-timeout", wholeSeconds(silence))
			set("proxy-send-timeout", wholeSeconds(silence))
		}
	}
	switch rule.SessionAffinity {
	case "cookie":
		set("affinity", "cookie")
	case "clientIP":
		set("upstream-hash-by", "$remote_addr")
	}
	if w := rule.Rewrite; w != nil {
		if w.Host != "" {
			set("upstream-vhost", w.Host)
		}
		switch {
		case w.Path != "":
			set("rewrite-target", w.Path)
		case w.Prefix != "" && w.Prefix != rule.Path:
			set("rewrite-target", nginxTarget(rule.Path, w.Prefix))
		}
	}
	if _, rewritten := out[nginxPrefix+"rewrite-target"]; rewritten {
		set("use-regex", "true")
	}
	x.annotations = out
}

// nginxProtocol is what has to be said of what a component speaks, as an
// application protocol; empty for HTTP.
func nginxProtocol(spoken string) string {
	switch spoken {
	case "https", "kubernetes.io/wss":
		return "HTTPS"
	case "grpc":
		return "GRPC"
	case "grpcs":
		return "GRPCS"
	}
	return ""
}

// nginxTarget takes the place of a path that matches [nginxExpressions].
func nginxTarget(path, prefix string) string {
	switch prefix = strings.TrimSuffix(prefix, "/"); {
	case prefix == "" || path == "/":
		return prefix + "/$2"
	default:
		return prefix + "$1$2"
	}
}

// nginxExpressions makes expressions of all paths if one is: ingress-nginx
// takes all paths of a host for expressions then, and tries longer ones first.
// So all prefixes get the same ending, and exact paths a longer one.
func (b *builder) nginxExpressions(r *appmodel.Route, rules []*ingressRule) {
	regex := func(x *ingressRule) bool { return x.annotations[nginxPrefix+"use-regex"] != "" }
	if !slices.ContainsFunc(rules, regex) {
		return
	}
	for _, x := range rules {
		path := regexp.QuoteMeta(strings.TrimSuffix(x.rule.Path, "/"))
		switch {
		case x.rule.Match == "regex":
			path = x.path.Path
		case x.rule.Match == "exact":
			path = regexp.QuoteMeta(x.rule.Path) + "()()()()()$"
		case path == "":
			path = "/()(.*)"
		default:
			path += "(/|$)(.*)"
		}
		kind := netv1.PathTypeImplementationSpecific
		x.path.Path, x.path.PathType = path, &kind
		if regex(x) {
			b.routeNote(r, Information, ruleAt(x.rule, "path"), "ingress-nginx takes all paths of the route's hosts for regular expressions because of it, and does not tell upper from lower case there")
		}
	}
}

// wholeSeconds rounds up: none at all would be no time.
func wholeSeconds(d appmodel.Duration) string {
	return strconv.FormatInt(int64((time.Duration(d)+time.Second-1)/time.Second), 10)
}

// nginxCanary are the annotations of an Ingress that takes its share of
// another's requests. A canary inherits the others' but for affinity.
func nginxCanary(x *ingressRule, main, canary int) map[string]string {
	total, factor := main+canary, 1
	if total < leastWeightTotal {
		factor = (leastWeightTotal + total - 1) / total
	}
	out := canaryAnnotations(x)
	out[nginxPrefix+"canary-weight"] = strconv.Itoa(canary * factor)
	out[nginxPrefix+"canary-weight-total"] = strconv.Itoa(total * factor)
	return out
}

func canaryAnnotations(x *ingressRule) map[string]string {
	out := map[string]string{nginxPrefix + "canary": "true"}
	for _, name := range []string{"affinity", "upstream-hash-by"} {
		if v, ok := x.annotations[nginxPrefix+name]; ok {
			out[nginxPrefix+name] = v
		}
	}
	return out
}

// canaryHeader is what ingress-nginx takes for the value of a header.
var canaryHeader = regexp.MustCompile(`^[-._~a-zA-Z0-9/:]+$`)

// headerCanary makes a rule that matches by one header the canary of the rule
// that matches without, if there is one; it reports whether it is.
func (b *builder) headerCanary(r *appmodel.Route, rule *appmodel.HTTPRule, rules []*ingressRule) bool {
	if rule.Method != "" || len(rule.Cookies) > 0 || len(rule.Headers) != 1 || len(rule.To) != 1 || !canaryHeader.MatchString(rule.Headers[0].Value) {
		return false
	}
	for _, x := range rules {
		if x.canary != nil || x.rule.Path != rule.Path || x.rule.Match != rule.Match {
			continue
		}
		own := &ingressRule{rule: rule, path: x.path}
		notes := len(b.out.Notes)
		b.nginxRule(r, own)
		if b.out.Notes = b.out.Notes[:notes]; !maps.Equal(own.annotations, x.annotations) {
			return false // a canary has what its main Ingress has
		}
		to := b.targets(r, ruleAt(rule, "to"), rule.To)
		if len(to) == 0 {
			return true
		}
		x.other, x.canary = to[0], canaryAnnotations(x)
		x.canary[nginxPrefix+"canary-by-header"] = rule.Headers[0].Name
		x.canary[nginxPrefix+"canary-by-header-value"] = rule.Headers[0].Value
		return true
	}
	return false
}
