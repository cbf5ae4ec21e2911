package rig

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	networkingv1client "k8s.io/client-go/kubernetes/typed/networking/v1"
	storagev1client "k8s.io/client-go/kubernetes/typed/storage/v1"
	"k8s.io/client-go/rest"
)

// What a full control plane offers to those who use it.
const (
	// StorageClass is the default class. A claim is bound when a pod that uses it is scheduled.
	StorageClass = "standard"
	// StorageClassImmediate binds a claim at once.
	StorageClassImmediate = "standard-immediate"
	// IngressClass is the default ingress class; nothing serves it.
	IngressClass = "rig"
	// Provisioner is the name of the provisioner of both storage classes.
	Provisioner = "rig.appspan.dev/hostpath"
)

type clients struct {
	core       corev1client.CoreV1Interface
	storage    storagev1client.StorageV1Interface
	networking networkingv1client.NetworkingV1Interface
}

func newClients(config *rest.Config) (*clients, error) {
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	storage, err := storagev1client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	networking, err := networkingv1client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &clients{core, storage, networking}, nil
}

func (c *clients) alive(ctx context.Context) error { return c.probe(ctx, "/livez") }
func (c *clients) ready(ctx context.Context) error { return c.probe(ctx, "/readyz") }

func (c *clients) probe(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.core.RESTClient().Get().AbsPath(path).Do(ctx).Error()
}

// seed creates what a cluster's installer would: nodes, storage classes, an ingress class.
func (c *clients) seed(ctx context.Context, nodes int) error {
	var errs []error
	add := func(err error) {
		if !apierrors.IsAlreadyExists(err) {
			errs = append(errs, err)
		}
	}
	for i := range nodes {
		_, err := c.core.Nodes().Create(ctx, node(i), metav1.CreateOptions{})
		add(err)
	}
	expand, reclaim := true, corev1.PersistentVolumeReclaimDelete
	for name, mode := range map[string]storagev1.VolumeBindingMode{
		StorageClass: storagev1.VolumeBindingWaitForFirstConsumer, StorageClassImmediate: storagev1.VolumeBindingImmediate,
	} {
		class := &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: Provisioner,
			VolumeBindingMode: &mode, ReclaimPolicy: &reclaim, AllowVolumeExpansion: &expand,
		}
		if name == StorageClass {
			class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
		}
		_, err := c.storage.StorageClasses().Create(ctx, class, metav1.CreateOptions{})
		add(err)
	}
	_, err := c.networking.IngressClasses().Create(ctx, &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: IngressClass, Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
		Spec:       networkingv1.IngressClassSpec{Controller: "rig.appspan.dev/nothing"},
	}, metav1.CreateOptions{})
	add(err)
	return errors.Join(errs...)
}

// node is a machine of 64 processors in one of two zones.
func node(i int) *corev1.Node {
	name := fmt.Sprintf("node-%d", i+1)
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"), corev1.ResourcePods: resource.MustParse("1000"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			corev1.LabelTopologyRegion: "rig", corev1.LabelTopologyZone: fmt.Sprintf("rig-%c", 'a'+i%2),
		}},
		Spec: corev1.NodeSpec{PodCIDR: fmt.Sprintf("10.%d.0.0/16", 128+i%64)},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			NodeInfo: corev1.NodeSystemInfo{KubeletVersion: KubernetesVersion, OperatingSystem: "linux", Architecture: "amd64"},
		},
	}
}

// settled succeeds when kwok has made the nodes ready and the controllers have given the first namespace its account.
func (c *clients) settled(ctx context.Context, nodes int) error {
	list, err := c.core.Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	ready := 0
	for _, n := range list.Items {
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && !tainted(&n) {
				ready++
			}
		}
	}
	if ready < nodes {
		return fmt.Errorf("%d of %d nodes are ready", ready, nodes)
	}
	if _, err := c.core.ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	_, err = c.core.ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	return err
}

func tainted(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable {
			return true
		}
	}
	return false
}
