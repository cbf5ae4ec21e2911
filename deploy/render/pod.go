package render

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podWriter collects what the containers of one component's pods share.
type podWriter struct {
	b *builder
	c *appmodel.Component
	// content is what the pods are restarted for when it changes, by where it
	// stands.
	content map[string]string
	files   fileSet
	volumes map[string]corev1.Volume
	claims  []corev1.PersistentVolumeClaim
}

// pod renders a component's pods: their template and the claims of each
// replica. It adds the objects that the pods refer to, so it is called once.
func (b *builder) pod(c *appmodel.Component) (corev1.PodTemplateSpec, []corev1.PersistentVolumeClaim) {
	p := &podWriter{b: b, c: c, content: map[string]string{}, volumes: map[string]corev1.Volume{}}
	p.declareVolumes()
	spec := corev1.PodSpec{ImagePullSecrets: p.pullSecrets()}
	for i := range c.InitContainers {
		spec.InitContainers = append(spec.InitContainers, p.named(&c.InitContainers[i], "initContainers"))
	}
	spec.Containers = []corev1.Container{p.main()}
	p.sidecars(&spec)
	p.writeFiles()
	for _, name := range slices.Sorted(maps.Keys(p.volumes)) {
		spec.Volumes = append(spec.Volumes, p.volumes[name])
	}
	p.grace(&spec)
	p.podSecurity(&spec)
	p.identity(&spec)
	p.scheduling(&spec)
	if !bare(c) {
		off := false
		spec.EnableServiceLinks = &off
	}
	return corev1.PodTemplateSpec{ObjectMeta: p.podMeta(), Spec: spec}, p.claims
}

// podMeta is the metadata of the pods. Bare ones have only what the author and
// the selector say; those of a job need none, and one that exists could not be
// given labels without running again.
func (p *podWriter) podMeta() metav1.ObjectMeta {
	labels, annotations := map[string]string{}, p.b.scrape(p.c, maps.Clone(p.c.Annotations))
	if bare(p.c) {
		maps.Copy(labels, p.c.Labels)
	} else {
		labels = p.b.labels(p.c)
		if len(p.content) > 0 {
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[appmodel.AnnotationContent] = p.b.hash(p.content)
		}
	}
	if !bare(p.c) || p.c.Kind != appmodel.KindJob || len(p.c.Kubernetes.Selector) > 0 {
		maps.Copy(labels, p.b.selector(p.c.ID))
	}
	return metav1.ObjectMeta{Labels: labels, Annotations: annotations}
}

// pullSecrets are the Secrets with which images are pulled, by name.
func (p *podWriter) pullSecrets() []corev1.LocalObjectReference {
	if p.c.ImagePull == nil {
		return nil
	}
	var out []corev1.LocalObjectReference
	for _, name := range p.c.ImagePull.Secrets {
		out = append(out, corev1.LocalObjectReference{Name: p.b.secretName(p.b.secret(name, componentPath(p.c, "imagePull.secrets")))})
	}
	slices.SortFunc(out, func(x, y corev1.LocalObjectReference) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// gracePeriod is how long the pods may take to end.
func (p *podWriter) gracePeriod() time.Duration {
	if p.c.Lifecycle == nil {
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return time.Duration(p.c.Lifecycle.GracePeriod)
}

// grace writes the grace period, where it is not Kubernetes' own.
func (p *podWriter) grace(spec *corev1.PodSpec) {
	if g := int64(seconds(appmodel.Duration(p.gracePeriod()))); g != corev1.DefaultTerminationGracePeriodSeconds {
		spec.TerminationGracePeriodSeconds = &g
	}
}

// seconds are whole ones, rounded up, so that what is not zero stays so.
func seconds(d appmodel.Duration) int32 {
	return int32((time.Duration(d) + time.Second - 1) / time.Second)
}

// useConfig refers to a whole config group.
func (p *podWriter) useConfig(g *appmodel.Config) corev1.LocalObjectReference {
	for _, i := range g.Items {
		p.useConfigItem(g, i.Name)
	}
	return corev1.LocalObjectReference{Name: p.b.configName(g)}
}

// useConfigItem restarts the pods when the item changes. What is wrong with it
// is said where the group is rendered.
func (p *podWriter) useConfigItem(g *appmodel.Config, item string) {
	if v, err := p.b.configValue(g.Name, item); err == nil && !v.sensitive() {
		p.content["config/"+g.Name+"/"+item], _ = v.reveal()
	}
}

// useSecret refers to a whole secret group.
func (p *podWriter) useSecret(g *appmodel.Secret) corev1.LocalObjectReference {
	for _, i := range g.Items {
		p.useSecretItem(g, i.Name)
	}
	return corev1.LocalObjectReference{Name: p.b.secretName(g)}
}

// useSecretItem restarts the pods when the item changes.
func (p *podWriter) useSecretItem(g *appmodel.Secret, item string) {
	if v, err := p.b.secretValue(g.Name, item); err == nil {
		p.useKey(*v[0].secret, v[0].text)
	}
}

// useKey restarts the pods when a secret changes, and sees to it that it is
// written if no group does.
func (p *podWriter) useKey(key secretKey, text string) {
	if key.unknown {
		return
	}
	p.content["secret/"+key.object+"/"+key.key] = text
	if !key.copy {
		return
	}
	c := p.b.copies[key.object]
	if c == nil {
		c = &copied{owner: key.owner, data: map[string][]byte{}}
		p.b.copies[key.object] = c
	}
	c.data[key.key] = []byte(text)
}
