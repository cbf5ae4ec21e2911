package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/render"
)

// KindCopy is the kind of a plan that makes an application from another one.
const KindCopy PlanKind = "copy"

// CopyOptions say how a copy differs from its source. What is said here is an
// override of the copy: it stays over promotions.
type CopyOptions struct {
	// Name is the copy's; default: the source's.
	Name string
	// Answers take the place of the source's, parameter by parameter.
	Answers map[string]appmodel.JSON
	// Hosts maps host names of routes to those of the copy.
	Hosts map[string]string
	// Replicas are those of components, by id.
	Replicas map[string]int
	// StorageClasses maps classes of volumes to others; "" is the cluster's
	// default.
	StorageClasses map[string]string
	// Images maps image references to those that are used in their place, in
	// addition to the source's map: as after a relocation to another registry.
	Images map[string]string
	// Overrides are applied after these, in this order; ClusterOverrides after
	// them.
	Overrides        []*appmodel.Override
	ClusterOverrides []ClusterOverride
	// Dependencies say what becomes of each need that leads out of the
	// source. One that is not named is appspan.ErrInvalid.
	Dependencies map[render.NeedRef]Dependency
	// Data asks for the data of its volumes too.
	Data bool
	// Adopt, Yield and DataLoss are as in PlanOptions.
	Adopt    bool
	Yield    []Yield
	DataLoss bool
	// OnEvent hears how the plan goes.
	OnEvent func(appspan.Event)
}

// DependencyAction says what becomes of a need that leads out of an
// application when that is copied.
type DependencyAction string

// The actions.
const (
	// DependencyBind leads to Dependency.Endpoint, or where the source's leads.
	DependencyBind DependencyAction = "bind"
	// DependencyStub leads to a name at which nothing answers (RFC 6761,
	// .invalid), so that the copy reaches nobody by mistake.
	DependencyStub DependencyAction = "stub"
	// DependencyCopy leads to the copy of the other application in
	// Dependency.Copied, which is copied first.
	DependencyCopy DependencyAction = "copy"
	// DependencyDrop leaves the need out. What refers to it is a fault.
	DependencyDrop DependencyAction = "drop"
)

// Dependency is what becomes of one need.
type Dependency struct {
	Action DependencyAction `json:"action"`
	// Endpoint is, for DependencyBind, the other end; zero is the source's.
	Endpoint render.Endpoint `json:"-"`
	// Copied is, for DependencyCopy, where the copy of the other application
	// runs; its Application defaults to the name in the need.
	Copied Source `json:"copied,omitzero"`
}

// OutsideNeed is a need that leads out of an application.
type OutsideNeed struct {
	render.NeedRef
	// Application and Team are the other end, empty for an open need.
	Application string `json:"application,omitempty"`
	Team        string `json:"team,omitempty"`
	// Bound is the host that it leads to now, empty if it leads nowhere.
	Bound string `json:"bound,omitempty"`
}

// PlanCopy plans to make an application from another one: in any team, on any
// clusters, under the same name or another one. It carries everything that the
// model knows; secrets that were generated are made anew, and data stays where
// it is. What the copy was made from is recorded in its releases, for
// [Deployer.PlanPromotion]. The subject must be allowed to deploy both.
func (d *Deployer) PlanCopy(ctx context.Context, from Source, to Target, opts *CopyOptions) (*Plan, error) {
	var o CopyOptions
	if opts != nil {
		o = *opts
	}
	p, err := d.planCopy(ctx, from, to, &o)
	if err != nil {
		return nil, fmt.Errorf("copy of %s: %w", from.Application, err)
	}
	return p, nil
}

func (d *Deployer) planCopy(ctx context.Context, from Source, to Target, o *CopyOptions) (*Plan, error) {
	if o.Data {
		return nil, fmt.Errorf("%w: no data mover is at hand; copy without data, or restore a backup of it", appspan.ErrUnsupported)
	}
	doc, err := d.source(ctx, from)
	if err != nil {
		return nil, err
	}
	app := appmodel.Clone(doc.app)
	app.Metadata.Name = cmp.Or(o.Name, app.Metadata.Name)
	bound, dropped, err := d.depend(ctx, app, doc, o.Dependencies)
	if err != nil {
		return nil, err
	}
	own, err := o.override(app, dropped)
	if err != nil {
		return nil, err
	}
	if to, err = d.reading(ctx, app.Metadata.Name, to); err != nil { // which names the clusters
		return nil, err
	}
	lineage, err := doc.lineage()
	if err != nil {
		return nil, err
	}
	answers, images := maps.Clone(doc.answers), maps.Clone(doc.images)
	if answers == nil {
		answers = map[string]appmodel.JSON{}
	}
	if images == nil {
		images = map[string]string{}
	}
	maps.Copy(answers, o.Answers)
	maps.Copy(images, o.Images)
	if err := o.apart(doc, app, own, answers, to); err != nil {
		return nil, err
	}
	plan := &PlanOptions{Answers: answers, Images: images, Overrides: append(own, o.Overrides...), ClusterOverrides: o.ClusterOverrides, Bindings: bound,
		Adopt: o.Adopt, Yield: o.Yield, DataLoss: o.DataLoss, OnEvent: o.OnEvent}
	p, err := d.newPlan(ctx, KindCopy, app, to, plan, lineage)
	if err != nil {
		return nil, err
	}
	return d.planned(ctx, p, o.OnEvent)
}

// override is what the options say of the copy as one override, the smallest.
func (o *CopyOptions) override(app *appmodel.Application, dropped []render.NeedRef) ([]*appmodel.Override, error) {
	changed := appmodel.Clone(app)
	hosts, replicas, classes := maps.Clone(o.Hosts), maps.Clone(o.Replicas), maps.Clone(o.StorageClasses)
	rename := func(list []string) {
		for i, h := range list {
			if to, ok := o.Hosts[h]; ok {
				list[i] = to
				delete(hosts, h)
			}
		}
	}
	for i := range changed.Routes {
		if r := &changed.Routes[i]; r.HTTP != nil {
			rename(r.HTTP.Hosts)
		} else if r.TLS != nil {
			rename(r.TLS.Hosts)
		}
	}
	reclass := func(volumes []appmodel.Volume) {
		for i := range volumes {
			v := &volumes[i]
			if to, ok := o.StorageClasses[v.StorageClass]; ok && v.Kind == appmodel.VolumePersistent {
				delete(classes, v.StorageClass)
				v.StorageClass = to
			}
		}
	}
	reclass(changed.Volumes)
	for i := range changed.Components {
		c := &changed.Components[i]
		reclass(c.Volumes)
		if n, ok := o.Replicas[c.ID]; ok && canScale(c.Kind) {
			delete(replicas, c.ID)
			scale := appmodel.Scale{}
			if c.Scale != nil {
				scale = *c.Scale
			}
			scale.Replicas = &n
			c.Scale = &scale
		}
		c.Needs = slices.DeleteFunc(c.Needs, func(n appmodel.Need) bool {
			return slices.Contains(dropped, render.NeedRef{Component: c.ID, Need: cmp.Or(n.Name, n.Component)})
		})
	}
	for what, left := range map[string][]string{"Hosts": slices.Sorted(maps.Keys(hosts)), "Replicas": slices.Sorted(maps.Keys(replicas)), "StorageClasses": slices.Sorted(maps.Keys(classes))} {
		if len(left) > 0 {
			return nil, fmt.Errorf("%w: CopyOptions.%s names what the application does not have: %s", appspan.ErrInvalid, what, strings.Join(left, ", "))
		}
	}
	if len(appmodel.Changes(app, changed)) == 0 {
		return nil, nil
	}
	own, err := appmodel.Diff(app, changed)
	if err != nil {
		return nil, err
	}
	own.Metadata.Name = "copy"
	return []*appmodel.Override{own}, nil
}

// apart refuses a copy that would take its source's place: its objects, its
// addresses, or its data.
func (o *CopyOptions) apart(doc *document, app *appmodel.Application, own []*appmodel.Override, answers map[string]appmodel.JSON, to Target) error {
	beside := slices.ContainsFunc(to.Clusters, func(name string) bool { return slices.Contains(doc.source.Target.Clusters, name) })
	if !beside {
		return nil
	}
	together := to.Namespace == doc.source.Target.Namespace
	if app.Metadata.Name == doc.app.Metadata.Name && together {
		return fmt.Errorf("%w: the copy would be the source itself, in namespace %s; give another name, namespace or cluster", appspan.ErrInvalid, to.Namespace)
	}
	source, params, err := appmodel.Resolve(doc.app, doc.answers)
	if err != nil {
		return err
	}
	taken, claims := hostsOf(source, params), claimsOf(source)
	resolved, params, err := appmodel.Resolve(app, answers)
	if err != nil {
		return err
	}
	after, _, err := appmodel.Apply(resolved, append(slices.Clone(own), o.Overrides...)...)
	if err != nil {
		return err
	}
	if both := common(taken, hostsOf(after, params)); len(both) > 0 {
		return fmt.Errorf("%w: on the cluster of its source, the copy would have the same host names: %s; map them in CopyOptions.Hosts", appspan.ErrInvalid, strings.Join(both, ", "))
	}
	if both := common(claims, claimsOf(after)); together && len(both) > 0 {
		return fmt.Errorf("%w: in the namespace of its source, the copy would write to the same claims: %s; name others by an override, or another namespace", appspan.ErrInvalid, strings.Join(both, ", "))
	}
	return nil
}

// common are the names that both have.
func common(a, b map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b)), func(name string) bool { return !a[name] })
}

// claimsOf are the claims that an application takes over.
func claimsOf(app *appmodel.Application) map[string]bool {
	out := map[string]bool{}
	note := func(volumes []appmodel.Volume) {
		for _, v := range volumes {
			if v.Claim != "" {
				out[v.Claim] = true
			}
		}
	}
	note(app.Volumes)
	for _, c := range app.Components {
		note(c.Volumes)
	}
	return out
}

// hostsOf are the host names of an application, as they are on one cluster.
func hostsOf(app *appmodel.Application, params map[string]appmodel.JSON) map[string]bool {
	out := map[string]bool{}
	note := func(hosts []string) {
		for _, h := range hosts {
			if h, ok := hostOf(h, app, params); ok {
				out[h] = true
			}
		}
	}
	for i := range app.Routes {
		r := &app.Routes[i]
		switch {
		case !r.IsEnabled():
		case r.HTTP != nil:
			note(r.HTTP.Hosts)
		case r.TLS != nil:
			note(r.TLS.Hosts)
		}
	}
	return out
}

// hostOf expands a host name, as far as it is known before it is rendered: what
// the cluster says is the same for all on it. What a group says may differ.
func hostOf(host string, app *appmodel.Application, params map[string]appmodel.JSON) (string, bool) {
	t, err := appmodel.ParseTemplate(host)
	if err != nil {
		return "", false
	}
	text, err := t.Expand(func(ref appmodel.TemplateRef) (string, error) {
		switch ref.Scope {
		case "param":
			var s string
			err := json.Unmarshal(params[ref.Path[0]], &s)
			return s, err
		case "app":
			return app.Metadata.Name, nil
		case "cluster":
			return "${" + ref.String() + "}", nil
		}
		return "", appspan.ErrUnsupported
	})
	return text, err == nil
}

// outside are the needs that lead out of an application.
func outside(app *appmodel.Application) []render.NeedRef {
	var out []render.NeedRef
	for i := range app.Components {
		for _, n := range app.Components[i].Needs {
			if n.Open != nil || n.Application != "" {
				out = append(out, render.NeedRef{Component: app.Components[i].ID, Need: cmp.Or(n.Name, n.Component)})
			}
		}
	}
	return out
}

// OutsideNeeds lists the needs of an application that lead out of it: what it has
// to be bound to.
func OutsideNeeds(app *appmodel.Application) []OutsideNeed {
	var out []OutsideNeed
	for _, ref := range outside(app) {
		n := needOf(app, ref)
		out = append(out, OutsideNeed{NeedRef: ref, Application: n.Application, Team: n.Team})
	}
	return out
}

// Dependencies lists the needs of a running application that lead out of it:
// what a copy has to be told of.
func (d *Deployer) Dependencies(ctx context.Context, from Source) ([]OutsideNeed, error) {
	doc, err := d.source(ctx, from)
	if err != nil {
		return nil, err
	}
	ends := endpoints(doc.bound)
	out := OutsideNeeds(doc.app)
	for i := range out {
		out[i].Bound = ends[out[i].NeedRef].Host
	}
	return out, nil
}

func needOf(app *appmodel.Application, ref render.NeedRef) *appmodel.Need {
	for i := range app.Components {
		for j := range app.Components[i].Needs {
			if n := &app.Components[i].Needs[j]; app.Components[i].ID == ref.Component && cmp.Or(n.Name, n.Component) == ref.Need {
				return n
			}
		}
	}
	return nil
}

// depend decides where the needs of a copy lead.
func (d *Deployer) depend(ctx context.Context, app *appmodel.Application, doc *document, decided map[render.NeedRef]Dependency) (map[render.NeedRef]render.Endpoint, []render.NeedRef, error) {
	out, before := map[render.NeedRef]render.Endpoint{}, endpoints(doc.bound)
	var dropped []render.NeedRef
	var errs []error
	rest := maps.Clone(decided)
	for _, ref := range outside(app) {
		need, dep := needOf(app, ref), decided[ref]
		delete(rest, ref)
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%w: components[%s].needs[%s] %s", appspan.ErrInvalid, ref.Component, ref.Need, fmt.Sprintf(format, args...)))
		}
		switch dep.Action {
		case DependencyBind:
			end := dep.Endpoint
			if end.Host == "" {
				end = before[ref]
			}
			if end.Host == "" {
				wrong("leads nowhere in the source; give an Endpoint to bind it to")
				continue
			}
			out[ref] = end
		case DependencyStub:
			out[ref] = render.Endpoint{Host: ref.Need + ".stub.invalid", Port: max(before[ref].Port, 1), Values: blank(before[ref])}
		case DependencyCopy:
			end, err := d.copiedEnd(ctx, need, dep.Copied)
			if err != nil {
				errs = append(errs, fmt.Errorf("components[%s].needs[%s]: %w", ref.Component, ref.Need, err))
				continue
			}
			out[ref] = end
		case DependencyDrop:
			dropped = append(dropped, ref)
		case "":
			other := "an end that the installation chooses"
			if need.Application != "" {
				other = "application " + need.Application
			}
			wrong("leads to %s; say in CopyOptions.Dependencies whether to bind it, stub it, copy that too, or drop it", other)
		default:
			wrong("cannot be %q; use bind, stub, copy or drop", dep.Action)
		}
	}
	for ref := range rest {
		errs = append(errs, fmt.Errorf("%w: components[%s].needs[%s] is no need that leads out of the application; leave it out of CopyOptions.Dependencies", appspan.ErrInvalid, ref.Component, ref.Need))
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return out, dropped, errors.Join(errs...)
}

// blank are the names that an endpoint provides, with nothing behind them.
func blank(e render.Endpoint) map[string]string {
	out := map[string]string{}
	for name := range e.Values {
		out[name] = "stub"
	}
	for name := range e.Secrets {
		out[name] = "stub"
	}
	return out
}

// copiedEnd is where a need leads whose other application was copied too.
func (d *Deployer) copiedEnd(ctx context.Context, need *appmodel.Need, at Source) (render.Endpoint, error) {
	at.Application = cmp.Or(at.Application, need.Application)
	if at.Application == "" || need.Component == "" {
		return render.Endpoint{}, fmt.Errorf("%w: an open need names no application to copy; bind it", appspan.ErrInvalid)
	}
	to, err := d.reading(ctx, at.Application, at.Target)
	if err != nil {
		return render.Endpoint{}, err
	}
	for _, name := range to.Clusters {
		if err := d.authorize(ctx, appspan.VerbBind, at.Application, to, name); err != nil {
			return render.Endpoint{}, err
		}
	}
	var missed []error
	for _, name := range to.Clusters {
		end, err := d.endOf(ctx, at.Application, to, name, need)
		if err == nil {
			return end, nil
		}
		missed = append(missed, err)
	}
	return render.Endpoint{}, fmt.Errorf("%s is to be copied first, with PlanCopy: %w", at.Application, errors.Join(missed...))
}

// endOf is the provider of a need, as it runs on a cluster.
func (d *Deployer) endOf(ctx context.Context, application string, to Target, name string, need *appmodel.Need) (render.Endpoint, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	st, s, err := d.readState(ctx, application, to, name)
	if err != nil {
		return render.Endpoint{}, err
	}
	if st == nil {
		return render.Endpoint{}, fmt.Errorf("%w: it does not run on %s", appspan.ErrNotFound, name)
	}
	found, err := d.earlier(ctx, application, to, name, func(st *state) ([]int, error) { return newestFirst(st.record), nil })
	if err != nil {
		return render.Endpoint{}, err
	}
	app, err := decodeApplication(found.body.Resolved)
	if err != nil {
		return render.Endpoint{}, err
	}
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return render.Endpoint{}, err
	}
	return render.Provided(render.Input{Application: app, Namespace: s.namespace, Installation: s.installation, Params: found.body.Params,
		Cluster: render.ClusterRef{Name: name, Labels: c.Labels()}, Generated: st.generated.sensitive(), Bindings: endpoints(found.body.Bound)}, need.Component, need.Port)
}
