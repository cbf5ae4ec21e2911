package team

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// volumes checks what pods mount, and which Secrets they read.
func (g *guard) volumes(at func(string) string, s corev1.PodSpec) {
	for i, v := range s.Volumes {
		path := at(fmt.Sprintf("volumes[%d]", i))
		if v.Secret != nil {
			g.secretName(path, v.Secret.SecretName)
		}
		if v.Projected != nil {
			for _, source := range v.Projected.Sources {
				if source.Secret != nil {
					g.secretName(path, source.Secret.Name)
				}
			}
		}
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			t := v.Ephemeral.VolumeClaimTemplate
			g.claimTemplate(path+".ephemeral.volumeClaimTemplate", t.ObjectMeta, t.Spec)
		}
		rest := v.VolumeSource // host paths are the level's
		rest.HostPath, rest.ConfigMap, rest.Secret, rest.Projected, rest.DownwardAPI = nil, nil, nil, nil, nil
		rest.EmptyDir, rest.PersistentVolumeClaim, rest.Ephemeral, rest.Image = nil, nil, nil, nil
		if rest != (corev1.VolumeSource{}) && g.allocation.level() != Privileged {
			g.unlessPermitted(PermitVolumes, path, "what it names by address or id may hold the data of others")
		}
	}
	for _, containers := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for _, c := range containers {
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					g.secretName(at("containers["+c.Name+"].env["+e.Name+"]"), e.ValueFrom.SecretKeyRef.Name)
				}
			}
			for _, e := range c.EnvFrom {
				if e.SecretRef != nil {
					g.secretName(at("containers["+c.Name+"].envFrom"), e.SecretRef.Name)
				}
			}
		}
	}
}

// secretName refuses Secrets that are the team's, not its applications'.
func (g *guard) secretName(path, name string) {
	if strings.HasPrefix(name, reserved) {
		g.refuse(path, fmt.Sprintf("Secret %s is for pulling images, not for applications to read", name), "let the application bring a Secret of its own")
	}
}
