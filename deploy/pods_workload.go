package deploy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// workload is what makes pods, as far as it says how to find them.
type workload struct {
	component string
	bare      bool   // its pods do not carry the application's label
	selector  string // empty: it has none
}

// workload reads a workload; false: it is not the application's. What one of
// the schedules made, which are components of CronJobs by UID, is.
func (s scope) workload(obj driver.Object, schedules map[string]string) (workload, bool) {
	type template struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	var o struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Selector    *metav1.LabelSelector `json:"selector"`
			Template    template              `json:"template"`
			JobTemplate struct {
				Spec struct {
					Template template `json:"template"`
				} `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
	if json.Unmarshal(obj.JSON, &o) != nil {
		return workload{}, false
	}
	w, ours := workload{component: obj.Labels[appmodel.LabelComponent]}, s.ours(obj.Labels)
	if owner := metav1.GetControllerOfNoCopy(&o.Metadata); !ours && owner != nil {
		w.component, ours = schedules[string(owner.UID)]
	}
	labels := o.Spec.Template.Metadata.Labels
	if obj.Kind == "CronJob" {
		labels = o.Spec.JobTemplate.Spec.Template.Metadata.Labels
	}
	w.bare = labels[appmodel.LabelApplication] == ""
	if selector, err := metav1.LabelSelectorAsSelector(o.Spec.Selector); err == nil && !selector.Empty() {
		w.selector = selector.String()
	}
	return w, ours
}

// jobsAtOnce is how many Jobs one query asks for.
const jobsAtOnce = 100

// together asks in one query for the pods of many Jobs of a component.
func together(queries []podQuery) []podQuery {
	const one = batchv1.ControllerUidLabel + "="
	var out []podQuery
	jobs := map[podQuery][]string{}
	for _, q := range queries {
		uid, is := strings.CutPrefix(q.labels, one)
		if !is || strings.Contains(uid, ",") {
			out = append(out, q)
			continue
		}
		q.labels = ""
		jobs[q] = append(jobs[q], uid)
	}
	byComponent := func(a, b podQuery) int { return strings.Compare(a.component, b.component) }
	for _, q := range slices.SortedFunc(maps.Keys(jobs), byComponent) {
		for uids := range slices.Chunk(jobs[q], jobsAtOnce) {
			q.labels = batchv1.ControllerUidLabel + " in (" + strings.Join(uids, ",") + ")"
			out = append(out, q)
		}
	}
	return out
}
