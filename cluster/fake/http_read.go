package fake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// output is the form of an answer that the client accepts.
type output struct {
	table   bool
	partial bool
	yaml    bool
	v2      bool // aggregated discovery
}

// negotiate takes the first form of an Accept header that can be served.
func negotiate(accept string) output {
	for _, part := range strings.Split(accept, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		switch {
		case media == "application/yaml":
			return output{yaml: true}
		case media != "application/json" && media != "*/*" && media != "application/*":
			continue
		case params["as"] == "Table" && params["v"] == "v1":
			return output{table: true}
		case strings.HasPrefix(params["as"], "PartialObjectMetadata") && params["v"] == "v1":
			return output{partial: true}
		case params["as"] == "APIGroupDiscoveryList" && params["v"] == "v2":
			return output{v2: true}
		case params["as"] == "":
			return output{}
		}
	}
	return output{}
}

func (o output) projection() driver.Projection {
	if o.partial {
		return driver.Metadata
	}
	return driver.Whole
}

// encode is a record as the client wants to see it alone.
func (x *exchange) encode(r *record) []byte {
	switch {
	case x.output.table:
		return mustJSON(tableOf(r.kind, []*record{r}, metav1.ListMeta{ResourceVersion: r.obj.GetResourceVersion()}, x.included()))
	case x.output.partial:
		return partial(r.json(driver.Metadata), r.obj)
	}
	return r.json(driver.Whole)
}

// partial is metadata as the real server sends it: with the type of
// PartialObjectMetadata and with managed fields.
func partial(_ []byte, obj object) []byte {
	m := partialOf(obj)
	m.TypeMeta = typeMeta("meta.k8s.io/v1", "PartialObjectMetadata")
	return mustJSON(m)
}

func (x *exchange) answerRecord(code int, r *record) error {
	x.write(code, x.encode(r))
	return nil
}

// included says how much of each object a table holds.
func (x *exchange) included() metav1.IncludeObjectPolicy {
	return metav1.IncludeObjectPolicy(x.r.URL.Query().Get("includeObject"))
}

func (x *exchange) selection() (selection, error) {
	query := x.r.URL.Query()
	sel, err := newSelection(x.target.kind, x.target.key.namespace, query.Get("labelSelector"), query.Get("fieldSelector"))
	return sel, err
}

// list answers a LIST.
func (x *exchange) list() error {
	query := x.r.URL.Query()
	sel, err := x.selection()
	if err != nil {
		return err
	}
	limit := 0
	if s := query.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 0 {
			return apierrors.NewBadRequest("invalid limit " + strconv.Quote(s))
		}
	}
	if err := x.checkRevision(query.Get("resourceVersion")); err != nil {
		return err
	}
	p, err := x.c.list(sel, limit, query.Get("continue"))
	if err != nil {
		return err
	}
	head := metav1.ListMeta{ResourceVersion: strconv.FormatUint(p.rev, 10), Continue: p.more}
	if p.more != "" && sel.labels == nil && sel.fields == nil {
		left := int64(p.remaining)
		head.RemainingItemCount = &left
	}
	if x.output.table {
		return x.answer(tableOf(x.target.kind, p.records, head, x.included()))
	}
	x.write(http.StatusOK, x.listJSON(p.records, head))
	return nil
}

// checkRevision refuses a revision that has not been yet.
func (x *exchange) checkRevision(s string) error {
	if s == "" || s == "0" {
		return nil
	}
	rev, err := parseRevision(s)
	if err != nil {
		return err
	}
	if current := x.c.store.revision(); rev > current {
		e := apierrors.NewTimeoutError("Too large resource version: "+s+", current: "+strconv.FormatUint(current, 10), 1)
		e.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
		return e
	}
	return nil
}

// listJSON puts a list together from what is encoded already. As in a real
// server, objects of built-in kinds do not repeat their kind in a list.
func (x *exchange) listJSON(records []*record, head metav1.ListMeta) []byte {
	k := x.target.kind
	var b bytes.Buffer
	kindName, apiVersion := k.gvk.Kind+"List", k.apiVersion()
	if x.output.partial {
		kindName, apiVersion = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	b.WriteString(`{"kind":` + strconv.Quote(kindName) + `,"apiVersion":` + strconv.Quote(apiVersion) + `,"metadata":`)
	b.Write(mustJSON(head))
	b.WriteString(`,"items":[`)
	prefix := []byte(`{"kind":` + strconv.Quote(k.gvk.Kind) + `,"apiVersion":` + strconv.Quote(k.apiVersion()) + `,`)
	for i, r := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		data := []byte(r.json(driver.Whole))
		if x.output.partial {
			data = partial(nil, r.obj)
		} else if rest, ok := bytes.CutPrefix(data, prefix); ok && !k.custom {
			b.WriteByte('{')
			data = rest
		}
		b.Write(data)
	}
	b.WriteString("]}\n")
	return b.Bytes()
}

// watch answers a WATCH until it ends.
func (x *exchange) watch(ctx context.Context) error {
	query := x.r.URL.Query()
	sel, err := x.selection()
	if err != nil {
		return err
	}
	bookmarks := query.Get("allowWatchBookmarks") == "true" || query.Get("allowWatchBookmarks") == "1"
	initial := query.Get("sendInitialEvents") == "true"
	if query.Has("sendInitialEvents") && query.Get("resourceVersionMatch") != string(metav1.ResourceVersionMatchNotOlderThan) {
		return apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", field.ErrorList{
			field.Forbidden(field.NewPath("resourceVersionMatch"), "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")})
	}
	if s := query.Get("timeoutSeconds"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return apierrors.NewBadRequest("invalid timeoutSeconds " + strconv.Quote(s))
		}
		if n > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, seconds(n))
			defer cancel()
		}
	}
	revision := query.Get("resourceVersion")
	if initial {
		revision = ""
	}
	w, err := x.c.openWatch(ctx, sel, x.output.projection(), revision, bookmarks)
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(x.w)
	_ = control.Flush()
	if err != nil { // as the watch cache of a real server: an event, not an answer
		x.watchError(err)
		return nil
	}
	defer w.Stop()
	x.stream(w, control, initial, revision == "" && !initial)
	return nil
}

// stream sends the events of a watch.
func (x *exchange) stream(w *watch, control *http.ResponseController, initial, plain bool) {
	for {
		if !w.pending() && control.Flush() != nil {
			return
		}
		e, err := w.next()
		if err != nil {
			var status *apierrors.StatusError
			if errors.As(err, &status) {
				x.watchError(err)
			}
			return
		}
		var data []byte
		switch {
		case e.record != nil:
			data = x.encodeEvent(e.record)
		case plain:
			plain = false // a real server marks the end of the state only when asked to
			continue
		default:
			data = x.bookmark(e.rev, initial)
			initial = false
		}
		_ = control.SetWriteDeadline(time.Now().Add(time.Minute)) // a client that stopped to read
		if _, err := x.w.Write(append(append([]byte(`{"type":"`+string(e.kind)+`","object":`), data...), "}\n"...)); err != nil {
			return
		}
	}
}

func (x *exchange) encodeEvent(r *record) []byte {
	if x.output.table {
		return mustJSON(tableOf(r.kind, []*record{r}, metav1.ListMeta{ResourceVersion: r.obj.GetResourceVersion()}, x.included()))
	}
	return x.encode(r)
}

// bookmark is an object that has only a revision; the first one after the
// initial events says so.
func (x *exchange) bookmark(rev uint64, end bool) []byte {
	k := x.target.kind
	m := &metav1.PartialObjectMetadata{TypeMeta: typeMeta(k.apiVersion(), k.gvk.Kind), ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.FormatUint(rev, 10)}}
	if x.output.partial {
		m.TypeMeta = typeMeta("meta.k8s.io/v1", "PartialObjectMetadata")
	}
	if end {
		m.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return mustJSON(m)
}

func (x *exchange) watchError(err error) {
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		return
	}
	s := status.Status()
	s.TypeMeta = typeMeta("v1", "Status")
	_, _ = io.WriteString(x.w, `{"type":"ERROR","object":`+string(mustJSON(s))+"}\n")
}
