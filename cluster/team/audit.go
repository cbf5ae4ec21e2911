package team

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// AuditOptions shape an [Audit]. The zero value, like nil, is the default.
type AuditOptions struct {
	// Keep is how long entries are kept at least; default 400 days.
	Keep time.Duration
	// MaxEntries is how many are kept at most, the newest; default 20,000.
	MaxEntries int
	// PruneEvery is after how many entries of this process the log is pruned
	// by itself; default 1000, negative never: then call Prune.
	PruneEvery int
}

// Audit is a log of mutations in records, as an appspan.Auditor. It only ever
// adds entries, each a record of its own that is never changed, and ends those
// that are too old or too many. It is safe for concurrent use, also of several
// processes.
type Audit struct {
	records *storage.Records
	opts    AuditOptions
	written atomic.Int64
}

// NewAudit returns a log over records.
func NewAudit(records *storage.Records, opts *AuditOptions) *Audit {
	a := &Audit{records: records}
	if opts != nil {
		a.opts = *opts
	}
	if a.opts.Keep <= 0 {
		a.opts.Keep = 400 * 24 * time.Hour
	}
	if a.opts.MaxEntries <= 0 {
		a.opts.MaxEntries = 20_000
	}
	if a.opts.PruneEvery == 0 {
		a.opts.PruneEvery = 1000
	}
	return a
}

const (
	auditPrefix = "audit/"
	auditTime   = "2006-01-02T15:04:05.000000000Z" // sorts as text
	maxOutcome  = 2000                             // bytes of an outcome
	maxField    = 512                              // bytes of any other text
	maxGroups   = 50
)

type auditDoc struct {
	storage.Envelope
	appspan.AuditEntry
}

// Audit implements appspan.Auditor. Texts of an entry that are too long are
// cut; an entry without a time gets that of now.
func (a *Audit) Audit(ctx context.Context, e appspan.AuditEntry) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC()
	bound(&e)
	data, err := json.Marshal(auditDoc{storage.Envelope{Format: 1, MinReader: 1}, e})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if _, err := a.records.Put(ctx, auditKey(e.Time)+"-"+random(), data, ""); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if every := int64(a.opts.PruneEvery); every > 0 && a.written.Add(1)%every == 0 {
		if _, err := a.Prune(ctx); err != nil {
			return err
		}
	}
	return nil
}

// auditKey begins the keys of the entries of a time. Days are segments, so that
// ranges need not be searched from the beginning of the log.
func auditKey(at time.Time) string {
	return auditPrefix + strings.NewReplacer("T", "/T").Replace(at.UTC().Format(auditTime))
}

// random tells entries of one instant apart.
func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// bound cuts every text of an entry.
func bound(e *appspan.AuditEntry) {
	for _, s := range []*string{&e.Subject.ID, &e.Subject.Team, &e.Access.Resource, &e.Access.Team, &e.Access.Cluster,
		&e.Access.Namespace, &e.Access.Application, &e.PlanHash} {
		*s = cut(*s, maxField)
	}
	e.Access.Verb = appspan.Verb(cut(string(e.Access.Verb), maxField))
	e.Outcome = cut(e.Outcome, maxOutcome)
	groups := e.Subject.Groups
	e.Subject.Groups = nil
	for i := range min(len(groups), maxGroups) {
		e.Subject.Groups = append(e.Subject.Groups, cut(groups[i], maxField))
	}
}

// cut shortens a text at a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// AuditQuery selects entries. The zero value is all of them.
type AuditQuery struct {
	// From and Until bound the time: from From on, before Until.
	From, Until time.Time
	// Team, if any, is the team that was acted on or for.
	Team string
	// Subject, if any, is the ID of who acted.
	Subject string
}

func (q AuditQuery) selects(e appspan.AuditEntry) bool {
	return (q.Team == "" || e.Access.Team == q.Team || e.Subject.Team == q.Team) && (q.Subject == "" || e.Subject.ID == q.Subject) &&
		!e.Time.Before(q.From) && (q.Until.IsZero() || e.Time.Before(q.Until))
}

// Entries reads what was recorded, the oldest first. An error comes last. Whoever
// shows them to people asks for the permission "audit:read" of the team first.
func (a *Audit) Entries(ctx context.Context, q AuditQuery) iter.Seq2[appspan.AuditEntry, error] {
	return func(yield func(appspan.AuditEntry, error) bool) {
		for _, prefix := range q.prefixes(time.Now()) {
			for rec, err := range a.records.List(ctx, prefix) {
				var d auditDoc
				if err == nil {
					err = storage.Decode(rec.Value, 1, &d)
				}
				if err != nil {
					yield(appspan.AuditEntry{}, fmt.Errorf("audit: %w", err))
					return
				}
				if q.selects(d.AuditEntry) && !yield(d.AuditEntry, nil) {
					return
				}
			}
		}
	}
}

// prefixes are those of the keys in which a query's entries are: days, if they
// are few.
func (q AuditQuery) prefixes(now time.Time) []string {
	const day = 24 * time.Hour
	until := q.Until
	if until.IsZero() {
		until = now.Add(day) // others' clocks may be ahead
	}
	from := q.From.UTC().Truncate(day)
	if until.Sub(from) > 100*day {
		return []string{auditPrefix}
	}
	var out []string
	for at := from; !at.After(until); at = at.Add(day) {
		prefix, _, _ := strings.Cut(strings.TrimPrefix(auditKey(at), auditPrefix), "/")
		out = append(out, auditPrefix+prefix+"/")
	}
	return out
}

// Page reads up to limit entries, the newest first, and a cursor at which the
// next page goes on: empty at the end. before is the cursor of the page before,
// or empty. What is recorded meanwhile is on no later page. As of
// [Audit.Entries], whoever shows them asks for permission first.
func (a *Audit) Page(ctx context.Context, q AuditQuery, before string, limit int) (page []appspan.AuditEntry, next string, err error) {
	if limit < 1 || before != "" && !strings.HasPrefix(before, auditPrefix) {
		return nil, "", fmt.Errorf("audit: %w: a page has a limit of at least 1, here %d, and the cursor of a page before it, or none", appspan.ErrInvalid, limit)
	}
	var keys []string
	for _, prefix := range q.daysBack(time.Now()) {
		want := limit + 1 - len(page) // one more tells whether there is a next page
		if want <= 0 {
			break
		}
		var entries []appspan.AuditEntry
		var at []string
		for rec, err := range a.records.List(ctx, prefix) {
			var d auditDoc
			if err == nil {
				err = storage.Decode(rec.Value, 1, &d)
			}
			if err != nil {
				return nil, "", fmt.Errorf("audit: %w", err)
			}
			if before != "" && rec.Key >= before {
				break
			}
			if q.selects(d.AuditEntry) {
				entries, at = append(entries, d.AuditEntry), append(at, rec.Key)
			}
			if len(entries) > want {
				entries, at = entries[1:], at[1:]
			}
		}
		slices.Reverse(entries)
		slices.Reverse(at)
		page, keys = append(page, entries...), append(keys, at...)
		if before == "" || prefix < before {
			before = prefix
		}
	}
	if len(page) > limit {
		page, next = page[:limit], keys[limit-1]
	}
	return page, next, nil
}

// daysBack are the prefixes of a query's days, the last one first, and, where
// there are many, of all before the last thirty at once.
func (q AuditQuery) daysBack(now time.Time) []string {
	const day, most = 24 * time.Hour, 30
	if q.Until.IsZero() || q.Until.After(now.Add(day)) {
		q.Until = now.Add(day) // others' clocks may be ahead
	}
	recent := q
	if earliest := q.Until.Add(-most * day); q.From.Before(earliest) {
		recent.From = earliest
	}
	out := recent.prefixes(now)
	slices.Reverse(out)
	if !recent.From.Equal(q.From) {
		out = append(out, auditPrefix)
	}
	return out
}

// Export writes entries as JSON, one a line, the oldest first, and returns how
// many.
func (a *Audit) Export(ctx context.Context, w io.Writer, q AuditQuery) (int, error) {
	encoder, n := json.NewEncoder(w), 0
	for e, err := range a.Entries(ctx, q) {
		if err == nil {
			err = encoder.Encode(e)
		}
		if err != nil {
			return n, fmt.Errorf("export of the audit log: %w", err)
		}
		n++
	}
	return n, nil
}

// Prune ends entries that are older than Options.Keep, and of those that are
// more than MaxEntries the oldest, and returns how many.
func (a *Audit) Prune(ctx context.Context) (int, error) {
	type entry struct{ key, revision string }
	var all []entry
	for rec, err := range a.records.List(ctx, auditPrefix) {
		if err != nil {
			return 0, fmt.Errorf("audit: %w", err)
		}
		all = append(all, entry{rec.Key, rec.Revision})
	}
	oldest, n := auditKey(time.Now().Add(-a.opts.Keep)), 0
	for i, e := range all {
		if e.key >= oldest && len(all)-i <= a.opts.MaxEntries {
			break
		}
		err := a.records.Delete(ctx, e.key, e.revision)
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return n, fmt.Errorf("audit: %w", err)
		}
		n++
	}
	return n, nil
}
