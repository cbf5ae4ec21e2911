package deploy

import (
	"slices"
	"strings"
	"time"
)

// healed is how often, of late, a field was made as released again after a
// change of one author. The record keeps it, so that no process fights on
// where another one has given up.
type healed struct {
	Object string    `json:"o"` // as in the inventory
	Path   string    `json:"p,omitempty"`
	Author string    `json:"a,omitempty"`
	Count  int       `json:"n"`
	Last   time.Time `json:"t"`
}

// maxHealed bounds what a record keeps; the oldest are forgotten.
const maxHealed = 200

func (h *healed) is(object, path, author string) bool {
	return h.Object == object && h.Path == path && h.Author == author
}

// over reports whether a heal would be no part of the same fight any more.
func (h *healed) over(limit FightLimit, now time.Time) bool {
	return now.Sub(h.Last) > limit.Window+limit.pause(h.Count)
}

// fight is how an item is fought about, or nil.
func (r *record) fight(item *DriftItem, limit FightLimit, now time.Time) *Fight {
	if r == nil {
		return nil
	}
	limit = limit.normal()
	i := slices.IndexFunc(r.Heals, func(h healed) bool { return h.is(inventoryKey(item.Object), item.Path, item.Author) })
	if i < 0 {
		return nil
	}
	h := r.Heals[i]
	until := h.Last.Add(limit.pause(h.Count))
	if h.Count < limit.Heals || h.over(limit, now) || !now.Before(until) {
		return nil
	}
	return &Fight{Object: item.Object, Path: item.Path, Author: item.Author, Heals: h.Count, Last: h.Last, Until: until}
}

// heals notes what is healed now.
func (r *record) heals(h *healing, cluster string, now time.Time) {
	if h == nil {
		return
	}
	limit := h.Fights.normal()
	all := slices.Clone(r.Heals)
	for object, fields := range h.Clusters[cluster] {
		for _, f := range fields {
			i := slices.IndexFunc(all, func(x healed) bool { return x.is(object, f.Path, f.Author) })
			if i < 0 {
				i, all = len(all), append(all, healed{Object: object, Path: f.Path, Author: f.Author})
			}
			if all[i].over(limit, now) {
				all[i].Count = 0
			}
			all[i].Count, all[i].Last = all[i].Count+1, now
		}
	}
	slices.SortStableFunc(all, func(a, b healed) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.Object+a.Path+a.Author, b.Object+b.Path+b.Author)
	})
	r.Heals = all[:min(len(all), maxHealed)]
}
