package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/composefile"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

//go:embed shop.compose.yaml
var composeFile []byte

// narrator tells the story.
type narrator struct {
	*display
	deployer *deploy.Deployer
	target   deploy.Target
	settings settings
}

func story(ctx context.Context, s settings, clusters *cluster.Set, keys *seal.Keyring, out io.Writer) error {
	d, err := deploy.New(clusters, &deploy.Options{Installation: "quickstart", Keys: keys, Authorizer: appspan.AllowAll{}})
	if err != nil {
		return err
	}
	n := &narrator{display: newDisplay(out, s.plain), deployer: d, settings: s,
		target: deploy.Target{Clusters: clusters.Names(), Namespace: s.namespace}}
	app, err := n.importCompose(ctx)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		title string
		do    func(context.Context, *appmodel.Application) error
	}{
		{"Deploy it to " + list(n.target.Clusters), n.deploy},
		{"Change it: three replicas of the web server, another log level", n.change},
		{"Break it: a cache that asks for more memory than any node has", n.breakIt},
		{"Roll back", n.rollBack},
		{"How it does", n.status},
	} {
		n.chapter(step.title)
		if err := step.do(ctx, app); err != nil {
			return err
		}
	}
	if s.keep {
		n.print("\nIt runs on, in namespace %s.", s.namespace)
		return nil
	}
	n.chapter("Remove it, data included")
	return n.remove(ctx)
}

// importCompose reads the compose file and tells what became of it.
func (n *narrator) importCompose(ctx context.Context) (*appmodel.Application, error) {
	n.chapter("Import shop.compose.yaml")
	app, report, err := composefile.Import(ctx, composeFile, &composefile.Options{File: "shop.compose.yaml"})
	if err != nil {
		return nil, err
	}
	n.print("  %d leaves: %d mapped, %d degraded, %d without a place", len(report.Leaves), report.Count(composefile.StatusMapped)+report.Count(composefile.StatusImplied),
		report.Count(composefile.StatusDegraded), report.Count(composefile.StatusUnsupported))
	for _, l := range report.Leaves {
		if l.Status == composefile.StatusDegraded || l.Status == composefile.StatusUnsupported {
			n.print("    line %d, %s: %s: %s", l.Line, l.Path, l.Status, l.Why)
		}
	}
	for _, c := range app.Components {
		n.print("  %-8s %-9s %s", c.ID, c.Kind, c.Image)
	}
	return app, nil
}

func (n *narrator) deploy(ctx context.Context, app *appmodel.Application) error {
	return n.apply(ctx, app, n.settings.timeout)
}

// apply plans, shows the plan, and applies it.
func (n *narrator) apply(ctx context.Context, app *appmodel.Application, limit time.Duration) error {
	plan, err := n.deployer.Plan(ctx, app, n.target, nil)
	if err != nil {
		return err
	}
	n.plan(plan)
	if err := plan.Err(); err != nil {
		return err
	}
	_, err = n.deployer.Apply(ctx, plan, &deploy.ApplyOptions{ReadyTimeout: limit, OnEvent: n.event})
	return err
}

func (n *narrator) change(ctx context.Context, app *appmodel.Application) error {
	web, err := component(app, "web")
	if err != nil {
		return err
	}
	replicas := 3
	web.Scale = &appmodel.Scale{Replicas: &replicas}
	web.Env = append(web.Env, appmodel.Env{Name: "LOG_LEVEL", Value: "debug"})
	return n.apply(ctx, app, n.settings.timeout)
}

// breakIt asks for the impossible, and expects to be told why it fails.
func (n *narrator) breakIt(ctx context.Context, app *appmodel.Application) error {
	broken := appmodel.Clone(app)
	cache, err := component(broken, "cache")
	if err != nil {
		return err
	}
	cache.Resources = &appmodel.Resources{Requests: map[string]appmodel.Quantity{"memory": "16Ti"}}
	err = n.apply(ctx, broken, 1500*time.Millisecond) // long enough to see why
	if !errors.Is(err, deploy.ErrNotReady) {
		return fmt.Errorf("the broken application was expected not to become ready, and: %w", err)
	}
	n.print("\n  What went wrong:")
	for _, line := range strings.Split(err.Error(), "\n") {
		n.print("    %s", line)
	}
	n.print("")
	return n.status(ctx, app)
}

func (n *narrator) rollBack(ctx context.Context, _ *appmodel.Application) error {
	plan, err := n.deployer.PlanRollback(ctx, "shop", n.target, nil)
	if err != nil {
		return err
	}
	n.plan(plan)
	_, err = n.deployer.Apply(ctx, plan, &deploy.ApplyOptions{ReadyTimeout: n.settings.timeout, OnEvent: n.event})
	if err != nil {
		return err
	}
	releases, err := n.deployer.Releases(ctx, "shop", n.target)
	if err != nil {
		return err
	}
	n.print("\n  Releases on %s:", n.target.Clusters[0])
	for _, r := range slices.Backward(releases[n.target.Clusters[0]]) {
		note := ""
		if r.RollbackTo > 0 {
			note = fmt.Sprintf(" (back to %d)", r.RollbackTo)
		}
		n.print("    %d  %-8s %-8s %d created, %d updated, %d deleted%s", r.Revision, r.Kind, r.State, r.Created, r.Updated, r.Deleted, note)
	}
	return nil
}

func (n *narrator) status(ctx context.Context, _ *appmodel.Application) error {
	s, err := n.deployer.Status(ctx, "shop", n.target)
	if err != nil {
		return err
	}
	n.print("%s", s.Tree(nil))
	return nil
}

func (n *narrator) remove(ctx context.Context) error {
	r, err := n.deployer.Remove(ctx, "shop", n.target, &deploy.RemoveOptions{Data: true}, &deploy.ApplyOptions{OnEvent: n.event})
	if err != nil {
		return err
	}
	for _, c := range r.Clusters {
		n.print("  %s: %d objects deleted", c.Cluster, c.Deleted)
	}
	return nil
}

func component(app *appmodel.Application, id string) (*appmodel.Component, error) {
	for i := range app.Components {
		if app.Components[i].ID == id {
			return &app.Components[i], nil
		}
	}
	return nil, fmt.Errorf("the compose file has no service %q", id)
}

func list(names []string) string {
	switch n := len(names); n {
	case 1:
		return names[0]
	default:
		text := names[0]
		for _, name := range names[1 : n-1] {
			text += ", " + name
		}
		return text + " and " + names[n-1]
	}
}
