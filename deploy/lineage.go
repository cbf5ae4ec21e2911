package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
)

// Source is an application that runs, to be copied or promoted.
type Source struct {
	Application string `json:"application"`
	// Target is where it runs. Of several clusters the first that answers is
	// read; they must run the same.
	Target Target `json:"target"`
	// Revision is one of its releases; zero is the newest.
	Revision int `json:"revision,omitempty"`
}

// Lineage says from what an application was made, and from which state of it
// it was last brought up to date.
type Lineage struct {
	From Source    `json:"from"` // its Revision is that of the last copy or promotion
	At   time.Time `json:"at"`
	// Hash is that of the document as it was then; see appmodel.Hash.
	Hash string `json:"hash"`
}

// storedLineage is a lineage with the document that a promotion compares with.
// A release holds it sealed.
type storedLineage struct {
	Lineage
	Base json.RawMessage `json:"base"`
}

// same reports whether a lineage is that of a record; who promoted the same again
// is where it was.
func (l *storedLineage) same(recorded *Lineage) bool {
	if l == nil || recorded == nil {
		return l == nil && recorded == nil
	}
	return l.Hash == recorded.Hash && sameOrigin(l.From, recorded.From)
}

// document is what a copy or a promotion takes from its source: the
// application before answers, with the overrides that all its clusters have.
type document struct {
	app     *appmodel.Application
	answers map[string]appmodel.JSON
	images  map[string]string
	bound   []boundNeed
	source  Source // with the revision
	release Release
	cluster string // from which it was read
	notes   []string
	apart   []any // what is beside app and stays
}

// source reads what a source is. Reading brings secrets along, so whoever may not
// deploy the source may not copy it either.
func (d *Deployer) source(ctx context.Context, from Source) (*document, error) {
	to, err := d.reading(ctx, from.Application, from.Target)
	if err != nil {
		return nil, err
	}
	for _, name := range to.Clusters {
		if err := d.authorize(ctx, appspan.VerbDeploy, from.Application, to, name); err != nil {
			return nil, err
		}
	}
	from.Target = to
	var found *document
	var missed []error
	for _, name := range to.Clusters {
		doc, err := d.sourceOn(ctx, from, name)
		switch {
		case err != nil:
			missed = append(missed, fmt.Errorf("%s: %w", name, err))
		case found == nil:
			found = doc
		case !sameDocument(found, doc, false):
			return nil, fmt.Errorf("%s: %w: what it is on %s (release %d) is not what it is on %s (release %d); name the cluster to take it from in Source.Target",
				from.Application, appspan.ErrConflict, found.cluster, found.source.Revision, doc.cluster, doc.source.Revision)
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s cannot be read: %w", from.Application, errors.Join(missed...))
	}
	for _, err := range missed {
		found.notes = append(found.notes, "not compared with "+err.Error())
	}
	return found, nil
}

// sameDocument compares all that is taken from one cluster for several: also
// secret values, which appmodel.Hash leaves out, and, unless it is an
// environment's, what is beside the application.
func sameDocument(a, b *document, environment bool) bool {
	x, errA := a.identity(environment)
	y, errB := b.identity(environment)
	return errA == nil && errB == nil && bytes.Equal(x, y)
}

func (doc *document) identity(environment bool) ([]byte, error) {
	app, err := appmodel.Canonical(doc.app)
	if err != nil || environment {
		return app, err
	}
	return json.Marshal([]any{app, doc.answers, doc.images, doc.bound, doc.apart})
}

// sourceOn reads a source from one cluster.
func (d *Deployer) sourceOn(ctx context.Context, from Source, name string) (*document, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	found, err := d.earlier(ctx, from.Application, from.Target, name, func(st *state) ([]int, error) {
		if from.Revision != 0 {
			return []int{from.Revision}, nil
		}
		return newestFirst(st.record), nil
	})
	if err != nil {
		return nil, err
	}
	in := found.body.Intent
	if in == nil || in.Application == nil {
		return nil, fmt.Errorf("%w: release %d does not say what it was made from; deploy it again", appspan.ErrUnsupported, found.revision)
	}
	app, err := decodeApplication(in.Application)
	if err != nil {
		return nil, err
	}
	doc := &document{app: app, answers: in.Answers, images: found.body.Images, bound: found.body.Bound, source: from, release: found.release, cluster: name}
	doc.source.Revision = found.revision
	overrides, err := overridesOf(in.Overrides)
	if err != nil {
		return nil, err
	}
	for _, o := range overrides {
		if len(o.Clusters.Names) > 0 || len(o.Clusters.Labels) > 0 {
			doc.notes = append(doc.notes, fmt.Sprintf("override %s is for some of its clusters, and is left there", o.Override.Metadata.Name))
			continue
		}
		if doc.app, _, err = appmodel.Apply(doc.app, o.Override); err != nil {
			return nil, fmt.Errorf("override %s: %w", o.Override.Metadata.Name, err)
		}
	}
	return doc, nil
}

// newestFirst are the releases of a record: a release whose process died at
// its beginning is not there.
func newestFirst(r *record) []int {
	var out []int
	for _, release := range slices.Backward(r.Releases) {
		out = append(out, release.Revision)
	}
	return out
}

// lineage is that of what is made from the document. It has no time before it
// is applied, so that the same plan is the same again.
func (doc *document) lineage() (*storedLineage, error) {
	hash, err := appmodel.Hash(doc.app)
	if err != nil {
		return nil, err
	}
	base, err := encodeApplication(doc.app)
	return &storedLineage{Lineage: Lineage{From: doc.source, Hash: hash}, Base: base}, err
}

// inherited is the lineage of what an apply makes: that of the plan, or the one
// that the application has. A rollback has that of its release, also if that is
// none: else the next promotion would take what was undone for a change of here.
func (a *applier) inherited(ctx context.Context) (*storedLineage, error) {
	w := a.fresh.work
	if w.app.lineage != nil || a.plan.Kind == KindRollback || !w.live.state.record.runs() || w.live.state.record.Lineage == nil {
		return w.app.lineage, nil
	}
	for _, revision := range newestFirst(w.live.state.record) {
		body, err := a.deployer.readRelease(ctx, a.cluster, w.live.scope, w.live.state.record.id(revision))
		if errors.Is(err, appspan.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return body.Lineage, nil
	}
	return nil, nil
}

// Lineage returns from what an application was made, by cluster; one that was
// made from nothing has none. A cluster that does not answer is in the error.
func (d *Deployer) Lineage(ctx context.Context, application string, to Target) (map[string]Lineage, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	out := map[string]Lineage{}
	err = d.eachState(ctx, application, to, func(name string, st *state) {
		if st != nil && st.record.Lineage != nil {
			out[name] = *st.record.Lineage
		}
	})
	return out, err
}
