// Package deploy runs applications on clusters: plan, apply, status, releases,
// rollback, removal, for one application on one or many clusters at once.
//
//	d, err := deploy.New(clusters, &deploy.Options{
//		Installation: "acme-portal",
//		Keys:         keys,
//		Authorizer:   appspan.AllowAll{},
//	})
//	plan, err := d.Plan(ctx, app, deploy.Target{Clusters: []string{"eu-1", "us-1"}}, nil)
//	// show plan.Clusters, ask somebody, then:
//	result, err := d.Apply(ctx, plan, nil)
//
// # Where the truth lives
//
// The clusters hold what runs, and the record of it: one Secret for each
// application and cluster, which is the parent of an ApplySet (KEP-3659), so
// that kubectl can list the objects by their label. Beside it stand the last
// ten releases: sealed, signed, and bound to the installation, the cluster,
// the namespace and the application, so that whoever may edit Secrets there
// cannot steer a rollback or a removal. A Deployer keeps nothing that matters.
//
// # The life of an application
//
// What follows the first deployment begins with what is there, and is a [Plan]
// too: a [Command] (start, stop, restart, scale, pause, resume, redeploy,
// image), an edit, a rollback, a copy in another place, a promotion along its
// lineage, a restoration from the recycle bin. [Environments] keep in records
// who an application runs for and where, and find it again from the clusters.
//
// # What a plan reads and an apply writes
//
// A plan costs one LIST for each kind of object. An apply lists again, refuses
// a cluster where what it would touch is not as the plan saw it, and then
// sends what changes by server-side apply (KEP-555) and at most six calls
// more. What is unchanged is not sent. Objects of others are never written
// over or removed: a namesake is refused unless PlanOptions.Adopt is set. Ours
// is what the signed record lists by UID, whatever labels say. Where others have
// more than 500 objects of a kind, ours are listed by label, and new names are
// read with a GET each.
//
// # Drift
//
// [Deployer.Drift] tells what somebody else changed of what was released, with
// its author; [Deployer.Heal] undoes what a [DriftPolicy] says, field by field;
// a [Keeper] does so again and again.
//
// # Errors
//
// Errors wrap the sentinels of package appspan. A cluster that fails is a
// state of its [ClusterPlan] or [ClusterResult]; Apply's error joins those.
// [ErrNotReady] means that everything was written and does not become ready.
//
// # Concurrency
//
// A Deployer is safe for concurrent use, by several processes too: of two
// applies of one application to one cluster at the same time, one is refused.
// A call that has returned has finished. Plans and results are plain data;
// a Plan must not be applied twice at the same time.
package deploy
