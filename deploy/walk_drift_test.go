package deploy_test

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// drift is somebody who changes something by hand, on a cluster that the
// operation is about.
func (w *walk) drift(op *operation) string {
	r, s := w.rand, op.slot
	name := op.on[r.IntN(len(op.on))]
	p := s.on[name]
	if p.presence != running || w.away[name] > 0 || !op.reaches(w, name) {
		return ""
	}
	world := &world{t: w.t, fakes: w.fakes}
	ref := func(kind, suffix string) driver.Ref {
		apiVersion := map[string]string{"Deployment": "apps/v1", "StatefulSet": "apps/v1", "ConfigMap": "v1", "Service": "v1"}[kind]
		return driver.Ref{APIVersion: apiVersion, Kind: kind, Namespace: s.namespace, Name: s.name + suffix}
	}
	metadata := func(o map[string]any, field string) map[string]any {
		m, _ := o["metadata"].(map[string]any)[field].(map[string]any)
		if m == nil {
			m = map[string]any{}
			o["metadata"].(map[string]any)[field] = m
		}
		return m
	}
	spec := func(o map[string]any) map[string]any { return o["spec"].(map[string]any) }
	container := func(o map[string]any) map[string]any {
		return spec(spec(o)["template"].(map[string]any))["containers"].([]any)[0].(map[string]any)
	}
	switch r.IntN(9) {
	case 0, 1:
		all := w.shoot(name)[s.namespace]
		keys := p.objects(name, s.name)
		key := keys[r.IntN(len(keys))]
		if strings.HasPrefix(key, "PersistentVolumeClaim/") {
			return ""
		}
		if strings.HasPrefix(key, "Deployment/") {
			if strings.HasPrefix(op.what, "pause") {
				return "" // there is nothing to pause
			}
			p.gone = strings.TrimPrefix(key, "Deployment/"+s.name+"-")
		}
		obj := all[key]
		require.NoError(w.t, w.fakes[name].Delete(w.t.Context(), obj.Ref, driver.DeleteOptions{}))
		switch key {
		case "Deployment/" + s.name + "-worker":
			p.workers = 0
		case "Deployment/" + s.name + "-web":
			p.noted = false
		}
		return fmt.Sprintf(", after %s was deleted on %s", key, name)
	case 2:
		world.edit(name, ref("Deployment", "-web"), "kubectl-set", func(o map[string]any) { container(o)["image"] = "evil:1" })
		return ", after the image was changed on " + name
	case 3:
		world.edit(name, ref("ConfigMap", "-site"), "kubectl-edit", func(o map[string]any) { o["data"].(map[string]any)["GREETING"] = "hullo" })
		return ", after the greeting was changed on " + name
	case 4:
		world.edit(name, ref("Service", "-web"), "kubectl-label", func(o map[string]any) {
			delete(metadata(o, "labels"), []string{"appspan.dev/application", "appspan.dev/component", "applyset.kubernetes.io/part-of"}[r.IntN(3)])
		})
		return ", after a label was removed on " + name
	case 5:
		p.noted = true
		world.edit(name, ref("Deployment", "-web"), "kubectl-annotate", func(o map[string]any) { metadata(o, "annotations")["example.com/note"] = "mine" })
		return ", after a note was written on " + name
	case 6:
		n := r.IntN(4)
		world.edit(name, ref("Deployment", "-web"), "kubectl-scale", func(o map[string]any) { spec(o)["replicas"] = n })
		return fmt.Sprintf(", after web was scaled to %d on %s", n, name)
	case 7:
		n := r.IntN(2)
		p.data = p.data || n > 0
		world.edit(name, ref("StatefulSet", "-db"), "kubectl-scale", func(o map[string]any) { spec(o)["replicas"] = n })
		return fmt.Sprintf(", after db was scaled to %d on %s", n, name)
	case 8:
		if !p.resolved(name).worker || p.asked["worker"].stopped {
			return ""
		}
		if r.IntN(4) == 0 { // which an autoscaler leaves alone
			p.workers = 0
			world.edit(name, ref("Deployment", "-worker"), "kubectl-scale", func(o map[string]any) { spec(o)["replicas"] = 0 })
			return ", after the worker was scaled to 0 on " + name
		}
		p.workers = 2 + r.IntN(2)
		world.edit(name, ref("Deployment", "-worker"), "hpa", func(o map[string]any) { spec(o)["replicas"] = p.workers })
		return fmt.Sprintf(", after the autoscaler gave %d on %s", p.workers, name)
	}
	return ""
}
