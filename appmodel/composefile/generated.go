package composefile

import (
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
)

// A variable that is the whole of a password (DB_PASSWORD: ${DB_PASSWORD}) and
// that nobody gives is generated. Wherever else it occurs it then counts as
// given: its value is a mark, in characters of private use that pass through
// compose-go, until it becomes a reference to the secret.
const markStart, markEnd = "\ue000", "\ue001"

func mark(name string) string { return markStart + name + markEnd }

func hasMark(text string) bool { return strings.Contains(text, markStart) }

// wholeMark is the variable whose mark is the whole of a text.
func wholeMark(text string) string {
	name := strings.TrimSuffix(strings.TrimPrefix(text, markStart), markEnd)
	if text == mark(name) && !hasMark(name) {
		return name
	}
	return ""
}

func unmarked(text string) string { return replaceMarks(text, func(string) string { return "" }) }

// replaceMarks writes something else for each mark of a text.
func replaceMarks(text string, with func(name string) string) string {
	if !hasMark(text) {
		return text
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, markStart)
		name, after, closed := strings.Cut(rest, markEnd)
		b.WriteString(before)
		switch {
		case !found:
			return b.String()
		case !closed: // the author's own
			return b.String() + markStart + rest
		}
		b.WriteString(with(name))
		text = after
	}
}

// want notes the variable that an entry of an environment, or a secret, needs
// generated.
func (r *reader) want(path, text string, null bool) {
	if !strings.Contains(path, ".environment") {
		return
	}
	if strings.HasPrefix(path, "secrets") && strings.HasSuffix(path, ".environment") {
		if _, given := r.environment[text]; !given && text != "" {
			r.wanted[text] = true
		}
		return
	}
	m := r.variablePattern.FindStringSubmatch(path)
	if m == nil {
		return
	}
	name := m[1] + m[2]
	if name == "" { // of a list
		var given bool
		name, text, given = strings.Cut(text, "=")
		null = !given
	}
	unset := ""
	if whole := r.wholePattern.FindStringSubmatch(text); null {
		unset = name
	} else if whole != nil {
		unset = whole[1] + whole[2]
	}
	if _, given := r.environment[unset]; unset != "" && !given && secretName(name) {
		r.wanted[unset] = true
	}
}

// lookup is the value of a variable of a text; that of a generated one is its
// mark. One that nobody gave counts as empty, unless the text asks whether it is
// set: compose-go prints a warning of what is not.
func (r *reader) lookup(name, text string) (string, bool) {
	if v, there := r.environment[name]; there {
		return v, true
	}
	if r.generated[name] {
		return mark(name), true
	}
	asks := strings.Contains(text, "{"+name+"-") || strings.Contains(text, "{"+name+"?") || strings.Contains(text, "{"+name+"+")
	return "", !asks
}

// unmark removes marks from where no secret may stand.
func unmark(v any, parts ...string) any {
	if len(parts) == 3 && parts[0] == "services" {
		switch parts[2] {
		case "environment", "command", "entrypoint", "healthcheck":
			return v
		}
	}
	parts = slices.Clip(parts)
	switch v := v.(type) {
	case string:
		return unmarked(v)
	case []any:
		for i := range v {
			v[i] = unmark(v[i], append(parts, "")...)
		}
	case map[string]any:
		for name := range v {
			v[name] = unmark(v[name], append(parts, name)...)
		}
	}
	return v
}

// secretOfVariable is the one secret that stands for a variable, in the group
// of the first service that uses it.
func (im *importer) secretOfVariable(s *service, name string) secretRef {
	ref, there := im.variables[name]
	if !there {
		ref = im.addSecret(s, name, nil)
		im.variables[name] = ref
	}
	return ref
}

// withSecrets makes references of the marks in a template, and notes at k
// where the secrets stand.
func (im *importer) withSecrets(s *service, template string, k key) string {
	return replaceMarks(template, func(name string) string {
		ref := im.secretOfVariable(s, name)
		im.noteGenerated(name, ref, k)
		return ref.template()
	})
}

func (im *importer) noteGenerated(name string, ref secretRef, k key) {
	im.generated[k] = true
	im.notes.how("secrets["+ref.group+"].items["+ref.item+"]", "nobody gave "+name+": generated", k)
}

// secretEnv is a variable of the component that holds a generated secret, for
// commands, which can't hold one themselves.
func (im *importer) secretEnv(s *service, name string, k key) string {
	ref := im.secretOfVariable(s, name)
	im.noteGenerated(name, ref, k)
	for _, e := range s.comp.Env {
		if e.Template == ref.template() {
			return e.Name
		}
	}
	for slices.ContainsFunc(s.comp.Env, func(e appmodel.Env) bool { return e.Name == name }) {
		name += "_"
	}
	s.comp.Env = append(s.comp.Env, appmodel.Env{Name: name, Template: ref.template()})
	return name
}

// argument is an argument of a command: Kubernetes expands $(NAME) alone.
func (im *importer) argument(s *service, arg string, k key) string {
	return replaceMarks(escapeRefs(arg), func(name string) string { return "$(" + im.secretEnv(s, name, k) + ")" })
}

// probeCommand is the command of a probe, in which only a shell expands
// variables.
func (im *importer) probeCommand(s *service, args []string, shell bool, k key) []string {
	expand := func(name string) string { return "${" + im.secretEnv(s, name, k) + "}" }
	if shell {
		command := []string{"/bin/sh", "-c"}
		for _, a := range args {
			command = append(command, replaceMarks(a, expand))
		}
		return command
	}
	if !slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, markStart) }) {
		return args
	}
	script := "exec"
	for _, a := range args {
		quoted := "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		script += " " + replaceMarks(quoted, func(name string) string { return `'"` + expand(name) + `"'` })
	}
	return []string{"/bin/sh", "-c", script}
}
