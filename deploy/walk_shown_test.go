package deploy_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

// compareReleases: those that were there are as they were, and each that was
// deployed can be read.
func (w *walk) compareReleases(s *slot, name string, p *part, objects map[string]driver.Object) error {
	releases, err := w.eyes[s.installation].Releases(w.t.Context(), s.name, s.target(name))
	if err != nil {
		return diverged(refused, "releases: %v", err)
	}
	found := releases[name]
	if len(found) != len(p.releases) {
		return diverged(history, "there are %d releases, not %d", len(found), len(p.releases))
	}
	heads, parts := map[int]int{}, 0
	for key, obj := range objects {
		if obj.Labels["appspan.dev/release-of"] == s.name && obj.Labels[appmodel.LabelInstallation] == s.installation {
			revision, _ := strconv.Atoi(obj.Labels["appspan.dev/revision"])
			heads[revision]++
			parts++
			if !strings.HasPrefix(key, "Secret/"+s.record()+"-r") {
				return diverged(history, "%s", key)
			}
		}
	}
	for i, want := range slices.Backward(p.releases) {
		got := found[len(found)-1-i]
		if got.Revision != want.revision || got.State != want.state {
			return diverged(history, "release %d is %s, and is to be %d, %s", got.Revision, got.State, want.revision, want.state)
		}
		if want.state == deploy.ReleaseDeployed && heads[want.revision] != 1 {
			return diverged(history, "release %d is recorded, and %d times there", want.revision, heads[want.revision])
		}
		delete(heads, want.revision)
	}
	if p.swept { // else what a process left that died stays until the next that ends well
		for _, revision := range slices.Sorted(maps.Keys(heads)) {
			return diverged(leaked, "release %d", revision)
		}
	}
	if p.presence == running && p.releases[len(p.releases)-1].state != deploy.ReleaseDeployed {
		return diverged(history, "the newest release is %s", p.releases[len(p.releases)-1].state)
	}
	return nil
}

// compareStatus: every component does as it should.
func (w *walk) compareStatus(s *slot, name string, p *part) error {
	all, err := w.eyes[s.installation].Status(w.t.Context(), s.name, s.target(name))
	if err != nil {
		return diverged(refused, "status: %v", err)
	}
	got := all.Clusters[0]
	w.answered[s.installation+"/"+name], p.seen = time.Now(), got.Value
	if p.presence != running {
		if got.Value != status.Absent {
			return diverged(shown, "it is %s, and is not there", got.Value)
		}
		return nil
	}
	want := p.resolved(name).components()
	if len(got.Components) != len(want) || len(got.Causes) > 0 {
		return diverged(shown, "components %v, causes %v", got.Components, got.Causes)
	}
	for _, c := range got.Components {
		a := p.asked[c.ID]
		value := status.Ready
		switch {
		case a.stopped || c.ID == "tidy" && a.paused || c.ID != "tidy" && p.wants(name, c.ID) == 0:
			value = status.Stopped
		}
		if c.Value != value {
			return diverged(shown, "%s is %s, not %s: %s %v", c.ID, c.Value, value, c.Message, c.Causes)
		}
	}
	return nil
}

// compareAway: of a cluster that does not answer nothing is known but what was
// known last, and its age.
func (w *walk) compareAway(s *slot, name string, p *part) error {
	all, err := w.eyes[s.installation].Status(w.t.Context(), s.name, s.target(name))
	if err != nil {
		return diverged(refused, "status: %v", err)
	}
	got, last := all.Clusters[0], w.answered[s.installation+"/"+name]
	if got.Value != status.Unknown || got.Fresh || all.Worst != status.Unknown || !got.ObservedAt.Equal(last) || p.seen != "" && got.LastKnown != p.seen || got.Error == "" ||
		!last.IsZero() && got.Age != time.Since(last) {
		return diverged(shown, "it does not answer since %v, and is %s, fresh %v, was %s at %v, not %s: %s", last, got.Value, got.Fresh, got.LastKnown, got.ObservedAt, p.seen, got.Error)
	}
	return nil
}
