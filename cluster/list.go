package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const (
	maxRestarts   = 3       // of a list whose continue tokens expire
	maxRemembered = 200_000 // objects that a list or a watch remembers
)

// List reads what q selects, page after page (q.Limit objects at a time). An
// error comes last. The sequence is read once.
//
// A list of several pages is a view of one moment, unless it takes so long
// that its continue token expires: then it begins again and leaves out what
// it has yielded, up to three times; an object that changed meanwhile has been
// seen in its old state.
func (c *Cluster) List(ctx context.Context, q Query) iter.Seq2[Object, error] {
	ref := Ref{APIVersion: q.APIVersion, Kind: q.Kind, Namespace: q.Namespace}
	return once(func(yield func(Object, error) bool) {
		fail := func(err error) { yield(Object{}, c.wrap("list", ref, err)) }
		given, seen, restarts, yielded := q.Continue != "", map[string]struct{}{}, 0, 0
		for {
			page, err := c.page(ctx, q)
			expired := errors.Is(err, appspan.ErrPrecondition) && q.Continue != "" && !given
			switch {
			case expired && restarts < maxRestarts && yielded <= maxRemembered:
				restarts++
				q.Continue = ""
				continue
			case err != nil:
				fail(err)
				return
			}
			for _, obj := range page.Items {
				if _, repeated := seen[identity(obj)]; repeated {
					continue
				}
				if (page.Continue != "" || restarts > 0) && len(seen) <= maxRemembered {
					seen[identity(obj)] = struct{}{}
				}
				yielded++
				if !yield(obj, nil) {
					return
				}
			}
			if page.Continue == "" {
				return
			}
			q.Continue = page.Continue
		}
	})
}

// page reads one page.
func (c *Cluster) page(ctx context.Context, q Query) (driver.Page, error) {
	var page driver.Page
	err := c.call(ctx, true, func(ctx context.Context) (err error) {
		page, err = c.driver.List(ctx, q)
		return err
	})
	if err == nil && page.Continue != "" && page.Continue == q.Continue {
		err = fmt.Errorf("%w: the server repeats a continue token", appspan.ErrUnavailable)
	}
	return page, err
}

// identity is by what an object is known: its UID, or its name where a server
// gives none.
func identity(obj Object) string {
	if obj.UID != "" {
		return obj.UID
	}
	return obj.Namespace + "/" + obj.Name
}

// once makes a sequence fail when it is read again.
func once[T any](seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	used := false
	return func(yield func(T, error) bool) {
		if used {
			var none T
			yield(none, fmt.Errorf("%w: the sequence was read already; call again for another one", appspan.ErrInvalid))
			return
		}
		used = true
		seq(yield)
	}
}
