package fake

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// missingVolume says which ConfigMap or Secret a pod's volumes wait for.
func (c *Cluster) missingVolume(p *corev1.Pod) string {
	for _, v := range p.Spec.Volumes {
		var kind, name string
		switch {
		case v.ConfigMap != nil && !deref(v.ConfigMap.Optional):
			kind, name = "ConfigMap", v.ConfigMap.Name
		case v.Secret != nil && !deref(v.Secret.Optional):
			kind, name = "Secret", v.Secret.SecretName
		}
		if kind != "" && !c.exists(kind, p.Namespace, name) {
			return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %s %q not found", v.Name, lower(kind), name)
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil && !deref(s.ConfigMap.Optional) && !c.exists("ConfigMap", p.Namespace, s.ConfigMap.Name) {
				return fmt.Sprintf("MountVolume.SetUp failed for volume %q : configmap %q not found", v.Name, s.ConfigMap.Name)
			}
			if s.Secret != nil && !deref(s.Secret.Optional) && !c.exists("Secret", p.Namespace, s.Secret.Name) {
				return fmt.Sprintf("MountVolume.SetUp failed for volume %q : secret %q not found", v.Name, s.Secret.Name)
			}
		}
	}
	return ""
}

// missingReference says which ConfigMap, Secret or key the environment of a
// pod's containers waits for.
func (c *Cluster) missingReference(p *corev1.Pod) string {
	for _, container := range append(append([]corev1.Container(nil), p.Spec.InitContainers...), p.Spec.Containers...) {
		for _, from := range container.EnvFrom {
			if r := from.ConfigMapRef; r != nil && !deref(r.Optional) && !c.exists("ConfigMap", p.Namespace, r.Name) {
				return fmt.Sprintf("configmap %q not found", r.Name)
			}
			if r := from.SecretRef; r != nil && !deref(r.Optional) && !c.exists("Secret", p.Namespace, r.Name) {
				return fmt.Sprintf("secret %q not found", r.Name)
			}
		}
		for _, e := range container.Env {
			if e.ValueFrom == nil {
				continue
			}
			if r := e.ValueFrom.ConfigMapKeyRef; r != nil && !deref(r.Optional) {
				o, ok := fetch[*corev1.ConfigMap](c, task{kind: c.kinds.find("v1", "ConfigMap"), key: key{p.Namespace, r.Name}})
				if !ok {
					return fmt.Sprintf("configmap %q not found", r.Name)
				}
				if _, ok := o.Data[r.Key]; !ok {
					return fmt.Sprintf("couldn't find key %s in ConfigMap %s/%s", r.Key, p.Namespace, r.Name)
				}
			}
			if r := e.ValueFrom.SecretKeyRef; r != nil && !deref(r.Optional) {
				o, ok := fetch[*corev1.Secret](c, task{kind: c.kinds.find("v1", "Secret"), key: key{p.Namespace, r.Name}})
				if !ok {
					return fmt.Sprintf("secret %q not found", r.Name)
				}
				if _, ok := o.Data[r.Key]; !ok {
					return fmt.Sprintf("couldn't find key %s in Secret %s/%s", r.Key, p.Namespace, r.Name)
				}
			}
		}
	}
	return ""
}

func (c *Cluster) exists(kind, namespace, name string) bool {
	return c.store.get(c.kinds.find("v1", kind), key{namespace, name}) != nil
}

func lower(kind string) string {
	if kind == "ConfigMap" {
		return "configmap"
	}
	return "secret"
}

func containerNames(p *corev1.Pod) string {
	s := ""
	for i, c := range p.Spec.Containers {
		if i > 0 {
			s += " "
		}
		s += c.Name
	}
	return s
}
