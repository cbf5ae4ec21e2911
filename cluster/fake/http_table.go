package fake

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/uuid"
)

func newUID() types.UID { return uuid.NewUUID() }

// partialOf is the metadata of an object.
func partialOf(o object) *metav1.PartialObjectMetadata { return meta.AsPartialObjectMetadata(o) }

// tableOf is what kubectl get prints: simple columns, the age last.
func tableOf(k *kind, records []*record, head metav1.ListMeta, include metav1.IncludeObjectPolicy) *metav1.Table {
	t := &metav1.Table{TypeMeta: typeMeta("meta.k8s.io/v1", "Table"), ListMeta: head, Rows: []metav1.TableRow{}}
	columns, _ := cells(k.new())
	t.ColumnDefinitions = []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name", Description: "Name of the object"}}
	for _, name := range columns {
		t.ColumnDefinitions = append(t.ColumnDefinitions, metav1.TableColumnDefinition{Name: name, Type: "string"})
	}
	t.ColumnDefinitions = append(t.ColumnDefinitions, metav1.TableColumnDefinition{Name: "Age", Type: "string"})
	for _, r := range records {
		_, values := cells(r.obj)
		row := metav1.TableRow{Cells: []any{r.key.name}}
		for _, v := range values {
			row.Cells = append(row.Cells, v)
		}
		row.Cells = append(row.Cells, age(r.obj.GetCreationTimestamp().Time))
		switch include {
		case metav1.IncludeNone:
		case metav1.IncludeObject:
			row.Object = runtime.RawExtension{Object: r.obj}
		default:
			m := partialOf(r.obj)
			m.TypeMeta = typeMeta("meta.k8s.io/v1", "PartialObjectMetadata")
			row.Object = runtime.RawExtension{Object: m}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func age(since time.Time) string {
	if since.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(since))
}

// cells are the names and the values of a kind's own columns.
func cells(obj object) (names, values []string) {
	col := func(name, format string, args ...any) {
		names = append(names, name)
		values = append(values, fmt.Sprintf(format, args...))
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		ready, restarts := 0, int32(0)
		for _, s := range o.Status.ContainerStatuses {
			if s.Ready {
				ready++
			}
			restarts += s.RestartCount
		}
		col("Ready", "%d/%d", ready, len(o.Spec.Containers))
		col("Status", "%s", podReason(o))
		col("Restarts", "%d", restarts)
	case *appsv1.Deployment:
		col("Ready", "%d/%d", o.Status.ReadyReplicas, deref(o.Spec.Replicas))
		col("Up-to-date", "%d", o.Status.UpdatedReplicas)
		col("Available", "%d", o.Status.AvailableReplicas)
	case *appsv1.StatefulSet:
		col("Ready", "%d/%d", o.Status.ReadyReplicas, deref(o.Spec.Replicas))
	case *appsv1.ReplicaSet:
		col("Desired", "%d", deref(o.Spec.Replicas))
		col("Current", "%d", o.Status.Replicas)
		col("Ready", "%d", o.Status.ReadyReplicas)
	case *appsv1.DaemonSet:
		col("Desired", "%d", o.Status.DesiredNumberScheduled)
		col("Current", "%d", o.Status.CurrentNumberScheduled)
		col("Ready", "%d", o.Status.NumberReady)
	case *batchv1.Job:
		state := "Running"
		if done := finishedJob(o); done != nil {
			state = string(done.Type)
		}
		col("Status", "%s", state)
		col("Completions", "%d/%d", o.Status.Succeeded, max(1, deref(o.Spec.Completions)))
	case *batchv1.CronJob:
		col("Schedule", "%s", o.Spec.Schedule)
		col("Suspend", "%t", deref(o.Spec.Suspend))
		col("Active", "%d", len(o.Status.Active))
	case *corev1.Service:
		var ports []string
		for _, p := range o.Spec.Ports {
			ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
		external := "<none>"
		if len(o.Status.LoadBalancer.Ingress) > 0 {
			external = o.Status.LoadBalancer.Ingress[0].IP
		}
		col("Type", "%s", o.Spec.Type)
		col("Cluster-IP", "%s", o.Spec.ClusterIP)
		col("External-IP", "%s", external)
		col("Port(s)", "%s", strings.Join(ports, ","))
	case *corev1.PersistentVolumeClaim:
		storage := o.Status.Capacity[corev1.ResourceStorage]
		col("Status", "%s", o.Status.Phase)
		col("Volume", "%s", o.Spec.VolumeName)
		col("Capacity", "%s", storage.String())
		col("StorageClass", "%s", deref(o.Spec.StorageClassName))
	case *corev1.Namespace:
		col("Status", "%s", o.Status.Phase)
	case *corev1.Node:
		status := "NotReady"
		if nodeInfo(o).Ready {
			status = "Ready"
		}
		if o.Spec.Unschedulable {
			status += ",SchedulingDisabled"
		}
		col("Status", "%s", status)
		col("Version", "%s", o.Status.NodeInfo.KubeletVersion)
	case *corev1.Secret:
		col("Type", "%s", o.Type)
		col("Data", "%d", len(o.Data))
	case *corev1.ConfigMap:
		col("Data", "%d", len(o.Data)+len(o.BinaryData))
	case *corev1.Event:
		col("Type", "%s", o.Type)
		col("Reason", "%s", o.Reason)
		col("Object", "%s/%s", strings.ToLower(o.InvolvedObject.Kind), o.InvolvedObject.Name)
		col("Message", "%s", o.Message)
	case *networkingv1.Ingress:
		var hosts []string
		for _, r := range o.Spec.Rules {
			hosts = append(hosts, r.Host)
		}
		address := ""
		if len(o.Status.LoadBalancer.Ingress) > 0 {
			address = o.Status.LoadBalancer.Ingress[0].IP
		}
		col("Class", "%s", deref(o.Spec.IngressClassName))
		col("Hosts", "%s", strings.Join(hosts, ","))
		col("Address", "%s", address)
	}
	return names, values
}

// podReason is the one word that says how a pod does.
func podReason(o *corev1.Pod) string {
	if o.DeletionTimestamp != nil {
		return "Terminating"
	}
	for _, s := range o.Status.ContainerStatuses {
		switch {
		case s.State.Waiting != nil && s.State.Waiting.Reason != "":
			return s.State.Waiting.Reason
		case s.State.Terminated != nil && s.State.Terminated.Reason != "":
			return s.State.Terminated.Reason
		}
	}
	return string(o.Status.Phase)
}
