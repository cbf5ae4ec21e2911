package appmodel

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// update checks update and disruption.
func (v *checker) update(c *Component, at Path) {
	if u := c.Update; u != nil {
		at := at.field("update")
		surge, okSurge := v.intOrPercent(u.MaxSurge, at.field("maxSurge"))
		gone, okGone := v.intOrPercent(u.MaxUnavailable, at.field("maxUnavailable"))
		if okSurge && okGone && u.MaxSurge != "" && u.MaxUnavailable != "" && surge == 0 && gone == 0 {
			v.errorf(at, "let one of them be 1", "with maxSurge and maxUnavailable both 0 no replica can be replaced")
		}
		if u.Strategy == "onDelete" && c.Kind != KindStateful && c.Kind != KindDaemon {
			v.errorf(at.field("strategy"), "write rolling or recreate", "onDelete belongs to stateful and daemon")
		}
		if u.MaxSurge != "" && c.Kind == KindStateful {
			v.errorf(at.field("maxSurge"), "remove it", "replicas of a stateful component have names, so there is none too many")
		}
		if u.Strategy != "" && u.Strategy != "rolling" && (u.MaxSurge != "" || u.MaxUnavailable != "") {
			v.errorf(at, "remove them, or write strategy: rolling", "maxSurge and maxUnavailable belong to rolling updates")
		}
		v.seconds(u.MinReady, at.field("minReady"))
		v.seconds(u.ProgressDeadline, at.field("progressDeadline"))
	}
	if d := c.Disruption; d != nil {
		v.intOrPercent(d.MinAvailable, at.field("disruption").field("minAvailable"))
		v.intOrPercent(d.MaxUnavailable, at.field("disruption").field("maxUnavailable"))
	}
}

var percent = regexp.MustCompile(`^(100|[1-9]?[0-9])%$`)

func (v *checker) intOrPercent(value IntOrPercent, at Path) (n int, ok bool) {
	if value == "" {
		return 0, true
	}
	if text, isPercent := strings.CutSuffix(string(value), "%"); isPercent && percent.MatchString(string(value)) {
		n, _ = strconv.Atoi(text)
		return n, true
	}
	if n, err := strconv.Atoi(string(value)); err == nil && n >= 0 {
		return n, true
	}
	v.errorf(at, "write for example 1 or 25%", "%q is neither a number nor a percentage", cut(string(value)))
	return 0, false
}

func (v *checker) scheduling(c *Component, at Path) {
	s := c.Scheduling
	if s == nil {
		return
	}
	at = at.field("scheduling")
	for _, key := range sortedKeys(s.NodeSelector) {
		here := at.field("nodeSelector").entry(key)
		if len(validation.IsQualifiedName(key)) > 0 {
			v.errorf(here, "write name or domain/name", "%q is not a key", cut(key))
		}
		if len(validation.IsValidLabelValue(s.NodeSelector[key])) > 0 {
			v.errorf(here, "use at most 63 letters, digits, hyphens, dots and underscores", "%q is not the value of a label", cut(s.NodeSelector[key]))
		}
	}
	for i, t := range s.Tolerations {
		here := at.field("tolerations").entry("#" + strconv.Itoa(i+1))
		switch {
		case t.Key == "" && t.Operator != "Exists":
			v.errorf(here, "give it a key, or write operator: Exists", "tolerates nothing")
		case t.Operator == "Exists" && t.Value != "":
			v.errorf(here.field("value"), "remove it", "has no meaning with operator: Exists")
		case t.Key != "" && len(validation.IsQualifiedName(t.Key)) > 0:
			v.errorf(here.field("key"), "write name or domain/name", "%q is not a key", cut(t.Key))
		case t.Duration != 0 && t.Effect != "NoExecute":
			v.errorf(here.field("duration"), "write effect: NoExecute, or remove it", "has no meaning for this effect")
		}
	}
	for _, s := range s.Spread {
		here := at.field("spread").entry(s.Over)
		if s.Over != "" && s.Over != "zone" && s.Over != "node" && len(validation.IsQualifiedName(s.Over)) > 0 {
			v.errorf(here.field("over"), "write zone, node, or the key of a node label", "%q is none of them", cut(s.Over))
		}
		if s.MaxSkew < 1 {
			v.errorf(here.field("maxSkew"), "write one or more", "%d is not possible", s.MaxSkew)
		}
	}
	for _, arch := range s.Architectures {
		if len(validation.IsDNS1123Label(arch)) > 0 {
			v.errorf(at.field("architectures").entry(arch), "write for example amd64 or arm64", "%q is not an architecture", cut(arch))
		}
	}
	v.objectName(s.PriorityClass, at.field("priorityClass"))
}

func (v *checker) hooks(c *Component, at Path) {
	own := map[string]bool{}
	for _, vol := range c.Volumes {
		own[vol.Name] = true
	}
	hooks := Hooks{}
	if c.Hooks != nil {
		hooks = *c.Hooks
	}
	for name, h := range map[string]*Hook{"quiesce": hooks.Quiesce, "resume": hooks.Resume, "dump": hooks.Dump, "restore": hooks.Restore} {
		if h == nil {
			continue
		}
		here := at.field("hooks").field(name)
		if h.Session && name != "quiesce" {
			v.errorf(here.field("session"), "remove it", "only quiesce keeps running")
		}
		for _, vol := range h.Volumes {
			if !own[vol] && v.volumes[vol] == nil {
				next := didYouMean(vol, sortedKeys(own))
				v.errorf(here.field("volumes").entry(vol), next, "no volume %q", cut(vol))
			}
		}
	}
	if hooks.Resume != nil && hooks.Quiesce == nil {
		v.errorf(at.field("hooks").field("resume"), "add quiesce", "there is nothing to resume from")
	}
	if hooks.Restore != nil && hooks.Dump == nil {
		v.errorf(at.field("hooks").field("restore"), "add dump", "there is nothing to restore from")
	}
	if hooks.Quiesce == nil && hooks.Dump == nil {
		for _, vol := range c.Volumes {
			if vol.Kind == VolumePersistent && vol.Data == DataDatabase {
				v.warnf(at.field("volumes").entry(vol.Name), "add quiesce or dump, so that a backup is consistent", "a database without hooks")
			}
		}
	}
}

var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// objects checks chart, objects and kubernetes.
func (v *checker) objects(c *Component, at Path) {
	if ch := c.Chart; ch != nil {
		here := at.field("chart")
		if c.Kind == KindChart && c.IsEnabled() {
			v.warnf(here, "put the chart's rendered objects under kind: objects", "charts are read and not rendered yet: a deployment of this component is refused")
		}
		if r := ch.Repository; r != "" && (urlPassword(r) || strings.Contains(r, "@")) {
			v.errorf(here.field("repository"), "leave user and password out", "the URL holds credentials")
		} else if r != "" && !strings.HasPrefix(r, "https://") && !strings.HasPrefix(r, "oci://") && !strings.HasPrefix(r, "http://") {
			v.errorf(here.field("repository"), "write an https:// or oci:// URL", "%q is not a repository", cut(r))
		}
		if ch.Digest != "" && !digest.MatchString(ch.Digest) {
			v.errorf(here.field("digest"), "write sha256: and 64 hex digits", "%q is not a digest", cut(ch.Digest))
		}
		if len(ch.Values) > maxManifest {
			v.errorf(here.field("values"), "shorten them", "the values have %d bytes, more than 512 KiB", len(ch.Values))
		} else if len(ch.Values) > 0 && ch.Values[0] != '{' {
			v.errorf(here.field("values"), "write keys and values", "is not a mapping")
		}
	}
	for i, o := range c.Objects {
		key := manifestKey(o.Manifest)
		if key == "" || key == "/" {
			key = "#" + strconv.Itoa(i+1)
		}
		v.manifest(o.Manifest, at.field("objects").entry(key).field("manifest"))
	}
	if k := c.Kubernetes; k != nil && k.Names != nil {
		here := at.field("kubernetes").field("names")
		for field, name := range map[string]string{"workload": k.Names.Workload, "service": k.Names.Service,
			"headless": k.Names.Headless, "container": k.Names.Container, "serviceAccount": k.Names.ServiceAccount,
			"autoscaler": k.Names.Autoscaler, "disruption": k.Names.Disruption} {
			v.objectName(name, here.field(field))
		}
	}
	if a := c.ServiceAccount; a != nil {
		v.objectName(a.Name, at.field("serviceAccount").field("name"))
		v.annotations(a.Annotations, at.field("serviceAccount").field("annotations"))
	}
}

func (v *checker) manifest(raw JSON, at Path) {
	if len(raw) == 0 {
		return
	}
	if len(raw) > maxManifest {
		v.errorf(at, "split it", "the manifest has %d bytes, more than 512 KiB", len(raw))
		return
	}
	var m struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		v.errorf(at, "write apiVersion, kind and metadata as in Kubernetes", "is not a Kubernetes object")
		return
	}
	for field, value := range map[string]string{"apiVersion": m.APIVersion, "kind": m.Kind, "metadata.name": m.Metadata.Name} {
		if value == "" {
			v.errorf(at, "give it one", "has no %s", field)
		}
	}
	if strings.HasSuffix(m.Kind, "List") && m.Metadata.Name == "" {
		v.errorf(at, "list its items under objects", "is a list of objects")
	}
	if m.Metadata.Namespace != "" {
		v.errorf(at, "remove metadata.namespace", "names a namespace, but objects land in that of the application")
	}
	if m.Kind == "Secret" && (m.APIVersion == "v1") && hasMember(raw, "data", "stringData") {
		v.errorf(at, "put the values under secrets, which may have an objectName", "a Secret's values would stand here for everybody to read")
	}
}

func hasMember(raw JSON, names ...string) bool {
	members, _ := jsonMembers(raw)
	return slices.ContainsFunc(members, func(m jsonMember) bool {
		return slices.Contains(names, m.name) && len(m.value) > 2
	})
}
