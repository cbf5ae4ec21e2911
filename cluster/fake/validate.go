package fake

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validate checks an object that has its defaults, in the server's words.
func validate(k *kind, obj object) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaAccessor(obj, k.namespaced, nameRule(k), field.NewPath("metadata"))
	spec := field.NewPath("spec")
	switch o := obj.(type) {
	case *appsv1.Deployment:
		errs = append(errs, validateWorkload(spec, o.Spec.Selector, &o.Spec.Template, *o.Spec.Replicas, nil)...)
		errs = append(errs, validateStrategy(spec.Child("strategy"), o)...)
	case *appsv1.ReplicaSet:
		errs = append(errs, validateWorkload(spec, o.Spec.Selector, &o.Spec.Template, *o.Spec.Replicas, nil)...)
	case *appsv1.StatefulSet:
		claims := sets.New[string]()
		for _, t := range o.Spec.VolumeClaimTemplates {
			claims.Insert(t.Name)
		}
		errs = append(errs, validateWorkload(spec, o.Spec.Selector, &o.Spec.Template, *o.Spec.Replicas, claims)...)
		errs = append(errs, notNegative(spec, map[string]*int32{"minReadySeconds": &o.Spec.MinReadySeconds, "revisionHistoryLimit": o.Spec.RevisionHistoryLimit})...)
	case *appsv1.DaemonSet:
		errs = append(errs, validateWorkload(spec, o.Spec.Selector, &o.Spec.Template, 0, nil)...)
		errs = append(errs, notNegative(spec, map[string]*int32{"minReadySeconds": &o.Spec.MinReadySeconds, "revisionHistoryLimit": o.Spec.RevisionHistoryLimit})...)
	case *batchv1.Job:
		errs = append(errs, validateJob(spec, &o.Spec)...)
	case *batchv1.CronJob:
		errs = append(errs, validateCronJob(spec, o)...)
	case *corev1.Pod:
		errs = append(errs, validatePodSpec(spec, &o.Spec, nil)...)
	case *corev1.Service:
		errs = append(errs, validateService(spec, o)...)
	case *corev1.PersistentVolumeClaim:
		errs = append(errs, validateClaim(spec, &o.Spec)...)
	case *corev1.ConfigMap:
		data := field.NewPath("data")
		for key := range o.Data {
			errs = append(errs, validateDataKey(data, key)...)
			if _, twice := o.BinaryData[key]; twice {
				errs = append(errs, field.Invalid(data.Key(key), key, "duplicate of key present in binaryData"))
			}
		}
		for key := range o.BinaryData {
			errs = append(errs, validateDataKey(field.NewPath("binaryData"), key)...)
		}
	case *corev1.Secret:
		errs = append(errs, validateSecret(o)...)
	case *networkingv1.Ingress:
		errs = append(errs, validateIngress(spec, o)...)
	case *autoscalingv2.HorizontalPodAutoscaler:
		errs = append(errs, validateAutoscaler(spec, o)...)
	case *policyv1.PodDisruptionBudget:
		if o.Spec.MinAvailable != nil && o.Spec.MaxUnavailable != nil {
			errs = append(errs, field.Invalid(spec, "", "minAvailable and maxUnavailable cannot be both set"))
		}
	case *rbacv1.RoleBinding:
		errs = append(errs, validateRoleRef(o.RoleRef, "Role", "ClusterRole")...)
	case *rbacv1.ClusterRoleBinding:
		errs = append(errs, validateRoleRef(o.RoleRef, "ClusterRole")...)
	}
	return errs
}

// nameRule is how objects of a kind may be called.
func nameRule(k *kind) apivalidation.ValidateNameFunc {
	if k.gvk.Group == rbacv1.GroupName {
		//lint:ignore SA1019 the server uses it too
		return path.ValidatePathSegmentName
	}
	if !k.custom {
		switch k.gvk.Kind {
		case "Namespace", "Service":
			return apivalidation.NameIsDNSLabel
		case "CronJob": // names of Jobs get eleven characters more
			return func(name string, prefix bool) []string {
				errs := apivalidation.NameIsDNSSubdomain(name, prefix)
				if len(name) > 52 {
					errs = append(errs, "must be no more than 52 characters")
				}
				return errs
			}
		}
	}
	return apivalidation.NameIsDNSSubdomain
}

// validateWorkload checks what all controllers of pods have in common.
func validateWorkload(spec *field.Path, selector *metav1.LabelSelector, template *corev1.PodTemplateSpec, replicas int32, claims sets.Set[string]) field.ErrorList {
	var errs field.ErrorList
	if replicas < 0 {
		errs = append(errs, field.Invalid(spec.Child("replicas"), replicas, "must be greater than or equal to 0"))
	}
	if selector == nil {
		errs = append(errs, field.Required(spec.Child("selector"), ""),
			field.Invalid(spec.Child("template", "metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
	} else {
		errs = append(errs, metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, spec.Child("selector"))...)
		if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(spec.Child("selector"), selector, "empty selector is invalid for deployment"))
		}
		if s, err := metav1.LabelSelectorAsSelector(selector); err == nil && !s.Matches(labels.Set(template.Labels)) {
			errs = append(errs, field.Invalid(spec.Child("template", "metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
		}
	}
	return append(errs, validateTemplate(spec.Child("template"), template, corev1.RestartPolicyAlways, claims)...)
}

// notNegative refuses negative numbers; nil ones are not there.
func notNegative(at *field.Path, numbers map[string]*int32) field.ErrorList {
	var errs field.ErrorList
	for name, n := range numbers {
		if n != nil && *n < 0 {
			errs = append(errs, field.Invalid(at.Child(name), *n, "must be greater than or equal to 0"))
		}
	}
	return errs
}

func validateTemplate(at *field.Path, template *corev1.PodTemplateSpec, restart corev1.RestartPolicy, claims sets.Set[string]) field.ErrorList {
	errs := metavalidation.ValidateLabels(template.Labels, at.Child("metadata", "labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(template.Annotations, at.Child("metadata", "annotations"))...)
	errs = append(errs, validatePodSpec(at.Child("spec"), &template.Spec, claims)...)
	if restart != "" && template.Spec.RestartPolicy != restart {
		errs = append(errs, field.NotSupported(at.Child("spec", "restartPolicy"), template.Spec.RestartPolicy, []corev1.RestartPolicy{restart}))
	}
	return errs
}

func validateStrategy(at *field.Path, o *appsv1.Deployment) field.ErrorList {
	s := o.Spec.Strategy
	spec := field.NewPath("spec")
	errs := notNegative(spec, map[string]*int32{"minReadySeconds": &o.Spec.MinReadySeconds, "revisionHistoryLimit": o.Spec.RevisionHistoryLimit, "progressDeadlineSeconds": o.Spec.ProgressDeadlineSeconds})
	if len(errs) == 0 && *o.Spec.ProgressDeadlineSeconds <= o.Spec.MinReadySeconds {
		errs = append(errs, field.Invalid(spec.Child("progressDeadlineSeconds"), *o.Spec.ProgressDeadlineSeconds, "must be greater than minReadySeconds"))
	}
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			errs = append(errs, field.Forbidden(at.Child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'"))
		}
	case appsv1.RollingUpdateDeploymentStrategyType:
		surge, unavailable := scaled(s.RollingUpdate.MaxSurge, 100, true), scaled(s.RollingUpdate.MaxUnavailable, 100, true)
		if surge == 0 && unavailable == 0 {
			errs = append(errs, field.Invalid(at.Child("rollingUpdate", "maxUnavailable"), s.RollingUpdate.MaxUnavailable, "may not be 0 when `maxSurge` is 0"))
		}
	default:
		errs = append(errs, field.NotSupported(at, s.Type, []appsv1.DeploymentStrategyType{"Recreate", "RollingUpdate"}))
	}
	return errs
}

func validateDataKey(at *field.Path, key string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsConfigMapKey(key) {
		errs = append(errs, field.Invalid(at.Key(key), key, msg))
	}
	return errs
}

func validateSecret(o *corev1.Secret) field.ErrorList {
	var errs field.ErrorList
	data := field.NewPath("data")
	for key := range o.Data {
		errs = append(errs, validateDataKey(data, key)...)
	}
	need := func(keys ...string) {
		for _, key := range keys {
			if _, ok := o.Data[key]; !ok {
				errs = append(errs, field.Required(data.Key(key), ""))
			}
		}
	}
	switch o.Type {
	case corev1.SecretTypeDockerConfigJson:
		need(corev1.DockerConfigJsonKey)
	case corev1.SecretTypeDockercfg:
		need(corev1.DockerConfigKey)
	case corev1.SecretTypeTLS:
		need(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	case corev1.SecretTypeSSHAuth:
		need(corev1.SSHAuthPrivateKey)
	}
	return errs
}

func validateRoleRef(ref rbacv1.RoleRef, kinds ...string) field.ErrorList {
	at := field.NewPath("roleRef")
	var errs field.ErrorList
	if ref.APIGroup != rbacv1.GroupName {
		errs = append(errs, field.NotSupported(at.Child("apiGroup"), ref.APIGroup, []string{rbacv1.GroupName}))
	}
	if !strings.Contains(" "+strings.Join(kinds, " ")+" ", " "+ref.Kind+" ") {
		errs = append(errs, field.NotSupported(at.Child("kind"), ref.Kind, kinds))
	}
	if ref.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	return errs
}

func validateAutoscaler(spec *field.Path, o *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	var errs field.ErrorList
	if o.Spec.MaxReplicas < 0 {
		errs = append(errs, field.Invalid(spec.Child("maxReplicas"), o.Spec.MaxReplicas, "must be greater than 0"))
	}
	if *o.Spec.MinReplicas < 1 {
		errs = append(errs, field.Invalid(spec.Child("minReplicas"), *o.Spec.MinReplicas, "must be greater than or equal to 1"))
	}
	if o.Spec.MaxReplicas < *o.Spec.MinReplicas {
		errs = append(errs, field.Invalid(spec.Child("maxReplicas"), o.Spec.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	if o.Spec.ScaleTargetRef.Kind == "" {
		errs = append(errs, field.Required(spec.Child("scaleTargetRef", "kind"), ""))
	}
	if o.Spec.ScaleTargetRef.Name == "" {
		errs = append(errs, field.Required(spec.Child("scaleTargetRef", "name"), ""))
	}
	if o.Spec.ScaleTargetRef.APIVersion == "" {
		errs = append(errs, field.Invalid(spec.Child("scaleTargetRef", "apiVersion"), "", "apiVersion must specify API group"))
	}
	if o.Spec.MaxReplicas == 0 {
		errs = append(errs, field.Required(spec.Child("maxReplicas"), ""))
	}
	return errs
}

func validateClaim(spec *field.Path, s *corev1.PersistentVolumeClaimSpec) field.ErrorList {
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(spec.Child("accessModes"), "at least 1 access mode is required"))
	}
	for _, mode := range s.AccessModes {
		switch mode {
		case corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod:
		default:
			errs = append(errs, field.NotSupported(spec.Child("accessModes"), mode,
				[]corev1.PersistentVolumeAccessMode{"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"}))
		}
	}
	storage, ok := s.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		errs = append(errs, field.Required(spec.Child("resources").Key(string(corev1.ResourceStorage)), ""))
	} else if storage.Sign() <= 0 {
		errs = append(errs, field.Invalid(spec.Child("resources").Key(string(corev1.ResourceStorage)), storage.String(), "must be greater than zero"))
	}
	if s.StorageClassName != nil && *s.StorageClassName != "" {
		for _, msg := range apivalidation.NameIsDNSSubdomain(*s.StorageClassName, false) {
			errs = append(errs, field.Invalid(spec.Child("storageClassName"), *s.StorageClassName, msg))
		}
	}
	return errs
}

func validateJob(spec *field.Path, s *batchv1.JobSpec) field.ErrorList {
	var errs field.ErrorList
	if s.Parallelism != nil && *s.Parallelism < 0 {
		errs = append(errs, field.Invalid(spec.Child("parallelism"), *s.Parallelism, "must be greater than or equal to 0"))
	}
	if *s.BackoffLimit < 0 {
		errs = append(errs, field.Invalid(spec.Child("backoffLimit"), *s.BackoffLimit, "must be greater than or equal to 0"))
	}
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !selector.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(spec.Child("template", "metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	errs = append(errs, validateTemplate(spec.Child("template"), &s.Template, "", nil)...)
	return append(errs, validateJobRestart(spec, s)...)
}

func validateJobRestart(spec *field.Path, s *batchv1.JobSpec) field.ErrorList {
	if r := s.Template.Spec.RestartPolicy; r != corev1.RestartPolicyOnFailure && r != corev1.RestartPolicyNever {
		return field.ErrorList{field.Required(spec.Child("template", "spec", "restartPolicy"), fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever))}
	}
	return nil
}

func validateCronJob(spec *field.Path, o *batchv1.CronJob) field.ErrorList {
	var errs field.ErrorList
	if o.Spec.Schedule == "" {
		errs = append(errs, field.Required(spec.Child("schedule"), ""))
	} else if _, err := schedule(o); err != nil {
		errs = append(errs, field.Invalid(spec.Child("schedule"), o.Spec.Schedule, err.Error()))
	}
	template := spec.Child("jobTemplate", "spec")
	errs = append(errs, validateTemplate(template.Child("template"), &o.Spec.JobTemplate.Spec.Template, "", nil)...)
	return append(errs, validateJobRestart(template, &o.Spec.JobTemplate.Spec)...)
}
