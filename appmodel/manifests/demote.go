package manifests

import (
	"regexp"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
)

// demote leaves the fields to patches that the model refuses, if that may be
// tried, and keeps the objects raw of which that is not enough; false if none is
// to blame.
func (im *importer) demote(faults appmodel.Faults, fields bool) bool {
	changed := false
	for _, f := range faults {
		var at owner
		for _, o := range im.owners {
			if strings.HasPrefix(f.Path, o.path) && len(o.path) > len(at.path) {
				at = o
			}
		}
		switch {
		case at.obj == nil || at.obj.refused != "":
		case fields && at.obj.skips(field(f, at.path), f.Problem):
			changed = true
		case at.obj.forced == "":
			at.obj.forced, changed = f.Path+": "+f.Problem, true
		case slices.Contains(im.raw, at.obj):
			at.obj.refused, changed = f.Problem, true
		}
	}
	return changed
}

// skips has a field of the object read by nobody from now on, so that a patch
// keeps it; false if that was tried, or is not enough.
func (o *object) skips(field, why string) bool {
	if field == "" || o.skip[field] != "" || o.forced != "" {
		return false
	}
	if o.skip == nil {
		o.skip = map[string]string{}
	}
	o.skip[field] = why
	return true
}

// field is what of a component a fault is about, as far as a patch can say it
// in its place.
func field(f appmodel.Fault, at string) string {
	if m := regexp.MustCompile(`would share volume "([^"]+)"`).FindStringSubmatch(f.Problem); m != nil {
		return "volumes/" + m[1]
	}
	rest := regexp.MustCompile(`^\.(?:(?:initContainers|sidecars)\[[^\]]*\]\.)?`).ReplaceAllString(strings.TrimPrefix(f.Path, at), "")
	m := regexp.MustCompile(`^(\w+)(?:\["?([^\]"]*))?`).FindStringSubmatch(rest)
	if m == nil || !strings.HasPrefix(at, "components[") {
		return ""
	}
	switch m[1] {
	case "env", "volumes", "mounts":
		return m[1] + "/" + m[2]
	case "args", "command", "workingDir", "probes", "resources", "lifecycle", "scheduling", "annotations", "envFrom":
		return m[1]
	}
	return ""
}

// owns says whose fault a fault at or below a path is.
func (im *importer) owns(at string, o *object) { im.owners = append(im.owners, owner{at, o}) }
