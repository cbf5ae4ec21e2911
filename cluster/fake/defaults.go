package fake

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// unset sets *p to v when it has the zero value. Defaulting never writes what
// is there already: the object may share parts with a stored one.
func unset[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// unsetPtr sets *p to a pointer to v when it is nil.
func unsetPtr[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// setDefaults fills in what the API server defaults in objects of the
// commonly used kinds.
func setDefaults(in runtime.Object) {
	switch o := in.(type) {
	case *corev1.Namespace:
		if o.Labels["kubernetes.io/metadata.name"] != o.Name && o.Name != "" {
			labels := maps.Clone(o.Labels)
			if labels == nil {
				labels = map[string]string{}
			}
			labels["kubernetes.io/metadata.name"] = o.Name
			o.Labels = labels
		}
	case *corev1.Pod:
		defaultPod(o)
	case *corev1.Service:
		defaultService(o)
	case *corev1.Secret:
		unset(&o.Type, corev1.SecretTypeOpaque)
		if len(o.StringData) > 0 {
			data := maps.Clone(o.Data)
			if data == nil {
				data = map[string][]byte{}
			}
			for k, v := range o.StringData {
				data[k] = []byte(v)
			}
			o.Data, o.StringData = data, nil
		}
	case *corev1.PersistentVolumeClaim:
		unset(&o.Status.Phase, corev1.ClaimPending)
		unsetPtr(&o.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	case *corev1.PersistentVolume:
		unset(&o.Status.Phase, corev1.VolumePending)
		unset(&o.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
		unsetPtr(&o.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		if o.Spec.HostPath != nil {
			unsetPtr(&o.Spec.HostPath.Type, corev1.HostPathUnset)
		}
	case *corev1.LimitRange:
		for i := range o.Spec.Limits {
			defaultLimits(&o.Spec.Limits[i])
		}
	case *appsv1.Deployment:
		defaultDeployment(o)
	case *appsv1.ReplicaSet:
		unsetPtr(&o.Spec.Replicas, 1)
		defaultPodSpec(&o.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		defaultStatefulSet(o)
	case *appsv1.DaemonSet:
		defaultDaemonSet(o)
	case *batchv1.Job:
		defaultJob(&o.Spec)
	case *batchv1.CronJob:
		unset(&o.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
		unsetPtr(&o.Spec.Suspend, false)
		unsetPtr(&o.Spec.SuccessfulJobsHistoryLimit, 3)
		unsetPtr(&o.Spec.FailedJobsHistoryLimit, 1)
		defaultPodSpec(&o.Spec.JobTemplate.Spec.Template.Spec)
	case *autoscalingv2.HorizontalPodAutoscaler:
		defaultAutoscaler(o)
	case *networkingv1.NetworkPolicy:
		defaultNetworkPolicy(o)
	case *storagev1.StorageClass:
		unsetPtr(&o.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
		unsetPtr(&o.VolumeBindingMode, storagev1.VolumeBindingImmediate)
	case *schedulingv1.PriorityClass:
		unsetPtr(&o.PreemptionPolicy, corev1.PreemptLowerPriority)
	case *discoveryv1.EndpointSlice:
		for i := range o.Ports {
			unsetPtr(&o.Ports[i].Name, "")
			unsetPtr(&o.Ports[i].Protocol, corev1.ProtocolTCP)
		}
	case *rbacv1.RoleBinding:
		unset(&o.RoleRef.APIGroup, rbacv1.GroupName)
		defaultSubjects(o.Subjects)
	case *rbacv1.ClusterRoleBinding:
		unset(&o.RoleRef.APIGroup, rbacv1.GroupName)
		defaultSubjects(o.Subjects)
	}
}

func defaultSubjects(subjects []rbacv1.Subject) {
	for i := range subjects {
		if subjects[i].Kind != rbacv1.ServiceAccountKind {
			unset(&subjects[i].APIGroup, rbacv1.GroupName)
		}
	}
}

func defaultDeployment(o *appsv1.Deployment) {
	s := &o.Spec
	unsetPtr(&s.Replicas, 1)
	unset(&s.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		unsetPtr(&s.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		unsetPtr(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		unsetPtr(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	unsetPtr(&s.RevisionHistoryLimit, 10)
	unsetPtr(&s.ProgressDeadlineSeconds, 600)
	defaultPodSpec(&s.Template.Spec)
}

func defaultStatefulSet(o *appsv1.StatefulSet) {
	s := &o.Spec
	unset(&s.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	if s.UpdateStrategy.Type == "" {
		s.UpdateStrategy.Type = appsv1.RollingUpdateStatefulSetStrategyType
		unsetPtr(&s.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if s.UpdateStrategy.RollingUpdate != nil {
		unsetPtr(&s.UpdateStrategy.RollingUpdate.Partition, 0)
		unsetPtr(&s.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
	unsetPtr(&s.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	unset(&s.PersistentVolumeClaimRetentionPolicy.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	unset(&s.PersistentVolumeClaimRetentionPolicy.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	unsetPtr(&s.Replicas, 1)
	unsetPtr(&s.RevisionHistoryLimit, 10)
	for i := range s.VolumeClaimTemplates {
		t := &s.VolumeClaimTemplates[i]
		unset(&t.APIVersion, "v1")
		unset(&t.Kind, "PersistentVolumeClaim")
		unset(&t.Status.Phase, corev1.ClaimPending)
		unsetPtr(&t.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}
	defaultPodSpec(&s.Template.Spec)
}

func defaultDaemonSet(o *appsv1.DaemonSet) {
	u := &o.Spec.UpdateStrategy
	unset(&u.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if u.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		unsetPtr(&u.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		unsetPtr(&u.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		unsetPtr(&u.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	unsetPtr(&o.Spec.RevisionHistoryLimit, 10)
	defaultPodSpec(&o.Spec.Template.Spec)
}

func defaultJob(s *batchv1.JobSpec) {
	if s.Completions == nil && s.Parallelism == nil {
		unsetPtr(&s.Completions, 1)
	}
	unsetPtr(&s.Parallelism, 1)
	unsetPtr(&s.BackoffLimit, 6)
	unsetPtr(&s.CompletionMode, batchv1.NonIndexedCompletion)
	unsetPtr(&s.Suspend, false)
	if s.PodFailurePolicy != nil {
		unsetPtr(&s.PodReplacementPolicy, batchv1.Failed)
	}
	unsetPtr(&s.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	unsetPtr(&s.ManualSelector, false)
	defaultPodSpec(&s.Template.Spec)
}

func defaultService(o *corev1.Service) {
	s := &o.Spec
	unset(&s.SessionAffinity, corev1.ServiceAffinityNone)
	if s.SessionAffinity == corev1.ServiceAffinityClientIP && s.SessionAffinityConfig == nil {
		seconds := int32(10800)
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	unset(&s.Type, corev1.ServiceTypeClusterIP)
	for i := range s.Ports {
		p := &s.Ports[i]
		unset(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer {
		unset(&s.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if s.Type != corev1.ServiceTypeExternalName {
		unsetPtr(&s.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if s.Type == corev1.ServiceTypeLoadBalancer {
		unsetPtr(&s.AllocateLoadBalancerNodePorts, true)
	}
}

func defaultAutoscaler(o *autoscalingv2.HorizontalPodAutoscaler) {
	if b := o.Spec.Behavior; b != nil {
		all := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}
		defaultScaling(&b.ScaleDown, nil, all)
		defaultScaling(&b.ScaleUp, new(int32), autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15}, all)
	}
	unsetPtr(&o.Spec.MinReplicas, 1)
	if len(o.Spec.Metrics) == 0 {
		percent := int32(80)
		o.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
		}}}
	}
}

// defaultScaling fills in the rules of one direction where a behavior is given.
func defaultScaling(p **autoscalingv2.HPAScalingRules, window *int32, policies ...autoscalingv2.HPAScalingPolicy) {
	unsetPtr(p, autoscalingv2.HPAScalingRules{})
	unsetPtr(&(*p).SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if (*p).StabilizationWindowSeconds == nil {
		(*p).StabilizationWindowSeconds = window
	}
	if len((*p).Policies) == 0 {
		(*p).Policies = policies
	}
}

func defaultLimits(item *corev1.LimitRangeItem) {
	if item.Type == corev1.LimitTypeContainer {
		fill(&item.Default, item.Max)
		fill(&item.DefaultRequest, item.Default)
		fill(&item.DefaultRequest, item.Min)
	}
}

func defaultNetworkPolicy(o *networkingv1.NetworkPolicy) {
	if len(o.Spec.PolicyTypes) == 0 {
		o.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(o.Spec.Egress) > 0 {
			o.Spec.PolicyTypes = append(o.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	ports := func(ports []networkingv1.NetworkPolicyPort) {
		for i := range ports {
			unsetPtr(&ports[i].Protocol, corev1.ProtocolTCP)
		}
	}
	for i := range o.Spec.Ingress {
		ports(o.Spec.Ingress[i].Ports)
	}
	for i := range o.Spec.Egress {
		ports(o.Spec.Egress[i].Ports)
	}
}
