package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
)

// Inventory is a driver.Provider. Registrations of clusters need no credentials:
// the inventory knows them by name.
type Inventory struct {
	URL    string
	Client *http.Client // which knows how to log in there
}

// entry is what the inventory says of a cluster.
type entry struct {
	Server  string            `json:"server"`
	CA      []byte            `json:"ca"`
	Token   string            `json:"token"`
	Expires time.Time         `json:"expires"`
	Racks   map[string]string `json:"racks"` // by node
}

// Open implements driver.Provider.
func (i *Inventory) Open(ctx context.Context, spec driver.Spec) (driver.Cluster, error) {
	m := &machine{inventory: i, name: spec.Name}
	now, err := m.entry(ctx, false)
	if err != nil {
		return nil, err
	}
	m.Cluster, err = kube.New(&rest.Config{Host: now.Server, TLSClientConfig: rest.TLSClientConfig{CAData: now.CA},
		WrapTransport: func(next http.RoundTripper) http.RoundTripper { return &authorized{m, next} }}, nil)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// look asks the inventory for a cluster. Errors are marked, so that whoever calls
// knows what to do: give another name, or try again.
func (i *Inventory) look(ctx context.Context, name string) (entry, error) {
	var e entry
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL+"/clusters/"+url.PathEscape(name), nil)
	if err != nil {
		return e, fmt.Errorf("inventory: %w: %w", appspan.ErrInvalid, err)
	}
	resp, err := i.Client.Do(req)
	if err != nil {
		return e, appspan.MarkRetryable(fmt.Errorf("inventory: %w: %w", appspan.ErrUnavailable, err), 0)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return e, fmt.Errorf("inventory: %w: it has no cluster %q", appspan.ErrInvalid, name)
	case resp.StatusCode != http.StatusOK:
		return e, appspan.MarkRetryable(fmt.Errorf("inventory: %w: %s", appspan.ErrUnavailable, resp.Status), 0)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&e); err != nil {
		return e, fmt.Errorf("inventory: %w: %w", appspan.ErrCorrupt, err)
	}
	return e, nil
}

// machine is a cluster of the inventory. It decorates the one of package kube: what
// that can do beyond driver.Cluster is found through Unwrap.
type machine struct {
	driver.Cluster
	inventory *Inventory
	name      string

	mu  sync.Mutex
	now entry
}

// Unwrap is for driver.As.
func (m *machine) Unwrap() driver.Cluster { return m.Cluster }

// Info adds to each node the rack that it stands in, for spreading over racks.
func (m *machine) Info(ctx context.Context) (driver.Info, error) {
	info, err := m.Cluster.Info(ctx)
	if err != nil {
		return info, err
	}
	now, err := m.entry(ctx, false)
	if err != nil {
		return info, err
	}
	for i, node := range info.Nodes {
		labels := map[string]string{"inventory.example.com/rack": now.Racks[node.Name]}
		for name, value := range node.Labels {
			labels[name] = value
		}
		info.Nodes[i].Labels = labels
	}
	return info, nil
}

// entry is what the inventory last said, or says now: shortly before the token
// expires, and when it was refused.
func (m *machine) entry(ctx context.Context, refused bool) (entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !refused && time.Until(m.now.Expires) > time.Minute {
		return m.now, nil
	}
	now, err := m.inventory.look(ctx, m.name)
	if err == nil {
		m.now = now
	}
	return now, err
}

// authorized sends the token with every request.
type authorized struct {
	m    *machine
	next http.RoundTripper
}

func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	now, err := a.m.entry(r.Context(), false)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+now.Token)
	resp, err := a.next.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized { // the next request has another one
		_, _ = a.m.entry(r.Context(), true)
	}
	return resp, err
}
