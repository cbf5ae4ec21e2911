package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// aspect is what of the world is not as the model says.
type aspect string

const (
	misplaced  aspect = "misplaced"  // a write to a place that was not meant
	unmarked   aspect = "unmarked"   // an object without our labels
	leaked     aspect = "leaked"     // an object that nobody asked for
	lost       aspect = "lost"       // an object that is not there
	outdated   aspect = "outdated"   // another image or configuration
	miscounted aspect = "miscounted" // another number of replicas
	claims     aspect = "claims"     // a claim that should stay, or go
	foreign    aspect = "foreign"    // something of others was touched
	rekeyed    aspect = "rekeyed"    // a generated secret has changed
	history    aspect = "history"    // the releases
	shown      aspect = "shown"      // the status
	restless   aspect = "restless"   // there is still something to do
	refused    aspect = "refused"    // an operation that should succeed, or fail, and does not
	halved     aspect = "halved"     // an operation that the journal has neither done nor not begun
)

// divergence is where world and model part.
type divergence struct {
	of   aspect
	text string
}

func (d *divergence) Error() string { return string(d.of) + ": " + d.text }

func diverged(of aspect, format string, args ...any) error {
	return &divergence{of, fmt.Sprintf(format, args...)}
}

// audit sees every write and says which went to a wrong place.
type audit struct {
	driver.Cluster
	mu      sync.Mutex
	allowed []*slot
	wrong   error
	left    int64  // writes, before
	fall    func() // is called
	fell    bool
}

func (a *audit) Unwrap() driver.Cluster { return a.Cluster }

func (a *audit) see(ref driver.Ref, labels map[string]string, manager string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left--; a.left < 0 && a.fall != nil {
		a.fall()
		a.fall, a.fell = nil, true
	}
	ok := slices.ContainsFunc(a.allowed, func(s *slot) bool {
		if ref.Kind == "Namespace" {
			return ref.Name == s.namespace
		}
		return ref.Namespace == s.namespace && (manager == "" || strings.HasPrefix(manager, "appspan-"+s.installation+"-"+s.name)) &&
			(strings.HasPrefix(ref.Name, s.name+"-") || strings.HasPrefix(ref.Name, "appspan-"+s.name+"-") || strings.HasPrefix(ref.Name, "data-"+s.name+"-"))
	})
	if !ok {
		a.wrong = diverged(misplaced, "%s by %q", ref, manager)
	}
	if manager != "" && !strings.HasSuffix(manager, "-kept") && labels[appmodel.LabelInstallation] == "" && ref.Kind != "PersistentVolumeClaim" {
		a.wrong = diverged(unmarked, "%s by %q", ref, manager)
	}
}

func (a *audit) Apply(ctx context.Context, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
	var m struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(obj.JSON, &m)
	a.see(obj.Ref, m.Metadata.Labels, o.Manager)
	return a.Cluster.Apply(ctx, obj, o)
}

func (a *audit) Delete(ctx context.Context, ref driver.Ref, o driver.DeleteOptions) error {
	a.see(ref, nil, "")
	return a.Cluster.Delete(ctx, ref, o)
}

// shot is everything on a cluster, by namespace and "Kind/name".
type shot map[string]map[string]driver.Object

// byController are kinds that controllers make of others.
var byController = []string{"Pod", "ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints"}

func (w *walk) shoot(name string) shot {
	out := shot{}
	for _, k := range w.kinds {
		page, err := w.fakes[name].List(w.t.Context(), driver.Query{APIVersion: k.APIVersion, Kind: k.Kind})
		if err != nil {
			continue // it cannot be listed
		}
		for _, obj := range page.Items {
			if obj.Kind == "ConfigMap" && obj.Name == "kube-root-ca.crt" || obj.Kind == "ServiceAccount" && obj.Name == "default" {
				continue
			}
			at := obj.Namespace
			if out[at] == nil {
				out[at] = map[string]driver.Object{}
			}
			out[at][obj.Kind+"/"+obj.Name] = obj
		}
	}
	return out
}

// compare says how the world differs from the model; touched has the slots that
// are looked at closely.
func (w *walk) compare(touched []*slot) error {
	time.Sleep(time.Second)
	for _, name := range w.names {
		if err := w.astray(name); err != nil {
			return err
		}
		if w.pending[name] != nil {
			continue // an operation is half done
		}
		all := w.shoot(name)
		if err := w.compareCluster(name, all); err != nil {
			return fmt.Errorf("on %s: %w", name, err)
		}
		for _, s := range touched {
			if err := w.compareSlot(s, name, all[s.namespace]); err != nil {
				return fmt.Errorf("%s in %s on %s: %w", s.name, s.namespace, name, err)
			}
		}
	}
	return nil
}

// astray says which write to a cluster went to a wrong place.
func (w *walk) astray(name string) error {
	a := w.audits[name]
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wrong != nil {
		return fmt.Errorf("on %s: %w", name, a.wrong)
	}
	return nil
}

// compareCluster looks at what there is on a cluster, and at what is of others.
func (w *walk) compareCluster(name string, all shot) error {
	for ref, before := range w.foreign[name] {
		now, ok := all[ref.Namespace][ref.Kind+"/"+ref.Name]
		if !ok || string(now.JSON) != before {
			return diverged(foreign, "%s was %s and is %s", ref, before, now.JSON)
		}
	}
	want := map[string]map[string]bool{}
	expect := func(namespace, object string) {
		if want[namespace] == nil {
			want[namespace] = map[string]bool{}
		}
		want[namespace][object] = true
	}
	alive := map[string]bool{} // installation/namespace/application
	for _, s := range w.slots {
		p := s.on[name]
		for _, o := range p.objects(name, s.name) {
			expect(s.namespace, o)
		}
		if p.presence != absent {
			expect(s.namespace, "Secret/"+s.record())
			alive[s.installation+"/"+s.namespace+"/"+s.name] = p.presence == running
		}
	}
	for ref := range w.foreign[name] {
		expect(ref.Namespace, ref.Kind+"/"+ref.Name)
	}
	for namespace, objects := range all {
		if namespace == "" || strings.HasPrefix(namespace, "kube-") {
			continue
		}
		for key, obj := range objects {
			application := obj.Labels[appmodel.LabelApplication]
			switch {
			case want[namespace][key] || obj.Kind == "Event" || obj.Kind == "Lease":
			case slices.Contains(byController, obj.Kind):
				if application != "" && !alive[obj.Labels[appmodel.LabelInstallation]+"/"+namespace+"/"+application] {
					return diverged(leaked, "%s/%s of %s", namespace, key, application)
				}
			case obj.Labels["appspan.dev/release-of"] != "": // looked at with the releases
				s := w.slotOf(obj.Labels[appmodel.LabelInstallation], namespace, obj.Labels["appspan.dev/release-of"])
				if s == nil || s.on[name].presence == absent {
					return diverged(leaked, "%s/%s", namespace, key)
				}
			case obj.Kind == "PersistentVolumeClaim":
				return diverged(claims, "%s/%s is still there", namespace, key)
			default:
				return diverged(leaked, "%s/%s", namespace, key)
			}
		}
	}
	for namespace, objects := range want {
		for key := range objects {
			if _, ok := all[namespace][key]; !ok {
				of := lost
				if strings.HasPrefix(key, "PersistentVolumeClaim/") {
					of = claims
				}
				return diverged(of, "%s/%s", namespace, key)
			}
		}
	}
	return w.compareNamespaces(name, all, want)
}

// compareNamespaces: one that we made goes with the last that is in it, if who
// removes that is who made it.
func (w *walk) compareNamespaces(name string, all shot, want map[string]map[string]bool) error {
	for namespace := range w.made[name] {
		_, there := all[""]["Namespace/"+namespace]
		switch {
		case !there && len(want[namespace]) > 0:
			return diverged(lost, "namespace %s", namespace)
		case !there:
			delete(w.made[name], namespace)
		}
	}
	for _, s := range w.slots {
		obj, there := all[""]["Namespace/"+s.namespace]
		if !there || w.planted[s.namespace] {
			continue
		}
		if w.made[name][s.namespace] == "" {
			w.made[name][s.namespace] = obj.Labels[appmodel.LabelInstallation]
		}
	}
	for _, gone := range w.removed { // by the last step
		if gone.cluster == name && w.made[name][gone.slot.namespace] == gone.slot.installation && len(want[gone.slot.namespace]) == 0 {
			return diverged(leaked, "namespace %s", gone.slot.namespace)
		}
	}
	return nil
}

func (w *walk) slotOf(installation, namespace, name string) *slot {
	for _, s := range w.slots {
		if s.installation == installation && s.namespace == namespace && s.name == name {
			return s
		}
	}
	return nil
}

// compareSlot looks closely at one application.
func (w *walk) compareSlot(s *slot, name string, objects map[string]driver.Object) error {
	p := s.on[name]
	if p.presence == running {
		if err := s.compareObjects(name, p, objects); err != nil {
			return err
		}
	}
	if w.away[name] > 0 {
		return w.compareAway(s, name, p)
	}
	if err := w.compareReleases(s, name, p, objects); err != nil {
		return err
	}
	return w.compareStatus(s, name, p)
}

// liveObject is what the walk looks at of an object.
type liveObject struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Replicas int  `json:"replicas"`
		Paused   bool `json:"paused"`
		Suspend  bool `json:"suspend"`
		Template struct {
			Spec livePod `json:"spec"`
		} `json:"template"`
		UpdateStrategy struct{ Type string } `json:"updateStrategy"`
		Rules          []struct{ Host string }
		livePod
	} `json:"spec"`
	Data map[string]string `json:"data"`
}

type livePod struct {
	Containers []struct {
		Image string `json:"image"`
	} `json:"containers"`
}

func see(obj driver.Object) liveObject {
	var out liveObject
	_ = json.Unmarshal(obj.JSON, &out)
	return out
}

func (s *slot) compareObjects(name string, p *part, objects map[string]driver.Object) error {
	m := p.resolved(name)
	for _, key := range p.objects(name, s.name) {
		labels := objects[key].Labels
		if labels[appmodel.LabelInstallation] != s.installation || labels[appmodel.LabelApplication] != s.name {
			return diverged(unmarked, "%s has %v", key, labels)
		}
	}
	web, db := see(objects["Deployment/"+s.name+"-web"]), see(objects["StatefulSet/"+s.name+"-db"])
	image := fmt.Sprintf("registry.example.com/web:%d", m.web)
	if got := web.Spec.Template.Spec.Containers[0].Image; got != image {
		return diverged(outdated, "web has %s, not %s", got, image)
	}
	if got := see(objects["ConfigMap/"+s.name+"-site"]).Data["GREETING"]; got != m.greeting {
		return diverged(outdated, "the greeting is %s, not %s", got, m.greeting)
	}
	if got := see(objects["Ingress/"+s.name+"-shop"]).Spec.Rules[0].Host; got != m.host {
		return diverged(outdated, "the host is %s, not %s", got, m.host)
	}
	if p.noted && web.Metadata.Annotations["example.com/note"] == "" {
		return diverged(foreign, "an annotation of somebody is gone")
	}
	if web.Spec.Paused != p.asked["web"].paused || (db.Spec.UpdateStrategy.Type == "OnDelete") != p.asked["db"].paused {
		return diverged(outdated, "paused is %v and %s", web.Spec.Paused, db.Spec.UpdateStrategy.Type)
	}
	counted := map[string]int{"web": web.Spec.Replicas, "db": db.Spec.Replicas}
	if m.worker {
		counted["worker"] = see(objects["Deployment/"+s.name+"-worker"]).Spec.Replicas
	}
	if m.tidy {
		a := p.asked["tidy"]
		if got := see(objects["CronJob/"+s.name+"-tidy"]).Spec.Suspend; got != (a.stopped || a.paused) {
			return diverged(outdated, "the cron job is suspended: %v", got)
		}
	}
	pods := map[string]int{}
	for key, obj := range objects {
		if obj.Kind != "Pod" || obj.Deleting || obj.Labels[appmodel.LabelApplication] != s.name {
			continue
		}
		id := obj.Labels[appmodel.LabelComponent]
		pods[id]++
		if got := see(obj).Spec.Containers[0].Image; id == "web" && got != image && !p.asked[id].paused {
			return diverged(outdated, "%s has %s", key, got)
		}
	}
	for id, got := range counted {
		want := p.wants(name, id)
		rest := pods[id] > want && want > 0 && p.asked[id].paused // of a change that was held back half-way
		if got != want || pods[id] != want && !rest {
			return diverged(miscounted, "%s is to have %d replicas, has %d and %d pods", id, want, got, pods[id])
		}
	}
	password := see(objects["Secret/"+s.name+"-db"]).Data["password"]
	if password == "" || p.password != "" && p.password != password {
		return diverged(rekeyed, "the generated password is another one")
	}
	p.password = password
	return nil
}
