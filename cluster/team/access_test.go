package team_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func TestAuthorizer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.create(team.Team{ID: "red", Members: []team.Member{{Subject: "rob", Role: team.RoleAdmin}}})
	a := team.NewAuthorizer(w.records, &team.AuthorizerOptions{Operators: []string{"op"}, OperatorGroups: []string{"platform"}})
	deploy := appspan.Access{Verb: appspan.VerbDeploy, Resource: "application", Team: "blue", Cluster: "a", Namespace: "blue", Application: "shop"}
	with := func(edit func(*appspan.Access)) appspan.Access {
		access := deploy
		edit(&access)
		return access
	}
	for _, c := range []struct {
		name    string
		subject appspan.Subject
		access  appspan.Access
		denied  string // empty: may
	}{
		{"a developer deploys", appspan.Subject{ID: "dan"}, deploy, ""},
		{"also when acting for the team", appspan.Subject{ID: "dan", Team: "blue"}, deploy, ""},
		{"an observer does not", appspan.Subject{ID: "olga"}, deploy, `role "observer" does not have permission "application:deploy"`},
		{"but looks", appspan.Subject{ID: "olga"}, with(func(a *appspan.Access) { a.Verb = appspan.VerbRead }), ""},
		{"nobody may nothing", appspan.Subject{}, deploy, "nobody"},
		{"a team alone is nobody", appspan.Subject{Team: "blue"}, deploy, "nobody"},
		{"who acts for another team does not", appspan.Subject{ID: "dan", Team: "red"}, deploy, `acts for team "red"`},
		{"a member of another team does not", appspan.Subject{ID: "rob"}, deploy, "no member"},
		{"of a team that there is not, the same is said", appspan.Subject{ID: "rob"}, with(func(a *appspan.Access) { a.Team = "gone" }), "no member"},
		{"not on a cluster of others", appspan.Subject{ID: "ada"}, with(func(a *appspan.Access) { a.Cluster = "z" }), `nothing on cluster "z"`},
		{"not in a namespace of others", appspan.Subject{ID: "ada"}, with(func(a *appspan.Access) { a.Namespace = "red" }), `namespace "red" is not the team's`},
		{"not what is of no team", appspan.Subject{ID: "ada"}, appspan.Access{Verb: appspan.VerbRead, Resource: "cluster"}, "no operator"},
		{"an admin does not raise the quota", appspan.Subject{ID: "ada"}, appspan.Access{Verb: appspan.VerbUpdate, Resource: "team", Team: "blue"}, `"team:update"`},
		{"an operator does", appspan.Subject{ID: "op"}, appspan.Access{Verb: appspan.VerbUpdate, Resource: "team", Team: "blue"}, ""},
		{"by group too", appspan.Subject{ID: "x", Groups: []string{"platform"}}, appspan.Access{Verb: appspan.VerbCreate, Resource: "cluster"}, ""},
		{"but not while acting for a team", appspan.Subject{ID: "op", Team: "blue"}, deploy, "no member"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := appspan.Authorize(t.Context(), a, c.subject, c.access)
			if c.denied == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, appspan.ErrDenied)
			require.ErrorContains(t, err, c.denied)
		})
	}
}

func TestWhatIsTakenFromAMemberEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.create(blue())
		a := team.NewAuthorizer(w.records, nil)
		access := appspan.Access{Verb: appspan.VerbDeploy, Resource: "application", Team: "blue"}
		require.NoError(t, a.Authorize(t.Context(), appspan.Subject{ID: "dan"}, access))
		_, err := w.Update(t.Context(), "blue", func(tm *team.Team) error { tm.Members = tm.Members[:1]; return nil })
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		require.ErrorIs(t, a.Authorize(t.Context(), appspan.Subject{ID: "dan"}, access), appspan.ErrDenied)
	})
}

func TestAnAuthorizerThatCannotTellDenies(t *testing.T) {
	t.Parallel()
	records := storage.NewRecords(memstore.NewRecords(), &storage.RecordsOptions{Attempts: 1})
	require.NoError(t, records.Close())
	err := team.NewAuthorizer(records, nil).Authorize(t.Context(), appspan.Subject{ID: "dan"}, appspan.Access{Verb: appspan.VerbRead, Resource: "team", Team: "blue"})
	require.ErrorIs(t, err, appspan.ErrUnavailable)
}

func TestTeamsAsk(t *testing.T) {
	t.Parallel()
	open := newWorld(t, nil)
	open.create(blue())
	open.create(team.Team{ID: "red"})
	audit := team.NewAudit(open.records, nil)
	teams, err := team.New(open.records, open.set, &team.Options{Installation: "test", Auditor: audit,
		Authorizer: team.NewAuthorizer(open.records, &team.AuthorizerOptions{Operators: []string{"op"}, TTL: -1})})
	require.NoError(t, err)
	ada, dan, op := teams.For(appspan.Subject{ID: "ada"}), teams.For(appspan.Subject{ID: "dan"}), teams.For(appspan.Subject{ID: "op"})

	_, err = teams.Get(t.Context(), "blue")
	require.ErrorIs(t, err, appspan.ErrDenied, "nobody acts")
	addMember := func(tm *team.Team) error {
		tm.Members = append(tm.Members, team.Member{Subject: "new", Role: team.RoleObserver})
		return nil
	}
	raise := func(tm *team.Team) error { tm.Quota["cpu"] = "1000"; return nil }
	_, err = dan.Update(t.Context(), "blue", addMember)
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, err = ada.Update(t.Context(), "blue", addMember)
	require.NoError(t, err)
	_, err = ada.Update(t.Context(), "blue", raise)
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, err = op.Update(t.Context(), "blue", raise)
	require.NoError(t, err)
	_, err = ada.Delete(t.Context(), "blue", nil)
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, _, err = ada.Allocate(t.Context(), "blue", "b", team.Allocation{})
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, err = ada.Create(t.Context(), team.Team{ID: "mine"})
	require.ErrorIs(t, err, appspan.ErrDenied)

	seen := func(who *team.Teams) (ids []string) {
		for tm, err := range who.List(t.Context()) {
			require.NoError(t, err)
			ids = append(ids, tm.ID)
		}
		return ids
	}
	require.Equal(t, []string{"blue"}, seen(dan))
	require.Equal(t, []string{"blue", "red"}, seen(op))

	var b bytes.Buffer
	n, err := audit.Export(t.Context(), &b, team.AuditQuery{Team: "blue"})
	require.NoError(t, err)
	require.Equal(t, 3, n, "what was denied by its content is told, what was not begun is not:\n%s", b.String())
	require.Contains(t, b.String(), `"subject":{"id":"ada"}`)
}

func TestTheAuditOfADayIsFoundByItsTime(t *testing.T) {
	t.Parallel()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer func() { require.NoError(t, records.Close()) }()
	a := team.NewAudit(records, nil)
	day := func(n int, hour int) time.Time {
		return time.Date(2026, 11, n, hour, 0, 0, 0, time.FixedZone("", 3600))
	}
	for _, at := range []time.Time{day(1, 12), day(2, 0), day(2, 23), day(3, 0), day(4, 12), day(4, 12).AddDate(-1, 0, 0), day(4, 13).AddDate(-1, 0, 0)} {
		require.NoError(t, a.Audit(t.Context(), appspan.AuditEntry{Time: at, Subject: appspan.Subject{ID: at.UTC().Format("06-02T15")}}))
	}
	for _, c := range []struct {
		query team.AuditQuery
		want  []string
	}{
		{team.AuditQuery{}, []string{"25-04T11", "25-04T12", "26-01T11", "26-01T23", "26-02T22", "26-02T23", "26-04T11"}},
		{team.AuditQuery{From: day(2, 0), Until: day(3, 0)}, []string{"26-01T23", "26-02T22"}},
		{team.AuditQuery{From: day(3, 0), Until: day(30, 0)}, []string{"26-02T23", "26-04T11"}},
		{team.AuditQuery{Until: day(2, 0)}, []string{"25-04T11", "25-04T12", "26-01T11"}},
	} {
		var got []string
		for e, err := range a.Entries(t.Context(), c.query) {
			require.NoError(t, err)
			got = append(got, e.Subject.ID)
		}
		require.Equal(t, c.want, got)
		for limit := 1; limit <= 3; limit++ {
			var pages []string
			for before := ""; ; {
				page, next, err := a.Page(t.Context(), c.query, before, limit)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page), limit)
				for _, e := range page {
					pages = append([]string{e.Subject.ID}, pages...)
				}
				if before = next; next == "" {
					break
				}
			}
			require.Equal(t, c.want, pages, "in pages of %d", limit)
		}
	}
}

func TestNobodyGivesWhatTheyDoNotHave(t *testing.T) {
	t.Parallel()
	open := newWorld(t, nil)
	tm := blue()
	tm.Roles = []team.Role{{Name: "recruiter", Permissions: []team.Permission{"member:update", "application:read"}}, {Name: "reader", Permissions: []team.Permission{"application:read"}}}
	tm.Members = append(tm.Members, team.Member{Subject: "rita", Role: "recruiter"})
	open.create(tm)
	teams, err := team.New(open.records, open.set, &team.Options{Installation: "test", Authorizer: team.NewAuthorizer(open.records, &team.AuthorizerOptions{TTL: -1})})
	require.NoError(t, err)
	rita, ada := teams.For(appspan.Subject{ID: "rita"}), teams.For(appspan.Subject{ID: "ada"})
	hire := func(role string) func(*team.Team) error {
		return func(tm *team.Team) error {
			tm.Members = append(tm.Members, team.Member{Subject: "new-" + role, Role: role})
			return nil
		}
	}
	_, err = rita.Update(t.Context(), "blue", hire("reader"))
	require.NoError(t, err)
	_, err = rita.Update(t.Context(), "blue", hire(team.RoleAdmin))
	require.ErrorIs(t, err, appspan.ErrDenied)
	require.ErrorContains(t, err, `"secret:read" is not given to new-admin`)
	_, err = rita.Update(t.Context(), "blue", func(tm *team.Team) error { tm.Members[3].Role = team.RoleAdmin; return nil })
	require.ErrorIs(t, err, appspan.ErrDenied, "nor to herself")
	_, err = rita.Update(t.Context(), "blue", func(tm *team.Team) error {
		tm.Roles[0].Permissions = append(tm.Roles[0].Permissions, "secret:read")
		return nil
	})
	require.ErrorIs(t, err, appspan.ErrDenied, "nor by another role")
	_, err = ada.Update(t.Context(), "blue", hire(team.RoleAdmin))
	require.NoError(t, err)
}

func TestAuditKeepsWhatItShouldAndBoundsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer func() { require.NoError(t, records.Close()) }()
		a := team.NewAudit(records, &team.AuditOptions{Keep: time.Hour, MaxEntries: 3, PruneEvery: -1})
		entry := func(id string) appspan.AuditEntry {
			return appspan.AuditEntry{Subject: appspan.Subject{ID: id}, Outcome: strings.Repeat("é", 3000),
				Access: appspan.Access{Verb: appspan.VerbDeploy, Resource: "application", Team: "blue"}}
		}
		kept := func() (ids []string) {
			for e, err := range a.Entries(t.Context(), team.AuditQuery{}) {
				require.NoError(t, err)
				require.LessOrEqual(t, len(e.Outcome), 2000)
				ids = append(ids, e.Subject.ID)
			}
			return ids
		}
		for _, id := range []string{"1", "2"} {
			require.NoError(t, a.Audit(t.Context(), entry(id)))
			time.Sleep(40 * time.Minute)
		}
		n, err := a.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, []string{"2"}, kept())
		for _, id := range []string{"3", "4", "5"} {
			require.NoError(t, a.Audit(t.Context(), entry(id)))
			time.Sleep(time.Nanosecond)
		}
		_, err = a.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"3", "4", "5"}, kept())

		own := team.NewAudit(records, &team.AuditOptions{MaxEntries: 2, PruneEvery: 1})
		require.NoError(t, own.Audit(t.Context(), entry("6")))
		require.Equal(t, []string{"5", "6"}, kept())

		var b bytes.Buffer
		n, err = a.Export(t.Context(), &b, team.AuditQuery{Subject: "6", From: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Minute)})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		var e appspan.AuditEntry
		require.NoError(t, json.Unmarshal(b.Bytes(), &e))
		require.Equal(t, "6", e.Subject.ID)
	})
}
