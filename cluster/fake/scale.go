package fake

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// scaleOf is the subresource scale of a workload.
func scaleOf(o object) *autoscalingv1.Scale {
	s := &autoscalingv1.Scale{
		TypeMeta: typeMeta("autoscaling/v1", "Scale"),
		ObjectMeta: metav1.ObjectMeta{
			Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(), CreationTimestamp: o.GetCreationTimestamp(),
		},
	}
	s.Spec.Replicas, s.Status.Replicas = replicasOf(o)
	var selector *metav1.LabelSelector
	switch o := o.(type) {
	case *appsv1.Deployment:
		selector = o.Spec.Selector
	case *appsv1.StatefulSet:
		selector = o.Spec.Selector
	case *appsv1.ReplicaSet:
		selector = o.Spec.Selector
	case *corev1.ReplicationController:
		selector = &metav1.LabelSelector{MatchLabels: o.Spec.Selector}
	}
	s.Status.Selector = metav1.FormatLabelSelector(selector)
	return s
}

// setReplicas writes through the subresource scale.
func (c *Cluster) setReplicas(q request, n int32) (*record, error) {
	if n < 0 {
		return nil, apierrors.NewInvalid(autoscalingv1.SchemeGroupVersion.WithKind("Scale").GroupKind(), q.key.name, field.ErrorList{
			field.Invalid(field.NewPath("spec", "replicas"), n, "must be greater than or equal to 0")})
	}
	return c.update(context.WithoutCancel(c.ctx), q, func(live object) (object, error) {
		o := live.DeepCopyObject().(object)
		switch o := o.(type) {
		case *appsv1.Deployment:
			o.Spec.Replicas = &n
		case *appsv1.StatefulSet:
			o.Spec.Replicas = &n
		case *appsv1.ReplicaSet:
			o.Spec.Replicas = &n
		case *corev1.ReplicationController:
			o.Spec.Replicas = &n
		default:
			return nil, apierrors.NewNotFound(q.kind.groupResource(), q.key.name)
		}
		return o, nil
	})
}

func noSubresource(k *kind, sub string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 405, Reason: metav1.StatusReasonMethodNotAllowed, Message: fmt.Sprintf("%s has no subresource %s", k.resource, sub),
	}}
}
