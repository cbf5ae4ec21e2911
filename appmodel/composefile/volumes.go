package composefile

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/types"
	"k8s.io/apimachinery/pkg/api/resource"
)

// defaultSize is the size of volumes: compose names none.
const defaultSize appmodel.Quantity = "10Gi"

// volumesUse finds named volumes that several services mount: those are the
// application's.
func (im *importer) volumesUse() {
	users := map[string]map[string]bool{}
	for _, s := range im.services {
		for _, v := range s.cfg.Volumes {
			if v.Type == types.VolumeTypeVolume && v.Source != "" {
				if users[v.Source] == nil {
					users[v.Source] = map[string]bool{}
				}
				users[v.Source][s.name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(users)) {
		k := keyOf("volumes", name)
		if len(users[name]) > 1 {
			volume := im.names.volumes.take(name)
			im.shared[name] = volume
			im.app.Volumes = append(im.app.Volumes, appmodel.Volume{Name: volume, Kind: appmodel.VolumePersistent, Size: defaultSize, Data: appmodel.DataFiles})
			im.notes.how("volumes["+volume+"]", "shared; size 10Gi, compose names none", k)
		}
		v := im.project.Volumes[name]
		if v.External {
			im.notes.degraded("", "a new volume: one of a Docker host can't be taken over", k.child("external"))
		}
		for _, field := range []string{"driver", "driver_opts", "labels"} {
			im.notes.unsupported("volumes come from the cluster's storage class, not from a Docker driver", k.child(field))
		}
		im.notes.implied("objects are named by application and volume", k.child("name"))
	}
}

// files takes over all that is mounted.
func (im *importer) files(s *service) {
	for _, v := range s.cfg.Volumes {
		k := s.key("volumes", v.Target)
		if !strings.HasPrefix(v.Target, "/") || path.Clean(v.Target) != strings.TrimSuffix(v.Target, "/") || v.Target == "/" {
			if v.Target = path.Clean(v.Target); !strings.HasPrefix(v.Target, "/") || v.Target == "/" {
				im.fault(k, fmt.Sprintf("target %q is no absolute path", cut(v.Target)), "write the full path in the container")
				continue
			}
		}
		v.Target = path.Clean(v.Target)
		im.volume(s, v, k)
		im.mountOptions(v, k)
	}
	for _, t := range s.cfg.Tmpfs {
		target, options, _ := strings.Cut(t, ":")
		k := s.key("tmpfs", target)
		if !strings.HasPrefix(target, "/") {
			im.fault(k, fmt.Sprintf("target %q is no absolute path", cut(target)), "write the full path in the container")
			continue
		}
		size := int64(0)
		for _, o := range strings.Split(options, ",") {
			if text, ok := strings.CutPrefix(o, "size="); ok {
				var u types.UnitBytes
				if u.DecodeMapstructure(text) == nil {
					size = int64(u)
				}
			}
		}
		im.notes.mapped(im.memory(s, path.Clean(target), size), k)
	}
	if s.cfg.ShmSize > 0 {
		im.notes.mapped(im.memory(s, "/dev/shm", int64(s.cfg.ShmSize)), s.key("shm_size"))
	}
	im.secretFiles(s)
	im.configFiles(s)
}

// mountOptions speaks of the details of the long syntax.
func (im *importer) mountOptions(v types.ServiceVolumeConfig, k key) {
	im.notes.implied("nothing is copied into volumes", k.child("volume").child("nocopy"))
	im.notes.implied("a host path is made where it is missing", k.child("bind").child("create_host_path"))
	im.notes.unsupported("the container runtime of the cluster decides", k.child("consistency"))
	im.notes.unsupported("the container runtime of the cluster decides", k.child("bind").child("selinux"))
	im.notes.unsupported("the container runtime of the cluster decides", k.child("bind").child("propagation"))
	im.notes.unsupported("the container runtime of the cluster decides", k.child("bind").child("recursive"))
	im.notes.unsupported("the mode of the directory is the runtime's", k.child("tmpfs").child("mode"))
	im.notes.unsupported("labels of volumes are not kept", k.child("volume").child("labels"))
}

func (im *importer) volume(s *service, v types.ServiceVolumeConfig, k key) {
	switch v.Type {
	case types.VolumeTypeVolume:
		if v.Source == "" {
			volume := s.volumes.take(path.Base(v.Target))
			s.comp.Volumes = append(s.comp.Volumes, appmodel.Volume{Name: volume, Kind: appmodel.VolumeEphemeral, Size: defaultSize})
			s.mount(v, volume)
			im.notes.degraded(s.path("volumes["+volume+"]"), "a volume without name is empty after each restart; name it to keep the data", k)
			return
		}
		im.named(s, v, k)
	case types.VolumeTypeTmpfs:
		size := int64(0)
		if v.Tmpfs != nil {
			size = int64(v.Tmpfs.Size)
		}
		im.notes.mapped(im.memory(s, v.Target, size), k)
	case types.VolumeTypeBind:
		im.bind(s, v, k)
	default:
		im.notes.unsupported("volumes of type "+v.Type+" are not known to Kubernetes", k)
	}
}

// named mounts a named volume, the component's own or a shared one.
func (im *importer) named(s *service, v types.ServiceVolumeConfig, k key) {
	data := appmodel.DataFiles
	if s.known != nil && s.known.database {
		data = appmodel.DataDatabase
	}
	name, to := im.shared[v.Source], ""
	if name != "" {
		to = "volumes[" + name + "]"
		if slices.ContainsFunc(s.comp.Volumes, func(own appmodel.Volume) bool { return own.Name == name }) {
			im.fault(k, fmt.Sprintf("two volumes called %q", name), "give one of them another name")
		}
		s.volumes[name] = true
		s.mount(v, name)
	} else if name = s.ownVolume(label(v.Source)); name != "" {
		s.mount(v, name)
	} else {
		name = s.volumes.take(v.Source)
		volume := appmodel.Volume{Name: name, Kind: appmodel.VolumePersistent, Size: defaultSize, Data: data}
		s.comp.Volumes = append(s.comp.Volumes, volume)
		s.mount(v, name)
		im.notes.how(s.path("volumes["+name+"]"), "size 10Gi, compose names none", keyOf("volumes", v.Source))
	}
	if to == "" {
		to = s.path("volumes[" + name + "]")
	}
	why := ""
	if data != appmodel.DataDatabase {
		why = "starts empty: what the image has there is not copied"
	}
	im.notes.how(to, why, k)
}

func (s *service) ownVolume(name string) string {
	for _, v := range s.comp.Volumes {
		if v.Name == name && v.Kind == appmodel.VolumePersistent {
			return name
		}
	}
	return ""
}

func (s *service) mount(v types.ServiceVolumeConfig, volume string) {
	m := appmodel.Mount{Path: v.Target, Volume: volume, ReadOnly: v.ReadOnly}
	if v.Volume != nil {
		m.SubPath = strings.Trim(path.Clean("/"+v.Volume.Subpath), "/")
	}
	s.comp.Mounts = append(s.comp.Mounts, m)
}

// memory mounts a directory in memory; zero bytes are no bound.
func (im *importer) memory(s *service, target string, bytes int64) string {
	volume := s.volumes.take(path.Base(target))
	v := appmodel.Volume{Name: volume, Kind: appmodel.VolumeMemory}
	if bytes > 0 {
		v.Size = quantity(bytes)
	}
	s.comp.Volumes = append(s.comp.Volumes, v)
	s.comp.Mounts = append(s.comp.Mounts, appmodel.Mount{Path: target, Volume: volume})
	return s.path("volumes[" + volume + "]")
}

// persistent mounts a new, empty volume.
func (im *importer) persistent(s *service, name, target string, readOnly bool, data appmodel.DataClass) string {
	volume := s.volumes.take(name)
	s.comp.Volumes = append(s.comp.Volumes, appmodel.Volume{Name: volume, Kind: appmodel.VolumePersistent, Size: defaultSize, Data: data})
	s.comp.Mounts = append(s.comp.Mounts, appmodel.Mount{Path: target, Volume: volume, ReadOnly: readOnly})
	return s.path("volumes[" + volume + "]")
}

func quantity(bytes int64) appmodel.Quantity {
	return appmodel.Quantity(resource.NewQuantity(bytes, resource.BinarySI).String())
}

// bind takes over a bound file or directory.
func (im *importer) bind(s *service, v types.ServiceVolumeConfig, k key) {
	source := v.Source
	switch {
	case strings.HasPrefix(source, "/"):
		im.host(s, v, k)
		return
	case strings.HasPrefix(source, "~"):
		im.missing(s, v, k, "in somebody's home")
		return
	case escapes(source, "."):
		im.fault(k, fmt.Sprintf("%q leads out of the directory of the compose file", cut(source)),
			"put the file beside the compose file, or name an absolute path of the machine")
		return
	}
	source = path.Clean(source)
	if b := s.cfg.Build; b != nil && (source == "." || source == path.Clean(b.Context)) {
		im.notes.unsupported("the source tree, mounted for development; the image holds it", k)
		return
	}
	if im.isDir(source) {
		if im.holdsData(s, v) {
			to := im.persistent(s, path.Base(v.Target), v.Target, v.ReadOnly, appmodel.DataDatabase)
			im.notes.degraded(to, "an empty volume: the files of a database are not copied", k)
			return
		}
		im.directory(s, source, v.Target, k)
		if !v.ReadOnly {
			im.notes.how("", "read-only here", k)
		}
		return
	}
	data, err := im.readFile(source, maxFile)
	if err != nil && !missing(err) {
		im.fault(k, fmt.Sprintf("%q %s", cut(source), err), "take it into the image, or into a named volume")
		return
	}
	if err != nil {
		im.missing(s, v, k, err.Error())
		return
	}
	s.see(source, data, k)
	s.comp.Files = append(s.comp.Files, content(v.Target, data))
	im.boundFile(s, v, k, "")
}

// boundFile notes a bound file; one that looks like a log is written to.
func (im *importer) boundFile(s *service, v types.ServiceVolumeConfig, k key, why string) {
	to := s.path("files[" + v.Target + "]")
	switch {
	case !v.ReadOnly && strings.HasSuffix(v.Target, ".log"):
		im.notes.degraded(to, join(why, "read-only here: what is written to it is lost"), k)
	case !v.ReadOnly:
		im.notes.how(to, join(why, "read-only here"), k)
	default:
		im.notes.how(to, why, k)
	}
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// holdsData reports whether a directory is where a database keeps its data.
func (im *importer) holdsData(s *service, v types.ServiceVolumeConfig) bool {
	return s.known != nil && s.known.database && !v.ReadOnly && !configTarget(v.Target)
}

// configTarget reports whether a directory usually holds configuration.
func configTarget(target string) bool {
	for _, prefix := range []string{"/etc/", "/docker-entrypoint", "/usr/", "/opt/", "/run/", "/config"} {
		if strings.HasPrefix(target+"/", prefix) {
			return true
		}
	}
	return strings.Contains(target, "conf")
}

// missing stands in for a bound file or directory that is not there: a name
// with an extension is a file, a configuration directory is empty, any other
// directory is a volume.
func (im *importer) missing(s *service, v types.ServiceVolumeConfig, k key, why string) {
	why = fmt.Sprintf("%q: %s", cut(v.Source), why)
	switch {
	case isFileName(v.Source) && isFileName(v.Target):
		s.comp.Files = append(s.comp.Files, appmodel.File{Path: v.Target})
		im.notes.degraded(s.path("files["+v.Target+"]"), why+": an empty file", k)
	case v.ReadOnly || configTarget(v.Target):
		im.notes.degraded(im.configVolume(s, v.Source, v.Target, nil), why+": an empty directory", k)
	default:
		data := appmodel.DataFiles
		if im.holdsData(s, v) {
			data = appmodel.DataDatabase
		}
		im.notes.degraded(im.persistent(s, path.Base(v.Target), v.Target, v.ReadOnly, data), why+": an empty volume of 10Gi", k)
	}
}

// host mounts a path of the machine, which needs level privileged.
func (im *importer) host(s *service, v types.ServiceVolumeConfig, k key) {
	volume := s.volumes.take(path.Base(v.Target))
	s.comp.Volumes = append(s.comp.Volumes, appmodel.Volume{Name: volume, Kind: appmodel.VolumeHost, HostPath: path.Clean(v.Source)})
	s.comp.Mounts = append(s.comp.Mounts, appmodel.Mount{Path: v.Target, Volume: volume, ReadOnly: v.ReadOnly})
	im.notes.degraded(s.path("volumes["+volume+"]"), "the path of whichever node runs it: what is at this path of your machine does not come along; needs security level privileged", k)
	im.privileged(s, "a host path")
}

// isFileName reports whether a name has an extension, as files do; conf.d and
// dot files have none.
func isFileName(name string) bool {
	ext := path.Ext(strings.TrimPrefix(path.Base(name), "."))
	return ext != "" && ext != ".d"
}
