package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Finding is how an application was last found on a cluster.
type Finding struct {
	Cluster string `json:"cluster"`
	// Checked is when it was looked at, Next when it is looked at again at the
	// latest.
	Checked time.Time `json:"checked"`
	Next    time.Time `json:"next"`
	// Failures is how often in a row that came to nothing.
	Failures int `json:"failures,omitempty"`
	// Revision is the release that was compared with.
	Revision int `json:"revision,omitempty"`
	// Items are what is drift, Yielded what the policy lets be; together at most
	// 100, with values of at most 512 bytes. More is how many there are beside.
	Items   []DriftItem `json:"items,omitempty"`
	Yielded []DriftItem `json:"yielded,omitempty"`
	More    int         `json:"more,omitempty"`
	Fights  []Fight     `json:"fights,omitempty"`
	// Digest is another when what was found is, More included.
	Digest string `json:"digest,omitempty"`
	// Left, Unknown, LastAnswer and Error are as in ClusterDrift.
	Left       string    `json:"left,omitempty"`
	Unknown    bool      `json:"unknown,omitempty"`
	LastAnswer time.Time `json:"lastAnswer,omitzero"`
	Error      string    `json:"error,omitempty"`
	// History is what was news, the newest last: at most 50.
	History []Found `json:"history,omitempty"`
}

// Found is what was news at one time.
type Found struct {
	At time.Time `json:"at"`
	// Items are what was found then and not before; at most 20, and More is
	// how many there were beside.
	Items []DriftItem `json:"items,omitempty"`
	More  int         `json:"more,omitempty"`
	// Healed is how many of them were healed, Outcome how that ended, and
	// Revision the release that it made.
	Healed   int     `json:"healed,omitempty"`
	Outcome  Outcome `json:"outcome,omitempty"`
	Revision int     `json:"revision,omitempty"`
	// Error is why it could not be looked at, or healed.
	Error string `json:"error,omitempty"`
}

// String is what was found, on one line.
func (f Found) String() string {
	var parts []string
	for _, i := range f.Items {
		parts = append(parts, i.String())
	}
	if f.More > 0 {
		parts = append(parts, fmt.Sprintf("%d more", f.More))
	}
	if f.Healed > 0 {
		parts = append(parts, fmt.Sprintf("%d healed: %s, release %d", f.Healed, f.Outcome, f.Revision))
	}
	if f.Error != "" {
		parts = append(parts, f.Error)
	}
	if len(parts) == 0 {
		return "as released"
	}
	return strings.Join(parts, "; ")
}

const (
	maxFound   = 100
	maxNews    = 20
	maxHistory = 50
	maxValue   = 512
	maxFinding = 256 << 10 // bytes of a record
)

// finding reads how an application was last found; nothing, if it never was.
func (k *Keeper) finding(ctx context.Context, namespace, application, cluster string) (Finding, error) {
	var f Finding
	rec, err := k.records.Get(ctx, k.foundKey(namespace, application, cluster))
	if errors.Is(err, appspan.ErrNotFound) {
		return f, nil
	}
	if err == nil {
		err = storage.Decode(rec.Value, keepFormat, &f)
	}
	if err == nil && f.Cluster != cluster {
		err = fmt.Errorf("%w: it is about cluster %q", appspan.ErrCorrupt, f.Cluster)
	}
	if err != nil {
		return Finding{}, fmt.Errorf("record %s: %w", k.foundKey(namespace, application, cluster), err)
	}
	return f, nil
}

// save writes how an application was found: as much of it as fits.
func (k *Keeper) save(ctx context.Context, namespace, application string, f Finding) error {
	value, err := encodeStored(f)
	for ; err == nil && len(value) > maxFinding && f.shrink(); value, err = encodeStored(f) {
	}
	if err != nil {
		return err
	}
	_, err = k.records.Update(ctx, k.foundKey(namespace, application, f.Cluster), func([]byte) ([]byte, error) { return value, nil })
	return err
}

// shrink halves the history, then the items, and reports whether it could.
func (f *Finding) shrink() bool {
	switch {
	case len(f.History) > 1:
		f.History = f.History[len(f.History)/2:]
	case len(f.Items)+len(f.Yielded) > 0:
		items, yielded := f.Items[:len(f.Items)/2], f.Yielded[:len(f.Yielded)/2]
		f.More += len(f.Items) + len(f.Yielded) - len(items) - len(yielded)
		f.Items, f.Yielded = items, yielded
	case len(f.History) > 0:
		f.History = nil
	default:
		return false
	}
	return true
}

// forget deletes findings of an application, but not of some clusters.
func (k *Keeper) forget(ctx context.Context, namespace, application string, but []string) error {
	prefix := k.foundKey(namespace, application, "")
	var errs []error
	for rec, err := range k.records.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if slices.Contains(but, strings.TrimPrefix(rec.Key, prefix)) {
			continue
		}
		if err := k.records.Delete(ctx, rec.Key, rec.Revision); !errors.Is(err, appspan.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// next is a finding after another look, and what is news; nil if nothing is.
func (f Finding) next(c *ClusterDrift, result *ClusterResult, now time.Time) (Finding, *Found) {
	known := map[string]bool{}
	for _, i := range slices.Concat(f.Items, f.Yielded) {
		known[i.identity()] = true
	}
	healed := result != nil && result.Outcome == OutcomeDone
	out := Finding{Cluster: c.Cluster, Checked: now, Revision: c.Revision, Left: c.Left, Unknown: c.Unknown, LastAnswer: c.LastAnswer, Fights: c.Fights[:min(len(c.Fights), maxFound)],
		Error: account(c.err, c.part.work.secretTexts()), History: f.History}
	if c.Unknown { // what was known is still what is known
		out.Revision, out.Items, out.Yielded, out.More, out.Left, out.Fights, out.Digest = f.Revision, f.Items, f.Yielded, f.More, f.Left, f.Fights, f.Digest
	}
	sum := sha256.New()
	news := Found{At: now, Error: out.Error}
	for _, i := range c.Items {
		heals := i.Action == DriftHeal && i.Left == ""
		i = i.stored()
		if heals && result != nil || !known[i.identity()] {
			if news.Items = append(news.Items, i); heals && healed {
				news.Healed++
			}
		}
		if !heals || !healed {
			_, _ = io.WriteString(sum, i.identity()+"\x00")
		}
		switch {
		case heals && healed:
		case len(out.Items)+len(out.Yielded) >= maxFound:
			out.More++
		case i.Action == DriftYield:
			out.Yielded = append(out.Yielded, i)
		default:
			out.Items = append(out.Items, i)
		}
	}
	if !c.Unknown {
		out.Digest = hex.EncodeToString(sum.Sum(nil)[:16])
	}
	news.More = max(0, len(news.Items)-maxNews)
	news.Items = news.Items[:len(news.Items)-news.More]
	if result != nil {
		news.Outcome, news.Revision = result.Outcome, result.Revision
		news.Error = account(result.err, c.part.work.secretTexts())
		out.Error = news.Error
		if healed {
			out.Revision = result.Revision
		}
	}
	gone := len(f.Items)+len(f.Yielded) > 0 && len(c.Items) == 0 && !c.Unknown
	if result == nil && out.Error == f.Error && (out.Digest == f.Digest || len(news.Items) == 0 && !gone) {
		return out, nil
	}
	out.History = append(slices.Clone(f.History), news)
	out.History = out.History[max(0, len(out.History)-maxHistory):]
	return out, &news
}

// identity tells an item, its author and its value from others: one that was
// noted is noted again when one of them changes, or what is done about it.
func (i DriftItem) identity() string {
	left := ""
	if i.Left != "" {
		left = "left"
	}
	return strings.Join([]string{string(i.Kind), inventoryKey(i.Object), i.Path, i.Author, i.Digest, string(i.Action), left}, "\x00")
}

// stored is the item with values that fit into a record.
func (i DriftItem) stored() DriftItem {
	fit := func(v json.RawMessage) json.RawMessage {
		if len(v) <= maxValue {
			return v
		}
		text, _ := json.Marshal(cut(string(v), maxValue))
		return text
	}
	i.Released, i.Live = fit(i.Released), fit(i.Live)
	i.Author = cut(i.Author, 128)
	return i
}
