package render

import (
	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func tm(v, k string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: v, Kind: k} }

func (b *builder) groups() {
	for _, g := range b.app.Configs {
		data := map[string]string{}
		for _, i := range g.Items {
			v := i.Value
			if i.Template != "" {
				var err error
				if v, _, err = b.expand(nil, i.Template); err != nil {
					b.errs = append(b.errs, err)
				}
			}
			data[i.Name] = v
		}
		b.add(&corev1.ConfigMap{TypeMeta: tm("v1", "ConfigMap"), ObjectMeta: b.meta(b.name(g.Name), nil), Data: data}, Object{Phase: PhaseData})
	}
	for _, g := range b.app.Secrets {
		if g.Existing != "" {
			continue
		}
		data := map[string][]byte{}
		for _, i := range g.Items {
			v, err := b.secretItem(g.Name, i)
			if err != nil {
				b.errs = append(b.errs, err)
			}
			data[i.Name] = []byte(v)
		}
		b.add(&corev1.Secret{TypeMeta: tm("v1", "Secret"), ObjectMeta: b.meta(b.name(g.Name), nil), Data: data, Type: "Opaque"}, Object{Phase: PhaseData, Sensitive: true})
	}
}

func (b *builder) claim(v appmodel.Volume) corev1.PersistentVolumeClaimSpec {
	q, _ := v.Size.Parse()
	s := corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.PersistentVolumeAccessMode(v.AccessMode)},
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": q}}}
	if v.StorageClass != "" {
		s.StorageClassName = &v.StorageClass
	}
	return s
}

func (b *builder) sharedVolumes() {
	for _, v := range b.app.Volumes {
		if v.Kind == appmodel.VolumePersistent {
			b.add(&corev1.PersistentVolumeClaim{TypeMeta: tm("v1", "PersistentVolumeClaim"), ObjectMeta: b.meta(b.name(v.Name), nil), Spec: b.claim(v)}, Object{Phase: PhaseData, Keep: v.Keeps()})
		}
	}
}
