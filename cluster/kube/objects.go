package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const pageSize = 500

// Get implements driver.Cluster.
func (c *Cluster) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	path, err := c.object(ctx, ref)
	if err != nil {
		return driver.Object{}, err
	}
	data, err := c.do(ctx, request{method: http.MethodGet, path: path, safe: true})
	if err != nil {
		return driver.Object{}, c.forget(ref, err)
	}
	return parse(data, ref.APIVersion, ref.Kind, driver.Whole)
}

// List implements driver.Cluster.
func (c *Cluster) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	path, query, err := c.selection(ctx, q)
	if err != nil {
		return driver.Page{}, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = pageSize
	}
	query.Set("limit", strconv.Itoa(limit))
	if q.Continue != "" {
		query.Set("continue", q.Continue)
	}
	r := request{method: http.MethodGet, path: path, query: query, safe: true, most: maxList}
	if q.Projection == driver.Metadata {
		r.accept = acceptMetaList
	}
	data, err := c.do(ctx, r)
	if err != nil {
		return driver.Page{}, c.forget(driver.Ref{APIVersion: q.APIVersion, Kind: q.Kind}, err)
	}
	return parseList(data, q)
}

// selection is the path and the parameters of what a query selects.
func (c *Cluster) selection(ctx context.Context, q driver.Query) (string, url.Values, error) {
	k, err := c.kind(ctx, q.APIVersion, q.Kind)
	if err != nil {
		return "", nil, err
	}
	if !k.Namespaced && q.Namespace != "" || q.Namespace == "." || q.Namespace == ".." {
		return "", nil, fmt.Errorf("%w: a %s is not in a namespace %q", appspan.ErrInvalid, q.Kind, q.Namespace)
	}
	query := url.Values{}
	if q.Labels != "" {
		query.Set("labelSelector", q.Labels)
	}
	if q.Fields != "" {
		query.Set("fieldSelector", q.Fields)
	}
	return k.resource(q.Namespace, ""), query, nil
}

// Delete implements driver.Cluster.
func (c *Cluster) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) error {
	path, err := c.object(ctx, ref)
	if err != nil {
		return err
	}
	type preconditions struct {
		UID      string `json:"uid,omitempty"`
		Revision string `json:"resourceVersion,omitempty"`
	}
	body := struct {
		APIVersion    string         `json:"apiVersion"`
		Kind          string         `json:"kind"`
		Preconditions *preconditions `json:"preconditions,omitempty"`
		Propagation   string         `json:"propagationPolicy"`
		DryRun        []string       `json:"dryRun,omitempty"`
	}{APIVersion: "v1", Kind: "DeleteOptions", Propagation: "Background"}
	if opts.UID != "" || opts.Revision != "" {
		body.Preconditions = &preconditions{opts.UID, opts.Revision}
	}
	if opts.Propagation != driver.Background {
		body.Propagation = string(opts.Propagation)
	}
	if opts.DryRun {
		body.DryRun = []string{"All"}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	_, err = c.do(ctx, request{method: http.MethodDelete, path: path, body: data, safe: opts.UID != ""})
	return c.forget(ref, err)
}

// forget drops what is known of a kind that turns out not to be served any
// more.
func (c *Cluster) forget(ref driver.Ref, err error) error {
	if errors.Is(err, appspan.ErrUnsupported) {
		c.kinds.learn(ref.APIVersion, nil)
	}
	return err
}
