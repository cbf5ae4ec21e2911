package place

import (
	"slices"

	"github.com/appspan-dev/appspan/appmodel"
)

// Cluster is what a choice looks at.
type Cluster struct {
	Name   string
	Labels map[string]string
}

// Matches reports whether a selector chooses a cluster: by one of its names, if
// it has any, and by all of its labels. The zero selector chooses every
// cluster.
func Matches(s appmodel.ClusterSelector, c Cluster) bool {
	if len(s.Names) > 0 && !slices.Contains(s.Names, c.Name) {
		return false
	}
	for k, v := range s.Labels {
		if have, ok := c.Labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Choose returns the names of the clusters that a selector chooses, sorted.
func Choose(s appmodel.ClusterSelector, clusters []Cluster) []string {
	var out []string
	for _, c := range clusters {
		if Matches(s, c) {
			out = append(out, c.Name)
		}
	}
	slices.Sort(out)
	return out
}
