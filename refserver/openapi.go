package refserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/refserver/client"
)

// document makes the OpenAPI document (3.1) of the routes: of the Go types that
// they take and give, so that it cannot say what the server does not.
func (s *Server) document() ([]byte, error) {
	d := newSchemas()
	for _, r := range s.routes {
		if r.in.body >= 0 && !r.in.raw {
			d.ask(r.in.bodyType)
		}
	}
	d.of(reflect.TypeFor[client.Problem]())
	paths := map[string]map[string]any{}
	for _, r := range s.routes {
		operation, err := d.operation(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.id, err)
		}
		full := apiPrefix + r.path
		if paths[full] == nil {
			paths[full] = map[string]any{}
		}
		method := strings.ToLower(r.method)
		if paths[full][method] != nil {
			return nil, fmt.Errorf("%s %s is there twice", r.method, full)
		}
		paths[full][method] = operation
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{"title": "Appspan", "version": "1.0.0",
			"description": "Applications on many Kubernetes clusters. Errors are problem details (RFC 9457). Every mutation takes dryRun; every POST an Idempotency-Key.",
			"license":     map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"}},
		"servers": []any{map[string]any{"url": s.opts.BasePath + "/"}},
		"paths":   paths,
		"components": map[string]any{
			"schemas":         d.all,
			"securitySchemes": map[string]any{"token": map[string]any{"type": "http", "scheme": "bearer"}, "session": map[string]any{"type": "apiKey", "in": "cookie", "name": sessionCookie}},
			"responses": map[string]any{"problem": map[string]any{"description": "What went wrong, by its type.",
				"content": map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Problem"}}}}},
		},
		"security": []any{map[string]any{"token": []any{}}, map[string]any{"session": []any{}}, map[string]any{}},
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(doc)
	return out.Bytes(), err
}

func (d *schemas) operation(r *route) (map[string]any, error) {
	op := map[string]any{"operationId": r.id, "tags": []string{r.tag}, "summary": r.summary}
	if p := r.access.String(); p != "" {
		op["x-permission"] = p
	}
	params := []any{map[string]any{"name": "team", "in": "query", "description": "the team to act for", "schema": map[string]any{"type": "string", "pattern": teamName.String()}}}
	if r.public {
		op["security"], params = []any{}, nil
	}
	for _, p := range r.in.params {
		schema, err := paramSchema(p.typ)
		if err != nil {
			return nil, err
		}
		one := map[string]any{"name": p.name, "in": p.in, "schema": schema}
		if p.required {
			one["required"] = true
		}
		if p.doc != "" {
			one["description"] = p.doc
		}
		if p.typ.Kind() == reflect.Slice {
			one["style"], one["explode"] = "form", true
		}
		params = append(params, one)
	}
	if r.method == http.MethodPost && !r.public {
		params = append(params, map[string]any{"name": "Idempotency-Key", "in": "header", "description": "the same key again is the same request: it is answered again, and done once", "schema": map[string]any{"type": "string", "maxLength": 128}})
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if r.in.body >= 0 {
		content := map[string]any{}
		if r.in.raw {
			for _, media := range r.media() {
				content[media] = map[string]any{}
			}
		} else {
			content["application/json"] = map[string]any{"schema": d.of(r.in.bodyType)}
		}
		op["requestBody"] = map[string]any{"content": content, "required": r.in.raw}
	}
	success := map[string]any{"description": "Done."}
	switch {
	case r.stream != "":
		success["content"] = map[string]any{r.stream: map[string]any{}}
	case r.out != nil:
		success["content"] = map[string]any{"application/json": map[string]any{"schema": d.of(r.out)}}
	}
	responses := map[string]any{strconv.Itoa(r.status): success, "default": map[string]any{"$ref": "#/components/responses/problem"}}
	for _, status := range r.also {
		responses[strconv.Itoa(status)] = success
	}
	op["responses"] = responses
	return op, nil
}

func paramSchema(t reflect.Type) (map[string]any, error) {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}, nil
	case reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "string", "description": "like 90s or 24h"}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}, nil
	case reflect.Bool:
		return map[string]any{"type": "boolean"}, nil
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}, nil
	case reflect.Slice:
		items, err := paramSchema(t.Elem())
		return map[string]any{"type": "array", "items": items}, err
	}
	return nil, fmt.Errorf("no schema of a parameter of type %v", t)
}
