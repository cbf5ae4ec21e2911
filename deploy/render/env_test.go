package render_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/render"
)

// withDB is a document with a service that needs a stateful database.
func withDB(fields string) string {
	return web(fields) + `  - {id: db, kind: stateful, image: db, scale: {replicas: 2}, ports: [{name: sql, port: 3306, servicePort: 3300}, {name: admin, port: 1, access: none}],
     provides: [{name: user, value: "ro$ot"}, {name: pass-word, template: "${secret.db.password}"}, {name: region.id, template: "${cluster.labels.region}"}]}
`
}

// secretEnv is a variable that refers to a secret.
func secretEnv(name, object, key string) string {
	return `{"name":"` + name + `","valueFrom":{"secretKeyRef":{"name":"` + object + `","key":"` + key + `"}}}`
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	const env = container + "env"
	bind := func(in *render.Input) {
		in.Bindings = map[render.NeedRef]render.Endpoint{{Component: "web", Need: "ledger"}: {Host: "ledger.finance", Port: 80,
			Values: map[string]string{"tenant": "t1"}, Secrets: map[string]appmodel.Sensitive{"token": appmodel.NewSensitive("s3cret")}}}
	}
	testPodCases(t, []podCase{
		{name: "a prefix injects host, port and what is provided, but for what env sets",
			text: withDB(`needs: [{component: db, port: sql, prefix: DB_}], env: [{name: DB_USER, value: me}, {name: URL, value: "$(DB_HOST)"}]`), path: env,
			want: `[{"name":"DB_HOST","value":"shop-db"},{"name":"DB_PORT","value":"3300"},` + secretEnv("DB_PASS_WORD", "shop-db", "password") + `,{"name":"DB_REGION_ID","value":"eu"},{"name":"DB_USER","value":"me"},{"name":"URL","value":"$(DB_HOST)"}]`},
		{name: "sidecars get nothing injected", text: withDB(`needs: [{component: db, port: sql, prefix: DB_}], sidecars: [{name: log, image: log}]`), path: podSpec + "initContainers 0 env"},
		{name: "a template that is a secret refers to it", text: web(`env: [{name: A, template: "${secret.db.password}"}]`), path: env, want: `[` + secretEnv("A", "shop-db", "password") + `]`},
		{name: "a secret that exists is referred to", text: web(`env: [{name: A, template: "${secret.old.any}"}]`), path: env, want: `[` + secretEnv("A", "old-secret", "any") + `]`},
		{name: "a pinned name is used", text: web(`env: [{name: A, template: "${secret.pinned.a}"}]`), path: env, want: `[` + secretEnv("A", "my-secret", "a") + `]`},
		{name: "a composed secret is put together in the container, each helper once",
			text: withDB(`needs: [{component: db, port: sql}], env: [{name: A, template: "${need.db.user}:${need.db.pass-word}@$(HOME)/${secret.db.password}"}]`), path: env,
			want: `[` + secretEnv("APPSPAN_DB_PASSWORD", "shop-db", "password") + `,{"name":"A","value":"ro$$ot:$(APPSPAN_DB_PASSWORD)@$(HOME)/$(APPSPAN_DB_PASSWORD)"}]`},
		{name: "a helper makes way for a variable of its name", text: web(`env: [{name: APPSPAN_DB_PASSWORD, value: x}, {name: A, template: "a${secret.db.password}"}]`), path: env + " 0 name", want: `"APPSPAN_DB_PASSWORD_2"`},
		{name: "a secret answer is referred to", text: web(`env: [{name: A, template: "${param.key}"}]`), path: env, want: `[` + secretEnv("A", "shop-params", "key") + `]`},
		{name: "a secret answer is in the application's own Secret", text: web(`env: [{name: A, template: "${param.key}"}]`), object: "Secret/shop-params", path: "data", want: `{"key":"ayQx"}`},
		{name: "answers that no pod refers to are not written", text: web(""), object: "Secret/shop-params"},
		{name: "answers, groups, names and labels are values", text: web(`env: [{name: A, template: "${param.workers} ${config.site.url} ${app.name} ${cluster.name} ${cluster.labels.region} ${self.host} ${self.port.http}"}]`), path: env + " 0 value",
			want: `"3 https://shop.example shop eu-1 eu shop-web 8080"`},
		{name: "the replicas of a stateful component have names", text: withDB(`needs: [{component: db, port: sql}], env: [{name: A, template: "${need.db.hosts}"}]`), path: env + " 0 value",
			want: `"shop-db-0.shop-db-headless,shop-db-1.shop-db-headless"`},
		{name: "a route has a host", text: web(`env: [{name: A, template: "${route.r.host}"}]`) + "routes: [{id: r, http: {hosts: [\"${param.host}\"], rules: [{to: [{component: web}]}]}}]\n", path: env + " 0 value", want: `"shop.example"`},
		{name: "values come from the pod, resources and groups",
			text: web(`env: [{name: A, valueFrom: {field: metadata.name}}, {name: B, valueFrom: {resource: limits.memory}}, {name: C, valueFrom: {config: {name: pinned, item: a}}}, {name: D, valueFrom: {secret: {name: old, item: x}, optional: true}}]`), path: env,
			want: `[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"B","valueFrom":{"resourceFieldRef":{"resource":"limits.memory","divisor":"0"}}},{"name":"C","valueFrom":{"configMapKeyRef":{"name":"my-config","key":"a"}}},{"name":"D","valueFrom":{"secretKeyRef":{"name":"old-secret","key":"x","optional":true}}}]`},
		{name: "whole groups come from their objects", text: web(`envFrom: [{config: pinned, prefix: P_}, {secret: old}, {secret: db}]`), path: container + "envFrom",
			want: `[{"prefix":"P_","configMapRef":{"name":"my-config"}},{"secretRef":{"name":"old-secret"}},{"secretRef":{"name":"shop-db"}}]`},
		{name: "an open need gives what it is bound to", text: web(`needs: [{name: ledger, open: {type: http}, prefix: L_}]`), edit: bind, path: env,
			want: `[{"name":"L_HOST","value":"ledger.finance"},{"name":"L_PORT","value":"80"},{"name":"L_TENANT","value":"t1"},` + secretEnv("L_TOKEN", "shop-web-needs", "ledger.token") + `]`},
		{name: "secrets of another end are copied beside the component", text: web(`needs: [{name: ledger, open: {type: http}, prefix: L_}]`), edit: bind, object: "Secret/shop-web-needs", path: "data", want: `{"ledger.token":"czNjcmV0"}`},
		{name: "what an optional need would give is left out", text: web(`needs: [{name: ledger, open: {type: http}, optional: true, prefix: L_}], env: [{name: A, template: "${need.ledger.host}"}, {name: B, value: b}]`), path: env, want: `[{"name":"B","value":"b"}]`},
	})
}

func TestTemplatesThatLeadNowhereSayWhatToDo(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text, want string
		edit             func(*render.Input)
	}{
		{name: "a need that is not bound", text: web(`needs: [{name: ledger, open: {type: http}}], env: [{name: A, template: "${need.ledger.host}"}]`),
			want: "components[web].env[A]: ${need.ledger.host}: invalid: components[web].needs[ledger] leads nowhere; bind it"},
		{name: "a parameter without an answer", text: web(`env: [{name: A, template: "${param.host}"}]`), edit: func(in *render.Input) { delete(in.Params, "host") },
			want: `parameter "host" has no answer`},
		{name: "a label that the cluster lacks", text: web(`env: [{name: A, template: "${cluster.labels.zone}"}]`), want: `cluster "eu-1" has no label "zone"; label it`},
		{name: "a route without hosts", text: web(`env: [{name: A, template: "${route.r.host}"}]`) + "routes: [{id: r, http: {rules: [{to: [{component: web}]}]}}]\n", want: "routes[r] names no host"},
		{name: "a file with a secret that is not known", text: web(`files: [{path: /a, template: "a${secret.old.x}"}]`), want: `the value of item "x" of the Secret "old-secret" is not known`},
		{name: "a generated item without a value", text: web(""), edit: func(in *render.Input) { in.Generated = nil }, want: "secrets[db].items[password] has no generated value"},
		{name: "a name that a component does not provide", edit: func(in *render.Input) {
			in.Bindings = map[render.NeedRef]render.Endpoint{{Component: "web", Need: "ledger"}: {Host: "h"}}
		}, text: web(`needs: [{name: ledger, open: {type: http}}], env: [{name: A, template: "${need.ledger.user}"}]`), want: `provides no "user"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := podInput(t, c.text)
			if c.edit != nil {
				c.edit(&in)
			}
			_, err := render.Render(in)
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestSecretTypes(t *testing.T) {
	t.Parallel()
	const secrets = `secrets:
  - {name: reg, type: registry, items: [{name: server, value: r.example}, {name: username, value: u}, {name: password, value: p}]}
  - {name: tls, type: tls, items: [{name: tls.crt, value: c}, {name: tls.key, value: k}]}
  - {name: basic, type: basicAuth, items: [{name: username, value: u}, {name: password, value: p}]}
  - {name: ssh, type: ssh, items: [{name: ssh-privatekey, value: k}]}
`
	out, err := render.Render(podInput(t, secrets))
	require.NoError(t, err)
	for name, want := range map[string]string{"reg": "kubernetes.io/dockerconfigjson", "tls": "kubernetes.io/tls", "basic": "kubernetes.io/basic-auth", "ssh": "kubernetes.io/ssh-auth"} {
		require.Equal(t, want, dig(find(t, out, "Secret/shop-"+name), "type"))
	}
	var data struct {
		Data map[string][]byte `json:"data"`
	}
	for _, o := range out.Objects {
		require.True(t, o.Sensitive)
		if o.Name == "shop-reg" {
			require.NoError(t, json.Unmarshal(o.JSON, &data))
		}
	}
	require.JSONEq(t, `{"auths":{"r.example":{"username":"u","password":"p","auth":"dTpw"}}}`, string(data.Data[".dockerconfigjson"]))
	_, err = render.Render(podInput(t, "secrets: [{name: tls, type: tls, items: [{name: tls.crt, value: c}]}]\n"))
	require.ErrorContains(t, err, `secrets[tls].items: a secret of type tls needs an item "tls.key"; add it`)
}
