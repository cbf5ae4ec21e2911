package refserver_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage/journal"
)

// rigSite is a server over real control planes, as two teams use it.
type rigSite struct {
	t      *testing.T
	server *refserver.Server
	http   *httptest.Server
	suffix string
}

func newRigSite(t *testing.T) *rigSite {
	t.Helper()
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	kubeconfig, err := os.ReadFile(file)
	require.NoError(t, err)
	s := &rigSite{t: t, suffix: strconv.FormatInt(time.Now().UnixNano()%1e12, 36)}
	s.server, err = refserver.Open(t.Context(), &refserver.Options{Dir: t.TempDir(), Operators: []string{admin.ID}, Installation: "portal-" + s.suffix,
		HandlerOptions: refserver.HandlerOptions{Rate: 5000, Burst: 5000, Apply: deploy.ApplyOptions{ReadyTimeout: 2 * time.Minute, FailAfter: time.Second}}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.server.Run(ctx) }()
	s.http = httptest.NewServer(s.server)
	parts := s.server.Parts()
	t.Cleanup(func() {
		for _, name := range []string{"rig-1", "rig-2"} {
			c, err := parts.Fleet.Cluster(context.Background(), name)
			if err != nil {
				continue
			}
			for _, namespace := range []string{"blue-", "live-", "red-"} {
				_ = c.Delete(context.Background(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: namespace + s.suffix}, driver.DeleteOptions{})
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error("run:", err)
		}
		require.NoError(t, s.server.Close())
		s.http.CloseClientConnections()
		s.http.Close()
	})
	for _, name := range []string{"rig-1", "rig-2"} {
		_, err := parts.Fleet.For(admin).Add(t.Context(), cluster.Registration{Name: name, Provider: "kubeconfig", Config: kubeconfig, Context: name}, nil)
		require.NoError(t, err)
	}
	teams := parts.Teams.For(admin)
	for id, namespaces := range map[string][]string{"blue": {"blue-", "live-"}, "red": {"red-"}} {
		_, err := teams.Create(t.Context(), team.Team{ID: id, Members: []team.Member{{Subject: id + "-dev", Role: team.RoleDeveloper}, {Subject: id + "-admin", Role: team.RoleAdmin}}})
		require.NoError(t, err)
		for _, name := range []string{"rig-1", "rig-2"} {
			var a team.Allocation
			for _, namespace := range namespaces {
				a.Namespaces = append(a.Namespaces, team.Namespace{Name: namespace + s.suffix})
			}
			_, _, err := teams.Allocate(t.Context(), id, name, a)
			require.NoError(t, err)
		}
		plan, err := teams.Reconcile(t.Context(), id)
		require.NoError(t, err, plan.String())
	}
	return s
}

// as is a client of somebody, by a token that was made for them.
func (s *rigSite) as(id, teamID string) *client.Client {
	s.t.Helper()
	made, err := refserver.NewTokens(s.server.Parts().Records).Create(s.t.Context(), appspan.Subject{ID: id, Team: teamID}, "test", time.Hour)
	require.NoError(s.t, err)
	c, err := client.New(s.http.URL, &client.Options{Token: made.Text})
	require.NoError(s.t, err)
	return c
}

const compose = `
services:
  web:
    image: registry.example.com/web:1
    ports: ["8080:80"]
    environment: {GREETING: hello}
    depends_on: [db]
  db:
    image: registry.example.com/db:11
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pw}
    volumes: [data:/var/lib/db]
volumes: {data: {}}
`

func TestRigTheWholeStoryOfTwoTeamsThroughTheClient(t *testing.T) {
	t.Parallel()
	s := newRigSite(t)
	ctx := t.Context()
	blue, red := s.as("blue-dev", "blue"), s.as("red-dev", "red")
	space, live := "blue-"+s.suffix, "live-"+s.suffix

	valid, err := blue.Validate(ctx, client.Document{Format: "compose", Text: compose, Name: "shop"})
	require.NoError(t, err)
	require.True(t, valid.Valid, valid.Faults)
	deployment := client.Deployment{Document: client.Document{Text: valid.Text}, Target: deploy.Target{Clusters: []string{"rig-1", "rig-2"}, Namespace: space}}
	seen, err := blue.PlanDeploy(ctx, deployment)
	require.NoError(t, err)
	t.Log(seen.Text)
	deployment.PlanHash = seen.Plan.Hash
	done := func(p client.Planned, err error) client.Operation {
		t.Helper()
		require.NoError(t, err)
		op, err := blue.Wait(ctx, p, nil)
		require.NoError(t, err)
		return op
	}
	op := done(blue.Deploy(ctx, deployment))
	require.Len(t, op.Result.Clusters, 2)
	app, err := blue.Application(ctx, space, "shop", true)
	require.NoError(t, err)
	require.Equal(t, "Ready", string(app.Status.Worst))

	// changed after its plan was seen, broken, seen why, rolled back
	edit := func(from, to string) client.Deployment {
		d := deployment
		d.PlanHash = ""
		d.Document.Text = replaced(t, valid.Text, from, to)
		return d
	}
	done(blue.Deploy(ctx, edit("hello", "good day")))
	broken, err := blue.Deploy(ctx, edit("registry.example.com/web:1", "nowhere.invalid/web:2"))
	require.NoError(t, err)
	failed, err := blue.Wait(ctx, broken, nil)
	require.ErrorContains(t, err, "nowhere.invalid/web:2")
	require.Equal(t, journal.Failed, failed.State)
	app, err = blue.Application(ctx, space, "shop", true)
	require.NoError(t, err)
	web := app.Status.Clusters[0].Components[slices.IndexFunc(app.Status.Clusters[0].Components, func(c status.Component) bool { return c.ID == "web" })]
	require.NotEmpty(t, web.Causes, app.Status.Tree(nil))
	cause := web.Causes[0]
	t.Log(cause.Reason, cause.Message, cause.Next)
	require.Equal(t, status.ImagePull, cause.Reason)
	require.NotEmpty(t, cause.Next)
	done(blue.RollBack(ctx, space, "shop", client.RollbackRequest{Revision: 1}, false))
	var changes []string
	for c, err := range blue.ReleaseChanges(ctx, space, "shop", "rig-1", 4, 2) {
		require.NoError(t, err)
		changes = append(changes, c.Path)
	}
	require.Equal(t, []string{"components[web].env[GREETING].value"}, changes)

	// copied to production, and a change promoted with a conflict decided
	copied := client.CopyRequest{Target: deploy.Target{Clusters: []string{"rig-2"}, Namespace: live}, Replicas: map[string]int{"web": 3}}
	done(blue.Copy(ctx, space, "shop", copied, false))
	done(blue.Deploy(ctx, edit("registry.example.com/web:1", "registry.example.com/web:2")))
	promotion, err := blue.Promote(ctx, live, "shop", client.PromotionRequest{}, true)
	require.NoError(t, err)
	require.Equal(t, "components[web].image", promotion.Promotion.Changes[0].Path)
	done(blue.Promote(ctx, live, "shop", client.PromotionRequest{Decisions: map[string]appmodel.Decision{}, Seen: client.Seen{PlanHash: promotion.Plan.Hash}}, false))
	production, err := blue.Application(ctx, live, "shop", true)
	require.NoError(t, err)
	require.Equal(t, "Ready", string(production.Status.Worst))

	// the other team sees nothing of it
	for range red.Applications(ctx, nil) {
		require.Fail(t, "the other team's applications are listed")
	}
	for range red.Operations(ctx, true) {
		require.Fail(t, "the other team's operations are listed")
	}
	_, err = red.Application(ctx, space, "shop", false)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	_, err = red.Operation(ctx, op.ID)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	_, err = red.Remove(ctx, space, "shop", nil)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	theirs := deployment
	theirs.PlanHash = ""
	_, err = red.Deploy(ctx, theirs)
	require.ErrorIs(t, err, appspan.ErrDenied, "into the other team's namespace")
	theirs.Target.Namespace = "red-" + s.suffix
	p, err := red.Deploy(ctx, theirs)
	require.NoError(t, err)
	_, err = red.Wait(ctx, p, nil)
	require.NoError(t, err)
	_, err = s.as("red-dev", "").ForTeam("blue").Application(ctx, space, "shop", false)
	require.ErrorIs(t, err, appspan.ErrNotFound)

	_, err = blue.Remove(ctx, space, "shop", &client.RemoveOptions{Data: true, PlanHash: "sha256:another"})
	require.ErrorIs(t, err, appspan.ErrPrecondition)
	done(blue.Remove(ctx, space, "shop", &client.RemoveOptions{Data: true}))
	_, err = blue.Application(ctx, space, "shop", false)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	var problem *client.Problem
	require.True(t, errors.As(err, &problem))
	require.Equal(t, http.StatusNotFound, problem.Status)
}

func replaced(t *testing.T, text, from, to string) string {
	t.Helper()
	require.Contains(t, text, from)
	return strings.ReplaceAll(text, from, to)
}
