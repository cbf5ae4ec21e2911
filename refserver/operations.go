package refserver

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage/journal"
)

func (s *Server) operationRoutes() []*route {
	const tag = "operations"
	return []*route{
		op("GET", "/operations", "listOperations", tag, "Long work, the newest first", s.listOperations).asks("application", appspan.VerbRead),
		op("GET", "/operations/{operation}", "getOperation", tag, "One operation, with its steps, its last events and its result", s.getOperation).asks("application", appspan.VerbRead),
		op("POST", "/operations/{operation}/cancellation", "cancelOperation", tag, "Ask an operation to end", s.cancelOperation).with(http.StatusAccepted).asks("application", appspan.VerbUpdate),
		op("POST", "/operations", "applyPlan", tag, "Apply a plan that was made before, as it is", s.applyPlan).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbDeploy),
	}
}

type listOperationsIn struct {
	page
	Over        bool   `query:"over" doc:"those that are over, too"`
	Application string `query:"application"`
	Namespace   string `query:"namespace"`
}

func (s *Server) listOperations(ctx context.Context, c *call, in *listOperationsIn) (client.List[journal.Operation], error) {
	out := client.List[journal.Operation]{Items: []journal.Operation{}}
	limit, err := in.limit()
	if err != nil {
		return out, err
	}
	after, err := in.after()
	if err != nil {
		return out, err
	}
	var all []journal.Operation
	for operation, err := range c.Deployer.Operations(ctx, in.Over) {
		if err != nil {
			return out, err
		}
		if in.Application != "" && operation.About["application"] != in.Application || in.Namespace != "" && operation.About["namespace"] != in.Namespace ||
			c.subject().Team != "" && operation.About["team"] != c.subject().Team {
			continue
		}
		operation.Outcome, operation.Events = nil, nil
		all = append(all, operation)
	}
	newestFirst(all)
	for _, operation := range all {
		if after != "" && operation.ID >= after {
			continue
		}
		if len(out.Items) == limit {
			out.Next = cursorAt(out.Items[limit-1].ID)
			break
		}
		out.Items = append(out.Items, operation)
	}
	return out, nil
}

type operationIn struct {
	Operation string `path:"operation"`
}

func (s *Server) getOperation(ctx context.Context, c *call, in *operationIn) (client.Operation, error) {
	found, err := c.Deployer.Operation(ctx, in.Operation)
	if err != nil {
		return client.Operation{}, err
	}
	out := client.Operation{Operation: found}
	if found.State.Over() && len(found.Outcome) > 0 {
		if out.Result, err = c.Deployer.ResultOf(found); err != nil {
			return out, err
		}
		out.Outcome = nil
	}
	return out, nil
}

type cancelOperationIn struct {
	dry
	operationIn
}

func (s *Server) cancelOperation(ctx context.Context, c *call, in *cancelOperationIn) (client.Operation, error) {
	if !in.DryRun {
		if err := c.Deployer.CancelOperation(ctx, in.Operation); err != nil {
			return client.Operation{}, err
		}
		return s.getOperation(ctx, c, &in.operationIn)
	}
	out, err := s.getOperation(ctx, c, &in.operationIn)
	if err != nil {
		return out, err
	}
	access := c.Deployer.OperationAccess(out.Operation)
	access.Verb = appspan.VerbUpdate
	return out, appspan.Authorize(ctx, c.Authorizer, c.subject(), access)
}

type applyPlanIn struct {
	dry
	Body deploy.Plan
}

func (s *Server) applyPlan(ctx context.Context, c *call, in *applyPlanIn) (client.Planned, error) {
	p := in.Body
	if p.Hash == "" || len(p.Clusters) == 0 {
		return client.Planned{}, fmt.Errorf("%w: that is no plan; send the one of a dry run as it is", appspan.ErrInvalid)
	}
	if in.DryRun {
		c.status = http.StatusOK
		return client.Planned{Plan: &p, Text: p.String(), Unchanged: p.Empty()}, nil
	}
	if p.Empty() {
		c.status = http.StatusOK
		return client.Planned{Unchanged: true}, nil
	}
	operation, err := c.Deployer.Begin(ctx, &p, &s.opts.Apply) // whether the plan is one of the server's is known there
	if err != nil {
		return client.Planned{}, err
	}
	c.location("/operations/%s", operation.ID)
	return client.Planned{Operation: &operation}, nil
}

// newestFirst sorts operations by when they were begun.
func newestFirst(list []journal.Operation) {
	slices.SortFunc(list, func(a, b journal.Operation) int { return cmp.Compare(b.ID, a.ID) })
}
