package fake

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkNamespace refuses what cannot be created where it is to be.
func (c *Cluster) checkNamespace(k *kind, obj object) error {
	ns := obj.GetNamespace()
	if !k.namespaced {
		if ns != "" {
			return apierrors.NewBadRequest("namespace may not be set: " + k.gvk.Kind + " is not namespaced")
		}
		return nil
	}
	if ns == "" {
		return apierrors.NewBadRequest("an empty namespace may not be set during creation")
	}
	r := c.store.get(c.kinds.find("v1", "Namespace"), key{"", ns})
	if r == nil {
		return namespaceGone(ns)
	}
	if r.obj.GetDeletionTimestamp() == nil {
		return nil
	}
	err := apierrors.NewForbidden(k.groupResource(), obj.GetName(),
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", ns))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: corev1.NamespaceTerminatingCause, Message: fmt.Sprintf("namespace %s is being terminated", ns), Field: "metadata.namespace",
	})
	return err
}

// prepareCreate does what the server's strategies and mutating admission do
// with a new object after its defaults.
func (c *Cluster) prepareCreate(q request, obj object) error {
	switch o := obj.(type) {
	case *corev1.Namespace:
		o.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
		o.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	case *corev1.Pod:
		return c.preparePod(q, o)
	case *corev1.Service:
		return c.allocateService(q, nil, o)
	case *corev1.PersistentVolumeClaim:
		o.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
		o.Finalizers = with(o.Finalizers, "kubernetes.io/pvc-protection")
		if o.Spec.StorageClassName == nil {
			if name := c.defaultClass("storage.k8s.io/v1", "StorageClass", "storageclass.kubernetes.io/is-default-class"); name != "" {
				o.Spec.StorageClassName = &name
			}
		}
	case *corev1.PersistentVolume:
		o.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending}
		o.Finalizers = with(o.Finalizers, "kubernetes.io/pv-protection")
	case *networkingv1.Ingress:
		if o.Spec.IngressClassName == nil && o.Annotations["kubernetes.io/ingress.class"] == "" {
			if name := c.defaultClass("networking.k8s.io/v1", "IngressClass", "ingressclass.kubernetes.io/is-default-class"); name != "" {
				o.Spec.IngressClassName = &name
			}
		}
	case *batchv1.Job:
		prepareJob(o)
	case *appsv1.DaemonSet:
		o.Annotations = clonedLabels(o.Annotations)
		o.Annotations[appsv1.DeprecatedTemplateGeneration] = "1"
	}
	return nil
}

// prepareJob generates the selector of a Job, as its strategy does.
func prepareJob(o *batchv1.Job) {
	if len(o.Labels) == 0 {
		o.Labels = maps.Clone(o.Spec.Template.Labels)
	}
	if *o.Spec.ManualSelector {
		return
	}
	uid := string(o.UID)
	labels := maps.Clone(o.Spec.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		batchv1.ControllerUidLabel: uid, "controller-uid": uid, batchv1.JobNameLabel: o.Name, "job-name": o.Name,
	})
	o.Spec.Template.Labels = labels
	if o.Spec.Selector == nil {
		o.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{batchv1.ControllerUidLabel: uid}}
	}
}

// prepareUpdate carries over what a client may leave out.
func prepareUpdate(live, obj object) {
	switch o := obj.(type) {
	case *corev1.Namespace:
		o.Spec.Finalizers = live.(*corev1.Namespace).Spec.Finalizers
	case *batchv1.Job:
		l := live.(*batchv1.Job)
		if o.Spec.Selector == nil {
			o.Spec.Selector = l.Spec.Selector
		}
		if !*l.Spec.ManualSelector && len(o.Spec.Template.Labels) < len(l.Spec.Template.Labels) {
			labels := maps.Clone(o.Spec.Template.Labels)
			if labels == nil {
				labels = map[string]string{}
			}
			for _, name := range []string{batchv1.ControllerUidLabel, "controller-uid", batchv1.JobNameLabel, "job-name"} {
				labels[name] = l.Spec.Template.Labels[name]
			}
			o.Spec.Template.Labels = labels
		}
	case *appsv1.DaemonSet:
		l := live.(*appsv1.DaemonSet)
		n, _ := strconv.ParseInt(l.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
		if !equality.Semantic.DeepEqual(l.Spec.Template, o.Spec.Template) {
			n++
		}
		o.Annotations = clonedLabels(o.Annotations)
		o.Annotations[appsv1.DeprecatedTemplateGeneration] = strconv.FormatInt(n, 10)
	case *corev1.PersistentVolumeClaim:
		l := live.(*corev1.PersistentVolumeClaim)
		if o.Spec.VolumeName == "" {
			o.Spec.VolumeName = l.Spec.VolumeName
		}
		if o.Spec.StorageClassName == nil {
			o.Spec.StorageClassName = l.Spec.StorageClassName
		}
	}
}

// namespaceHeld reports whether the object is a namespace that still has
// content.
func namespaceHeld(obj object) bool {
	ns, ok := obj.(*corev1.Namespace)
	return ok && len(ns.Spec.Finalizers) > 0
}

// defaultClass is the name of the class that an annotation makes the default,
// the newest one of several, or empty.
func (c *Cluster) defaultClass(apiVersion, kind, annotation string) string {
	records, _ := c.store.list(c.kinds.find(apiVersion, kind), "")
	var best object
	for _, r := range records {
		if r.obj.GetAnnotations()[annotation] != "true" {
			continue
		}
		if best == nil || best.GetCreationTimestamp().Time.Before(r.obj.GetCreationTimestamp().Time) {
			best = r.obj
		}
	}
	if best == nil {
		return ""
	}
	return best.GetName()
}

func with(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(slices.Clone(list), s)
}

func without(list []string, s string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(t string) bool { return s == t })
}

// preparePod does what admission does with a new pod: account, tolerations,
// limits, priority, security.
func (c *Cluster) preparePod(q request, o *corev1.Pod) error {
	o.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: qosClass(o)}
	if o.Spec.ServiceAccountName == "" {
		o.Spec.ServiceAccountName = "default"
	}
	o.Spec.DeprecatedServiceAccount = o.Spec.ServiceAccountName
	if c.store.get(c.kinds.find("v1", "ServiceAccount"), key{o.Namespace, o.Spec.ServiceAccountName}) == nil {
		return apierrors.NewForbidden(q.kind.groupResource(), o.Name,
			fmt.Errorf("error looking up service account %s/%s: serviceaccount %q not found", o.Namespace, o.Spec.ServiceAccountName, o.Spec.ServiceAccountName))
	}
	if err := c.limitPod(o); err != nil {
		return err
	}
	o.Status.QOSClass = qosClass(o)
	seconds := int64(300)
	for _, taint := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if !slices.ContainsFunc(o.Spec.Tolerations, func(t corev1.Toleration) bool { return t.Key == taint }) {
			o.Spec.Tolerations = append(o.Spec.Tolerations, corev1.Toleration{
				Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			})
		}
	}
	if o.Spec.PriorityClassName == "" {
		unsetPtr(&o.Spec.Priority, 0)
	} else if o.Spec.Priority == nil {
		switch o.Spec.PriorityClassName {
		case "system-cluster-critical":
			unsetPtr(&o.Spec.Priority, 2000000000)
		case "system-node-critical":
			unsetPtr(&o.Spec.Priority, 2000001000)
		default:
			r := c.store.get(c.kinds.find("scheduling.k8s.io/v1", "PriorityClass"), key{"", o.Spec.PriorityClassName})
			if r == nil {
				return apierrors.NewForbidden(q.kind.groupResource(), o.Name,
					fmt.Errorf("no PriorityClass with name %s was found", o.Spec.PriorityClassName))
			}
			o.Spec.Priority = priorityOf(r.obj)
		}
	}
	unsetPtr(&o.Spec.PreemptionPolicy, corev1.PreemptLowerPriority)
	return c.checkPodSecurity(q, o)
}
