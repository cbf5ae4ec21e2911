package composefile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/types"
)

// deploy takes over replicas, resources, updates and placement.
func (im *importer) deploy(s *service) {
	im.replicas(s)
	im.resources(s)
	if d := s.cfg.Deploy; d != nil {
		im.update(s, d.UpdateConfig)
		im.placement(s, d.Placement)
	}
	if s.cfg.Platform != "" {
		parts := strings.Split(s.cfg.Platform, "/")
		if parts[0] == "linux" && len(parts) > 1 {
			s.scheduling().Architectures = []string{parts[1]}
			im.notes.mapped(s.path("scheduling.architectures"), s.key("platform"))
		} else {
			im.notes.unsupported("only linux/<architecture>", s.key("platform"))
		}
	}
}

func (s *service) scheduling() *appmodel.Scheduling {
	if s.comp.Scheduling == nil {
		s.comp.Scheduling = &appmodel.Scheduling{}
	}
	return s.comp.Scheduling
}

func (im *importer) replicas(s *service) {
	k := s.key("scale")
	n := s.cfg.Scale
	if s.cfg.Deploy != nil && s.cfg.Deploy.Replicas != nil {
		n, k = s.cfg.Deploy.Replicas, s.key("deploy", "replicas")
	}
	if n == nil {
		return
	}
	if s.comp.Kind == appmodel.KindDaemon || s.comp.Kind == appmodel.KindJob {
		im.notes.implied("the kind decides", k)
		return
	}
	if *n > 10000 {
		im.fault(k, fmt.Sprintf("%d replicas", *n), "write at most 10000")
		return
	}
	replicas := *n
	s.comp.Scale = &appmodel.Scale{Replicas: &replicas}
	im.notes.mapped(s.path("scale.replicas"), k)
	im.notes.mapped(s.path("scale.replicas"), s.key("scale"))
	if replicas < 2 || s.comp.Kind != appmodel.KindService {
		return
	}
	for i := range s.comp.Volumes { // replicas share what one container had
		if v := &s.comp.Volumes[i]; v.Kind == appmodel.VolumePersistent {
			v.AccessMode = "ReadWriteMany"
			im.notes.how("", fmt.Sprintf("volume %q is shared by the replicas (ReadWriteMany)", v.Name), k)
		}
	}
}

func (im *importer) resources(s *service) {
	set := func(list map[string]appmodel.Quantity, name string, v appmodel.Quantity) map[string]appmodel.Quantity {
		if list == nil {
			list = map[string]appmodel.Quantity{}
		}
		list[name] = v
		return list
	}
	r := &appmodel.Resources{}
	take := func(of *types.Resource, field string, list *map[string]appmodel.Quantity, k key) {
		if of == nil {
			return
		}
		if of.NanoCPUs > 0 {
			*list = set(*list, "cpu", cpus(float64(of.NanoCPUs)))
			im.notes.mapped(s.path("resources."+field+"[cpu]"), k.child("cpus"))
		}
		if of.MemoryBytes > 0 {
			*list = set(*list, "memory", quantity(int64(of.MemoryBytes)))
			im.notes.mapped(s.path("resources."+field+"[memory]"), k.child("memory"))
		}
		im.notes.unsupported("the cluster's nodes bound the number of processes", k.child("pids"))
		im.notes.unsupported("name an extended resource of the cluster under resources", k.child("devices"))
		im.notes.unsupported("name an extended resource of the cluster under resources", k.child("generic_resources"))
	}
	if s.cfg.CPUS > 0 {
		r.Limits = set(r.Limits, "cpu", cpus(float64(s.cfg.CPUS)))
		im.notes.mapped(s.path("resources.limits[cpu]"), s.key("cpus"))
	}
	if s.cfg.MemLimit > 0 {
		r.Limits = set(r.Limits, "memory", quantity(int64(s.cfg.MemLimit)))
		im.notes.mapped(s.path("resources.limits[memory]"), s.key("mem_limit"))
	}
	if s.cfg.MemReservation > 0 {
		r.Requests = set(r.Requests, "memory", quantity(int64(s.cfg.MemReservation)))
		im.notes.mapped(s.path("resources.requests[memory]"), s.key("mem_reservation"))
	}
	if d := s.cfg.Deploy; d != nil {
		take(d.Resources.Limits, "limits", &r.Limits, s.key("deploy", "resources", "limits"))
		take(d.Resources.Reservations, "requests", &r.Requests, s.key("deploy", "resources", "reservations"))
	}
	if len(r.Limits)+len(r.Requests) > 0 {
		s.comp.Resources = r
	}
}

// cpus writes cores as Kubernetes does, in whole millicores.
func cpus(v float64) appmodel.Quantity {
	milli := max(1, int64(v*1000+0.5))
	if milli%1000 == 0 {
		return appmodel.Quantity(strconv.FormatInt(milli/1000, 10))
	}
	return appmodel.Quantity(strconv.FormatInt(milli, 10) + "m")
}

// update takes over how many replicas change at once, of stateless services.
func (im *importer) update(s *service, u *types.UpdateConfig) {
	if u == nil {
		return
	}
	k := s.key("deploy", "update_config")
	persistent := slices.ContainsFunc(s.comp.Volumes, func(v appmodel.Volume) bool {
		return v.Kind == appmodel.VolumePersistent && v.AccessMode == ""
	})
	if s.comp.Kind != appmodel.KindService || persistent {
		im.notes.implied("one after the other: it has data or a place of its own", k.child("parallelism"))
		im.notes.implied("one after the other: it has data or a place of its own", k.child("order"))
		return
	}
	n := "1"
	if u.Parallelism != nil {
		n = strconv.FormatUint(min(*u.Parallelism, 1<<20), 10)
	}
	up := &appmodel.Update{Strategy: "rolling", MaxSurge: "0", MaxUnavailable: appmodel.IntOrPercent(n)}
	if n == "0" {
		up = &appmodel.Update{Strategy: "recreate"} // all at once
	} else if u.Order == "start-first" {
		up.MaxSurge, up.MaxUnavailable = up.MaxUnavailable, "0"
	}
	if u.Monitor > 0 && up.Strategy == "rolling" {
		up.MinReady = seconds(u.Monitor)
		im.notes.mapped(s.path("update.minReady"), k.child("monitor"))
	}
	s.comp.Update = up
	im.notes.mapped(s.path("update"), k.child("parallelism"))
	im.notes.mapped(s.path("update"), k.child("order"))
}

func (im *importer) placement(s *service, p types.Placement) {
	base := s.key("deploy", "placement")
	for _, c := range p.Constraints {
		k := base.child("constraints").child(c)
		name, value, equal := strings.Cut(c, "==")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		label, isLabel := strings.CutPrefix(name, "node.labels.")
		switch {
		case name == "node.hostname":
			label, isLabel = "kubernetes.io/hostname", true
		case name == "node.platform.os":
			label, isLabel = "kubernetes.io/os", true
		case name == "node.platform.arch" && equal:
			arch := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[value]
			if arch == "" {
				arch = value
			}
			s.scheduling().Architectures = []string{arch}
			im.notes.mapped(s.path("scheduling.architectures"), k)
			continue
		}
		if !equal || !isLabel || !qualifiedName(label) && !strings.HasPrefix(label, "kubernetes.io/") {
			im.notes.unsupported("only labels, hostname and platform with ==", k)
			continue
		}
		if s.scheduling().NodeSelector == nil {
			s.comp.Scheduling.NodeSelector = map[string]string{}
		}
		s.comp.Scheduling.NodeSelector[label] = value
		im.notes.mapped(s.path("scheduling.nodeSelector"), k)
	}
	for _, pref := range p.Preferences {
		k := base.child("preferences")
		label, isLabel := strings.CutPrefix(pref.Spread, "node.labels.")
		if !isLabel || !qualifiedName(label) {
			im.notes.unsupported("only node.labels", k)
			continue
		}
		if slices.ContainsFunc(s.scheduling().Spread, func(sp appmodel.Spread) bool { return sp.Over == label }) {
			continue
		}
		s.comp.Scheduling.Spread = append(s.comp.Scheduling.Spread, appmodel.Spread{Over: label})
		im.notes.mapped(s.path("scheduling.spread"), k)
	}
	if p.MaxReplicas > 0 {
		k := base.child("max_replicas_per_node")
		if !slices.ContainsFunc(s.scheduling().Spread, func(sp appmodel.Spread) bool { return sp.Over == "node" }) {
			s.comp.Scheduling.Spread = append(s.comp.Scheduling.Spread, appmodel.Spread{Over: "node"})
		}
		im.notes.degraded(s.path("scheduling.spread"), "spread over nodes, without a bound for each", k)
	}
}
