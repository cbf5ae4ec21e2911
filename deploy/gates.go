package deploy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Gates are what has to be before something new comes to an environment: a
// deployment, a promotion, a copy or other images. A [Pipeline] takes it through
// them; an [Deployer.Apply] of such a plan in another way is
// appspan.ErrPrecondition, from the first release on that was made for the
// environment. Rollbacks, and what changes how that which is there runs (a stop, a
// scale, a heal), pass without.
type Gates struct {
	// Approvals is how many others than who began it must approve the plan.
	Approvals int `json:"approvals,omitempty"`
	// Approvers are the IDs and groups of subjects of whom the approvals come;
	// none: of anybody who may approve.
	Approvers []string `json:"approvers,omitempty"`
	// OwnApproval lets who began it approve too.
	OwnApproval bool `json:"ownApproval,omitempty"`
	// Before names checks that must pass on the plan; they come before the
	// approvals. After names checks that must pass on what runs then.
	Before []string `json:"before,omitempty"`
	After  []string `json:"after,omitempty"`
	// Soak is for how long what is promoted must have been in its environment
	// first, after its checks there.
	Soak time.Duration `json:"soakNanoseconds,omitempty"`
}

// IsZero reports whether everything passes.
func (g Gates) IsZero() bool {
	return g.Approvals == 0 && len(g.Before) == 0 && len(g.After) == 0 && g.Soak == 0
}

// same reports whether two are equal.
func (g Gates) same(other Gates) bool {
	return g.Approvals == other.Approvals && g.OwnApproval == other.OwnApproval && g.Soak == other.Soak &&
		slices.Equal(g.Approvers, other.Approvers) && slices.Equal(g.Before, other.Before) && slices.Equal(g.After, other.After)
}

// The bounds of gates.
const (
	maxApprovals = 32
	maxNamed     = 64
	maxSoak      = 90 * 24 * time.Hour
)

func (g Gates) check() string {
	switch {
	case g.Approvals < 0 || g.Approvals > maxApprovals:
		return fmt.Sprintf("%d approvals; 0 to %d can be asked for", g.Approvals, maxApprovals)
	case g.Soak < 0 || g.Soak > maxSoak:
		return fmt.Sprintf("a soak of %v; give up to %v", g.Soak, maxSoak)
	case len(g.Before) > maxNamed || len(g.After) > maxNamed || len(g.Approvers) > maxNamed:
		return fmt.Sprintf("more than %d checks or approvers", maxNamed)
	case slices.Contains(slices.Concat(g.Before, g.After, g.Approvers), ""):
		return "a check or an approver has no name"
	}
	return ""
}

// admits says why a subject is none whose approval counts, or "".
func (g Gates) admits(who appspan.Subject, s *Stage) string {
	switch {
	case who.ID == "":
		return "an approval needs somebody whose ID is known"
	case who.ID == s.Subject.ID && !g.OwnApproval:
		return "who began it cannot approve it too"
	case slices.Contains(s.Deciders, who.ID) && !g.OwnApproval:
		return "who decided its conflicts cannot approve it too"
	case len(g.Approvers) > 0 && !slices.Contains(g.Approvers, who.ID) &&
		!slices.ContainsFunc(who.Groups, func(group string) bool { return slices.Contains(g.Approvers, group) }):
		return "the approvers are " + strings.Join(g.Approvers, ", ")
	}
	return ""
}

// Follow says which images are deployed to an environment when they are pushed;
// see [Pipeline.ImagePushed].
type Follow struct {
	// Component gets the image; empty: each whose image is of the Repository.
	Component string `json:"component,omitempty"`
	// Repository is the name of an image without tag and digest:
	// "registry.example.com/shop/web".
	Repository string `json:"repository"`
	// Tags is a pattern as package path matches it, "v*" or "main-*"; empty: any tag.
	Tags string `json:"tags,omitempty"`
}

func (f Follow) check() string {
	repository, err := parseImage(f.Repository)
	switch {
	case err != nil:
		return fmt.Sprintf("it follows %q, which is no image: %v", f.Repository, err)
	case repository.tag != "" || repository.digest != "":
		return fmt.Sprintf("it follows %q; leave out the tag and the digest, and give Tags", f.Repository)
	}
	if _, err := path.Match(f.Tags, ""); err != nil {
		return fmt.Sprintf("Tags %q is no pattern; use * and ?", f.Tags)
	}
	return ""
}

// matches reports whether a pushed image is followed.
func (f Follow) matches(pushed image) bool {
	own, err := parseImage(f.Repository)
	if err != nil || own.repository != pushed.repository {
		return false
	}
	matched, err := path.Match(f.Tags, pushed.tag)
	return f.Tags == "" || err == nil && matched
}

// gated are the kinds of plans that bring something new.
func (k PlanKind) gated() bool {
	return slices.Contains([]PlanKind{KindDeploy, KindCopy, KindPromote, KindImage}, k)
}

// unpassed says why a cluster's part may not be applied but through a pipeline:
// one that takes it through the gates of the environment that is there. The
// release that runs says which that is, or the plan; or, of gates that came later,
// the records, if there are any.
func (d *Deployer) unpassed(ctx context.Context, p *Plan, l *live, passed bool) error {
	if !p.Kind.gated() {
		return nil
	}
	env, name := p.intent.means(l.cluster.Name()).Environment, ""
	if r := l.state.record; r.runs() {
		name = r.Gated
	}
	if name == "" && env != nil && !env.Gates.IsZero() {
		name = env.gated()
	}
	if name == "" {
		var err error
		if name, err = d.gatesAt(ctx, p, l); err != nil {
			return fmt.Errorf("whether an environment with gates is there: %w", err)
		}
	}
	if name == "" || passed && env != nil && env.gated() == name {
		return nil
	}
	return fmt.Errorf("%w: environment %s has gates; begin a stage of a pipeline, which goes through them (Pipeline.Deploy, Pipeline.Promote), or roll back", appspan.ErrPrecondition, name)
}

// gatesAt names the environment with gates that the records have where a plan goes.
// One of another team than the namespace's has no say there.
func (d *Deployer) gatesAt(ctx context.Context, p *Plan, l *live) (string, error) {
	if d.opts.Records == nil {
		return "", nil
	}
	team := p.Target.Team
	if team == "" && l.namespace != nil {
		team = l.namespace.Labels[labelTeam]
	}
	labels := l.cluster.Labels()
	for rec, err := range d.opts.Records.List(ctx, environmentKeys+p.Application+"/") {
		if err != nil {
			return "", err
		}
		var stored environmentRecord
		if err := storage.Decode(rec.Value, environmentFormat, &stored); err != nil {
			return "", fmt.Errorf("record %s: %w", rec.Key, err)
		}
		to := stored.Target
		there := slices.Contains(to.Clusters, l.cluster.Name())
		if len(to.Clusters) == 0 {
			there = true
			for name, value := range to.Labels {
				there = there && labels[name] == value
			}
		}
		if there && !stored.Gates.IsZero() && to.Namespace == p.Target.Namespace && to.Team == team {
			return stored.gated(), nil
		}
	}
	return "", nil
}

// Allowed says what keeps the subject from applying a plan that it was allowed to
// make: that a right is missing, or that gates are to be passed first. It reads no
// cluster, and goes by what was read for the plan.
func (d *Deployer) Allowed(ctx context.Context, p *Plan) error {
	var errs []error
	for i := range p.Clusters {
		part := &p.Clusters[i]
		err := d.authorize(ctx, p.Kind.verb(), p.Application, p.Target, part.Cluster)
		if err == nil && part.work != nil && part.work.live != nil {
			err = d.unpassed(ctx, p, part.work.live, false)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part.Cluster, err))
		}
	}
	return errors.Join(errs...)
}

// gatedBy is the environment whose gates what comes after an apply has to pass.
func gatedBy(p *Plan, cluster, before string) string {
	if !p.Kind.gated() {
		return before
	}
	if env := p.intent.means(cluster).Environment; env != nil && !env.Gates.IsZero() {
		return env.gated()
	}
	return ""
}

// gated names an environment among all that may have gates at one place.
func (env *Environment) gated() string {
	if env.Target.Team == "" {
		return env.Name
	}
	return env.Target.Team + "/" + env.Name
}
