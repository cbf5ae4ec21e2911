package fake

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// create answers a POST to a collection.
func (x *exchange) create() error {
	data, err := x.body()
	if err != nil {
		return err
	}
	q, err := x.request(len(data))
	if err != nil {
		return err
	}
	obj, found, err := decode(q.kind, data)
	if err != nil {
		return err
	}
	if err := x.strictness().check(q, found); err != nil {
		return err
	}
	if ns := obj.GetNamespace(); ns != "" && ns != q.key.namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	r, err := x.c.create(q, obj)
	if err != nil {
		return err
	}
	return x.answerRecord(http.StatusCreated, r)
}

// change answers a PUT or a PATCH of an object or its status.
func (x *exchange) change(ctx context.Context, verb string) error {
	data, err := x.body()
	if err != nil {
		return err
	}
	q, err := x.request(len(data))
	if err != nil {
		return err
	}
	if q.sub == "status" && !q.kind.status {
		return noSuchPath()
	}
	if verb == "update" {
		obj, found, err := decode(q.kind, data)
		if err != nil {
			return err
		}
		if err := x.strictness().check(q, found); err != nil {
			return err
		}
		r, err := x.c.replaceWith(ctx, q, obj)
		if err != nil {
			return err
		}
		return x.answerRecord(http.StatusOK, r)
	}
	kind := x.patchType()
	if kind == types.ApplyPatchType {
		q.manager = x.r.URL.Query().Get("fieldManager")
		r, created, err := x.c.apply(ctx, q, data, x.r.URL.Query().Get("force") == "true")
		if err != nil {
			return err
		}
		code := http.StatusOK
		if created {
			code = http.StatusCreated
		}
		return x.answerRecord(code, r)
	}
	r, err := x.c.patch(ctx, q, kind, data, x.strictness())
	if err != nil {
		return err
	}
	return x.answerRecord(http.StatusOK, r)
}

func (x *exchange) patchType() types.PatchType {
	media, _, _ := strings.Cut(x.r.Header.Get("Content-Type"), ";")
	return types.PatchType(strings.TrimSpace(media))
}

// deleteOptions come in the body or in the query.
func (x *exchange) deleteOptions() (metav1.DeleteOptions, error) {
	var opts metav1.DeleteOptions
	data, err := x.body()
	if err != nil {
		return opts, err
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &opts); err != nil {
			return opts, apierrors.NewBadRequest(err.Error())
		}
	}
	query := x.r.URL.Query()
	if p := metav1.DeletionPropagation(query.Get("propagationPolicy")); p != "" {
		opts.PropagationPolicy = &p
	}
	if s := query.Get("gracePeriodSeconds"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return opts, apierrors.NewBadRequest(err.Error())
		}
		opts.GracePeriodSeconds = &n
	}
	if p := opts.PropagationPolicy; p != nil && *p != metav1.DeletePropagationBackground && *p != metav1.DeletePropagationForeground && *p != metav1.DeletePropagationOrphan {
		return opts, apierrors.NewBadRequest(fmt.Sprintf("invalid propagationPolicy %q", *p))
	}
	return opts, nil
}

// remove answers a DELETE of one object.
func (x *exchange) remove(ctx context.Context) error {
	opts, err := x.deleteOptions()
	if err != nil {
		return err
	}
	q, err := x.request(0)
	if err != nil {
		return err
	}
	q.dryRun = q.dryRun || len(opts.DryRun) > 0
	r, err := x.c.remove(ctx, q, opts)
	if err != nil {
		return err
	}
	if x.c.store.get(q.kind, q.key) != nil && !q.dryRun {
		return x.answerRecord(http.StatusOK, r)
	}
	s := success(http.StatusOK)
	s.Code = 0
	s.Details = &metav1.StatusDetails{Name: q.key.name, Group: q.kind.gvk.Group, Kind: q.kind.resource, UID: r.obj.GetUID()}
	return x.answer(s)
}

// removeAll answers a DELETE of a collection.
func (x *exchange) removeAll(ctx context.Context) error {
	opts, err := x.deleteOptions()
	if err != nil {
		return err
	}
	sel, err := x.selection()
	if err != nil {
		return err
	}
	q, err := x.request(0)
	if err != nil {
		return err
	}
	q.dryRun = q.dryRun || len(opts.DryRun) > 0
	p, err := x.c.list(sel, 0, "")
	if err != nil {
		return err
	}
	for _, r := range p.records {
		q.key = r.key
		if _, err := x.c.remove(ctx, q, opts); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	x.write(http.StatusOK, x.listJSON(p.records, metav1.ListMeta{ResourceVersion: strconv.FormatUint(p.rev, 10)}))
	return nil
}

// subresource answers for scale, eviction, token, log and finalize.
func (x *exchange) subresource(ctx context.Context, verb string) error {
	if x.target.sub == "log" && x.target.kind.is("Pod") && verb == "get" {
		return x.log(ctx)
	}
	data, err := x.body()
	if err != nil {
		return err
	}
	q, err := x.request(len(data))
	if err != nil {
		return err
	}
	code := http.StatusOK
	var out json.RawMessage
	switch verb {
	case "get":
		out, err = x.c.getSub(q)
	case "create":
		code = http.StatusCreated
		out, err = x.c.createSub(ctx, q, data)
	case "patch":
		out, err = x.c.patchSub(ctx, q, x.patchType(), data, x.strictness())
	case "update":
		switch {
		case q.sub == "scale" && q.kind.scale:
			out, err = x.c.putScale(q, data)
		default:
			return noSuchPath()
		}
	default:
		return methodNotAllowed()
	}
	if err != nil {
		return err
	}
	x.write(code, out)
	return nil
}

// log streams a container's log.
func (x *exchange) log(ctx context.Context) error {
	query := x.r.URL.Query()
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(query.Get(name), 10, 64)
		return n
	}
	opts := driver.LogOptions{
		Container: query.Get("container"), Follow: query.Get("follow") == "true", Previous: query.Get("previous") == "true",
		Timestamps: query.Get("timestamps") == "true", SinceTime: query.Get("sinceTime"), TailLines: number("tailLines"), LimitBytes: number("limitBytes"),
	}
	stream, err := x.c.openLog(ctx, x.target.kind, x.target.key, opts)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	x.w.Header().Set("Content-Type", "text/plain")
	control := http.NewResponseController(x.w)
	buf := make([]byte, 4096)
	for {
		n, err := stream.Read(buf)
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return nil
			}
			_ = control.Flush()
		}
		if err == io.EOF || err != nil {
			return nil
		}
	}
}
