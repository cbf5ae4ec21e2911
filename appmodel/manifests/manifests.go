package manifests

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/pod-security-admission/policy"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// Report says what became of every leaf of the manifests.
type Report = fidelity.Report

// Options say what manifests do not. The zero value, and nil, work.
type Options struct {
	// Name is the application's. By default it is the release that all
	// workloads name (app.kubernetes.io/instance), else the chart in Helm's
	// comments, else what File is called, else "app".
	Name string
	// File is the name of the stream in messages and reports; "manifests.yaml"
	// by default. [ImportFS] uses the names of the files.
	File string
	// Previous is the application of the last import: components keep its ids.
	Previous *appmodel.Application
}

// Import reads a stream of YAML documents, or of JSON, into an application. The
// error wraps [appspan.ErrInvalid] and is an [*appmodel.InvalidError] with all
// faults and their positions.
func Import(ctx context.Context, data []byte, opts *Options) (*appmodel.Application, *Report, error) {
	im := newImporter(opts)
	if err := im.reader.file(ctx, im.opts.File, data); err != nil {
		return nil, nil, err
	}
	return im.run(ctx)
}

// ImportFS reads every file of a directory, and below it, that is called .yaml,
// .yml or .json, as Import does. Give os.OpenRoot(dir).FS(), which holds what
// it opens in its directory. Symbolic links are not followed, and noted.
func ImportFS(ctx context.Context, fsys fs.FS, opts *Options) (*appmodel.Application, *Report, error) {
	im := newImporter(opts)
	files, size := 0, 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.Type()&fs.ModeSymlink != 0:
			im.note("%s is a symbolic link, and not followed", name)
			return nil
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.Type().IsRegular() || !slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(path.Ext(name))):
			return nil
		}
		if files++; files > maxFiles {
			im.reader.fault(name, 1, 1, "", fmt.Sprintf("more than %d files", maxFiles), "import fewer of them at a time")
			return fs.SkipAll
		}
		if info, err := d.Info(); err == nil && info.Size() > maxFile { // so that it is not read
			im.reader.fault(name, 1, 1, "", fmt.Sprintf("%d MiB, more than %d MiB", info.Size()>>20, maxFile>>20), "split the file")
			return nil
		}
		switch d.Name() {
		case "Chart.yaml":
			im.reader.fault(name, 1, 1, "", "the directory is a Helm chart", "import what `helm template` prints of it")
			return fs.SkipDir
		case "kustomization.yaml", "kustomization.yml":
			im.reader.fault(name, 1, 1, "", "the directory is built by Kustomize", "import what `kustomize build` prints of it")
			return fs.SkipDir
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		if size += len(data); size > maxInput {
			im.reader.fault(name, 1, 1, "", fmt.Sprintf("more than %d MiB together", maxInput>>20), "import fewer files at a time")
			return fs.SkipAll
		}
		return im.reader.file(ctx, name, data)
	})
	if err != nil {
		return nil, nil, err
	}
	return im.run(ctx)
}

// importer carries one import.
type importer struct {
	opts   Options
	reader reader
	notes  []string         // of reading
	checks policy.Evaluator // of Pod Security
	work   int              // bytes that were decoded to find what is wrong

	// The rest is made anew by each attempt.
	app        *appmodel.Application
	report     *Report
	parts      []*part
	ids        names // of components
	routeIDs   names
	groupNames names
	patchIDs   names
	volumes    names // of the application
	configs    map[string]*group
	secrets    map[string]*group
	claims     map[string]*object // PersistentVolumeClaims
	accounts   map[string]*object // ServiceAccounts
	raw        []*object
	pending    []*patch
	outside    []appmodel.Component // that run elsewhere
	owners     []owner
	services   map[string]*service
}

// owner is the object whose fault a fault at or below a path is.
type owner struct {
	path string
	obj  *object
}

func newImporter(opts *Options) *importer {
	im := &importer{}
	if opts != nil {
		im.opts = *opts
	}
	im.opts.File = cmp.Or(im.opts.File, "manifests.yaml")
	return im
}

// patience is how often single fields are left to patches before whole objects
// are kept raw.
const patience = 20

// run turns the objects that were read into an application. What the model
// refuses of it is kept raw, object by object, until it refuses nothing.
func (im *importer) run(ctx context.Context) (*appmodel.Application, *Report, error) {
	if len(im.reader.objects) == 0 && len(im.reader.faults) == 0 {
		im.reader.fault(im.opts.File, 1, 1, "", "there is no Kubernetes object", "give at least one")
	}
	im.check()
	var err error
	if im.checks, err = policy.NewEvaluator(policy.DefaultChecks(), nil); err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(im.reader.faults, func(a, b appmodel.Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if err := im.reader.faults.Err(); err != nil {
		return nil, nil, err
	}
	for round := range 2*len(im.reader.objects) + patience {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		im.build()
		faults := appmodel.Validate(im.app).Errors()
		if len(faults) == 0 {
			im.finish()
			return im.app, im.report, nil
		}
		if !im.demote(faults, round < patience) {
			for i := range faults {
				faults[i].File = im.opts.File
			}
			return nil, nil, faults.Err()
		}
	}
	return nil, nil, fmt.Errorf("%w: %s: no part of it fits into an application; import fewer objects at a time", appspan.ErrInvalid, im.opts.File)
}

// note tells what was decided for the whole application, once.
func (im *importer) note(format string, args ...any) {
	text, list := fmt.Sprintf(format, args...), &im.notes
	if im.report != nil {
		list = &im.report.Notes
	}
	if !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// build makes the application of all objects.
func (im *importer) build() {
	im.app = &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication}
	im.report = &Report{Notes: slices.Clone(im.notes)}
	im.parts, im.raw, im.owners, im.pending, im.outside = nil, nil, nil, nil, nil
	im.ids, im.routeIDs, im.groupNames, im.patchIDs, im.volumes = names{}, names{}, names{}, names{}, names{}
	im.configs, im.secrets, im.claims, im.accounts = map[string]*group{}, map[string]*group{}, map[string]*object{}, map[string]*object{}
	im.services = map[string]*service{}
	for _, o := range im.reader.objects {
		o.mapped = false
		o.root.reset()
		o.unknowns()
		o.written()
		o.defaults()
	}
	im.app.Metadata.Name = im.name()
	im.groups()
	im.index()
	im.identify()
	im.connect()
	im.external()
	for _, p := range im.parts {
		im.fill(p)
	}
	im.scaling()
	im.routes()
	im.policies()
	for _, p := range im.parts {
		im.patches(p)
		im.app.Components = append(im.app.Components, p.comp)
	}
	im.app.Components = append(im.app.Components, im.outside...)
	im.rest()
	im.finishPatches()
}

// name is what the application is called.
func (im *importer) name() string {
	if im.opts.Name != "" {
		return im.opts.Name // validated by the model, not changed here
	}
	releases, chart := map[string]bool{}, ""
	for _, o := range im.reader.objects {
		chart = cmp.Or(chart, o.chart)
		if o.workload() {
			releases[o.at("metadata", "labels", "app.kubernetes.io/instance").text()] = true
		}
	}
	if len(releases) == 1 {
		for release := range releases {
			if release != "" {
				return label(release)
			}
		}
	}
	if chart != "" {
		return label(chart)
	}
	base, _, _ := strings.Cut(path.Base(im.opts.File), ".")
	if base == "" || base == "manifests" || base == "-" {
		base = "app"
	}
	return label(base)
}

// finish writes the report.
func (im *importer) finish() {
	for _, o := range im.reader.objects {
		var walk func(p *place, at string)
		walk = func(p *place, at string) {
			at += p.name
			if p.leaf() {
				l := fidelity.Leaf{File: o.file, Path: at, Line: p.line, Status: fidelity.Unsupported, Why: "the importer does not know it"}
				if p.fate != nil {
					l.Status, l.To, l.Why = p.fate.status, p.fate.to, p.fate.why
				}
				im.report.Leaves = append(im.report.Leaves, l)
				return
			}
			for _, f := range p.fields {
				walk(f, at)
			}
			for _, i := range p.items {
				walk(i, at)
			}
		}
		name := o.root.name
		o.root.name = ""
		walk(o.root, o.display)
		o.root.name = name
	}
}

// fault records an error at a place of an object.
func (im *importer) fault(o *object, p *place, at, problem, next string) {
	if p == nil {
		p = o.root
	}
	im.reader.fault(o.file, p.line, p.column, at, problem, next)
}
