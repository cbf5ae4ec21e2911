package render

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (b *builder) pod(c *appmodel.Component) (corev1.PodTemplateSpec, []corev1.PersistentVolumeClaim) {
	var claims []corev1.PersistentVolumeClaim
	var vols []corev1.Volume
	for _, v := range c.Volumes {
		vol := corev1.Volume{Name: v.Name}
		switch v.Kind {
		case appmodel.VolumePersistent:
			if c.Kind == appmodel.KindStateful && v.Scope == "replica" {
				claims = append(claims, corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: v.Name, Labels: map[string]string{appmodel.LabelInstallation: b.in.Installation, appmodel.LabelApplication: b.app.Metadata.Name, appmodel.LabelComponent: c.ID}}, Spec: b.claim(v)})
				continue
			}
			name := b.name(c.ID) + "-" + v.Name
			b.add(&corev1.PersistentVolumeClaim{TypeMeta: tm("v1", "PersistentVolumeClaim"), ObjectMeta: b.meta(name, c), Spec: b.claim(v)}, Object{Component: c.ID, Phase: PhaseData, Keep: v.Keeps()})
			vol.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}
		case appmodel.VolumeConfig:
			vol.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: b.name(v.Config)}}
		case appmodel.VolumeSecret:
			vol.Secret = &corev1.SecretVolumeSource{SecretName: b.name(v.Secret)}
		case appmodel.VolumeHost:
			vol.HostPath = &corev1.HostPathVolumeSource{Path: v.HostPath}
		case appmodel.VolumeMemory:
			vol.EmptyDir = &corev1.EmptyDirVolumeSource{Medium: "Memory"}
		default:
			vol.EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
		vols = append(vols, vol)
	}
	for _, m := range c.Mounts {
		for _, v := range b.app.Volumes {
			if v.Name == m.Volume {
				vols = append(vols, corev1.Volume{Name: v.Name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: b.name(v.Name)}}})
			}
		}
	}
	k := corev1.Container{Name: c.ID, Image: c.Image, Command: c.Command, Args: c.Args, WorkingDir: c.WorkingDir}
	for _, m := range c.Mounts {
		k.VolumeMounts = append(k.VolumeMounts, corev1.VolumeMount{Name: m.Volume, MountPath: m.Path, ReadOnly: m.ReadOnly, SubPath: m.SubPath})
	}
	for _, p := range c.Ports {
		k.Ports = append(k.Ports, corev1.ContainerPort{ContainerPort: int32(p.Port), Protocol: corev1.Protocol(p.Protocol)})
	}
	for _, f := range c.EnvFrom {
		if f.Config != "" {
			k.EnvFrom = append(k.EnvFrom, corev1.EnvFromSource{Prefix: f.Prefix, ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: b.name(f.Config)}}})
		}
	}
	plain, secret := map[string]string{}, map[string][]byte{}
	ename := b.name(c.ID) + "-env"
	env := func(name, value string, sec bool) {
		if sec {
			secret[name] = []byte(value)
			k.Env = append(k.Env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: ename}, Key: name}}})
			return
		}
		k.Env = append(k.Env, corev1.EnvVar{Name: name, Value: value})
	}
	for _, n := range c.Needs {
		if n.Prefix == nil {
			continue
		}
		keys := []string{"host", "port"}
		if p := b.comps[n.Component]; p != nil {
			for _, i := range p.Provides {
				keys = append(keys, i.Name)
			}
		}
		for _, key := range keys {
			v, sec, err := b.provided(c, n, key)
			if err != nil {
				b.errs = append(b.errs, err)
			}
			env(*n.Prefix+strings.ToUpper(key), v, sec)
		}
	}
	for _, e := range c.Env {
		switch {
		case e.Template != "":
			v, sec, err := b.expand(c, e.Template)
			if err != nil {
				b.errs = append(b.errs, err)
			}
			env(e.Name, v, sec)
		case e.ValueFrom != nil && e.ValueFrom.Field != "":
			k.Env = append(k.Env, corev1.EnvVar{Name: e.Name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: e.ValueFrom.Field}}})
		case e.ValueFrom != nil && e.ValueFrom.Secret != nil:
			k.Env = append(k.Env, corev1.EnvVar{Name: e.Name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: b.name(e.ValueFrom.Secret.Name)}, Key: e.ValueFrom.Secret.Item}}})
		default:
			env(e.Name, e.Value, false)
		}
	}
	for i, f := range c.Files {
		key := "f" + strconv.Itoa(i)
		plain[key] = f.Content
		if f.Secret != nil {
			continue
		}
		k.VolumeMounts = append(k.VolumeMounts, corev1.VolumeMount{Name: "files", MountPath: f.Path, SubPath: key})
	}
	annotations := map[string]string{}
	if len(plain) > 0 {
		name := b.name(c.ID) + "-files"
		b.add(&corev1.ConfigMap{TypeMeta: tm("v1", "ConfigMap"), ObjectMeta: b.meta(name, c), Data: plain}, Object{Component: c.ID, Phase: PhaseData})
		vols = append(vols, corev1.Volume{Name: "files", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}})
		annotations[appmodel.AnnotationContent] = b.hash(plain)
	}
	if len(secret) > 0 {
		b.add(&corev1.Secret{TypeMeta: tm("v1", "Secret"), ObjectMeta: b.meta(ename, c), Data: secret}, Object{Component: c.ID, Phase: PhaseData, Sensitive: true})
		annotations[appmodel.AnnotationContent] = b.hash([]any{plain, secret})
	}
	if c.Resources != nil {
		conv := func(m map[string]appmodel.Quantity) corev1.ResourceList {
			if len(m) == 0 {
				return nil
			}
			l := corev1.ResourceList{}
			for n, q := range m {
				l[corev1.ResourceName(n)] = resource.MustParse(string(q))
			}
			return l
		}
		k.Resources = corev1.ResourceRequirements{Requests: conv(c.Resources.Requests), Limits: conv(c.Resources.Limits)}
	}
	if c.Probes != nil {
		k.ReadinessProbe = b.probe(c, c.Probes.Readiness)
	}
	labels := b.labels(c)
	if len(annotations) == 0 {
		annotations = nil
	}
	sort.SliceStable(vols, func(i, j int) bool { return vols[i].Name < vols[j].Name })
	spec := corev1.PodSpec{Containers: []corev1.Container{k}, Volumes: vols}
	if c.Lifecycle != nil {
		g := int64(time.Duration(c.Lifecycle.GracePeriod).Seconds())
		spec.TerminationGracePeriodSeconds = &g
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations}, Spec: spec}, claims
}

func (b *builder) probe(c *appmodel.Component, p *appmodel.Probe) *corev1.Probe {
	if p == nil {
		return nil
	}
	out := &corev1.Probe{PeriodSeconds: int32(time.Duration(p.Period).Seconds()), TimeoutSeconds: int32(time.Duration(p.Timeout).Seconds()), FailureThreshold: int32(p.FailureThreshold)}
	switch {
	case p.Exec != nil:
		out.Exec = &corev1.ExecAction{Command: p.Exec.Command}
	case p.HTTP != nil:
		out.HTTPGet = &corev1.HTTPGetAction{Path: p.HTTP.Path, Port: b.port(c, p.HTTP.Port)}
	case p.TCP != nil:
		out.TCPSocket = &corev1.TCPSocketAction{Port: b.port(c, p.TCP.Port)}
	}
	return out
}

func (b *builder) port(c *appmodel.Component, r appmodel.PortRef) intstr.IntOrString {
	for _, p := range c.Ports {
		if p.Name == string(r) {
			return intstr.FromInt32(int32(p.Port))
		}
	}
	n, _ := r.Number()
	return intstr.FromInt32(int32(n))
}
