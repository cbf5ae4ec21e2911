package render

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/json"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
)

// rawObjects renders Kubernetes objects as they are, into the namespace and
// under the application's labels.
func (b *builder) rawObjects(c *appmodel.Component) {
	for i := range c.Objects {
		path := fmt.Sprintf("%s[%d]", componentPath(c, "objects"), i)
		var tree map[string]any
		if err := json.Unmarshal(c.Objects[i].Manifest, &tree); err != nil { // integers stay integers
			b.fail("%s: the manifest is no object: %v; write one Kubernetes object", path, err)
			continue
		}
		if c.Objects[i].Interpolate {
			b.failed(b.interpolate(c, tree, path))
		}
		b.rawObject(c, tree, path)
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
	info, served := b.in.Info.Lookup(apiVersion, kind)
	if !served {
		b.failed(fmt.Errorf("%s: %w: the cluster has no %s of %s; install what defines it, or disable the component there", path, appspan.ErrUnsupported, kind, apiVersion))
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
