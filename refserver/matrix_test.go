package refserver_test

import (
	"bytes"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

// described is an operation as the document has it.
type described struct {
	ID         string `json:"operationId"`
	Permission string `json:"x-permission"`
	Security   *[]any `json:"security"`
	Parameters []struct {
		Name, In string
		Required bool
		Schema   map[string]any
	} `json:"parameters"`
	RequestBody struct {
		Content map[string]struct{ Schema map[string]any }
	} `json:"requestBody"`
	method, path string
}

func (d *described) public() bool { return d.Security != nil && len(*d.Security) == 0 }

// operations are those of the server's document, by their ids.
func (s *site) operations() map[string]*described {
	s.t.Helper()
	var doc struct {
		Paths map[string]map[string]*described `json:"paths"`
	}
	s.send("", "GET", "/openapi.json", nil).into(s.t, 200, &doc)
	out := map[string]*described{}
	for path, methods := range doc.Paths {
		for method, d := range methods {
			d.method, d.path = strings.ToUpper(method), path
			require.NotContains(s.t, out, d.ID)
			out[d.ID] = d
		}
	}
	return out
}

func TestEveryOperationHasAMethodOfTheClient(t *testing.T) {
	t.Parallel()
	named := map[string]string{ // where it is not the operation's own name
		"getMe": "Me", "listTokens": "Tokens", "listLogins": "-", "beginSession": "-", "receiveHook": "-", // browsers and other programs
		"listApplications": "Applications", "deployApplication": "Deploy", "getApplication": "Application", "removeApplication": "Remove", "listReleases": "Releases",
		"getRelease": "Release", "getDocument": "Meant", "editApplication": "Edit", "listReleaseChanges": "ReleaseChanges", "runCommand": "Command", "copyApplication": "Copy", "promoteApplication": "Promote",
		"listDependencies": "Dependencies", "listEvents": "Happenings", "getUsage": "Usage", "listEnvironments": "Environments", "getEnvironment": "Environment",
		"deployToEnvironment": "DeployTo", "promoteToEnvironment": "PromoteTo", "listStages": "Stages", "getStage": "Stage", "getStagePlan": "StagePlan",
		"listOperations": "Operations", "getOperation": "Operation", "streamEvents": "Events", "streamLogs": "Logs", "resumeLogs": "Logs", "forwardPort": "Forward",
		"getDrift": "Drift", "listFindings": "Findings", "listKeepings": "Keepings", "listRecycled": "Recycled", "restoreApplication": "Restore", "listHooks": "Hooks", "listCredentials": "Registries",
	}
	methods := reflect.TypeFor[*client.Client]()
	ids := open(t, nil).operations()
	for id := range ids {
		name := named[id]
		if name == "" {
			name = strings.ToUpper(id[:1]) + id[1:]
		}
		if _, ok := methods.MethodByName(name); !ok && name != "-" {
			for _, prefix := range []string{"List", "Get"} { // lists and things are named by what they are
				if short, cut := strings.CutPrefix(name, prefix); cut {
					_, ok = methods.MethodByName(short)
				}
			}
			if !ok {
				t.Errorf("operation %s has no method %s in refserver/client; write it, or say here how it is named", id, name)
			}
		}
	}
	for id := range named {
		require.Contains(t, ids, id)
	}
}

// world is a site with team blue, which has an application, an environment, a
// token and a hook, and team red, which has nothing.
type world struct {
	*site
	ids map[string]string // parameters of paths
}

// members are who acts in the world, and their roles in team blue; "" is none.
func members() map[string]string {
	return map[string]string{"blue-observer": team.RoleObserver, "blue-developer": team.RoleDeveloper, "blue-admin": team.RoleAdmin, "red-admin": "", "stranger": ""}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{open(t, fast), map[string]string{"namespace": "blue", "application": "shop", "environment": "test", "cluster": "a", "revision": "1", "stage": "abcdefghijklmnopqrst",
		"operation": "20261123t080617.349-oj3xdb7npb", "team": "blue", "member": "blue-observer", "subject": "blue-observer", "role": "custom", "credential": "registry", "item": "x", "node": "node-1"}}
	teams := w.Parts().Teams.For(admin)
	var blue []team.Member
	for id, role := range members() {
		if role != "" {
			blue = append(blue, team.Member{Subject: id, Role: role})
		}
	}
	for id, list := range map[string][]team.Member{"blue": blue, "red": {{Subject: "red-admin", Role: team.RoleAdmin}}} {
		_, err := teams.Create(t.Context(), team.Team{ID: id, Members: list})
		require.NoError(t, err)
		_, _, err = teams.Allocate(t.Context(), id, "a", team.Allocation{Namespaces: []team.Namespace{{Name: id}}})
		require.NoError(t, err)
		_, err = teams.Reconcile(t.Context(), id)
		require.NoError(t, err)
	}
	dev := w.client("blue-developer", "blue")
	op := doing(t, dev)(dev.Deploy(t.Context(), client.Deployment{Document: client.Document{Text: shop}, Target: deploy.Target{Clusters: []string{"a"}, Namespace: "blue"}}))
	w.ids["operation"] = op.ID
	_, err := w.client("blue-admin", "blue").PutEnvironment(t.Context(), client.Environment{Environment: deploy.Environment{Application: "shop", Name: "test", Target: deploy.Target{Clusters: []string{"a"}, Namespace: "blue", Team: "blue"}}}, "")
	require.NoError(t, err)
	stage, err := dev.BeginStage(t.Context(), "shop", "test", client.StageRequest{Document: &client.Document{Text: shop}})
	require.NoError(t, err)
	w.ids["stage"] = stage.ID
	made, err := dev.CreateToken(t.Context(), client.CreateToken{})
	require.NoError(t, err)
	hook, err := dev.CreateHook(t.Context(), "ci")
	require.NoError(t, err)
	w.ids["token"], w.ids["hook"] = made.ID, hook.ID
	return w
}

// at is the path of an operation, with everything in its place.
func (w *world) at(d *described) string {
	path := d.path
	for name, value := range w.ids {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	require.NotContains(w.t, path, "{", "give the parameter a value in newWorld")
	return path
}

// bodies are what operations are sent that are refused early without.
func bodies() map[string]any {
	document := map[string]any{"text": shop}
	target := map[string]any{"clusters": []string{"a"}, "namespace": "blue", "team": "blue"}
	return map[string]any{
		"deployApplication": map[string]any{"document": document, "target": target}, "deployToEnvironment": map[string]any{"document": document}, "editApplication": map[string]any{"document": document},
		"beginStage": map[string]any{"document": document}, "runCommand": map[string]any{"kind": "restart"}, "copyApplication": map[string]any{"name": "copy", "target": target},
		"putEnvironment": map[string]any{"application": "shop", "name": "test", "target": target}, "purge": map[string]any{"clusters": []string{"a"}, "namespace": "blue"},
		"recover": map[string]any{"clusters": []string{"a"}}, "imagePushed": map[string]any{"image": "registry.example.com/web:2"},
		"heal": map[string]any{"policy": map[string]any{"default": "heal"}}, "keep": map[string]any{"policy": map[string]any{}}, "validate": document,
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// These ask for nothing: they are about who asks, or show what one may see.
	everybody := []string{"getMe", "endSession", "listTokens", "createToken", "revokeToken", "validate", "streamEvents", "listHooks", "createHook", "deleteHook", "listLogins", "beginSession", "receiveHook", "listRoles"}
	// These are about the team that one acts for, whichever it is, and its part of a cluster.
	own := []string{"listClusters", "getCluster", "listClusterHistory", "checkCluster", "listAudit", "exportAudit", "listTeams"}
	ops := w.operations()
	n := 0
	for _, id := range slices.Sorted(maps.Keys(ops)) {
		d := ops[id]
		if d.Permission == "" {
			require.Contains(t, everybody, id, "an operation without a permission: say so here, or with asks")
		} else {
			require.NotContains(t, everybody, id)
		}
		if slices.Contains([]string{"streamEvents", "endSession"}, id) {
			continue
		}
		dry := "?dryRun=true"
		query := map[string]string{"exec": "?command=true", "forwardPort": "?port=http&component=web"}[id]
		if d.method == "GET" || id == "resumeLogs" {
			dry = query
		}
		headers := []string{"If-Match", "*"}
		require.Equal(t, d.public(), w.send("", d.method, w.at(d)+dry, bodies()[id], headers...).StatusCode != http.StatusUnauthorized || slices.Contains([]string{"beginSession", "receiveHook"}, id), "%s, by nobody", id)
		if d.public() {
			continue
		}
		for who, name := range members() {
			n++
			may := d.Permission == ""
			if who == "red-admin" && slices.Contains(own, id) {
				name = team.RoleAdmin
			}
			if name != "" && !may {
				role, _ := team.Team{}.Role(name)
				may = role.Can(team.Permission(d.Permission)) && id != "recover" // of a whole cluster: operators
			}
			query := query
			if may { // who may not is told so, and changes nothing; a plan is seen by who may read
				query = dry
			}
			as := "blue"
			if who == "red-admin" {
				as = "red"
			}
			got := w.send(who, d.method, w.at(d)+query, bodies()[id], append(headers, "Appspan-Team", as)...)
			nothing := got.StatusCode == http.StatusOK && (bytes.Contains(got.body, []byte(`"items":[]`)) || bytes.Contains(got.body, []byte(`"unchanged":true`))) ||
				id == "promoteApplication" && got.StatusCode == http.StatusPreconditionFailed || // it was made from nothing, and who reads may know
				id == "applyPlan" && got.StatusCode == http.StatusBadRequest // that is no plan
			denied := got.StatusCode == http.StatusForbidden || got.StatusCode == http.StatusNotFound
			switch {
			case may && (got.StatusCode == http.StatusForbidden || got.StatusCode == http.StatusUnauthorized):
				t.Errorf("%s may not %s (%s), and has the permission: %s", who, id, d.Permission, got.body)
			case id == "exec": // it is said over the WebSocket: TestCommandsAreForWhoMayRunThem
			case !may && !denied && !nothing:
				t.Errorf("%s may %s, without %s: %d %s", who, id, d.Permission, got.StatusCode, cut(string(got.body)))
			}
		}
		if got := w.send("admin", d.method, w.at(d)+dry, bodies()[id], headers...); got.StatusCode == http.StatusForbidden || got.StatusCode == http.StatusUnauthorized {
			t.Errorf("an operator may not %s: %s", id, got.body)
		}
	}
	t.Log(len(ops), "operations,", n, "cells, beside nobody's and the operator's")
}

func TestCommandsAreForWhoMayRunThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for who, want := range map[string]error{"blue-observer": appspan.ErrDenied, "red-admin": appspan.ErrNotFound, "stranger": appspan.ErrNotFound, "blue-developer": nil} {
		err := w.client(who, "").ForTeam("blue").Exec(t.Context(), "blue", "shop", client.ExecOptions{Component: "web", Command: []string{"true"}})
		require.ErrorIs(t, err, want, who)
	}
}

// TestADryRunChangesNothing asks for every change that there is, with a dry run.
func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	ops := w.operations()
	n := 0
	for _, id := range slices.Sorted(maps.Keys(ops)) {
		d := ops[id]
		if d.method == "GET" || d.public() || slices.Contains([]string{"endSession", "resumeLogs"}, id) { // they change nothing
			continue
		}
		n++
		before := w.kept()
		got := w.send("admin", d.method, w.at(d)+"?dryRun=true", bodies()[id], "If-Match", "*", "Appspan-Team", "")
		require.Less(t, got.StatusCode, 500, "%s: %s", id, got.body)
		require.Equal(t, before, w.kept(), "%s: %d %s", id, got.StatusCode, got.body)
	}
	t.Log(n, "changes")
	require.Greater(t, n, 40)
}
