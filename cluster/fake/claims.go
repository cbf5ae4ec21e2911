package fake

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// syncClaim binds a claim to a new volume, grows it, and lets it go.
func (c *Cluster) syncClaim(t task) {
	claim, ok := fetch[*corev1.PersistentVolumeClaim](c, t)
	if !ok {
		c.releaseVolumes(t.key)
		return
	}
	if claim.DeletionTimestamp != nil {
		if !c.claimUsed(t.key) && hasFinalizer(claim, "kubernetes.io/pvc-protection") {
			c.dropFinalizer(c.store.get(t.kind, t.key), "kubernetes.io/pvc-protection")
		}
		return
	}
	class, ok := fetch[*storagev1.StorageClass](c, task{kind: c.kinds.find("storage.k8s.io/v1", "StorageClass"), key: key{"", deref(claim.Spec.StorageClassName)}})
	switch {
	case claim.Status.Phase == corev1.ClaimBound:
		c.growClaim(t, claim)
	case !ok && deref(claim.Spec.StorageClassName) == "":
		c.reportOnce(claim, corev1.EventTypeNormal, "FailedBinding", "no persistent volumes available for this claim and no storage class is set", "persistentvolume-controller")
	case !ok:
		c.reportOnce(claim, corev1.EventTypeWarning, "ProvisioningFailed", fmt.Sprintf("storageclass.storage.k8s.io %q not found", *claim.Spec.StorageClassName), "persistentvolume-controller")
	case deref(class.VolumeBindingMode) == storagev1.VolumeBindingWaitForFirstConsumer:
		c.reportOnce(claim, corev1.EventTypeNormal, "WaitForFirstConsumer", "waiting for first consumer to be created before binding", "persistentvolume-controller")
	default:
		c.bindClaim(t, claim, class)
	}
}

func (c *Cluster) reportOnce(o object, kind, reason, message, by string) {
	if !c.reported(o, reason, message) {
		c.event(o, kind, reason, message, by)
	}
}

// bindClaim provisions a volume for a claim and binds both.
func (c *Cluster) bindClaim(t task, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) {
	name := "pvc-" + string(claim.UID)
	capacity := corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]}
	volume := &corev1.PersistentVolume{
		TypeMeta:   typeMeta("v1", "PersistentVolume"),
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": class.Provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: capacity, AccessModes: claim.Spec.AccessModes, StorageClassName: class.Name, VolumeMode: claim.Spec.VolumeMode,
			PersistentVolumeReclaimPolicy: deref(class.ReclaimPolicy),
			ClaimRef:                      &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: class.Provisioner, VolumeHandle: name}},
		},
	}
	c.put(volume, provisionerName)
	pv := task{kind: c.kinds.find("v1", "PersistentVolume"), key: key{"", name}}
	_, _ = mutate(c, pv, "status", controllerManager, func(o *corev1.PersistentVolume) { setVolumePhase(o, corev1.VolumeBound) })
	_, _ = mutate(c, t, "", controllerManager, func(o *corev1.PersistentVolumeClaim) {
		o.Spec.VolumeName = name
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations["pv.kubernetes.io/bind-completed"] = "yes"
		o.Annotations["pv.kubernetes.io/bound-by-controller"] = "yes"
		o.Annotations["volume.kubernetes.io/storage-provisioner"] = class.Provisioner
	})
	_, _ = mutate(c, t, "status", controllerManager, func(o *corev1.PersistentVolumeClaim) {
		o.Status.Phase, o.Status.AccessModes, o.Status.Capacity = corev1.ClaimBound, o.Spec.AccessModes, capacity
	})
	c.event(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume "+name, provisionerName)
}

// growClaim follows a larger request.
func (c *Cluster) growClaim(t task, claim *corev1.PersistentVolumeClaim) {
	want, have := claim.Spec.Resources.Requests[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	if want.Cmp(have) <= 0 {
		return
	}
	capacity := corev1.ResourceList{corev1.ResourceStorage: want}
	pv := task{kind: c.kinds.find("v1", "PersistentVolume"), key: key{"", claim.Spec.VolumeName}}
	_, _ = mutate(c, pv, "", provisionerName, func(o *corev1.PersistentVolume) { o.Spec.Capacity = capacity })
	_, _ = mutate(c, t, "status", kubeletName, func(o *corev1.PersistentVolumeClaim) { o.Status.Capacity = capacity })
}

// claimUsed reports whether a pod that has not ended uses the claim.
func (c *Cluster) claimUsed(at key) bool {
	return len(c.store.find(c.kinds.find("v1", "Pod"), at.namespace, func(r *record) bool {
		p := r.obj.(*corev1.Pod)
		return !terminated(p) && slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == at.name
		})
	})) > 0
}

// releaseVolumes deletes or releases the volumes of a claim that has gone.
func (c *Cluster) releaseVolumes(at key) {
	k := c.kinds.find("v1", "PersistentVolume")
	volumes, _ := c.store.list(k, "")
	for _, r := range volumes {
		v := r.obj.(*corev1.PersistentVolume)
		ref := v.Spec.ClaimRef
		if ref == nil || ref.Namespace != at.namespace || ref.Name != at.name || c.store.withUID(ref.UID) != nil {
			continue
		}
		if v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
			_, _ = c.remove(c.ctx, request{kind: k, key: r.key}, metav1.DeleteOptions{})
			if left := c.store.get(k, r.key); left != nil {
				c.dropFinalizer(left, "kubernetes.io/pv-protection")
			}
			continue
		}
		_, _ = mutate(c, task{kind: k, key: r.key}, "status", controllerManager, func(o *corev1.PersistentVolume) { setVolumePhase(o, corev1.VolumeReleased) })
	}
}

func setVolumePhase(o *corev1.PersistentVolume, phase corev1.PersistentVolumePhase) {
	at := now()
	o.Status.Phase, o.Status.LastPhaseTransitionTime = phase, &at
}
