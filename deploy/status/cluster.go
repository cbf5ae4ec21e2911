package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// patience is how long what may end by itself counts as progress.
const patience = 5 * time.Minute

// settling is how long endpoints may lag behind a workload that became ready.
const settling = 30 * time.Second

// Input is what [OfCluster] looks at. Nothing of it is changed or kept.
type Input struct {
	// Application names the components and says which are optional. Without
	// it they are those of the objects' labels, and required.
	Application *appmodel.Application
	// Name and Namespace are those of the [Cluster].
	Name, Namespace string
	// Objects are the application's live objects as they were listed:
	// workloads, ReplicaSets, pods, claims, EndpointSlices; and the
	// namespace's Events, which only make causes more precise.
	Objects []driver.Object
	// Expected are the objects that were deployed. A workload among them that
	// does not live is Absent; one that is not among them is left out. Kinds
	// that are no workloads are passed over. Empty: what lives is taken.
	Expected []driver.Ref
	// Deployed: the application is there, though perhaps nothing of it is an
	// object.
	Deployed bool
	// Services must have endpoints, by name.
	Services []string
	// Causes are those of the [Cluster].
	Causes []Cause
	// Now is the time of the observation.
	Now time.Time
}

// isWorkload reports whether a kind decides how a component does.
func isWorkload(r driver.Ref) bool {
	switch r.Kind + "." + r.Group() {
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "Job.batch", "CronJob.batch", "Service.serving.knative.dev":
		return true
	}
	return false
}

// part is one workload of a component and what belongs to it.
type part struct {
	object driver.Object
	said   Readiness
	pods   []*pod
	sets   []replicaSet // that it owns; only while it is not ready
}

// replicaSet is a ReplicaSet with what is read of it.
type replicaSet struct {
	object driver.Object
	meta   meta
}

// observer sorts the objects of one cluster.
type observer struct {
	in        Input
	ids       map[string]string // component by the name of its objects
	parts     map[string][]*part
	absent    map[string][]driver.Ref
	pods      map[string][]driver.Object
	sets      map[string][]driver.Object // ReplicaSets by component
	jobs      map[string][]driver.Object // Jobs that a CronJob owns, by component
	slices    map[string][]driver.Object // EndpointSlices by Service
	balancers map[string][]driver.Object // Services by component
	ev        evidence
}

// OfCluster says how an application does on one cluster that answered. A
// component is as its worst workload, its replicas and its endpoints are; the
// cluster as its worst required component, where an optional one counts as
// Degraded at worst. Components that are Stopped count as Ready beside others
// that run. What is missing or cannot be read is never Ready, nor what has a
// cause as a whole.
func OfCluster(in Input) Cluster {
	c := Cluster{Name: in.Name, Namespace: in.Namespace, Fresh: true, ObservedAt: in.Now.UTC()}
	o := observe(in)
	if len(o.parts) == 0 && len(o.pods) == 0 && len(in.Expected) == 0 && !in.Deployed {
		c.Value = Absent
	}
	for _, id := range o.components() {
		c.Components = append(c.Components, o.component(id))
	}
	switch {
	case c.Value != "":
	case len(c.Components) == 0 && in.Deployed:
		c.Value = Ready // it has nothing that could be otherwise
	default:
		c.Value = overall(c.Components)
	}
	if c.Causes = slices.Clone(in.Causes); len(c.Causes) > 0 {
		c.Value = Worst(c.Value, Degraded)
	}
	return c
}

func overall(components []Component) Value {
	var values []Value
	stopped := 0
	for _, c := range components {
		v := c.Value
		if c.Optional && v.rank() > Degraded.rank() {
			v = Degraded
		}
		if v == Stopped {
			stopped++
			v = Ready
		}
		values = append(values, v)
	}
	if stopped > 0 && stopped == len(values) {
		return Stopped
	}
	return Worst(values...)
}

func observe(in Input) *observer {
	o := &observer{in: in, ids: map[string]string{}, parts: map[string][]*part{}, absent: map[string][]driver.Ref{},
		pods: map[string][]driver.Object{}, sets: map[string][]driver.Object{}, jobs: map[string][]driver.Object{},
		slices: map[string][]driver.Object{}, balancers: map[string][]driver.Object{},
		ev: evidence{events: map[string][]event{}, claims: map[string]Readiness{}}}
	if app := in.Application; app != nil {
		for i := range app.Components {
			o.ids[appmodel.ObjectName(app.Metadata.Name, app.Components[i].ID)] = app.Components[i].ID
		}
	}
	missing := map[driver.Ref]bool{}
	for _, r := range in.Expected {
		if isWorkload(r) {
			missing[r] = true
		}
	}
	for _, obj := range in.Objects {
		id := obj.Labels[appmodel.LabelComponent]
		switch obj.Kind + "." + obj.Group() {
		case "Pod.":
			o.pods[id] = append(o.pods[id], obj)
		case "ReplicaSet.apps":
			o.sets[id] = append(o.sets[id], obj)
		case "PersistentVolumeClaim.":
			o.ev.claims[obj.Name] = Workload(obj)
		case "EndpointSlice.discovery.k8s.io":
			service := obj.Labels["kubernetes.io/service-name"]
			o.slices[service] = append(o.slices[service], obj)
		case "Service.":
			o.balancers[id] = append(o.balancers[id], obj)
		case "Event.", "Event.events.k8s.io":
			if e, ok := decode[event](obj); ok {
				key := e.Involved.UID
				if key == "" {
					key = e.Involved.Kind + "/" + e.Involved.Name
				}
				o.ev.events[key] = append(o.ev.events[key], e)
				if e.Involved.Kind == "PersistentVolumeClaim" { // pods know claims by name
					key = e.Involved.Kind + "/" + e.Involved.Name
					o.ev.events[key] = append(o.ev.events[key], e)
				}
			}
		default:
			if !isWorkload(obj.Ref) {
				continue
			}
			if obj.Kind == "Job" && ownedByCron(obj) {
				o.jobs[id] = append(o.jobs[id], obj)
				continue
			}
			if _, expected := missing[obj.Ref]; !expected && len(in.Expected) > 0 {
				continue
			}
			delete(missing, obj.Ref)
			if id == "" {
				id = o.owner(obj.Name)
			}
			o.parts[id] = append(o.parts[id], &part{object: obj, said: Workload(obj)})
		}
	}
	for r := range missing {
		id := o.owner(r.Name)
		o.absent[id] = append(o.absent[id], r)
	}
	return o
}

func ownedByCron(obj driver.Object) bool {
	w, _ := decode[metaOnly](obj)
	return w.Metadata.controller().Kind == "CronJob"
}

// owner is the component that an object's name belongs to, or the name.
func (o *observer) owner(name string) string {
	if id, ok := o.ids[name]; ok {
		return id
	}
	best, id := "", name
	for prefix, component := range o.ids {
		if strings.HasPrefix(name, prefix+"-") && len(prefix) > len(best) {
			best, id = prefix, component
		}
	}
	return id
}

// components are the ids, sorted.
func (o *observer) components() []string {
	all := map[string]bool{}
	for id := range o.parts {
		all[id] = true
	}
	for id := range o.absent {
		all[id] = true
	}
	if app := o.in.Application; app != nil {
		for i := range app.Components {
			if app.Components[i].IsEnabled() {
				all[app.Components[i].ID] = true
			}
		}
	}
	ids := make([]string, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (o *observer) model(id string) *appmodel.Component {
	if app := o.in.Application; app != nil {
		for i := range app.Components {
			if app.Components[i].ID == id {
				return &app.Components[i]
			}
		}
	}
	return nil
}

func (o *observer) component(id string) Component {
	c := Component{ID: id}
	parts := o.parts[id]
	if m := o.model(id); m != nil {
		c.Kind, c.Optional = string(m.Kind), m.Optional
		if len(parts) == 0 && len(o.absent[id]) == 0 {
			return o.withoutWorkload(c, m)
		}
	} else if len(parts) > 0 {
		c.Kind = parts[0].object.Kind
	}
	var values []Value
	var causes []Cause
	for _, r := range o.absent[id] {
		values, c.Message = append(values, Absent), r.Kind+" "+r.Name+" does not exist"
	}
	slices.SortFunc(parts, func(a, b *part) int { return cmp.Compare(a.object.String(), b.object.String()) })
	o.own(id, parts)
	for _, p := range parts {
		v, more := o.judge(p)
		values, causes = append(values, v), append(causes, more...)
		c.Replicas.Desired += p.said.Replicas.Desired
		c.Replicas.Current += p.said.Replicas.Current
		c.Replicas.Updated += p.said.Replicas.Updated
		c.Replicas.Ready += p.said.Replicas.Ready
		if c.Message == "" || v != Ready && v != Stopped {
			c.Message = p.said.Message
		}
	}
	stopped := 0
	for i, v := range values {
		if v == Stopped {
			stopped++
			values[i] = Ready
		}
	}
	c.Value = Worst(values...)
	if stopped > 0 && stopped == len(values) {
		c.Value = Stopped
	}
	if least := o.least(id); c.Value == Stopped && least > 0 {
		c.Value, c.Message = Failed, fmt.Sprintf("scaled to zero, and the application asks for %d", least)
		causes = append(causes, Cause{Reason: ScaledToZero, Message: c.Message, Object: parts[0].object.String(), Count: 1,
			Next: "deploy the application again, or scale it up", rank: 7})
	}
	if c.Value == Ready && c.Replicas.Desired > 0 {
		v, cause := o.network(id, parts)
		if c.Value = v; cause != nil {
			causes, c.Message = append(causes, *cause), cause.Message
		}
	}
	c.Causes = fold(causes)
	return c
}

// least is how many replicas the application asks for, at least, of what runs
// all the time; zero if it does not say or may stop.
func (o *observer) least(id string) int {
	m := o.model(id)
	if m == nil || m.Kind != appmodel.KindService && m.Kind != appmodel.KindStateful {
		return 0
	}
	switch s := m.Scale; {
	case s == nil:
		return 1
	case s.Auto != nil && s.Auto.Min != nil:
		return *s.Auto.Min
	case s.Auto == nil && s.Replicas != nil:
		return *s.Replicas
	}
	return 1
}

// withoutWorkload is a component of which nothing is a workload: what is
// elsewhere, or objects that just exist. It holds nobody up, if it was deployed.
func (o *observer) withoutWorkload(c Component, m *appmodel.Component) Component {
	deployed := len(o.in.Expected) > 0 || len(o.parts) > 0 || o.in.Deployed
	switch {
	case m.Kind == appmodel.KindExternal && deployed:
		c.Value, c.Message = Ready, "elsewhere; its health is not checked"
	case (m.Kind == appmodel.KindObjects || m.Kind == appmodel.KindChart) && (len(o.in.Expected) > 0 || o.in.Deployed):
		c.Value, c.Message = Ready, "it has no workload; its health is not checked"
	default:
		c.Value, c.Message = Absent, "it is not there"
	}
	return c
}

// judge looks at a workload that is not ready together with its pods.
func (o *observer) judge(p *part) (Value, []Cause) {
	value, causes := p.said.Value, []Cause(nil)
	if p.said.Cause != nil {
		causes = append(causes, *p.said.Cause)
	}
	if p.object.Kind == "CronJob" {
		return o.lastRun(p, value)
	}
	if value == Ready || value == Stopped || p.object.Deleting {
		return value, causes
	}
	latest := newest(p)
	newerBlamed := false
	var old []Cause
	for _, one := range p.pods {
		found := podCauses(one, o.ev)
		if p.object.Kind == "Job" { // it tries again
			for i := range found {
				if found[i].Reason == PodFailed || found[i].Reason == CrashLoop {
					found[i].soft, found[i].rank = true, 8
				}
			}
		}
		if latest != "" && revisionOf(one) != latest {
			old = append(old, found...)
			continue
		}
		newerBlamed = newerBlamed || len(found) > 0
		causes = append(causes, found...)
	}
	if !newerBlamed {
		causes = append(causes, old...)
	}
	if p.said.Cause == nil && p.said.Replicas.Current < p.said.Replicas.Desired {
		if c := o.creation(p); c != nil {
			causes = append(causes, *c)
		}
	}
	if value != Progressing && value != Unknown {
		return value, causes
	}
	for _, c := range causes {
		if c.soft && (c.Since.IsZero() || o.in.Now.Sub(c.Since) < patience || p.object.Kind == "Job") {
			continue
		}
		if p.said.rolling || p.said.Replicas.Ready == 0 {
			return Failed, causes
		}
		value = Degraded
	}
	if value == Progressing && !p.said.rolling && p.said.Replicas.Ready > 0 && len(causes) > 0 {
		value = Degraded
	}
	return value, causes
}

// creation is the cause of pods that a controller could not make, from events
// about it or its ReplicaSets.
func (o *observer) creation(p *part) *Cause {
	about := []driver.Object{p.object}
	for _, rs := range p.sets {
		about = append(about, rs.object)
	}
	for _, obj := range about {
		if e, ok := o.ev.latest(obj.Kind, obj.Name, obj.UID, "FailedCreate"); ok {
			return refused(p.object.String(), e.Message, e.when())
		}
	}
	return nil
}

// lastRun makes a CronJob Degraded when its newest Job failed.
func (o *observer) lastRun(p *part, value Value) (Value, []Cause) {
	var newest driver.Object
	var at time.Time
	for _, obj := range o.jobs[p.object.Labels[appmodel.LabelComponent]] {
		w, ok := decode[workload](obj)
		if ok && w.Metadata.controller().UID == p.object.UID && w.Metadata.Created.After(at) {
			newest, at = obj, w.Metadata.Created
		}
	}
	if newest.Kind == "" || value != Ready {
		return value, nil
	}
	run := &part{object: newest, said: Workload(newest)}
	for _, obj := range o.pods[newest.Labels[appmodel.LabelComponent]] {
		if one, ok := decode[pod](obj); ok && one.Metadata.controller().UID == newest.UID && !obj.Deleting {
			one.object = obj
			run.pods = append(run.pods, &one)
		}
	}
	v, causes := o.judge(run)
	if v == Failed || v == Degraded {
		p.said.Message = fmt.Sprintf("its last run, %s, failed", newest.Name)
		return Degraded, causes
	}
	return value, nil
}

// own gives pods to the workloads that own them. Pods that are ready, done or
// on their way out are not looked at, nor any pod of a workload that is ready.
func (o *observer) own(id string, parts []*part) {
	byUID := map[string]*part{}
	var only *part
	for _, p := range parts {
		if p.said.Value == Ready || p.said.Value == Stopped || p.object.Kind == "CronJob" {
			continue
		}
		byUID[p.object.UID], only = p, p
	}
	if len(byUID) == 0 {
		return
	}
	for _, rs := range o.sets[id] {
		if m, ok := decode[metaOnly](rs); ok {
			if p := byUID[m.Metadata.controller().UID]; p != nil {
				byUID[rs.UID] = p
				p.sets = append(p.sets, replicaSet{rs, m.Metadata})
			}
		}
	}
	for _, obj := range o.pods[id] {
		if obj.Deleting {
			continue
		}
		one, ok := decode[pod](obj)
		if !ok || one.Status.Phase == "Succeeded" || one.Status.Conditions.get("Ready").Status == "True" {
			continue
		}
		one.object = obj
		owner := one.Metadata.controller()
		p := byUID[owner.UID]
		if p == nil && owner.Kind == "ReplicaSet" && len(o.sets[id]) == 0 && len(parts) == 1 {
			p = only // ReplicaSets were not listed
		}
		if p != nil && (one.Status.Phase != "Failed" || p.object.Kind == "Job") {
			p.pods = append(p.pods, &one)
		}
	}
	for _, p := range parts {
		slices.SortFunc(p.pods, func(a, b *pod) int { return cmp.Compare(a.object.Name, b.object.Name) })
	}
}

// newest is the revision, as [revisionOf] says it of a pod, that a workload
// rolls out; empty when it cannot be told.
func newest(p *part) string {
	switch p.object.Kind {
	case "StatefulSet":
		w, _ := decode[workload](p.object)
		return w.Status.UpdateRevision
	case "Deployment":
		const revision = "deployment.kubernetes.io/revision"
		if len(p.sets) < 2 {
			return "" // there is one version alone
		}
		m, _ := decode[metaOnly](p.object)
		for _, rs := range p.sets {
			if at := m.Metadata.Annotations[revision]; at != "" && rs.meta.Annotations[revision] == at {
				return rs.object.Labels["pod-template-hash"]
			}
		}
	}
	return ""
}

func revisionOf(p *pod) string {
	if hash := p.object.Labels["pod-template-hash"]; hash != "" {
		return hash
	}
	return p.object.Labels["controller-revision-hash"]
}

// network looks at the Services of a component whose workloads are ready.
func (o *observer) network(id string, parts []*part) (Value, *Cause) {
	for _, obj := range o.balancers[id] {
		if r := Workload(obj); r.Value != Ready {
			return r.Value, &Cause{Reason: NoEndpoints, Message: r.Message, Object: obj.String(), Count: 1,
				Next: "see that the cluster has a load balancer", rank: 6}
		}
	}
	for _, service := range o.in.Services {
		found := o.slices[service]
		owner := o.owner(service)
		if len(found) > 0 && found[0].Labels[appmodel.LabelComponent] != "" {
			owner = found[0].Labels[appmodel.LabelComponent]
		}
		if owner != id || hasEndpoint(found) {
			continue
		}
		cause := &Cause{Reason: NoEndpoints, Message: "Service " + service + " has no endpoint that is ready",
			Object: "Service " + o.in.Namespace + "/" + service, Count: 1, rank: 6,
			Next: "compare the Service's selector and ports with the labels and ports of the pods"}
		for _, p := range parts {
			w, _ := decode[workload](p.object)
			since := w.Status.Conditions.get("Available").Since
			if since.IsZero() {
				since = w.Metadata.Created
			}
			if o.in.Now.Sub(since) < settling {
				return Progressing, cause
			}
		}
		return Degraded, cause
	}
	return Ready, nil
}

func hasEndpoint(list []driver.Object) bool {
	for _, obj := range list {
		s, _ := decode[slice](obj)
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready { // nil is ready, says the API
				return true
			}
		}
	}
	return false
}
