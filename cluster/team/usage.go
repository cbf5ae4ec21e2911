package team

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
)

// Usage is what a team may have, has reserved and uses.
type Usage struct {
	Team string `json:"team"`
	// At is when.
	At       time.Time      `json:"at"`
	Clusters []ClusterUsage `json:"clusters"`
	// Quota is that over all clusters, Reserved what its applications hold,
	// and Free what they can still ask for, of what is bounded.
	Quota    cluster.Amounts `json:"quota,omitempty"`
	Reserved cluster.Amounts `json:"reserved,omitempty"`
	Free     cluster.Amounts `json:"free,omitempty"`
	// Requested sums up what the clusters that answered say.
	Requested cluster.Amounts `json:"requested,omitempty"`
}

// ClusterUsage is the part of one cluster.
type ClusterUsage struct {
	Cluster  string          `json:"cluster"`
	Quota    cluster.Amounts `json:"quota,omitempty"`
	Reserved cluster.Amounts `json:"reserved,omitempty"`
	// Free is what can still be reserved here, by the quota of the cluster
	// and of the team together.
	Free cluster.Amounts `json:"free,omitempty"`
	// Requested is what objects in the namespaces ask for, as the cluster
	// counts it against its ResourceQuotas; nil where that is not known.
	Requested cluster.Amounts `json:"requested,omitempty"`
	// Unknown: the cluster did not answer. Error says why, and LastAnswer is
	// when it last did, zero if it never did.
	Unknown    bool      `json:"unknown,omitempty"`
	Error      string    `json:"error,omitempty"`
	LastAnswer time.Time `json:"lastAnswer,omitzero"`
}

// Usage reads what a team uses. A cluster that does not answer is unknown in
// it; what is reserved there is known all the same.
func (t *Teams) Usage(ctx context.Context, id string) (Usage, error) {
	if err := t.authorize(ctx, appspan.VerbRead, "team", id, ""); err != nil {
		return Usage{}, err
	}
	d, err := load(ctx, t.records, id)
	if err != nil {
		return Usage{}, err
	}
	return t.usage(ctx, d)
}

func (t *Teams) usage(ctx context.Context, d document) (Usage, error) {
	held, err := t.ledger.read(ctx, d.ID)
	if err != nil {
		return Usage{}, err
	}
	all, each := held.used("")
	free := mustParse(d.Quota).minus(all)
	u := Usage{Team: d.ID, At: time.Now().UTC(), Quota: maps.Clone(d.Quota), Reserved: all.amounts(), Free: free.amounts()}
	names := slices.Sorted(maps.Keys(d.Clusters))
	u.Clusters = make([]ClusterUsage, len(names))
	requested := make([]quantities, len(names))
	var g errgroup.Group
	g.SetLimit(t.opts.Concurrency)
	for i, name := range names {
		quota := mustParse(d.Clusters[name].Quota)
		here := quota.minus(each[name])
		for resource, left := range free {
			if have, ok := here[resource]; !ok || left.Cmp(have) < 0 {
				here[resource] = left
			}
		}
		u.Clusters[i] = ClusterUsage{Cluster: name, Quota: quota.amounts(), Reserved: each[name].amounts(), Free: here.amounts()}
		g.Go(func() error {
			requested[i] = t.requested(ctx, d.Team, name, &u.Clusters[i])
			return nil
		})
	}
	_ = g.Wait()
	sum := quantities{}
	for _, q := range requested {
		sum.add(q, 1)
	}
	u.Requested = sum.amounts()
	return u, context.Cause(ctx)
}

// requested reads what the ResourceQuotas of a team on a cluster count.
func (t *Teams) requested(ctx context.Context, team Team, name string, u *ClusterUsage) quantities {
	limited, cancel := t.limit(ctx)
	defer cancel()
	c, err := t.clusters.Cluster(limited, name)
	sum := quantities{}
	for _, namespace := range team.Namespaces(name) {
		if err != nil {
			break
		}
		var obj cluster.Object
		obj, err = c.Get(limited, cluster.Ref{APIVersion: "v1", Kind: "ResourceQuota", Namespace: namespace, Name: objectName})
		if errors.Is(err, appspan.ErrNotFound) {
			err = nil // not reconciled yet: nothing is counted
			continue
		}
		if err == nil {
			var rq corev1.ResourceQuota
			if err = json.Unmarshal(obj.JSON, &rq); err == nil {
				sum.add(counted(rq.Status.Used), 1)
			}
		}
	}
	if err != nil {
		p := ClusterPlan{}
		p.fail(limited, c, err)
		u.Unknown, u.Error, u.LastAnswer = true, p.Error, p.LastAnswer
		return nil
	}
	u.Requested = sum.amounts()
	return sum
}

// counted are amounts of a ResourceQuota by our names.
func counted(used corev1.ResourceList) quantities {
	out := quantities{}
	for name, q := range used {
		if own := strings.TrimPrefix(string(name), "requests."); countable(own) {
			out[own] = q
		}
	}
	return out
}

// Measurement is one line of an export of usage: one resource of one team on
// one cluster at one time.
type Measurement struct {
	Time     time.Time `json:"time"`
	Team     string    `json:"team"`
	Cluster  string    `json:"cluster"`
	Resource string    `json:"resource"`
	// Requested is what is reserved, and Used what the cluster counts of it;
	// empty where the cluster did not answer.
	Requested string `json:"requested"`
	Used      string `json:"used,omitempty"`
}

// Meter writes what every team that the subject may see uses now, as JSON, one
// [Measurement] a line, sorted by team, cluster and resource, and returns how
// many.
func (t *Teams) Meter(ctx context.Context, w io.Writer) (int, error) {
	encoder, n := json.NewEncoder(w), 0
	for team, err := range t.List(ctx) {
		var u Usage
		if err == nil {
			u, err = t.usage(ctx, document{Team: team})
		}
		if err != nil {
			return n, fmt.Errorf("metering: %w", err)
		}
		for _, c := range u.Clusters {
			names := slices.Concat(slices.Collect(maps.Keys(c.Reserved)), slices.Collect(maps.Keys(c.Requested)))
			slices.Sort(names)
			for _, name := range slices.Compact(names) {
				m := Measurement{Time: u.At, Team: team.ID, Cluster: c.Cluster, Resource: name, Requested: c.Reserved[name], Used: c.Requested[name]}
				if m.Requested == "" {
					m.Requested = "0"
				}
				if err := encoder.Encode(m); err != nil {
					return n, fmt.Errorf("metering: %w", err)
				}
				n++
			}
		}
	}
	return n, nil
}
