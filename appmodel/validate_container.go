package appmodel

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// containers checks the main container, init containers and sidecars.
func (v *checker) containers(c *Component, at Path) {
	mounted := map[string]*Volume{}
	v.container(c, &c.Container, at, mounted)
	names := map[string]bool{}
	for _, list := range []struct {
		field string
		boxes []NamedContainer
	}{{"initContainers", c.InitContainers}, {"sidecars", c.Sidecars}} {
		for i := range list.boxes {
			box := &list.boxes[i]
			here := at.field(list.field).entry(box.Name)
			if box.Name != "" && len(validation.IsDNS1123Label(box.Name)) > 0 {
				v.errorf(here.field("name"), "use lower-case letters, digits and hyphens", "%q is not the name of a container", cut(box.Name))
			}
			if names[box.Name] || box.Name == c.ID && box.Name != "" {
				v.errorf(here.field("name"), "rename it", "another container of %s is called so", c.ID)
			}
			names[box.Name] = true
			if box.Image == "" {
				v.errorf(here.field("image"), "give one", "is missing")
			}
			if box.Lifecycle != nil && box.Lifecycle.GracePeriod != 0 {
				v.errorf(here.field("lifecycle").field("gracePeriod"), "write it under the component's lifecycle", "belongs to the component")
			}
			v.container(c, &box.Container, here, mounted)
		}
	}
	v.sharing(c, mounted, at)
	if c.ImagePull != nil {
		for _, s := range c.ImagePull.Secrets {
			p := at.field("imagePull").field("secrets").entry(s)
			v.groupRef(s, "", true, p)
			if group := v.secrets[s]; group != nil && group.Type != SecretRegistry {
				v.errorf(p, "use a secret of type registry", "secret %s is of type %s", s, group.Type)
			}
		}
	}
	persistent := false
	for _, vol := range mounted {
		persistent = persistent || vol.Kind == VolumePersistent
	}
	if c.Kind == KindStateful && !persistent {
		v.warnf(at, "mount one, or make it a service", "a stateful component without a persistent volume keeps nothing")
	}
}

func (v *checker) container(c *Component, box *Container, at Path, mounted map[string]*Volume) {
	v.image(box.Image, at.field("image"))
	v.paths(c, box, at, mounted)
	v.env(box, at)
	for i, arg := range box.Args {
		v.argument(box.Args, i, arg, at.field("args"))
	}
	for i, arg := range box.Command {
		v.argument(box.Command, i, arg, at.field("command"))
	}
	if box.WorkingDir != "" {
		v.absolute(box.WorkingDir, at.field("workingDir"))
	}
	v.probes(c, box, at)
	v.resources(box.Resources, at.field("resources"))
	v.lifecycle(c, box.Lifecycle, at.field("lifecycle"))
}

var imageName = regexp.MustCompile(`^([a-zA-Z0-9][-.a-zA-Z0-9]*(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][-.A-Za-z0-9_]{0,127})?(@sha256:[0-9a-f]{64})?$`)

func (v *checker) image(image string, at Path) {
	switch {
	case image == "":
	case strings.Contains(image, "://"):
		v.errorf(at, "leave the scheme out", "%q is a URL, not an image", cut(image))
	case len(image) > 512 || !imageName.MatchString(image):
		v.errorf(at, "write for example registry.example.com/shop/web:3.2.0", "%q is not an image", cut(image))
	case strings.Contains(image, "@"):
	case strings.HasSuffix(image, ":latest") || !strings.Contains(path.Base(image), ":"):
		v.warnf(at, "write a version, so that the same document always runs the same", "%q is the tag latest, which moves", image)
	}
}

// paths checks mounts and files: where they are, and what they lead to.
func (v *checker) paths(c *Component, box *Container, at Path, mounted map[string]*Volume) {
	taken := map[string]string{}
	claim := func(p, what string, at Path) {
		clean := path.Clean(p)
		if other, twice := taken[clean]; twice && p != "" && other != what+"\x00"+p {
			v.errorf(at, "move one of them", "a %s is at this path too", strings.SplitN(other, "\x00", 2)[0])
		}
		taken[clean] = what + "\x00" + p
	}
	volumes := v.mountable(c)
	for _, m := range box.Mounts {
		here := at.field("mounts").entry(m.Path)
		if v.absolute(m.Path, here.field("path")) && m.Path == "/" {
			v.errorf(here.field("path"), "mount it deeper", "a mount at / hides the whole image")
		}
		claim(m.Path, "mount", here)
		if strings.HasPrefix(m.SubPath, "/") || strings.Contains("/"+m.SubPath+"/", "/../") {
			v.errorf(here.field("subPath"), "write a path within the volume, without ..", "%q leads out of the volume", cut(m.SubPath))
		}
		if m.Volume == "" {
			continue
		}
		vol := volumes[m.Volume]
		if vol == nil {
			next := didYouMean(m.Volume, sortedKeys(volumes))
			if next == "" {
				next = "add it under volumes"
			}
			v.errorf(here.field("volume"), next, "no volume %q", cut(m.Volume))
			continue
		}
		mounted[m.Volume] = vol
		if vol.Kind == VolumeHost && v.volumes[m.Volume] != nil && c.Security != nil && c.Security.Level != LevelPrivileged {
			v.errorf(here, "it is "+string(c.Security.Level), "a host path needs security.level: privileged")
		}
	}
	for _, f := range box.Files {
		here := at.field("files").entry(f.Path)
		if v.absolute(f.Path, here.field("path")) && strings.HasSuffix(f.Path, "/") {
			v.errorf(here.field("path"), "name the file", "%q is a directory", cut(f.Path))
		}
		claim(f.Path, "file", here)
		v.file(f, here)
	}
}

func (v *checker) file(f File, at Path) {
	v.mode(f.Mode, at.field("mode"))
	size := max(len(f.Content), len(f.Template))
	if f.Base64 != "" {
		raw, err := base64.StdEncoding.DecodeString(f.Base64)
		if err != nil {
			v.errorf(at.field("base64"), "encode the file with standard base64, padding included", "is not base64")
		}
		size = len(raw)
	}
	if size > maxFile {
		v.errorf(at, "put it into the image or a volume", "the file has %d bytes, more than 900 KiB", size)
	}
	if f.Config != nil {
		v.groupRef(f.Config.Name, f.Config.Item, false, at.field("config"))
	}
	if f.Secret != nil {
		v.groupRef(f.Secret.Name, f.Secret.Item, true, at.field("secret"))
	}
}

var secretName = regexp.MustCompile(`(?i)(^|[-_.])(password|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credentials?)$`)

func (v *checker) env(box *Container, at Path) {
	for _, e := range box.Env {
		here := at.field("env").entry(e.Name)
		if e.Name != "" && len(validation.IsEnvVarName(e.Name)) > 0 {
			v.errorf(here.field("name"), "use letters, digits, hyphens, dots and underscores, and do not begin with a digit", "%q is not the name of a variable", cut(e.Name))
		}
		if from := e.ValueFrom; from != nil {
			if from.Config != nil {
				v.groupRef(from.Config.Name, from.Config.Item, false, here.field("valueFrom").field("config"))
			}
			if from.Secret != nil {
				v.groupRef(from.Secret.Name, from.Secret.Item, true, here.field("valueFrom").field("secret"))
			}
		}
		literal := e.Value != "" && !strings.Contains(e.Value, "$(")
		if literal && secretName.MatchString(e.Name) || e.Value != "" && urlPassword(e.Value) {
			v.warnf(here, `put the value under secrets, and write template: "${secret.GROUP.ITEM}"`, "looks like a secret, and its value stands here for everybody to read")
		}
	}
	for _, e := range box.EnvFrom {
		here := at.field("envFrom").entry(strings.TrimRight(e.Config+"/"+e.Secret+"/"+e.Prefix, "/"))
		v.groupRef(e.Config, "", false, here)
		v.groupRef(e.Secret, "", true, here)
		if e.Prefix != "" && len(validation.IsEnvVarName(e.Prefix)) > 0 {
			v.errorf(here.field("prefix"), "write for example SHOP_", "%q can't begin the name of a variable", cut(e.Prefix))
		}
	}
}

// userPassword finds user:password@ in a URL, where the password is not taken
// from elsewhere.
var userPassword = regexp.MustCompile(`[a-z][-+.a-z0-9]*://[^\s/@:$]*:([^\s/@]+)@`)

func urlPassword(s string) bool {
	m := userPassword.FindStringSubmatch(s)
	return m != nil && !strings.HasPrefix(m[1], "$")
}

var secretFlag = regexp.MustCompile(`(?i)^--?([-_.a-z0-9]*[-_.])?(password|passwd|secret|token|api-?key|access-?key|private-?key)(=(.*))?$`)

// argument refuses secrets in arguments: every process of the node sees them,
// and no rendering can hide them.
func (v *checker) argument(args []string, i int, arg string, at Path) {
	const next = "put it under secrets, give it to env by a template, and write $(NAME) here"
	m := secretFlag.FindStringSubmatch(arg)
	value := ""
	switch {
	case m == nil:
	case m[3] != "":
		value = m[4]
	case i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
		value = args[i+1]
	}
	fromElsewhere := value == "" || strings.Contains(value, "$") || strings.HasPrefix(value, "/")
	if !fromElsewhere || urlPassword(arg) || v.holdsSecret(arg) {
		v.errorf(at, next, "argument %d holds a secret", i+1)
	}
}

// holdsSecret reports whether a text holds the value of an inline secret.
func (v *checker) holdsSecret(text string) bool {
	for _, s := range v.app.Secrets {
		for _, i := range s.Items {
			if value := i.Value.Reveal(); len(value) >= 8 && strings.Contains(text, value) {
				return true
			}
		}
	}
	return false
}

func (v *checker) source(c *Component, at Path) {
	if c.Source == nil || c.Source.Git == "" {
		return
	}
	u, err := url.Parse(c.Source.Git)
	if err == nil && u.User != nil {
		_, hasPassword := u.User.Password()
		if hasPassword || u.Scheme == "https" || u.Scheme == "http" {
			v.errorf(at.field("source").field("git"), "leave user and password out; credentials belong to whoever builds", "the URL holds credentials")
		}
	}
}

func (v *checker) resources(r *Resources, at Path) {
	if r == nil {
		return
	}
	for _, set := range []struct {
		name   string
		values map[string]Quantity
	}{{"requests", r.Requests}, {"limits", r.Limits}} {
		for _, name := range sortedKeys(set.values) {
			here := at.field(set.name).entry(name)
			known := name == "cpu" || name == "memory" || name == "ephemeral-storage" || strings.HasPrefix(name, "hugepages-")
			if !known && (!strings.Contains(name, "/") || len(validation.IsQualifiedName(name)) > 0) {
				next := didYouMean(name, []string{"cpu", "memory", "ephemeral-storage"})
				v.errorf(here, next, "unknown resource %q; extended ones are written domain/name", cut(name))
			}
			v.quantity(set.values[name], here)
			limit, bounded := r.Limits[name]
			if set.name != "requests" || !bounded {
				continue
			}
			q, err1 := set.values[name].Parse()
			l, err2 := limit.Parse()
			if err1 == nil && err2 == nil && q.Cmp(l) > 0 {
				v.errorf(here, "raise the limit, or lower the request", "request %s is more than limit %s", set.values[name], limit)
			}
		}
	}
}

func (v *checker) lifecycle(c *Component, l *Lifecycle, at Path) {
	if l == nil {
		return
	}
	v.seconds(l.GracePeriod, at.field("gracePeriod"))
	for name, h := range map[string]*Handler{"postStart": l.PostStart, "preStop": l.PreStop} {
		if h == nil {
			continue
		}
		here := at.field(name)
		v.seconds(h.Sleep, here.field("sleep"))
		if h.HTTP != nil {
			v.httpCheck(c, h.HTTP, here.field("http"))
		}
	}
}

// seconds checks a duration that Kubernetes counts in whole seconds.
func (v *checker) seconds(d Duration, at Path) {
	if time.Duration(d)%time.Second != 0 {
		whole := Duration(time.Duration(d).Truncate(time.Second) + time.Second)
		v.errorf(at, fmt.Sprintf("write %s", whole), "%s is not a whole number of seconds", d)
	}
}
