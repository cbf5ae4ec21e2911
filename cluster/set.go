package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
)

// Set is a fixed group of clusters by name: enough for a program that knows
// its clusters when it starts.
type Set struct{ clusters map[string]*Cluster }

// NewSet returns a set of clusters, which it closes with itself. An empty name
// and two clusters of one name are appspan.ErrInvalid.
func NewSet(clusters ...*Cluster) (*Set, error) {
	s := &Set{clusters: make(map[string]*Cluster, len(clusters))}
	for i, c := range clusters {
		switch {
		case c == nil:
			return nil, fmt.Errorf("set of clusters: %w: number %d is nil", appspan.ErrInvalid, i+1)
		case c.name == "":
			return nil, fmt.Errorf("set of clusters: %w: number %d has no name", appspan.ErrInvalid, i+1)
		case s.clusters[c.name] != nil:
			return nil, fmt.Errorf("set of clusters: %w: two are named %q", appspan.ErrInvalid, c.name)
		}
		s.clusters[c.name] = c
	}
	return s, nil
}

// Cluster returns the cluster of a name; an unknown one is
// appspan.ErrNotFound, with the known names. It does no I/O.
func (s *Set) Cluster(_ context.Context, name string) (*Cluster, error) {
	if c := s.clusters[name]; c != nil {
		return c, nil
	}
	const show = 10
	known, more := s.Names(), ""
	if len(known) > show {
		known, more = known[:show], ", …"
	}
	return nil, fmt.Errorf("cluster %q: %w; known are: %s%s", name, appspan.ErrNotFound, strings.Join(known, ", "), more)
}

// Names returns the names of the clusters, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.clusters)) }

// Select returns the names of the clusters that sel chooses, sorted. A Set
// knows nothing of health: a selector of it is appspan.ErrUnsupported.
func (s *Set) Select(_ context.Context, sel Selector) ([]string, error) {
	if len(sel.Health) > 0 {
		return nil, fmt.Errorf("set of clusters: %w: it does not know their health; use a Fleet", appspan.ErrUnsupported)
	}
	var out []string
	for _, name := range s.Names() {
		if sel.matches(&Status{Name: name, Labels: s.clusters[name].Labels()}) {
			out = append(out, name)
		}
	}
	return out, nil
}

// Close closes every cluster and returns all errors.
func (s *Set) Close() error {
	var failed []error
	for _, name := range s.Names() {
		failed = append(failed, s.clusters[name].Close())
	}
	return errors.Join(failed...)
}
