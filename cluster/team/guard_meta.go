package team

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// meta checks what every object says about itself.
func (g *guard) meta(o driver.Object) {
	v, err := decode[metav1.PartialObjectMetadata](o)
	if err != nil {
		g.refuse("metadata", "it does not decode: "+err.Error(), "correct the field")
		return
	}
	if len(v.OwnerReferences) > 0 {
		g.refuse("metadata.ownerReferences", "what owns an object can be held up by it, and takes it along when it goes", "leave them out")
	}
	g.finalizers("metadata", v.Finalizers)
	for _, key := range slices.Sorted(maps.Keys(v.Annotations)) {
		if strings.HasPrefix(key, "external-dns.alpha.kubernetes.io/") && strings.HasSuffix(key, "hostname") {
			g.hosts("metadata.annotations["+key+"]", v.Annotations[key])
		}
	}
}

// finalizers keep an object, and with it the namespace, until somebody removes
// them.
func (g *guard) finalizers(path string, finalizers []string) {
	if len(finalizers) > 0 {
		g.refuse(path+".finalizers", "they keep it, and its namespace, from being deleted", "leave them out")
	}
}

// hosts checks host names that are separated by commas.
func (g *guard) hosts(path, list string) {
	for host := range strings.SplitSeq(list, ",") {
		if host = strings.TrimSpace(host); host != "" {
			g.host(path, strings.ToLower(strings.TrimSuffix(host, ".")))
		}
	}
}

// networkAnnotations are domains of annotations by which network plug-ins take
// wishes from pods: other networks, on which no NetworkPolicy holds, or
// addresses of others.
func networkAnnotations() []string {
	return []string{"k8s.v1.cni.cncf.io", "v1.multus-cni.io", "cni.projectcalico.org", "k8s.ovn.org", "ovn.kubernetes.io", "ipam.cilium.io"}
}

// podMeta checks what pods, or a template of them, say about themselves.
func (g *guard) podMeta(path string, meta metav1.ObjectMeta) {
	if path != "" { // else it is the object, which was checked
		g.finalizers(strings.TrimPrefix(path+".metadata", "."), meta.Finalizers)
	}
	for _, key := range slices.Sorted(maps.Keys(meta.Annotations)) {
		domain, _, _ := strings.Cut(key, "/")
		if g.allocation.level() != Privileged && slices.Contains(networkAnnotations(), domain) {
			g.refuse(strings.TrimPrefix(path+".metadata.annotations["+key+"]", "."), "it connects pods past the team's network policy", "leave it out, or have the level privileged allocated")
		}
	}
}

// scaled refuses an autoscaler of what is not the application's own: nothing
// would be reserved for what it makes of it.
func (g *guard) scaled(namespace, kind, name string) {
	if !g.workloads[target{namespace, kind, name}] {
		g.refuse("spec.scaleTargetRef", fmt.Sprintf("%s %s is not in the same application, so that nothing would be reserved for it", kind, name), "scale what the application itself runs")
	}
}
