package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// kindPath is a kind and where it is served.
type kindPath struct {
	driver.KindInfo
	root string // "/api/v1", "/apis/apps/v1"
}

type kindKey struct{ apiVersion, kind string }

// kinds is what is known of the kinds of a cluster. The zero value knows none.
type kinds struct {
	mu    sync.RWMutex
	known map[kindKey]kindPath
}

func (k *kinds) find(apiVersion, kind string) (kindPath, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	p, ok := k.known[kindKey{apiVersion, kind}]
	return p, ok
}

// learn remembers the kinds of one API version in place of what was known.
func (k *kinds) learn(apiVersion string, infos []driver.KindInfo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[kindKey]kindPath{}
	}
	for key := range k.known {
		if key.apiVersion == apiVersion {
			delete(k.known, key)
		}
	}
	for _, info := range infos {
		k.known[kindKey{apiVersion, info.Kind}] = kindPath{info, root(apiVersion)}
	}
}

func root(apiVersion string) string {
	if strings.Contains(apiVersion, "/") {
		return "/apis/" + apiVersion
	}
	return "/api/" + apiVersion
}

// kind finds where a kind is served. An API version that is not known is asked
// for alone, which is one small call; so is one that lacks the kind, because
// the kind may have been defined since.
func (c *Cluster) kind(ctx context.Context, apiVersion, kind string) (kindPath, error) {
	if p, ok := c.kinds.find(apiVersion, kind); ok {
		return p, nil
	}
	if !validVersion(apiVersion) || kind == "" {
		return kindPath{}, fmt.Errorf("%w: %q of %q is no kind", appspan.ErrInvalid, kind, apiVersion)
	}
	infos, err := c.version(ctx, apiVersion)
	if err != nil && !errors.Is(err, appspan.ErrUnsupported) && !errors.Is(err, appspan.ErrNotFound) {
		return kindPath{}, fmt.Errorf("discovery of %s: %w", apiVersion, err)
	}
	c.kinds.learn(apiVersion, infos)
	if p, ok := c.kinds.find(apiVersion, kind); ok {
		return p, nil
	}
	return kindPath{}, fmt.Errorf("%w: the cluster has no kind %s of %s", appspan.ErrUnsupported, kind, apiVersion)
}

// validVersion keeps what is no API version out of URLs.
func validVersion(apiVersion string) bool {
	for _, r := range apiVersion {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '/') {
			return false
		}
	}
	return apiVersion != "" && strings.Count(apiVersion, "/") <= 1 && !strings.Contains(apiVersion, "..") &&
		!strings.HasPrefix(apiVersion, "/") && !strings.HasSuffix(apiVersion, "/")
}

// version reads the kinds of one API version (the API machinery's
// APIResourceList).
func (c *Cluster) version(ctx context.Context, apiVersion string) ([]driver.KindInfo, error) {
	data, err := c.do(ctx, request{method: http.MethodGet, path: root(apiVersion), safe: true})
	if err != nil {
		return nil, err
	}
	var list struct {
		Resources []struct {
			Name       string   `json:"name"`
			Kind       string   `json:"kind"`
			Namespaced bool     `json:"namespaced"`
			Verbs      []string `json:"verbs"`
		} `json:"resources"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, corrupt("discovery of "+apiVersion, err)
	}
	var infos []driver.KindInfo
	for _, r := range list.Resources {
		if !strings.Contains(r.Name, "/") && r.Kind != "" {
			infos = append(infos, driver.KindInfo{APIVersion: apiVersion, Kind: r.Kind, Resource: r.Name, Namespaced: r.Namespaced, Verbs: r.Verbs})
		}
	}
	return infos, nil
}

// acceptDiscovery asks for aggregated discovery (KEP-3352), and takes the old
// form from a server that does not have it.
const acceptDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"

// groups is an answer of /api or /apis: the items of aggregated discovery, or
// the versions or groups of the old form.
type groups struct {
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Versions []struct {
			Version   string `json:"version"`
			Resources []struct {
				Resource     string   `json:"resource"`
				Scope        string   `json:"scope"`
				Verbs        []string `json:"verbs"`
				ResponseKind struct {
					Kind string `json:"kind"`
				} `json:"responseKind"`
			} `json:"resources"`
		} `json:"versions"`
	} `json:"items"`
	Versions []string `json:"versions"`
	Groups   []struct {
		Versions []struct {
			GroupVersion string `json:"groupVersion"`
		} `json:"versions"`
	} `json:"groups"`
}

// discover reads all kinds, and remembers where they are served. API versions
// whose server is away are left out.
func (c *Cluster) discover(ctx context.Context) ([]driver.KindInfo, error) {
	var all []driver.KindInfo
	for _, path := range []string{"/api", "/apis"} {
		data, err := c.do(ctx, request{method: http.MethodGet, path: path, accept: acceptDiscovery, safe: true})
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		infos, versions, err := parseDiscovery(data)
		if err != nil {
			return nil, err
		}
		for _, v := range versions { // the old form: each for itself
			old, err := c.version(ctx, v)
			if err != nil && (ctx.Err() != nil || !strings.Contains(v, "/")) {
				return nil, fmt.Errorf("discovery of %s: %w", v, err)
			}
			infos = append(infos, old...)
		}
		all = append(all, infos...)
	}
	byVersion := map[string][]driver.KindInfo{}
	for _, info := range all {
		byVersion[info.APIVersion] = append(byVersion[info.APIVersion], info)
	}
	for version, infos := range byVersion {
		c.kinds.learn(version, infos)
	}
	return all, nil
}

// parseDiscovery reads an answer: the kinds, or the API versions to ask for.
func parseDiscovery(data []byte) (infos []driver.KindInfo, versions []string, err error) {
	var g groups
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, nil, corrupt("discovery", err)
	}
	for _, group := range g.Items {
		for _, v := range group.Versions {
			apiVersion := v.Version
			if group.Metadata.Name != "" {
				apiVersion = group.Metadata.Name + "/" + v.Version
			}
			if !validVersion(apiVersion) {
				continue
			}
			for _, r := range v.Resources {
				if r.ResponseKind.Kind != "" {
					infos = append(infos, driver.KindInfo{
						APIVersion: apiVersion, Kind: r.ResponseKind.Kind, Resource: r.Resource,
						Namespaced: r.Scope == "Namespaced", Verbs: r.Verbs,
					})
				}
			}
		}
	}
	for _, v := range g.Versions {
		if validVersion(v) {
			versions = append(versions, v)
		}
	}
	for _, group := range g.Groups {
		for _, v := range group.Versions {
			if validVersion(v.GroupVersion) {
				versions = append(versions, v.GroupVersion)
			}
		}
	}
	return infos, versions, nil
}
