package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Recovery is what was found again on clusters.
type Recovery struct {
	// Applications are all that run, or wait in the recycle bin, sorted by
	// namespace and name.
	Applications []Recovered `json:"applications,omitempty"`
	// Restored are the environments that were put back into Records; Kept are
	// those that were there, and were left as they are.
	Restored []string `json:"restored,omitempty"`
	Kept     []string `json:"kept,omitempty"`
	// Missed is what could not be read, so that the recovery is incomplete:
	// call it again once it answers.
	Missed []Missed `json:"missed,omitempty"`
	// Lost is what no cluster holds, in words.
	Lost []string `json:"lost"`
	// Notes are what a person should look at.
	Notes []string `json:"notes,omitempty"`
}

// Complete reports whether everything was read.
func (r *Recovery) Complete() bool { return len(r.Missed) == 0 }

// Recovered is one application in a namespace.
type Recovered struct {
	Application string `json:"application"`
	Namespace   string `json:"namespace"`
	// Team is whose namespace it is, by its label; empty for none.
	Team string `json:"team,omitempty"`
	// Environment is the one that it was deployed to, if any.
	Environment string `json:"environment,omitempty"`
	// Clusters are those on which it was found, sorted by name.
	Clusters []RecoveredOn `json:"clusters"`
}

// RecoveredOn is an application on one cluster.
type RecoveredOn struct {
	Cluster  string       `json:"cluster"`
	Revision int          `json:"revision"`
	State    ReleaseState `json:"state"` // of the newest release
	// Recycled: it was removed and may be restored.
	Recycled bool     `json:"recycled,omitempty"`
	Lineage  *Lineage `json:"lineage,omitempty"`

	listed ListedOn
}

// Missed is a cluster, or an application on it, that could not be read.
type Missed struct {
	Cluster     string    `json:"cluster"`
	Namespace   string    `json:"namespace,omitempty"`
	Application string    `json:"application,omitempty"`
	Error       string    `json:"error"`
	LastAnswer  time.Time `json:"lastAnswer,omitzero"`

	err error
}

// lost is what is in records alone.
func lost() []string {
	return []string{
		"environments to which nothing was ever deployed, and changes of an environment since it was deployed to last",
		"clusters and their credentials: register them again",
		"teams, their members, quotas and pull credentials: what they have on clusters is there",
		"stages of pipelines, with their approvals",
		"operations that were under way: what they left unfinished is shown as interrupted",
		"schedules",
		"the audit log",
	}
}

// Recover finds what the installation runs by the clusters of a target and the
// keys alone, and puts the environments that are not in Records back there, as
// they were when they were deployed to last. The index of applications, see
// [Deployer.List], then is as the clusters are. It may be called at any time and
// again; it changes nothing on clusters. The error joins what was missed; the
// recovery is never nil once the clusters were named. The subject must be
// allowed to update environments of no team, which are all: whoever acts for a
// team is not.
func (e *Environments) Recover(ctx context.Context, to Target) (*Recovery, error) {
	to, err := e.d.choose(ctx, "recovery", to)
	if err != nil {
		return nil, err
	}
	if err := appspan.Authorize(ctx, e.d.opts.Authorizer, e.d.subject, appspan.Access{Verb: appspan.VerbUpdate, Resource: "environment"}); err != nil {
		return nil, err
	}
	found := &finds{applications: map[[2]string]*Recovered{}, environments: map[string]foundEnvironment{}}
	var wg sync.WaitGroup
	for _, name := range to.Clusters {
		wg.Go(func() { e.d.recoverFrom(ctx, name, to.Namespace, found) })
	}
	wg.Wait()
	r := &Recovery{Lost: lost(), Missed: found.missed}
	slices.SortFunc(r.Missed, func(a, b Missed) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Application, b.Application))
	})
	for _, app := range found.applications {
		slices.SortFunc(app.Clusters, func(a, b RecoveredOn) int { return cmp.Compare(a.Cluster, b.Cluster) })
		r.Applications = append(r.Applications, *app)
	}
	slices.SortFunc(r.Applications, func(a, b Recovered) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Application, b.Application))
	})
	var errs []error
	for _, m := range r.Missed {
		errs = append(errs, m.err)
	}
	errs = append(errs, e.d.reindex(ctx, to, r))
	for _, key := range slices.Sorted(maps.Keys(found.environments)) {
		errs = append(errs, e.putBack(ctx, found.environments[key], r))
	}
	return r, errors.Join(errs...)
}

// finds gathers what is found on clusters.
type finds struct {
	mu           sync.Mutex
	applications map[[2]string]*Recovered // by namespace and name
	environments map[string]foundEnvironment
	missed       []Missed
}

// foundEnvironment is an environment as a release holds it.
type foundEnvironment struct {
	stored   *storedEnvironment
	deployed time.Time
	clusters []string
}

func (f *finds) miss(m Missed, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.err, m.Error = fmt.Errorf("%s: %w", m.Cluster, err), err.Error()
	f.missed = append(f.missed, m)
}

// recoverFrom reads everything of the installation on one cluster.
func (d *Deployer) recoverFrom(ctx context.Context, name, namespace string, found *finds) {
	listing, cancel := d.limit(ctx)
	defer cancel()
	c, err := d.clusters.Cluster(listing, name)
	if err != nil {
		found.miss(Missed{Cluster: name}, err)
		return
	}
	parents, err := d.parents(listing, c, namespace, appmodel.LabelInstallation)
	if err != nil {
		found.miss(Missed{Cluster: name, LastAnswer: c.LastAnswer()}, err)
		return
	}
	teams := map[string]string{}
	for _, p := range parents {
		at := Missed{Cluster: name, Namespace: p.namespace, Application: p.name, LastAnswer: c.LastAnswer()}
		if _, known := teams[p.namespace]; !known {
			if teams[p.namespace], err = d.teamOf(ctx, c, p.namespace); err != nil {
				found.miss(at, err)
				continue
			}
		}
		if err := d.recoverOne(ctx, c, p, teams[p.namespace], found); err != nil {
			found.miss(at, fmt.Errorf("%s/%s: %w", p.namespace, p.name, err))
		}
	}
}

// teamOf is whose namespace it is, by its label.
func (d *Deployer) teamOf(ctx context.Context, c *cluster.Cluster, namespace string) (string, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	obj, err := c.Get(ctx, driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: namespace})
	if errors.Is(err, appspan.ErrNotFound) {
		return "", nil
	}
	return obj.Labels[labelTeam], err
}

// recoverOne reads one application: its record, and of its releases the newest
// that names an environment.
func (d *Deployer) recoverOne(ctx context.Context, c *cluster.Cluster, p placed, team string, found *finds) error {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	st, s, err := d.readState(ctx, p.name, Target{Namespace: p.namespace}, c.Name())
	if err != nil || st == nil {
		return err
	}
	on := RecoveredOn{Cluster: c.Name(), Revision: st.record.Revision, Recycled: st.record.Recycled != nil, Lineage: st.record.Lineage, listed: st.record.listedOn(c.Name())}
	if last := st.record.newest(); last != nil {
		on.State = last.State
	}
	var env *storedEnvironment
	var deployed time.Time
	for _, release := range slices.Backward(st.record.Releases) {
		body, err := d.readRelease(ctx, c, s, st.record.id(release.Revision))
		if errors.Is(err, appspan.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if body.Intent != nil && body.Intent.Environment != nil {
			env, deployed = body.Intent.Environment, release.Started
			break
		}
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	key := [2]string{p.namespace, p.name}
	app := found.applications[key]
	if app == nil {
		app = &Recovered{Application: p.name, Namespace: p.namespace, Team: team}
		found.applications[key] = app
	}
	app.Clusters = append(app.Clusters, on)
	if env == nil {
		return nil
	}
	app.Environment = env.Name
	app.Clusters[len(app.Clusters)-1].listed.Environment = env.Name
	known := found.environments[env.ref().key()]
	if known.stored == nil || deployed.After(known.deployed) {
		known.stored, known.deployed = env, deployed
	}
	known.clusters = append(known.clusters, c.Name())
	found.environments[env.ref().key()] = known
	return nil
}

// putBack writes an environment into Records, if it is not there.
func (e *Environments) putBack(ctx context.Context, f foundEnvironment, r *Recovery) error {
	env := f.stored.Environment
	if err := env.take(f.stored.Own); err != nil {
		return fmt.Errorf("environment %s: %w", env, err)
	}
	if len(env.Target.Labels) == 0 {
		slices.Sort(f.clusters)
		for _, name := range f.clusters {
			if !slices.Contains(env.Target.Clusters, name) {
				r.Notes = append(r.Notes, fmt.Sprintf("environment %s runs on %s, which it does not name: it names %s; was the cluster registered under another name?", env, name, strings.Join(env.Target.Clusters, ", ")))
			}
		}
	}
	data, err := e.seal(&env)
	if err != nil {
		return err
	}
	_, err = e.records.Put(ctx, env.ref().key(), data, "")
	switch {
	case err == nil:
		r.Restored = append(r.Restored, env.String())
	case errors.Is(err, appspan.ErrExists), errors.Is(err, appspan.ErrPrecondition):
		r.Kept = append(r.Kept, env.String())
		err = nil
	}
	return err
}
