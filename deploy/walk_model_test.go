package deploy_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

// The model says in plain values what there is to be. It shares nothing with
// the code that plans.

// meant is an application as somebody means it.
type meant struct {
	web, replicas  int // the version of web, and how many there are to be
	greeting, host string
	tidy, worker   bool // a cron job; a component whose replicas an autoscaler has
}

// text is the document of the application.
func (m meant) text(name string) string {
	need, more := "", ""
	if m.worker {
		need = ", {name: worker, component: worker, prefix: WORKER_}"
		more += "  - {id: worker, kind: service, image: registry.example.com/worker:1, ports: [{name: http, port: 9000}], security: {runAsUser: 1000}," +
			" resources: {requests: {cpu: 100m}}, scale: {auto: {min: 2, max: 4, metrics: [{cpu: {utilization: 70}}]}}}\n"
	}
	if m.tidy {
		more += "  - {id: tidy, kind: cron, image: registry.example.com/tidy:1, cron: {schedule: \"0 3 * * *\"}, security: {runAsUser: 1000}}\n"
	}
	return fmt.Sprintf(`apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: %s}
secrets:
  - {name: db, items: [{name: password, generate: {length: 20}}]}
configs:
  - {name: site, items: [{name: GREETING, value: %s}]}
components:
  - id: web
    kind: service
    image: registry.example.com/web:%d
    envFrom: [{config: site}]
    needs: [{name: db, component: db, prefix: DB_}%s]
    ports: [{name: http, port: 8080, servicePort: 80, appProtocol: http}]
    scale: {replicas: %d}
    security: {runAsUser: 1000}
  - id: db
    kind: stateful
    image: registry.example.com/db:11
    env: [{name: PASSWORD, template: "${secret.db.password}"}]
    provides: [{name: password, template: "${secret.db.password}"}]
    ports: [{name: sql, port: 3306}]
    volumes: [{name: data, kind: persistent, size: 1Gi, data: files}]
    mounts: [{path: /var/lib/db, volume: data}]
    security: {runAsUser: 999, fsGroup: 999}
%sroutes:
  - {id: shop, http: {hosts: [%s], rules: [{path: /, to: [{component: web, port: http}]}]}}
`, name, m.greeting, m.web, need, m.replicas, more, m.host)
}

// over is an override: what is zero is left as it is.
type over struct {
	on            string // a cluster, or all
	web, replicas int
	greeting      string
	host          string // of a copy
}

func (o over) text(n int) string {
	web := "id: web"
	if o.web > 0 {
		web += fmt.Sprintf(", image: \"registry.example.com/web:%d\"", o.web)
	}
	if o.replicas > 0 {
		web += fmt.Sprintf(", scale: {replicas: %d}", o.replicas)
	}
	set := "components: [{" + web + "}]"
	if o.greeting != "" {
		set += ", configs: [{name: site, items: [{name: GREETING, value: " + o.greeting + "}]}]"
	}
	return fmt.Sprintf("metadata: {name: over-%d}\nset: {%s}\n", n, set)
}

// with is what overrides make of an application on a cluster.
func (m meant) with(overs []over, cluster string) meant {
	for _, o := range overs {
		if o.on != "" && o.on != cluster {
			continue
		}
		m.web, m.replicas = cmp.Or(o.web, m.web), cmp.Or(o.replicas, m.replicas)
		m.greeting, m.host = cmp.Or(o.greeting, m.greeting), cmp.Or(o.host, m.host)
	}
	return m
}

// asked is what somebody asked of a component beside the application.
type asked struct {
	stopped, paused bool
	replicas        int // one more than asked for; zero is nothing
	resume          int
}

// kept is a release.
type kept struct {
	revision int
	state    deploy.ReleaseState
	base     meant
	overs    []over
	from     *origin
}

// presence is what becomes of an application on a cluster.
type presence string

const (
	absent  presence = ""
	running presence = "running"
	binned  presence = "binned"
)

// part is one application on one cluster.
type part struct {
	presence presence
	data     bool // there is a claim
	base     meant
	overs    []over
	asked    map[string]asked
	from     *origin
	releases []kept       // the newest last
	workers  int          // as many as the autoscaler has given
	password string       // while it must stay the same
	noted    bool         // somebody's annotation is on web
	gone     string       // a component whose Deployment somebody deleted
	swept    bool         // no release is left that is not recorded
	seen     status.Value // when it was looked at last
}

func (p *part) clone() *part {
	out := *p
	out.asked, out.releases = maps.Clone(p.asked), slices.Clone(p.releases)
	return &out
}

func (p *part) newest() int {
	if len(p.releases) == 0 {
		return 0
	}
	return p.releases[len(p.releases)-1].revision
}

// resolved is what runs on its cluster.
func (p *part) resolved(cluster string) meant { return p.base.with(p.overs, cluster) }

// begin makes it run something else; from nothing, it begins anew.
func (p *part) begin(base meant, overs []over) {
	if p.presence != running {
		p.asked, p.from, p.workers = map[string]asked{}, nil, 0
	}
	p.presence, p.base, p.overs = running, base, overs
}

// components are those of an application.
func (m meant) components() []string {
	out := []string{"web", "db"}
	if m.worker {
		out = append(out, "worker")
	}
	if m.tidy {
		out = append(out, "tidy")
	}
	return out
}

// ask changes what is asked of components; none is all.
func (p *part) ask(cluster string, components []string, change func(id string, a *asked)) {
	if len(components) == 0 {
		components = p.resolved(cluster).components()
	}
	for _, id := range components {
		a := p.asked[id]
		change(id, &a)
		p.asked[id] = a
	}
}

// settle says what follows from a change that began with before.
func (p *part) settle(cluster string, before *part) {
	if p.presence != running {
		p.workers, p.noted = 0, false
		return
	}
	worked := before.presence == running && before.resolved(cluster).worker && !before.asked["worker"].stopped
	switch a := p.asked["worker"]; {
	case !p.resolved(cluster).worker || a.stopped:
		p.workers = 0
	case !worked || p.workers == 0:
		p.workers = cmp.Or(a.resume, 2)
	}
	for _, id := range []string{"web", "worker"} { // what is made anew is not paused
		if before.presence != running || before.gone == id || id == "worker" && !before.resolved(cluster).worker {
			a := p.asked[id]
			a.paused = false
			p.asked[id] = a
		}
	}
	p.gone = ""
	p.data = p.data || p.wants(cluster, "db") > 0 // a claim is made with the first replica
}

// wants is how many replicas a component is to have.
func (p *part) wants(cluster, component string) int {
	a := p.asked[component]
	switch {
	case a.stopped:
		return 0
	case component == "worker":
		return p.workers
	case a.replicas > 0:
		return a.replicas - 1
	case component == "web":
		return p.resolved(cluster).replicas
	}
	return 1
}

// objects are those that there are to be, as "Kind/name", without its record.
func (p *part) objects(cluster, name string) []string {
	var out []string
	add := func(format string) { out = append(out, strings.ReplaceAll(format, "*", name)) }
	if p.data {
		add("PersistentVolumeClaim/data-*-db-0")
	}
	if p.presence != running {
		return out
	}
	for _, o := range []string{"Deployment/*-web", "StatefulSet/*-db", "Ingress/*-shop", "NetworkPolicy/*-db", "NetworkPolicy/*-web", "ConfigMap/*-site",
		"Secret/*-db", "Service/*-db", "Service/*-db-headless", "Service/*-web"} {
		add(o)
	}
	if p.wants(cluster, "web") > 1 {
		add("PodDisruptionBudget/*-web")
	}
	m := p.resolved(cluster)
	if m.worker {
		add("Deployment/*-worker")
		add("Service/*-worker")
		add("NetworkPolicy/*-worker")
		if !p.asked["worker"].stopped {
			add("HorizontalPodAutoscaler/*-worker")
			add("PodDisruptionBudget/*-worker")
		}
	}
	if m.tidy {
		add("CronJob/*-tidy")
		add("NetworkPolicy/*-tidy")
	}
	return out
}

// slot is one application of one installation.
type slot struct {
	installation, namespace, name, team string
	source                              int // the slot that it is a copy of, or -1
	on                                  map[string]*part
}

// where are the clusters on which the application is so.
func (s *slot) where(is presence) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.on)) {
		if s.on[name].presence == is {
			out = append(out, name)
		}
	}
	return out
}
