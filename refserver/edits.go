package refserver

import (
	"context"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

func (s *Server) getDocument(ctx context.Context, c *call, in *some) (client.Meant, error) {
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return client.Meant{}, err
	}
	meant, err := c.Deployer.Meant(ctx, in.Application, to)
	if err != nil {
		return client.Meant{}, err
	}
	text, err := appmodel.Encode(meant.Application, nil)
	return client.Meant{Document: client.Document{Format: "application", Name: in.Application, Text: string(text)}, Answers: meant.Answers, Revision: meant.Revision}, err
}

type editIn struct {
	dry
	one
	Body client.Edit
}

func (s *Server) editApplication(ctx context.Context, c *call, in *editIn) (client.Planned, error) {
	app, _, err := decodeDocument(ctx, &in.Body.Document)
	if err != nil {
		return client.Planned{}, err
	}
	to, err := c.at(ctx, in.one, nil)
	if err != nil {
		return client.Planned{}, err
	}
	if len(in.Body.Clusters) > 0 {
		to.Clusters = in.Body.Clusters // it may come to others too
	}
	p, err := c.Deployer.PlanEdit(ctx, in.Application, to, func(now *appmodel.Application) error {
		*now = *appmodel.Restore(app, now)
		return nil
	}, &deploy.EditOptions{Answers: in.Body.Answers, Bindings: bindings(in.Body.Bindings), DataLoss: in.Body.DataLoss})
	if err != nil {
		return client.Planned{}, err
	}
	return c.planned(ctx, p, in.DryRun, in.Body.Seen)
}
