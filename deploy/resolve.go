package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	choice "github.com/appspan-dev/appspan/deploy/place"
)

// ClusterOverride is an override for some of the clusters of a target.
type ClusterOverride struct {
	Override *appmodel.Override
	// Clusters chooses them by name and labels; the zero value is all.
	Clusters appmodel.ClusterSelector
}

// Layer is an override as it was applied on a cluster, and what it changed
// there: secret values are not shown.
type Layer struct {
	Override string            `json:"override"`
	Changes  []appmodel.Change `json:"changes,omitempty"`
}

// storedOverride is a [ClusterOverride] with its secrets.
type storedOverride struct {
	Document json.RawMessage           `json:"document"`
	Clusters *appmodel.ClusterSelector `json:"clusters,omitempty"`
}

// layered is an application with the overrides of some clusters.
type layered struct {
	resolvedApplication
	stored resolvedIntent
	layers []Layer
}

// resolver resolves an application for the clusters of a target.
type resolver struct {
	app       *appmodel.Application
	options   *PlanOptions
	overrides []ClusterOverride
	raw       json.RawMessage       // app, encoded
	resolved  *appmodel.Application // with answers
	params    map[string]appmodel.JSON
	lineage   *storedLineage
	known     map[string]*layered // by the overrides that were applied
}

func newResolver(app *appmodel.Application, o *PlanOptions) (*resolver, error) {
	r := &resolver{app: app, options: o, known: map[string]*layered{}}
	for _, override := range o.Overrides {
		r.overrides = append(r.overrides, ClusterOverride{Override: override})
	}
	r.overrides = append(r.overrides, o.ClusterOverrides...)
	for i, override := range r.overrides {
		if override.Override == nil {
			return nil, fmt.Errorf("%w: override %d is nil", appspan.ErrInvalid, i+1)
		}
	}
	if !r.asWritten() || len(r.overrides) > 0 { // else Resolve validates what comes out
		if err := appmodel.Validate(app).Err(); err != nil {
			return nil, err
		}
	}
	var err error
	if r.resolved, r.params, err = appmodel.Resolve(app, o.Answers); err != nil {
		return nil, err
	}
	r.raw, err = encodeApplication(app)
	return r, err
}

// asWritten reports whether answers change nothing.
func (r *resolver) asWritten() bool { return len(r.app.Parameters) == 0 && len(r.options.Answers) == 0 }

// same reports whether all clusters get the same.
func (r *resolver) same() bool {
	return !slices.ContainsFunc(r.overrides, func(o ClusterOverride) bool {
		return len(o.Clusters.Names) > 0 || len(o.Clusters.Labels) > 0
	})
}

// on is the application on a cluster; nil is any.
func (r *resolver) on(c *cluster.Cluster) (*layered, error) {
	key := make([]byte, len(r.overrides))
	var chosen []*appmodel.Override
	for i, o := range r.overrides {
		if c == nil || choice.Matches(o.Clusters, choice.Cluster{Name: c.Name(), Labels: c.Labels()}) {
			key[i] = 1
			chosen = append(chosen, o.Override)
		}
	}
	if out := r.known[string(key)]; out != nil {
		return out, nil
	}
	out := &layered{resolvedApplication: resolvedApplication{app: r.resolved, params: r.params, images: r.options.Images, lineage: r.lineage}}
	for _, o := range chosen {
		before := out.app
		after, _, err := appmodel.Apply(before, o)
		if err != nil {
			return nil, fmt.Errorf("override %s: %w", o.Metadata.Name, err)
		}
		out.app = after
		out.layers = append(out.layers, Layer{Override: o.Metadata.Name, Changes: appmodel.Changes(before, after)})
	}
	if len(chosen) > 0 {
		if err := appmodel.Validate(out.app).Err(); err != nil {
			return nil, fmt.Errorf("with answers and overrides: %w", err)
		}
	}
	var err error
	if out.bound, err = bind(out.app, r.options.Bindings); err != nil {
		return nil, err
	}
	data := r.raw
	if !r.asWritten() || len(chosen) > 0 {
		data, err = encodeApplication(out.app)
	}
	out.stored = resolvedIntent{Application: data, Params: r.params, Images: r.options.Images, Bound: out.bound, Lineage: r.lineage}
	r.known[string(key)] = out
	return out, err
}

// into resolves for every cluster of a target.
func (r *resolver) into(ctx context.Context, d *Deployer, in *intent, to Target) error {
	in.Resolved, in.resolved = map[string]resolvedIntent{}, map[string]*layered{}
	if r.same() {
		all, err := r.on(nil)
		if err != nil {
			return err
		}
		in.Resolved[""], in.resolved[""] = all.stored, all
		return nil
	}
	for _, name := range to.Clusters {
		c, err := d.clusters.Cluster(ctx, name)
		if err != nil {
			return err
		}
		its, err := r.on(c)
		if err != nil {
			return fmt.Errorf("on %s: %w", name, err)
		}
		in.Resolved[name], in.resolved[name] = its.stored, its
	}
	return nil
}

// storeOverrides encodes overrides with their secrets, which their own JSON
// leaves out.
func storeOverrides(overrides []ClusterOverride) ([]storedOverride, error) {
	var out []storedOverride
	for _, o := range overrides {
		data, err := appmodel.EncodeOverride(o.Override, &appmodel.EncodeOptions{Secrets: true, JSON: true})
		if err != nil {
			return nil, err
		}
		stored := storedOverride{Document: data}
		if len(o.Clusters.Names) > 0 || len(o.Clusters.Labels) > 0 {
			stored.Clusters = &o.Clusters
		}
		out = append(out, stored)
	}
	return out, nil
}

// overridesOf decodes stored overrides.
func overridesOf(stored []storedOverride) ([]ClusterOverride, error) {
	var out []ClusterOverride
	for _, s := range stored {
		o, _, err := appmodel.DecodeOverride(s.Document, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: a stored override: %w", appspan.ErrCorrupt, err)
		}
		one := ClusterOverride{Override: o}
		if s.Clusters != nil {
			one.Clusters = *s.Clusters
		}
		out = append(out, one)
	}
	return out, nil
}

// application is what is to run on a cluster.
func (in *intent) application(clusterName string) (resolvedApplication, []Layer, error) {
	for _, name := range []string{clusterName, ""} {
		if its := in.resolved[name]; its != nil {
			return its.resolvedApplication, its.layers, nil
		}
	}
	resolved, ok := in.Resolved[clusterName]
	if !ok {
		resolved, ok = in.Resolved[""]
	}
	if !ok {
		return resolvedApplication{}, nil, fmt.Errorf("%w: the plan has no application for cluster %q", appspan.ErrCorrupt, clusterName)
	}
	app, err := decodeApplication(resolved.Application)
	return resolvedApplication{app: app, params: resolved.Params, images: resolved.Images, bound: resolved.Bound, lineage: resolved.Lineage}, nil, err
}

// alone is the intent as the release of one cluster holds it: what is for
// others stays away from there.
func (in *intent) alone(clusterName string) *intent {
	out := *in
	out.meaning = *in.means(clusterName)
	out.Resolved, out.resolved, out.FromRevision = nil, nil, nil
	if revision, ok := in.FromRevision[clusterName]; ok {
		out.FromRevision = map[string]int{clusterName: revision}
	}
	return &out
}
