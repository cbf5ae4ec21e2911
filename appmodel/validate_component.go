package appmodel

import (
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/util/validation"
)

// component checks one component; its defaults are filled in.
func (v *checker) component(c *Component, at Path) {
	v.name(c.ID, at.field("id"))
	v.labels(c.Labels, at.field("labels"))
	v.annotations(c.Annotations, at.field("annotations"))
	v.extensions(c.Extensions, at.field("extensions"))
	v.bounds(c, at)
	v.kindBlocks(c, at)
	v.ports(c, at)
	v.needs(c, at)
	for _, p := range c.Provides {
		if p.Name != "" && !provideName.MatchString(p.Name) {
			v.errorf(at.field("provides").entry(p.Name).field("name"), "use letters, digits, hyphens, dots and underscores", "%q is not a name", cut(p.Name))
		}
	}
	for _, alias := range c.Aliases {
		v.alias(c, alias, at.field("aliases").entry(alias))
	}
	for i := range c.Volumes {
		v.volume(&c.Volumes[i], at.field("volumes").entry(c.Volumes[i].Name), c)
	}
	v.containers(c, at)
	v.security(c, at)
	v.scale(c, at)
	v.update(c, at)
	v.scheduling(c, at)
	v.hooks(c, at)
	v.job(c, at)
	v.source(c, at)
	v.external(c, at)
	v.objects(c, at)
}

var provideName = regexp.MustCompile(`^[A-Za-z_][-._A-Za-z0-9]{0,127}$`)

func (v *checker) bounds(c *Component, at Path) {
	for _, b := range []struct {
		field      string
		count, max int
	}{
		{"ports", len(c.Ports), maxPorts}, {"env", len(c.Env), maxEnv},
		{"files", len(c.Files), maxFiles}, {"volumes", len(c.Volumes), maxVolumes},
	} {
		if b.count > b.max {
			v.errorf(at.field(b.field), "split the component", "there are %d, more than %d", b.count, b.max)
		}
	}
}

// kindBlocks checks that each block belongs to the component's kind.
func (v *checker) kindBlocks(c *Component, at Path) {
	w := v.writtenComponent(c)
	if !slices.Contains(shapeOf(reflect.TypeFor[Component]()).byName["kind"].enum, string(c.Kind)) || w == nil {
		return
	}
	replicas := []ComponentKind{KindService, KindStateful, KindFunction}
	pods := []ComponentKind{KindService, KindStateful, KindDaemon, KindJob, KindCron, KindFunction}
	for _, b := range []struct {
		field string
		there bool
		kinds []ComponentKind
	}{
		{"job", w.Job != nil, []ComponentKind{KindJob, KindCron}},
		{"cron", w.Cron != nil, []ComponentKind{KindCron}},
		{"function", w.Function != nil, []ComponentKind{KindFunction}},
		{"external", w.External != nil, []ComponentKind{KindExternal}},
		{"chart", w.Chart != nil, []ComponentKind{KindChart}},
		{"objects", len(w.Objects) > 0, []ComponentKind{KindObjects}},
		{"scale", w.Scale != nil, replicas},
		{"disruption", w.Disruption != nil, replicas},
		{"update", w.Update != nil, []ComponentKind{KindService, KindStateful, KindDaemon, KindFunction}},
		{"image", w.Image != "", pods},
		{"command", len(w.Command) > 0, pods},
		{"args", len(w.Args) > 0, pods},
		{"env", len(w.Env) > 0, pods},
		{"envFrom", len(w.EnvFrom) > 0, pods},
		{"files", len(w.Files) > 0, pods},
		{"mounts", len(w.Mounts) > 0, pods},
		{"volumes", len(w.Volumes) > 0, pods},
		{"probes", w.Probes != nil, pods},
		{"resources", w.Resources != nil, pods},
		{"lifecycle", w.Lifecycle != nil, pods},
		{"security", w.Security != nil, pods},
		{"scheduling", w.Scheduling != nil, pods},
		{"sidecars", len(w.Sidecars) > 0, pods},
		{"initContainers", len(w.InitContainers) > 0, pods},
		{"hooks", w.Hooks != nil, pods},
		{"monitors", len(w.Monitors) > 0, append(pods[:len(pods):len(pods)], KindExternal, KindChart, KindObjects)},
	} {
		if b.there && !slices.Contains(b.kinds, c.Kind) {
			v.errorf(at.field(b.field), "remove it, or make it another component", "kind %s has no %s; it belongs to %s", c.Kind, b.field, orList(b.kinds))
		}
	}
	for _, b := range []struct {
		field string
		gone  bool
	}{
		{"image", c.Kind.HasPods() && w.Image == ""},
		{"cron", c.Kind == KindCron && w.Cron == nil},
		{"external", c.Kind == KindExternal && w.External == nil},
		{"chart", c.Kind == KindChart && w.Chart == nil},
		{"objects", c.Kind == KindObjects && len(w.Objects) == 0},
	} {
		if b.gone {
			v.errorf(at.field(b.field), "give one", "is missing, and a component of kind %s needs it", c.Kind)
		}
	}
}

func orList(kinds []ComponentKind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// writtenComponent is the component without defaults.
func (v *checker) writtenComponent(c *Component) *Component {
	for i := range v.app.Components {
		if &v.app.Components[i] == c {
			return &v.written.Components[i]
		}
	}
	return nil
}

func (v *checker) alias(c *Component, alias string, at Path) {
	if len(validation.IsDNS1035Label(alias)) > 0 {
		v.errorf(at, "use lower-case letters, digits and hyphens, at most 63, and begin with a letter", "%q is not the name of a Service", cut(alias))
		return
	}
	for i := range v.app.Components {
		other := &v.app.Components[i]
		if other.ID != c.ID && slices.Contains(other.Aliases, alias) {
			v.errorf(at, "give one of them another alias", "is also an alias of %s", other.ID)
			return
		}
	}
}

func (v *checker) scale(c *Component, at Path) {
	if c.Scale == nil {
		return
	}
	at = at.field("scale")
	if r := c.Scale.Replicas; r != nil && (*r < 0 || *r > 100_000) {
		v.errorf(at.field("replicas"), "write zero or more", "%d is not possible", *r)
	}
	auto := c.Scale.Auto
	if auto == nil {
		return
	}
	at = at.field("auto")
	least := 1
	if auto.Min != nil {
		least = *auto.Min
	}
	switch {
	case least < 0:
		v.errorf(at.field("min"), "write zero or more", "%d is not possible", least)
	case auto.Max > 0 && least > auto.Max:
		v.errorf(at.field("min"), fmt.Sprintf("write at most %d, or a greater max", auto.Max), "min %d is greater than max %d", least, auto.Max)
	case auto.Max < 0:
		v.errorf(at.field("max"), "write one or more", "%d is not possible", auto.Max)
	}
	wakes := len(auto.Schedules) > 0
	for _, m := range auto.Metrics {
		p := at.field("metrics").entry(m.Name)
		wakes = wakes || m.CPU == nil && m.Memory == nil && metricType(m) != ""
		v.metric(c, m, p)
	}
	if least == 0 && c.Kind == KindStateful {
		v.errorf(at.field("min"), "write 1", "a stateful component does not scale to zero by itself")
	} else if least == 0 && c.Kind == KindService && !wakes {
		v.errorf(at.field("min"), "add such a metric, or write min: 1",
			"min 0 needs a metric other than cpu and memory, which are nothing where nothing runs")
	}
	if len(auto.Metrics) == 0 && len(auto.Schedules) == 0 && c.Kind != KindFunction {
		v.errorf(at, "add for example metrics: [{cpu: {utilization: 70}}]", "has neither metrics nor schedules")
	}
	for _, s := range auto.Schedules {
		p := at.field("schedules").entry(s.Name)
		v.schedule(s.Cron, p.field("cron"))
		v.timeZone(s.TimeZone, p.field("timeZone"))
		if s.Replicas < 0 {
			v.errorf(p.field("replicas"), "write zero or more", "%d is not possible", s.Replicas)
		}
	}
}

func (v *checker) metric(c *Component, m Metric, at Path) {
	for name, r := range map[string]*ResourceMetric{"cpu": m.CPU, "memory": m.Memory} {
		if r == nil {
			continue
		}
		p := at.field(name)
		if r.Utilization < 0 {
			v.errorf(p.field("utilization"), "write percent of the request, for example 70", "%d is not possible", r.Utilization)
		}
		if r.Average != "" {
			v.quantity(r.Average, p.field("average"))
		}
		if r.Utilization > 0 && (c.Resources == nil || c.Resources.Requests[name] == "" && c.Resources.Limits[name] == "") {
			v.errorf(p.field("utilization"), fmt.Sprintf("add resources.requests.%s, or use average", name),
				"is a share of the request for %s, and there is none", name)
		}
	}
	for name, target := range map[string]*TargetMetric{"concurrency": m.Concurrency, "requestRate": m.RequestRate} {
		if target != nil && target.Target != "" {
			v.quantity(target.Target, at.field(name).field("target"))
		}
	}
	if m.Custom != nil && m.Custom.Target != "" {
		v.quantity(m.Custom.Target, at.field("custom").field("target"))
	}
	if m.Trigger != nil && m.Trigger.Secret != "" {
		v.groupRef(m.Trigger.Secret, "", true, at.field("trigger").field("secret"))
	}
}

func (v *checker) job(c *Component, at Path) {
	if j := c.Job; j != nil {
		p := at.field("job")
		if j.Retries != nil && *j.Retries < 0 {
			v.errorf(p.field("retries"), "write zero or more", "%d is not possible", *j.Retries)
		}
		if j.Completions < 0 || j.Parallelism < 0 {
			v.errorf(p, "write one or more", "completions and parallelism can't be negative")
		}
		if w := v.writtenComponent(c); c.Kind == KindCron && w != nil && w.Job != nil && w.Job.Runs != "" {
			v.errorf(p.field("runs"), "remove it", "a cron runs by its schedule")
		}
	}
	if c.Cron == nil {
		return
	}
	p := at.field("cron")
	if c.Cron.Schedule != "" {
		v.schedule(c.Cron.Schedule, p.field("schedule"))
	}
	v.timeZone(c.Cron.TimeZone, p.field("timeZone"))
	for name, n := range map[string]*int{"successHistory": c.Cron.SuccessHistory, "failureHistory": c.Cron.FailureHistory} {
		if n != nil && *n < 0 {
			v.errorf(p.field(name), "write zero or more", "%d is not possible", *n)
		}
	}
}

func (v *checker) schedule(text string, at Path) {
	if strings.Contains(text, "TZ=") {
		v.errorf(at, "write the zone under timeZone", "the schedule holds a time zone")
		return
	}
	if len(text) > 200 {
		v.errorf(at, `write for example "30 2 * * *"`, "is too long for a schedule")
		return
	}
	if _, err := cron.ParseStandard(text); err != nil {
		v.errorf(at, `write minute, hour, day, month and weekday, for example "30 2 * * *"`, "%q is not a schedule", cut(text))
	}
}

var zoneName = regexp.MustCompile(`^[A-Za-z][-+_A-Za-z0-9]*(/[-+_A-Za-z0-9]+)*$`)

// external checks that the hosts are addresses or one DNS name.
func (v *checker) external(c *Component, at Path) {
	if c.External == nil {
		return
	}
	at = at.field("external").field("hosts")
	names, addresses := 0, 0
	for _, h := range c.External.Hosts {
		p := at.entry(h)
		ip := net.ParseIP(h)
		switch {
		case ip != nil && (ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast()):
			v.errorf(p, "give the address at which pods can reach it", "%s leads nowhere from inside a pod", h)
		case ip != nil:
			addresses++
		case len(validation.IsDNS1123Subdomain(h)) > 0:
			v.errorf(p, "write a host name or an address, without scheme and port", "%q is not a host", cut(h))
		default:
			names++
		}
	}
	if names > 1 {
		v.errorf(at, "make each its own component", "there are %d DNS names; one is possible", names)
	} else if names > 0 && addresses > 0 {
		v.errorf(at, "keep the addresses, or the one name", "a DNS name and addresses do not mix")
	}
}
