package rig

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	annotationWanted   = "volume.kubernetes.io/storage-provisioner" // set by the controllers when a claim is to be served
	annotationNode     = "volume.kubernetes.io/selected-node"       // set by the scheduler
	annotationProvider = "pv.kubernetes.io/provisioned-by"
)

// startProvisioner serves the claims of the rig's storage classes until stop is called, which waits for it.
func startProvisioner(c *clients) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		claims := c.core.PersistentVolumeClaims("")
		follow(ctx, claims.Watch, func(claim *corev1.PersistentVolumeClaim) error { return c.serve(ctx, claim) })
	})
	wg.Go(func() {
		volumes := c.core.PersistentVolumes()
		follow(ctx, volumes.Watch, func(volume *corev1.PersistentVolume) error { return c.reclaim(ctx, volume) })
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// follow calls handle for every object there is and for every change, again and again until ctx ends. A handler that
// failed is called again when the watch is renewed, after half a minute at the latest.
func follow[T any](ctx context.Context, open func(context.Context, metav1.ListOptions) (watch.Interface, error), handle func(T) error) {
	for ctx.Err() == nil {
		followOnce(ctx, open, handle)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func followOnce[T any](ctx context.Context, open func(context.Context, metav1.ListOptions) (watch.Interface, error), handle func(T) error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// Without a version to start from, a watch begins with what there is.
	w, err := open(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		object, ok := event.Object.(T)
		if !ok {
			return // an error, for instance because the server is going down
		}
		if event.Type != watch.Added && event.Type != watch.Modified {
			continue
		}
		if handle(object) != nil {
			return
		}
	}
}

// serve makes a volume for a claim that waits for one, and enlarges that of a claim which has come to want more.
func (c *clients) serve(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.DeletionTimestamp != nil || claim.Annotations[annotationWanted] != Provisioner {
		return nil
	}
	wanted := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if claim.Spec.VolumeName != "" {
		if given, ok := claim.Status.Capacity[corev1.ResourceStorage]; claim.Status.Phase == corev1.ClaimBound && ok && wanted.Cmp(given) > 0 {
			return c.enlarge(ctx, claim)
		}
		return nil
	}
	class, err := c.storage.StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if class.VolumeBindingMode != nil && *class.VolumeBindingMode == "WaitForFirstConsumer" && claim.Annotations[annotationNode] == "" {
		return nil
	}
	name := "pvc-" + string(claim.UID)
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotationProvider: Provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: wanted},
			AccessModes: claim.Spec.AccessModes, VolumeMode: claim.Spec.VolumeMode,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy, StorageClassName: class.Name, MountOptions: class.MountOptions,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: fmt.Sprintf("/var/lib/rig/%s", name), // nothing is ever written there: no container runs
			}},
		},
	}
	_, err = c.core.PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (c *clients) enlarge(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	size := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	volume, err := c.core.PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if given := volume.Spec.Capacity[corev1.ResourceStorage]; given.Cmp(size) < 0 {
		volume.Spec.Capacity[corev1.ResourceStorage] = size
		if _, err := c.core.PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	claim = claim.DeepCopy()
	claim.Status.Capacity[corev1.ResourceStorage] = size
	claim.Status.Conditions = nil
	_, err = c.core.PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return nil // its newer state is on its way
	}
	return err
}

// reclaim deletes a volume of ours that nobody claims any more.
func (c *clients) reclaim(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.DeletionTimestamp != nil || volume.Annotations[annotationProvider] != Provisioner ||
		volume.Status.Phase != corev1.VolumeReleased || volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	err := c.core.PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(volume.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
