package refserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/composefile"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
	"github.com/appspan-dev/appspan/appmodel/manifests"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

// decodeDocument reads an application in the format that it has. It reads no
// files and no variables but those of the document.
func decodeDocument(ctx context.Context, d *client.Document) (*appmodel.Application, *fidelity.Report, error) {
	data := []byte(d.Text)
	switch d.Format {
	case "", "application":
		app, _, err := appmodel.Decode(data, nil)
		return app, nil, err
	case "compose":
		return composefile.Import(ctx, data, &composefile.Options{Name: d.Name, Images: d.Images, File: "compose.yaml"})
	case "manifests":
		return manifests.Import(ctx, data, &manifests.Options{Name: d.Name})
	}
	return nil, nil, fmt.Errorf("%w: format %q; give application, compose or manifests", appspan.ErrInvalid, cutText(d.Format, 50))
}

type validateIn struct {
	dry
	Body client.Document
}

// maxReport bounds the leaves of a report that are told.
const maxReport = 2000

// validate says what is wrong with a document as somebody types it: a document
// with faults is no error.
func (s *Server) validate(ctx context.Context, _ *call, in *validateIn) (client.Validation, error) {
	out := client.Validation{Faults: []client.Fault{}}
	app, report, err := decodeDocument(ctx, &in.Body)
	if report != nil {
		for _, leaf := range report.Leaves[:min(len(report.Leaves), maxReport)] {
			out.Report = append(out.Report, client.Imported{Path: leaf.Path, Outcome: string(leaf.Status), Note: leaf.Why})
		}
	}
	if err != nil {
		if !errors.Is(err, appspan.ErrInvalid) && !errors.Is(err, appspan.ErrUnsupported) && !errors.Is(err, appspan.ErrExhausted) {
			return out, err
		}
		p := problemOf(err)
		if out.Faults = append(out.Faults, p.Faults...); len(p.Faults) == 0 {
			out.Faults = append(out.Faults, client.Fault{Problem: p.Detail, Severity: "error"})
		}
		return out, nil
	}
	out.Valid, out.Name, out.Parameters = true, app.Metadata.Name, app.Parameters
	text, err := appmodel.Encode(app, nil)
	if err != nil {
		return out, err
	}
	out.Text = string(text)
	for i := range app.Components {
		out.Components = append(out.Components, app.Components[i].ID)
	}
	out.Needs = deploy.OutsideNeeds(app)
	for _, f := range appmodel.Validate(app) {
		out.Faults = append(out.Faults, client.Fault{Line: f.Line, Column: f.Column, Path: f.Path, Problem: f.Problem, Next: f.Next, Severity: fmt.Sprint(f.Severity)})
	}
	return out, nil
}
