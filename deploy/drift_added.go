package deploy

import (
	"slices"
)

// besides are where what others add to an object of a kind matters: it runs
// with the application, or is served. Controllers write there too, but under
// a subresource, or to kinds that are not here.
func besides(o *desired) []trail {
	field := func(names ...string) (at trail) {
		for _, n := range names {
			at = append(at, step{field: n})
		}
		return at
	}
	switch o.Kind + "." + o.Group() {
	case "ConfigMap.", "Secret.":
		return []trail{field("data"), field("binaryData")}
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "CronJob.batch", "Service.", "Ingress.networking.k8s.io", "NetworkPolicy.networking.k8s.io",
		"HorizontalPodAutoscaler.autoscaling", "PodDisruptionBudget.policy":
		return []trail{field("spec")}
	}
	if at := templates(o.Ref); at != nil {
		return []trail{at}
	}
	return nil
}

// beside finds what others put into one of our objects beside what is ours.
func (d *Deployer) beside(w *work, o *desired) []DriftItem {
	places := besides(o)
	_, obj, current := w.seen(o.Ref)
	if len(places) == 0 || current == nil || !w.live.owns(obj) {
		return nil
	}
	self := w.live.scope.manager()
	var out []DriftItem
	for _, e := range readManagers(obj.JSON) {
		if e.Manager == self || e.Subresource != "" {
			continue
		}
		for _, place := range places {
			fields, ok := e.Fields, true
			for _, s := range place {
				if fields, ok = child(fields, s); !ok {
					break
				}
			}
			if !ok {
				continue
			}
			for at, value := range beyond(place, fields, lookup(o.tree, place), lookup(current, place)) {
				if o.isExternal(at) {
					continue
				}
				item := DriftItem{Kind: DriftAdded, Object: o.Ref, Component: o.Component, Path: at.String(), Author: e.Manager,
					Live: leafJSON(value, o.Sensitive), Since: e.Time.UTC(), Digest: d.digest(value)}
				if value == true {
					item.off = at.fields()
				}
				out = append(out, item)
			}
		}
	}
	return slices.CompactFunc(out, func(a, b DriftItem) bool { return a.Path == b.Path && a.Author == b.Author })
}

// isExternal reports whether a path is one that is somebody else's by design.
func (o *desired) isExternal(at trail) bool {
	return slices.ContainsFunc(o.External, func(path []string) bool {
		if len(at) < len(path) {
			return false
		}
		for i, f := range path {
			if at[i].field != f {
				return false
			}
		}
		return true
	})
}

// fields are the names on a path, or nil if it leads through a list.
func (t trail) fields() []string {
	var out []string
	for _, s := range t {
		if s.field == "" {
			return nil
		}
		out = append(out, s.field)
	}
	return out
}
