package render

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
)

// filesVolume is the pod's volume of all single files.
const filesVolume = "appspan-files"

// fileSet collects the single files of all containers of a pod. One volume
// projects them, each under its own key and with its own mode, and containers
// mount them alone.
type fileSet struct {
	text   map[string]string
	binary map[string][]byte
	secret map[string][]byte
	// sources are objects and which of their keys are projected.
	sources map[fileSource][]corev1.KeyToPath
}

type fileSource struct {
	secret bool
	object string
}

// mountFiles adds a container's files and returns their mounts.
func (p *podWriter) mountFiles(src *appmodel.Container, container, at string) []corev1.VolumeMount {
	var mounts []corev1.VolumeMount
	for i := range src.Files {
		f := &src.Files[i]
		key := fileKey(container, f.Path)
		where := at + "files[" + strconv.Quote(f.Path) + "]"
		source, item, err := p.file(f, key)
		if err != nil {
			if !p.b.leftOut(err, p.c, where) {
				p.b.failed(fmt.Errorf("%s: %w", componentPath(p.c, where), err))
			}
			continue
		}
		mode := p.mode(f.Mode, where)
		p.unreadable(mode, src.Security, where+".mode")
		if p.files.sources == nil {
			p.files.sources = map[fileSource][]corev1.KeyToPath{}
		}
		p.files.sources[source] = append(p.files.sources[source], corev1.KeyToPath{Key: item, Path: key, Mode: mode})
		mounts = append(mounts, corev1.VolumeMount{Name: filesVolume, MountPath: f.Path, SubPath: key, ReadOnly: true})
	}
	return mounts
}

// file says which object and key hold a file, and puts it there if no group
// does.
func (p *podWriter) file(f *appmodel.File, key string) (fileSource, string, error) {
	reload := f.Reload != "none"
	config := fileSource{object: p.b.name(p.c.ID) + "-files"}
	switch {
	case f.Template != "":
		v, err := p.b.resolve(p.c, f.Template)
		if err != nil {
			return fileSource{}, "", err
		}
		if v.sensitive() {
			return p.secretFile(v, key, reload)
		}
		text, _ := v.reveal()
		p.textFile(key, text, reload)
	case f.Config != nil:
		v, err := p.b.configValue(f.Config.Name, f.Config.Item)
		if err != nil {
			return fileSource{}, "", err
		}
		text, err := v.reveal()
		p.note(reload, key, text)
		return fileSource{object: p.b.configName(p.b.config(f.Config.Name, ""))}, f.Config.Item, err
	case f.Secret != nil:
		v, err := p.b.secretValue(f.Secret.Name, f.Secret.Item)
		if err != nil {
			return fileSource{}, "", err
		}
		return p.secretFile(v, key, reload)
	case f.Base64 != "":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(f.Base64), ""))
		if err != nil {
			return fileSource{}, "", fmt.Errorf("%w: base64 does not decode: %w; encode it with padding", appspan.ErrInvalid, err)
		}
		p.files.binary = put(p.files.binary, key, data)
		p.note(reload, key, string(data))
	default:
		p.textFile(key, f.Content, reload)
	}
	return config, key, nil
}

func (p *podWriter) textFile(key, text string, reload bool) {
	p.files.text = put(p.files.text, key, text)
	p.note(reload, key, text)
}

// secretFile is a file that a group holds as it is, or that goes into the
// Secret of the component's files.
func (p *podWriter) secretFile(v value, key string, reload bool) (fileSource, string, error) {
	if s := v.single(); s != nil && !s.copy {
		p.note(reload && !s.unknown, key, v[0].text)
		return fileSource{true, s.object}, s.key, nil
	}
	text, err := v.reveal()
	if err != nil {
		return fileSource{}, "", err
	}
	p.files.secret = put(p.files.secret, key, []byte(text))
	p.note(reload, key, text)
	return fileSource{true, p.b.name(p.c.ID) + "-secret-files"}, key, nil
}

// note restarts the pods when a file changes.
func (p *podWriter) note(reload bool, key, text string) {
	if reload {
		p.content["file/"+key] = text
	}
}

// put sets a key of a map that may be nil.
func put[V any](m map[string]V, key string, v V) map[string]V {
	if m == nil {
		m = map[string]V{}
	}
	m[key] = v
	return m
}

// fileKey is the key of a file in objects: a digest that tells it from others,
// and its name as far as keys may hold it.
func fileKey(container, file string) string {
	sum := sha256.Sum256([]byte(container + "\x00" + file))
	base := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, path.Base(file))
	return hex.EncodeToString(sum[:4]) + "-" + base[:min(len(base), 200)]
}

// mode reads an octal file mode; nil if there is none.
func (p *podWriter) mode(text, at string) *int32 {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 8, 32)
	if err != nil || n < 0 || n > 0o777 {
		p.b.fail("%s.mode: %q is no file mode; write for example 0444", componentPath(p.c, at), text)
		return nil
	}
	m := int32(n)
	return &m
}

// writeFiles adds the objects of the files and the volume that projects them.
func (p *podWriter) writeFiles() {
	f := &p.files
	if len(f.text)+len(f.binary) > 0 {
		p.b.add(&corev1.ConfigMap{TypeMeta: tm("v1", "ConfigMap"), ObjectMeta: p.b.meta(p.b.name(p.c.ID)+"-files", p.c), Data: f.text, BinaryData: f.binary},
			Object{Component: p.c.ID, Phase: PhaseData})
	}
	if len(f.secret) > 0 {
		p.b.add(&corev1.Secret{TypeMeta: tm("v1", "Secret"), ObjectMeta: p.b.meta(p.b.name(p.c.ID)+"-secret-files", p.c), Type: corev1.SecretTypeOpaque, Data: f.secret},
			Object{Component: p.c.ID, Phase: PhaseData, Sensitive: true})
	}
	if len(f.sources) == 0 {
		return
	}
	var projected []corev1.VolumeProjection
	for source, items := range f.sources {
		slices.SortFunc(items, func(x, y corev1.KeyToPath) int { return strings.Compare(x.Path, y.Path) })
		name := corev1.LocalObjectReference{Name: source.object}
		if source.secret {
			projected = append(projected, corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: name, Items: items}})
		} else {
			projected = append(projected, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: name, Items: items}})
		}
	}
	slices.SortFunc(projected, func(x, y corev1.VolumeProjection) int { return strings.Compare(projectionKey(x), projectionKey(y)) })
	p.volumes[filesVolume] = corev1.Volume{Name: filesVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: projected}}}
}

func projectionKey(v corev1.VolumeProjection) string {
	if v.Secret != nil {
		return "secret/" + v.Secret.Name
	}
	return "config/" + v.ConfigMap.Name
}
