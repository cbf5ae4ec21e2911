package deploy

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
)

// Target says where an application runs.
type Target struct {
	// Clusters are names of clusters, each once.
	Clusters []string `json:"clusters,omitempty"`
	// Labels, where no names are given, choose the clusters that have them all
	// with these values. A plan names those that had them when it was made.
	Labels map[string]string `json:"labels,omitempty"`
	// Namespace is the namespace on each of them; default: the application's
	// name. It is created where it does not exist.
	Namespace string `json:"namespace,omitempty"`
	// Team is whose application it is, for the Authorizer and the Gate;
	// default: the subject's. A removal tells the Gate whose the namespace is
	// when neither says.
	Team string `json:"team,omitempty"`
}

var namespaceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (t Target) normal(application string) (Target, error) {
	if len(t.Clusters) == 0 {
		return t, fmt.Errorf("target of %s: %w: no clusters; name at least one, or give labels", application, appspan.ErrInvalid)
	}
	t.Clusters = slices.Sorted(slices.Values(t.Clusters))
	if unique := slices.Compact(slices.Clone(t.Clusters)); len(unique) != len(t.Clusters) {
		return t, fmt.Errorf("target of %s: %w: a cluster is named twice", application, appspan.ErrInvalid)
	}
	if t.Namespace == "" {
		t.Namespace = application
	}
	if !namespaceName.MatchString(t.Namespace) {
		return t, fmt.Errorf("target of %s: %w: namespace %q is no DNS label; use up to 63 small letters, digits and dashes", application, appspan.ErrInvalid, t.Namespace)
	}
	return t, nil
}

// selecter is Clusters that can be chosen by labels; *cluster.Set and
// *cluster.Fleet are.
type selecter interface {
	Select(ctx context.Context, sel cluster.Selector) ([]string, error)
}

// choose names the clusters that a target chooses by labels.
func (d *Deployer) choose(ctx context.Context, application string, to Target) (Target, error) {
	if len(to.Clusters) > 0 || len(to.Labels) == 0 {
		return to, nil
	}
	s, ok := d.clusters.(selecter)
	if !ok {
		return to, fmt.Errorf("target of %s: %w: these clusters cannot be chosen by labels; name them", application, appspan.ErrUnsupported)
	}
	names, err := s.Select(ctx, cluster.Selector{Labels: to.Labels})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: no cluster has the labels %v", appspan.ErrNotFound, to.Labels)
	}
	if err != nil {
		return to, fmt.Errorf("target of %s: %w", application, err)
	}
	to.Clusters = names
	return to, nil
}

// sameTeam refuses what a team's subject wants to do for another team, or for
// none.
func (d *Deployer) sameTeam(application string, to Target) error {
	if d.subject.Team != "" && to.Team != d.subject.Team {
		return fmt.Errorf("target of %s: %w: %s acts for team %q, the target is of team %q", application, appspan.ErrDenied, d.subject, d.subject.Team, to.Team)
	}
	return nil
}
