package fake

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// openapi answers with the least of a schema that kubectl asks for: which
// kinds there are, and that writes take fieldValidation. There are no types
// in it: the server validates.
func (x *exchange) openapi(path []string) error {
	order, served := x.c.groupVersions()
	if len(path) >= 2 && path[1] == "v2" {
		if strings.Contains(x.r.Header.Get("Accept"), "protobuf") {
			return nil // the empty document, in that encoding
		}
		return x.answer(map[string]any{
			"swagger": "2.0", "info": map[string]any{"title": "Kubernetes", "version": x.c.opts.Version}, "paths": map[string]any{}, "definitions": map[string]any{},
		})
	}
	if len(path) < 2 || path[1] != "v3" {
		return noSuchPath()
	}
	root := func(gv schema.GroupVersion) string {
		if gv.Group == "" {
			return "api/" + gv.Version
		}
		return "apis/" + gv.String()
	}
	if len(path) == 2 {
		paths := map[string]any{}
		for _, gv := range order {
			paths[root(gv)] = map[string]any{"serverRelativeURL": "/openapi/v3/" + root(gv)}
		}
		return x.answer(map[string]any{"paths": paths})
	}
	for _, gv := range order {
		if root(gv) != strings.Join(path[2:], "/") {
			continue
		}
		paths := map[string]any{}
		for _, k := range served[gv] {
			paths["/"+root(gv)+"/"+k.place()+k.resource+"/{name}"] = map[string]any{"patch": operation(k), "put": operation(k)}
		}
		return x.answer(map[string]any{
			"openapi": "3.0.0", "info": map[string]any{"title": "Kubernetes", "version": x.c.opts.Version}, "paths": paths, "components": map[string]any{"schemas": map[string]any{}},
		})
	}
	return noSuchPath()
}

func (k *kind) place() string {
	if k.namespaced {
		return "namespaces/{namespace}/"
	}
	return ""
}

// operation is a write that takes the usual parameters.
func operation(k *kind) map[string]any {
	var params []any
	for _, name := range []string{"dryRun", "fieldManager", "fieldValidation", "force"} {
		params = append(params, map[string]any{"name": name, "in": "query", "schema": map[string]any{"type": "string"}})
	}
	return map[string]any{
		"parameters": params, "responses": map[string]any{"200": map[string]any{"description": "OK"}},
		"x-kubernetes-group-version-kind": map[string]any{"group": k.gvk.Group, "version": k.gvk.Version, "kind": k.gvk.Kind},
	}
}
