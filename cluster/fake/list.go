package fake

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// token is what a continue token holds: the snapshot and where it goes on.
// Nothing is kept for it in the server: the snapshot is rebuilt from the
// history, and is expired once that does not reach back any more.
type token struct {
	Revision  uint64 `json:"rv"`
	Namespace string `json:"ns"`
	Name      string `json:"name"`
}

func (t token) encode() string {
	data, _ := json.Marshal(t)
	return base64.RawURLEncoding.EncodeToString(data)
}

func decodeToken(s string) (token, error) {
	var t token
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err != nil {
		return t, apierrors.NewBadRequest("continue key is not valid: " + err.Error())
	}
	return t, nil
}

// page is one page of records.
type page struct {
	records   []*record
	more      string // continue token
	remaining int
	rev       uint64
}

// list reads one page; limit 0 is everything.
func (c *Cluster) list(sel selection, limit int, more string) (page, error) {
	var records []*record
	var rev uint64
	if more == "" {
		records, rev = c.store.list(sel.kind, sel.namespace)
	} else {
		t, err := decodeToken(more)
		if err != nil {
			return page{}, err
		}
		var ok bool
		if records, ok = c.store.listAt(sel.kind, sel.namespace, t.Revision); !ok {
			return page{}, apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
				"You can start a new list without the continue parameter.")
		}
		rev = t.Revision
		i, found := slices.BinarySearchFunc(records, key{t.Namespace, t.Name}, func(r *record, k key) int { return compareKeys(r.key, k) })
		if found {
			i++
		}
		records = records[i:]
	}
	p := page{rev: rev}
	for i, r := range records {
		if !sel.matches(r) {
			continue
		}
		if limit > 0 && len(p.records) == limit {
			last := p.records[limit-1].key
			p.more = token{rev, last.namespace, last.name}.encode()
			p.remaining = len(records) - i
			break
		}
		p.records = append(p.records, r)
	}
	return p, nil
}

// parseRevision reads a resourceVersion that a client sent.
func parseRevision(s string) (uint64, error) {
	rev, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest("invalid resource version " + strconv.Quote(s))
	}
	return rev, nil
}
