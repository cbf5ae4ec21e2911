package deploy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/journal"
)

// accessOf is what one is asked for who reads or cancels an operation, and
// whether it is one of this installation.
func (d *Deployer) accessOf(op journal.Operation, verb appspan.Verb) (appspan.Access, bool) {
	return appspan.Access{Verb: verb, Resource: "application", Team: op.About["team"], Application: op.About["application"]},
		op.Kind == operationKind(d.opts.Installation)
}

// OperationAccess is what somebody must be allowed to hear of an operation of a
// journal: to read its application.
func (d *Deployer) OperationAccess(op journal.Operation) appspan.Access {
	access, _ := d.accessOf(op, appspan.VerbRead)
	return access
}

func (d *Deployer) journalled() (*journal.Journal, error) {
	if d.opts.Journal == nil {
		return nil, fmt.Errorf("operations: %w: this Deployer has no journal; set Options.Journal", appspan.ErrUnsupported)
	}
	return d.opts.Journal, nil
}

// Operations yields the applies of the installation that are written down, the
// oldest first: those that are not over, or all that are kept. Those of
// applications that the subject may not read are left out.
func (d *Deployer) Operations(ctx context.Context, over bool) iter.Seq2[journal.Operation, error] {
	return func(yield func(journal.Operation, error) bool) {
		j, err := d.journalled()
		if err != nil {
			yield(journal.Operation{}, err)
			return
		}
		for op, err := range j.List(ctx, over) {
			if err == nil {
				access, mine := d.accessOf(op, appspan.VerbRead)
				if !mine || appspan.Authorize(ctx, d.opts.Authorizer, d.subject, access) != nil {
					continue
				}
			}
			if !yield(op, err) || err != nil {
				return
			}
		}
	}
}

// Operation returns an apply that is written down. One whose application the
// subject may not read is appspan.ErrNotFound.
func (d *Deployer) Operation(ctx context.Context, id string) (journal.Operation, error) {
	none := fmt.Errorf("operation %q: %w", cut(printable(id), 100), appspan.ErrNotFound)
	j, err := d.journalled()
	if err != nil {
		return journal.Operation{}, err
	}
	if strings.ContainsAny(id, "/\x00") || id == "" {
		return journal.Operation{}, none
	}
	op, err := j.Get(ctx, id)
	if errors.Is(err, appspan.ErrInvalid) || errors.Is(err, appspan.ErrNotFound) {
		return journal.Operation{}, none
	}
	if err != nil {
		return journal.Operation{}, err
	}
	access, mine := d.accessOf(op, appspan.VerbRead)
	if err := appspan.Authorize(ctx, d.opts.Authorizer, d.subject, access); !mine || errors.Is(err, appspan.ErrDenied) {
		return journal.Operation{}, none
	} else if err != nil {
		return journal.Operation{}, err
	}
	return op, nil
}

// CancelOperation asks for an apply to end: see [journal.Journal.Cancel]. It takes
// what the apply took.
func (d *Deployer) CancelOperation(ctx context.Context, id string) error {
	op, err := d.Operation(ctx, id)
	if err != nil {
		return err
	}
	access, _ := d.accessOf(op, PlanKind(op.About["action"]).verb())
	if err := appspan.Authorize(ctx, d.opts.Authorizer, d.subject, access); err != nil {
		return err
	}
	return d.opts.Journal.Cancel(ctx, id)
}
