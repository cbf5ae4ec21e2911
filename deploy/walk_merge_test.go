package deploy_test

import "slices"

// everywhere is the part of overrides that is for all clusters.
func everywhere(overs []over) []over {
	return slices.DeleteFunc(slices.Clone(overs), func(o over) bool { return o.on != "" })
}

// origin is what a copy was made from.
type origin struct {
	slot     int
	cluster  string
	revision int
	base     meant
}

// merged is the three-way merge of an application, and the paths that both
// have changed.
func merged(base, ours, theirs meant, take func(path string) bool) (meant, map[string]bool) {
	decided := map[string]bool{}
	out := ours
	field(&out.web, base.web, theirs.web, "components[web].image", decided, take)
	field(&out.replicas, base.replicas, theirs.replicas, "components[web].scale.replicas", decided, take)
	field(&out.greeting, base.greeting, theirs.greeting, "configs[site].items[GREETING].value", decided, take)
	field(&out.tidy, base.tidy, theirs.tidy, "components[tidy]", decided, take)
	field(&out.worker, base.worker, theirs.worker, "components[worker]", decided, take)
	return out, decided
}

func field[T comparable](ours *T, base, theirs T, path string, decided map[string]bool, take func(string) bool) {
	switch {
	case theirs == base || theirs == *ours:
	case *ours == base:
		*ours = theirs
	default:
		decided[path] = take(path)
		if decided[path] {
			*ours = theirs
		}
	}
}
