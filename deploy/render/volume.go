package render

import (
	"cmp"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sharedVolumes renders the claims of the application's own volumes.
func (b *builder) sharedVolumes() {
	for i := range b.app.Volumes {
		if v := &b.app.Volumes[i]; v.Kind == appmodel.VolumePersistent {
			b.persistentClaim(v, b.name(v.Name), nil)
		}
	}
}

// persistentClaim renders a claim under a name, or under that of the one it
// takes over. A claim that is taken over and says no size is left as it is.
// It returns the name.
func (b *builder) persistentClaim(v *appmodel.Volume, name string, c *appmodel.Component) string {
	if v.Claim != "" {
		name = v.Claim
	}
	if v.Claim != "" && v.Size == "" {
		return name
	}
	o := Object{Phase: PhaseData, Keep: v.Keeps()}
	if c != nil {
		o.Component = c.ID
	}
	meta := b.meta(name, c)
	meta.Labels[appmodel.LabelVolume] = v.Name
	b.add(&corev1.PersistentVolumeClaim{TypeMeta: tm("v1", "PersistentVolumeClaim"), ObjectMeta: meta, Spec: b.claim(v, c)}, o)
	return name
}

// claim is what a persistent volume asks for.
func (b *builder) claim(v *appmodel.Volume, c *appmodel.Component) corev1.PersistentVolumeClaimSpec {
	path := "volumes[" + v.Name + "]"
	b.storageNotes(v, c, path)
	s := corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.PersistentVolumeAccessMode(v.AccessMode)},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: b.quantity(v.Size, c, path+".size")}},
	}
	if v.StorageClass != "" {
		s.StorageClassName = &v.StorageClass
	}
	return s
}

// storageNotes says what the cluster may not be able to give.
func (b *builder) storageNotes(v *appmodel.Volume, c *appmodel.Component, path string) {
	classes := b.in.Info.StorageClasses
	i := slices.IndexFunc(classes, func(s driver.StorageClass) bool {
		return s.Name == v.StorageClass || v.StorageClass == "" && s.Default
	})
	switch {
	case i < 0 && v.StorageClass != "":
		b.note(Warning, c, path+".storageClass", "cluster %q has no storage class %q: the claim waits until it has; name another, or leave it out for the default", b.in.Cluster.Name, v.StorageClass)
	case i < 0:
		b.note(Warning, c, path, "cluster %q has no default storage class: the claim waits until a volume fits; name a storageClass", b.in.Cluster.Name)
	case v.AccessMode == string(corev1.ReadWriteMany) && !sharesFiles(classes[i].Provisioner):
		b.note(Warning, c, path+".accessMode", "nothing says that storage class %q (%s) can give ReadWriteMany; name one that can, if the claim stays pending", classes[i].Name, classes[i].Provisioner)
	}
}

// sharesFiles reports whether a provisioner is known to give volumes that
// several nodes may write.
func sharesFiles(provisioner string) bool {
	return slices.ContainsFunc([]string{"nfs", "cephfs", "efs.csi", "file.csi", "filestore", "gluster", "longhorn", "juicefs", "lustre", "nas", "smb"},
		func(part string) bool { return strings.Contains(provisioner, part) })
}

// quantity reads a quantity; one that can't be read is an error at the path.
func (b *builder) quantity(q appmodel.Quantity, c *appmodel.Component, path string) resource.Quantity {
	v, err := q.Parse()
	if err != nil {
		if c != nil {
			path = componentPath(c, path)
		}
		b.fail("%s: %q is no quantity; write for example 250m, 512Mi or 20Gi", path, q)
	}
	return v
}

// declareVolumes adds the component's own volumes and those of the application
// that its containers mount.
func (p *podWriter) declareVolumes() {
	for i := range p.c.Volumes {
		p.declareVolume(&p.c.Volumes[i], true)
	}
	mounted := map[string]bool{}
	for _, k := range containersOf(p.c) {
		for _, m := range k.Mounts {
			mounted[m.Volume] = true
		}
	}
	for i := range p.b.app.Volumes {
		v := &p.b.app.Volumes[i]
		_, own := p.volumes[v.Name]
		if mounted[v.Name] && !own && !slices.ContainsFunc(p.claims, func(c corev1.PersistentVolumeClaim) bool { return c.Name == v.Name }) {
			p.declareVolume(v, false)
		}
	}
}

// containersOf are all containers of a component.
func containersOf(c *appmodel.Component) []*appmodel.Container {
	all := []*appmodel.Container{&c.Container}
	for i := range c.InitContainers {
		all = append(all, &c.InitContainers[i].Container)
	}
	for i := range c.Sidecars {
		all = append(all, &c.Sidecars[i].Container)
	}
	return all
}

// declareVolume adds a volume to the pod; own tells those of the component
// from those of the application.
func (p *podWriter) declareVolume(v *appmodel.Volume, own bool) {
	if kind, _ := workloadKind(p.c); own && v.Kind == appmodel.VolumePersistent && v.Scope == "replica" && kind == "StatefulSet" {
		p.replicaClaim(v)
		return
	}
	p.volumes[v.Name] = corev1.Volume{Name: v.Name, VolumeSource: p.volumeSource(v, own)}
}

// replicaClaim adds a claim that each replica has its own of.
func (p *podWriter) replicaClaim(v *appmodel.Volume) {
	if v.Claim != "" {
		p.b.fail("%s: each replica has its own claim, so one cannot be taken over; write scope: component", componentPath(p.c, "volumes["+v.Name+"].claim"))
		return
	}
	labels := p.b.selector(p.c.ID)
	if bare(p.c) { // claim templates of a workload that exists never change
		p.claims = append(p.claims, corev1.PersistentVolumeClaim{TypeMeta: tm("v1", "PersistentVolumeClaim"), ObjectMeta: metav1.ObjectMeta{Name: v.Name}, Spec: p.b.claim(v, p.c)})
		return
	}
	labels[appmodel.LabelInstallation], labels[appmodel.LabelVolume] = p.b.in.Installation, v.Name
	labels[appmodel.LabelApplication], labels[appmodel.LabelComponent] = p.b.app.Metadata.Name, p.c.ID
	meta := metav1.ObjectMeta{Name: v.Name, Labels: labels}
	p.claims = append(p.claims, corev1.PersistentVolumeClaim{TypeMeta: tm("v1", "PersistentVolumeClaim"), ObjectMeta: meta, Spec: p.b.claim(v, p.c)})
}

// volumeSource says where a volume's bytes are.
func (p *podWriter) volumeSource(v *appmodel.Volume, own bool) corev1.VolumeSource {
	path := "volumes[" + v.Name + "]"
	switch v.Kind {
	case appmodel.VolumePersistent:
		name := cmp.Or(v.Claim, p.b.name(v.Name)) // of the application: rendered once, elsewhere
		if own {
			name = p.b.persistentClaim(v, p.b.name(p.c.ID)+"-"+v.Name, p.c)
		}
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}
	case appmodel.VolumeConfig:
		g := p.b.config(v.Config, componentPath(p.c, path))
		return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: p.useConfig(g), DefaultMode: p.mode(v.Mode, path)}}
	case appmodel.VolumeSecret:
		g := p.b.secret(v.Secret, componentPath(p.c, path))
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: p.useSecret(g).Name, DefaultMode: p.mode(v.Mode, path)}}
	case appmodel.VolumeHost:
		return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: v.HostPath}}
	}
	dir := &corev1.EmptyDirVolumeSource{}
	if v.Kind == appmodel.VolumeMemory {
		dir.Medium = corev1.StorageMediumMemory
	}
	if v.Size != "" {
		size := p.b.quantity(v.Size, p.c, path+".size")
		dir.SizeLimit = &size
	}
	return corev1.VolumeSource{EmptyDir: dir}
}

// mounts are those of a container: volumes and single files, by path.
func (p *podWriter) mounts(src *appmodel.Container, container, at string) []corev1.VolumeMount {
	var out []corev1.VolumeMount
	for _, m := range src.Mounts {
		v, known := p.volumes[m.Volume]
		if !known && !slices.ContainsFunc(p.claims, func(c corev1.PersistentVolumeClaim) bool { return c.Name == m.Volume }) {
			p.b.fail("%s: there is no volume %q; add it to volumes", componentPath(p.c, at+"mounts[\""+m.Path+"\"]"), m.Volume)
		}
		switch {
		case v.ConfigMap != nil:
			p.unreadable(v.ConfigMap.DefaultMode, src.Security, "volumes["+m.Volume+"].mode")
		case v.Secret != nil:
			p.unreadable(v.Secret.DefaultMode, src.Security, "volumes["+m.Volume+"].mode")
		}
		out = append(out, corev1.VolumeMount{Name: m.Volume, MountPath: m.Path, ReadOnly: m.ReadOnly, SubPath: m.SubPath})
	}
	out = append(out, p.mountFiles(src, container, at)...)
	slices.SortStableFunc(out, func(x, y corev1.VolumeMount) int { return strings.Compare(x.MountPath, y.MountPath) })
	return out
}

// writesAlone reports whether the component's pods hold a volume that only one
// node can write, so that an old pod must end before a new one starts.
func (b *builder) writesAlone(c *appmodel.Component) bool {
	alone := func(v *appmodel.Volume) bool {
		return v.Kind == appmodel.VolumePersistent && (v.AccessMode == string(corev1.ReadWriteOnce) || v.AccessMode == string(corev1.ReadWriteOncePod))
	}
	for i := range c.Volumes {
		if alone(&c.Volumes[i]) {
			return true
		}
	}
	for i := range b.app.Volumes {
		v := &b.app.Volumes[i]
		if alone(v) && slices.ContainsFunc(containersOf(c), func(k *appmodel.Container) bool {
			return slices.ContainsFunc(k.Mounts, func(m appmodel.Mount) bool { return m.Volume == v.Name })
		}) {
			return true
		}
	}
	return false
}
