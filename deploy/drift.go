package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Drift is what on some clusters is not as its newest release says, because
// somebody else changed it. It holds no secret value.
type Drift struct {
	Application string `json:"application"`
	Namespace   string `json:"namespace"`
	// At is when the clusters were looked at.
	At time.Time `json:"at"`
	// Clusters are sorted by name.
	Clusters []ClusterDrift `json:"clusters"`
}

// ClusterDrift is what was found on one cluster.
type ClusterDrift struct {
	Cluster string `json:"cluster"`
	// Revision is the release that was compared with.
	Revision int `json:"revision,omitempty"`
	// Items are sorted by object and path.
	Items []DriftItem `json:"items,omitempty"`
	// Fights are what is left because it was changed back again and again.
	Fights []Fight `json:"fights,omitempty"`
	// Left says why nothing is healed there at all, or is empty.
	Left string `json:"left,omitempty"`
	// Unknown: the cluster did not answer; LastAnswer is when it did last, zero
	// if it never did. Error is why it is unknown, or could not be compared.
	Unknown    bool      `json:"unknown,omitempty"`
	LastAnswer time.Time `json:"lastAnswer,omitzero"`
	Error      string    `json:"error,omitempty"`

	err  error
	part *ClusterPlan
}

// DriftKind says what somebody did.
type DriftKind string

// The kinds of drift.
const (
	DriftChanged DriftKind = "changed" // a field has another value, or is gone
	DriftDeleted DriftKind = "deleted" // the object is gone
	DriftAdded   DriftKind = "added"   // a field is there beside ours
	// DriftReplaced: another object of its name, which is not ours, stands in
	// its place.
	DriftReplaced DriftKind = "replaced"
)

// DriftItem is one thing that somebody changed.
type DriftItem struct {
	Kind      DriftKind  `json:"kind"`
	Object    driver.Ref `json:"object"`
	Component string     `json:"component,omitempty"`
	// Path is the field, as in a FieldChange; of a list's entry that is gone,
	// the entry. Empty for an object that was deleted or replaced.
	Path string `json:"path,omitempty"`
	// Released is the value that the release has, Live the one that is there;
	// absent is nil, and a secret is "(redacted)".
	Released json.RawMessage `json:"released,omitempty"`
	Live     json.RawMessage `json:"live,omitempty"`
	// Author is the field manager that changed it, as far as the server knows:
	// who only took something away often leaves no trace.
	Author string `json:"author,omitempty"`
	// Since is when the author last wrote, zero if that is not known.
	Since time.Time `json:"since,omitzero"`
	// Action is what the policy says.
	Action DriftAction `json:"action"`
	// Left says why it is not healed although the policy says so, or is empty.
	Left string `json:"left,omitempty"`
	// Digest is another when the live value is: a keyed hash, which tells
	// nothing of a secret.
	Digest string `json:"digest"`

	off []string // the fields that lead to a switch that is on
}

// Fight is a field that is not healed for a while, because its author changed
// it back each time.
type Fight struct {
	Object driver.Ref `json:"object"`
	Path   string     `json:"path,omitempty"`
	Author string     `json:"author,omitempty"`
	// Heals is how often it was healed, Last when, Until when it is left alone.
	Heals int       `json:"heals"`
	Last  time.Time `json:"last"`
	Until time.Time `json:"until"`
}

// DriftOptions shape a [Deployer.Drift].
type DriftOptions struct {
	// Policy says what would be done about what is found; the zero value
	// reports everything.
	Policy DriftPolicy
	// OnEvent hears how the look at the clusters goes.
	OnEvent func(appspan.Event)
}

// Drift tells what on the clusters of a target is not as their newest release
// says because somebody else changed it: fields, objects that were deleted,
// what was put into workloads beside what is ours. What the application itself
// asks to change, as after a change of a cluster's abilities, is no drift. It
// writes nothing.
//
// A cluster that does not answer is Unknown, not an error. An application that
// is not deployed on any of the clusters is appspan.ErrNotFound, a policy that
// is not valid appspan.ErrInvalid.
func (d *Deployer) Drift(ctx context.Context, application string, to Target, opts *DriftOptions) (*Drift, error) {
	var o DriftOptions
	if opts != nil {
		o = *opts
	}
	if err := o.Policy.Validate(); err != nil {
		return nil, err
	}
	p, err := d.fromReleases(ctx, application, to, KindHeal, newestRelease)
	if err != nil {
		return nil, err
	}
	p.intent.FromRevision = nil
	events := newDispatcher(o.OnEvent)
	defer events.close()
	if err := d.planAll(ctx, p, events); err != nil {
		return nil, err
	}
	out := &Drift{Application: application, Namespace: p.Target.Namespace, At: time.Now().UTC()}
	for i := range p.Clusters {
		c := d.driftOf(&p.Clusters[i], &o.Policy, out.At)
		if c.Error == "" && c.part.Unfinished {
			if at := (place{c.Cluster, out.Namespace, application}); d.goesOn(ctx, at) {
				c.Left = fmt.Sprintf("release %d is under way", c.Revision)
			}
		}
		out.Clusters = append(out.Clusters, c)
	}
	return out, nil
}

// goesOn reports whether an apply is known to go on; where the journal cannot
// be read, it may.
func (d *Deployer) goesOn(ctx context.Context, at place) bool {
	goesOn, err := d.underWay(ctx, at)
	return goesOn || err != nil
}

// newestRelease chooses what runs.
func newestRelease(st *state) ([]int, error) {
	if st.record.Recycled != nil {
		return nil, fmt.Errorf("%w: it was removed; restore it first", appspan.ErrNotFound)
	}
	if st.record.Removing {
		return nil, fmt.Errorf("%w: it is being removed; finish that, or deploy it again", appspan.ErrConflict)
	}
	return newestFirst(st.record), nil
}

// Empty reports whether every cluster answered and nothing counts as drift:
// what the policy yields does not.
func (d *Drift) Empty() bool {
	return !slices.ContainsFunc(d.Clusters, func(c ClusterDrift) bool {
		return c.Error != "" || slices.ContainsFunc(c.Items, func(i DriftItem) bool { return i.Action != DriftYield })
	})
}

// Cluster returns what was found on one cluster, or nil.
func (d *Drift) Cluster(name string) *ClusterDrift {
	for i := range d.Clusters {
		if d.Clusters[i].Cluster == name {
			return &d.Clusters[i]
		}
	}
	return nil
}

// String is the report as a person reads it: a line for each item.
func (d *Drift) String() string {
	var b strings.Builder
	for i, c := range d.Clusters {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(c.String())
	}
	return b.String()
}

// String is what was found on the cluster, a line for each item.
func (c ClusterDrift) String() string {
	var b strings.Builder
	switch {
	case c.Unknown:
		fmt.Fprintf(&b, "%s: unknown: %s (%s)", c.Cluster, c.Error, age(c.LastAnswer))
	case c.Error != "":
		fmt.Fprintf(&b, "%s: %s", c.Cluster, c.Error)
	case len(c.Items) == 0:
		fmt.Fprintf(&b, "%s: as release %d says", c.Cluster, c.Revision)
	default:
		fmt.Fprintf(&b, "%s: %d not as release %d says", c.Cluster, len(c.Items), c.Revision)
	}
	for _, item := range c.Items {
		b.WriteString("\n  " + item.String())
	}
	if c.Left != "" {
		b.WriteString("\n  nothing is healed: " + c.Left)
	}
	return b.String()
}

// String is the item on one line.
func (i DriftItem) String() string {
	by := "somebody"
	if i.Author != "" {
		by = i.Author
	}
	s := i.Object.String() + ": deleted"
	switch i.Kind {
	case DriftChanged:
		s = fmt.Sprintf("%s %s: %s → %s by %s", i.Object, i.Path, shown(i.Released), shown(i.Live), by)
	case DriftReplaced:
		s = fmt.Sprintf("%s: replaced by %s", i.Object, by)
	case DriftAdded:
		s = fmt.Sprintf("%s %s: added by %s", i.Object, i.Path, by)
	}
	if i.Action != DriftReport {
		s += " (" + string(i.Action) + ")"
	}
	if i.Left != "" {
		s += "; left: " + i.Left
	}
	return s
}

// driftOf is what a cluster's part of a plan says of drift.
func (d *Deployer) driftOf(part *ClusterPlan, policy *DriftPolicy, now time.Time) ClusterDrift {
	out := ClusterDrift{Cluster: part.Cluster, Revision: part.From, part: part}
	if part.err != nil || part.work == nil {
		out.Unknown, out.err, out.Error, out.LastAnswer = part.State == ClusterUnknown, part.obstacle(), part.Error, part.LastAnswer
		return out
	}
	w := part.work
	for i := range part.Changes {
		c := &part.Changes[i]
		if c.Drift || c.Action == ActionCreate && part.healing() { // one that was not healed to its end
			out.Items = append(out.Items, DriftItem{Kind: DriftDeleted, Object: c.Object, Component: c.Component, Digest: d.digest(nil)})
			continue
		}
		out.Items = append(out.Items, d.drifted(w, c)...)
	}
	for _, o := range w.objects {
		out.Items = append(out.Items, d.beside(w, o)...)
		out.Items = append(out.Items, d.replaced(w, o)...)
	}
	slices.SortStableFunc(out.Items, func(a, b DriftItem) int {
		return cmp.Or(strings.Compare(a.Object.String(), b.Object.String()), strings.Compare(a.Path, b.Path), strings.Compare(a.Author, b.Author))
	})
	out.Left = unhealed(part)
	for i := range out.Items {
		d.judge(&out, &out.Items[i], policy, now)
	}
	return out
}

// drifted are the fields of one change.
func (d *Deployer) drifted(w *work, c *Change) []DriftItem {
	marked := map[string]string{}
	for _, f := range c.Fields {
		if f.Drift {
			marked[f.Path] = f.Manager
		}
	}
	o, obj, current := w.seen(c.Object)
	if len(marked) == 0 || current == nil {
		return nil
	}
	m, self := readManagers(obj.JSON), w.live.scope.manager()
	var out []DriftItem
	for _, diff := range compare(o.compared, current) {
		author, ok := marked[diff.at.String()]
		at := entire(diff.at, current)
		if !ok || len(out) > 0 && out[len(out)-1].Path == at.String() {
			continue
		}
		item := DriftItem{Kind: DriftChanged, Object: c.Object, Component: c.Component, Path: at.String(), Author: author}
		item.Released, item.Live = leafJSON(lookup(o.compared, at), o.Sensitive), leafJSON(diff.live, o.Sensitive)
		item.Since, item.Digest = m.since(author, at, self), d.digest(diff.live)
		out = append(out, item)
	}
	return out
}

// replaced finds an object of others that stands where the record lists one of
// ours.
func (d *Deployer) replaced(w *work, o *desired) []DriftItem {
	obj, exists := w.live.find(o.Ref)
	if known, _ := w.live.known(o.Ref); !exists || known.UID == "" || known.UID == obj.UID {
		return nil
	}
	item := DriftItem{Kind: DriftReplaced, Object: o.Ref, Component: o.Component, Digest: d.digest(obj.UID)}
	for _, e := range readManagers(obj.JSON).newest() {
		if e.Subresource == "" {
			item.Author, item.Since = e.Manager, e.Time.UTC()
			break
		}
	}
	return []DriftItem{item}
}

// seen is an object as it is to be and as it is.
func (w *work) seen(ref driver.Ref) (*desired, driver.Object, map[string]any) {
	o := w.byRef[ref]
	obj, exists := w.live.find(ref)
	var current map[string]any
	if o == nil || !exists || json.Unmarshal(obj.JSON, &current) != nil {
		return nil, obj, nil
	}
	return o, obj, current
}

// entire is the path of a leaf, or that of the list's entry that is not there
// and that it would be in: an entry comes and goes as a whole.
func entire(at trail, current any) trail {
	for i, s := range at {
		if s.key != nil && lookup(current, at[:i+1]) == nil {
			return at[:i+1]
		}
	}
	return at
}

// since is when a manager last wrote what holds a field.
func (m managers) since(author string, at trail, self string) time.Time {
	for _, e := range m.newest() {
		if e.Manager == author && author != self && e.Subresource != "status" {
			if owns(e.Fields, at) || owns(e.Fields, at[:len(at)-1]) {
				return e.Time.UTC()
			}
		}
	}
	return time.Time{}
}

// digest tells one live value from another.
func (d *Deployer) digest(v any) string {
	data, _ := json.Marshal(v)
	return d.opts.Keys.Digest("deploy drift", data)[:32]
}
