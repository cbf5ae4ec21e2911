package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const (
	maxList   = 512 << 20 // bytes of one page; 500 objects of 1 MiB fit
	maxAnswer = 32 << 20  // bytes of any other answer
	maxError  = 1 << 20   // bytes of one refusal
	maxGrow   = 4 << 20   // bytes that are made room for because a server announces them

	// patience bounds a call whose context has no deadline; a server gives up
	// after a minute.
	patience = 2 * time.Minute
)

const (
	acceptJSON     = "application/json"
	acceptMetaList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
	acceptMeta     = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
)

// request is one call of the API.
type request struct {
	method string
	path   string // escaped, from the root of the API
	query  url.Values
	accept string // empty: JSON
	body   []byte
	media  string // of the body; empty: JSON
	safe   bool   // sending it again after no answer does no harm
	most   int64  // bytes of the answer; zero: maxAnswer
}

// do sends a request within the window of calls, and returns the answer.
func (c *Cluster) do(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := c.bind(ctx)
	defer cancel()
	if _, limited := ctx.Deadline(); !limited {
		ctx, cancel = context.WithTimeoutCause(ctx, patience, errSilent)
		defer cancel()
	}
	t, err := c.limiter.acquire(ctx)
	if err != nil {
		return nil, c.failed(ctx, err, r.safe)
	}
	answer, err := c.send(ctx, r)
	if err != nil {
		t.done(overloaded(err))
		return nil, err
	}
	defer answer.Body.Close()
	data, err := readAll(answer, r.most)
	if err != nil {
		err = c.failed(ctx, err, r.safe)
		t.done(overloaded(err))
		return nil, err
	}
	t.done(succeeded)
	return data, nil
}

// overloaded is what an error says about the server's load.
func overloaded(err error) outcome {
	switch {
	case errors.Is(err, errOverload), errors.Is(err, context.DeadlineExceeded):
		return overload
	case errors.Is(err, appspan.ErrUnavailable), errors.Is(err, context.Canceled):
		return neutral
	}
	return succeeded // a refusal is work done
}

// bind makes a context end with the cluster too.
func (c *Cluster) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(driver.ErrClosed) })
	if c.ctx.Err() != nil {
		cancel(driver.ErrClosed)
	}
	return ctx, func() { stop(); cancel(nil) }
}

// send sends a request; every answer that is not a success is an error. The
// caller closes the body.
func (c *Cluster) send(ctx context.Context, r request) (*http.Response, error) {
	address := c.base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	q, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	q.Header.Set("Accept", orJSON(r.accept))
	if r.body != nil {
		q.Header.Set("Content-Type", orJSON(r.media))
	}
	answer, err := c.client.Do(q)
	if err != nil {
		return nil, c.failed(ctx, err, r.safe)
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return answer, nil
	}
	defer answer.Body.Close()
	if to := answer.Header.Get("Location"); answer.StatusCode < 400 && to != "" {
		return nil, fmt.Errorf("%w: the server redirects to %.200q, where the credentials must not go; connect to that address if you trust it", appspan.ErrInvalid, to)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	if err != nil { // half a refusal does not say which one it is
		return nil, c.failed(ctx, err, r.safe)
	}
	return nil, refusal(answer.StatusCode, answer.Header, data, r.safe)
}

func orJSON(media string) string {
	if media == "" {
		return acceptJSON
	}
	return media
}

// readAll reads a body of bounded size.
func readAll(answer *http.Response, most int64) ([]byte, error) {
	if most == 0 {
		most = maxAnswer
	}
	var buffer bytes.Buffer
	if n := answer.ContentLength; n > 0 {
		buffer.Grow(int(min(n, maxGrow)) + bytes.MinRead)
	}
	n, err := buffer.ReadFrom(io.LimitReader(answer.Body, most+1))
	if n > most {
		return nil, errTooLarge
	}
	return buffer.Bytes(), err
}

// The reasons that this package looks at itself.
var (
	errTooLarge = fmt.Errorf("%w: the answer is larger than %d MiB (of a list: %d MiB; ask for fewer objects with Query.Limit)", appspan.ErrExhausted, maxAnswer>>20, maxList>>20)
	errSilent   = errors.New("the server has not answered in time")
	errOverload = fmt.Errorf("%w: the server asks for fewer calls", appspan.ErrUnavailable)
)

// failed says why there is no answer. What was never sent may be sent again,
// and so may what is safe.
func (c *Cluster) failed(ctx context.Context, err error, safe bool) error {
	switch {
	case errors.Is(context.Cause(ctx), driver.ErrClosed), c.ctx.Err() != nil:
		return driver.ErrClosed
	case errors.Is(context.Cause(ctx), errSilent):
		err = errSilent
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errTooLarge):
		return err
	case errors.Is(err, errNear):
		return errNear
	}
	var dial *net.OpError
	unsent := errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &dial) && dial.Op == "dial"
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // the address is the cluster's, which the caller knows
	}
	err = fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	if safe || unsent {
		err = appspan.MarkRetryable(err, 0)
	}
	return err
}

// resource is the path of a kind, a namespace of it, or an object of it.
func (k kindPath) resource(namespace, name string, sub ...string) string {
	var b strings.Builder
	b.WriteString(k.root)
	if k.Namespaced && namespace != "" {
		b.WriteString("/namespaces/" + url.PathEscape(namespace))
	}
	b.WriteString("/" + k.Resource)
	if name != "" {
		b.WriteString("/" + url.PathEscape(name))
	}
	for _, s := range sub {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// object resolves the path of one object.
func (c *Cluster) object(ctx context.Context, ref driver.Ref, sub ...string) (string, error) {
	if ref.Name == "" || ref.Name == "." || ref.Name == ".." {
		return "", fmt.Errorf("%w: %q is no name of an object", appspan.ErrInvalid, ref.Name)
	}
	return c.path(ctx, ref, ref.Name, sub...)
}

// path resolves the path of an object, or of the collection that it is in.
func (c *Cluster) path(ctx context.Context, ref driver.Ref, name string, sub ...string) (string, error) {
	k, err := c.kind(ctx, ref.APIVersion, ref.Kind)
	if err != nil {
		return "", err
	}
	switch {
	case k.Namespaced && ref.Namespace == "":
		return "", fmt.Errorf("%w: a %s needs a namespace", appspan.ErrInvalid, ref.Kind)
	case !k.Namespaced && ref.Namespace != "":
		return "", fmt.Errorf("%w: a %s has no namespace, but %q is given", appspan.ErrInvalid, ref.Kind, ref.Namespace)
	case ref.Namespace == "." || ref.Namespace == "..":
		return "", fmt.Errorf("%w: %q is no name of a namespace", appspan.ErrInvalid, ref.Namespace)
	}
	return k.resource(ref.Namespace, name, sub...), nil
}
