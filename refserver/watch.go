package refserver

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
)

// watchAll tells listeners of everything that happens.
func (s *Server) watchAll(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watchOperations(ctx) })
	g.Go(func() error { return s.watchStages(ctx) })
	g.Go(func() error { return s.watchClusters(ctx) })
	g.Go(func() error { return s.watchApplications(ctx) })
	g.Go(func() error { return s.tidy(ctx) })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (s *Server) watchOperations(ctx context.Context) error {
	for operation, err := range s.parts.Journal.Watch(ctx) {
		if err != nil {
			return err
		}
		operation.Outcome = nil // what it came to is read where it is wanted
		if err := s.events.publish("operation", s.parts.Deployer.OperationAccess(operation), operation); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) watchStages(ctx context.Context) error {
	for stage, err := range s.parts.Pipeline.Watch(ctx) {
		if err != nil {
			return err
		}
		if err := s.events.publish("stage", stage.Access(), stage); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) watchApplications(ctx context.Context) error {
	for seen, err := range s.parts.Overview.Changes(ctx) {
		if err != nil {
			return err
		}
		if err := s.events.publish("application", seen.Access(), seen); err != nil {
			return err
		}
	}
	return nil
}

// clusterInterval is how often the health of clusters, which the fleet has in
// memory, is looked at.
const clusterInterval = 2 * time.Second

func (s *Server) watchClusters(ctx context.Context) error {
	known := map[string]cluster.Status{}
	for {
		seen := map[string]bool{}
		complete := true
		for st, err := range s.parts.Fleet.Clusters(ctx, cluster.Selector{}) {
			if err != nil {
				complete = false
				break
			}
			seen[st.Name] = true
			before, ok := known[st.Name]
			known[st.Name] = st
			if ok && before.Health == st.Health && before.Since.Equal(st.Since) {
				continue
			}
			st.Inspection = nil
			if err := s.events.publish("cluster", appspan.Access{Verb: appspan.VerbRead, Resource: "cluster", Cluster: st.Name}, st); err != nil {
				return err
			}
		}
		for name := range known {
			if seen[name] || !complete {
				continue
			}
			delete(known, name)
			if err := s.events.publish("cluster", appspan.Access{Verb: appspan.VerbRead, Resource: "cluster", Cluster: name}, cluster.Status{Name: name}); err != nil { // no health: it is gone
				return err
			}
		}
		timer := time.NewTimer(clusterInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}
