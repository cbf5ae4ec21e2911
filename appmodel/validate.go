package appmodel

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Validate says everything that is wrong with an application, and what is
// only doubtful as warnings; without positions, which [Decode] adds. It can
// tell what the document alone shows: abilities of clusters, quotas and
// namesakes in a namespace are the plan's business.
func Validate(a *Application) Faults {
	v := newChecker()
	if a == nil {
		v.errorf(Path{}, "give one", "there is no application")
		return v.list.sorted()
	}
	v.written = a
	v.shape(modelForm(), reflect.ValueOf(a).Elem(), Path{})
	v.app = WithDefaults(a)
	v.index()
	v.application()
	for i := range v.app.Components {
		v.component(&v.app.Components[i], v.entryAt(Path{}.field("components"), v.app.Components[i].ID, i))
	}
	v.cycles()
	v.routes()
	v.templates()
	v.parameters()
	v.policies()
	v.patches()
	return v.list.sorted()
}

// checker collects the faults of one document.
type checker struct {
	list    faultList
	seen    map[string]bool
	twice   map[string]bool // entries whose key an entry before them has, by path
	written *Application    // as the author wrote it
	app     *Application    // with its defaults
	byID    map[string]*Component
	ids     []string
	configs map[string]*Config
	secrets map[string]*Secret
	volumes map[string]*Volume // of the application
	routeID map[string]*Route
	params  map[string]*Parameter
	zones   map[string]bool // that were looked up
}

func newChecker() *checker { return &checker{seen: map[string]bool{}, twice: map[string]bool{}} }

// add reports a fault once.
func (v *checker) add(f Fault) {
	id := f.Path + "\x00" + f.Problem
	if !v.seen[id] {
		v.seen[id] = true
		v.list.add(f)
	}
}

func (v *checker) errorf(at Path, next, format string, args ...any) {
	v.add(Fault{Path: at.String(), Problem: fmt.Sprintf(format, args...), Next: next})
}

func (v *checker) warnf(at Path, next, format string, args ...any) {
	v.add(Fault{Path: at.String(), Problem: fmt.Sprintf(format, args...), Next: next, Severity: SeverityWarning})
}

func (v *checker) fail(at Path, err error) {
	problem, next := problemOf(err)
	v.errorf(at, next, "%s", problem)
}

// index finds the things that others refer to.
func (v *checker) index() {
	a := v.app
	v.byID, v.configs, v.secrets = map[string]*Component{}, map[string]*Config{}, map[string]*Secret{}
	v.volumes, v.routeID, v.params = map[string]*Volume{}, map[string]*Route{}, map[string]*Parameter{}
	for i := range a.Components {
		v.byID[a.Components[i].ID] = &a.Components[i]
		v.ids = append(v.ids, a.Components[i].ID)
	}
	for i := range a.Configs {
		v.configs[a.Configs[i].Name] = &a.Configs[i]
	}
	for i := range a.Secrets {
		v.secrets[a.Secrets[i].Name] = &a.Secrets[i]
	}
	for i := range a.Volumes {
		v.volumes[a.Volumes[i].Name] = &a.Volumes[i]
	}
	for i := range a.Routes {
		v.routeID[a.Routes[i].ID] = &a.Routes[i]
	}
	for i := range a.Parameters {
		v.params[a.Parameters[i].Name] = &a.Parameters[i]
	}
}

// entryAt is the path of an entry, by its number where it has no key or one
// that an entry before it has.
func (v *checker) entryAt(list Path, key string, i int) Path {
	numbered := list.entry(ordinal(i))
	if key == "" || len(v.twice) > 0 && v.twice[numbered.String()] {
		return numbered
	}
	return list.entry(key)
}

// ordinal stands in a path for the key of an entry without one.
func ordinal(i int) string { return fmt.Sprintf("#%d", i+1) }

func keysOf[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// name checks the name of an application, component, route, volume or group.
func (v *checker) name(name string, at Path) {
	switch {
	case name == "": // reported as missing
	case len(name) > 40:
		v.errorf(at, "shorten it", "%q is longer than 40 characters", cut(name))
	case len(validation.IsDNS1035Label(name)) > 0:
		v.errorf(at, "use lower-case letters, digits and hyphens, and begin with a letter", "%q is not a name", cut(name))
	}
}

// application checks what belongs to no component.
func (v *checker) application() {
	a := v.app
	root := Path{}
	meta := root.field("metadata")
	v.name(a.Metadata.Name, meta.field("name"))
	v.labels(a.Metadata.Labels, meta.field("labels"))
	v.annotations(a.Metadata.Annotations, meta.field("annotations"))
	v.extensions(a.Extensions, root.field("extensions"))
	if len(a.Components) > maxComponents {
		v.errorf(root.field("components"), "split the application", "there are %d, more than %d", len(a.Components), maxComponents)
	}
	for i, c := range a.Configs {
		v.config(c, v.entryAt(root.field("configs"), c.Name, i))
	}
	for i, s := range a.Secrets {
		v.secret(s, v.entryAt(root.field("secrets"), s.Name, i))
	}
	for i := range a.Volumes {
		v.volume(&a.Volumes[i], v.entryAt(root.field("volumes"), a.Volumes[i].Name, i), nil)
	}
}

func (v *checker) config(c Config, at Path) {
	v.name(c.Name, at.field("name"))
	v.objectName(c.ObjectName, at.field("objectName"))
	size := 0
	for _, i := range c.Items {
		v.itemName(i.Name, at.field("items").entry(i.Name).field("name"))
		size += len(i.Value) + len(i.Template)
	}
	v.groupSize(size, at)
}

func (v *checker) secret(s Secret, at Path) {
	v.name(s.Name, at.field("name"))
	v.objectName(s.Existing, at.field("existing"))
	v.objectName(s.ObjectName, at.field("objectName"))
	if s.Existing != "" && len(s.Items) > 0 {
		v.errorf(at.field("existing"), "remove the items, or existing", "an existing secret is never written, so it can't have items")
	}
	size := 0
	for _, i := range s.Items {
		p := at.field("items").entry(i.Name)
		v.itemName(i.Name, p.field("name"))
		size += len(i.Template) + len(i.Value.Reveal())
		switch {
		case i.Generate != nil:
			if i.Generate.Length < 8 || i.Generate.Length > 1024 {
				v.errorf(p.field("generate").field("length"), "write one from 8 to 1024", "%d characters are not possible", i.Generate.Length)
			}
		case i.Template == "" && i.Value.IsZero():
			v.warnf(p, "give it generate, template or value", "has no value")
		case i.Value.Reveal() == Redacted && !i.Value.IsZero():
			v.errorf(p.field("value"), "write the secret value itself, or leave it out", "is a redacted value")
		}
	}
	v.groupSize(size, at)
}

func (v *checker) groupSize(size int, at Path) {
	if size > maxFile {
		v.errorf(at.field("items"), "split the group", "its values have %d bytes, more than 900 KiB", size)
	}
}

func (v *checker) itemName(name string, at Path) {
	if name == "" {
		return
	}
	if reasons := validation.IsConfigMapKey(name); len(reasons) > 0 {
		v.errorf(at, "use letters, digits, hyphens, dots and underscores", "%q is not the name of an item", cut(name))
	}
}

func (v *checker) objectName(name string, at Path) {
	if name != "" && len(validation.IsDNS1123Subdomain(name)) > 0 {
		v.errorf(at, "use lower-case letters, digits, hyphens and dots", "%q is not the name of an object", cut(name))
	}
}

// Bounds of what a document describes.
const (
	maxComponents  = 2000
	maxPorts       = 100
	maxEnv         = 1000
	maxFiles       = 500
	maxVolumes     = 50
	maxFile        = 900 << 10
	maxManifest    = 512 << 10
	maxExtensions  = 256 << 10
	maxPatch       = 64 << 10
	maxAnnotations = 256 << 10
)
