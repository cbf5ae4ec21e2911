package refserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/appspan-dev/appspan"
)

// route is one operation of the API. What it takes and gives are Go types, from
// which requests are decoded and the OpenAPI document is made, so that neither
// says what the other does not.
type route struct {
	method, path string // "GET", "/clusters/{cluster}" below /api/v1
	id           string // the operationId: "getCluster"
	tag, summary string
	// access is what the SDK is asked for; empty where the subject sees what it
	// may see.
	access permission
	status int   // of success
	also   []int // other ones
	in     *input
	out    reflect.Type // nil: no body
	// public: nobody is asked who they are.
	public bool
	// stream is the content type of what is not one JSON value.
	stream string
	serve  func(*call) error
}

// mutates reports whether the operation changes something.
// repeatable reports whether it does no harm to do it twice, or cannot be answered
// again.
func (r *route) repeatable() bool { return r.stream != "" || r.id == "validate" }

func (r *route) mutates() bool { return r.method != http.MethodGet }

// empty is what an operation gives that has no body.
type empty struct{}

// op makes a route of a function. In is a struct whose fields are tagged with
// where they come from: `path:"name"`, `query:"name"`, `header:"Name"`; the field
// Body is the JSON body. Out is what is answered with; empty is nothing.
func op[In, Out any](method, path, id, tag, summary string, do func(ctx context.Context, c *call, in *In) (Out, error)) *route {
	r := &route{method: method, path: path, id: id, tag: tag, summary: summary, status: http.StatusOK, in: inputOf(reflect.TypeFor[In]()), out: reflect.TypeFor[Out]()}
	if r.out == reflect.TypeFor[empty]() {
		r.out, r.status = nil, http.StatusNoContent
	}
	r.serve = func(c *call) error {
		in := new(In)
		if err := r.in.decode(c, reflect.ValueOf(in).Elem()); err != nil {
			return err
		}
		out, err := do(c.r.Context(), c, in)
		if err != nil {
			return err
		}
		return c.answer(r, out)
	}
	return r
}

// streaming makes a route of a function that writes its answer itself.
func streaming[In any](method, path, id, tag, summary, contentType string, do func(ctx context.Context, c *call, in *In) error) *route {
	r := &route{method: method, path: path, id: id, tag: tag, summary: summary, status: http.StatusOK, in: inputOf(reflect.TypeFor[In]()), stream: contentType}
	r.serve = func(c *call) error {
		in := new(In)
		if err := r.in.decode(c, reflect.ValueOf(in).Elem()); err != nil {
			return err
		}
		return do(c.r.Context(), c, in)
	}
	return r
}

// with sets the status of success.
func (r *route) with(status int) *route {
	r.status = status
	return r
}

// open makes the operation one of whoever comes.
func (r *route) open() *route {
	r.public = true
	return r
}

// asks says what the SDK is asked for, as "resource:verb".
func (r *route) asks(resource string, verb appspan.Verb) *route {
	r.access = permission{resource, verb}
	return r
}

// answer writes what an operation gives.
func (c *call) answer(r *route, out any) error {
	status := r.status
	if c.status != 0 {
		status = c.status
	}
	if _, none := out.(empty); none {
		c.w.WriteHeader(status)
		return nil
	}
	data, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("answer of %s: %w", r.id, err)
	}
	return c.write(status, "application/json", append(data, '\n'))
}

// permission is what the SDK asks an Authorizer for.
type permission struct {
	resource string
	verb     appspan.Verb
}

// String is "resource:verb", as roles have it.
func (p permission) String() string {
	if p.resource == "" {
		return ""
	}
	return p.resource + ":" + string(p.verb)
}

// media are the content types of a body that is taken as it is.
func (r *route) media() []string {
	return []string{"application/yaml", "application/json", "application/octet-stream"}
}
