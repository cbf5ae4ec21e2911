package composefile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/paths"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
)

// extendsPrefix names services of other files that are only extended.
const extendsPrefix = "appspan-extended-"

// maxFiles bounds included and extended files, maxExtends a chain of extends.
const (
	maxFiles   = 50
	maxExtends = 32
)

// loadedFile is a compose file that became part of the model.
type loadedFile struct {
	source *source
	root   key // where its top level stands in the model
}

// loads carries the reading of the files of one import.
type loads struct {
	im      *importer
	ctx     context.Context
	name    string
	files   []loadedFile
	models  []types.ConfigFile // included, in order
	extends map[string]string  // file#service -> service
	stack   []string
}

// load reads the compose file and all it refers to into the project.
func (im *importer) load(ctx context.Context, data []byte) ([]loadedFile, error) {
	l, model := im.readAll(ctx, data)
	for range 3 { // what one file wants generated, the others may use
		if im.reader.generated = im.reader.wanted; len(im.reader.wanted) == 0 {
			break
		}
		wanted := im.reader.wanted
		im.reader, im.bound = newReader(im.opts.Environment), 0
		im.reader.generated = wanted
		if l, model = im.readAll(ctx, data); maps.Equal(wanted, im.reader.wanted) {
			break
		}
	}
	if err := im.reader.faults.Err(); err != nil {
		return nil, err
	}
	for _, f := range l.files {
		im.positions(f.source, f.root)
	}
	l.models = append(l.models, types.ConfigFile{Filename: im.opts.File, Config: model})
	dict, err := l.compose(l.models)
	if err != nil {
		return nil, l.explain(err)
	}
	if services, ok := dict["services"].(map[string]any); ok {
		maps.DeleteFunc(services, func(name string, _ any) bool { return strings.HasPrefix(name, extendsPrefix) })
	}
	if im.project, err = l.project(dict); err != nil {
		return nil, l.explain(err)
	}
	im.project.Name = l.name
	if len(im.project.Services) == 0 {
		im.fault("", "there are no services", "write at least one under services:")
	}
	return l.files, im.reader.faults.Err()
}

// readAll reads the compose file and the files it refers to.
func (im *importer) readAll(ctx context.Context, data []byte) (*loads, map[string]any) {
	l := &loads{im: im, ctx: ctx, extends: map[string]string{}, stack: []string{path.Clean(im.opts.File)}}
	model := l.read(im.opts.File, data)
	if model != nil {
		l.name, _ = model["name"].(string)
		l.includes(im.opts.File, ".", model)
		l.extendFiles(".", model)
		l.bounds(model)
	}
	return l, model
}

// read parses one file and notes it.
func (l *loads) read(file string, data []byte) map[string]any {
	src := l.im.reader.parse(file, data)
	if src == nil {
		return nil
	}
	v, ok := l.im.reader.value(src, src.root, "", 0)
	if !ok {
		return nil
	}
	model := unmark(v).(map[string]any)
	delete(model, "version")
	for name, v := range model { // compose-go would only walk through them
		if strings.HasPrefix(name, "x-") {
			if len(l.files) == 0 {
				l.im.foreign[name] = v
			}
			delete(model, name)
		}
	}
	for _, section := range []string{"volumes", "networks", "secrets", "configs"} {
		all, _ := model[section].(map[string]any)
		for _, entry := range all {
			m, _ := entry.(map[string]any)
			if old, ok := m["external"].(map[string]any); ok {
				m["external"] = true
				if name, ok := old["name"]; ok {
					m["name"] = name
				}
			}
		}
	}
	l.files = append(l.files, loadedFile{source: src})
	return model
}

// other reads another compose file from the companions, relative to dir; what
// names it in the file from.
func (l *loads) other(from string, what []string, dir, name string) (map[string]any, string) {
	file := path.Join(dir, name)
	fail := func(problem, next string) (map[string]any, string) {
		l.fault(from, what, problem, next)
		return nil, ""
	}
	switch {
	case strings.Contains(name, "://") || strings.HasPrefix(name, "oci:") || strings.HasPrefix(name, "git@"):
		return fail(fmt.Sprintf("%q is not on this machine", cut(name)), "copy the file beside the compose file")
	case escapes(name, dir):
		return fail(fmt.Sprintf("%q leads out of the directory of the compose file", cut(name)), "copy the file beside the compose file")
	case slices.Contains(l.stack, file) || len(l.stack) > maxExtends:
		return fail("files go in a circle: "+strings.Join(append(l.stack, file), " -> "), "remove one of the references")
	case len(l.files) >= maxFiles:
		return fail(fmt.Sprintf("more than %d files", maxFiles), "write them into one")
	}
	data, err := l.im.readFile(file, maxInput)
	if errors.Is(err, errLink) {
		return fail(fmt.Sprintf("file %q: %s", cut(file), err), "copy what it leads to beside the compose file")
	}
	if err != nil {
		return fail(fmt.Sprintf("file %q: %s", cut(file), err), "add it to Options.Files")
	}
	return l.read(file, data), file
}

// includes takes in the files of an include section.
func (l *loads) includes(file, dir string, model map[string]any) {
	list, ok := model["include"].([]any)
	delete(model, "include")
	if !ok {
		return
	}
	for i, entry := range list {
		at := []string{"include", strconv.Itoa(i)}
		var names []string
		base := ""
		switch e := entry.(type) {
		case string:
			names = []string{e}
		case map[string]any:
			names = stringsOf(e["path"])
			base, _ = e["project_directory"].(string)
			if e["env_file"] != nil {
				l.fault(file, append(at, "env_file"), "env_file of an include is not read", "give the variables in Options.Environment")
			}
		}
		if len(names) == 0 {
			l.fault(file, at, "an entry without path", "name the file to include")
		}
		for _, name := range names {
			included, name := l.other(file, at, dir, name)
			if included == nil {
				continue
			}
			inner := path.Dir(name)
			if base != "" {
				if escapes(base, dir) {
					l.fault(file, append(at, "project_directory"), fmt.Sprintf("project_directory %q leads out of the directory", cut(base)), "name one below it")
					continue
				}
				inner = path.Join(dir, base)
			}
			l.stack = append(l.stack, name)
			delete(included, "name")
			l.includes(name, path.Dir(name), included)
			l.extendFiles(path.Dir(name), included)
			l.stack = l.stack[:len(l.stack)-1]
			if rebased := l.rebase(name, inner, included); rebased != nil {
				l.models = append(l.models, types.ConfigFile{Filename: name, Config: rebased})
			}
		}
	}
}

// rebase makes the paths of a model relative to the main compose file.
func (l *loads) rebase(file, dir string, model map[string]any) map[string]any {
	if dir == "." || len(model) == 0 {
		return model
	}
	dict, err := l.compose([]types.ConfigFile{{Filename: file, Config: model}})
	if err == nil {
		err = paths.ResolveRelativePaths(dict, dir, nil)
	}
	if err != nil {
		l.im.reader.faults = append(l.im.reader.faults, l.faultOf(file, err))
		return nil
	}
	return dict
}

// extendFiles brings services of other files that this one extends into it.
func (l *loads) extendFiles(dir string, model map[string]any) {
	services, _ := model["services"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s, _ := services[name].(map[string]any)
		ext, _ := s["extends"].(map[string]any)
		file, _ := ext["file"].(string)
		if file == "" {
			continue
		}
		base, _ := ext["service"].(string)
		id := path.Join(dir, file)
		if _, done := l.extends[id]; !done {
			prefix := fmt.Sprintf("%s%d-", extendsPrefix, len(l.extends))
			other, at := l.other(l.im.opts.File, []string{"services", name, "extends", "file"}, dir, file)
			if other == nil {
				return
			}
			l.extends[id] = prefix
			l.stack = append(l.stack, at)
			l.extendFiles(path.Dir(at), other)
			l.stack = l.stack[:len(l.stack)-1]
			l.files[slices.IndexFunc(l.files, func(f loadedFile) bool { return f.source.file == at })].root = key(extendsPrefix)
			other = l.rebase(at, path.Dir(at), map[string]any{"services": other["services"]})
			found, _ := other["services"].(map[string]any)
			for n, v := range found {
				if m, ok := v.(map[string]any); ok {
					switch e := m["extends"].(type) {
					case string:
						m["extends"] = map[string]any{"service": prefix + e}
					case map[string]any:
						if b, ok := e["service"].(string); ok && !strings.HasPrefix(b, extendsPrefix) {
							e["service"] = prefix + b
						}
					}
					delete(m, "depends_on")
				}
				services[prefix+n] = v
			}
		}
		if _, there := services[l.extends[id]+base]; !there {
			l.fault(l.im.opts.File, []string{"services", name, "extends", "service"}, fmt.Sprintf("no service %q in %s", cut(base), cut(id)), "name one that the file has")
		}
		s["extends"] = map[string]any{"service": l.extends[id] + base}
	}
}

// bounds refuses what would grow in compose-go.
func (l *loads) bounds(model map[string]any) {
	services, _ := model["services"].(map[string]any)
	if len(services) > maxServices {
		l.fault(l.im.opts.File, []string{"services"}, fmt.Sprintf("%d services, more than %d", len(services), maxServices), "split the file")
		return
	}
	for _, m := range append([]types.ConfigFile{{Config: model}}, l.models...) {
		services, _ := m.Config["services"].(map[string]any)
		for name, v := range services {
			s, _ := v.(map[string]any)
			for _, attribute := range []string{"ports", "expose"} {
				list, _ := s[attribute].([]any)
				if n := countPorts(list); n > 100 {
					l.fault(l.im.opts.File, []string{"services", name, attribute}, "more than 100 ports", "publish the few that are used")
				}
			}
			if l.chain(services, name) > maxExtends {
				l.fault(l.im.opts.File, []string{"services", name, "extends"}, "a circle, or a chain of more than 32", "extend one service that says it all")
			}
		}
	}
}

// chain is how many services a service extends.
func (l *loads) chain(services map[string]any, name string) int {
	n := 0
	for ; n <= maxExtends; n++ {
		s, _ := services[name].(map[string]any)
		switch e := s["extends"].(type) {
		case string:
			name = e
		case map[string]any:
			name, _ = e["service"].(string)
		default:
			return n
		}
	}
	return n
}

// compose lets compose-go merge and check the files. Nothing is read: the
// files are parsed, variables replaced, includes and extended files in place.
func (l *loads) compose(files []types.ConfigFile) (dict map[string]any, err error) {
	defer recovered(&err)
	return loader.LoadModelWithContext(l.ctx, types.ConfigDetails{WorkingDir: ".", ConfigFiles: files, Environment: l.environment()}, l.options)
}

func (l *loads) environment() types.Mapping { return maps.Clone(types.Mapping(l.im.opts.Environment)) }

func (l *loads) options(o *loader.Options) {
	o.SetProjectName("app", true)
	o.SkipNormalization, o.SkipInclude, o.ResolvePaths = true, true, false
	o.SkipResolveEnvironment, o.SkipResolveLabels = true, true
	o.Interpolate.Substitute = func(s string, _ template.Mapping) (string, error) { return s, nil }
	o.Profiles = []string{"*"}
}

// project makes compose-go's types of the model.
func (l *loads) project(dict map[string]any) (p *types.Project, err error) {
	defer recovered(&err)
	details := types.ConfigDetails{WorkingDir: ".", Environment: l.environment()}
	return loader.ModelToProject(dict, loader.ToOptions(&details, []func(*loader.Options){l.options}), details)
}

// recovered turns a panic of compose-go into an error: it takes input that
// nobody has seen before.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("compose-go fails on this input: %s", cut(fmt.Sprint(r)))
	}
}

func stringsOf(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
