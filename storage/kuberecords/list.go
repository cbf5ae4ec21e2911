package kuberecords

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
	cluster "github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage/driver"
)

const (
	pageBytes = 16 << 20 // of keys and values that a List returns, and one record
	listPage  = 100      // Secrets a page of the hub
)

// List implements driver.Records. A server cannot order by key, nor find a
// prefix: each call reads every Secret of the store, and keeps the first
// records that were asked for.
func (r *Records) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	inside, leave, err := r.enter(ctx)
	if err != nil {
		return driver.Page{}, err
	}
	defer leave()
	for attempt := 0; ; attempt++ {
		page, err := r.list(inside, q)
		if err == nil || !errors.Is(err, appspan.ErrPrecondition) || attempt == 3 {
			return page, r.failed(err)
		} // the token was too old: begin again
	}
}

func (r *Records) list(ctx context.Context, q driver.Query) (driver.Page, error) {
	var out driver.Page
	hubQuery := cluster.Query{APIVersion: "v1", Kind: "Secret", Namespace: r.opts.Namespace, Labels: r.selector, Projection: cluster.Trimmed, Limit: listPage}
	for {
		secrets, err := r.hub.List(ctx, hubQuery)
		if err != nil {
			return driver.Page{}, err
		}
		if hubQuery.Continue == "" {
			if out.Position, err = r.position(ctx, secrets.Revision); err != nil {
				return driver.Page{}, err
			}
		}
		for _, obj := range secrets.Items {
			rec, err := r.decode(obj)
			if err != nil {
				return driver.Page{}, err
			}
			if rec.Key > q.After && strings.HasPrefix(rec.Key, q.Prefix) {
				out.Records = append(out.Records, rec)
			}
		}
		trim(&out, q.Limit)
		if secrets.Continue == "" {
			return out, nil
		}
		hubQuery.Continue = secrets.Continue
	}
}

// trim orders what was found and leaves the first records, as many as a page
// has. What is cut once never comes before what stays.
func trim(page *driver.Page, limit int) {
	slices.SortFunc(page.Records, func(a, b driver.Record) int { return strings.Compare(a.Key, b.Key) })
	size := 0
	for i, rec := range page.Records {
		if limit > 0 && i == limit || size > pageBytes {
			clear(page.Records[i:])
			page.Records, page.More = page.Records[:i], true
			return
		}
		size += len(rec.Key) + len(rec.Value)
	}
}
