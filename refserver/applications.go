package refserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/appspan-dev/appspan/refserver/client"
)

// one names an application where it is.
type one struct {
	Namespace   string `path:"namespace"`
	Application string `path:"application"`
}

// some is an application on some of its clusters.
type some struct {
	one
	Clusters []string `query:"cluster" doc:"only these of its clusters"`
}

// at is where the application is, by the index.
func (c *call) at(ctx context.Context, o one, clusters []string) (deploy.Target, error) {
	found, err := c.Deployer.Find(ctx, o.Namespace, o.Application)
	if err != nil {
		return deploy.Target{}, err
	}
	to := found.Target()
	for _, name := range clusters {
		if !slices.Contains(to.Clusters, name) {
			return to, fmt.Errorf("%w: %s in %s is not on cluster %q; it is on %v", appspan.ErrNotFound, o.Application, o.Namespace, cutText(name, 100), to.Clusters)
		}
	}
	if len(clusters) > 0 {
		to.Clusters = clusters
	}
	return to, nil
}

// planned answers with the plan, for a dry run, or begins it.
func (c *call) planned(ctx context.Context, p *deploy.Plan, dryRun bool, seen client.Seen) (client.Planned, error) {
	if dryRun {
		if err := c.Deployer.Allowed(ctx, p); err != nil {
			return client.Planned{}, err
		}
		c.status = http.StatusOK
		return client.Planned{Plan: p, Text: p.String(), Unchanged: p.Empty()}, nil
	}
	if seen.PlanHash != "" && seen.PlanHash != p.Hash {
		return client.Planned{}, fmt.Errorf("%w: the plan that you saw is not what would be done now; look at it again", appspan.ErrPrecondition)
	}
	if err := p.Err(); err != nil && !slices.ContainsFunc(p.Clusters, func(c deploy.ClusterPlan) bool { return c.State == deploy.ClusterPlanned }) {
		return client.Planned{}, err // nothing of it can be done
	}
	if p.Empty() {
		c.status = http.StatusOK
		return client.Planned{Unchanged: true}, nil
	}
	operation, err := c.Deployer.Begin(ctx, p, &c.s.opts.Apply)
	if err != nil {
		return client.Planned{}, err
	}
	c.location("/operations/%s", operation.ID)
	return client.Planned{Operation: &operation}, nil
}

func (s *Server) applicationRoutes() []*route {
	const tag = "applications"
	path := "/applications/{namespace}/{application}"
	return []*route{
		op("GET", "/applications", "listApplications", tag, "What was deployed, where it is, and how it does", s.listApplications).asks("application", appspan.VerbRead),
		op("POST", "/applications", "deployApplication", tag, "Deploy an application, or a new version of it", s.deployApplication).with(http.StatusAccepted).asks("application", appspan.VerbDeploy).or(http.StatusOK),
		op("GET", path, "getApplication", tag, "One application, where it is, and how it does", s.getApplication).asks("application", appspan.VerbRead),
		op("DELETE", path, "removeApplication", tag, "Remove an application; its data stays unless that is asked for", s.removeApplication).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbDelete),
		op("GET", path+"/releases", "listReleases", tag, "Its releases, by cluster, the newest first", s.listReleases).asks("application", appspan.VerbRead),
		op("GET", path+"/releases/{cluster}/{revision}", "getRelease", tag, "The application as it was released on a cluster", s.getRelease).asks("application", appspan.VerbRead),
		op("GET", path+"/releases/{cluster}/{revision}/changes", "listReleaseChanges", tag, "What a release changed, of the one before or another one", s.listReleaseChanges).asks("application", appspan.VerbRead),
		op("GET", path+"/document", "getDocument", tag, "The application as it is meant, to be changed: before answers, without secrets", s.getDocument).asks("application", appspan.VerbRead),
		op("POST", path+"/edits", "editApplication", tag, "Change it as it is meant: what is left out of secrets, answers and bindings stays", s.editApplication).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbDeploy),
		op("POST", path+"/rollbacks", "rollBack", tag, "Go back to an earlier release", s.rollBack).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbDeploy),
		op("POST", path+"/commands", "runCommand", tag, "Start, stop, restart, scale, pause, resume, redeploy, or change images", s.runCommand).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbUpdate),
		op("POST", path+"/copies", "copyApplication", tag, "Make a copy in another place", s.copyApplication).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbDeploy),
		op("POST", path+"/promotions", "promoteApplication", tag, "Bring it up to date with what it was made from", s.promoteApplication).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbDeploy),
		op("GET", path+"/dependencies", "listDependencies", tag, "Its needs that lead out of it, for a copy", s.listDependencies).asks("application", appspan.VerbDeploy),
		op("GET", path+"/events", "listEvents", tag, "What its clusters say has happened to it", s.listEvents).asks("application", appspan.VerbRead),
		op("GET", path+"/usage", "getUsage", tag, "What its pods use now", s.getUsage).asks("application", appspan.VerbRead),
		op("POST", "/validations", "validate", tag, "Say what is wrong with a document, and what it would become", s.validate),
	}
}

// or names another status of success.
func (r *route) or(status int) *route {
	r.also = append(r.also, status)
	return r
}

type listApplicationsIn struct {
	page
	Search      string   `query:"search" doc:"part of the name"`
	Namespace   string   `query:"namespace"`
	Cluster     string   `query:"cluster"`
	Environment string   `query:"environment"`
	Status      []string `query:"status" doc:"only those that do so: Ready, Failed, …"`
}

func (s *Server) listApplications(ctx context.Context, c *call, in *listApplicationsIn) (client.List[client.Application], error) {
	out := client.List[client.Application]{Items: []client.Application{}}
	limit, err := in.limit()
	if err != nil {
		return out, err
	}
	after, err := in.after()
	if err != nil {
		return out, err
	}
	filter := deploy.Filter{Team: c.subject().Team, Search: in.Search, Namespace: in.Namespace, Cluster: in.Cluster, Environment: in.Environment, After: after}
	for seen, err := range c.Overview.List(ctx, filter) {
		if err != nil {
			return out, err
		}
		if len(in.Status) > 0 && !slices.Contains(in.Status, string(seen.Status.Worst)) {
			continue
		}
		if len(out.Items) == limit {
			out.Next = cursorAt(out.Items[limit-1].Key())
			break
		}
		out.Items = append(out.Items, client.Application{Listed: seen.Listed, Status: seen.Status})
	}
	out.Unreachable = unreachable(out.Items)
	return out, c.tagged(out)
}

// unreachable are the clusters that did not answer of late.
func unreachable(items []client.Application) []client.Unreachable {
	var out []client.Unreachable
	seen := map[string]bool{}
	for i := range items {
		for _, on := range items[i].Status.Clusters {
			if !on.Fresh && on.Error != "" && !seen[on.Name] {
				seen[on.Name] = true
				out = append(out, client.Unreachable{Cluster: on.Name, Since: on.ObservedAt, Reason: on.Error})
			}
		}
	}
	return out
}

type getApplicationIn struct {
	one
	Fresh bool `query:"fresh" doc:"ask its clusters now"`
}

func (s *Server) getApplication(ctx context.Context, c *call, in *getApplicationIn) (client.Application, error) {
	seen, err := c.Overview.Get(ctx, in.Namespace, in.Application)
	if err != nil {
		return client.Application{}, err
	}
	out := client.Application{Listed: seen.Listed, Status: seen.Status}
	if in.Fresh {
		if out.Status, err = c.Deployer.Status(ctx, in.Application, seen.Target()); err != nil {
			return out, err
		}
	}
	for operation, err := range c.Deployer.Operations(ctx, false) {
		if err != nil {
			return out, err
		}
		if operation.About["application"] == in.Application && operation.About["namespace"] == in.Namespace {
			out.Operation = operation.ID
		}
	}
	return out, c.tagged(out)
}

type deployIn struct {
	dry
	Body client.Deployment
}

func (s *Server) deployApplication(ctx context.Context, c *call, in *deployIn) (client.Planned, error) {
	app, _, err := decodeDocument(ctx, &in.Body.Document)
	if err != nil {
		return client.Planned{}, err
	}
	p, err := c.Deployer.Plan(ctx, app, in.Body.Target, &deploy.PlanOptions{Answers: in.Body.Answers, Images: in.Body.Images, Bindings: bindings(in.Body.Bindings),
		Adopt: in.Body.Adopt, DataLoss: in.Body.DataLoss})
	if err != nil {
		return client.Planned{}, err
	}
	return c.planned(ctx, p, in.DryRun, in.Body.Seen)
}

func bindings(list []client.Binding) map[render.NeedRef]render.Endpoint {
	out := map[render.NeedRef]render.Endpoint{}
	for _, b := range list {
		out[b.Ref()] = endpointOf(b)
	}
	return out
}

func endpointOf(b client.Binding) render.Endpoint {
	e := render.Endpoint{Host: b.Host, Port: b.Port, Values: b.Values}
	for name, value := range b.Secrets {
		if e.Secrets == nil {
			e.Secrets = map[string]appmodel.Sensitive{}
		}
		e.Secrets[name] = appmodel.NewSensitive(value)
	}
	return e
}

type removeIn struct {
	dry
	some
	Data     bool   `query:"data" doc:"its data goes too, for ever"`
	Recycle  bool   `query:"recycle" doc:"it may be brought back"`
	PlanHash string `query:"planHash" doc:"that of the plan that you saw"`
}

func (s *Server) removeApplication(ctx context.Context, c *call, in *removeIn) (client.Planned, error) {
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return client.Planned{}, err
	}
	p, err := c.Deployer.PlanRemove(ctx, in.Application, to, &deploy.RemoveOptions{Data: in.Data, Recycle: in.Recycle})
	if err != nil {
		return client.Planned{}, err
	}
	return c.planned(ctx, p, in.DryRun, client.Seen{PlanHash: in.PlanHash})
}

func (s *Server) listReleases(ctx context.Context, c *call, in *some) (map[string][]deploy.Release, error) {
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return nil, err
	}
	out, err := c.Deployer.Releases(ctx, in.Application, to)
	if len(out) > 0 && errors.Is(err, appspan.ErrUnavailable) { // some answered
		err = nil
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b deploy.Release) int { return b.Revision - a.Revision })
	}
	return out, err
}

type releaseIn struct {
	one
	Cluster  string `path:"cluster"`
	Revision int    `path:"revision"`
}

func (s *Server) getRelease(ctx context.Context, c *call, in *releaseIn) (client.Document, error) {
	app, err := c.released(ctx, in, in.Revision)
	if err != nil {
		return client.Document{}, err
	}
	text, err := appmodel.Encode(app, nil)
	return client.Document{Format: "application", Name: in.Application, Text: string(text)}, err
}

func (c *call) released(ctx context.Context, in *releaseIn, revision int) (*appmodel.Application, error) {
	to, err := c.at(ctx, in.one, []string{in.Cluster})
	if err != nil {
		return nil, err
	}
	return c.Deployer.ReleasedApplication(ctx, in.Application, to, in.Cluster, revision)
}

type releaseChangesIn struct {
	releaseIn
	From int `query:"from" doc:"the release to compare with; default: the one before"`
}

func (s *Server) listReleaseChanges(ctx context.Context, c *call, in *releaseChangesIn) (client.List[appmodel.Change], error) {
	out := client.List[appmodel.Change]{Items: []appmodel.Change{}}
	to, err := c.released(ctx, &in.releaseIn, in.Revision)
	if err != nil {
		return out, err
	}
	from := in.From
	if from == 0 {
		from = in.Revision - 1
	}
	var before *appmodel.Application
	if from > 0 {
		if before, err = c.released(ctx, &in.releaseIn, from); err != nil {
			return out, err
		}
	}
	out.Items = append(out.Items, appmodel.Changes(before, to)...)
	return out, nil
}

type rollbackIn struct {
	dry
	one
	Body client.RollbackRequest
}

func (s *Server) rollBack(ctx context.Context, c *call, in *rollbackIn) (client.Planned, error) {
	to, err := c.at(ctx, in.one, in.Body.Clusters)
	if err != nil {
		return client.Planned{}, err
	}
	p, err := c.Deployer.PlanRollback(ctx, in.Application, to, &deploy.RollbackOptions{Revision: in.Body.Revision, DataLoss: in.Body.DataLoss})
	if err != nil {
		return client.Planned{}, err
	}
	return c.planned(ctx, p, in.DryRun, in.Body.Seen)
}

type commandIn struct {
	dry
	one
	Body client.CommandRequest
}

func (s *Server) runCommand(ctx context.Context, c *call, in *commandIn) (client.Planned, error) {
	to, err := c.at(ctx, in.one, in.Body.Clusters)
	if err != nil {
		return client.Planned{}, err
	}
	p, err := c.Deployer.PlanCommand(ctx, in.Application, to, in.Body.Command, nil)
	if err != nil {
		return client.Planned{}, err
	}
	return c.planned(ctx, p, in.DryRun, in.Body.Seen)
}

type copyIn struct {
	dry
	one
	Body client.CopyRequest
}

func (s *Server) copyApplication(ctx context.Context, c *call, in *copyIn) (client.Planned, error) {
	from, err := c.at(ctx, in.one, nil)
	if err != nil {
		return client.Planned{}, err
	}
	o := &deploy.CopyOptions{Name: in.Body.Name, Answers: in.Body.Answers, Hosts: in.Body.Hosts, Replicas: in.Body.Replicas, StorageClasses: in.Body.StorageClasses,
		Images: in.Body.Images, Data: in.Body.Data, Dependencies: map[render.NeedRef]deploy.Dependency{}}
	for _, d := range in.Body.Dependencies {
		o.Dependencies[d.Ref()] = deploy.Dependency{Action: d.Action, Endpoint: endpointOf(d.Binding), Copied: d.Copied}
	}
	p, err := c.Deployer.PlanCopy(ctx, deploy.Source{Application: in.Application, Target: from, Revision: in.Body.Revision}, in.Body.Target, o)
	if err != nil {
		return client.Planned{}, err
	}
	return c.planned(ctx, p, in.DryRun, in.Body.Seen)
}

type promotionIn struct {
	dry
	one
	Body client.PromotionRequest
}

func (s *Server) promoteApplication(ctx context.Context, c *call, in *promotionIn) (client.Planned, error) {
	to, err := c.at(ctx, in.one, nil)
	if err != nil {
		return client.Planned{}, err
	}
	p, err := c.Deployer.PlanPromotion(ctx, in.Application, to, promotionOptions(&in.Body))
	return c.promoted(ctx, p, err, in.DryRun, in.Body.Seen)
}

func promotionOptions(r *client.PromotionRequest) *deploy.PromotionOptions {
	return &deploy.PromotionOptions{Revision: r.Revision, Decisions: r.Decisions, Defaults: r.Defaults, Answers: r.Answers, DataLoss: r.DataLoss}
}

// promoted answers with what a promotion merges, conflicts included, or begins
// it.
func (c *call) promoted(ctx context.Context, p *deploy.Promotion, err error, dryRun bool, seen client.Seen) (client.Planned, error) {
	if err != nil {
		if dryRun && p != nil && len(p.Conflicts) > 0 {
			c.status = http.StatusOK
			return client.Planned{Promotion: p}, nil
		}
		return client.Planned{}, err
	}
	out, err := c.planned(ctx, p.Plan, dryRun, seen)
	if dryRun && err == nil {
		shown := *p
		shown.Plan = nil // it stands beside
		out.Promotion = &shown
	}
	return out, err
}

func (s *Server) listDependencies(ctx context.Context, c *call, in *one) (client.List[deploy.OutsideNeed], error) {
	out := client.List[deploy.OutsideNeed]{Items: []deploy.OutsideNeed{}}
	to, err := c.at(ctx, *in, nil)
	if err != nil {
		return out, err
	}
	found, err := c.Deployer.Dependencies(ctx, deploy.Source{Application: in.Application, Target: to})
	out.Items = append(out.Items, found...)
	return out, err
}

func (s *Server) listEvents(ctx context.Context, c *call, in *some) (deploy.Happenings, error) {
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return deploy.Happenings{}, err
	}
	out, err := c.Deployer.Events(ctx, in.Application, to)
	if out.Events == nil {
		out.Events = []deploy.Happening{}
	}
	return out, err
}

func (s *Server) getUsage(ctx context.Context, c *call, in *some) (client.List[deploy.Usage], error) {
	out := client.List[deploy.Usage]{Items: []deploy.Usage{}}
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	found, err := c.Deployer.Usage(ctx, in.Application, to)
	out.Items = append(out.Items, found...)
	return out, err
}
