package fake

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateUpdate refuses changes of what cannot change.
func (c *Cluster) validateUpdate(q request, live, obj object) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaAccessorUpdate(obj, live, field.NewPath("metadata"))
	spec := field.NewPath("spec")
	same := func(at *field.Path, before, after any) {
		if !equality.Semantic.DeepEqual(before, after) {
			errs = append(errs, field.Invalid(at, after, apivalidation.FieldImmutableErrorMsg))
		}
	}
	if q.sub == "status" {
		return errs
	}
	switch o := obj.(type) {
	case *appsv1.Deployment:
		same(spec.Child("selector"), live.(*appsv1.Deployment).Spec.Selector, o.Spec.Selector)
	case *appsv1.ReplicaSet:
		same(spec.Child("selector"), live.(*appsv1.ReplicaSet).Spec.Selector, o.Spec.Selector)
	case *appsv1.DaemonSet:
		same(spec.Child("selector"), live.(*appsv1.DaemonSet).Spec.Selector, o.Spec.Selector)
	case *appsv1.StatefulSet:
		l := live.(*appsv1.StatefulSet)
		same(spec.Child("selector"), l.Spec.Selector, o.Spec.Selector)
		same(spec.Child("volumeClaimTemplates"), l.Spec.VolumeClaimTemplates, o.Spec.VolumeClaimTemplates)
		same(spec.Child("serviceName"), l.Spec.ServiceName, o.Spec.ServiceName)
		same(spec.Child("podManagementPolicy"), l.Spec.PodManagementPolicy, o.Spec.PodManagementPolicy)
	case *batchv1.Job:
		l := live.(*batchv1.Job)
		same(spec.Child("selector"), l.Spec.Selector, o.Spec.Selector)
		same(spec.Child("completions"), l.Spec.Completions, o.Spec.Completions)
		same(spec.Child("completionMode"), l.Spec.CompletionMode, o.Spec.CompletionMode)
		same(spec.Child("template"), l.Spec.Template, o.Spec.Template)
	case *corev1.Service:
		l := live.(*corev1.Service)
		if l.Spec.Type != corev1.ServiceTypeExternalName && o.Spec.Type != corev1.ServiceTypeExternalName && l.Spec.ClusterIP != o.Spec.ClusterIP {
			errs = append(errs, field.Invalid(spec.Child("clusterIPs").Index(0), []string{o.Spec.ClusterIP}, "may not change once set"))
		}
	case *corev1.PersistentVolumeClaim:
		errs = append(errs, c.claimUpdate(spec, live.(*corev1.PersistentVolumeClaim), o)...)
	case *corev1.Secret:
		l := live.(*corev1.Secret)
		same(field.NewPath("type"), l.Type, o.Type)
		if l.Immutable != nil && *l.Immutable {
			errs = append(errs, frozen(o.Immutable, equality.Semantic.DeepEqual(l.Data, o.Data))...)
		}
	case *corev1.ConfigMap:
		l := live.(*corev1.ConfigMap)
		if l.Immutable != nil && *l.Immutable {
			errs = append(errs, frozen(o.Immutable, equality.Semantic.DeepEqual(l.Data, o.Data) && equality.Semantic.DeepEqual(l.BinaryData, o.BinaryData))...)
		}
	case *corev1.Pod:
		errs = append(errs, podUpdate(spec, live.(*corev1.Pod), o)...)
	case *rbacv1.RoleBinding:
		same(field.NewPath("roleRef"), live.(*rbacv1.RoleBinding).RoleRef, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		same(field.NewPath("roleRef"), live.(*rbacv1.ClusterRoleBinding).RoleRef, o.RoleRef)
	case *storagev1.StorageClass:
		l := live.(*storagev1.StorageClass)
		same(field.NewPath("parameters"), l.Parameters, o.Parameters)
		same(field.NewPath("provisioner"), l.Provisioner, o.Provisioner)
		same(field.NewPath("reclaimPolicy"), l.ReclaimPolicy, o.ReclaimPolicy)
		same(field.NewPath("volumeBindingMode"), l.VolumeBindingMode, o.VolumeBindingMode)
	}
	return errs
}

func frozen(immutable *bool, sameData bool) field.ErrorList {
	var errs field.ErrorList
	if immutable == nil || !*immutable {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), "field is immutable when `immutable` is set"))
	}
	if !sameData {
		errs = append(errs, field.Forbidden(field.NewPath("data"), "field is immutable when `immutable` is set"))
	}
	return errs
}

// claimUpdate allows the growth of a bound claim, where its class can.
func (c *Cluster) claimUpdate(spec *field.Path, live, o *corev1.PersistentVolumeClaim) field.ErrorList {
	next := o.Spec.DeepCopy()
	before, after := live.Spec.Resources.Requests[corev1.ResourceStorage], o.Spec.Resources.Requests[corev1.ResourceStorage]
	if live.Spec.VolumeName == "" {
		next.VolumeName = ""
	}
	next.Resources.Requests = live.Spec.Resources.Requests
	next.VolumeAttributesClassName = live.Spec.VolumeAttributesClassName
	if !equality.Semantic.DeepEqual(*next, live.Spec) {
		return field.ErrorList{field.Forbidden(spec, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims")}
	}
	requests := spec.Child("resources", "requests", "storage")
	switch after.Cmp(before) {
	case -1:
		return field.ErrorList{field.Forbidden(requests, "field can not be less than status.capacity")}
	case 1:
		if live.Status.Phase != corev1.ClaimBound {
			return field.ErrorList{field.Forbidden(spec, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims")}
		}
		class := ""
		if o.Spec.StorageClassName != nil {
			class = *o.Spec.StorageClassName
		}
		r := c.store.get(c.kinds.find("storage.k8s.io/v1", "StorageClass"), key{"", class})
		if r == nil || !deref(r.obj.(*storagev1.StorageClass).AllowVolumeExpansion) {
			return field.ErrorList{field.Forbidden(requests, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")}
		}
	}
	return nil
}

// podUpdate allows the fields that a pod may change.
func podUpdate(spec *field.Path, live, o *corev1.Pod) field.ErrorList {
	next := o.Spec.DeepCopy()
	if len(next.Containers) != len(live.Spec.Containers) {
		return field.ErrorList{field.Forbidden(spec.Child("containers"), "pod updates may not add or remove containers")}
	}
	if len(next.Containers) == len(live.Spec.Containers) && len(next.InitContainers) == len(live.Spec.InitContainers) {
		for i := range next.Containers {
			next.Containers[i].Image = live.Spec.Containers[i].Image
		}
		for i := range next.InitContainers {
			next.InitContainers[i].Image = live.Spec.InitContainers[i].Image
		}
	}
	next.ActiveDeadlineSeconds, next.Tolerations = live.Spec.ActiveDeadlineSeconds, live.Spec.Tolerations
	if live.Spec.NodeName == "" {
		next.NodeName = ""
	}
	if equality.Semantic.DeepEqual(*next, live.Spec) {
		return nil
	}
	return field.ErrorList{field.Forbidden(spec, fmt.Sprintf("pod updates may not change fields other than %s,%s,%s,%s,%s",
		"`spec.containers[*].image`", "`spec.initContainers[*].image`", "`spec.activeDeadlineSeconds`", "`spec.tolerations` (only additions to existing tolerations)",
		"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"))}
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
