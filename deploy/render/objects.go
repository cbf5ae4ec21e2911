package render

import (
	"encoding/json"
	"fmt"

	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// maxManifests and maxManifestBytes bound the manifests of one application,
// templates expanded: no more than its other objects, and what its document
// may have.
const (
	maxManifests     = 2000
	maxManifestBytes = 4 << 20
)

// manifest is one Kubernetes object of the author's own.
type manifest struct {
	path string
	tree map[string]any
}

// readManifests reads the manifests of all components, before anything is
// rendered, and what kinds they define.
func (b *builder) readManifests() {
	count, size := 0, 0
	for i := range b.app.Components {
		c := &b.app.Components[i]
		if c.Kind != appmodel.KindObjects || !c.IsEnabled() {
			continue
		}
		for j := range c.Objects {
			path := fmt.Sprintf("%s[%d]", componentPath(c, "objects"), j)
			tree, n, err := b.readManifest(c, &c.Objects[j], path)
			if err != nil {
				b.failed(err)
				continue
			}
			if count, size = count+1, size+n; count > maxManifests || size > maxManifestBytes {
				b.fail("%s: the application has more than %d manifests or %d MiB of them; put some into an application of their own", path, maxManifests, maxManifestBytes>>20)
				return
			}
			b.manifests[c.ID] = append(b.manifests[c.ID], manifest{path, tree})
			b.definition(tree)
		}
	}
}

// readManifest reads one manifest, and how large it is.
func (b *builder) readManifest(c *appmodel.Component, o *appmodel.RawObject, path string) (map[string]any, int, error) {
	var tree map[string]any
	if kjson.Unmarshal(o.Manifest, &tree) != nil || tree == nil { // integers stay integers
		return nil, 0, invalid("%s: the manifest is no object; write one Kubernetes object", path)
	}
	if !o.Interpolate {
		return tree, len(o.Manifest), nil
	}
	if err := b.interpolate(c, tree, path); err != nil {
		return nil, 0, err
	}
	data, err := json.Marshal(tree)
	return tree, len(data), err
}

// definition takes in the kinds that a CustomResourceDefinition of the
// application's own defines, which the cluster may not serve yet.
func (b *builder) definition(tree map[string]any) {
	if tree["apiVersion"] != "apiextensions.k8s.io/v1" || tree["kind"] != "CustomResourceDefinition" {
		return
	}
	spec := child(tree, "spec")
	names := child(spec, "names")
	for _, v := range entries(spec, "versions") {
		if v["served"] == true {
			b.out.Defines = append(b.out.Defines, driver.KindInfo{APIVersion: text(spec["group"]) + "/" + text(v["name"]), Kind: text(names["kind"]),
				Resource: text(names["plural"]), Namespaced: spec["scope"] == "Namespaced"})
		}
	}
}

// kind finds a kind that the cluster serves, or will once the application's
// own definitions are written.
func (b *builder) kind(apiVersion, kind string) (driver.KindInfo, bool) {
	if info, ok := b.in.Info.Lookup(apiVersion, kind); ok {
		return info, true
	}
	return driver.Info{Kinds: b.out.Defines}.Lookup(apiVersion, kind)
}

// rawObjects renders Kubernetes objects as they are, into the namespace and
// under the application's labels.
func (b *builder) rawObjects(c *appmodel.Component) {
	for _, m := range b.manifests[c.ID] {
		b.rawObject(c, m.tree, m.path)
	}
}

// rawObject checks and adds one manifest.
func (b *builder) rawObject(c *appmodel.Component, tree map[string]any, path string) {
	apiVersion, _ := tree["apiVersion"].(string)
	kind, _ := tree["kind"].(string)
	meta, _ := tree["metadata"].(map[string]any)
	if apiVersion == "" || kind == "" || meta == nil {
		b.fail("%s: apiVersion, kind and metadata are required; complete the manifest", path)
		return
	}
	info, served := b.kind(apiVersion, kind)
	if !served {
		b.failed(fmt.Errorf("%s: %w: the cluster has no %s of %s; install what defines it, add its CustomResourceDefinition to the application, or disable the component there", path, appspan.ErrUnsupported, kind, apiVersion))
		return
	}
	privileged := !info.Namespaced || rbacGroup(apiVersion)
	delete(meta, "namespace")
	if info.Namespaced {
		meta["namespace"] = b.in.Namespace
	}
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences", "selfLink"} {
		delete(meta, field)
	}
	labels, _ := meta["labels"].(map[string]any)
	if labels == nil {
		labels = map[string]any{}
		meta["labels"] = labels
	}
	for k, v := range b.labels(c) {
		labels[k] = v
	}
	b.add(tree, Object{Component: c.ID, Phase: rawPhase(kind, apiVersion), Privileged: privileged, Sensitive: kind == "Secret" && apiVersion == "v1",
		Keep: kind == "PersistentVolumeClaim"})
}

func rbacGroup(apiVersion string) bool { return apiVersion == "rbac.authorization.k8s.io/v1" }

// rawPhase is when an object of a kind is written.
func rawPhase(kind, apiVersion string) Phase {
	switch kind {
	case "Namespace", "CustomResourceDefinition":
		return PhaseDefinition
	case "ServiceAccount":
		return PhaseIdentity
	case "Secret", "ConfigMap", "PersistentVolumeClaim", "PersistentVolume", "StorageClass":
		return PhaseData
	case "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet":
		return PhaseWorkload
	}
	if rbacGroup(apiVersion) {
		return PhaseIdentity
	}
	return PhaseNetwork
}

// interpolate replaces templates inside strings; keys and structure stay.
func (b *builder) interpolate(c *appmodel.Component, v any, path string) error {
	text := func(s string) (string, error) {
		out, secret, err := b.expand(c, s)
		if err == nil && secret {
			err = fmt.Errorf("%w: a secret has no place in a manifest; use a group of secrets and refer to its Secret", appspan.ErrInvalid)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		return out, nil
	}
	switch t := v.(type) {
	case map[string]any:
		for k, x := range t {
			if s, ok := x.(string); ok {
				out, err := text(s)
				if err != nil {
					return err
				}
				t[k] = out
				continue
			}
			if err := b.interpolate(c, x, path+"."+k); err != nil {
				return err
			}
		}
	case []any:
		for i, x := range t {
			if s, ok := x.(string); ok {
				out, err := text(s)
				if err != nil {
					return err
				}
				t[i] = out
				continue
			}
			if err := b.interpolate(c, x, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}
