package render

import (
	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const knativeServing = "serving.knative.dev/v1"

// The Service of Knative Serving, as far as it is used here.
type knativeService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Template knativeTemplate `json:"template"`
	} `json:"spec"`
}

type knativeTemplate struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              knativeRevision `json:"spec"`
}

type knativeRevision struct {
	corev1.PodSpec       `json:",inline"`
	ContainerConcurrency *int64 `json:"containerConcurrency,omitempty"`
	TimeoutSeconds       *int64 `json:"timeoutSeconds,omitempty"`
}

// function renders a function as a Knative Service, and reports whether the
// cluster can; without Knative it is a Deployment with one replica at least.
func (b *builder) function(c *appmodel.Component) bool {
	if !b.serves(knativeServing, "Service") {
		b.note(Information, c, "kind", "the cluster has no Knative Serving; the function runs as a Deployment and does not scale to zero")
		return false
	}
	pod, _ := b.pod(c)
	s := &knativeService{TypeMeta: tm(knativeServing, "Service"), ObjectMeta: b.meta(b.name(c.ID), c)}
	t := &s.Spec.Template
	b.knativePod(c, &pod.Spec)
	t.ObjectMeta, t.Spec.PodSpec = pod.ObjectMeta, pod.Spec
	if port := b.functionPort(c); port == nil || !b.routed(c, port) {
		s.Labels["networking.knative.dev/visibility"] = "cluster-local"
	}
	annotations := map[string]string{}
	if f := c.Function; f != nil {
		if f.Concurrency > 0 {
			n := int64(f.Concurrency)
			t.Spec.ContainerConcurrency = &n
		}
		if f.Timeout > 0 {
			n := int64(seconds(f.Timeout))
			t.Spec.TimeoutSeconds = &n
		}
		if f.Idle > 0 {
			annotations["autoscaling.knative.dev/scale-to-zero-pod-retention-period"] = f.Idle.String()
		}
	}
	b.knativeScale(c, annotations)
	for k, v := range annotations {
		t.Annotations = put(t.Annotations, k, v)
	}
	b.add(s, Object{Component: c.ID, Phase: PhaseWorkload, WaitFor: b.waits(c)})
	b.knativeAliases(c)
	b.monitors(c)
	b.knativePolicy(c)
	return true
}
