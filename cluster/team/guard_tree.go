package team

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// tree checks kinds without Go types: no field may name a namespace of others,
// except that of a Gateway to attach to, nor a file of who reads the object.
func (g *guard) tree(o driver.Object) {
	var v map[string]any
	if !g.strict(o, &v) {
		return
	}
	spec, _ := v["spec"].(map[string]any)
	g.walk("spec", spec)
	switch o.Kind {
	case "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute":
		g.route(o.Kind, spec)
	case "ScaledObject":
		ref, _ := spec["scaleTargetRef"].(map[string]any)
		name, _ := ref["name"].(string)
		kind, _ := ref["kind"].(string)
		g.scaled(o.Namespace, cmp.Or(kind, "Deployment"), name)
	case "TriggerAuthentication":
		g.triggerAuthentication(spec)
	case "ServiceMonitor", "PodMonitor":
		if s, ok := spec["namespaceSelector"].(map[string]any); ok {
			names, _ := s["matchNames"].([]any)
			foreign := slices.ContainsFunc(names, func(n any) bool { text, _ := n.(string); return !g.owns(text) })
			if s["any"] == true || foreign {
				g.refuse("spec.namespaceSelector", "it reads metrics of other namespaces", "select namespaces of the team only")
			}
		}
	}
}

// route checks what a route of the Gateway API answers for, and that it attaches
// to Gateways, which say themselves who may, and not to Services of others.
func (g *guard) route(kind string, spec map[string]any) {
	parents, _ := spec["parentRefs"].([]any)
	for i := range parents {
		parent, _ := parents[i].(map[string]any)
		namespace, named := parent["namespace"].(string)
		if k, ok := parent["kind"].(string); ok && k != "Gateway" && named && !g.owns(namespace) {
			g.refuse(fmt.Sprintf("spec.parentRefs[%d]", i), fmt.Sprintf("%s of namespace %q is not the team's", k, namespace), "attach to a Gateway")
		}
	}
	if kind == "TCPRoute" || kind == "UDPRoute" { // they have no host names
		return
	}
	hosts, _ := spec["hostnames"].([]any)
	for i := range hosts {
		host, _ := hosts[i].(string)
		g.host(fmt.Sprintf("spec.hostnames[%d]", i), host)
	}
	if len(hosts) == 0 {
		g.host("spec.hostnames", "")
	}
}

// triggerAuthentication lets through what comes from the team's own namespace:
// the other ways use the rights and files of the autoscaler.
func (g *guard) triggerAuthentication(spec map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(spec)) {
		switch key {
		case "secretTargetRef", "configMapTargetRef", "env":
		case "podIdentity":
			identity, _ := spec[key].(map[string]any)
			if identity["identityOwner"] != "workload" && identity["provider"] != "none" {
				g.refuse("spec.podIdentity", "it acts with the rights of the autoscaler", "set identityOwner to workload")
			}
		default:
			g.refuse("spec."+key, "it acts with the rights of the autoscaler, or on its files", "use a Secret of the same namespace")
		}
	}
}

// labelMap is the one that cannot make up an address: names of labels begin
// with a letter or digit.
func labelMap() *regexp.Regexp {
	return regexp.MustCompile(`^__meta_kubernetes_[a-z]+_label_\(\.\+\)$`)
}

// relabelings may not lead a monitor to other addresses than those that it
// found.
func (g *guard) relabelings(path string, v any) {
	rules, _ := v.([]any)
	for i := range rules {
		rule, _ := rules[i].(map[string]any)
		text := func(key string) string { s, _ := rule[key].(string); return s }
		label, action := text("targetLabel"), strings.ToLower(text("action"))
		made := strings.Contains(label, "$") || strings.HasPrefix(label, "__") && !strings.HasPrefix(label, "__tmp")
		mapped := action == "labelmap" && !(labelMap().MatchString(text("regex")) && slices.Contains([]string{"", "$1", "${1}"}, text("replacement")))
		if made || mapped {
			g.refuse(fmt.Sprintf("%s[%d]", path, i), "it can lead the monitor to addresses of others", "set labels of metrics only")
		}
	}
}

func (g *guard) walk(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := path + "." + key
			text, isText := v[key].(string)
			switch {
			case key == "parentRefs": // a Gateway says itself which namespaces may attach
			case key == "namespace" && isText && !g.owns(text):
				g.refuse(at, fmt.Sprintf("%q is no namespace of the team", text), "name things in the same namespace")
			case slices.Contains([]string{"bearerTokenFile", "caFile", "certFile", "keyFile", "credentialsFile"}, key):
				g.refuse(at, "it is a file of the program that reads this object", "use a Secret of the same namespace")
			case key == "identityOwner" && text != "workload":
				g.refuse(at, "it acts with the rights of the program that reads this object", "use those of the workload")
			case key == "proxyUrl":
				g.refuse(at, "it leads the program that reads this object elsewhere", "leave it out")
			case key == "relabelings":
				g.relabelings(at, v[key])
			case key == "kind" && isText && strings.HasPrefix(text, "Cluster"):
				g.refuse(at, fmt.Sprintf("%s is not the team's", text), "use one of the same namespace")
			default:
				g.walk(at, v[key])
			}
		}
	case []any:
		for i := range v {
			g.walk(fmt.Sprintf("%s[%d]", path, i), v[i])
		}
	}
}
