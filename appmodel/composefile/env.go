package composefile

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/dotenv"
)

// variable is one environment variable on its way.
type variable struct {
	name  string
	value string
	key   key
	// unset is the ${NAME} that is the whole value and that nobody gave.
	unset  string
	secret string // the template of the secret it became
	// template leads to the services that the value names, if it does.
	template string
}

func newVariable(name, value string, k key) *variable {
	if unset := wholeMark(value); unset != "" {
		return &variable{name: name, key: k, unset: unset}
	}
	return &variable{name: name, value: value, key: k}
}

// environment collects the variables of env_file and environment, in the
// author's order; those of environment win.
func (im *importer) environment(s *service) {
	values := map[string]*variable{}
	for _, f := range s.cfg.EnvFiles {
		im.envFile(s, f.Path, bool(f.Required), values)
	}
	for name, v := range s.cfg.Environment {
		k := s.key("environment", name)
		if !envName(name) {
			im.fault(k, fmt.Sprintf("%q is no name of a variable", cut(name)), "use letters, digits, _, - and .")
			continue
		}
		if v == nil {
			if given, there := im.opts.Environment[name]; there {
				v = &given
			} else if secretName(name) {
				values[name] = &variable{name: name, key: k, unset: name}
				continue
			} else {
				delete(values, name)
				im.notes.degraded("", "nobody gave "+name+": left out", k)
				continue
			}
		}
		values[name] = newVariable(name, *v, k)
	}
	s.env = make([]variable, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		s.env = append(s.env, *values[name])
	}
	slices.SortStableFunc(s.env, func(a, b variable) int { return cmp.Compare(im.order(a.key), im.order(b.key)) })
}

// envName reports whether Kubernetes takes a variable of this name.
func envName(s string) bool {
	return len(s) <= 253 && regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*$`).MatchString(s)
}

func (im *importer) envFile(s *service, file string, required bool, values map[string]*variable) {
	k := s.key("env_file", file)
	if escapes(file, ".") {
		im.fault(k, fmt.Sprintf("%q leads out of the directory of the compose file", cut(file)), "put the file beside the compose file")
		return
	}
	if im.isScalar(s.key("env_file")) {
		k = s.key("env_file")
	}
	data, err := im.readFile(path.Clean(file), maxFile)
	switch {
	case err != nil && missing(err):
		why := err.Error() + ": its variables are not set"
		if required {
			im.notes.degraded("", why, k)
		} else {
			im.notes.implied(why, k)
		}
		return
	case err != nil:
		im.fault(k, fmt.Sprintf("%q %s", cut(file), err), "keep it small")
		return
	}
	parsed, err := im.dotenv(data)
	if err != nil {
		im.fault(k, fmt.Sprintf("%q: %s", cut(file), cut(err.Error())), "write lines of NAME=value")
		return
	}
	for name, v := range parsed {
		if envName(name) {
			values[name] = newVariable(name, v, k.child(name))
		}
	}
	im.notes.how(s.path("env"), fmt.Sprintf("%d variables", len(parsed)), k)
}

func (im *importer) dotenv(data []byte) (vars map[string]string, err error) {
	defer recovered(&err)
	if problem := varBounds(string(data[:min(len(data), maxScalar)])); problem != "" {
		return nil, fmt.Errorf("%s", problem)
	}
	return dotenv.ParseWithLookup(bytes.NewReader(data), func(name string) (string, bool) {
		return im.reader.lookup(name, string(data))
	})
}

// provides makes secrets of a provider's passwords, and lets it say who
// connects to it with which password to what.
func (im *importer) provides(s *service) {
	for i := range s.env {
		v := &s.env[i]
		if v.unset == "" {
			continue
		}
		ref := im.secretOfVariable(s, v.unset) // the same variable is the same secret everywhere
		v.secret = ref.template()
		im.noteGenerated(v.unset, ref, v.key)
	}
	if s.known == nil || len(s.comp.Ports) == 0 {
		return
	}
	find := func(names []string) *variable {
		for _, name := range names {
			for i := range s.env {
				if s.env[i].name == name && (s.env[i].value != "" || s.env[i].secret != "") {
					return &s.env[i]
				}
			}
		}
		return nil
	}
	user := s.known.defaultUser
	if v := find(s.known.user); v != nil {
		user = v.value
		s.comp.Provides = append(s.comp.Provides, im.provided(s, "user", v))
	} else if user != "" {
		s.comp.Provides = append(s.comp.Provides, appmodel.Item{Name: "user", Value: user})
	}
	passwords := s.known.password
	if user == "root" {
		passwords = append([]string{"MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD"}, passwords...)
	}
	if t := im.passwordOf(s, passwords, find); t != "" {
		s.comp.Provides = append(s.comp.Provides, appmodel.Item{Name: "password", Template: t})
	}
	if v := find(s.known.name); v != nil {
		s.comp.Provides = append(s.comp.Provides, im.provided(s, "name", v))
	}
}

// provided is a variable's value as connection info.
func (im *importer) provided(s *service, name string, v *variable) appmodel.Item {
	switch {
	case v.secret != "":
		return appmodel.Item{Name: name, Template: v.secret}
	case hasMark(v.value):
		return appmodel.Item{Name: name, Template: im.withSecrets(s, dollars(v.value), v.key)}
	}
	return appmodel.Item{Name: name, Value: v.value}
}

// passwordOf is the template of a provider's password, which may stand in a
// variable or in a file.
func (im *importer) passwordOf(s *service, names []string, find func([]string) *variable) string {
	if v := find(names); v != nil && (v.secret != "" || secretValue(v.value)) {
		im.makeSecret(s, v)
		return v.secret
	}
	var files []string
	for _, n := range names {
		files = append(files, n+"_FILE")
	}
	if v := find(files); v != nil {
		for _, f := range s.comp.Files {
			if f.Path == v.value && f.Secret != nil {
				return secretRef{f.Secret.Name, f.Secret.Item}.template()
			}
		}
	}
	return ""
}

func (im *importer) makeSecret(s *service, v *variable) {
	if v.secret != "" {
		return
	}
	if hasMark(v.value) {
		v.secret = im.withSecrets(s, dollars(v.value), v.key)
		return
	}
	ref := im.addSecret(s, v.name, &v.value)
	v.secret = ref.template()
	im.notes.how("secrets["+ref.group+"].items["+ref.item+"]", "a secret by its name", v.key)
}

// env writes the variables: secrets and what names other services as
// templates, the rest as it is.
func (im *importer) env(s *service) {
	for i := range s.env { // first, as it finds needs
		s.env[i].template = im.templateOf(s, &s.env[i])
	}
	for i := range s.env {
		v := &s.env[i]
		e := appmodel.Env{Name: v.name}
		to := s.path("env[" + v.name + "]")
		template, shared := im.fromNeed(s, v)
		if !shared {
			template = v.template
		}
		switch {
		case v.secret != "":
			e.Template = v.secret
		case template != "":
			e.Template = im.withSecrets(s, template, v.key)
			im.notes.how(to, "leads to what it needs", v.key)
		case secretName(v.name) && secretValue(v.value):
			im.makeSecret(s, v)
			e.Template = v.secret
		case hasMark(v.value):
			e.Template = im.withSecrets(s, dollars(v.value), v.key)
		default:
			e.Value = escapeRefs(v.value)
		}
		im.notes.mapped(to, v.key)
		s.comp.Env = append(s.comp.Env, e)
	}
}

// fromNeed finds a user, password or database name that is a provider's.
func (im *importer) fromNeed(s *service, v *variable) (string, bool) {
	if v.value == "" || v.secret != "" {
		return "", false
	}
	for _, n := range s.needs {
		for _, p := range n.to.comp.Provides {
			if p.Template != "" { // a password
				if secretName(v.name) && secretValue(v.value) && n.to.reveals(im, p.Template) == v.value {
					return n.ref(p.Name), true
				}
				continue
			}
			if p.Value == v.value && namesItem(v.name, p.Name) {
				return n.ref(p.Name), true
			}
		}
	}
	return "", false
}

// reveals is the value of a secret of the file itself.
func (s *service) reveals(im *importer, template string) string {
	for _, g := range im.app.Secrets {
		for _, it := range g.Items {
			if (secretRef{g.Name, it.Name}).template() == template {
				return it.Value.Reveal()
			}
		}
	}
	return ""
}

// namesItem reports whether a variable is called like what a database
// provides.
func namesItem(variable, provided string) bool {
	u := strings.ToUpper(variable)
	last := u[strings.LastIndexAny(u, "_-.")+1:]
	switch provided {
	case "user":
		return last == "USER" || last == "USERNAME" || last == "PGUSER"
	case "name":
		return last == "DATABASE" || last == "DB" || last == "DBNAME" || last == "PGDATABASE" ||
			strings.HasSuffix(u, "DB_NAME") || strings.HasSuffix(u, "DATABASE_NAME")
	}
	return false
}
