package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

var (
	dev      = appspan.Subject{ID: "dana"}
	operator = appspan.Subject{ID: "olga", Groups: []string{"operators"}}
	second   = appspan.Subject{ID: "omar", Groups: []string{"operators"}}
)

// chain is an application with development, test and production, the last
// behind gates.
type chain struct {
	*staged
	*deploy.Pipeline
}

func newChain(t *testing.T, live deploy.Environment, opts *deploy.PipelineOptions) *chain {
	t.Helper()
	c := &chain{staged: newStaged(t)}
	c.put(deploy.Environment{Application: "shop", Name: "development", Target: on("a"),
		Follows: []deploy.Follow{{Repository: "registry.example.com/web", Tags: "v*"}}})
	c.put(deploy.Environment{Application: "shop", Name: "test", From: "development", Auto: true, Target: deploy.Target{Clusters: []string{"a"}, Namespace: "test"},
		Overrides: hosts(t, "test.example.com")})
	live.Application, live.Name, live.From, live.Target = "shop", "production", "test", production
	live.Overrides = hosts(t, "live.example.com")
	c.put(live)
	c.Pipeline = c.pipeline(opts)
	return c
}

// hosts gives an environment a host name of its own.
func hosts(t *testing.T, name string) []deploy.ClusterOverride {
	return []deploy.ClusterOverride{{Override: override(t, fmt.Sprintf("metadata: {name: host}\nset: {routes: [{id: shop, http: {hosts: [%s]}}]}", name))}}
}

func (c *chain) pipeline(opts *deploy.PipelineOptions) *deploy.Pipeline {
	c.t.Helper()
	p, err := deploy.NewPipeline(c.Environments, opts)
	require.NoError(c.t, err)
	return p
}

// begin deploys to development.
func (c *chain) begin(app *appmodel.Application) deploy.Stage {
	c.t.Helper()
	s, err := c.Pipeline.For(dev).Deploy(c.t.Context(), "shop", "development", app, nil)
	require.NoError(c.t, err)
	require.Equal(c.t, deploy.StagePlanning, s.State)
	return s
}

// through takes everything as far as it comes.
func (c *chain) through() {
	c.t.Helper()
	for again := true; again; {
		again = false
		before := c.all()
		for _, s := range before {
			if !s.State.Over() || !s.Followed {
				_, err := c.Advance(c.t.Context(), "shop", s.ID)
				require.NoError(c.t, err)
			}
		}
		again = !slices.EqualFunc(before, c.all(), func(a, b deploy.Stage) bool { return a.State == b.State && a.Reason == b.Reason })
	}
}

func (c *chain) all() []deploy.Stage {
	c.t.Helper()
	var out []deploy.Stage
	for s, err := range c.Pipeline.List(c.t.Context(), "shop") {
		require.NoError(c.t, err)
		out = append(out, s)
	}
	return out
}

// in is the newest stage of an environment.
func (c *chain) in(environment string) deploy.Stage {
	c.t.Helper()
	all := c.all()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Environment == environment {
			return all[i]
		}
	}
	require.Fail(c.t, "no stage in "+environment)
	return deploy.Stage{}
}

func (c *chain) greets(cluster, namespace, text string) {
	c.t.Helper()
	data, err := json.Marshal(c.get(cluster, configMap(namespace)))
	require.NoError(c.t, err)
	require.Contains(c.t, string(data), text)
}

func TestWhatIsNewGoesThroughTheEnvironmentsAndTheirGates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []string
		check := func(name string) deploy.Check {
			return func(_ context.Context, about deploy.CheckInput) error {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, fmt.Sprint(name, " ", about.Plan != nil, " ", about.Target.Clusters))
				return nil
			}
		}
		var told []string
		c := newChain(t, deploy.Environment{Auto: true, Gates: deploy.Gates{Approvals: 2, Approvers: []string{"operators"}, Before: []string{"policy"}, After: []string{"smoke"}}},
			&deploy.PipelineOptions{Checks: map[string]deploy.Check{"policy": check("policy"), "smoke": check("smoke")},
				OnStage: func(s deploy.Stage) { told = append(told, s.Environment+" "+string(s.State)) }})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		c.begin(shop(t))
		time.Sleep(time.Minute)
		require.Equal(t, deploy.StageDone, c.in("development").State)
		require.Equal(t, deploy.StageDone, c.in("test").State)
		s := c.in("production")
		require.Equal(t, deploy.StageWaiting, s.State)
		require.Equal(t, "0 of 2 approvals of operators", s.Reason)
		require.Equal(t, dev, s.Subject)
		require.Equal(t, c.in("test").ID, s.After)
		require.Empty(t, c.objects("b", "live"))

		plan, err := c.Pipeline.For(operator).Plan(t.Context(), "shop", s.ID)
		require.NoError(t, err)
		require.Equal(t, s.PlanHash, plan.Hash, "the same plan has the same hash again")
		_, err = c.Pipeline.For(dev).Approve(t.Context(), "shop", s.ID, plan.Hash, "")
		require.ErrorIs(t, err, appspan.ErrDenied)
		require.ErrorContains(t, err, "who began it")
		_, err = c.Pipeline.For(appspan.Subject{ID: "somebody"}).Approve(t.Context(), "shop", s.ID, plan.Hash, "")
		require.ErrorIs(t, err, appspan.ErrDenied)
		_, err = c.Pipeline.For(operator).Approve(t.Context(), "shop", s.ID, "sha256:other", "")
		require.ErrorIs(t, err, appspan.ErrPrecondition)
		for range 2 { // twice is once
			_, err = c.Pipeline.For(operator).Approve(t.Context(), "shop", s.ID, plan.Hash, "go")
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		require.Equal(t, "1 of 2 approvals of operators", c.in("production").Reason)
		require.Empty(t, c.objects("b", "live"))
		_, err = c.Pipeline.For(second).Approve(t.Context(), "shop", s.ID, plan.Hash, "")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		s = c.in("production")
		require.Equal(t, deploy.StageDone, s.State, s.Reason)
		require.Equal(t, []deploy.StageCluster{{Cluster: "b", Revision: 1, Outcome: deploy.OutcomeDone}}, s.Clusters)
		c.greets("b", "live", "hello")
		require.Equal(t, []string{"policy true [b]", "smoke false [b]"}, asked)
		stop()
		require.NoError(t, <-ended)
		require.Equal(t, []string{"planning", "checking", "waiting", "applying", "verifying", "done"}, of(told, "production"))
	})
}

func of(told []string, environment string) (out []string) {
	for _, line := range told {
		var env, state string
		_, _ = fmt.Sscan(line, &env, &state)
		if env == environment {
			out = append(out, state)
		}
	}
	return out
}

func TestAnApprovalIsOfOnePlan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, deploy.Environment{Auto: true, Gates: deploy.Gates{Approvals: 1}}, nil)
		c.begin(shop(t))
		c.through()
		first := c.in("production")
		_, err := c.Pipeline.For(operator).Approve(t.Context(), "shop", first.ID, first.PlanHash, "")
		require.NoError(t, err)
		c.put(deploy.Environment{Application: "shop", Name: "production", From: "test", Auto: true, Target: production, Gates: deploy.Gates{Approvals: 1},
			Overrides: append(hosts(t, "live.example.com"), deploy.ClusterOverride{Override: override(t, "metadata: {name: more}\nset: {components: [{id: web, scale: {replicas: 5}}]}")})})
		c.through()
		now := c.in("production")
		require.Equal(t, first.ID, now.ID)
		require.Equal(t, deploy.StageWaiting, now.State)
		require.NotEqual(t, first.PlanHash, now.PlanHash)
		require.Empty(t, c.objects("b", "live"))
		_, err = c.Pipeline.For(operator).Approve(t.Context(), "shop", now.ID, now.PlanHash, "")
		require.NoError(t, err)
		c.through()
		require.Equal(t, deploy.StageDone, c.in("production").State)
		require.Equal(t, 5, c.number("b", liveWeb, "spec", "replicas"))
	})
}

func TestGatesHoldWhatGoesAroundThePipeline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, deploy.Environment{Auto: true, Gates: deploy.Gates{Approvals: 1, OwnApproval: true}}, nil)
		c.begin(shop(t))
		c.through()
		refused := func(p *deploy.Plan, err error) {
			t.Helper()
			require.NoError(t, err)
			before := c.objects("b", "live")
			_, err = c.Apply(t.Context(), p, nil)
			require.ErrorIs(t, err, appspan.ErrPrecondition)
			require.ErrorContains(t, err, "environment production has gates; begin a stage of a pipeline")
			require.Equal(t, before, c.objects("b", "live"))
		}
		first, err := c.Environments.PlanPromotion(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		refused(first.Plan, nil)
		s := c.in("production")
		_, err = c.Pipeline.For(dev).Approve(t.Context(), "shop", s.ID, s.PlanHash, "mine")
		require.NoError(t, err)
		c.through()
		require.Equal(t, deploy.StageDone, c.in("production").State)

		other := shop(t, "value: hello", "value: by hand")
		refused(c.Deployer.Plan(t.Context(), other, production, nil))
		refused(c.PlanEdit(t.Context(), "shop", production, func(app *appmodel.Application) error {
			app.Components[0].Image = "registry.example.com/web:2"
			return nil
		}, nil))
		refused(c.PlanCommand(t.Context(), "shop", production, deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"web": "registry.example.com/web:3"}}, nil))
		_, err = c.Deployer.Deploy(t.Context(), other, production, nil)
		require.ErrorIs(t, err, appspan.ErrPrecondition)
		c.run(deploy.KindStop, production)
		c.run(deploy.KindStart, production)
		_, err = c.Rollback(t.Context(), "shop", production, &deploy.RollbackOptions{Revision: 1}, nil)
		require.NoError(t, err, "what was there before needs nobody's approval")
		refused(c.Deployer.Plan(t.Context(), other, production, nil))
	})
}

func TestChecksHoldAndFailStages(t *testing.T) {
	t.Parallel()
	answers := map[string]error{}
	var mu sync.Mutex
	check := func(context.Context, deploy.CheckInput) error {
		mu.Lock()
		defer mu.Unlock()
		return answers["now"]
	}
	for name, c := range map[string]struct {
		gates    deploy.Gates
		answer   error
		state    deploy.StageState
		reason   string
		greeting string
	}{
		"a check before says no":              {deploy.Gates{Before: []string{"check"}}, fmt.Errorf("the image has holes"), deploy.StageFailed, "check check: precondition failed: the image has holes", "hello"},
		"a check before cannot say":           {deploy.Gates{Before: []string{"check"}}, fmt.Errorf("scanner: %w", appspan.ErrUnavailable), deploy.StageChecking, "check check cannot say yet: scanner: unavailable", "hello"},
		"a check that is not there":           {deploy.Gates{Before: []string{"missing"}}, nil, deploy.StageChecking, "check missing cannot say yet: unavailable: this program has no check of that name; put it into PipelineOptions.Checks", "hello"},
		"a check after says no, and it stays": {deploy.Gates{After: []string{"check"}}, fmt.Errorf("the page is empty"), deploy.StageFailed, "check check: precondition failed: the page is empty", "good day"},
	} {
		t.Run(name, func(t *testing.T) {
			mu.Lock()
			answers["now"] = nil
			mu.Unlock()
			synctest.Test(t, func(t *testing.T) {
				w := newChain(t, deploy.Environment{Auto: true}, &deploy.PipelineOptions{Checks: map[string]deploy.Check{"check": check}})
				w.begin(shop(t))
				w.through()
				require.Equal(t, deploy.StageDone, w.in("production").State)
				w.put(deploy.Environment{Application: "shop", Name: "production", From: "test", Auto: true, Target: production, Gates: c.gates, Overrides: hosts(t, "live.example.com")})
				mu.Lock()
				answers["now"] = c.answer
				mu.Unlock()
				w.begin(shop(t, "value: hello", "value: good day"))
				w.through()
				s := w.in("production")
				require.Equal(t, c.state, s.State)
				require.Equal(t, c.reason, s.Reason)
				w.greets("b", "live", c.greeting)
				if c.state == deploy.StageChecking {
					time.Sleep(2 * time.Hour)
					w.through()
					s := w.in("production")
					require.Equal(t, deploy.StageFailed, s.State, "not for ever")
					_, err := w.Retry(t.Context(), "shop", s.ID)
					require.NoError(t, err)
					w.put(deploy.Environment{Application: "shop", Name: "production", From: "test", Auto: true, Target: production, Overrides: hosts(t, "live.example.com")})
					w.through()
					require.Equal(t, deploy.StageDone, w.in("production").State)
					w.greets("b", "live", "good day")
				}
			})
		})
	}
}

func TestWhatFailsAfterItsApplyIsRolledBackWhereAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fails := false
		c := newChain(t, deploy.Environment{Auto: true, RollBack: true, Gates: deploy.Gates{After: []string{"smoke"}}}, &deploy.PipelineOptions{Checks: map[string]deploy.Check{
			"smoke": func(context.Context, deploy.CheckInput) error {
				if fails {
					return fmt.Errorf("the page is empty")
				}
				return nil
			}}})
		c.begin(shop(t))
		c.through()
		require.Equal(t, deploy.StageDone, c.in("production").State)
		fails = true
		c.begin(shop(t, "value: hello", "value: good day"))
		c.through()
		s := c.in("production")
		require.Equal(t, deploy.StageRolledBack, s.State, s.Reason)
		require.Equal(t, "check smoke: precondition failed: the page is empty", s.Reason)
		c.greets("b", "live", "hello")
		c.greets("a", "test", "good day")
	})
}

func TestAPromotionThatConflictsWaitsForADecision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, deploy.Environment{Auto: true}, nil)
		c.begin(shop(t))
		c.through()
		p, err := c.PlanEdit(t.Context(), "shop", production, func(app *appmodel.Application) error {
			app.Configs[0].Items[0].Value = "of its own"
			return nil
		}, nil)
		c.apply(p, err)
		c.begin(shop(t, "value: hello", "value: good day"))
		c.through()
		s := c.in("production")
		require.Equal(t, deploy.StageConflicted, s.State)
		require.Len(t, s.Conflicts, 1)
		path := s.Conflicts[0].Path
		require.Equal(t, "configs[site].items[GREETING].value", path)
		c.put(deploy.Environment{Application: "shop", Name: "production", From: "test", Auto: true, Target: production, Gates: deploy.Gates{Approvals: 1}, Overrides: hosts(t, "live.example.com")})
		_, err = c.Pipeline.For(second).Decide(t.Context(), "shop", s.ID, map[string]appmodel.Decision{path: appmodel.TakeTheirs})
		require.NoError(t, err)
		c.through()
		hash := c.in("production").PlanHash
		_, err = c.Pipeline.For(second).Approve(t.Context(), "shop", s.ID, hash, "")
		require.ErrorContains(t, err, "who decided its conflicts")
		_, err = c.Pipeline.For(operator).Approve(t.Context(), "shop", s.ID, hash, "")
		require.NoError(t, err)
		c.through()
		require.Equal(t, deploy.StageDone, c.in("production").State, c.in("production").Reason)
		c.greets("b", "live", "good day")
	})
}

func TestANewerStageTakesThePlaceOfOneThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, deploy.Environment{Auto: true, Gates: deploy.Gates{Approvals: 1}}, nil)
		c.begin(shop(t))
		c.through()
		first := c.in("production")
		c.begin(shop(t, "value: hello", "value: good day"))
		c.through()
		now := c.in("production")
		require.NotEqual(t, first.ID, now.ID)
		first, err := c.Pipeline.Get(t.Context(), "shop", first.ID)
		require.NoError(t, err)
		require.Equal(t, deploy.StageSuperseded, first.State)
		require.Equal(t, "stage "+now.ID+" came after it", first.Reason)
		_, err = c.Pipeline.For(operator).Reject(t.Context(), "shop", now.ID, "not today")
		require.NoError(t, err)
		require.Equal(t, "rejected by olga: not today", c.in("production").Reason)
		require.Empty(t, c.objects("b", "live"))
		_, err = c.Cancel(t.Context(), "shop", now.ID, "")
		require.ErrorIs(t, err, appspan.ErrPrecondition)
	})
}

func TestStagesOfDifferentKindsComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, deploy.Environment{}, nil)
		c.begin(shop(t))
		c.through()
		c.put(deploy.Environment{Application: "shop", Name: "development", Target: on("a"), Gates: deploy.Gates{Approvals: 1},
			Follows: []deploy.Follow{{Repository: "registry.example.com/web"}}})
		one := c.begin(shop(t, "value: hello", "value: good day"))
		time.Sleep(time.Second)
		pushed, err := c.ImagePushed(t.Context(), deploy.ImagePush{Image: "registry.example.com/web:2"})
		require.NoError(t, err)
		require.Len(t, pushed, 1)
		c.through()
		require.Equal(t, fmt.Sprintf("stage %s is before it (waiting)", one.ID), c.in("development").Reason)
		_, err = c.Cancel(t.Context(), "shop", one.ID, "never mind")
		require.NoError(t, err)
		c.through()
		require.Equal(t, deploy.StageWaiting, c.in("development").State)
	})
}

func TestAPushedImageIsDeployedWhereItIsFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, deploy.Environment{}, nil)
		c.begin(shop(t))
		c.through()
		digest := "sha256:" + fmt.Sprintf("%064d", 7)
		for _, image := range []string{"registry.example.com/web:latest", "registry.example.com/other:v2", "elsewhere.example.com/web:v2"} {
			none, err := c.ImagePushed(t.Context(), deploy.ImagePush{Image: image})
			require.NoError(t, err)
			require.Empty(t, none, image)
		}
		for _, bad := range []deploy.ImagePush{{}, {Image: "registry.example.com/web"}, {Image: "no image:1"}, {Image: "registry.example.com/web:v2", Digest: "sha256:short"}} {
			_, err := c.ImagePushed(t.Context(), bad)
			require.ErrorIs(t, err, appspan.ErrInvalid, bad.Image)
		}
		push := deploy.ImagePush{Image: "registry.example.com/web:v2", Digest: digest}
		first, err := c.ImagePushed(t.Context(), push)
		require.NoError(t, err)
		require.Len(t, first, 1)
		again, err := c.ImagePushed(t.Context(), push)
		require.NoError(t, err)
		require.Equal(t, first[0].ID, again[0].ID, "news that comes twice is news once")
		c.through()
		again, err = c.ImagePushed(t.Context(), push)
		require.NoError(t, err)
		require.Equal(t, first[0].ID, again[0].ID)
		require.Equal(t, deploy.StageDone, c.in("development").State, c.in("development").Reason)
		require.Equal(t, deploy.StageDone, c.in("test").State, c.in("test").Reason)
		for _, namespace := range []string{"shop", "test"} {
			data, err := json.Marshal(c.get("a", deploymentOf(namespace, "web")))
			require.NoError(t, err)
			require.Contains(t, string(data), "registry.example.com/web:v2@"+digest)
		}
	})
}

func TestWhatIsPromotedSoaksFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, deploy.Environment{Gates: deploy.Gates{Soak: time.Hour}}, nil)
		c.begin(shop(t))
		c.through()
		s, err := c.Promote(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		c.through()
		require.Contains(t, c.in("production").Reason, "it soaks until ")
		require.WithinDuration(t, time.Now().Add(time.Hour), c.in("production").NotBefore, time.Minute)
		time.Sleep(time.Hour)
		c.through()
		s, err = c.Pipeline.Get(t.Context(), "shop", s.ID)
		require.NoError(t, err)
		require.Equal(t, deploy.StageDone, s.State, s.Reason)
	})
}

func configMap(namespace string) driver.Ref {
	return driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: namespace, Name: "shop-site"}
}

func deploymentOf(namespace, component string) driver.Ref {
	return driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace, Name: "shop-" + component}
}

// roles lets subjects do what is said of them, as "resource:verb".
type roles map[string][]string

func (r roles) Authorize(_ context.Context, who appspan.Subject, a appspan.Access) error {
	if slices.Contains(r[who.ID], a.Resource+":"+string(a.Verb)) && who.Team == a.Team {
		return nil
	}
	return fmt.Errorf("%s: %w", a, appspan.ErrDenied)
}

func TestStagesAreHeldToTheRightsOfWhoBeganThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStaged(t)
		everything := []string{"application:read", "application:deploy", "environment:read", "environment:update"}
		d, err := deploy.New(s.set, &deploy.Options{Installation: "test", Keys: s.keys, Authorizer: roles{
			"ann": append(everything, "environment:approve"), "bob": everything, "eve": everything, "ron": {"environment:read", "application:read"}}})
		require.NoError(t, err)
		as := func(id, team string) appspan.Subject { return appspan.Subject{ID: id, Team: team} }
		envs, err := deploy.NewEnvironments(s.records, d)
		require.NoError(t, err)
		gated := deploy.Environment{Application: "shop", Name: "production", Target: deploy.Target{Clusters: []string{"a"}, Namespace: "shop", Team: "blue"}, Gates: deploy.Gates{Approvals: 1}}
		require.NoError(t, envs.For(as("ann", "blue")).Put(t.Context(), gated))
		open := gated
		open.Gates = deploy.Gates{}
		require.ErrorIs(t, envs.For(as("bob", "blue")).Put(t.Context(), open), appspan.ErrDenied, "who may not approve may not open the gates")
		p, err := deploy.NewPipeline(envs, nil)
		require.NoError(t, err)

		_, err = p.For(as("ron", "blue")).Deploy(t.Context(), "shop", "production", shop(t), nil)
		require.ErrorIs(t, err, appspan.ErrDenied)
		_, err = p.Deploy(t.Context(), "shop", "production", shop(t), nil)
		require.ErrorIs(t, err, appspan.ErrDenied, "nobody")
		secret := shop(t, "metadata: {name: shop}", "metadata: {name: shop}\nparameters: [{name: token, schema: {type: string}, secret: true}]")
		stage, err := p.For(as("bob", "blue")).Deploy(t.Context(), "shop", "production", secret, &deploy.StageOptions{Answers: map[string]appmodel.JSON{"token": appmodel.JSON(`"c0rrect-horse"`)}})
		require.NoError(t, err)
		for rec, err := range s.records.List(t.Context(), "pipelines/") {
			require.NoError(t, err)
			require.NotContains(t, string(rec.Value), "c0rrect-horse")
		}
		stage, err = p.For(as("bob", "blue")).Advance(t.Context(), "shop", stage.ID)
		require.NoError(t, err)
		require.Equal(t, deploy.StageWaiting, stage.State, stage.Reason)
		for _, verb := range []func(*deploy.Pipeline) error{
			func(p *deploy.Pipeline) error { _, err := p.Get(t.Context(), "shop", stage.ID); return err },
			func(p *deploy.Pipeline) error { _, err := p.Plan(t.Context(), "shop", stage.ID); return err },
			func(p *deploy.Pipeline) error { _, err := p.Advance(t.Context(), "shop", stage.ID); return err },
			func(p *deploy.Pipeline) error {
				_, err := p.Approve(t.Context(), "shop", stage.ID, stage.PlanHash, "")
				return err
			},
			func(p *deploy.Pipeline) error { _, err := p.Cancel(t.Context(), "shop", stage.ID, ""); return err },
			func(p *deploy.Pipeline) error { _, err := p.Retry(t.Context(), "shop", stage.ID); return err },
		} {
			require.ErrorIs(t, verb(p.For(as("eve", "red"))), appspan.ErrNotFound, "another team's is not there")
		}
		for range p.For(as("eve", "red")).List(t.Context(), "") {
			require.Fail(t, "another team's stage is listed")
		}
		_, err = p.For(as("bob", "blue")).Approve(t.Context(), "shop", stage.ID, stage.PlanHash, "")
		require.ErrorIs(t, err, appspan.ErrDenied)
		_, err = p.For(as("ron", "blue")).Cancel(t.Context(), "shop", stage.ID, "")
		require.ErrorIs(t, err, appspan.ErrDenied)
		_, err = p.For(as("ron", "blue")).Plan(t.Context(), "shop", stage.ID)
		require.NoError(t, err)

		_, err = s.keys.Rotate(nil)
		require.NoError(t, err)
		n, err := p.For(as("ann", "blue")).Reseal(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		stage, err = p.For(as("ann", "blue")).Approve(t.Context(), "shop", stage.ID, stage.PlanHash, "")
		require.NoError(t, err)
		stage, err = p.For(as("ann", "blue")).Advance(t.Context(), "shop", stage.ID)
		require.NoError(t, err)
		require.Equal(t, deploy.StageDone, stage.State, stage.Reason)
	})
}
