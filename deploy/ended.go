package deploy

import (
	"encoding/json"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// A Job with spec.ttlSecondsAfterFinished is deleted by the cluster once it
// has ended, well or not. That it is gone after a release that went well is no
// change and no fault: it has run. After one that failed it is made again.

// passing reports whether an object goes by itself once it has ended.
func passing(o *desired) bool {
	if o.Kind != "Job" || o.APIVersion != "batch/v1" {
		return false
	}
	return lookup(o.tree, trail{{field: "spec"}, {field: "ttlSecondsAfterFinished"}}) != nil
}

// hasEnded reports whether an object that is not there was written as it is to
// be, and has gone by itself since.
func (l *live) hasEnded(o *desired) bool {
	if !passing(o) {
		return false
	}
	known, _ := l.known(o.Ref)
	last := l.state.record.newest()
	return known.UID != "" && known.Hash == o.hash && last != nil && last.State == ReleaseDeployed
}

// endedJob is what a Job that was cleaned up last looked like.
func endedJob(ref driver.Ref) driver.Object {
	data, _ := json.Marshal(map[string]any{"apiVersion": ref.APIVersion, "kind": ref.Kind,
		"metadata": map[string]any{"namespace": ref.Namespace, "name": ref.Name},
		"status":   map[string]any{"succeeded": 1, "conditions": []any{map[string]any{"type": "Complete", "status": "True"}}}})
	return driver.Object{Ref: ref, JSON: data}
}

// completed reports whether an object is a Job that has ended well.
func completed(obj driver.Object) bool {
	if obj.Kind != "Job" {
		return false
	}
	var j struct {
		Status struct {
			Conditions []struct{ Type, Status string } `json:"conditions"`
		} `json:"status"`
	}
	if json.Unmarshal(obj.JSON, &j) != nil {
		return false
	}
	for _, c := range j.Status.Conditions {
		if c.Type == "Complete" && c.Status == "True" {
			return true
		}
	}
	return false
}
