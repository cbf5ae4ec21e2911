package composefile

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
)

// externalLinks makes an external component of what runs outside of the file.
func (im *importer) externalLinks(s *service) {
	for _, l := range s.cfg.ExternalLinks {
		k := s.key("external_links", l)
		name, alias, _ := strings.Cut(l, ":")
		alias = cmp.Or(alias, name)
		if !isDNSLabel(name) || !isDNSLabel(alias) {
			im.notes.unsupported("no host name; write the address into the environment", k)
			continue
		}
		id := im.external[alias]
		if id == "" {
			id = im.names.components.take(alias)
			im.external[alias] = id
			im.outside = append(im.outside, appmodel.Component{
				ID: id, Kind: appmodel.KindExternal, External: &appmodel.External{Hosts: []string{name}},
			})
		}
		s.comp.Needs = append(s.comp.Needs, appmodel.Need{Component: id, Optional: true})
		im.notes.degraded("components["+id+"]", "an external component; say under external.hosts where it really is", k)
	}
}

func (im *importer) externals() []appmodel.Component { return im.outside }

// hostAliases is the patch that adds names to the pods' hosts file.
func hostAliases(id, kind string, byIP map[string][]string) appmodel.Patch {
	type alias struct {
		IP        string   `json:"ip"`
		Hostnames []string `json:"hostnames"`
	}
	var list []alias
	for _, ip := range slices.Sorted(maps.Keys(byIP)) {
		slices.Sort(byIP[ip])
		list = append(list, alias{ip, byIP[ip]})
	}
	apply, _ := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"hostAliases": list}}}})
	return appmodel.Patch{ID: label(id + "-hosts"), Target: appmodel.PatchTarget{Kind: kind, Component: id}, Apply: apply}
}
