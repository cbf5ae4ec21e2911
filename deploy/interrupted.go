package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/status"
)

// A record says that a change was begun, and not whether the process that
// began it lives. What can be known is which applies are under way in this
// process, and which operations of the journal are not over: those go on.
// Another process without the journal may be at work too; that is why nothing
// but a cause comes of it, which says what is known.

// enter notes that an apply is under way at a place, until leave is called.
func (l *localRuns) enter(at place) (leave func()) {
	add := func(n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.at[at] += n; l.at[at] == 0 {
			delete(l.at, at)
		}
	}
	add(1)
	return func() { add(-1) }
}

// underWay reports whether an apply at a place is known to go on.
func (d *Deployer) underWay(ctx context.Context, at place) (bool, error) {
	d.local.mu.Lock()
	here := d.local.at[at] > 0
	d.local.mu.Unlock()
	if here || d.opts.Journal == nil {
		return here, nil
	}
	for op, err := range d.opts.Journal.List(ctx, false) {
		if err != nil {
			return false, err
		}
		if op.Kind == operationKind(d.opts.Installation) && op.About["application"] == at.application && op.About["namespace"] == at.namespace &&
			slices.Contains(strings.Split(op.About["clusters"], ","), at.cluster) {
			return true, nil
		}
	}
	return false, nil
}

// unended is what a record says of a change that has not ended.
func (r *record) unended() *status.Cause {
	if r.Removing {
		return &status.Cause{Reason: status.Interrupted, Message: "its removal was begun and has not ended, and nothing is known to go on with it", Next: "remove it again"}
	}
	last := r.newest()
	if last == nil || last.State != ReleaseApplying {
		return nil
	}
	text := fmt.Sprintf("release %d was begun and has not ended, and nothing is known to go on with it", last.Revision)
	if last.Subject != "" {
		text += "; it is by " + last.Subject
	}
	return &status.Cause{Reason: status.Interrupted, Message: cut(text, maxCause), Since: last.Started, Next: "deploy it again, or roll it back"}
}

// maxCause bounds the message of a cause, in bytes.
const maxCause = 300

// interrupted is the change that was begun and that nobody goes on with, or
// nil. Where the journal cannot be read, that is not known.
func (d *Deployer) interrupted(ctx context.Context, c *cluster.Cluster, s scope, r *record) (*status.Cause, error) {
	cause := r.unended()
	if cause == nil {
		return nil, nil
	}
	if goesOn, err := d.underWay(ctx, place{c.Name(), s.namespace, s.application}); goesOn || err != nil {
		return nil, nil
	}
	parent, err := c.Get(ctx, s.parentRef()) // it may have ended just now
	if errors.Is(err, appspan.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	st, err := d.openState(s, parent)
	if err != nil || st.record.unended() == nil {
		return nil, err
	}
	return cause, nil
}

// ending is the cause that a namespace is being deleted, if it is.
func ending(ctx context.Context, c *cluster.Cluster, namespace string) ([]status.Cause, error) {
	obj, err := c.Get(ctx, driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: namespace})
	if errors.Is(err, appspan.ErrNotFound) || errors.Is(err, appspan.ErrDenied) {
		return nil, nil
	}
	if err != nil || !obj.Deleting {
		return nil, err
	}
	var ns struct {
		Metadata struct {
			DeletionTimestamp time.Time `json:"deletionTimestamp"`
		} `json:"metadata"`
		Status struct {
			Conditions []struct{ Type, Status, Message string } `json:"conditions"`
		} `json:"status"`
	}
	_ = json.Unmarshal(obj.JSON, &ns) // what it says besides
	text := "namespace " + namespace + " is being deleted, and everything in it"
	for _, held := range ns.Status.Conditions {
		if held.Status == "True" && held.Message != "" {
			text += "; " + held.Message
		}
	}
	return []status.Cause{{Reason: status.NamespaceEnding, Message: cut(printable(text), maxCause), Object: obj.String(), Since: ns.Metadata.DeletionTimestamp.UTC(),
		Next: "wait until it is gone, then deploy again, or use another namespace"}}, nil
}
