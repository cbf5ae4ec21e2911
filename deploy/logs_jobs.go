package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
)

// watchJobs begins to read the pods of Jobs that come, where these pods do not
// carry the application's label; known finds those that are there already.
func (o *onCluster) watchJobs(ctx context.Context, c *cluster.Cluster, known []podQuery) {
	s := o.r.d.scopeOf(o.r.application, o.r.to)
	var watches sync.WaitGroup
	defer watches.Wait()
	ends := map[string]context.CancelFunc{} // by UID
	end := func(uid string) {
		if cancel := ends[uid]; cancel != nil {
			cancel()
			delete(ends, uid)
		}
	}
	defer func() {
		for uid := range ends {
			end(uid)
		}
	}()
	jobs := cluster.Query{APIVersion: kindJob.APIVersion, Kind: kindJob.Kind, Namespace: s.namespace,
		Labels: appmodel.LabelApplication + "=" + s.application, Projection: cluster.Trimmed}
	for e, err := range c.Watch(ctx, jobs) {
		uid := e.Object.UID
		switch {
		case err != nil:
			if ctx.Err() == nil {
				o.went(ctx, fmt.Errorf("jobs that come are not seen any more: %w", err))
			}
			return
		case e.Type == cluster.Deleted:
			end(uid)
		case e.Type == cluster.Reset:
			for uid := range ends {
				end(uid)
			}
		case e.Type == cluster.Added && ends[uid] == nil:
			w, ours := s.workload(e.Object, nil)
			if !ours || !w.bare || w.selector == "" || slices.ContainsFunc(known, func(q podQuery) bool { return strings.Contains(q.labels, uid) }) {
				continue
			}
			ctx, cancel := context.WithCancel(ctx)
			ends[uid] = cancel
			watches.Go(func() { o.watch(ctx, c, podQuery{w.selector, w.component, s.installation}) })
		}
	}
}
