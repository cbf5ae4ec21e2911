package fake

import (
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// selection is a parsed query: what of a kind is meant.
type selection struct {
	kind      *kind
	namespace string
	labels    labels.Selector
	fields    fields.Selector
}

// newSelection parses selectors, and refuses fields that the kind cannot be
// selected by.
func newSelection(k *kind, namespace, byLabels, byFields string) (selection, error) {
	sel := selection{kind: k, namespace: namespace}
	var err error
	if byLabels != "" {
		if sel.labels, err = labels.Parse(byLabels); err != nil {
			return sel, apierrors.NewBadRequest("unable to parse requirement: " + err.Error())
		}
	}
	if byFields != "" {
		if sel.fields, err = fields.ParseSelector(byFields); err != nil {
			return sel, apierrors.NewBadRequest(err.Error())
		}
		set := selectable(k, k.new())
		for _, r := range sel.fields.Requirements() {
			if _, ok := set[r.Field]; !ok {
				return sel, apierrors.NewBadRequest(fmt.Sprintf("Unable to find %q that match label selector %q, field selector %q: field label not supported: %s",
					k.gvr().String(), byLabels, byFields, r.Field))
			}
		}
	}
	return sel, nil
}

func (s selection) matches(r *record) bool {
	return r.kind == s.kind && (s.namespace == "" || s.namespace == r.key.namespace) &&
		(s.labels == nil || s.labels.Matches(labels.Set(r.obj.GetLabels()))) &&
		(s.fields == nil || s.fields.Matches(selectable(r.kind, r.obj)))
}

// selectable are the fields by which an object can be selected.
func selectable(k *kind, obj object) fields.Set {
	set := fields.Set{"metadata.name": obj.GetName()}
	if k.namespaced {
		set["metadata.namespace"] = obj.GetNamespace()
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		set["spec.nodeName"] = o.Spec.NodeName
		set["spec.restartPolicy"] = string(o.Spec.RestartPolicy)
		set["spec.schedulerName"] = o.Spec.SchedulerName
		set["spec.serviceAccountName"] = o.Spec.ServiceAccountName
		set["spec.hostNetwork"] = strconv.FormatBool(o.Spec.HostNetwork)
		set["status.phase"] = string(o.Status.Phase)
		set["status.podIP"] = o.Status.PodIP
		set["status.nominatedNodeName"] = o.Status.NominatedNodeName
	case *corev1.Secret:
		set["type"] = string(o.Type)
	case *corev1.Namespace:
		set["status.phase"] = string(o.Status.Phase)
	case *corev1.Node:
		set["spec.unschedulable"] = strconv.FormatBool(o.Spec.Unschedulable)
	case *corev1.Service:
		set["spec.clusterIP"] = o.Spec.ClusterIP
		set["spec.type"] = string(o.Spec.Type)
	case *batchv1.Job:
		set["status.successful"] = strconv.Itoa(int(o.Status.Succeeded))
	case *corev1.Event:
		set["involvedObject.kind"] = o.InvolvedObject.Kind
		set["involvedObject.namespace"] = o.InvolvedObject.Namespace
		set["involvedObject.name"] = o.InvolvedObject.Name
		set["involvedObject.uid"] = string(o.InvolvedObject.UID)
		set["involvedObject.apiVersion"] = o.InvolvedObject.APIVersion
		set["involvedObject.fieldPath"] = o.InvolvedObject.FieldPath
		set["reason"] = o.Reason
		set["reportingComponent"] = o.ReportingController
		set["source"] = o.Source.Component
		set["type"] = o.Type
	}
	return set
}
