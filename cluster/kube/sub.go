package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// GetSub implements driver.Subresourcer.
func (c *Cluster) GetSub(ctx context.Context, ref driver.Ref, sub string) (json.RawMessage, error) {
	return c.sub(ctx, ref, sub, request{method: http.MethodGet, safe: true})
}

// UpdateSub implements driver.Subresourcer.
func (c *Cluster) UpdateSub(ctx context.Context, ref driver.Ref, sub string, patch json.RawMessage) (json.RawMessage, error) {
	return c.sub(ctx, ref, sub, request{method: http.MethodPatch, body: patch, media: "application/merge-patch+json", safe: true})
}

// CreateSub implements driver.Subresourcer.
func (c *Cluster) CreateSub(ctx context.Context, ref driver.Ref, sub string, body json.RawMessage) (json.RawMessage, error) {
	return c.sub(ctx, ref, sub, request{method: http.MethodPost, body: body})
}

func (c *Cluster) sub(ctx context.Context, ref driver.Ref, sub string, r request) (data json.RawMessage, err error) {
	if sub == "" || sub == "." || sub == ".." {
		return nil, fmt.Errorf("%w: %q is no subresource", appspan.ErrInvalid, sub)
	}
	if r.path, err = c.object(ctx, ref, sub); err != nil {
		return nil, err
	}
	return c.do(ctx, r)
}

// Logs implements driver.LogStreamer.
func (c *Cluster) Logs(ctx context.Context, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error) {
	path, err := c.object(ctx, pod, "log")
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	set := func(key, value string, wanted bool) {
		if wanted {
			query.Set(key, value)
		}
	}
	set("container", opts.Container, opts.Container != "")
	set("follow", "true", opts.Follow)
	set("previous", "true", opts.Previous)
	set("timestamps", "true", opts.Timestamps)
	set("sinceTime", opts.SinceTime, opts.SinceTime != "")
	set("tailLines", strconv.FormatInt(opts.TailLines, 10), opts.TailLines > 0)
	set("limitBytes", strconv.FormatInt(opts.LimitBytes, 10), opts.LimitBytes > 0)
	ctx, cancel := c.bind(ctx)
	answer, err := c.send(ctx, request{method: http.MethodGet, path: path, query: query, accept: "text/plain, application/json, */*", safe: true})
	if err != nil {
		cancel()
		return nil, err
	}
	return &log{c: c, ctx: ctx, cancel: cancel, body: answer.Body}, nil
}

// log is an open log.
type log struct {
	c      *Cluster
	ctx    context.Context
	cancel context.CancelFunc
	body   io.ReadCloser
}

func (l *log) Read(p []byte) (int, error) {
	n, err := l.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = l.c.failed(l.ctx, err, true)
	}
	return n, err
}

func (l *log) Close() error {
	l.cancel()
	return l.body.Close()
}

// Usage implements driver.UsageReader, where the cluster serves
// metrics.k8s.io.
func (c *Cluster) Usage(ctx context.Context) ([]driver.Usage, error) {
	q := driver.Query{APIVersion: "metrics.k8s.io/v1beta1", Kind: "NodeMetrics"}
	return all(ctx, c, q, func(obj driver.Object) (driver.Usage, error) {
		var o struct {
			Timestamp time.Time         `json:"timestamp"`
			Usage     map[string]string `json:"usage"`
		}
		err := json.Unmarshal(obj.JSON, &o)
		return driver.Usage{Node: obj.Name, Used: o.Usage, Measured: o.Timestamp}, err
	})
}
