package appmodel

import "cmp"

// dangling adds the conflicts of a result that refers to what one side has
// and the result has not.
func (m *merger) dangling(trees [3]*node, tree *node, result *Application, from [2]*Application) {
	there := targetsOf(result)
	ours, theirs := targetsOf(from[0]), targetsOf(from[1])
	said := map[string]bool{}
	for _, r := range referencesOf(result) {
		gone := ""
		for _, id := range r.to {
			if _, ok := there[id]; ok {
				gone = ""
				break
			}
			for _, had := range []map[string]string{ours, theirs} {
				if path, ok := had[id]; ok && gone == "" {
					gone = path
				}
			}
		}
		at := r.at.String()
		if gone == "" || said[at] {
			continue
		}
		said[at] = true
		b, o, t := trees[0].at(r.at), trees[1].at(r.at), trees[2].at(r.at)
		c := Conflict{
			Path: at, Reason: ConflictDangling, Default: TakeTheirs, Gone: gone,
			Base: b.json(), Ours: o.json(), Theirs: t.json(),
			Secret: b.secret() || o.secret() || t.secret(),
		}
		if same(o, tree.at(r.at)) {
			c.Default = TakeOurs
		}
		m.result.Conflicts = append(m.result.Conflicts, c)
	}
}

// orphaned are the volumes of ours whose data the result does not use: they
// are gone, or are no longer the same claims.
func orphaned(ours, result *Application) []string {
	kept := map[string]Volume{}
	volumesOf(result, func(at Path, v Volume) { kept[at.String()] = v })
	var paths []string
	volumesOf(ours, func(at Path, v Volume) {
		if now, ok := kept[at.String()]; v.Keeps() && (!ok || now.Kind != v.Kind || now.Scope != v.Scope) {
			paths = append(paths, at.String())
		}
	})
	return paths
}

// volumesOf visits the volumes of an application with their defaults.
func volumesOf(a *Application, visit func(Path, Volume)) {
	for _, v := range a.Volumes {
		v.Scope = cmp.Or(v.Scope, "component")
		visit(Path{}.field("volumes").entry(v.Name), v)
	}
	for i := range a.Components {
		c := &a.Components[i]
		for _, v := range c.Volumes {
			computedVolume(c, &v, defaultFill{})
			visit(Path{}.field("components").entry(c.ID).field("volumes").entry(v.Name), v)
		}
	}
}
