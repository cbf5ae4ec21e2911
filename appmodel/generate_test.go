package appmodel

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
)

// rounds is how often a property is tried.
func rounds(n int) int {
	if os.Getenv("APPSPAN_SOAK") != "" {
		return 20 * n
	}
	return n
}

// dice makes random applications that keep the rules which merging
// relies on (keys once, one-of groups), and random edits of them.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 7))} }

func (g dice) maybe() bool             { return g.IntN(2) == 0 }
func (g dice) rarely() bool            { return g.IntN(8) == 0 }
func (g dice) pick(s ...string) string { return s[g.IntN(len(s))] }

// some are up to n different names with the prefix, in random order.
func (g dice) some(prefix string, n int) []string {
	var names []string
	for _, i := range g.Perm(n) {
		if g.IntN(3) > 0 {
			names = append(names, fmt.Sprintf("%s%d", prefix, i))
		}
	}
	return names
}

func many[K, T any](names []K, make func(name K) T) []T {
	var list []T
	for _, n := range names {
		list = append(list, make(n))
	}
	return list
}

func (g dice) labels() map[string]string {
	names := g.some("label", 3)
	if len(names) == 0 {
		return nil
	}
	m := map[string]string{}
	for _, n := range names {
		m[n] = g.pick("a", "b", "")
	}
	return m
}

func (g dice) item(name string) Item {
	i := Item{Name: name}
	switch g.IntN(3) {
	case 0:
		i.Value = g.pick("x", "y", "z")
	case 1:
		i.Template = g.pick("t", "u")
	}
	return i
}

func (g dice) env(name string) Env {
	e := Env{Name: name}
	if g.rarely() {
		e.Description = g.pick("one", "two")
	}
	switch g.IntN(4) {
	case 0:
		e.Template = g.pick("t", "u")
	case 1:
		e.ValueFrom = &ValueFrom{Field: g.pick("metadata.name", "status.podIP")}
	default:
		e.Value = g.pick("1", "2", "3", "")
	}
	return e
}

func (g dice) secretItem(name string) SecretItem {
	i := SecretItem{Name: name}
	switch g.IntN(3) {
	case 0:
		i.Generate = &Generate{Length: g.IntN(3) * 8}
	case 1:
		i.Template = g.pick("t", "u")
	default:
		i.Value = NewSensitive(g.pick("s3cr3t-one", "s3cr3t-two", ""))
	}
	return i
}

func (g dice) container() Container {
	c := Container{Image: g.pick("i:1", "i:2"), Env: many(g.some("E", 5), g.env)}
	if g.maybe() {
		c.Args = []string{g.pick("a", "b"), g.pick("c", "d")}
	}
	c.Files = many(g.some("/etc/f", 2), func(n string) File {
		f := File{Path: n, Mode: g.pick("", "0644", "0400")}
		if g.maybe() {
			f.Content = g.pick("c", "d")
		} else {
			f.Template = g.pick("c", "d")
		}
		return f
	})
	c.Mounts = many(g.some("/mnt/", 2), func(n string) Mount { return Mount{Path: n, Volume: g.pick("v0", "v1")} })
	if g.maybe() {
		c.Probes = &Probes{Readiness: g.probe()}
	}
	if g.maybe() {
		c.Resources = &Resources{Limits: map[string]Quantity{"cpu": Quantity(g.pick("1", "1000m", "2"))}}
		if g.maybe() {
			c.Resources.Requests = map[string]Quantity{"memory": Quantity(g.pick("1Gi", "1024Mi", "2Gi"))}
		}
	}
	return c
}

func (g dice) probe() *Probe {
	p := &Probe{FailureThreshold: g.IntN(5)}
	if g.maybe() {
		p.TCP = &TCPCheck{Port: PortRef(g.pick("80", "http"))}
	} else {
		p.HTTP = &HTTPCheck{Port: "80", Path: g.pick("", "/", "/x")}
	}
	return p
}

func (g dice) component(id string) Component {
	kinds := []ComponentKind{KindService, KindService, KindStateful, KindDaemon}
	c := Component{ID: id, Kind: kinds[g.IntN(len(kinds))], Container: g.container(), Labels: g.labels()}
	if g.rarely() {
		c.Enabled = ptr(g.maybe())
	}
	c.Needs = many(g.some("n", 3), func(n string) Need {
		need := Need{Name: n, Component: g.pick("c0", "c1")}
		if g.maybe() {
			need.Name, need.Component = "", n
		}
		if g.maybe() {
			need.Prefix = ptr(g.pick("", "DB_"))
		}
		return need
	})
	c.Ports = many([]int{80, 81}[:g.IntN(3)], func(n int) Port {
		return Port{Port: n, Protocol: Protocol(g.pick("", "TCP", "UDP")), Access: Access(g.pick("", "needs", "application"))}
	})
	c.Provides = many(g.some("p", 2), g.item)
	c.Aliases = g.some("alias", 2)
	c.Volumes = many(g.some("v", 2), g.volume)
	c.Sidecars = many(g.some("s", 3), func(n string) NamedContainer { return NamedContainer{Name: n, Container: g.container()} })
	if g.maybe() {
		c.Scale = &Scale{Replicas: ptr(g.IntN(3))}
		if g.maybe() {
			c.Scale.Auto = &AutoScale{Max: g.IntN(3) + 3, Metrics: []Metric{{CPU: &ResourceMetric{Utilization: 50 + g.IntN(2)}}}}
			if g.maybe() {
				c.Scale.Auto.Min = ptr(g.IntN(2))
			}
		}
	}
	if g.rarely() {
		c.Extensions = Extensions{"x.example": JSON(g.pick(`{"a":1}`, `{"a":1.0,"b":null}`, `[]`))}
	}
	return c
}

func (g dice) volume(name string) Volume {
	return Volume{Name: name, Kind: VolumePersistent, Size: Quantity(g.pick("1Gi", "2Gi")), AccessMode: g.pick("", "ReadWriteOnce", "ReadWriteMany"),
		Data: DataClass(g.pick("", "files", "logs"))}
}

func (g dice) values() JSON {
	return JSON(g.pick(`{"image":{"tag":"1"},"list":[1,2]}`, `{"image":{"tag":"2"}}`, `{"image":"x"}`, `{"image":{"tag":"1","pull":{}}}`, `{}`))
}

func (g dice) manifest(name string) RawObject {
	return RawObject{Manifest: JSON(fmt.Sprintf(`{"apiVersion":"g.example/v%s","kind":"K","metadata":{"name":%q},"spec":%s}`, g.pick("1", "2"), name, g.values()))}
}

func (g dice) route(id string) Route {
	r := Route{ID: id}
	if g.rarely() {
		r.TCP = &StreamRoute{Port: 80 + g.IntN(2), To: []Backend{{Component: g.pick("c0", "c1")}}}
		return r
	}
	r.HTTP = &HTTPRoute{Hosts: g.some("host", 3), Rules: many(g.some("/r", 4), func(n string) HTTPRule {
		return HTTPRule{Path: n, To: []Backend{{Component: g.pick("c0", "c1"), Port: "80"}}, WebSocket: g.maybe()}
	})}
	if g.maybe() {
		r.HTTP.TLS = &RouteTLS{}
		if g.maybe() {
			r.HTTP.TLS.Issuer = g.pick("i", "j")
		} else {
			r.HTTP.TLS.Secret = g.pick("i", "j")
		}
	}
	return r
}

// application is a random one; two of the same dice have much in common.
func (g dice) application() *Application {
	a := &Application{APIVersion: APIVersion, Kind: KindApplication, Metadata: Metadata{Name: "app", Labels: g.labels()}}
	a.Configs = many(g.some("conf", 2), func(n string) Config { return Config{Name: n, Items: many(g.some("i", 3), g.item)} })
	a.Secrets = many(g.some("sec", 2), func(n string) Secret { return Secret{Name: n, Items: many(g.some("i", 3), g.secretItem)} })
	a.Volumes = many(g.some("v", 2), g.volume)
	a.Components = many(g.some("c", 4), g.component)
	if g.maybe() {
		a.Components = append(a.Components, Component{ID: "chart", Kind: KindChart, Chart: &Chart{Name: "x", Version: g.pick("1", "2"), Values: g.values()}})
	}
	if g.maybe() {
		a.Components = append(a.Components, Component{ID: "objects", Kind: KindObjects, Objects: many(g.some("o", 2), g.manifest)})
	}
	a.Routes = many(g.some("r", 2), g.route)
	return a
}

// edited is a copy of a with about n parts taken from another application.
func (g dice) edited(a *Application, n int) *Application {
	b, other := Clone(a), g.application()
	for range n {
		switch g.IntN(8) {
		case 0:
			b.Routes = other.Routes
		case 1:
			b.Secrets = other.Secrets
		case 2:
			b.Configs, b.Volumes = other.Configs, other.Volumes
		case 3:
			if len(b.Components) > 0 {
				i := g.IntN(len(b.Components))
				b.Components = slices.Delete(b.Components, i, i+1)
			}
		default:
			if len(b.Components) > 0 {
				g.edit(&b.Components[g.IntN(len(b.Components))])
			}
		}
	}
	return b
}

func (g dice) edit(c *Component) {
	from := g.component(c.ID)
	switch g.IntN(9) {
	case 0:
		c.Env = from.Env
	case 1:
		c.Env = many(g.Perm(len(c.Env)), func(i int) Env { return c.Env[i] })
	case 2:
		c.Image, c.Args = from.Image, from.Args
	case 3:
		c.Sidecars = from.Sidecars
	case 4:
		c.Scale, c.Resources, c.Labels = from.Scale, from.Resources, from.Labels
	case 5:
		c.Ports, c.Needs, c.Aliases = from.Ports, from.Needs, from.Aliases
	case 6:
		c.Probes, c.Files, c.Mounts = from.Probes, from.Files, from.Mounts
	case 7:
		if c.Chart != nil {
			c.Chart.Values = g.values()
		}
		for i := range c.Objects {
			c.Objects[i] = g.manifest(fmt.Sprintf("o%d", i))
		}
		if len(c.Objects) > 0 && g.maybe() {
			c.Objects = many(g.some("o", 2), g.manifest)
		}
	case 8:
		c.Volumes, c.Provides = from.Volumes, from.Provides
	}
}

// shuffled is a copy of a with the lists shuffled whose order has no meaning.
func (g dice) shuffled(a *Application) *Application {
	a = Clone(a)
	mix := func(n int, swap func(i, j int)) { g.Shuffle(n, swap) }
	mix(len(a.Components), func(i, j int) { a.Components[i], a.Components[j] = a.Components[j], a.Components[i] })
	mix(len(a.Configs), func(i, j int) { a.Configs[i], a.Configs[j] = a.Configs[j], a.Configs[i] })
	mix(len(a.Secrets), func(i, j int) { a.Secrets[i], a.Secrets[j] = a.Secrets[j], a.Secrets[i] })
	mix(len(a.Routes), func(i, j int) { a.Routes[i], a.Routes[j] = a.Routes[j], a.Routes[i] })
	for i := range a.Components {
		c := &a.Components[i]
		mix(len(c.Files), func(i, j int) { c.Files[i], c.Files[j] = c.Files[j], c.Files[i] })
		mix(len(c.Ports), func(i, j int) { c.Ports[i], c.Ports[j] = c.Ports[j], c.Ports[i] })
		mix(len(c.Aliases), func(i, j int) { c.Aliases[i], c.Aliases[j] = c.Aliases[j], c.Aliases[i] })
		mix(len(c.Needs), func(i, j int) { c.Needs[i], c.Needs[j] = c.Needs[j], c.Needs[i] })
	}
	return a
}

func ptr[T any](v T) *T { return &v }
