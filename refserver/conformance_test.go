package refserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/refserver"
)

// contract is the OpenAPI document as a judge of what is sent and answered. All
// servers of the tests have the same one.
type contract struct {
	document []byte
	validator.Validator
}

var contractOf = sync.OnceValues(func() (*contract, error) { return newContract(document) })

// document is that of the first server that is opened.
var document []byte

var documented sync.Once

func newContract(data []byte) (*contract, error) {
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	closed(tree)
	strict, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	doc, err := libopenapi.NewDocument(strict)
	if err != nil {
		return nil, err
	}
	v, faults := validator.NewValidator(doc, config.WithoutSecurityValidation(), config.WithFormatAssertions())
	if len(faults) > 0 {
		return nil, faults[0]
	}
	return &contract{data, v}, nil
}

// closed forbids, in all schemas, properties that they do not have: a server may
// get more of them one day, but has none yet.
func closed(node any) {
	switch n := node.(type) {
	case map[string]any:
		_, properties := n["properties"].(map[string]any)
		if _, open := n["additionalProperties"]; properties && !open {
			n["additionalProperties"] = false
		}
		for _, inner := range n {
			closed(inner)
		}
	case []any:
		for _, inner := range n {
			closed(inner)
		}
	}
}

// judged is a handler whose answers are compared with the document.
func judged(t *testing.T, s *refserver.Server, base string) http.Handler {
	if base != "" { // the document says where it is
		return s
	}
	documented.Do(func() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
		document = w.Body.Bytes()
	})
	c, err := contractOf()
	require.NoError(t, err)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/v1/") || r.Method == http.MethodOptions || r.Header.Get("Upgrade") != "" {
			s.ServeHTTP(w, r)
			return
		}
		var sent bytes.Buffer
		r.Body = readCloser{io.TeeReader(r.Body, &sent), r.Body}
		told := &told{ResponseWriter: w}
		s.ServeHTTP(told, r)
		for _, fault := range c.faults(r, sent.Bytes(), told) {
			t.Errorf("%s %s: %d: %s\n%s", r.Method, r.URL, told.status, fault, cut(told.body.String()))
		}
	})
}

type readCloser struct {
	io.Reader
	io.Closer
}

// told is what was answered.
type told struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *told) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *told) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *told) Write(data []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if strings.Contains(w.Header().Get("Content-Type"), "json") {
		w.body.Write(data)
	}
	return w.ResponseWriter.Write(data)
}

// faults is what the document does not allow of a request that was taken, or of
// an answer.
func (c *contract) faults(r *http.Request, sent []byte, w *told) (out []string) {
	if w.status == 0 { // the client went away
		return nil
	}
	request := func() *http.Request {
		again := r.Clone(r.Context())
		query := again.URL.Query()
		for name, values := range query { // what is empty was not given
			if query[name] = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(query[name]) == 0 {
				delete(query, name)
			}
		}
		again.URL.RawQuery = query.Encode()
		body := sent
		var v any
		if json.Unmarshal(sent, &v) == nil { // nor was what is null
			body, _ = json.Marshal(given(v))
		}
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return again
	}
	media, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if w.Header().Get("X-Request-Id") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		out = append(out, "headers of every answer are missing")
	}
	if w.status >= 400 && media != "application/problem+json" {
		return append(out, "an error that is no problem: "+media)
	}
	if w.status == http.StatusNotFound || w.status == http.StatusMethodNotAllowed {
		if bytes.Contains(w.body.Bytes(), []byte("nothing is at this path")) || w.status == http.StatusMethodNotAllowed {
			return out // no operation
		}
	}
	if w.status < 300 && w.Header().Get("Idempotency-Replayed") == "" { // that one was judged before
		if ok, faults := c.ValidateHttpRequestSync(request()); !ok {
			out = append(out, texts("the request", faults)...)
		}
	}
	if media == "text/event-stream" || media == "text/plain" {
		return out
	}
	resp := &http.Response{StatusCode: w.status, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.body.Bytes())), ContentLength: int64(w.body.Len()), Request: r}
	if ok, faults := c.ValidateHttpResponse(request(), resp); !ok {
		out = append(out, texts("the answer", faults)...)
	}
	return out
}

// given is a value without what is null.
func given(v any) any {
	switch n := v.(type) {
	case nil:
		return map[string]any{}
	case map[string]any:
		for name, inner := range n {
			if inner == nil {
				delete(n, name)
			} else {
				n[name] = given(inner)
			}
		}
	case []any:
		for i := range n {
			if n[i] != nil {
				n[i] = given(n[i])
			}
		}
	}
	return v
}

func texts(of string, faults []*errors.ValidationError) (out []string) {
	for _, f := range faults {
		text := fmt.Sprintf("%s: %s: %s", of, f.Message, f.Reason)
		for _, s := range f.SchemaValidationErrors {
			text += fmt.Sprintf("; %s %s", s.FieldPath, s.Reason)
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

func cut(text string) string { return text[:min(len(text), 2000)] }

func TestTheOpenAPIDocumentIsValid(t *testing.T) {
	t.Parallel()
	open(t, nil)
	c, err := contractOf()
	require.NoError(t, err)
	ok, faults := c.ValidateDocument()
	require.True(t, ok, texts("the document", faults))
}

func TestTheJudgeOfAnswersHasTeeth(t *testing.T) {
	t.Parallel()
	open(t, nil)
	c, err := contractOf()
	require.NoError(t, err)
	faults := func(method, path string, status int, media, body string) []string {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", media)
		w.Header().Set("X-Request-Id", "x")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		told := &told{ResponseWriter: w}
		told.WriteHeader(status)
		_, _ = told.Write([]byte(body))
		return c.faults(httptest.NewRequest(method, path, nil), nil, told)
	}
	const tokens, problem = "/api/v1/tokens", "application/problem+json"
	require.Empty(t, faults("GET", tokens, 200, "application/json", `{"items":[]}`))
	require.NotEmpty(t, faults("GET", tokens, 200, "application/json", `{"items":null}`), "a null array")
	require.NotEmpty(t, faults("GET", tokens, 200, "application/json", `{}`), "what is required")
	require.NotEmpty(t, faults("GET", tokens, 200, "application/json", `{"items":[],"more":1}`), "what the document does not have")
	require.NotEmpty(t, faults("GET", tokens, 200, "application/json", `{"items":[{"id":1}]}`), "another type")
	require.NotEmpty(t, faults("GET", tokens, 200, "text/html", `x`), "another content type")
	require.NotEmpty(t, faults("GET", tokens, 302, "application/json", `{}`), "another status")
	require.NotEmpty(t, faults("GET", tokens, 500, "application/json", `{}`), "an error that is no problem")
	require.NotEmpty(t, faults("GET", tokens, 500, problem, `{"status":"x"}`), "a problem of another shape")
}
