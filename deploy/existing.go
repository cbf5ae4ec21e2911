package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// maxExisting bounds what is read of a namespace, in bytes.
const maxExisting = 16 << 20

// ExistingOptions say what of a namespace is looked at.
type ExistingOptions struct {
	// Labels is a label selector, as "app=shop"; empty is everything.
	Labels string
}

// Existing reads what somebody else runs in the namespace of a target on its
// one cluster, to be taken over: a List of Kubernetes objects as JSON, which
// appmodel/manifests imports, to be planned with PlanOptions.Adopt. What
// controllers made, what every namespace has, and what is an installation's is
// left out. Secrets come along: the subject must be allowed to deploy there. More
// than 16 MiB are appspan.ErrExhausted; choose by labels then.
func (d *Deployer) Existing(ctx context.Context, to Target, opts *ExistingOptions) ([]byte, error) {
	var o ExistingOptions
	if opts != nil {
		o = *opts
	}
	if len(to.Clusters) != 1 || to.Namespace == "" {
		return nil, fmt.Errorf("existing objects: %w: name one cluster and a namespace", appspan.ErrInvalid)
	}
	to, err := d.reading(ctx, "existing", to)
	if err != nil {
		return nil, err
	}
	name := to.Clusters[0]
	if err := d.authorize(ctx, appspan.VerbDeploy, "", to, name); err != nil {
		return nil, err
	}
	ctx, cancel := d.limit(ctx)
	defer cancel()
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	list := bytes.NewBufferString(`{"apiVersion":"v1","kind":"List","items":[`)
	found := 0
	for _, k := range adoptable(info.Kinds) {
		q := cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: to.Namespace, Labels: o.Labels}
		for obj, err := range c.List(ctx, q) {
			if errors.Is(err, appspan.ErrDenied) || errors.Is(err, appspan.ErrUnsupported) {
				break // who may not see it cannot take it over
			}
			if err != nil {
				return nil, err
			}
			if !somebodys(obj) {
				continue
			}
			if found++; found > 1 {
				list.WriteByte(',')
			}
			list.Write(obj.JSON)
			if list.Len() > maxExisting {
				return nil, fmt.Errorf("namespace %s on %s: %w: it holds more than %d MiB; choose by ExistingOptions.Labels", to.Namespace, name, appspan.ErrExhausted, maxExisting>>20)
			}
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("namespace %s on %s: %w: there is nothing in it to take over", to.Namespace, name, appspan.ErrNotFound)
	}
	list.WriteString("]}")
	return list.Bytes(), nil
}

// adoptable are the kinds that somebody writes, each in one version.
func adoptable(kinds []driver.KindInfo) []driver.KindInfo {
	var out []driver.KindInfo
	seen := map[string]bool{}
	for _, k := range kinds {
		at := driver.Ref{APIVersion: k.APIVersion, Kind: k.Kind}
		switch {
		case !k.Namespaced, !slices.Contains(k.Verbs, "list"), !slices.Contains(k.Verbs, "patch"), seen[at.GroupKind()]:
			continue
		}
		switch at.Group() {
		case "events.k8s.io", "metrics.k8s.io", "discovery.k8s.io", "coordination.k8s.io":
			continue
		}
		switch at.GroupKind() {
		case "Event", "Endpoints", "PodTemplate", "ControllerRevision.apps":
			continue
		}
		seen[at.GroupKind()] = true
		out = append(out, k)
	}
	return out
}

// somebodys reports whether an object was written by somebody and is nobody's
// application.
func somebodys(obj driver.Object) bool {
	if obj.Deleting || everywhere(obj) || obj.Labels[appmodel.LabelInstallation] != "" {
		return false
	}
	var o struct {
		Type     string `json:"type"`
		Metadata struct {
			OwnerReferences []struct {
				Controller bool `json:"controller"`
			} `json:"ownerReferences"`
		} `json:"metadata"`
	}
	if json.Unmarshal(obj.JSON, &o) != nil || obj.Kind == "Secret" && o.Type == "kubernetes.io/service-account-token" {
		return false
	}
	for _, owner := range o.Metadata.OwnerReferences {
		if owner.Controller {
			return false
		}
	}
	return true
}
