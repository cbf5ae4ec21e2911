package refserver_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
)

// attempt is something that must not work.
type attempt struct {
	name, who, method, path string
	body                    any
	headers                 []string
	want                    []int
	audited                 bool // it was a change that somebody was denied
}

const v1 = "/api/v1"

// attempts are made by whoever is outside of team blue, or may less than they try.
func (w *world) attempts() []attempt {
	const app = v1 + "/applications/blue/shop"
	blue, red := []string{"Appspan-Team", "blue"}, []string{"Appspan-Team", "red"}
	deployment := bodies()["deployApplication"]
	in := func(namespace, team string) any {
		return map[string]any{"document": map[string]any{"text": shop}, "target": map[string]any{"clusters": []string{"a"}, "namespace": namespace, "team": team}}
	}
	bearer := func(text string) []string { return []string{"Authorization", text} }
	unknown, none, denied, gone, wrong := []int{401}, []int{404}, []int{403}, []int{403, 404}, []int{400}
	list := []attempt{
		{"no token", "", "GET", v1 + "/applications", nil, nil, unknown, false},
		{"no token on a change", "", "DELETE", app, nil, nil, unknown, false},
		{"an empty bearer token", "", "GET", v1 + "/me", nil, bearer("Bearer "), unknown, false},
		{"a token that was made up", "", "GET", v1 + "/me", nil, bearer("Bearer appspan_" + strings.Repeat("A", 52)), unknown, false},
		{"a token of another shape", "", "GET", v1 + "/me", nil, bearer("Bearer appspan_../../tokens"), unknown, false},
		{"a token in lower case", "", "GET", v1 + "/me", nil, bearer("Bearer appspan_" + strings.Repeat("a", 52)), unknown, false},
		{"the id of a token as the token", "", "GET", v1 + "/me", nil, bearer("Bearer " + w.ids["token"]), unknown, false},
		{"a JWT without a signature", "", "GET", v1 + "/me", nil, bearer("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."), unknown, false},
		{"a password", "", "GET", v1 + "/me", nil, bearer("Basic YWRtaW46YWRtaW4="), unknown, false},
		{"a token in the query", "", "GET", v1 + "/me?access_token=appspan_x", nil, nil, unknown, false},
		{"a session that was made up", "", "GET", v1 + "/me", nil, []string{"Cookie", "appspan_session=" + strings.Repeat("A", 52)}, unknown, false},
		{"a proxy's header from no proxy", "", "GET", v1 + "/me", nil, []string{"X-Remote-User", "admin", "X-Forwarded-User", "admin", "Remote-User", "admin"}, unknown, false},
		{"metrics by nobody", "", "GET", "/metrics", nil, nil, unknown, false},
		{"a session for a token that was made up", "", "POST", v1 + "/session", map[string]any{"token": "appspan_" + strings.Repeat("A", 52)}, nil, unknown, false},

		{"another team's application", "red-admin", "GET", app, nil, red, none, false}, // they look into their own team's, where nothing is to be denied
		{"the same, in its name", "red-admin", "GET", app, nil, blue, none, true},
		{"another team's logs", "red-admin", "GET", app + "/logs", nil, blue, none, true},
		{"another team's releases", "red-admin", "GET", app + "/releases", nil, red, none, false},
		{"another team's release by number", "red-admin", "GET", app + "/releases/a/1", nil, blue, none, true},
		{"another team's operation by id", "red-admin", "GET", v1 + "/operations/" + w.ids["operation"], nil, red, none, true},
		{"to cancel it", "red-admin", "POST", v1 + "/operations/" + w.ids["operation"] + "/cancellation", nil, red, gone, true},
		{"another team's environment", "red-admin", "GET", v1 + "/environments/shop/test", nil, red, gone, true},
		{"to change it", "red-admin", "PUT", v1 + "/environments/shop/test", bodies()["putEnvironment"], append(red, "If-Match", "*"), gone, true},
		{"to remove it", "red-admin", "DELETE", v1 + "/environments/shop/test", nil, blue, gone, true},
		{"another team's stage by id", "red-admin", "GET", v1 + "/stages/shop/" + w.ids["stage"], nil, red, gone, true},
		{"to approve it", "red-admin", "POST", v1 + "/stages/shop/" + w.ids["stage"] + "/approval", map[string]any{"planHash": "x"}, blue, gone, true},
		{"somebody else's token by id", "red-admin", "DELETE", v1 + "/tokens/" + w.ids["token"], nil, nil, none, false},
		{"an operator's, of somebody else's", "admin", "DELETE", v1 + "/tokens/" + w.ids["token"], nil, nil, none, false},
		{"somebody else's hook by id", "red-admin", "DELETE", v1 + "/hooks/" + w.ids["hook"], nil, nil, none, false},
		{"another team's application removed", "red-admin", "DELETE", app, nil, blue, gone, true},
		{"another team's application stopped", "red-admin", "POST", app + "/commands", map[string]any{"kind": "stop"}, blue, gone, true},
		{"another team's application copied out", "red-admin", "POST", app + "/copies", map[string]any{"target": map[string]any{"clusters": []string{"a"}, "namespace": "red"}}, red, gone, false},
		{"into another team's namespace", "red-admin", "POST", v1 + "/applications", in("blue", "red"), red, denied, true},
		{"into another team's namespace in its name", "red-admin", "POST", v1 + "/applications", in("blue", "blue"), red, denied, true},
		{"into the cluster's namespace", "blue-developer", "POST", v1 + "/applications", in("kube-system", "blue"), blue, denied, true},
		{"into a namespace of nobody", "blue-developer", "POST", v1 + "/applications", in("free", ""), nil, denied, true},
		{"by a stranger", "stranger", "POST", v1 + "/applications", deployment, nil, denied, true},
		{"by an observer", "blue-observer", "POST", v1 + "/applications", deployment, blue, denied, true},
		{"an observer removes", "blue-observer", "DELETE", app, nil, blue, denied, true},
		{"an observer scales", "blue-observer", "POST", app + "/commands", map[string]any{"kind": "scale", "components": []string{"web"}, "replicas": 0}, blue, denied, true},
		{"a developer removes an environment", "blue-developer", "DELETE", v1 + "/environments/shop/test", nil, blue, denied, true},
		{"a member recovers a cluster", "blue-admin", "POST", v1 + "/recoveries", map[string]any{"clusters": []string{"a"}}, blue, denied, true},
		{"a member empties another team's bin", "red-admin", "POST", v1 + "/purges", map[string]any{"clusters": []string{"a"}, "namespace": "blue"}, red, denied, true},
		{"a token for more than the login", "red-admin", "POST", v1 + "/tokens?team=red", map[string]any{"team": "blue"}, nil, denied, false},
		{"a token for ever", "red-admin", "POST", v1 + "/tokens", map[string]any{"seconds": 1 << 40}, nil, wrong, false},
		{"two teams at once", "red-admin", "GET", v1 + "/applications?team=red&team=blue", nil, nil, wrong, false},
		{"a team that is a path", "red-admin", "GET", v1 + "/applications?team=../blue", nil, nil, wrong, false},

		{"up from a namespace", "red-admin", "GET", v1 + "/applications/red/..%2F..%2Fblue%2Fshop", nil, red, []int{400, 404}, false},
		{"dots in the path", "red-admin", "GET", v1 + "/applications/red/../blue/shop", nil, red, []int{404}, false},
		{"slashes in the path", "red-admin", "GET", v1 + "//applications/blue/shop", nil, red, none, false},
		{"a null byte", "red-admin", "GET", v1 + "/applications/blue%00/shop", nil, red, []int{400, 404}, false},
		{"up from a token", "red-admin", "DELETE", v1 + "/tokens/..%2Fteams%2Fblue", nil, nil, none, false},
		{"up from a hook", "", "POST", v1 + "/hooks/..%2Ftokens", `{}`, nil, none, false},
		{"another method by a header", "red-admin", "GET", v1 + "/tokens/" + w.ids["token"], nil, []string{"X-HTTP-Method-Override", "DELETE"}, []int{405}, false},
		{"another path by a header", "", "GET", "/nowhere", nil, []string{"X-Original-URL", v1 + "/tokens", "X-Rewrite-URL", v1 + "/tokens"}, []int{401, 404}, false},
		{"TRACE", "admin", "TRACE", v1 + "/me", nil, nil, []int{404, 405}, false},
		{"a misspelt dry run", "admin", "DELETE", app + "?dryrun=true", nil, nil, wrong, false},
		{"two dry runs", "admin", "DELETE", app + "?dryRun=true&dryRun=false", nil, nil, wrong, false},

		{"a form of another page", "blue-admin", "POST", v1 + "/tokens", `description=x`, []string{"Content-Type", "application/x-www-form-urlencoded"}, []int{415}, false},
		{"text of another page", "blue-admin", "POST", v1 + "/tokens", `{}`, []string{"Content-Type", "text/plain"}, []int{415}, false},
		{"a login by another page", "", "POST", v1 + "/session", map[string]any{"token": "x"}, []string{"Origin", "https://evil.example.com", "Sec-Fetch-Site", "cross-site"}, denied, false},
		{"markup as a name", "admin", "POST", v1 + "/applications", map[string]any{"document": map[string]any{"text": strings.Replace(shop, "shop", "<script>", 1)}, "target": map[string]any{"clusters": []string{"a"}}}, nil, wrong, false},
		{"markup as a namespace", "admin", "GET", v1 + "/applications/%3Cscript%3E/x", nil, nil, []int{400, 404}, false},
		{"a file of the server's by a compose file", "admin", "POST", v1 + "/applications", map[string]any{"document": map[string]any{"format": "compose", "name": "x", "text": "services: {web: {image: x, env_file: /etc/passwd}}"}, "target": map[string]any{"clusters": []string{"a"}}}, nil, []int{400, 422}, false},
		{"a plan of one's own making", "blue-developer", "POST", v1 + "/operations", map[string]any{"kind": "deploy", "application": "shop", "installation": "appspan", "hash": "sha256:x", "sealed": "AAAA", "target": map[string]any{"clusters": []string{"a"}, "namespace": "red"}, "clusters": []any{map[string]any{"cluster": "a", "state": "planned", "changes": []any{map[string]any{"action": "create", "object": map[string]any{"apiVersion": "v1", "kind": "Pod", "name": "x"}}}}}}, blue, []int{400, 403, 412, 500}, false},
		{"a cursor that is none", "admin", "GET", v1 + "/applications?cursor=%21", nil, nil, wrong, false},
		{"more than a page", "admin", "GET", v1 + "/applications?limit=1000000", nil, nil, wrong, false},
		{"a body that is too large", "admin", "POST", v1 + "/validations", `{"text":"` + strings.Repeat("a", 9<<20) + `"}`, nil, []int{413}, false},
		{"a document that grows", "admin", "POST", v1 + "/applications", map[string]any{"document": map[string]any{"text": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"}, "target": map[string]any{"clusters": []string{"a"}}}, nil, []int{400, 409}, false},
		{"depth", "admin", "POST", v1 + "/tokens", strings.Repeat("[", 100_000), nil, wrong, false},
		{"two values", "admin", "POST", v1 + "/tokens", `{}{}`, nil, wrong, false},
		{"a long parameter", "admin", "GET", v1 + "/applications?search=" + strings.Repeat("a", 5000), nil, nil, wrong, false},
		{"an Idempotency-Key that is none", "admin", "POST", v1 + "/tokens", `{}`, []string{"Idempotency-Key", "a b"}, wrong, false},
		{"a cluster by a member", "blue-admin", "POST", v1 + "/clusters", w.kubeconfig("https://10.0.0.1:6443", "", "token: x"), blue, denied, true},
		{"a kubeconfig that runs a command", "admin", "POST", v1 + "/clusters", w.kubeconfig("https://10.0.0.1:6443", "", "exec: {apiVersion: client.authentication.k8s.io/v1, command: id, interactiveMode: Never}"), nil, wrong, false},
		{"a kubeconfig that reads a file", "admin", "POST", v1 + "/clusters", w.kubeconfig("https://10.0.0.1:6443", "", "tokenFile: /etc/passwd"), nil, wrong, false},
		{"a kubeconfig with a proxy", "admin", "POST", v1 + "/clusters", w.kubeconfig("https://10.0.0.1:6443", "proxy-url: http://127.0.0.1:1", "token: x"), nil, wrong, false},
		{"a kubeconfig for the cloud's metadata", "admin", "POST", v1 + "/clusters", w.kubeconfig("http://169.254.169.254", "", "token: x"), nil, wrong, false},
		{"the same over IPv6", "admin", "POST", v1 + "/clusters", w.kubeconfig("http://[::ffff:169.254.169.254]", "", "token: x"), nil, wrong, false},
		{"over what nobody has read", "admin", "PUT", v1 + "/environments/shop/test", bodies()["putEnvironment"], nil, []int{428}, false},
		{"over what has changed", "admin", "PUT", v1 + "/environments/shop/test", bodies()["putEnvironment"], []string{"If-Match", `"old"`}, []int{412}, false},
	}
	return list
}

// settle waits until the stage of the world has come to its end and nothing else
// goes on in the background either, and returns what is kept.
func (w *world) settle() (kept map[string]string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		var stage deploy.Stage
		w.send("admin", "GET", "/api/v1/stages/shop/"+w.ids["stage"], nil).into(w.t, 200, &stage)
		last := kept
		kept = w.kept()
		return stage.State.Over() && len(kept) > 0 && maps.Equal(last, kept)
	}, 30*time.Second, 300*time.Millisecond)
	return kept
}

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func (w *world) kubeconfig(server, cluster, user string) any {
	if cluster != "" {
		cluster = ", " + cluster
	}
	return map[string]any{"name": "evil", "provider": "kubeconfig", "config": `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: "` +
		server + `"` + cluster + `}}], users: [{name: u, user: {` + user + `}}]}`}
}

// kept is all that the server keeps but the audit, and what comes and goes by
// itself.
func (w *world) kept() map[string]string {
	out := map[string]string{}
	for _, prefix := range []string{"applications/", "clusters/", "environments/", "hooks/", "operations/", "sessions/", "teams/", "team/", "tokens/", "idempotency/"} {
		for rec, err := range w.Parts().Records.List(w.t.Context(), prefix) {
			require.NoError(w.t, err)
			out[rec.Key] = string(rec.Value)
		}
	}
	return out
}

func TestAttemptsAreRefusedAndChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.settle()
	list := w.attempts()
	require.GreaterOrEqual(t, len(list), 60)
	for _, a := range list {
		begun := time.Now()
		got := w.send(a.who, a.method, a.path, a.body, a.headers...)
		if !slices.Contains(a.want, got.StatusCode) {
			t.Errorf("%s: %d, want %v: %s", a.name, got.StatusCode, a.want, cut(string(got.body)))
		}
		if after := w.kept(); !maps.Equal(before, after) {
			t.Errorf("%s: something was changed", a.name)
			for key := range merged(before, after) {
				if before[key] != after[key] {
					t.Logf("%s was %s, is %s", key, before[key], after[key])
				}
			}
			before = after
		}
		require.NotContains(t, string(got.body), "<script>alert", "markup comes back as JSON alone")
		if a.audited || got.StatusCode == http.StatusUnauthorized && strings.HasPrefix(a.path, v1) || got.StatusCode == http.StatusForbidden {
			entries, _, err := w.Parts().Audit.Page(t.Context(), team.AuditQuery{From: begun}, "", 10)
			require.NoError(t, err)
			if !slices.ContainsFunc(entries, func(e appspan.AuditEntry) bool {
				return (e.Subject.ID == a.who || e.Subject.ID == "" && got.StatusCode == http.StatusUnauthorized) && e.Outcome != "ok"
			}) {
				t.Errorf("%s: it is not in the audit: %v", a.name, entries)
			}
		}
	}
	t.Log(len(list), "attempts")
}

// escape is an object with which a team would get at what is not its own.
func escapes() map[string]string {
	pod := func(spec string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: x}], ` + spec + `}}`
	}
	object := func(version, kind, rest string) string {
		return `{apiVersion: ` + version + `, kind: ` + kind + `, metadata: {name: x}` + rest + `}`
	}
	return map[string]string{
		"a host path": pod(`volumes: [{name: v, hostPath: {path: /}}]`), "the host's network": pod(`hostNetwork: true`), "the host's processes": pod(`hostPID: true`),
		"the host's memory": pod(`hostIPC: true`), "another account": pod(`serviceAccountName: builder`), "past the scheduler": pod(`nodeName: control-plane-1`),
		"the control plane's nodes": pod(`tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]`), "another team's nodes": pod(`nodeSelector: {appspan.dev/team: red}`),
		"the cluster's priority": pod(`priorityClassName: system-node-critical`), "others' files": pod(`volumes: [{name: v, nfs: {server: 10.0.0.1, path: /exports/red}}]`),
		"a privileged container": `{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: x, securityContext: {privileged: true}}]}}`,
		"a role":                 object("rbac.authorization.k8s.io/v1", "Role", `, rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]`),
		"a cluster role":         object("rbac.authorization.k8s.io/v1", "ClusterRole", `, rules: []`),
		"a namespace":            object("v1", "Namespace", ``), "a bigger quota": object("v1", "ResourceQuota", `, spec: {hard: {requests.cpu: "1000"}}`),
		"a webhook": object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", `, webhooks: []`), "a node": object("v1", "Node", ``),
		"a volume on a node's disk": object("v1", "PersistentVolume", `, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /}}`),
		"others' connections":       object("v1", "Service", `, spec: {ports: [{port: 443}], externalIPs: [1.1.1.1]}`), "the cloud's metadata": object("v1", "Service", `, spec: {type: ExternalName, externalName: metadata.google.internal}`),
		"a policy that opens egress": object("networking.k8s.io/v1", "NetworkPolicy", `, spec: {podSelector: {}, egress: [{}]}`),
		"a token that never expires": `{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: x, annotations: {kubernetes.io/service-account.name: builder}}}`,
	}
}

func TestATeamDoesNotEscapeThroughTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, object := range escapes() {
		id := "escape"
		body := map[string]any{"document": map[string]any{"format": "manifests", "name": id, "text": object}, "target": map[string]any{"clusters": []string{"a"}, "namespace": "blue"}}
		got := w.send("blue-developer", "POST", "/api/v1/applications", body, "Appspan-Team", "blue")
		if got.StatusCode == http.StatusAccepted {
			var p client.Planned
			got.into(t, 202, &p)
			op := w.settled("admin", p.Operation.ID)
			require.Equal(t, "failed", string(op.State), name)
			require.Contains(t, op.Error, "denied", name)
		} else if got.StatusCode != http.StatusOK || !strings.Contains(string(got.body), `"unchanged":true`) { // the import leaves namespaces out
			require.Contains(t, []int{400, 403, 409, 422}, got.StatusCode, "%s: %s", name, got.body)
			if got.StatusCode == http.StatusConflict { // the cluster's own answer to the team
				require.Contains(t, string(got.body), "denied: ", name)
			}
		}
	}
}

func TestAnswersCannotBeFramedNorSniffed(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	for _, path := range []string{"/", "/api/v1/me", "/api/v1/nothing", "/openapi.json", "/healthz"} {
		h := s.send("", "GET", path, nil).Header
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
		require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", path)
		require.NotContains(t, h.Get("Content-Security-Policy"), "unsafe-eval", path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Empty(t, h.Get("Access-Control-Allow-Origin"), path)
	}
	h := s.send("", "OPTIONS", "/api/v1/me", nil, "Origin", "https://evil.example.com").Header
	require.Empty(t, h.Get("Access-Control-Allow-Origin"))
	for _, id := range []string{"a\tb", strings.Repeat("a", 65), "<script>", "../x"} {
		require.NotEqual(t, id, s.send("", "GET", "/api/v1/me", nil, "X-Request-Id", id).Header.Get("X-Request-Id"), "what is written to the log")
	}
}

func TestASessionIsNotForPagesOfOthers(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	made, err := refserver.NewTokens(s.Parts().Records).Create(t.Context(), admin, "test", time.Hour)
	require.NoError(t, err)
	begun := s.send("", "POST", "/api/v1/session", client.Login{Token: made.Text})
	begun.into(t, 204, nil)
	cookie := begun.Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	with := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	s.send("", "GET", "/api/v1/me", nil, with...).into(t, 200, nil)
	s.send("", "POST", "/api/v1/tokens", map[string]any{}, append(with, "Origin", "https://evil.example.com")...).into(t, 403, nil)
	s.send("", "POST", "/api/v1/tokens", map[string]any{}, append(with, "Sec-Fetch-Site", "cross-site")...).into(t, 403, nil)
	s.send("", "DELETE", "/api/v1/session", nil, append(with, "Sec-Fetch-Site", "same-site")...).into(t, 403, nil)
	s.send("", "DELETE", "/api/v1/session", nil, append(with, "Sec-Fetch-Site", "same-origin")...).into(t, 204, nil)
	s.send("", "GET", "/api/v1/me", nil, with...).into(t, 401, nil)
	s.send("", "GET", "/api/v1/me", nil, "Authorization", "Bearer "+made.Text).into(t, 200, nil)
	require.NoError(t, refserver.NewTokens(s.Parts().Records).Revoke(t.Context(), made.ID))
	s.send("", "GET", "/api/v1/me", nil, "Authorization", "Bearer "+made.Text).into(t, 401, nil)
}

func TestASlowBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *refserver.Options) { o.BodyTimeout = 100 * time.Millisecond })
	for _, path := range []string{"/api/v1/validations", "/api/v1/applications/a/b/logs"} {
		conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s: admin\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", path, as)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
		_, err = io.ReadAll(conn)
		require.NoError(t, err, "the server ends it: %s", path)
		_ = conn.Close()
	}
}

func TestNobodyWritesLinesIntoTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var mu sync.Mutex
	s := open(t, func(o *refserver.Options) {
		o.Logger = slog.New(slog.NewTextHandler(locked{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const line = "%0Atime=2026-11-23T00:00:00Z level=ERROR msg=forged%0D%0A"
	space := strings.ReplaceAll(line, " ", "%20")
	for _, path := range []string{"/api/v1/applications?search=" + space, "/api/v1/applications/" + space + "/x", "/" + space, "/api/v1/clusters/" + space, "/api/v1/me?" + space + "=1", "/api/v1/operations/" + space} {
		s.send("admin", "GET", path, nil, "User-Agent", "x\tlevel=ERROR", "Traceparent", "00-\tforged", "X-Request-Id", "\tforged", "Referer", "forged")
		s.send("eve\tlevel=ERROR", "GET", path, nil)
	}
	s.send("admin", "POST", "/api/v1/teams", map[string]any{"id": "x\nlevel=ERROR msg=forged", "displayName": "\nforged"})
	s.send("admin", "POST", "/api/v1/clusters", map[string]any{"name": "b2", "provider": "fake\nlevel=ERROR msg=forged"})
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(t, log.String())
	quotes := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	for l := range strings.Lines(log.String()) {
		require.Regexp(t, `^time=\S+ level=(DEBUG|INFO|WARN) msg=`, l)
		require.NotContains(t, quotes.ReplaceAllString(l, ""), "ERROR")
	}
}

// locked is a writer for one at a time.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
