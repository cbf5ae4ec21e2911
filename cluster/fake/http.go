package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// Handler serves the cluster as a Kubernetes API: discovery, objects with all
// verbs and patch types, watches, tables, scale, status, eviction, logs,
// tokens, access reviews, impersonation and bearer tokens. It does not listen
// by itself. Answers are JSON or YAML; exec and port-forward are not served.
func (c *Cluster) Handler() http.Handler { return handler{c} }

type handler struct{ c *Cluster }

// exchange is one HTTP request and its answer.
type exchange struct {
	c      *Cluster
	w      http.ResponseWriter
	r      *http.Request
	client client
	target target
	output output
}

// target is what a URL of an object names.
type target struct {
	kind *kind
	key  key
	sub  string
}

// ServeHTTP implements http.Handler.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{c: h.c, w: w, r: r, output: negotiate(r.Header.Get("Accept"))}
	w.Header().Set("Audit-Id", string(newUID()))
	w.Header().Set("Cache-Control", "no-cache, private")
	id, err := h.c.authenticate(r)
	if err != nil {
		x.fail(err)
		return
	}
	x.client = client{h.c, id}
	if err := x.route(strings.Split(strings.Trim(r.URL.Path, "/"), "/")); err != nil {
		x.fail(err)
	}
}

// authenticate finds out who calls: the administrator, the account of a token
// that was issued, or whom the administrator impersonates.
func (c *Cluster) authenticate(r *http.Request) (*driver.Identity, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var id *driver.Identity
	switch {
	case strings.HasPrefix(token, tokenPrefix):
		if id = c.tokenIdentity(token); id == nil {
			return nil, apierrors.NewUnauthorized("Unauthorized")
		}
	case c.opts.Token != "" && token != c.opts.Token:
		return nil, apierrors.NewUnauthorized("Unauthorized")
	}
	user := r.Header.Get("Impersonate-User")
	if user == "" {
		if len(r.Header.Values("Impersonate-Group")) > 0 {
			return nil, apierrors.NewBadRequest("requested impersonating groups without impersonating a user")
		}
		return id, nil
	}
	if id != nil {
		return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "users"}, user, fmt.Errorf("User %q cannot impersonate resource \"users\" in API group \"\" at the cluster scope", id.User))
	}
	groups := slices.Clone(r.Header.Values("Impersonate-Group"))
	return &driver.Identity{User: user, Groups: append(groups, "system:authenticated")}, nil
}

// route serves what a path names.
func (x *exchange) route(path []string) error {
	switch {
	case x.c.ctx.Err() != nil:
		return apierrors.NewServiceUnavailable("the server is shutting down")
	case path[0] == "healthz" || path[0] == "livez" || path[0] == "readyz":
		_, _ = io.WriteString(x.w, "ok")
		return nil
	case path[0] == "version":
		return x.answer(x.c.version())
	case path[0] == "openapi":
		return x.openapi(path)
	case path[0] == "api" && len(path) <= 2, path[0] == "apis" && len(path) <= 3:
		return x.discovery(path)
	case path[0] == "api":
		return x.resource(schema.GroupVersion{Version: path[1]}, path[2:])
	case path[0] == "apis":
		return x.resource(schema.GroupVersion{Group: path[1], Version: path[2]}, path[3:])
	}
	return noSuchPath()
}

func noSuchPath() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 404, Reason: metav1.StatusReasonNotFound, Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
	}}
}

// resource serves a path below a group and version.
func (x *exchange) resource(gv schema.GroupVersion, path []string) error {
	if review(gv, path) {
		return x.review(path[len(path)-1])
	}
	var t target
	if len(path) >= 3 && path[0] == "namespaces" && x.c.kinds.forResource(gv.WithResource(path[2])) != nil {
		t.key.namespace = path[1]
		path = path[2:]
	}
	t.kind = x.c.kinds.forResource(gv.WithResource(path[0]))
	if t.kind == nil || t.key.namespace != "" && !t.kind.namespaced || len(path) > 3 {
		return noSuchPath()
	}
	if len(path) > 1 {
		t.key.name = path[1]
	}
	if len(path) > 2 {
		t.sub = path[2]
	}
	if t.kind.namespaced && t.key.namespace == "" && t.key.name != "" {
		return noSuchPath()
	}
	x.target = t
	verb := x.verb()
	if verb == "" {
		return methodNotAllowed()
	}
	ctx := x.r.Context()
	done, err := x.client.begin(ctx, access{verb: verb, kind: t.kind, key: t.key, sub: t.sub, manager: x.manager()})
	if err != nil {
		return x.refused(err, t)
	}
	err = x.serve(ctx, verb)
	counted := err
	done(&counted)
	return err
}

// refused gives the HTTP answer to a call that begin refused: it has errors
// in a driver's terms.
func (x *exchange) refused(err error, t target) error {
	if errors.Is(err, driver.ErrClosed) || x.r.Context().Err() != nil {
		return apierrors.NewServiceUnavailable(err.Error())
	}
	if forbidden := x.c.authorize(x.client.id, access{verb: x.verb(), kind: t.kind, key: t.key, sub: t.sub}); forbidden != nil {
		return forbidden
	}
	return apierrors.NewInternalError(err)
}

func methodNotAllowed() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 405, Reason: metav1.StatusReasonMethodNotAllowed, Message: "the server does not allow this method on the requested resource",
	}}
}

// verb is the API server's verb for the request.
func (x *exchange) verb() string {
	named := x.target.key.name != ""
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		watching := x.r.URL.Query().Get("watch")
		switch {
		case named:
			return "get"
		case watching == "true" || watching == "1":
			return "watch"
		}
		return "list"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		if named {
			return "update"
		}
	case http.MethodPatch:
		if named {
			return "patch"
		}
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "deletecollection"
	}
	return ""
}

// serve answers a request that was admitted.
func (x *exchange) serve(ctx context.Context, verb string) error {
	t := x.target
	if t.sub != "" && t.sub != "status" {
		return x.subresource(ctx, verb)
	}
	switch verb {
	case "get":
		r := x.c.store.get(t.kind, t.key)
		if r == nil {
			return apierrors.NewNotFound(t.kind.groupResource(), t.key.name)
		}
		return x.answerRecord(http.StatusOK, r)
	case "list":
		return x.list()
	case "watch":
		return x.watch(ctx)
	case "create":
		if t.key.name != "" {
			return methodNotAllowed()
		}
		return x.create()
	case "update", "patch":
		return x.change(ctx, verb)
	case "delete":
		return x.remove(ctx)
	case "deletecollection":
		return x.removeAll(ctx)
	}
	return methodNotAllowed()
}

// manager is the field manager of a request: as named, or what the user agent
// begins with.
func (x *exchange) manager() string {
	if m := x.r.URL.Query().Get("fieldManager"); m != "" {
		return m
	}
	agent, _, _ := strings.Cut(x.r.UserAgent(), "/")
	return agent[:min(len(agent), 128)]
}

// request is the write that the exchange asks for.
func (x *exchange) request(size int) (request, error) {
	q := request{kind: x.target.kind, key: x.target.key, sub: x.target.sub, manager: x.manager(), size: size, user: x.client.id, warn: x.warn}
	for _, dry := range x.r.URL.Query()["dryRun"] {
		if dry != metav1.DryRunAll && dry != "" {
			return q, apierrors.NewBadRequest(fmt.Sprintf("invalid dryRun %q: supported values: \"All\"", dry))
		}
		q.dryRun = q.dryRun || dry != ""
	}
	return q, nil
}

func (x *exchange) warn(text string) {
	x.w.Header().Add("Warning", fmt.Sprintf("299 - %s", strconv.Quote(text)))
}

func (x *exchange) strictness() strictness { return strictness(x.r.URL.Query().Get("fieldValidation")) }

// body reads the request's body, as JSON.
func (x *exchange) body() ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(x.r.Body, maxBody+1))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if len(data) > maxBody {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	media, _, _ := strings.Cut(x.r.Header.Get("Content-Type"), ";")
	switch media {
	case "application/yaml", "application/apply-patch+yaml":
		if first := strings.TrimLeft(string(data[:min(len(data), 64)]), " \t\r\n"); !strings.HasPrefix(first, "{") && len(data) > 0 {
			if data, err = yaml.YAMLToJSONStrict(data); err != nil {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
			}
		}
	case runtime.ContentTypeProtobuf: // typed clients of kubectl send it
		obj, _, err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Decode(data, nil, nil)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return json.Marshal(obj)
	case runtime.ContentTypeCBOR:
		return nil, unsupportedMedia()
	}
	return data, nil
}

// fail answers with a Status.
func (x *exchange) fail(err error) {
	var status *apierrors.StatusError
	s := metav1.Status{Status: metav1.StatusFailure, Code: 500, Reason: metav1.StatusReasonUnknown, Message: err.Error()}
	if errors.As(err, &status) {
		s = status.Status()
	}
	s.TypeMeta = typeMeta("v1", "Status")
	if s.Status == "" {
		s.Status = metav1.StatusFailure
	}
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(s.Details.RetryAfterSeconds)))
	}
	x.write(int(s.Code), mustJSON(s))
}

// answer sends a value.
func (x *exchange) answer(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	x.write(http.StatusOK, data)
	return nil
}

func (x *exchange) write(code int, data []byte) {
	if x.output.yaml {
		if out, err := yaml.JSONToYAML(data); err == nil {
			x.w.Header().Set("Content-Type", "application/yaml")
			x.w.WriteHeader(code)
			_, _ = x.w.Write(out)
			return
		}
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(code)
	_, _ = x.w.Write(data)
}
