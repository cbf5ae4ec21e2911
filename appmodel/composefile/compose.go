package composefile

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/types"
)

// Options say what a compose file does not. The zero value, and nil, work.
type Options struct {
	// Name is the application's. By default it is the compose file's name:,
	// else what File is called, else "app".
	Name string
	// File is the compose file's name in messages, with slashes.
	File string
	// Files holds the companions of the compose file, by their path relative
	// to it: bound files, env_file, secret and config files, what it includes
	// and extends. Give that of os.OpenRoot(dir).FS(), which holds what it
	// opens in its directory. Nothing outside is read, and with nil nothing at
	// all: bound files then come in empty, secret files are generated, and the
	// report says so. The same becomes of symbolic links: none is followed,
	// where the file system can tell them ([fs.ReadLinkFS]).
	Files fs.FS
	// Images are the images of services with a build section, by the
	// service's name or by <project>-<service>.
	Images map[string]string
	// AllowUnbuilt gives a service whose image nobody names the image
	// <project>-<service>, and reports it, in place of an error.
	AllowUnbuilt bool
	// Environment holds the variables of ${NAME}. The process's own are never
	// read.
	Environment map[string]string
	// Jobs makes jobs of services that are not restarted and have no ports.
	// Services whose completion another one waits for always become jobs.
	Jobs bool
	// Previous is the application of the last import: components keep its
	// ids.
	Previous *appmodel.Application
}

// importer carries one import.
type importer struct {
	opts    Options
	reader  *reader
	project *types.Project
	app     *appmodel.Application
	report  *Report
	notes   notes
	at      map[key]position
	// generated are places whose value is made by the installation.
	generated map[key]bool
	services  []*service // in the author's order
	byName    map[string]*service
	names     struct{ components, routes, volumes, configs, secrets namer }
	aliases   map[string]bool
	secretOf  map[string]secretRef // compose secret -> item
	configOf  map[string]string    // compose config -> group
	shared    map[string]string    // named volume of several services -> volume
	variables map[string]secretRef // ${NAME} -> the secret that stands for it
	external  map[string]string    // alias -> external component
	outside   []appmodel.Component
	mainWeb   published            // gets the http route
	taken     map[string]published // what routes take: "http", "53/UDP"
	foreign   map[string]any       // x- keys
	bound     int                  // bytes of companions that were taken in
}

// Import reads a compose file into an application. The error wraps
// [appspan.ErrInvalid] and, if the file itself is wrong, is an
// [*appmodel.InvalidError] with all faults and their positions.
func Import(ctx context.Context, data []byte, opts *Options) (*appmodel.Application, *Report, error) {
	im := &importer{
		notes: notes{}, at: map[key]position{}, generated: map[key]bool{}, byName: map[string]*service{},
		aliases: map[string]bool{}, secretOf: map[string]secretRef{}, configOf: map[string]string{}, shared: map[string]string{},
		report: &Report{}, variables: map[string]secretRef{}, external: map[string]string{}, foreign: map[string]any{}, taken: map[string]published{},
	}
	if opts != nil {
		im.opts = *opts
	}
	im.opts.File = cmp.Or(im.opts.File, "compose.yaml")
	im.names.components, im.names.routes, im.names.volumes = namer{}, namer{}, namer{}
	im.names.configs, im.names.secrets = namer{}, namer{}
	im.reader = newReader(im.opts.Environment)

	loaded, err := im.load(ctx, data)
	if err != nil {
		return nil, nil, err
	}
	im.build()
	if err := im.reader.faults.Err(); err != nil {
		return nil, nil, err
	}
	if err := appmodel.Validate(im.app).Err(); err != nil { // what compose allows and Kubernetes does not
		return nil, nil, fmt.Errorf("%s: %w", im.opts.File, err)
	}
	for _, s := range loaded {
		im.report.Leaves = append(im.report.Leaves, im.classify(s.source, s.root)...)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	return im.app, im.report, nil
}

// build makes the application of the project.
func (im *importer) build() {
	im.app = &appmodel.Application{
		APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication,
		Metadata: appmodel.Metadata{Name: im.applicationName()},
	}
	im.note("security level baseline everywhere: most Docker images run as root")
	im.identify()
	im.topSecrets()
	im.topConfigs()
	im.volumesUse()
	for _, s := range im.services {
		im.environment(s)
		im.image(s)
	}
	im.findMainWeb()
	for _, s := range im.services {
		im.ports(s)
	}
	for _, s := range im.services {
		im.dependsOn(s)
		im.files(s)
	}
	im.references()
	for _, s := range im.services {
		im.provides(s)
	}
	for _, s := range im.services {
		im.env(s)
		im.container(s)
		im.deploy(s)
		im.security(s)
		im.externalLinks(s)
	}
	for _, s := range im.services {
		im.dns(s)
		im.finish(s)
		im.app.Components = append(im.app.Components, s.comp)
	}
	im.app.Components = append(im.app.Components, im.externals()...)
	im.extensions()
}

func (im *importer) note(text string) {
	if !slices.Contains(im.report.Notes, text) {
		im.report.Notes = append(im.report.Notes, text)
	}
}

// fault records an error at a place of the compose model.
func (im *importer) fault(k key, problem, next string) {
	p, there := im.at[k]
	for at, ok := k, true; !there && ok; {
		if at, ok = at.parent(); ok {
			p, there = im.at[at]
		}
	}
	f := im.opts.File
	if there {
		f = p.file
	}
	im.reader.fault(f, p.node, displayKey(k), problem, next)
}

func displayKey(k key) string {
	s := ""
	for _, part := range k.parts() {
		if k == "" {
			break // the whole file
		}
		s = child(s, part)
	}
	return s
}

// applicationName is the name asked for, the file's own, or what the file is
// called.
func (im *importer) applicationName() string {
	if im.opts.Name != "" {
		return im.opts.Name // validated by the model, not changed here
	}
	if im.project.Name != "" {
		return label(im.project.Name)
	}
	return label(fileName(im.opts.File))
}

// fileName is "shop" of shop.compose.yaml, and of shop/compose.yaml.
func fileName(file string) string {
	base := path.Base(file)
	for _, suffix := range []string{".yaml", ".yml", ".json", ".compose", ".docker-compose"} {
		base = strings.TrimSuffix(base, suffix)
	}
	switch base {
	case "compose", "docker-compose", "stack", ".", "/":
		base = path.Base(path.Dir(file))
	}
	if base == "." || base == "/" || base == "" {
		return "app"
	}
	return base
}

// extensions keeps what is foreign: networks and x- keys.
func (im *importer) extensions() {
	kept := map[string]any{}
	if nets := im.networks(); len(nets) > 0 {
		kept["networks"] = nets
	}
	for k, v := range im.foreign {
		if !im.anchored(key(k)) { // those are there for aliases
			kept[k] = v
		}
	}
	im.app.Extensions = keep(kept)
}

// networks are the declared networks as they are.
func (im *importer) networks() map[string]any {
	nets := map[string]any{}
	for name, n := range im.project.Networks {
		nets[name] = n
	}
	return nets
}

// keep makes an extension of foreign data, nil of none.
func keep(data map[string]any) appmodel.Extensions {
	if len(data) == 0 {
		return nil
	}
	text, err := json.Marshal(scrub(data))
	if err != nil || len(text) > 200<<10 {
		return nil
	}
	return appmodel.Extensions{extensionKey: appmodel.JSON(text)}
}

// scrub hides what is called like a secret: extensions are not redacted.
func scrub(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if _, isText := e.(string); isText && secretName(k) {
				e = appmodel.Redacted
			}
			out[k] = scrub(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = scrub(e)
		}
		return out
	}
	return v
}

func item(list, name, field string) string { return fmt.Sprintf("%s[%s].%s", list, name, field) }
