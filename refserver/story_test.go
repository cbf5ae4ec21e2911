package refserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage/journal"
)

// client is a client of somebody, by a token that was made for them.
func (s *site) client(who, team string) *client.Client {
	s.t.Helper()
	made, err := refserver.NewTokens(s.Parts().Records).Create(s.t.Context(), appspan.Subject{ID: who, Team: team}, "test", time.Hour)
	require.NoError(s.t, err)
	c, err := client.New(s.http.URL, &client.Options{Token: made.Text})
	require.NoError(s.t, err)
	return c
}

// fast applies plans without patience.
func fast(o *refserver.Options) {
	o.Rate, o.Burst = -1, 1
	o.Apply = deploy.ApplyOptions{ReadyTimeout: 10 * time.Second, FailAfter: 500 * time.Millisecond}
}

// doing does what somebody begins, to its end.
func doing(t *testing.T, c *client.Client) func(client.Planned, error) client.Operation {
	return func(p client.Planned, err error) client.Operation {
		t.Helper()
		require.NoError(t, err)
		op, err := c.Wait(t.Context(), p, nil)
		require.NoError(t, err)
		return op
	}
}

func TestTheWholeStoryThroughTheClient(t *testing.T) {
	t.Parallel()
	s := open(t, fast)
	ctx, c := t.Context(), s.client("admin", "")
	done := doing(t, c)

	// a compose file is validated, planned, and runs on two clusters
	wrong, err := c.Validate(ctx, client.Document{Text: "apiVersion: appspan.dev/v1alpha1\nkind: Application\nmetadata: {name: shop}\ncomponents:\n  - {id: web, knd: service}\n"})
	require.NoError(t, err)
	require.False(t, wrong.Valid)
	require.Equal(t, 5, wrong.Faults[0].Line)
	valid, err := c.Validate(ctx, client.Document{Format: "compose", Text: compose, Name: "shop"})
	require.NoError(t, err)
	require.True(t, valid.Valid, valid.Faults)
	require.NotEmpty(t, valid.Report)
	deployment := client.Deployment{Document: client.Document{Text: valid.Text}, Target: deploy.Target{Clusters: []string{"a", "b"}, Namespace: "shop"}}
	seen, err := c.PlanDeploy(ctx, deployment)
	require.NoError(t, err)
	deployment.PlanHash = seen.Plan.Hash
	require.Len(t, done(c.Deploy(ctx, deployment)).Result.Clusters, 2)
	app, err := c.Application(ctx, "shop", "shop", true)
	require.NoError(t, err)
	require.Equal(t, status.Ready, app.Status.Worst)
	deployment.PlanHash = ""
	again, err := c.Deploy(ctx, deployment)
	require.NoError(t, err)
	require.True(t, again.Unchanged)

	// it is changed, broken, seen why, and rolled back
	edit := func(from, to string) client.Deployment {
		d := deployment
		d.Document.Text = replaced(t, valid.Text, from, to)
		return d
	}
	done(c.Deploy(ctx, edit("hello", "good day")))
	broken, err := c.Deploy(ctx, edit("registry.example.com/web:1", "nowhere.invalid/web:2"))
	require.NoError(t, err)
	failed, err := c.Wait(ctx, broken, nil)
	require.ErrorContains(t, err, "nowhere.invalid/web:2")
	require.Equal(t, journal.Failed, failed.State)
	app, err = c.Application(ctx, "shop", "shop", true)
	require.NoError(t, err)
	on := app.Status.Clusters[0].Components
	web := on[slices.IndexFunc(on, func(c status.Component) bool { return c.ID == "web" })]
	require.Equal(t, status.ImagePull, web.Causes[0].Reason)
	require.NotEmpty(t, web.Causes[0].Next)
	happened, err := c.Happenings(ctx, "shop", "shop")
	require.NoError(t, err)
	require.NotEmpty(t, happened.Events)
	done(c.RollBack(ctx, "shop", "shop", client.RollbackRequest{Revision: 1}, false))
	releases, err := c.Releases(ctx, "shop", "shop")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, slices.Sorted(maps.Keys(releases)))
	require.Len(t, releases["a"], 4)
	var changes []string
	for change, err := range c.ReleaseChanges(ctx, "shop", "shop", "a", 4, 2) {
		require.NoError(t, err)
		changes = append(changes, change.Path)
	}
	require.Equal(t, []string{"components[web].env[GREETING].value"}, changes)
	released, err := c.Release(ctx, "shop", "shop", "a", 4)
	require.NoError(t, err)
	require.Contains(t, released.Text, "hello")

	// it is stopped, started, kept as it is, and copied; a promotion has a conflict
	done(c.Command(ctx, "shop", "shop", client.CommandRequest{Command: deploy.Command{Kind: deploy.KindStop}}, false))
	done(c.Command(ctx, "shop", "shop", client.CommandRequest{Command: deploy.Command{Kind: deploy.KindStart}}, false))
	require.NoError(t, c.Keep(ctx, "shop", "shop", client.Keeping{Policy: deploy.DriftPolicy{Default: deploy.DriftReport}}))
	drift, err := c.Drift(ctx, "shop", "shop")
	require.NoError(t, err)
	require.True(t, drift.Empty(), drift.String())
	require.NoError(t, c.StopKeeping(ctx, "shop", "shop"))
	copied := client.CopyRequest{Target: deploy.Target{Clusters: []string{"b"}, Namespace: "live"}}
	done(c.Copy(ctx, "shop", "shop", copied, false))
	done(c.Deploy(ctx, edit("hello", "upstream")))
	theirs, err := c.Release(ctx, "live", "shop", "b", 1)
	require.NoError(t, err)
	done(c.Deploy(ctx, client.Deployment{Document: client.Document{Text: replaced(t, theirs.Text, "hello", "here")}, Target: deploy.Target{Clusters: []string{"b"}, Namespace: "live"}}))
	_, err = c.Promote(ctx, "live", "shop", client.PromotionRequest{}, false)
	require.ErrorIs(t, err, appspan.ErrConflict)
	promotion, err := c.Promote(ctx, "live", "shop", client.PromotionRequest{}, true)
	require.NoError(t, err)
	require.Len(t, promotion.Promotion.Conflicts, 1)
	where := promotion.Promotion.Conflicts[0].Path
	done(c.Promote(ctx, "live", "shop", client.PromotionRequest{Decisions: map[string]appmodel.Decision{where: appmodel.TakeTheirs}}, false))
	production, err := c.Application(ctx, "live", "shop", true)
	require.NoError(t, err)
	require.Equal(t, status.Ready, production.Status.Worst)

	// it is removed into the recycle bin, and comes back
	done(c.Remove(ctx, "live", "shop", &client.RemoveOptions{Recycle: true}))
	var bin []deploy.Recycled
	for r, err := range c.Recycled(ctx, "live", "b") {
		require.NoError(t, err)
		bin = append(bin, r)
	}
	require.Len(t, bin, 1)
	done(c.Restore(ctx, "live", "shop", client.Seen{}, false))
	done(c.Remove(ctx, "live", "shop", &client.RemoveOptions{Data: true}))
	for op, err := range c.Operations(ctx, true) {
		require.NoError(t, err)
		require.True(t, op.State.Over())
	}
}

func TestStagesWaitForTheApprovalOfAnotherOne(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *refserver.Options) { fast(o); o.Operators = append(o.Operators, "second") })
	ctx, c, second := t.Context(), s.client("admin", ""), s.client("second", "")
	env := func(name, from string, gates deploy.Gates) client.Environment {
		return client.Environment{Environment: deploy.Environment{Application: "shop", Name: name, From: from, Gates: gates, Target: deploy.Target{Clusters: []string{"a"}, Namespace: name}}}
	}
	_, err := c.PutEnvironment(ctx, env("test", "", deploy.Gates{}), "")
	require.NoError(t, err)
	_, err = c.PutEnvironment(ctx, env("live", "test", deploy.Gates{Approvals: 1}), "")
	require.NoError(t, err)
	_, err = c.PutEnvironment(ctx, env("live", "test", deploy.Gates{Approvals: 2}), "")
	require.ErrorIs(t, err, appspan.ErrPrecondition, "without the tag of what was read")
	live, tag, err := c.Environment(ctx, "shop", "live")
	require.NoError(t, err)
	live.Answers = map[string]appmodel.JSON{}
	_, err = c.PutEnvironment(ctx, live, tag)
	require.NoError(t, err)
	doing(t, c)(c.DeployTo(ctx, "shop", "test", client.Deployment{Document: client.Document{Text: shop}}, false))

	stage, err := c.BeginStage(ctx, "shop", "live", client.StageRequest{})
	require.NoError(t, err)
	until := func(state deploy.StageState) {
		t.Helper()
		require.Eventually(t, func() bool {
			stage, err = c.Stage(ctx, "shop", stage.ID)
			require.NoError(t, err)
			return stage.State == state
		}, 30*time.Second, 20*time.Millisecond, stage.State)
	}
	until(deploy.StageWaiting)
	plan, err := c.StagePlan(ctx, "shop", stage.ID)
	require.NoError(t, err)
	_, err = c.ApproveStage(ctx, "shop", stage.ID, plan.Plan.Hash, "my own")
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, err = second.ApproveStage(ctx, "shop", stage.ID, "sha256:another", "")
	require.ErrorIs(t, err, appspan.ErrPrecondition)
	_, err = second.ApproveStage(ctx, "shop", stage.ID, plan.Plan.Hash, "looks good")
	require.NoError(t, err)
	until(deploy.StageDone)
	n := 0
	for stage, err := range c.Stages(ctx, "shop") {
		require.NoError(t, err)
		require.Equal(t, "live", stage.Environment)
		n++
	}
	require.Equal(t, 1, n)
	require.NoError(t, c.DeleteEnvironment(ctx, "shop", "live"))
	names := []string{}
	for env, err := range c.Environments(ctx, "") {
		require.NoError(t, err)
		names = append(names, env.Name)
	}
	require.Equal(t, []string{"test"}, names)
}

// cutting is a server in front of another one that can cut all connections.
type cutting struct {
	*httptest.Server
	mu    sync.Mutex
	conns map[net.Conn]bool
	made  int
}

func (s *site) cutting() *cutting {
	c := &cutting{conns: map[net.Conn]bool{}}
	c.Server = httptest.NewUnstartedServer(s.http.Config.Handler)
	c.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch state {
		case http.StateNew:
			c.conns[conn], c.made = true, c.made+1
		case http.StateClosed, http.StateHijacked:
			delete(c.conns, conn)
		}
	}
	c.Start()
	s.t.Cleanup(func() { c.cut(); c.Close() })
	return c
}

func (c *cutting) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

func (s *site) cuttable(c *cutting) *client.Client {
	made, err := refserver.NewTokens(s.Parts().Records).Create(s.t.Context(), admin, "test", time.Hour)
	require.NoError(s.t, err)
	out, err := client.New(c.URL, &client.Options{Token: made.Text})
	require.NoError(s.t, err)
	return out
}

func TestEventsGoOnWithoutAGapAfterCuts(t *testing.T) {
	t.Parallel()
	s := open(t, fast)
	front := s.cutting()
	c := s.cuttable(front)
	direct := s.client("admin", "")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	heard := make(chan string, 1000)
	ended := make(chan error, 1)
	go func() {
		for e, err := range c.Events(ctx, "operation") {
			if err != nil {
				ended <- err
				return
			}
			require.NotEqual(t, "", e.Kind)
			if e.Kind == "resync" {
				heard <- "resync"
				continue
			}
			if strings.Contains(string(e.Data), `"state":"done"`) {
				heard <- e.ID
			}
		}
	}()
	d := client.Deployment{Document: client.Document{Text: shop}, Target: deploy.Target{Clusters: []string{"a"}, Namespace: "shop"}}
	require.Eventually(t, func() bool { front.mu.Lock(); defer front.mu.Unlock(); return front.made > 0 }, 10*time.Second, time.Millisecond)
	doing(t, direct)(direct.Deploy(t.Context(), d))
	first := <-heard
	ids := map[string]bool{}
	for first == "resync" { // it was cut before anything was heard
		first = <-heard
	}
	ids[first] = true
	for range 4 {
		front.cut()
		doing(t, direct)(direct.Command(t.Context(), "shop", "shop", client.CommandRequest{Command: deploy.Command{Kind: deploy.KindRestart}}, false))
		id := <-heard
		require.NotEqual(t, "resync", id, "nothing is lost")
		require.False(t, ids[id], "%s is heard twice", id)
		ids[id] = true
	}
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestLinesOfALogComeOnceThroughCuts(t *testing.T) {
	t.Parallel()
	s := open(t, fast)
	front := s.cutting()
	c, direct := s.cuttable(front), s.client("admin", "")
	doing(t, direct)(direct.Deploy(t.Context(), client.Deployment{Document: client.Document{Text: shop}, Target: deploy.Target{Clusters: []string{"a"}, Namespace: "shop"}}))
	pods := s.pods("a", "shop")
	require.Len(t, pods, 2)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	heard := make(chan string, 1000)
	go func() {
		defer close(heard)
		for line, err := range c.Logs(ctx, "shop", "shop", &client.LogOptions{Follow: true}) {
			if err != nil {
				return
			}
			if strings.HasPrefix(line.Text, "line ") {
				heard <- line.Pod + " " + line.Text
			}
		}
	}()
	count := map[string]int{}
	for i := range 60 {
		for _, pod := range pods {
			text := "line " + string(rune('A'+i))
			require.NoError(t, s.fakes["a"].WriteLog("shop", pod, "web", text))
			got := <-heard
			count[got]++
			if i == 0 {
				continue
			}
			require.Equal(t, 1, count[got], got)
		}
		if i%10 == 5 {
			front.cut()
		}
	}
	require.Len(t, count, 120)
	stop()
	for late := range heard {
		require.Fail(t, "a line came twice: "+late)
	}
}

// pods are the names of an application's pods on a cluster.
func (s *site) pods(name, namespace string) []string {
	c, err := s.Parts().Fleet.For(admin).Cluster(s.t.Context(), name)
	require.NoError(s.t, err)
	var out []string
	for o, err := range c.List(s.t.Context(), cluster.Query{APIVersion: "v1", Kind: "Pod", Namespace: namespace}) {
		require.NoError(s.t, err)
		out = append(out, o.Name)
	}
	return out
}

func TestCommandsAndPortsThroughTheClient(t *testing.T) {
	t.Parallel()
	s := open(t, fast)
	ctx, c := t.Context(), s.client("admin", "")
	doing(t, c)(c.Deploy(ctx, client.Deployment{Document: client.Document{Text: shop}, Target: deploy.Target{Clusters: []string{"a", "b"}, Namespace: "shop"}}))
	var out bytes.Buffer
	require.NoError(t, c.Exec(ctx, "shop", "shop", client.ExecOptions{Cluster: "a", Component: "web", Command: []string{"echo", "", "hello"}, Stdout: &out}))
	require.Equal(t, " hello\n", out.String())
	out.Reset()
	big := strings.Repeat("0123456789abcdef", 10_000)
	require.NoError(t, c.Exec(ctx, "shop", "shop", client.ExecOptions{Cluster: "b", Component: "web", Command: []string{"cat"}, Stdin: strings.NewReader(big), Stdout: &out}))
	require.Equal(t, big, out.String())
	var exit *driver.ExitError
	require.ErrorAs(t, c.Exec(ctx, "shop", "shop", client.ExecOptions{Cluster: "a", Component: "web", Command: []string{"sh", "-c", "exit 7"}}), &exit)
	require.Equal(t, 7, exit.Code)
	require.ErrorIs(t, c.Exec(ctx, "shop", "shop", client.ExecOptions{Command: []string{"true"}}), appspan.ErrInvalid, "which cluster is not said")
	require.ErrorIs(t, c.Exec(ctx, "shop", "none", client.ExecOptions{Command: []string{"true"}}), appspan.ErrNotFound)
	require.ErrorIs(t, s.client("somebody", "").Exec(ctx, "shop", "shop", client.ExecOptions{Cluster: "a", Command: []string{"true"}}), appspan.ErrNotFound)
	_, err := c.Forward(ctx, "shop", "shop", "a", "web", "http")
	if conn, ok := err, err == nil; !ok {
		require.ErrorIs(t, conn, appspan.ErrUnsupported)
	}
	_, err = c.Forward(ctx, "shop", "shop", "a", "web", "none")
	require.Error(t, err)
	require.False(t, errors.Is(err, io.EOF))
}
