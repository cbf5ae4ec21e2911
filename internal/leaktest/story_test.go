package leaktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/stretchr/testify/require"
)

// program is everything of the SDK over one store.
type program struct {
	fleet *cluster.Fleet
	hub   *hub
	teams *team.Teams
	audit *team.Audit
	gate  *team.Gate
	auth  *team.Authorizer
	d     *deploy.Deployer
	j     *journal.Journal
}

// start starts the program.
func (w *world) start() *program {
	p := &program{audit: team.NewAudit(w.records, nil), gate: team.NewGate(w.records), hub: w.hub(),
		auth: team.NewAuthorizer(w.records, &team.AuthorizerOptions{Operators: []string{"root"}, TTL: -1})}
	apps := &applications{}
	p.fleet = w.newFleet(cluster.FleetOptions{Authorizer: p.auth, Auditor: p.audit, Applications: apps}, p.hub).For(root)
	o := &team.Options{Installation: "leaktest", Keys: w.keys, Authorizer: p.auth, Auditor: p.audit}
	w.hear("the options of teams", o)
	teams, err := team.New(w.records, p.fleet, o)
	w.ok("teams", err)
	p.teams = teams.For(root)
	w.hear("teams", p.teams)
	p.d, p.j = w.deployer(p, w.records)
	apps.Applications = p.d.Applications()
	return p
}

var root = appspan.Subject{ID: "root"}

// applications are those of a Deployer that comes later.
type applications struct{ cluster.Applications }

// deployer is one whose applies are written down in records.
func (w *world) deployer(p *program, records *storage.Records) (*deploy.Deployer, *journal.Journal) {
	j, err := journal.New(records, &journal.Options{TTL: 2 * time.Second, Logger: w.logger})
	w.ok("a journal", err)
	o := &deploy.Options{Installation: "leaktest", Keys: w.keys, Authorizer: p.auth, Auditor: p.audit, Gate: p.gate, Journal: j, Logger: w.logger}
	d, err := deploy.New(p.fleet, o)
	w.ok("a deployer", err)
	w.hear("the options of a deployer", o)
	w.hear("a deployer", d)
	return d.For(root), j
}

// story is everything that the SDK does with credentials: on the clusters of
// the names, on which a team has a namespace of the id.
func (w *world) story(p *program, server string, ca []byte, id string, names ...string) {
	ctx := w.t.Context()
	c, err := p.fleet.Cluster(ctx, names[0])
	w.ok("a cluster", err)
	w.teams(p.teams, id, names...)
	w.drifted(p.teams, c, id)
	w.refusedSecret(c, id)
	w.kubeconfigs(p.teams, id, names[0], server, ca)
	w.stage("with a team")

	to := deploy.Target{Clusters: names, Namespace: id, Team: id}
	ann := p.d.For(appspan.Subject{ID: "ann", Team: id})
	w.lives(ann, p.fleet, to)
	w.killed(p, to)
	w.operations(p.j)
	for _, name := range names {
		c, err := p.fleet.Cluster(ctx, name)
		w.ok("a cluster", err)
		w.objects(c, id, "default", "kube-system", team.MembersNamespace("leaktest"))
	}
	w.stage("with an application")

	w.rotate()
	n, err := p.fleet.Reseal(ctx)
	w.ok("sealing again", err)
	require.Positive(w.t, n)
	w.ok("sealing again", p.teams.Reseal(ctx))
	app, o := w.shop("v5")
	_, err = w.applied(p.d, w.planned(p.d, app, to, o))
	w.ok("an apply after a rotation", err)
	w.fails("a removal of a cluster with applications", p.fleet.Remove(ctx, names[0], nil))
	w.moved()
	w.stage("after a rotation")

	w.removed(p.d, to)
	w.disbanded(p.teams, id)
	w.audited(p.audit)
	w.ok("tidying", p.j.Tidy(ctx))
	w.moved()
	w.stage("at the end")
}

// mortal is a store as a process sees it that may be dead.
type mortal struct {
	driver.Records
	dead atomic.Bool
}

var errKilled = errors.New("the process was killed")

func (m *mortal) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	if m.dead.Load() {
		return "", errKilled
	}
	return m.Records.Put(ctx, key, value, ifRevision)
}

func (m *mortal) Close() error { return nil }

// killed has a process end in the middle of an apply, which this one finishes.
func (w *world) killed(p *program, to deploy.Target) {
	ctx := w.t.Context()
	store := &mortal{Records: w.records.Driver()}
	dying, _ := w.deployer(p, storage.NewRecords(store, &storage.RecordsOptions{Attempts: 1}))
	app, o := w.shop("v4")
	plan := w.planned(dying, app, to, o)
	r, err := dying.Apply(ctx, plan, &deploy.ApplyOptions{OnEvent: func(e appspan.Event) {
		w.event(e)
		store.dead.Store(store.dead.Load() || e.Phase == deploy.PhaseApply || e.Phase == deploy.PhaseReady)
	}})
	require.True(w.t, store.dead.Load())
	w.fails("an apply of a process that is killed", err)
	w.hear("a result", r)

	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.j.Run(running); err != nil {
			w.t.Error(err)
		}
	})
	for op, err := range p.j.List(ctx, false) {
		w.ok("operations", err)
		op, err = p.j.Wait(ctx, op.ID)
		w.ok("waiting", err)
		w.hear("operations", op)
		require.Equal(w.t, journal.Done, op.State, op.Error)
		require.Equal(w.t, 2, op.Attempts)
	}
	cancel()
	wg.Wait()
}

// operations reads the journal, and what is cancelled and fails in it.
func (w *world) operations(j *journal.Journal) {
	ctx := w.t.Context()
	secret := w.secret("what an operation works with")
	sealed, err := w.keys.Seal([]byte(secret), []byte("operation"))
	w.ok("sealing", err)
	body := must(json.Marshal(map[string][]byte{"sealed": sealed}))
	w.ok("a handler", j.Handle("fails", func(ctx context.Context, r *journal.Run) error {
		_, err := w.keys.Open(sealed, []byte("another context"))
		r.Event(ctx, appspan.Event{Message: "it fails", Kind: appspan.EventFailure})
		return r.Step(ctx, "open", func(context.Context) error { return err })
	}))
	for _, kind := range []string{"fails", "of-nobody"} {
		op, err := j.Begin(ctx, journal.Intent{Kind: kind, Subject: root, Body: body})
		w.ok("an operation", err)
		w.hear("operations", op)
		if kind == "of-nobody" {
			w.ok("a cancellation", j.Cancel(ctx, op.ID))
			w.fails("a second cancellation", j.Cancel(ctx, op.ID))
			continue
		}
		op, err = j.Execute(ctx, op.ID, &journal.ExecuteOptions{OnEvent: w.event})
		w.ok("an execution", err)
		require.Equal(w.t, journal.Failed, op.State)
	}
	for op, err := range j.List(ctx, true) {
		w.ok("operations", err)
		w.hear("operations", op)
	}
}

// ours reports whether a Secret is a record of the SDK, in which everything is
// sealed.
func ours(obj cluster.Object) bool {
	return obj.Labels["appspan.dev/release-of"] != "" || obj.Labels["applyset.kubernetes.io/id"] != ""
}

// objects notes everything that is in namespaces of a cluster, but the values
// of Secrets that are the application's or the team's own.
func (w *world) objects(c *cluster.Cluster, namespaces ...string) {
	info, err := c.Refresh(w.t.Context())
	w.ok("a cluster", err)
	kinds, records := map[string]int{}, 0
	for _, k := range info.Kinds {
		for _, namespace := range namespaces {
			if !k.Namespaced {
				continue
			}
			for obj, err := range c.List(w.t.Context(), cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: namespace}) {
				if err != nil {
					break // a kind that cannot be listed
				}
				kinds[k.Kind]++
				out := w.at("objects on " + c.Name() + ": " + k.Kind)
				if obj.Kind != "Secret" {
					_, _ = out.Write(obj.JSON)
					continue
				}
				var secret struct {
					Metadata json.RawMessage   `json:"metadata"`
					Data     map[string][]byte `json:"data"`
				}
				require.NoError(w.t, json.Unmarshal(obj.JSON, &secret))
				_, _ = out.Write(secret.Metadata)
				if ours(obj) {
					records++
					for _, v := range secret.Data {
						_, _ = out.Write(v)
					}
				}
			}
		}
	}
	require.GreaterOrEqual(w.t, records, 3, "the record and its releases")
	for _, kind := range []string{"Deployment", "Pod", "ServiceAccount", "Event", "ReplicaSet"} {
		require.Positive(w.t, kinds[kind], kind)
	}
}

// TestNoCredentialIsLeftAnywhere takes everything of the SDK through its life
// with credentials that are used nowhere else, and then looks for them in the
// file of records, its free pages, exports, logs, errors, events and results,
// and in whatever clusters hold that is no Secret of the application.
func TestNoCredentialIsLeftAnywhere(t *testing.T) {
	if racing {
		t.Skip("client-go's own tracing of requests, which is searched, is not free of races; run it without -race, as make unit does")
	}
	w := newWorld(t)
	w.bolt()
	stop := w.follow()
	p := w.start()
	servers := w.fleet(p.fleet)
	w.tunnels(p.fleet, p.hub)
	w.stage("with a fleet")
	w.story(p, servers.URL, servers.ca, "blue", "certificate", "edge")
	w.leave(p.fleet)
	w.ok("closing", p.fleet.Close())
	w.ok("closing", p.hub.Close())
	stop()
	w.clean("when all is closed")
}
