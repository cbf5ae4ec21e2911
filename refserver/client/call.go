package client

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/journal"
)

// one sends a request and returns its answer.
func one[T any](ctx context.Context, c *Client, r *request) (T, error) {
	var out T
	_, err := c.do(ctx, r, &out)
	return out, err
}

// tagged is one with the entity tag of what was read, for a change of it.
func tagged[T any](ctx context.Context, c *Client, r *request) (T, string, error) {
	var out T
	a, err := c.do(ctx, r, &out)
	if err != nil {
		return out, "", err
	}
	return out, a.header.Get("ETag"), nil
}

// none sends a request without an answer.
func none(ctx context.Context, c *Client, r *request) error {
	_, err := c.do(ctx, r, nil)
	return err
}

// pages yields what all pages of a list have. An error comes last.
func pages[T any](ctx context.Context, c *Client, r *request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := r.query
		for next := ""; ; {
			page := *r
			page.query = cloned(query)
			page.param("cursor", next)
			list, err := one[List[T]](ctx, c, &page)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range list.Items {
				if !yield(item, nil) {
					return
				}
			}
			if list.Next == "" || list.Next == next {
				return
			}
			next = list.Next
		}
	}
}

func cloned(query map[string][]string) map[string][]string {
	out := map[string][]string{}
	for name, values := range query {
		out[name] = append([]string(nil), values...)
	}
	return out
}

// Me is who the server thinks that the client is.
func (c *Client) Me(ctx context.Context) (Me, error) { return one[Me](ctx, c, get("me")) }

// EndSession logs out who came by a cookie.
func (c *Client) EndSession(ctx context.Context) error { return none(ctx, c, del("session")) }

// Tokens yields the subject's tokens.
func (c *Client) Tokens(ctx context.Context) iter.Seq2[Token, error] {
	return pages[Token](ctx, c, get("tokens"))
}

// CreateToken makes a token for the subject itself.
func (c *Client) CreateToken(ctx context.Context, t CreateToken) (NewToken, error) {
	return one[NewToken](ctx, c, post(t, "tokens"))
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return none(ctx, c, del("tokens", id))
}

// Validate says what is wrong with a document, and what it would become.
func (c *Client) Validate(ctx context.Context, d Document) (Validation, error) {
	return one[Validation](ctx, c, post(d, "validations"))
}

// ListFilter chooses applications; the zero value, and nil, choose all.
type ListFilter struct {
	Search, Namespace, Cluster, Environment string
	// Status are the statuses to choose: "Ready", "Failed".
	Status []string
}

// Applications yields applications by namespace and name, with how they do.
func (c *Client) Applications(ctx context.Context, f *ListFilter) iter.Seq2[Application, error] {
	r := get("applications")
	if f != nil {
		r.param("search", f.Search).param("namespace", f.Namespace).param("cluster", f.Cluster).param("environment", f.Environment).param("status", f.Status...)
	}
	return pages[Application](ctx, c, r)
}

// Application returns one; with fresh its clusters are asked now.
func (c *Client) Application(ctx context.Context, namespace, name string, fresh bool) (Application, error) {
	return one[Application](ctx, c, get("applications", namespace, name).flag("fresh", fresh))
}

// PlanDeploy says what a deployment would do, and Deploy begins it: with the
// PlanHash of the plan that somebody has seen, it does that or nothing.
func (c *Client) PlanDeploy(ctx context.Context, d Deployment) (Planned, error) {
	return one[Planned](ctx, c, post(d, "applications").flag("dryRun", true))
}

// Deploy begins a deployment; see [Client.Wait].
func (c *Client) Deploy(ctx context.Context, d Deployment) (Planned, error) {
	return one[Planned](ctx, c, post(d, "applications"))
}

// RemoveOptions shape a removal.
type RemoveOptions struct {
	// Data: it goes too, for ever. Recycle: the application may be brought back.
	Data, Recycle bool
	Clusters      []string
	PlanHash      string
	DryRun        bool
}

// Remove begins a removal, or plans it.
func (c *Client) Remove(ctx context.Context, namespace, name string, o *RemoveOptions) (Planned, error) {
	r := del("applications", namespace, name)
	if o != nil {
		r.flag("data", o.Data).flag("recycle", o.Recycle).flag("dryRun", o.DryRun).param("cluster", o.Clusters...).param("planHash", o.PlanHash)
	}
	return one[Planned](ctx, c, r)
}

// Releases are those of an application, by cluster, the newest first.
func (c *Client) Releases(ctx context.Context, namespace, name string) (map[string][]deploy.Release, error) {
	return one[map[string][]deploy.Release](ctx, c, get("applications", namespace, name, "releases"))
}

// Release is the application as it was released on a cluster.
func (c *Client) Release(ctx context.Context, namespace, name, cluster string, revision int) (Document, error) {
	return one[Document](ctx, c, get("applications", namespace, name, "releases", cluster, fmt.Sprint(revision)))
}

// ReleaseChanges yields what a release changed, of release from, or of the one
// before if from is zero.
func (c *Client) ReleaseChanges(ctx context.Context, namespace, name, cluster string, revision, from int) iter.Seq2[appmodel.Change, error] {
	return pages[appmodel.Change](ctx, c, get("applications", namespace, name, "releases", cluster, fmt.Sprint(revision), "changes").number("from", from))
}

// Meant is an application as it is meant, to be changed.
func (c *Client) Meant(ctx context.Context, namespace, name string, clusters ...string) (Meant, error) {
	return one[Meant](ctx, c, get("applications", namespace, name, "document").param("cluster", clusters...))
}

// Edit begins to change an application as it is meant, or plans it.
func (c *Client) Edit(ctx context.Context, namespace, name string, e Edit, dryRun bool) (Planned, error) {
	return one[Planned](ctx, c, post(e, "applications", namespace, name, "edits").flag("dryRun", dryRun))
}

// RollBack begins a rollback, or plans it.
func (c *Client) RollBack(ctx context.Context, namespace, name string, r RollbackRequest, dryRun bool) (Planned, error) {
	return one[Planned](ctx, c, post(r, "applications", namespace, name, "rollbacks").flag("dryRun", dryRun))
}

// Command begins a step in an application's life, or plans it.
func (c *Client) Command(ctx context.Context, namespace, name string, r CommandRequest, dryRun bool) (Planned, error) {
	if r.At.IsZero() {
		r.At = time.Now().UTC()
	}
	return one[Planned](ctx, c, post(r, "applications", namespace, name, "commands").flag("dryRun", dryRun))
}

// Copy begins a copy, or plans it.
func (c *Client) Copy(ctx context.Context, namespace, name string, r CopyRequest, dryRun bool) (Planned, error) {
	return one[Planned](ctx, c, post(r, "applications", namespace, name, "copies").flag("dryRun", dryRun))
}

// Promote begins a promotion of what the application was made from, or plans it;
// conflicts are part of what a dry run says.
func (c *Client) Promote(ctx context.Context, namespace, name string, r PromotionRequest, dryRun bool) (Planned, error) {
	return one[Planned](ctx, c, post(r, "applications", namespace, name, "promotions").flag("dryRun", dryRun))
}

// Dependencies yields the needs that lead out of an application.
func (c *Client) Dependencies(ctx context.Context, namespace, name string) iter.Seq2[deploy.OutsideNeed, error] {
	return pages[deploy.OutsideNeed](ctx, c, get("applications", namespace, name, "dependencies"))
}

// Happenings is what clusters say has happened to an application.
func (c *Client) Happenings(ctx context.Context, namespace, name string, clusters ...string) (deploy.Happenings, error) {
	return one[deploy.Happenings](ctx, c, get("applications", namespace, name, "events").param("cluster", clusters...))
}

// Usage yields what its pods use now, cluster by cluster.
func (c *Client) Usage(ctx context.Context, namespace, name string) iter.Seq2[deploy.Usage, error] {
	return pages[deploy.Usage](ctx, c, get("applications", namespace, name, "usage"))
}

// Drift is what is not as it was deployed, asked now.
func (c *Client) Drift(ctx context.Context, namespace, name string) (deploy.Drift, error) {
	return one[deploy.Drift](ctx, c, get("applications", namespace, name, "drift"))
}

// Heal begins to undo drift, or plans it.
func (c *Client) Heal(ctx context.Context, namespace, name string, r HealRequest, dryRun bool) (Planned, error) {
	return one[Planned](ctx, c, post(r, "applications", namespace, name, "heals").flag("dryRun", dryRun))
}

// Findings yields what was found by whoever keeps an application.
func (c *Client) Findings(ctx context.Context, namespace, name string) iter.Seq2[deploy.Finding, error] {
	return pages[deploy.Finding](ctx, c, get("applications", namespace, name, "findings"))
}

// Keepings yields what is kept as it was deployed.
func (c *Client) Keepings(ctx context.Context) iter.Seq2[deploy.Kept, error] {
	return pages[deploy.Kept](ctx, c, get("keepings"))
}

// Keep keeps an application as it was deployed, and StopKeeping ends that.
func (c *Client) Keep(ctx context.Context, namespace, name string, k Keeping) error {
	return none(ctx, c, put(k, "applications", namespace, name, "keeping"))
}

// StopKeeping ends what Keep began.
func (c *Client) StopKeeping(ctx context.Context, namespace, name string) error {
	return none(ctx, c, del("applications", namespace, name, "keeping"))
}

// Recycled yields what was removed from clusters and may be brought back.
func (c *Client) Recycled(ctx context.Context, namespace string, clusters ...string) iter.Seq2[deploy.Recycled, error] {
	return pages[deploy.Recycled](ctx, c, get("recycled").param("cluster", clusters...).param("namespace", namespace))
}

// Restore begins to bring back what was removed, or plans it.
func (c *Client) Restore(ctx context.Context, namespace, name string, seen Seen, dryRun bool) (Planned, error) {
	return one[Planned](ctx, c, post(seen, "applications", namespace, name, "restorations").flag("dryRun", dryRun))
}

// Purge empties the recycle bin, for ever, or says what would go.
func (c *Client) Purge(ctx context.Context, p Purge, dryRun bool) (List[deploy.Recycled], error) {
	return one[List[deploy.Recycled]](ctx, c, post(p, "purges").flag("dryRun", dryRun))
}

// Recover finds again what runs on clusters, when records were lost.
func (c *Client) Recover(ctx context.Context, clusters []string, dryRun bool) (deploy.Recovery, error) {
	return one[deploy.Recovery](ctx, c, post(map[string]any{"clusters": clusters}, "recoveries").flag("dryRun", dryRun))
}

// Environments yields environments without what is their own; of all applications
// if none is named.
func (c *Client) Environments(ctx context.Context, application string) iter.Seq2[deploy.Environment, error] {
	return pages[deploy.Environment](ctx, c, get("environments").param("application", application))
}

// Environment is one with what is its own, and its entity tag.
func (c *Client) Environment(ctx context.Context, application, name string) (Environment, string, error) {
	return tagged[Environment](ctx, c, get("environments", application, name).param("of", c.of))
}

// PutEnvironment makes an environment, or changes the one that has the entity tag.
func (c *Client) PutEnvironment(ctx context.Context, env Environment, etag string) (Environment, error) {
	return one[Environment](ctx, c, put(env, "environments", env.Application, env.Name).param("of", c.of).match(etag))
}

// DeleteEnvironment removes an environment; what runs goes on running.
func (c *Client) DeleteEnvironment(ctx context.Context, application, name string) error {
	return none(ctx, c, del("environments", application, name).param("of", c.of))
}

// DeployTo begins to deploy to an environment, or plans it.
func (c *Client) DeployTo(ctx context.Context, application, environment string, d Deployment, dryRun bool) (Planned, error) {
	return one[Planned](ctx, c, post(d, "environments", application, environment, "deployments").param("of", c.of).flag("dryRun", dryRun))
}

// PromoteTo begins to promote to an environment, or plans it.
func (c *Client) PromoteTo(ctx context.Context, application, environment string, r PromotionRequest, dryRun bool) (Planned, error) {
	return one[Planned](ctx, c, post(r, "environments", application, environment, "promotions").param("of", c.of).flag("dryRun", dryRun))
}

// BeginStage begins to bring something through the gates of an environment.
func (c *Client) BeginStage(ctx context.Context, application, environment string, r StageRequest) (deploy.Stage, error) {
	return one[deploy.Stage](ctx, c, post(r, "environments", application, environment, "stages").param("of", c.of))
}

// Stages yields what is on its way, and what was of late.
func (c *Client) Stages(ctx context.Context, application string) iter.Seq2[deploy.Stage, error] {
	return pages[deploy.Stage](ctx, c, get("stages").param("application", application))
}

// Stage is one stage.
func (c *Client) Stage(ctx context.Context, application, id string) (deploy.Stage, error) {
	return one[deploy.Stage](ctx, c, get("stages", application, id))
}

// StagePlan is the plan of a stage, as it is now.
func (c *Client) StagePlan(ctx context.Context, application, id string) (Planned, error) {
	return one[Planned](ctx, c, get("stages", application, id, "plan"))
}

// ApproveStage says yes to the plan of this hash.
func (c *Client) ApproveStage(ctx context.Context, application, id, planHash, comment string) (deploy.Stage, error) {
	return one[deploy.Stage](ctx, c, post(Verdict{PlanHash: planHash, Comment: comment}, "stages", application, id, "approval"))
}

// RejectStage says no.
func (c *Client) RejectStage(ctx context.Context, application, id, comment string) (deploy.Stage, error) {
	return one[deploy.Stage](ctx, c, post(Verdict{Comment: comment}, "stages", application, id, "rejection"))
}

// CancelStage takes a stage back.
func (c *Client) CancelStage(ctx context.Context, application, id, comment string) (deploy.Stage, error) {
	return one[deploy.Stage](ctx, c, post(Verdict{Comment: comment}, "stages", application, id, "cancellation"))
}

// RetryStage begins again what has failed.
func (c *Client) RetryStage(ctx context.Context, application, id string) (deploy.Stage, error) {
	return one[deploy.Stage](ctx, c, post(Verdict{}, "stages", application, id, "retry"))
}

// DecideStage decides its conflicts, by path.
func (c *Client) DecideStage(ctx context.Context, application, id string, decisions map[string]appmodel.Decision) (deploy.Stage, error) {
	return one[deploy.Stage](ctx, c, post(Verdict{Decisions: decisions}, "stages", application, id, "decisions"))
}

// ImagePushed says that an image was pushed, and returns what begins by it.
func (c *Client) ImagePushed(ctx context.Context, p Push) (List[deploy.Stage], error) {
	return one[List[deploy.Stage]](ctx, c, post(p, "images"))
}

// Hooks yields the subject's hooks.
func (c *Client) Hooks(ctx context.Context) iter.Seq2[Hook, error] {
	return pages[Hook](ctx, c, get("hooks"))
}

// CreateHook makes a hook that acts for the subject.
func (c *Client) CreateHook(ctx context.Context, description string) (NewHook, error) {
	return one[NewHook](ctx, c, post(map[string]string{"description": description}, "hooks"))
}

// DeleteHook ends a hook.
func (c *Client) DeleteHook(ctx context.Context, id string) error {
	return none(ctx, c, del("hooks", id))
}

// Operations yields long work, the newest first; those that are over too, if
// asked for.
func (c *Client) Operations(ctx context.Context, over bool) iter.Seq2[journal.Operation, error] {
	return pages[journal.Operation](ctx, c, get("operations").flag("over", over))
}

// Operation is one, with its steps, its last events, and its result once it is
// over.
func (c *Client) Operation(ctx context.Context, id string) (Operation, error) {
	return one[Operation](ctx, c, get("operations", id))
}

// CancelOperation asks an operation to end.
func (c *Client) CancelOperation(ctx context.Context, id string) (Operation, error) {
	return one[Operation](ctx, c, post(struct{}{}, "operations", id, "cancellation"))
}

// ApplyPlan begins to apply a plan as it is.
func (c *Client) ApplyPlan(ctx context.Context, p *deploy.Plan) (Planned, error) {
	return one[Planned](ctx, c, post(p, "operations"))
}

// Wait returns the operation that something began, once it is over: its failure is
// its error, of its category. What was unchanged is over at once. onChange, if it is
// not nil, hears of the operation whenever it was looked at: soon, then every second.
func (c *Client) Wait(ctx context.Context, p Planned, onChange func(Operation)) (Operation, error) {
	if p.Operation == nil {
		return Operation{}, nil
	}
	for looks := 0; ; looks++ {
		operation, err := c.Operation(ctx, p.Operation.ID)
		if err != nil {
			return operation, err
		}
		if onChange != nil {
			onChange(operation)
		}
		if operation.State.Over() {
			return operation, operation.Err()
		}
		timer := time.NewTimer(min(50*time.Millisecond<<min(looks, 5), time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return operation, context.Cause(ctx)
		case <-timer.C:
		}
	}
}
