package render

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/robfig/cron/v3"
)

// window is a schedule and the one that ends it.
type window struct{ from, to *appmodel.Schedule }

// windows turns schedules, which set a number until the next one does, into
// windows that begin and end by one expression each. There are none where that
// is not possible: a single schedule never ends, zones differ, an expression
// has no five fields, or a schedule is followed now by one and now by another.
func windows(auto *appmodel.AutoScale) []window {
	const firings = 2000 // years of daily schedules
	list := auto.Schedules
	if len(list) < 2 {
		return nil
	}
	next := make([]time.Time, len(list))
	expressions := make([]cron.Schedule, len(list))
	for i := range list {
		s, err := cron.ParseStandard(list[i].Cron)
		if err != nil || strings.HasPrefix(list[i].Cron, "@") || list[i].TimeZone != list[0].TimeZone {
			return nil
		}
		expressions[i], next[i] = s, s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
		if next[i].IsZero() {
			return nil
		}
	}
	follower := make([]*appmodel.Schedule, len(list))
	last := -1
	for range firings {
		first := 0
		for i := range next {
			if next[i].Before(next[first]) {
				first = i
			}
		}
		if last >= 0 {
			if last == first || follower[last] != nil && follower[last] != &list[first] {
				return nil
			}
			follower[last] = &list[first]
		}
		last, next[first] = first, expressions[first].Next(next[first])
	}
	var out []window
	for i := range list {
		if follower[i] == nil {
			return nil
		}
		out = append(out, window{&list[i], follower[i]})
	}
	return out
}

// cronTriggers keep a number of replicas at times. A window of no more replicas
// than there are at least needs no trigger.
func (b *builder) cronTriggers(c *appmodel.Component) []scaledTrigger {
	auto := c.Scale.Auto
	list := windows(auto)
	if len(auto.Schedules) > 0 && list == nil {
		b.note(Warning, c, "scale.auto.schedules", "KEDA knows times that begin and end: give two schedules or more, of five fields, in one time zone, that always follow each other in the same order; they are left out")
	}
	var out []scaledTrigger
	for _, w := range list {
		path, least := "scale.auto.schedules["+w.from.Name+"].replicas", leastReplicas(c)
		switch {
		case w.from.Replicas < least:
			b.note(Warning, c, path, "%d replicas stay, as many as scale.auto.min says; write a smaller min", least)
		case w.from.Replicas > auto.Max:
			b.note(Warning, c, path, "there are never more than %d replicas, as scale.auto.max says; write a greater max", auto.Max)
		}
		if w.from.Replicas <= least {
			continue
		}
		out = append(out, scaledTrigger{Type: "cron", Name: w.from.Name, Metadata: map[string]string{
			"timezone": cmp.Or(w.from.TimeZone, "Etc/UTC"), "start": w.from.Cron, "end": w.to.Cron, "desiredReplicas": strconv.Itoa(w.from.Replicas)}})
	}
	return out
}
