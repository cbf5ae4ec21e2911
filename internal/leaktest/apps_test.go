package leaktest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/stretchr/testify/require"
)

// shopText is an application that uses secrets in every way. Marks in it are
// replaced.
const shopText = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
parameters:
  - {name: paymentKey, title: Key, schema: {type: string, minLength: 16}, secret: true}
  - {name: count, title: Count, schema: {type: integer}, secret: true, sets: ["components[web].scale.replicas"]}
  - {name: greeting, title: Greeting, schema: {type: string}, default: hello}
secrets:
  - name: db
    items:
      - {name: password, generate: {length: 24}}
      - {name: local, generate: {length: 24, scope: cluster}}
      - {name: dsn, template: "mysql://shop:${secret.db.password}@db"}
  - {name: payment, items: [{name: api-key, template: "${param.paymentKey}"}]}
  - {name: smtp, items: [{name: password, value: GIVEN}, {name: url, template: "smtp://a:${secret.smtp.password}@mail"}]}
  - {name: pull, type: registry, items: [{name: .dockerconfigjson, value: 'DOCKER'}]}
  - {name: cert, type: tls, items: [{name: tls.crt, value: none}, {name: tls.key, value: TLSKEY}]}
components:
  - id: web
    kind: service
    image: registry.example.com/web:TAG
    imagePull: {secrets: [pull]}
    needs:
      - {name: outside, open: {type: http, keys: [host, port, key]}, prefix: OUT_}
      - {name: db, component: db, prefix: DB_}
      - {name: payments, component: payments}
    envFrom: [{secret: payment}]
    env:
      - {name: SMTP, template: "smtp://user:${secret.smtp.password}@mail?greeting=${param.greeting}"}
      - {name: KEY, template: "${need.payments.key}"}
      - {name: PLAIN, valueFrom: {secret: {name: smtp, item: password}}}
    files:
      - {path: /etc/web/payment.key, secret: {name: payment, item: api-key}, mode: "0400"}
      - {path: /etc/web/site.xml, template: "<site password='${need.db.password}' smtp='${secret.smtp.password}'/>"}
    volumes: [{name: all, kind: secret, secret: smtp}]
    mounts: [{path: /var/secrets, volume: all}]
    ports: [{name: http, port: 8080, servicePort: 80, appProtocol: http}]
    security: {runAsUser: 1000}
    resources: {requests: {cpu: 100m, memory: 64Mi}}
  - id: db
    kind: stateful
    image: registry.example.com/db:11
    env: [{name: PASSWORD, template: "${secret.db.password}"}, {name: LOCAL, template: "${secret.db.local}"}]
    provides: [{name: password, template: "${secret.db.password}"}]
    ports: [{name: sql, port: 3306}]
    volumes: [{name: data, kind: persistent, size: 1Gi, data: files}]
    mounts: [{path: /var/lib/db, volume: data}]
    security: {runAsUser: 999, fsGroup: 999}
    resources: {requests: {cpu: 100m, memory: 64Mi}}
  - id: payments
    kind: external
    external: {hosts: [api.payments.example]}
    ports: [{name: https, port: 443, appProtocol: https}]
    provides: [{name: key, template: "${secret.payment.api-key}"}]
`

// shop is an application whose given secret is a new credential.
func (w *world) shop(tag string) (*appmodel.Application, *deploy.PlanOptions) {
	given := string(must(json.Marshal(w.password("a given secret of " + tag))))
	docker := `{"auths":{"r.example.com":{"auth":"` + string(b64([]byte("a:"+w.secret("a registry's password of "+tag)))) + `"}}}`
	text := strings.NewReplacer("GIVEN", given, "TAG", tag, "DOCKER", docker, "TLSKEY", w.secret("a TLS key of "+tag)).Replace(shopText)
	app, warnings, err := appmodel.Decode([]byte(text), nil)
	w.ok("an application", err)
	w.hear("an application", app)
	w.hear("an application", *app)
	w.hear("an application", warnings)
	answer := w.secret("an answer of " + tag)
	override, _, err := appmodel.DecodeOverride(fmt.Appendf(nil, `apiVersion: appspan.dev/v1alpha1
kind: Override
metadata: {name: o}
set: {secrets: [{name: smtp, items: [{name: other, value: %s}]}]}
`, w.secret("an override of "+tag)), nil)
	w.ok("an override", err)
	w.hear("an override", override)
	w.hear("an override", *override)
	bindings := map[render.NeedRef]render.Endpoint{{Component: "web", Need: "outside"}: {Host: "outside.example", Port: 443,
		Secrets: map[string]appmodel.Sensitive{"key": appmodel.NewSensitive(w.secret("a binding of " + tag))}}}
	o := &deploy.PlanOptions{Overrides: []*appmodel.Override{override}, Bindings: bindings, Answers: map[string]appmodel.JSON{"paymentKey": must(json.Marshal(answer)), "count": appmodel.JSON("1")}, OnEvent: w.event}
	for key := range bindings {
		w.hear("a binding", bindings[key])
	}
	return app, o
}

// planned plans, and notes all of the plan.
func (w *world) planned(d *deploy.Deployer, app *appmodel.Application, to deploy.Target, o *deploy.PlanOptions) *deploy.Plan {
	p, err := d.Plan(w.t.Context(), app, to, o)
	w.ok("a plan", err)
	w.plan(p)
	w.ok("a plan", p.Err())
	return p
}

func (w *world) plan(p *deploy.Plan) {
	w.hear("a plan", p)
	w.hear("a plan", *p)
	for i := range p.Clusters {
		for _, c := range p.Clusters[i].Changes {
			w.hear("a change", c)
			for _, f := range c.Fields {
				w.hear("a field", f)
			}
		}
	}
	if err := p.Err(); err != nil {
		w.hear("the error of a plan", err)
	}
}

// generated makes what is in an application's Secret for generated values
// credentials to look for.
func (w *world) generated(c *cluster.Cluster, namespace string) {
	n := 0
	for obj, err := range c.List(w.t.Context(), cluster.Query{APIVersion: "v1", Kind: "Secret", Namespace: namespace}) {
		w.ok("secrets", err)
		var secret struct {
			Data map[string][]byte `json:"data"`
		}
		require.NoError(w.t, json.Unmarshal(obj.JSON, &secret))
		for _, item := range []string{"password", "local"} {
			if v := secret.Data[item]; len(v) == 24 {
				w.finder.Add("the generated "+item+" on "+c.Name(), v)
				n++
			}
		}
	}
	require.GreaterOrEqual(w.t, n, 2)
}

// applied is a plan's result, all of it noted.
func (w *world) applied(d *deploy.Deployer, p *deploy.Plan) (*deploy.Result, error) {
	return w.appliedWithin(time.Minute, d, p)
}

// appliedWithin gives up on what has failed for so long.
func (w *world) appliedWithin(failAfter time.Duration, d *deploy.Deployer, p *deploy.Plan) (*deploy.Result, error) {
	r, err := d.Apply(w.t.Context(), p, &deploy.ApplyOptions{OnEvent: w.event, FailAfter: failAfter})
	if r != nil {
		w.hear("a result", r)
		w.hear("a result", *r)
		for i := range r.Clusters {
			if err := r.Clusters[i].Err(); err != nil {
				w.hear("the error of a result", err)
			}
		}
	}
	return r, err
}

// lives takes an application through its life.
func (w *world) lives(d *deploy.Deployer, fleet *cluster.Fleet, to deploy.Target) {
	ctx := w.t.Context()
	app, o := w.shop("v1")
	w.wrong(d, app, to)
	_, err := w.applied(d, w.planned(d, app, to, o))
	w.ok("an apply", err)
	for _, name := range to.Clusters {
		c, err := fleet.Cluster(ctx, name)
		w.ok("a cluster", err)
		w.generated(c, to.Namespace)
	}
	w.state(d, to)

	// An update to new secrets; drift of the old ones.
	c, err := fleet.Cluster(ctx, to.Clusters[0])
	w.ok("a cluster", err)
	w.drift(c, to.Namespace)
	app, o = w.shop("v2")
	p := w.planned(d, app, to, o)
	stored := must(json.Marshal(p))
	var read deploy.Plan
	require.NoError(w.t, json.Unmarshal(stored, &read))
	_, err = w.applied(d, &read)
	w.ok("an apply of a stored plan", err)
	_, err = w.applied(d, p)
	if err != nil {
		w.hear("the error of a stale plan", err)
	}

	// A failing apply: an image that cannot be pulled.
	app, o = w.shop("v3")
	app.Components[0].Image = "registry.invalid/web:v3"
	_, err = w.appliedWithin(time.Millisecond, d, w.planned(d, app, to, o))
	w.fails("an apply of an image that is not there", err)
	w.state(d, to)
	for s, err := range d.Watch(ctx, "shop", to) {
		w.ok("a watch", err)
		w.hear("a watch of an application", s)
		break
	}
	r, err := d.Rollback(ctx, "shop", to, &deploy.RollbackOptions{OnEvent: w.event}, &deploy.ApplyOptions{OnEvent: w.event})
	w.ok("a rollback", err)
	w.hear("a result", r)
	for _, c := range []deploy.Command{{Kind: deploy.KindStop}, {Kind: deploy.KindStart}, {Kind: deploy.KindRestart, At: time.Now()}} {
		p, err := d.PlanCommand(ctx, "shop", to, c, nil)
		w.ok("a plan of a command", err)
		w.plan(p)
		_, err = w.applied(d, p)
		w.ok("a command", err)
	}
	p, err = d.PlanRollback(ctx, "shop", to, &deploy.RollbackOptions{Revision: 1})
	w.ok("a plan to roll back", err)
	w.plan(p)
	w.state(d, to)
}

// drift has somebody change an application's Secrets.
func (w *world) drift(c *cluster.Cluster, namespace string) {
	var changed int
	for obj, err := range c.List(w.t.Context(), cluster.Query{APIVersion: "v1", Kind: "Secret", Namespace: namespace, Labels: "app.kubernetes.io/name"}) {
		w.ok("secrets", err)
		if ours(obj) {
			continue
		}
		foreign := must(cluster.NewObject(map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": obj.Name, "namespace": namespace},
			"stringData": map[string]any{"password": w.secret(fmt.Sprint("drift ", changed)), "api-key": w.secret(fmt.Sprint("more drift ", changed))}}))
		_, err = c.Apply(w.t.Context(), foreign, cluster.ApplyOptions{Manager: "kubectl-edit", Force: true})
		w.ok("drift", err)
		changed++
	}
	require.Positive(w.t, changed)
}

// state is everything that can be read of an application.
func (w *world) state(d *deploy.Deployer, to deploy.Target) {
	ctx := w.t.Context()
	s, err := d.Status(ctx, "shop", to)
	w.ok("a status", err)
	w.hear("the status of an application", s)
	w.hear("the status of an application", s.Tree(nil))
	releases, err := d.Releases(ctx, "shop", to)
	w.ok("releases", err)
	w.hear("releases", releases)
	for name, list := range releases {
		for _, r := range list {
			app, err := d.ReleasedApplication(ctx, "shop", to, name, r.Revision)
			w.ok("a released application", err)
			w.hear("a released application", app)
			text, err := appmodel.Encode(app, nil)
			w.ok("encoding", err)
			_, _ = w.at("a released application").Write(text)
		}
	}
}

// wrong are applications and answers with faults around secrets.
func (w *world) wrong(d *deploy.Deployer, app *appmodel.Application, to deploy.Target) {
	ctx := w.t.Context()
	secret := w.secret("an answer that is refused")
	for name, answers := range map[string]map[string]appmodel.JSON{
		"a wrong type":   {"paymentKey": must(json.Marshal([]string{secret}))},
		"another type":   {"paymentKey": must(json.Marshal(map[string]string{secret: secret}))},
		"too short":      {"paymentKey": must(json.Marshal(secret[:14]))},
		"no JSON":        {"paymentKey": appmodel.JSON(secret)},
		"half of JSON":   {"paymentKey": appmodel.JSON(`"` + secret)},
		"unknown answer": {"paymentkey": must(json.Marshal(secret))},
		"two faults":     {"paymentKey": must(json.Marshal(secret)), "greeting": appmodel.JSON(`7`)},
	} {
		if answers["count"] == nil {
			answers["count"] = appmodel.JSON("1")
		}
		p, err := d.Plan(ctx, app, to, &deploy.PlanOptions{Answers: answers})
		if err == nil {
			w.plan(p)
			err = p.Err()
		}
		if err != nil { // whether answers fit their schemas is not looked at
			w.hear("the error of a plan with "+name, err)
		}
	}
	for _, text := range []string{
		`apiVersion: appspan.dev/v1alpha1
kind: Override
metadata: {name: o}
set: {secrets: [{name: smtp, items: [{name: password, value: SECRET}, {name: nope, value: SECRET, generate: {length: 9}}]}]}
`, `apiVersion: appspan.dev/v1alpha1
kind: Override
metadata: {name: o}
set: {secrets: [{name: smtp, items: [{name: password, value: [SECRET]}]}]}
`} {
		override, _, err := appmodel.DecodeOverride([]byte(strings.ReplaceAll(text, "SECRET", secret)), nil)
		if err != nil {
			w.hear("the error of an override", err)
			continue
		}
		w.hear("an override", override)
		_, err = d.Plan(ctx, app, to, &deploy.PlanOptions{Overrides: []*appmodel.Override{override}, Answers: map[string]appmodel.JSON{"paymentKey": must(json.Marshal(secret)), "count": appmodel.JSON("1")}})
		if err != nil {
			w.hear("the error of a plan with an override", err)
		}
	}
	w.odd(secret)
}

// odd are documents that break off, or have something odd in them, about a
// secret.
func (w *world) odd(secret string) {
	text := `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: a}
secrets:
  - name: smtp
    items: [{name: password, value: ` + secret + `}, {name: user, value: "` + secret + `"}]
components: [{id: web, kind: service, image: x}]
`
	at := strings.Index(text, "value: ")
	end := strings.LastIndex(text, `"}]`) + 3
	for ; at < end; at++ {
		for _, odd := range []string{"", "\n", "\t", "{", "[", "\"", "&", "*", "!", "%", ": ", "\n- ", "\x00", "\xff", "'", "|", "#", ",", "}"} {
			_, warnings, err := appmodel.Decode([]byte(text[:at]+odd+text[at:]), nil)
			if odd == "" {
				_, warnings, err = appmodel.Decode([]byte(text[:at]), nil)
			}
			fmt.Fprintf(w.at("errors of odd applications"), "%v\n%v\n", err, warnings)
		}
	}
}

// removed takes an application away, and its data.
func (w *world) removed(d *deploy.Deployer, to deploy.Target) {
	p, err := d.PlanRemove(w.t.Context(), "shop", to, nil)
	w.ok("a plan to remove", err)
	w.plan(p)
	_, err = w.applied(d, p)
	w.ok("a removal", err)
	r, err := d.Remove(w.t.Context(), "shop", to, &deploy.RemoveOptions{Data: true, OnEvent: w.event}, &deploy.ApplyOptions{OnEvent: w.event})
	w.ok("a removal of data", err)
	w.hear("a result", r)
}
