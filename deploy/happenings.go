package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Happenings are the Kubernetes Events of an application's objects. Clusters
// keep them for an hour, as a rule, and may drop some.
type Happenings struct {
	// Events are ordered by when they were last seen, the newest last.
	Events []Happening `json:"events"`
	// Missing are the clusters that did not tell theirs, or not all of them,
	// and why.
	Missing map[string]string `json:"missing,omitempty"`
}

// Happening is what happened to one object, once or several times.
type Happening struct {
	Cluster   string     `json:"cluster"`
	Component string     `json:"component,omitempty"`
	Object    driver.Ref `json:"object"`
	// Warning is set for what is not as it should be.
	Warning bool   `json:"warning,omitempty"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Count is how often it was seen, from First to Last.
	Count int       `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

const (
	// maxEvents is how many Events of one namespace are looked at.
	maxEvents = 10_000
	// maxEventText is how many bytes of a message are kept.
	maxEventText = 1024
)

// Events reads what happened to the objects of an application, also to
// replicas that are gone, on the clusters of a target: the same of one object
// is folded into one. The error is about the call; no cluster's failure is one.
func (d *Deployer) Events(ctx context.Context, application string, to Target) (Happenings, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return Happenings{}, err
	}
	out := Happenings{Events: []Happening{}, Missing: map[string]string{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range to.Clusters {
		wg.Go(func() {
			found, err := d.eventsOn(ctx, application, to, name)
			mu.Lock()
			defer mu.Unlock()
			out.Events = append(out.Events, found...)
			if err != nil {
				out.Missing[name] = err.Error()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return Happenings{}, context.Cause(ctx)
	}
	slices.SortFunc(out.Events, func(a, b Happening) int {
		return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Object.String(), b.Object.String()),
			cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	return out, nil
}

func (d *Deployer) eventsOn(ctx context.Context, application string, to Target, name string) ([]Happening, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	st, s, err := d.readState(ctx, application, to, name)
	if err != nil {
		return nil, err
	}
	whose := owners{}
	if st != nil && st.record.runs() {
		for key := range st.record.Inventory {
			ref := refOfKey(key, s.namespace)
			whose[objectName{ref.Kind, ref.Name}] = ""
		}
	}
	if err := d.components(ctx, c, s, whose); err != nil {
		return nil, err
	}
	folded := map[Happening]*Happening{}
	n := 0
	for obj, err := range c.List(ctx, cluster.Query{APIVersion: "v1", Kind: "Event", Namespace: s.namespace, Projection: cluster.Trimmed}) {
		if err != nil {
			return collected(folded), err
		}
		if n++; n > maxEvents {
			return collected(folded), fmt.Errorf("%w: the namespace has more than %d Events; some are left out", appspan.ErrExhausted, maxEvents)
		}
		var e corev1.Event
		if json.Unmarshal(obj.JSON, &e) != nil {
			continue
		}
		component, ours := whose.of(e.InvolvedObject.Kind, e.InvolvedObject.Name)
		if !ours {
			continue
		}
		key := Happening{Cluster: name, Component: component, Warning: e.Type == corev1.EventTypeWarning, Reason: e.Reason, Message: e.Message,
			Object: driver.Ref{APIVersion: e.InvolvedObject.APIVersion, Kind: e.InvolvedObject.Kind, Namespace: s.namespace, Name: e.InvolvedObject.Name}}
		if len(key.Message) > maxEventText {
			key.Message = cut(key.Message, maxEventText)
		}
		first, last, count := seen(e)
		h := folded[key]
		if h == nil {
			h = new(key)
			h.First, h.Last = first, last
			folded[key] = h
		}
		h.Count += count
		if first.Before(h.First) {
			h.First = first
		}
		if last.After(h.Last) {
			h.Last = last
		}
	}
	return collected(folded), nil
}

func collected(folded map[Happening]*Happening) []Happening {
	out := make([]Happening, 0, len(folded))
	for _, h := range folded {
		out = append(out, *h)
	}
	return out
}

// seen is when and how often an Event was seen; both ways of counting are in
// use, the old fields and series (KEP-383).
func seen(e corev1.Event) (first, last time.Time, count int) {
	first, last, count = e.FirstTimestamp.Time, e.LastTimestamp.Time, max(int(e.Count), 1)
	if first.IsZero() {
		first = e.EventTime.Time
	}
	if first.IsZero() {
		first = e.CreationTimestamp.Time
	}
	if e.Series != nil {
		count, last = max(count, int(e.Series.Count)), e.Series.LastObservedTime.Time
	}
	if last.Before(first) {
		last = first
	}
	return first.UTC(), last.UTC(), count
}

// objectName names an object in an Event of a namespace.
type objectName struct{ kind, name string }

// owners are the components of objects, "" of those that belong to none.
type owners map[objectName]string

// components finds the objects that are the application's by their label, or
// are its pods.
func (d *Deployer) components(ctx context.Context, c *cluster.Cluster, s scope, into owners) error {
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	byLabel := appmodel.LabelApplication + "=" + s.application
	for _, k := range []kindRef{{"apps/v1", "Deployment"}, {"apps/v1", "ReplicaSet"}, {"apps/v1", "StatefulSet"}, {"apps/v1", "DaemonSet"},
		{"batch/v1", "Job"}, {"batch/v1", "CronJob"}, {"autoscaling/v2", "HorizontalPodAutoscaler"}, kindClaim} {
		if !info.Has(k.APIVersion, k.Kind) {
			continue
		}
		for obj, err := range c.List(ctx, cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: s.namespace, Labels: byLabel, Projection: cluster.Metadata}) {
			if err != nil {
				return err
			}
			into[objectName{obj.Kind, obj.Name}] = obj.Labels[appmodel.LabelComponent]
		}
	}
	pods, err := d.podsOf(ctx, c, s)
	for _, p := range pods {
		into[objectName{"Pod", p.Name}] = p.component
	}
	return err
}

// generated are the ends that controllers give the names of what they make.
var generated = []struct {
	owner, made string
	end         *regexp.Regexp
}{
	{"Deployment", "ReplicaSet", regexp.MustCompile(`^-[a-z0-9]{6,10}$`)},
	{"Deployment", "Pod", regexp.MustCompile(`^-[a-z0-9]{6,10}-[a-z0-9]{5}$`)},
	{"StatefulSet", "Pod", regexp.MustCompile(`^-[0-9]+$`)},
	{"DaemonSet", "Pod", regexp.MustCompile(`^-[a-z0-9]{5}$`)},
	{"Job", "Pod", regexp.MustCompile(`^-[a-z0-9]{5}$`)},
	{"CronJob", "Job", regexp.MustCompile(`^-[0-9]{8,10}$`)},
	{"CronJob", "Pod", regexp.MustCompile(`^-[0-9]{8,10}-[a-z0-9]{5}$`)},
}

// of is the component of an object, which may be gone: then its name says
// whose it was. Of several owners that fit the longest name is the one.
func (o owners) of(kind, name string) (component string, ours bool) {
	if component, ours = o[objectName{kind, name}]; ours {
		return component, true
	}
	longest := 0
	for owner, id := range o {
		rest, begins := strings.CutPrefix(name, owner.name)
		for _, g := range generated {
			if begins && len(owner.name) > longest && g.owner == owner.kind && g.made == kind && g.end.MatchString(rest) {
				component, ours, longest = id, true, len(owner.name)
			}
		}
	}
	return component, ours
}
