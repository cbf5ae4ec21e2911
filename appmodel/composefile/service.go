package composefile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/types"
	imageref "github.com/distribution/reference"
)

// service is a service on its way to a component.
type service struct {
	name, id string
	cfg      types.ServiceConfig
	known    *image
	comp     appmodel.Component
	env      []variable
	needs    []*need
	routes   int
	volumes  namer
	texts    []mountedText // companions that may name other services
	stateful bool
	secrets  string // the group of its own secrets
	items    namer
	also     []string // further DNS names
}

// mountedText is a text file that the service sees.
type mountedText struct {
	name, text string
	key        key
}

func (s *service) key(parts ...string) key {
	return keyOf(append([]string{"services", s.name}, parts...)...)
}

func (s *service) path(field string) string { return item("components", s.id, field) }

// identify gives each service its id and kind.
func (im *importer) identify() {
	names := make([]string, 0, len(im.project.Services))
	for name := range im.project.Services {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(im.order(keyOf("services", a)), im.order(keyOf("services", b))), cmp.Compare(a, b))
	})
	before := im.previousIDs()
	for _, name := range names { // ids that are given come first
		if before[name] != "" {
			im.names.components[before[name]] = true
		}
	}
	completed := map[string]bool{}
	for _, name := range names {
		for dep, d := range im.project.Services[name].DependsOn {
			completed[dep] = completed[dep] || d.Condition == types.ServiceConditionCompletedSuccessfully
		}
	}
	for _, name := range names {
		cfg := im.project.Services[name]
		s := &service{name: name, cfg: cfg, known: knownImage(cfg.Image), volumes: namer{}}
		if s.id = before[name]; s.id == "" {
			s.id = im.names.components.take(name)
		}
		s.comp.ID = s.id
		s.comp.Kind = im.kind(s, completed[name])
		s.stateful = s.comp.Kind == appmodel.KindStateful
		if s.id != name {
			im.note(fmt.Sprintf("service %q is component %q", name, s.id))
		}
		im.services = append(im.services, s)
		im.byName[name] = s
	}
}

// order is where a place is written.
func (im *importer) order(k key) int {
	if p, ok := im.at[k]; ok {
		return p.order
	}
	return 1 << 30
}

// previousIDs are the ids of the last import by service.
func (im *importer) previousIDs() map[string]string {
	ids := map[string]string{}
	if im.opts.Previous == nil {
		return ids
	}
	for _, c := range im.opts.Previous.Components {
		var kept struct {
			Service string `json:"service"`
		}
		if json.Unmarshal(c.Extensions[extensionKey], &kept) == nil && kept.Service != "" {
			ids[kept.Service] = c.ID
		} else if ids[c.ID] == "" {
			ids[c.ID] = c.ID
		}
	}
	return ids
}

func (im *importer) kind(s *service, completed bool) appmodel.ComponentKind {
	mode := ""
	if s.cfg.Deploy != nil {
		mode = s.cfg.Deploy.Mode
	}
	once := s.cfg.Restart == "no" || s.cfg.Restart == "on-failure"
	switch {
	case mode == "global":
		im.notes.mapped(s.path("kind"), s.key("deploy", "mode"))
		return appmodel.KindDaemon
	case strings.HasSuffix(mode, "-job"):
		im.notes.mapped(s.path("kind"), s.key("deploy", "mode"))
		return appmodel.KindJob
	case completed, im.opts.Jobs && once && len(s.cfg.Ports)+len(s.cfg.Expose) == 0:
		im.notes.mapped(s.path("kind"), s.key("restart"))
		if completed {
			im.note(fmt.Sprintf("components[%s] is a job: another service waits for its completion", s.id))
		}
		return appmodel.KindJob
	}
	im.notes.implied("replicas are the default", s.key("deploy", "mode"))
	if once {
		im.notes.degraded(s.path("kind"), "a service, which is restarted always; Options.Jobs makes jobs of those without ports", s.key("restart"))
	}
	if s.known != nil && s.known.database {
		for _, v := range s.cfg.Volumes {
			if v.Type == types.VolumeTypeVolume && v.Source != "" {
				return appmodel.KindStateful
			}
		}
	}
	return appmodel.KindService
}

// image takes the image, or that of a build section.
func (im *importer) image(s *service) {
	s.comp.Image = s.cfg.Image
	p, there := im.at[s.key("image")]
	unset := there && len(im.reader.missing[p.node]) > 0
	if unset {
		im.fault(s.key("image"), "nobody gave "+im.reader.missing[p.node][0], "give it in Options.Environment, or write ${NAME:-default}")
	}
	im.notes.mapped(s.path("image"), s.key("image"))
	b := s.cfg.Build
	if s.cfg.Image == "" {
		built := im.projectName() + "-" + s.name
		s.comp.Image = cmp.Or(im.opts.Images[s.name], im.opts.Images[built])
		if s.comp.Image == "" {
			s.comp.Image = label(built)
			if b == nil {
				im.fault(s.key(), "no image", "name one under image:")
			} else if !im.opts.AllowUnbuilt {
				im.fault(s.key("build"), "nobody says which image the build makes",
					fmt.Sprintf("give Options.Images[%q], or set Options.AllowUnbuilt", s.name))
			}
			im.notes.degraded(s.path("image"), fmt.Sprintf("nobody says which image the build makes: %s is a placeholder", s.comp.Image), s.key("build"))
		}
		s.known = knownImage(s.comp.Image)
	} else if given := cmp.Or(im.opts.Images[s.name], im.opts.Images[im.projectName()+"-"+s.name]); given != "" && b != nil {
		s.comp.Image = given
		im.notes.how(s.path("image"), "replaced by Options.Images", s.key("image"))
	}
	if _, err := imageref.ParseNormalizedNamed(s.comp.Image); err != nil && !unset {
		k := s.key("image")
		if s.cfg.Image == "" {
			k = s.key("build")
		}
		im.fault(k, fmt.Sprintf("%q is not an image: %s", cut(s.comp.Image), err), "write for example registry.example.com/shop/web:3.2.0, with a name of at most 255 characters")
	}
	if b == nil {
		return
	}
	src := &appmodel.Source{Build: &appmodel.Build{Context: b.Context, Dockerfile: b.Dockerfile, Target: b.Target}}
	if strings.Contains(b.Context, "://") || strings.HasPrefix(b.Context, "git@") {
		src.Git, src.Ref, _ = strings.Cut(b.Context, "#")
		src.Build.Context = ""
	} else if escapes(b.Context, ".") && !strings.HasPrefix(b.Context, "/") {
		src.Build.Context = ""
		im.notes.degraded("", "leads out of the directory of the compose file: left out", s.key("build", "context"))
	}
	for name, v := range b.Args {
		k := s.key("build", "args", name)
		if v == nil || secretName(name) {
			im.notes.unsupported("arguments without value, or with a secret, are not kept", k)
			continue
		}
		if src.Build.Args == nil {
			src.Build.Args = map[string]string{}
		}
		src.Build.Args[name] = *v
		im.notes.mapped(s.path("source.build.args"), k)
	}
	s.comp.Source = src
	if im.isScalar(s.key("build")) {
		im.notes.how(s.path("source.build.context"), "the image is built elsewhere", s.key("build"))
	}
	for _, f := range []string{"context", "dockerfile", "target"} {
		im.notes.how(s.path("source.build."+f), "the image is built elsewhere", s.key("build", f))
	}
}

// isScalar reports whether a place is written as a single value.
func (im *importer) isScalar(k key) bool {
	p, ok := im.at[k]
	return ok && len(p.node.Content) == 0
}

func (im *importer) projectName() string { return cmp.Or(im.project.Name, im.app.Metadata.Name) }

// container takes over how the process runs.
func (im *importer) container(s *service) {
	c := &s.comp
	if im.shellCommand(s, s.cfg.Entrypoint, "entrypoint", &c.Command) && s.cfg.Command == nil && len(s.cfg.Entrypoint) > 0 {
		im.notes.how(s.path("command"), "", s.key("entrypoint"))
	}
	im.shellCommand(s, s.cfg.Command, "command", &c.Args)
	if s.cfg.WorkingDir != "" {
		c.WorkingDir = s.cfg.WorkingDir
		im.notes.mapped(s.path("workingDir"), s.key("working_dir"))
	}
	c.Stdin, c.TTY = s.cfg.StdinOpen, s.cfg.Tty
	im.notes.mapped(s.path("stdin"), s.key("stdin_open"))
	im.notes.mapped(s.path("tty"), s.key("tty"))
	im.healthcheck(s)
	im.lifecycle(s)
	im.annotations(s)
	if len(s.cfg.Profiles) > 0 {
		c.Enabled = new(bool)
		im.notes.how(s.path("enabled"), "services with a profile are off until they are enabled", s.key("profiles"))
	}
	switch s.cfg.PullPolicy {
	case "":
	case "always":
		c.ImagePull = &appmodel.ImagePull{Policy: "Always"}
	case "never":
		c.ImagePull = &appmodel.ImagePull{Policy: "Never"}
	case "missing", "if_not_present":
		c.ImagePull = &appmodel.ImagePull{Policy: "IfNotPresent"}
	default:
		im.notes.unsupported("images are built and refreshed elsewhere", s.key("pull_policy"))
	}
	im.notes.mapped(s.path("imagePull.policy"), s.key("pull_policy"))
}

// shellCommand takes over command or entrypoint.
func (im *importer) shellCommand(s *service, cmd types.ShellCommand, field string, to *[]string) bool {
	if cmd == nil {
		return false
	}
	target := map[string]string{"command": "args", "entrypoint": "command"}[field]
	if len(cmd) == 0 || len(cmd) == 1 && cmd[0] == "" {
		im.notes.unsupported("an empty one would clear the image's own, which Kubernetes can't", s.key(field))
		return false
	}
	for _, arg := range cmd {
		*to = append(*to, im.argument(s, arg, s.key(field)))
	}
	im.notes.mapped(s.path(target), s.key(field))
	return true
}

// escapeRefs keeps $(NAME) from being expanded by Kubernetes.
func escapeRefs(v string) string { return strings.ReplaceAll(v, "$(", "$$(") }

// healthcheck makes a readiness probe, with Docker's defaults.
func (im *importer) healthcheck(s *service) {
	h := s.cfg.HealthCheck
	if h == nil {
		return
	}
	k := s.key("healthcheck")
	if h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE" {
		im.notes.implied("no probe is invented", k)
		return
	}
	p := &appmodel.Probe{Period: appmodel.Duration(30 * time.Second), Timeout: appmodel.Duration(30 * time.Second)}
	switch {
	case len(h.Test) < 2:
		im.notes.unsupported("changes the check of the image, which is not known here; write test:", k)
		return
	case h.Test[0] == "CMD":
		p.Exec = &appmodel.Exec{Command: im.probeCommand(s, h.Test[1:], false, k.child("test"))}
	default:
		p.Exec = &appmodel.Exec{Command: im.probeCommand(s, h.Test[1:], true, k.child("test"))}
	}
	if h.Interval != nil && *h.Interval > 0 {
		p.Period = seconds(*h.Interval)
	}
	if h.Timeout != nil && *h.Timeout > 0 {
		p.Timeout = seconds(*h.Timeout)
	}
	if h.Retries != nil && *h.Retries > 0 {
		p.FailureThreshold = int(min(*h.Retries, 1000))
	}
	s.comp.Probes = &appmodel.Probes{Readiness: p}
	to := s.path("probes.readiness")
	im.notes.mapped(to+".exec", k.child("test"))
	im.notes.mapped(to+".period", k.child("interval"))
	im.notes.mapped(to+".timeout", k.child("timeout"))
	im.notes.mapped(to+".failureThreshold", k.child("retries"))
	im.notes.implied("the check is on", k.child("disable"))
}

// seconds rounds up to what probes can say.
func seconds(d types.Duration) appmodel.Duration {
	v := time.Duration(d)
	return appmodel.Duration((v + time.Second - 1).Truncate(time.Second))
}

func (im *importer) lifecycle(s *service) {
	l := &appmodel.Lifecycle{}
	if d := s.cfg.StopGracePeriod; d != nil {
		l.GracePeriod = seconds(*d)
		im.notes.mapped(s.path("lifecycle.gracePeriod"), s.key("stop_grace_period"))
	}
	hook := func(hooks []types.ServiceHook, field, to string) *appmodel.Handler {
		if len(hooks) == 0 {
			return nil
		}
		h := hooks[0]
		if len(hooks) > 1 || h.User != "" || h.Privileged || h.WorkingDir != "" || len(h.Environment) > 0 || len(h.Command) == 0 {
			im.notes.unsupported("only one plain command is possible", s.key(field))
			return nil
		}
		im.notes.mapped(s.path("lifecycle."+to), s.key(field))
		return &appmodel.Handler{Exec: &appmodel.Exec{Command: h.Command}}
	}
	l.PostStart = hook(s.cfg.PostStart, "post_start", "postStart")
	l.PreStop = hook(s.cfg.PreStop, "pre_stop", "preStop")
	if *l != (appmodel.Lifecycle{}) {
		s.comp.Lifecycle = l
	}
}

// annotations keeps labels and annotations, whose values Kubernetes allows in
// annotations only.
func (im *importer) annotations(s *service) {
	add := func(name, value string, k key) {
		if !qualifiedName(name) {
			im.notes.unsupported("no name that Kubernetes takes", k)
			return
		}
		if s.comp.Annotations == nil {
			s.comp.Annotations = map[string]string{}
		}
		s.comp.Annotations[name] = value
		im.notes.mapped(s.path("annotations["+name+"]"), k)
	}
	for name, v := range s.cfg.Labels {
		add(name, v, s.key("labels", name))
	}
	for name, v := range s.cfg.Annotations {
		add(name, v, s.key("annotations", name))
	}
	if s.cfg.Deploy != nil {
		for name, v := range s.cfg.Deploy.Labels {
			add(name, v, s.key("deploy", "labels", name))
		}
	}
}

// qualifiedName reports whether s is an annotation's key.
func qualifiedName(s string) bool {
	prefix, name, found := strings.Cut(s, "/")
	if !found {
		prefix, name = "", s
	} else {
		for _, l := range strings.Split(prefix, ".") {
			if !isDNSLabel("x"+l) || l == "" || l[0] == '-' {
				return false
			}
		}
		if len(prefix) > 253 || strings.HasPrefix(prefix, "appspan.dev") || strings.HasSuffix(prefix, "kubernetes.io") {
			return false
		}
	}
	if name == "" || len(name) > 63 {
		return false
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || i == len(name)-1 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return true
}

// finish keeps what is foreign, and the needs.
func (im *importer) finish(s *service) {
	kept := map[string]any{}
	if s.id != s.name {
		kept["service"] = s.name
	}
	if nets := s.cfg.Networks; len(nets) > 0 && !(len(nets) == 1 && nets["default"] == nil && im.order(s.key("networks")) == 1<<30) {
		kept["networks"] = nets
	}
	for k, v := range s.cfg.Extensions {
		kept[k] = v
	}
	s.comp.Extensions = keep(kept)
	for _, n := range s.needs {
		s.comp.Needs = append(s.comp.Needs, n.need(im))
	}
}

func atoi64(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0
}
